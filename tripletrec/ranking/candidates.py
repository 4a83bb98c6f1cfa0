"""Which items are ranked: all, some for all users, or each user's own; what is left out is in `exclusion`."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import distinct
from tripletrec._runtime.messages import shown
from tripletrec.data.feature_tables import is_table
from tripletrec.data.ids import Ids, is_single
from tripletrec.ranking.exclusion import known_rows

__all__ = ["Candidates", "read_candidates"]


class Candidates(NamedTuple):
    """The rows of the items to choose from: for all users (None: all items), or for each of them."""

    shared: NDArray[np.int64] | None = None
    own: tuple[NDArray[np.int64], ...] | None = None

    def width(self, n_items: int) -> int:
        """Return how many different ones there are, of the users' own the most."""
        if self.own is not None:
            return max((len(each) for each in self.own), default=0)
        return n_items if self.shared is None else len(self.shared)

    def at(self, places: NDArray[np.int64]) -> Candidates:
        """Return those of some of the users who are asked for."""
        if self.own is None:
            return self
        return Candidates(None, tuple(self.own[place] for place in places))


def read_candidates(
    candidates: Any, items: Ids, n_asked: int, who: str = "users asked for"
) -> Candidates:
    """Return the items to choose from.

    Parameters
    ----------
    candidates : None, one list or set of item ids, or one for each user
        Ids are never lists: where the first element is one, there is one list for each user.
    items : Ids
    n_asked : int
        How many users there are.
    who : str, default "users asked for"
        What the error message calls them.

    Raises
    ------
    ValueError
        If an item is unknown or there is a list for more or fewer users.
    TypeError
        If it is a dict or a table, or holds one, or a Series of lists with an index of labels.
    """
    if candidates is None:
        return Candidates()
    allowed = f"one list of item ids, or one for each of the {n_asked} {who}"
    if is_table(candidates):
        raise TypeError(
            f"candidates must be {allowed}, in their order, got {shown(candidates)}: of a dict of lists use "
            "[candidates[user] for user in users]"
        )
    listed = [candidates] if is_single(candidates) else list(candidates)
    if not listed or is_single(listed[0]):
        return Candidates(distinct(known_rows(items, listed, "candidates")))
    _check_lists(listed, n_asked, allowed)
    _check_order(candidates, allowed)
    lists = [list(each) for each in listed]
    rows = known_rows(items, list(chain.from_iterable(lists)), "candidates")
    bounds = np.cumsum([len(each) for each in lists])[:-1]
    return Candidates(None, tuple(distinct(each) for each in np.split(rows, bounds)))


def _check_lists(listed: list[Any], n_asked: int, allowed: str) -> None:
    for each in listed:
        if is_table(each):
            raise TypeError(f"candidates must be {allowed}, got {shown(each)} among them")
    if len(listed) != n_asked or any(is_single(each) for each in listed):
        raise ValueError(
            f"candidates must be {allowed}, got {len(listed)} of which the first is {shown(listed[0])}"
        )


def _check_order(candidates: Any, allowed: str) -> None:
    """Raise if a Series says by its index whose lists they are: they are taken in their order."""
    index = getattr(candidates, "index", None)  # that of a list is a method
    if index is None or callable(index):
        return
    # Of some filtered Series the labels are a range, too; in which cases goes by the version of pandas.
    if type(index).__name__ != "RangeIndex" or (index.start, index.step) != (0, 1):
        raise TypeError(
            f"candidates must be {allowed}, in their order, got a Series with an index of labels, which is "
            "not read: use its loc[users].tolist()"
        )
