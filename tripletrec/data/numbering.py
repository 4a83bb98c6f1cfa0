"""Ids of a column that comes in pieces: collected, counted, sorted, numbered; whole ones are in `frames`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        codes, found = distinct_ids(column, self._label)
        self._parts.append((self._plain(found), np.bincount(codes, minlength=len(found))))
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

    def _plain(self, found: Any) -> NDArray[Any]:
        # Texts stay objects, which are shared where an array of them is copied.
        if isinstance(found, np.ndarray) and found.dtype.kind in "biufO":
            return found
        return id_array(found, self._label)

    def _merge(self) -> None:
        if len(self._parts) > 1:
            parts = [found for found, _ in self._parts]
            counts = np.concatenate([each for _, each in self._parts])
            self._parts = []
            codes, found = distinct_ids(np.concatenate(parts), self._label)
            # Whole numbers of float64 are exact up to 2**53.
            sums = np.bincount(codes, counts, len(found)).astype(np.int64)
            self._parts = [(self._plain(found), sums)]
        self._n_new = 0


class Known:
    """The rows of ids of a column that comes in pieces among ids that are known beforehand."""

    def __init__(self, ids: Ids, name: Any) -> None:
        self._ids, self._label = ids, f"column {name!r}"

    def rows(self, column: Any) -> NDArray[np.int32]:
        """Return the row of each id of a piece, -1 where it is unknown."""
        codes, found = distinct_ids(column, self._label)
        return self._find(id_array(found, self._label)).astype(np.int32)[codes]

    def _find(self, found: NDArray[Any]) -> NDArray[np.integer]:
        return self._ids.find(found)


class Numbers(Known):
    """The same of the ids that `Collected` found in the same column: what is unknown came in meanwhile."""

    def __init__(self, ids: Ids, name: Any) -> None:
        super().__init__(ids, name)
        values: Any = ids.values
        self._values: NDArray[Any] = values
        self._table: NDArray[np.int32] | None = None
        if self._values.dtype.kind in "iu":
            low, high = int(self._values[0]), int(self._values[-1])
            if high - low < _MOST_EMPTY * len(self._values):
                self._low = np.array(low % 2**64, np.uint64).astype(np.int64)
                table = np.full(high - low + 1, -1, np.int32)
                table[self._places(self._values)] = np.arange(len(self._values))
                self._table = table

    def rows(self, column: Any) -> NDArray[np.int32]:
        """Return the row of each id of a piece, -1 where it is unknown."""
        if self._table is None or not isinstance(column, np.ndarray):
            return super().rows(column)
        places = self._places(column)
        outside = places.view(np.uint64) >= len(self._table)
        if outside.any():
            places[outside] = 0
            return np.where(outside, np.int32(-1), self._table[places])
        return self._table[places]

    def _places(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        # What int64 cannot hold wraps around, and the difference is right again.
        return ids.astype(np.int64) - self._low

    def _find(self, found: NDArray[Any]) -> NDArray[np.integer]:
        if self._values.dtype.kind not in "biufmM":
            return super()._find(found)
        places = np.minimum(np.searchsorted(self._values, found), len(self._values) - 1)
        return np.where(self._values[places] == found, places, -1)
