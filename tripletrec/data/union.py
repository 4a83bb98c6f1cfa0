"""Interactions and later ones of the same users and items and of new ones as one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.csr import assemble
from tripletrec.data.id_arrays import plain
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions

__all__ = ["MergedData", "Merger", "check_kinds", "joined_times"]

_KINDS = {
    "U": "strings",
    "i": "numbers",
    "u": "numbers",
    "f": "numbers",
    "b": "booleans",
    "M": "dates",
    "m": "durations",
}


class MergedData(NamedTuple):
    """Old and new interactions as one.

    Parameters
    ----------
    data : Interactions
        All of them: a pair that is among both is there once, with the sum of the values and the later time.
    places : int64 array
        Where each of the new interactions is, in their order.
    """

    data: Interactions
    places: NDArray[np.int64]


class Merger:
    """The users and items that a model knows, and behind them, in their order, those that only X has.

    Parameters
    ----------
    users, items : Ids
        Those that the model knows.
    X : Interactions
        With ids of its own, in any order. Without ids, row numbers: those of the model.

    Attributes
    ----------
    users, items : Ids
        All of them. The same object as was given if there is no new one.
    user_rows, item_rows : int64 arrays
        The row among them of each user and item of X.

    Raises
    ------
    ValueError
        If `X` has ids and the model has none; if only the model has ids, and they differ in number; if
        neither has any, and `X` has fewer rows.
    TypeError
        If the ids are of another kind, such as numbers beside strings.

    Examples
    --------
    >>> from tripletrec.data.ids import Ids
    >>> from tripletrec.data.interactions import Interactions
    >>> old = Interactions.from_frame({"user": ["bob", "eve"], "item": [7, 3]})
    >>> new = Interactions.from_frame({"user": ["ann", "bob"], "item": [3, 5]})
    >>> merger = Merger(Ids(old.user_ids, 2, "user"), Ids(old.item_ids, 2, "item"), new)
    >>> merger.users.values, merger.items.values
    (array(['bob', 'eve', 'ann'], dtype='<U3'), array([3, 7, 5]))
    >>> merged = merger.merge(old, new)
    >>> merged.data, merged.places
    (Interactions(3 users x 3 items, 4 positives, user ids, item ids), array([3, 1]))
    """

    def __init__(self, users: Ids, items: Ids, X: Interactions) -> None:  # noqa: N803
        self.users, self.user_rows = _extend(users, X.user_ids, X.n_users)
        self.items, self.item_rows = _extend(items, X.item_ids, X.n_items)

    def place(self, data: Interactions) -> Interactions:
        """Return interactions of the users and items of X as interactions of all users and items."""
        return self._assemble(*self._coordinates(data), data.values, data.timestamps)

    def merge(self, old: Interactions | None, new: Interactions) -> MergedData:
        """Return old interactions and new ones as one.

        Parameters
        ----------
        old : Interactions or None
            Of the first users and items; they may be fewer than the model knows.
        new : Interactions
            Of the users and items of X.
        """
        users, items = self._coordinates(new)
        keys = users * self.items.n + items
        if old is None or not old.nnz:
            data = self._assemble(users, items, new.values, new.timestamps)
        else:
            data = self._assemble(
                np.concatenate([old.rows, users]),
                np.concatenate([old.indices, items]),
                np.concatenate([old.values, new.values]),
                joined_times(old, new),
            )
        every = data.rows.astype(np.int64) * self.items.n + data.indices
        return MergedData(data, np.searchsorted(every, keys))

    def _coordinates(self, data: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.user_rows[data.rows], self.item_rows[data.indices]

    def _assemble(self, users: Any, items: Any, values: Any, times: Any) -> Interactions:
        axes = self.users, self.items
        rows = assemble((self.users.n, self.items.n), users, items, values, times, axes=axes)
        return Interactions._of_rows(rows, *axes)


def _extend(known: Ids, ids: NDArray[Any] | None, n: int) -> tuple[Ids, NDArray[np.int64]]:
    """Return all ids, and the row among them of each that X has."""
    word = known.word
    if ids is None:
        _check_numbers(known, n)
        more = known if n <= known.n else known.with_more(np.arange(known.n, n))
        return more, np.arange(n)
    if known.values is None:
        raise ValueError(
            f"X must have no {word} ids, for the model numbers its {word}s, 0 ... {known.n - 1}, "
            f"got the id {shown(plain(ids[0]))}: give it as a matrix, or by Interactions.from_arrays"
        )
    check_kinds(known.values, ids, word, "X")
    rows = known.find(ids)
    new = rows < 0
    if not new.any():
        return known, rows
    rows[new] = known.n + np.arange(np.count_nonzero(new))
    return known.with_more(ids[new]), rows


def _check_numbers(known: Ids, n: int) -> None:
    if known.values is not None and n != known.n:
        raise ValueError(
            f"X must have {known.word} ids, or exactly the {known.n} {known.word}s of the model, "
            f"got {n} without ids"
        )
    if n < known.n:
        raise ValueError(
            f"X must have at least the {known.n} {known.word}s of the model, which have no ids, "
            f"got {n}"
        )


def check_kinds(known: NDArray[Any], ids: NDArray[Any], word: str, name: str) -> None:
    """Raise if no id could be one of those that are known, as strings beside numbers."""
    left, right = _kinds(known), _kinds(ids)
    if left and right and not left & right:
        raise TypeError(
            f"{word} ids of {name} must be {' or '.join(sorted(left))}, as those of the model, got "
            f"{' and '.join(sorted(right))} such as {shown(plain(ids[0]))}"
        )


def _kinds(ids: NDArray[Any]) -> set[str]:
    if ids.dtype.kind in _KINDS:
        return {_KINDS[ids.dtype.kind]} if len(ids) else set()
    return {_kind_of(each) for each in ids.tolist()}


def _kind_of(each: Any) -> str:
    if isinstance(each, str):
        return "strings"
    if isinstance(each, bool):
        return "booleans"
    if isinstance(each, (int, float)):
        return "numbers"
    name = type(each).__name__
    return name if name.endswith("s") else f"{name}s"


def joined_times(old: Interactions, new: Interactions) -> NDArray[Any] | None:
    """Return the times of both, or None if one has none, or numbers and the other one dates.

    No interactions at all need no times.
    """
    some, others = old.timestamps, new.timestamps
    if not new.nnz:
        return some
    if some is None or others is None:
        return None
    if (some.dtype.kind == "M") != (others.dtype.kind == "M"):
        return None
    return np.concatenate([some, others])
