"""Ids of a column that comes in pieces: collected, counted, sorted, numbered; whole ones are in `frames`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.foreign import Dictionary
from tripletrec.data.frames import distinct_ids, sorted_ids
from tripletrec.data.id_arrays import id_array
from tripletrec.data.ids import Ids

__all__ = ["Collected", "Known", "Numbers"]

# A table by the id itself must not be much larger than the ids.
_MOST_EMPTY = 4


class Collected:
    """All ids of one column of a table that comes in pieces, each once, and in how many rows it is.

    Parameters
    ----------
    name : str
        Of the column.
    word : {"user", "item"}
    """

    def __init__(self, name: Any, word: str) -> None:
        self._name, self._word = name, word
        self._parts: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        self._n_new = 0

    def add(self, column: Any) -> None:
        """Take a piece of the column as `checked_columns` returns it."""
        found, counts = self._distinct(column, None)
        self._parts.append((found, counts))
        self._n_new += len(found)
        # As rarely as the ids double, so that the time is that of the pieces alone.
        if self._n_new > len(self._parts[0][0]):
            self._merge()

    def sorted(self) -> tuple[Ids, NDArray[np.int64]]:
        """Return the ids, sorted, and the number of rows of each."""
        self._merge()
        found, counts = self._parts.pop()
        order, ids = sorted_ids(id_array(found, self._label), self._name, self._word)
        return ids, counts[order]

    @property
    def _label(self) -> str:
        return f"column {self._name!r}"

    def _distinct(
        self, column: Any, counts: NDArray[np.int64] | None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the distinct ids of a column and the sum of the counts of each; None: all count 1."""
        if (low := _lowest(column)) is not None:
            sums = np.bincount(_places(column, low), counts)
            there = np.flatnonzero(sums)
            return (there + low).astype(column.dtype), sums[there].astype(np.int64)
        codes, found = distinct_ids(column, self._label)
        sums = np.bincount(codes, counts, len(found)).astype(np.int64)
        # Texts stay objects, which are shared where an array of them is copied.
        if isinstance(found, np.ndarray) and found.dtype.kind in "biuO":
            return found, sums
        return id_array(found, self._label), sums

    def _merge(self) -> None:
        if len(self._parts) > 1:
            parts = [found for found, _ in self._parts]
            counts = np.concatenate([each for _, each in self._parts])
            self._parts = []
            self._parts = [self._distinct(np.concatenate(parts), counts)]
        self._n_new = 0


class Known:
    """The rows of ids of a column that comes in pieces among ids that are known beforehand."""

    def __init__(self, ids: Ids, name: Any) -> None:
        self._ids, self._label = ids, f"column {name!r}"

    def rows(self, column: Any) -> NDArray[np.int32]:
        """Return the row of each id of a piece, -1 where it is unknown."""
        codes, found = distinct_ids(column, self._label)
        if not isinstance(column, Dictionary):  # of which the elements are ids already, texts
            found = id_array(found, self._label)
        return self._find(found).astype(np.int32)[codes]

    def _find(self, found: NDArray[Any]) -> NDArray[np.integer]:
        return self._ids.find(found)


class Numbers(Known):
    """The same of the ids that `Collected` found in the same column: what is unknown came in meanwhile."""

    def __init__(self, ids: Ids, name: Any) -> None:
        super().__init__(ids, name)
        values: Any = ids.values
        self._values: NDArray[Any] = values
        self._table: NDArray[np.int32] | None = None
        self._low = _lowest(self._values)
        if self._low is not None:
            places = _places(self._values, self._low)
            self._table = np.full(places[-1] + 1, -1, np.int32)
            self._table[places] = np.arange(len(self._values))

    def rows(self, column: Any) -> NDArray[np.int32]:
        """Return the row of each id of a piece, -1 where it is unknown."""
        if self._table is None or self._low is None or not isinstance(column, np.ndarray):
            return super().rows(column)
        places = _places(column, self._low)
        outside = places.view(np.uint64) >= len(self._table)
        if outside.any():
            places[outside] = 0
            return np.where(outside, np.int32(-1), self._table[places])
        return self._table[places]

    def _find(self, found: NDArray[Any]) -> NDArray[np.integer]:
        if self._values.dtype.kind not in "biufmM":
            return super()._find(found)
        places = np.minimum(np.searchsorted(self._values, found), len(self._values) - 1)
        return np.where(self._values[places] == found, places, -1)


def _lowest(ids: Any) -> np.int64 | None:
    """Return the lowest of whole numbers that lie close together; None: they are far apart, or no such."""
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or not len(ids):
        return None
    low, high = int(ids.min()), int(ids.max())
    if high - low >= _MOST_EMPTY * len(ids):
        return None
    return np.int64(low if low < 2**63 else low - 2**64)


def _places(ids: NDArray[Any], low: np.int64) -> NDArray[np.int64]:
    # What int64 cannot hold wraps around, and the difference is right again.
    return ids.astype(np.int64) - low
