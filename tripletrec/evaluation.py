"""Exact metrics of any model, full AUC and top-k, from one pass over its scores; counting is in `ranking`.

For each positive ``p`` of a user, among the candidates (all items but the excluded ones), let ::

    greater(p) = number of candidates with a higher score
    equal(p)   = number of other candidates with the same score

All metrics follow from these two counts. With ``P`` positives and ``N`` negatives among the
candidates::

    AUC = 1 - (sum_p (2 greater(p) + equal(p)) - P (P - 1)) / (2 P N)

The sum counts each pair of positives as 2, whichever of them is ahead. Subtracting ``P (P - 1)`` leaves
the pairs of a positive and a negative: AUC is the Mann-Whitney statistic with ties 1/2 (Hanley and
McNeil, Radiology 143, 1982), averaged over users as in Rendle et al., "BPR" (UAI 2009), eq. 1.
Ranks are exact, over all candidates: metrics on a sample of negatives may order models wrongly
(Krichene and Rendle, "On sampled metrics for item recommendation", KDD 2020).

Candidates with equal scores may stand in any order. Every metric is the mean over all their orders, which
`ranking.ties` computes exactly, after McSherry and Najork, "Computing information retrieval performance
measures efficiently in the presence of tied scores" (ECIR 2008). So a model that gives all items one score
gets what chance would give, whatever the numbers of the items; AUC's 1/2 says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tripletrec._checks import check_count, check_cutoffs, check_n_jobs
from tripletrec._runtime.messages import shown, warn_user
from tripletrec._runtime.progress import Progress
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.space import Space, check_same_space
from tripletrec.ranking.exclusion import Pairs, names_seen, read_exclude, seen_by

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Evaluation",
    "all_known",
    "check_metric",
    "drop_known",
    "evaluate",
    "full_auc",
    "mean_metric",
]

_PLAIN = ("auc", "mrr")
_AT_K = ("precision", "recall", "ndcg", "map", "hit_rate")


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What `evaluate` returns.

    Attributes
    ----------
    mean : pandas.Series
        Each metric averaged over the users for whom it is defined.
    per_user : pandas.DataFrame
        One row per evaluated user, indexed by user id; one column per metric.
    """

    mean: pd.Series
    per_user: pd.DataFrame

    def __repr__(self) -> str:
        return f"Evaluation of {len(self.per_user)} users\n{self.mean.to_string()}"


def full_auc(
    model: Any,
    test: Any,
    exclude: Any = "seen",
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> float:
    """Return the mean over users of the probability that a positive outranks a negative.

    Ties count 1/2: per user it equals scikit-learn's ``roc_auc_score``. Users without a positive
    or without a negative are left out of the mean.

    Parameters
    ----------
    model, test, exclude, n_jobs, verbose
        As in `evaluate`.

    Returns
    -------
    float
        From 0 to 1; 0.5 is chance.

    Raises
    ------
    ValueError
        As in `evaluate`, and if no user has both a positive and a negative.

    Examples
    --------
    >>> import numpy as np
    >>> import tripletrec as tr
    >>> U, V = np.array([[1.0], [-1.0]]), np.array([[3.0], [2.0], [1.0]])
    >>> tr.full_auc((U, V), np.array([[1, 0, 0], [0, 1, 0]]))
    0.75
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(train)
    >>> tr.full_auc(model, test) == tr.full_auc(model, test, train) != tr.full_auc(model, test, None)
    True
    """
    standing = _rank_positives(model, test, exclude, n_jobs, verbose)
    _warn_of_constant_scores(standing)
    aucs = _auc(standing)
    if np.isnan(aucs).all():
        raise ValueError("no user in test has a negative: AUC is undefined")
    return _mean(aucs)


def evaluate(
    model: Any,
    test: Any,
    exclude: Any = "seen",
    *,
    k: int | ArrayLike = 10,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Evaluation:
    """Return all ranking metrics of a model, per user and on average, from one pass.

    Parameters
    ----------
    model : estimator, tuple or callable
        A fitted estimator; arrays ``(U, V)`` or ``(U, V, b)`` from any library, of shapes
        (n_users, n_factors), (n_items, n_factors) and (n_items,), that score ``U @ V.T + b``; or
        a function from an int64 array of row numbers to scores of shape (len(rows), n_items).
        Scores are compared in their own precision. A function may return infinite scores.
    test : Interactions, sparse matrix or array of shape (n_users, n_items)
        The positives to rank.
    exclude : "seen", None, interactions or a matrix of the same shape, item ids, or a tuple, default "seen"
        Items left out of the ranking of a user. "seen": what a fitted model was trained on (``model.seen_``);
        factors and functions know nothing of that, so that for them nothing is left out. None: nothing, so
        that training positives count as negatives. Interactions: these alone; item ids: these for all users;
        ``("seen", interactions)`` or ``("seen", ids)``: both. An item that is in both `test` and `exclude` is
        left out like any other: it counts neither as a positive nor as a negative, and a warning says how
        many there are.
    k : int or sequence of int, default 10
        Lengths of the lists that the top-k metrics are computed for; at most 2**31 - 1.
    n_jobs : int, optional
        Number of threads; None: one where there is little work, else all cores; -1: all cores. Functions
        and networks are called for one batch of users after the other. The result does not depend on it.
    verbose : int, default 0
        1: a progress bar on standard error, if it takes longer than a second.

    Returns
    -------
    Evaluation
        ``.mean``, a Series, and ``.per_user``, a DataFrame without the users who have no positive
        (after exclusion). With ``rank`` from 1, ``P`` positives and ``hits@k`` of them among the
        first k, the columns are the means over all orders of candidates with equal scores (McSherry and
        Najork, ECIR 2008) of

        - ``auc``: probability that a positive outranks a negative; NaN for a user without
          a negative, who is left out of its mean;
        - ``mrr``: 1 / rank of the first positive, over the whole ranking (Voorhees, TREC-8, 1999);

        and for each k

        - ``precision@k``: hits@k / k, also if fewer than k candidates remain;
        - ``recall@k``: hits@k / P;
        - ``ndcg@k``: sum of 1 / log2(rank + 1) over the hits, divided by its largest possible
          value, the same sum over ranks 1 ... min(P, k) (Jarvelin and Kekalainen, TOIS 2002);
        - ``map@k``: mean average precision, sum over the hits of hits@rank / rank, divided by
          min(P, k) (Manning et al., Introduction to Information Retrieval, 2008, ch. 8.4);
        - ``hit_rate@k``: 1 if hits@k > 0 else 0.

    Raises
    ------
    ValueError
        If shapes or ids disagree, a factor is not finite, a score is NaN, or no user has a
        positive (after exclusion), as where a model is to be evaluated on what it was trained on.
    TypeError
        If `model` is none of the above or its numbers are not real.

    Warns
    -----
    UserWarning
        If positives of `test` are in `exclude` too, or if all scores of each user are equal. Once for a
        model that does not know what it was trained on, because its file was saved with ``seen=False``.

    Notes
    -----
    Each thread holds the scores of one batch of users at a time: up to eight million, 32 MB in
    float32, or of 16 users where those are more.

    Examples
    --------
    >>> import numpy as np
    >>> import tripletrec as tr
    >>> popularity = np.array([5.0, 3.0, 1.0])
    >>> test = np.array([[0, 1, 1], [0, 0, 0]])
    >>> result = tr.evaluate(lambda users: np.tile(popularity, (len(users), 1)), test, k=2)
    >>> result.mean[["recall@2", "mrr"]].tolist()
    [0.5, 0.5]
    """
    cutoffs = check_cutoffs(k)
    standing = _rank_positives(model, test, exclude, n_jobs, verbose)
    _warn_of_constant_scores(standing)
    columns = {"auc": _auc(standing), **_top_metrics(standing, cutoffs)}

    import pandas as pd

    per_user = pd.DataFrame(columns, index=pd.Index(standing.user_ids, name="user"))
    mean = pd.Series({name: _mean(values) for name, values in columns.items()}, name="mean")
    return Evaluation(mean, per_user)


def mean_metric(
    model: Any, test: Interactions, exclude: Interactions, metric: str, n_jobs: int | None
) -> float:
    """Return the mean of one metric, as `evaluate` does; NaN where it is undefined; warns of nothing."""
    standing = _rank_positives(model, test, exclude, n_jobs)
    if metric == "auc":
        return _mean(_auc(standing))
    return _mean(_top_metrics(standing, (check_metric(metric, "metric"),))[metric])


def drop_known(test: Interactions, exclude: Interactions, names: tuple[str, str]) -> Interactions:
    """Return `test` without the positives that are in `exclude` too; warn if there are any.

    `names` are what a user calls the two.
    """
    from tripletrec.ranking.ranks import absent_from

    kept = absent_from(exclude.indptr, exclude.indices, test.indptr, test.indices)
    if kept.all():
        return test
    if not kept.any():
        raise ValueError(f"no user can be evaluated: {names[1]} holds all positives of {names[0]}")
    rest = test[kept]
    _warn_of_overlap(test, len(rest.indices), int(np.count_nonzero(np.diff(rest.indptr))), names)
    return rest


def all_known(test: Interactions, seen: Interactions | None) -> bool:
    """Tell whether there are positives in `test` and all of them are in `seen`, too."""
    if seen is None or test.n_users != seen.n_users or not test.nnz:
        return False
    from tripletrec.ranking.ranks import absent_from

    return not absent_from(seen.indptr, seen.indices, test.indptr, test.indices).any()


def _warn_of_overlap(test: Interactions, n_left: int, n_users: int, names: tuple[str, str]) -> None:
    n_all, n_lost = len(test.indices), np.count_nonzero(np.diff(test.indptr)) - n_users
    if n_left < n_all:
        warn_user(
            f"{n_all - n_left} of {n_all} positives in {names[0]} are in {names[1]} too and are left "
            f"out; {n_lost} users have none left"
        )


def check_metric(metric: Any, name: str) -> int:
    """Return a k for which `evaluate` has the column `metric`.

    Parameters
    ----------
    metric : str
        "auc", "mrr" or, with a whole number k >= 1, one of "precision@k", "recall@k", "ndcg@k",
        "map@k" and "hit_rate@k".
    name : str
        What the error message calls it.

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    stem, _, k = metric.partition("@") if isinstance(metric, str) else ("", "", "")
    if metric in _PLAIN:
        return 1
    # A leading zero would not be in the name of the column.
    if stem in _AT_K and k.isascii() and k.isdigit() and k[0] != "0":
        return int(k)
    known = ", ".join([*_PLAIN, *(f"{each}@k" for each in _AT_K)])
    raise ValueError(f"{name} must be one of {known} with an integer k >= 1, got {shown(metric)}")


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


class _Standing(NamedTuple):
    """Where the positives of the evaluated users stand, in the words of the module docstring."""

    user_ids: NDArray[Any]
    bounds: NDArray[np.int64]  # user number n has the positives bounds[n] : bounds[n + 1]
    n_negatives: NDArray[np.int64]
    greater: NDArray[np.int64]
    equal: NDArray[np.int64]


def _rank_positives(
    model: Any, test: Any, exclude: Any, n_jobs: int | None, verbose: int = 0
) -> _Standing:
    # Here, because a fit without validation does without kernels of evaluation.
    from tripletrec.ranking.ranks import count_outranking, positives_without
    from tripletrec.ranking.scores import score_function

    test = as_interactions(test, "test")
    test.check_not_empty("test")
    n_users, n_items = test.n_users, test.n_items
    if hasattr(model, "_now") and not isinstance(model, type):
        model = model._now()  # what other threads add meanwhile does not matter
    score_users = score_function(model, n_users, n_items)
    ids = getattr(model, "user_ids_", None), getattr(model, "item_ids_", None)
    check_same_space(test.space, Space(n_users, n_items, *ids), "test", "the model")
    out = _left_out(model, test, exclude)
    positives = positives_without(test.indptr, test.indices, *out)
    users, bounds = positives.users, positives.bounds
    by_seen = isinstance(exclude, str)
    if not len(users):
        why = "exclude holds all positives of test"
        if by_seen:
            why = (
                "the model was trained on all positives of test, and what it has seen is left out: "
                "exclude=None counts it"
            )
        raise ValueError(f"no user can be evaluated: {why}")
    name = "what the model was trained on" if by_seen else "exclude"
    _warn_of_overlap(test, len(positives.items), len(users), ("test", name))
    n_jobs = check_n_jobs(n_jobs, work=10.0 * len(positives.items) * n_items)
    bar = check_count(verbose, "verbose", 0) > 0
    with Progress(len(users), "evaluating", "user", shown=bar, delay=1.0) as progress:
        counts = count_outranking(score_users, n_items, positives, n_jobs, advance=progress.advance)
    n_negatives = n_items - np.diff(out[0])[users] - np.diff(bounds)
    user_ids = users if test.user_ids is None else test.user_ids[users]
    return _Standing(user_ids, bounds, n_negatives, *counts)


def _left_out(model: Any, test: Interactions, exclude: Any) -> Pairs:
    """Return the items that are left out of the ranking of each user."""
    seen = seen_by(model) if names_seen(exclude) and hasattr(model, "_score_function") else None
    if isinstance(seen, Interactions):
        seen.check_still_inside("what the model was trained on")
    out = read_exclude(exclude, seen, test.space, test._items, owner="test")
    return out.of_all(test.n_users)


def _warn_of_constant_scores(standing: _Standing) -> None:
    firsts, n_positives = standing.bounds[:-1], np.diff(standing.bounds)
    n_others = standing.n_negatives + n_positives - 1
    if n_others.any() and (standing.equal[firsts] == n_others).all():
        warn_user(
            f"the scores are constant: each of the {len(firsts)} users evaluated has one score for all "
            "candidates, and all metrics are those of chance"
        )


def _auc(standing: _Standing) -> NDArray[np.float64]:
    n_positives = np.diff(standing.bounds)
    twice_lost = np.add.reduceat(2 * standing.greater + standing.equal, standing.bounds[:-1])
    twice_lost -= n_positives * (n_positives - 1)
    aucs = np.full(len(n_positives), np.nan)
    some = standing.n_negatives > 0
    aucs[some] = 1 - twice_lost[some] / (2.0 * n_positives * standing.n_negatives)[some]
    return aucs


def _top_metrics(standing: _Standing, cutoffs: tuple[int, ...]) -> dict[str, NDArray[np.float64]]:
    from tripletrec.ranking.ties import Ties  # here for the reason given in `_rank_positives`

    n_users, n_positives = len(standing.n_negatives), np.diff(standing.bounds)
    ties = Ties.of(standing.bounds, standing.greater, standing.equal, max(cutoffs))
    first = ties.first()
    metrics = {"mrr": first.reciprocal_ranks()}
    gains = np.concatenate(([0.0], 1 / np.log2(np.arange(2, n_positives.max() + 2))))
    ideal = np.cumsum(gains)
    values = {}
    for k in cutoffs:
        reachable = np.minimum(n_positives, k)
        hits, gain, precision = (
            np.bincount(ties.user, weights, n_users)
            for weights in (ties.hits(k), ties.gains(k), ties.precisions(k))
        )
        values[f"precision@{k}"] = hits / k
        values[f"recall@{k}"] = hits / n_positives
        values[f"ndcg@{k}"] = gain / ideal[reachable]
        values[f"map@{k}"] = precision / reachable
        values[f"hit_rate@{k}"] = first.any_hit(k)
    return metrics | {f"{name}@{k}": values[f"{name}@{k}"] for name in _AT_K for k in cutoffs}
