"""`compare`: several models on the same test, each against the first; the statistics are in `resampling`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tripletrec._checks import (
    Seed,
    check_count,
    check_cutoffs,
    check_random_state,
    check_share,
    check_utf8,
)
from tripletrec._drawing import as_axes, height_of, literal, short_names
from tripletrec._runtime.messages import Said, shown, warn_of_all, warn_user, warnings_of
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.evaluation.measuring import evaluate
from tripletrec.evaluation.metrics import Gains, check_gains
from tripletrec.evaluation.results import Evaluation
from tripletrec.evaluation.standing import NoUsersError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Comparison", "compare"]

_ROUNDING = 1e-12
_DEFAULTS = (10,), "binary"  # of k and gains, which evaluations may have otherwise
_NUMBERS = ["mean", "low", "high"]
_OF_DIFFERENCES = [
    "difference", "difference_low", "difference_high", "p_value", "p_corrected", "effect_size", "n_users",
]  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` returns.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each metric and model, with the columns

        - ``mean``, ``low``, ``high``: the mean over the model's users, and its interval;
        - ``difference``, ``difference_low``, ``difference_high``: the mean over users of the difference to
          the first model, and its interval; NaN for the first;
        - ``p_value``: of a sign-flip test over users of no difference; ``p_corrected``: by Holm's method, for
          all models that are compared in this metric;
        - ``effect_size``: the mean difference in standard deviations of the differences;
        - ``n_users``: over how many users, those that both models are evaluated on. Where that is 0, because
          the metric is undefined for all of them, the other columns are NaN.
    results : dict of Evaluation
        What `evaluate` returned of each model.
    level : float
        Of the intervals.
    """

    table: pd.DataFrame
    results: dict[str, Evaluation]
    level: float

    @property
    def mean(self) -> pd.DataFrame:
        """The means alone: a row for each model, a column for each metric."""
        import pandas as pd

        return pd.DataFrame({name: each.mean for name, each in self.results.items()}).T

    def __repr__(self) -> str:
        return f"{self._headline()}\n{self.table.round(4).to_string()}"

    def _repr_html_(self) -> str:
        from html import escape

        table: str = (
            self.table.style.format(precision=4, na_rep="").format_index(escape="html").to_html()
            if _has_jinja()
            else (self.table.round(4).to_html(na_rep=""))
        )
        return f"<p>{escape(self._headline())}</p>\n{table}"

    def _headline(self) -> str:
        names = list(self.results)
        first = self.results[names[0]]
        how = ""
        if first.sampled is not None:
            how = f", ranked against up to {first.sampled} sampled items each (biased)"
        return (
            f"Comparison of {', '.join(map(str, names[1:]))} with {names[0]}: "
            f"{100 * self.level:g} % intervals{how}"
        )

    def plot(self, metric: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the mean of a metric of each model, with its interval; needs matplotlib.

        Parameters
        ----------
        metric : str, default None
            Such as "ndcg@10"; None: the first of the NDCGs.
        ax : matplotlib Axes, default None
            Where to draw; None: a new figure.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such metric.
        """
        metrics = list(dict.fromkeys(self.table.index.get_level_values("metric")))
        if metric is None:
            metric = next(each for each in metrics if each.startswith("ndcg"))
        if metric not in metrics:
            raise ValueError(f"metric must be one of {', '.join(metrics)}, got {shown(metric)}")
        part = self.table.loc[metric]
        ax = as_axes(ax, height_of(len(part)))
        places = np.arange(len(part))[::-1]
        errors = np.abs(part[["low", "high"]].to_numpy().T - part["mean"].to_numpy())
        ax.errorbar(part["mean"], places, xerr=errors, fmt="o", capsize=3)
        ax.axvline(part["mean"].iloc[0], linewidth=0.8, linestyle=":", color="gray")
        ax.set_yticks(places, [literal(each) for each in short_names(part.index)])
        ax.set_ylim(-0.6, len(part) - 0.4)
        ax.set_xlabel(f"{metric}, {100 * self.level:g} % intervals")
        return ax


def _has_jinja() -> bool:
    from importlib.util import find_spec

    return find_spec("jinja2") is not None  # which pandas styles tables with


def compare(
    models: Mapping[str, Any],
    test: Any,
    exclude: Any = "seen",
    *,
    k: int | ArrayLike = 10,
    level: float = 0.95,
    n_resamples: int = 1000,
    n_permutations: int = 10_000,
    candidates: Any = None,
    gains: Gains = "binary",
    random_state: Seed = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Comparison:
    """Evaluate several models on the same test, and tell how each differs from the first.

    Put what is to be beaten first, such as `Popularity`. Each model is evaluated in one pass; everything else
    is of the paired differences of the users that both models are evaluated on.

    Parameters
    ----------
    models : dict of str -> model
        Two or more, each as `evaluate` takes it; the first is what the others are compared with. Or of
        `Evaluation`, all evaluated alike: of this test, with the same `k`, `gains`, `candidates` and
        `exclude`, or what each model has seen. Of these arguments, what is given here must be theirs, too;
        a default says nothing.
    test, exclude, candidates, gains, n_jobs, verbose
        As of `evaluate`.
    k : int or sequence of int, default 10
        As of `evaluate`. Beside evaluations models are evaluated with theirs.
    level : float, default 0.95
        Of the bootstrap intervals (BCa, over users; see `Evaluation.interval`).
    n_resamples : int, default 1000
        How often users are drawn for the intervals.
    n_permutations : int, default 10000
        How often the signs of the differences are set at random for the p-values; all ways are tried where
        they are not more. No p-value is smaller than ``1 / (n_permutations + 1)``.
    random_state : int, RandomState, Generator or None, default 0
        Source of both; the same number gives the same table.

    Returns
    -------
    Comparison
        ``.table``, ``.mean``, ``.results`` and ``.plot()``.

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two models, if they are not evaluated alike, or as `evaluate`.

    Warns
    -----
    UserWarning
        If models are evaluated on different users, because they have seen different data. As `evaluate`, but
        once for all models that it is true of, with their names.

    See Also
    --------
    evaluate : the metrics of one model.
    tripletrec.write_report : a page on several models.

    Notes
    -----
    The sign-flip test is exact if each user's difference is as likely as its negative where the models are
    equally good. P-values are corrected within each metric (Holm, 1979): choose the metric that counts before
    you look. With many users the smallest difference becomes significant, so look at the interval of the
    difference, and at the effect size. All of it tells of the choice of users, not of seeds and splits.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> models = {"popular": tr.Popularity().fit(train), "ease": tr.EASE(l2=50.0).fit(train)}
    >>> found = tr.compare(models, test, k=10)
    >>> found.mean.shape, found.table.loc["auc", "difference"].index.tolist()
    ((2, 7), ['popular', 'ease'])
    """
    if not isinstance(models, Mapping):
        raise TypeError(f"models must be a dict of names and models, got {shown(models)}")
    if len(models) < 2:
        raise ValueError(f"models must be two or more, got {len(models)}: evaluate does for one")
    level = check_share(level, "level")
    n_resamples = check_count(n_resamples, "n_resamples")
    n_permutations = check_count(n_permutations, "n_permutations")
    seed = check_random_state(random_state)
    test = as_interactions(test, "test")
    options = {
        "k": k, "candidates": candidates, "gains": gains, "n_jobs": n_jobs, "verbose": verbose,
    }  # fmt: skip
    from tripletrec.ranking.scores import score_function  # here, as in `stand`

    given = {name: each for name, each in models.items() if isinstance(each, Evaluation)}
    _check_one_catalogue(models)
    for name, each in models.items():  # before any is evaluated
        check_utf8(str(name), "names of models")
        if name not in given:
            score_function(each, test.n_users, test.n_items, f"models[{name!r}]")
    _check_alike(given)
    _check_as_told(given, test, options, exclude)
    options["k"] = _cutoffs_of(given, k)
    results: dict[str, Evaluation] = {}
    said: Said = {}
    for name, each in models.items():
        with warnings_of(str(name), said):
            results[name] = _evaluation(name, each, test, exclude, options)
        if given:  # of others `evaluate` warns if they do not know what they have seen
            _check_alike(results)
    warn_of_all(said)
    said.clear()
    table = _table(results, level, n_resamples, n_permutations, seed, said)
    warn_of_all(said)
    return Comparison(table, results, level)


def _evaluation(
    name: str, model: Any, test: Interactions, exclude: Any, options: dict[str, Any]
) -> Evaluation:
    """Return what is known of a model, or found out; raise with its name if nobody can be evaluated."""
    if isinstance(model, Evaluation):
        return model
    try:
        return evaluate(model, test, exclude, **options)
    except NoUsersError as error:
        raise NoUsersError(f"{name}: {error}") from None


def _check_one_catalogue(models: Mapping[str, Any]) -> None:
    """Raise if fitted models know different numbers of users or items: no one test is of both."""
    from tripletrec.ranking.scores import FittedModel  # here, as in `stand`

    fitted = {name: each for name, each in models.items() if isinstance(each, FittedModel)}
    shapes = {name: (each.n_users_, each.n_items_) for name, each in fitted.items()}
    for name, shape in shapes.items():
        first, wanted = next(iter(shapes.items()))
        if shape != wanted:
            raise ValueError(
                f"models[{name!r}] knows {shape[0]} users and {shape[1]} items, and models[{first!r}] "
                f"{wanted[0]} and {wanted[1]}: evaluate each by itself, on the same pairs read "
                "with like=model.seen_, with candidates= that both know"
            )


def _check_alike(results: dict[str, Evaluation]) -> None:
    """Raise unless evaluations were made in the same way, as far as that is known.

    Each must be like one before it: what models have seen may differ, and one may leave out what another
    has seen.
    """
    names = list(results)
    for n, name in enumerate(names[1:], 1):
        first = names[0]
        differences = [_difference(results[name], results[other]) for other in names[:n]]
        if None not in differences:
            what = differences[0]
            hint = ""
            if what == "exclude":
                hint = " (of a model that does not know what it has seen 'seen' is nothing)"
            raise ValueError(
                f"models must be evaluated alike, got {name!r} with another {what} than {first!r}{hint}"
            )


def _difference(one: Evaluation, other: Evaluation) -> str | None:
    if one.sampled != other.sampled:
        return "sampled"
    if one._measured is not None and other._measured is not None:
        return one._measured.difference(other._measured)
    return None if list(one.mean.index) == list(other.mean.index) else "k"


def _check_as_told(
    given: dict[str, Evaluation], test: Interactions, options: dict[str, Any], exclude: Any
) -> None:
    """Raise unless evaluations are of this test, and made in the way that is asked for, if any is."""
    if not given:
        return
    from tripletrec.evaluation.measured import Told, digest_test  # here, as in `evaluate`

    wanted = {"k": check_cutoffs(options["k"]), "gains": check_gains(options["gains"])}
    told = Told.of(test, exclude, options["candidates"])
    for name, each in given.items():
        how = each._measured
        if how is None:
            continue
        if how.test != digest_test(test, how.gains):
            raise ValueError(f"models[{name!r}] must be an evaluation of test, got one of another")
        for argument, value in wanted.items():
            mine = getattr(how, argument)
            if value not in (mine, *_DEFAULTS):
                raise ValueError(
                    f"{argument} must be that of the evaluation models[{name!r}], {shown(mine)}, got "
                    f"{shown(value)}"
                )
        if (other := told.difference(how)) is not None:
            raise ValueError(
                f"{other} must be that of the evaluation models[{name!r}], which was made with another: "
                "leave it out, or evaluate the models again"
            )


def _cutoffs_of(given: dict[str, Evaluation], k: int | ArrayLike) -> int | ArrayLike:
    """Return the lengths of lists of models beside evaluations, which are made already: theirs."""
    made = [each._measured.k for each in given.values() if each._measured is not None]
    return made[0] if made else k


def _table(
    results: dict[str, Evaluation],
    level: float,
    n_resamples: int,
    n_permutations: int,
    seed: int,
    said: Said,
) -> pd.DataFrame:
    import pandas as pd

    from tripletrec.evaluation.resampling import bootstrap, effect_sizes, holm, sign_flip_test

    names = list(results)
    first = results[names[0]].per_user
    metrics = list(first.columns)
    parts: dict[str, pd.DataFrame] = {}
    p_values: list[NDArray[np.float64]] = []
    for name in names:
        found = results[name].interval(level, n_resamples=n_resamples, random_state=seed)
        parts[name] = found.reindex(columns=[*_NUMBERS, *_OF_DIFFERENCES]).astype(float)
        parts[name]["n_users"] = results[name].per_user.notna().sum()
        if name == names[0]:
            continue
        with warnings_of(str(name), said):
            d = _differences(results[name].per_user, first, (name, names[0]))
        away = bootstrap(d, level, n_resamples, random_state=seed)
        p_values.append(sign_flip_test(d, n_permutations, seed))
        parts[name][_OF_DIFFERENCES] = np.column_stack(
            [
                *away,
                p_values[-1],
                np.empty(len(metrics)),
                effect_sizes(d),
                (~np.isnan(d)).sum(axis=0),
            ]
        )
    corrected = holm(np.array(p_values))
    for name, values in zip(names[1:], corrected, strict=True):
        parts[name]["p_corrected"] = values
    table = pd.concat(parts, names=["model", "metric"]).swaplevel()
    order = pd.MultiIndex.from_product([metrics, names], names=["metric", "model"])
    return table.loc[order].astype({"n_users": int})


def _differences(
    per_user: pd.DataFrame, first: pd.DataFrame, names: tuple[str, str]
) -> NDArray[np.float64]:
    """Return the differences of the users that both are evaluated on."""
    if per_user.index.equals(first.index):
        return _minus(per_user, first)
    common = first.index.intersection(per_user.index, sort=False)
    if not len(common):
        raise ValueError(
            f"{names[0]} and {names[1]} must have users in common to be compared, got none"
        )
    warn_user(
        f"evaluated on {len(per_user)} users and {names[1]} on {len(first)}, for they have seen different "
        f"data: differences are of the {len(common)} users of both"
    )
    return _minus(per_user.loc[common], first.loc[common])


def _minus(one: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.float64]:
    """Return differences of metrics, which are from 0 to 1; what is only rounding is none."""
    differences: NDArray[np.float64] = one.to_numpy(dtype=float) - other.to_numpy(dtype=float)
    differences[np.abs(differences) < _ROUNDING] = 0.0
    return differences
