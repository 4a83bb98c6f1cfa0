"""`Popularity`, the baseline that gives everybody one list: how many users each item has; no learning."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_real
from tripletrec._runtime.messages import shown
from tripletrec.data.id_arrays import keys_of
from tripletrec.data.interactions import Interactions
from tripletrec.data.union import joined_times
from tripletrec.models.baseline import Baseline
from tripletrec.models.fitted import freeze
from tripletrec.models.history_input import HistoryInput
from tripletrec.ranking.products import Products
from tripletrec.ranking.rows import FactorRows
from tripletrec.ranking.scores import ScoreUsers

__all__ = ["Popularity"]

Period = str | timedelta | np.timedelta64 | float

_TEXT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z]+)\s*")
_SECONDS = {"W": 604800.0, "D": 86400.0, "d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
_ALLOWED = "a period > 0, such as '14D', a timedelta or a number of seconds"


class Popularity(Baseline):
    r"""Items by how many users they have: what every other model must beat.

    The score of item i is, for all users alike,

    .. math:: s_i = \sum_{(u, i) \in X} 2^{-(T - t_{ui}) / h}, \qquad T - t_{ui} < w,

    with the time :math:`t_{ui}` of an interaction, the last time T, the half-life h and the window w; without
    `decay` and `window` it is the number of users who have the item.

    Parameters
    ----------
    window : str, timedelta or number of seconds, default None
        Count only events of the last so-long period of the timestamps, such as "14D"; None: all.
    decay : str, timedelta or number of seconds, default None
        Half-life: an event that is so much older than the last one counts half; None: all count alike.

    Attributes
    ----------
    item_popularity_ : float32 array of shape (n_items,)
        The scores.
    item_counts_ : int64 array of shape (n_items,)
        How many users each item has, without window and decay.
    seen_ : Interactions or None
        What it was fitted on, not a copy. None if it was loaded from a file that does not say it.
    n_users_, n_items_, n_features_in_ : int
        ``n_features_in_`` is the number of items.
    user_ids_, item_ids_ : array or None
        Ids of the data; None where they are the row numbers.

    Raises
    ------
    TypeError, ValueError
        In `fit`, if a parameter or the data is not allowed, or `window` or `decay` is given and the data has
        no timestamps; a fitted model stays as it was.

    Notes
    -----
    Timestamps that are numbers are taken for seconds. Equal items are in the order of ``item_ids_``.
    `recommend_history` gives the same list to everybody, without what each one has had. There are no similar
    items: `similar_items` and `similar_users` raise TypeError. Popularity of the training data as a whole
    flatters no model and is easily beaten where taste changes fast; there a window is the harder rival (Ji et
    al., "A re-visit of the popularity baseline in recommender systems", SIGIR 2020).

    Examples
    --------
    >>> import tripletrec as tr
    >>> log = {"user": [1, 2, 3, 1], "item": ["a", "a", "b", "c"], "time": [0, 0, 90_000, 90_000]}
    >>> data = tr.Interactions.from_frame(log, timestamp="time")
    >>> tr.Popularity().fit(data).recommend(2, k=2, exclude=None)
    (array(['a', 'b'], dtype='<U1'), array([2., 1.], dtype=float32))
    >>> tr.Popularity(window="1D").fit(data).recommend(2, k=2, exclude=None)
    (array(['b', 'c'], dtype='<U1'), array([1., 1.], dtype=float32))
    >>> tr.Popularity(decay="12h").fit(data).item_popularity_.round(2)
    array([0.47, 1.  , 1.  ], dtype=float32)
    """

    _learnt = ("item_popularity_",)
    item_popularity_: NDArray[np.float32]

    def __init__(self, window: Period | None = None, decay: Period | None = None) -> None:
        self.window = window
        self.decay = decay

    def _check_parameters(self) -> None:
        self._periods()

    def _periods(self) -> tuple[float | None, float | None]:
        """Return the window and the half-life in seconds."""
        window, decay = (
            None if each is None else _seconds(each, name)
            for name, each in (("window", self.window), ("decay", self.decay))
        )
        return window, decay

    def _learn(self, data: Interactions) -> None:
        window, half_life = self._periods()
        if window is None and half_life is None:
            scores = self.item_counts_.astype(np.float32)
        else:
            ages = _ages(data, "window" if half_life is None else "decay")
            weights = np.ones(len(ages)) if half_life is None else np.exp2(-ages / half_life)
            if window is not None:
                weights[ages >= window] = 0.0
            scores = np.bincount(data.indices, weights, data.n_items).astype(np.float32)
        self.item_popularity_ = scores

    def _check_continuable(self, seen: Interactions | None, new: Interactions) -> None:
        if self._periods() == (None, None):
            return
        if seen is None or seen.timestamps is None:
            raise ValueError(
                "partial_fit of a Popularity with window or decay needs the times of earlier events, which "
                "a file does not hold, nor a model that was given some without: fit it anew on all events"
            )
        self._check_times(seen, new)

    def _check_times(self, seen: Interactions | None, new: Interactions) -> None:
        if seen is None or seen.timestamps is None or self._periods() == (None, None):
            return
        if joined_times(seen, new) is not None:
            return
        kind = "dates" if seen.timestamps.dtype.kind == "M" else "numbers"
        raise ValueError(
            f"X must have timestamps that are {kind}, as those of earlier events, for a Popularity with "
            "window or decay: give them with Interactions.from_frame(..., timestamp=...)"
        )

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"item_popularity_": (self.n_items_,)}

    def _user_table(self) -> FactorRows:
        n_users = self.n_users_
        return FactorRows(self._once("ones", (n_users,), lambda: np.ones((n_users, 1), np.float32)))

    def _item_table(self) -> FactorRows:
        scores = self.item_popularity_

        def column() -> NDArray[np.float32]:
            freeze(scores)
            return scores[:, None]

        return FactorRows(self._once("column", (scores,), column))

    def _score_function(self) -> ScoreUsers:
        return self._factor_scores()

    def _popularity(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the list of users without training data, which is that of all others."""
        scores = self.item_popularity_
        return self._once(
            "popularity", (scores,), lambda: (np.argsort(-scores, kind="stable"), scores)
        )

    def _encode_histories(self, histories: HistoryInput) -> NDArray[np.float32]:
        return np.ones((histories.n, 1), np.float32)

    def _scores_of(self, rows: NDArray[np.float32]) -> ScoreUsers:
        return Products(rows, self._panels(self._item_table(), "item"))

    def _with_rows(self, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {}

    def _likeness(self, word: str) -> NoReturn:
        raise TypeError(
            f"a Popularity has no similar {word}s, for it knows of items only how many users they have: use "
            "another model, such as EASE"
        )

    def _vectors(self, word: str, rows: Any) -> NDArray[np.float32]:
        table = self._user_table() if word == "user" else self._item_table()
        return table.table[rows].copy()

    @property
    def _has_biases(self) -> bool:
        return True


def _ages(data: Interactions, name: str) -> NDArray[np.float64]:
    """Return how many seconds older each interaction is than the last one."""
    times = data.timestamps
    if times is None:
        raise ValueError(
            f"{name} needs the times of the interactions, and X has no timestamps: give them with "
            "Interactions.from_frame(..., timestamp=...)"
        )
    if times.dtype.kind == "M":
        ticks = times.view(np.uint64)  # in which differences of more than 292 years do not wrap
        return (ticks[times.argmax()] - ticks) / 1e9
    return float(times.max()) - times.astype(np.float64)


def _seconds(period: Any, name: str) -> float:
    """Return a period in seconds."""
    if isinstance(period, str):
        seconds = _seconds_of_text(period)
    elif isinstance(period, np.timedelta64):  # which is an Integral, too
        seconds = _seconds_of_numpy(period, name)
    elif isinstance(period, timedelta):
        seconds = period.total_seconds()
    else:
        seconds = check_real(period, name, _ALLOWED)
    if not seconds > 0.0:
        raise ValueError(f"{name} must be {_ALLOWED}, got {shown(period)}")
    return seconds


def _seconds_of_numpy(period: np.timedelta64, name: str) -> float:
    """Return the seconds of a period of NumPy, whose own division may overflow; 0 if it is missing."""
    if np.isnat(period):
        return 0.0
    (key,) = keys_of(np.atleast_1d(period))
    if not isinstance(key, int):
        raise ValueError(
            f"{name} must have a unit of fixed length, weeks (W) or a shorter one, got {shown(period)}"
        )
    return key / 10**18


def _seconds_of_text(text: str) -> float:
    """Return the seconds of a period such as "14D"; 0 if it is none."""
    simple = _TEXT.fullmatch(text)
    if simple is not None and simple[2] in _SECONDS:
        return float(simple[1]) * _SECONDS[simple[2]]
    import pandas as pd  # here, because most periods do without

    from tripletrec.splits.timeline import has_unit

    if not has_unit(text):
        return 0.0
    try:
        return float(pd.Timedelta(text).total_seconds())
    except (ValueError, OverflowError):
        return 0.0
