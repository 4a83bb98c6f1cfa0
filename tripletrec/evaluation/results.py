"""What `evaluate` returns: means, numbers per user, intervals, groups, and all lists together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from tripletrec._checks import Seed
    from tripletrec.evaluation.measured import Measured
    from tripletrec.evaluation.resampling import IntervalMethod

__all__ = ["Evaluation"]


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What `evaluate` returns.

    Attributes
    ----------
    mean : pandas.Series
        Each metric averaged over the users for whom it is defined.
    per_user : pandas.DataFrame
        One row per evaluated user, indexed by user id; one column per metric.
    by : pandas.DataFrame or None
        With `by`: one row for each group, with the number of users and the mean of each metric.
    sampled : int or None
        With `sampled`: how many other items the positives of a user were ranked against at most, all where
        there are fewer. Such numbers are biased.
    """

    mean: pd.Series
    per_user: pd.DataFrame
    by: pd.DataFrame | Any = None  # not None if asked for
    sampled: int | None = None
    _make_lists: Callable[[], pd.DataFrame] | None = field(default=None, init=False)
    _measure: Callable[[], Measured] | None = field(default=None, init=False)
    _kept: dict[str, Any] = field(default_factory=dict, init=False)

    def __repr__(self) -> str:
        how = ""
        if self.sampled is not None:
            how = (
                f", whose positives were ranked against up to {self.sampled} sampled items each: biased, not "
                "to be compared with full rankings"
            )
        return f"Evaluation of {len(self.per_user)} users{how}\n{self.mean.to_string()}"

    def interval(
        self,
        level: float = 0.95,
        *,
        n_resamples: int = 1000,
        method: IntervalMethod = "bca",
        random_state: Seed = 0,
    ) -> pd.DataFrame:
        """Return between what the mean of each metric lies: a bootstrap over users.

        Parameters
        ----------
        level : float, default 0.95
            In how many of all cases such an interval holds the mean over all users that might have been
            tested.
        n_resamples : int, default 1000
            How often as many users as there are are drawn with replacement.
        method : {"bca", "percentile"}, default "bca"
            Bias-corrected and accelerated [1]_, or the plain quantiles of the resampled means.
        random_state : int, RandomState, Generator or None, default 0
            Source of the draws; the same number gives the same interval.

        Returns
        -------
        pandas.DataFrame
            A row for each metric, with the columns "mean", "low" and "high"; NaN where it is undefined for
            all users.

        Raises
        ------
        ValueError, TypeError
            If an argument is not allowed.

        Notes
        -----
        The interval tells of the choice of users, not of the training: another seed or another split may move
        the mean further. Two models are compared by their differences, see `tripletrec.compare`, for
        intervals that overlap say little. With some ten users or fewer no bootstrap is to be trusted.

        References
        ----------
        .. [1] Efron. "Better bootstrap confidence intervals", JASA 82, 1987.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
        >>> train, test = tr.splits.train_test_split(data, random_state=0)
        >>> found = tr.evaluate(tr.Popularity().fit(train), test).interval(0.95)
        >>> bool((found["low"] < found["mean"]).all() and (found["mean"] < found["high"]).all())
        True
        """
        import pandas as pd

        from tripletrec.evaluation.resampling import bootstrap

        values = self.per_user.to_numpy(dtype=float)
        found = bootstrap(values, level, n_resamples, method, random_state)
        columns = {"mean": self.mean.to_numpy(), "low": found.low, "high": found.high}
        return pd.DataFrame(columns, index=self.mean.index)

    @property
    def lists(self) -> pd.DataFrame:
        """All lists that the evaluated users would get together, as a table with a row for each k.

        Made when it is first asked for, by ranking once more. Its columns are

        - ``coverage``: share of the items that are in a list;
        - ``gini``: how unevenly the places in lists are dealt to items, 0 if all get the same, nearly 1 if
          one gets all;
        - ``novelty``: mean self-information of the recommended items, -log2 of the share of users who have
          the item in training (of one that nobody has, as if one had it) (Zhou et al., PNAS 107, 2010);
        - ``long_tail``: share of the places that go to items outside the short head, the fewest items with 80
          % of all training interactions (Abdollahpouri et al., "Managing popularity bias in recommender
          systems with personalized re-ranking", FLAIRS 2019);
        - ``popularity_overlap``: share of a list that is in the list of the most popular items for that user,
          too.

        Novelty, long tail and popularity go by what a fitted model has seen (``seen_``, that of added users
        too), for factors and functions by `exclude` if that is interactions or a matrix, else by `test`. Of a
        model that does not know what it has seen they go by ``item_counts_``, and by all of its users, those
        that were added too. All but the first two are means over users. "All items" are the candidates where
        there are some.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
        >>> train, test = tr.splits.train_test_split(data, random_state=0)
        >>> lists = tr.evaluate(tr.Popularity().fit(train), test, k=5).lists
        >>> float(lists.loc[5, "popularity_overlap"])
        1.0
        """
        if "lists" not in self._kept:
            if self._make_lists is None:
                raise ValueError(
                    "lists were not asked for before this evaluation was pickled, without the model: ask for "
                    ".lists first, or evaluate again"
                )
            self._kept["lists"] = self._make_lists()
        lists: pd.DataFrame = self._kept["lists"].copy()
        return lists

    @property
    def _measured(self) -> Measured | None:
        """On what and how it was measured, found when it is first asked for; None: not known."""
        if "measured" not in self._kept and self._measure is not None:
            self._kept["measured"] = self._measure()
        return self._kept.get("measured")

    def _with(
        self, make: Callable[[], pd.DataFrame], measure: Callable[[], Measured] | None = None
    ) -> Evaluation:
        """Say how the lists are made, and what finds out how all was measured; for `evaluate`."""
        vars(self).update(_make_lists=make, _measure=measure)
        return self

    def __getstate__(self) -> dict[str, Any]:
        kept = {**self._kept, "measured": self._measured}  # without the two that hold the model
        return {**vars(self), "_kept": kept, "_make_lists": None, "_measure": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
