"""Ids of users or items: from row to id and back; how they come out of a table is in `frames`."""

from __future__ import annotations

from functools import cached_property
from numbers import Integral, Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.columns import python_value, to_array
from tripletrec.data.id_arrays import check_ids, id_array, key_of_date, keys_of, plain

__all__ = ["Ids", "is_single"]


class Ids:
    """Ids of the users or of the items.

    Parameters
    ----------
    values : sequence of n ids or None
        Unique; None: the ids are the row numbers.
    n : int or None
        Number of ids; None: as many as `values` holds.
    word : {"user", "item"}
        What error messages call them.

    Attributes
    ----------
    values : ndarray of shape (n,) or None
        The ids by row, read-only.
    n : int
        Number of rows.
    """

    def __init__(self, values: Any, n: int | None, word: str) -> None:
        self.word = word
        self.values: NDArray[Any] | None = None
        if values is not None:
            self.values = check_ids(values, f"{word}_ids", n)
            self.values.flags.writeable = False
            n = len(self.values)
        self.n = n or 0

    def __getstate__(self) -> dict[str, Any]:
        return {"n": self.n, "word": self.word, "values": self.values}  # not the lookup table

    @cached_property
    def _row_of(self) -> dict[Any, int]:
        known = [] if self.values is None else keys_of(self.values)
        return {each: row for row, each in enumerate(known)}

    def rows(self, ids: Any) -> NDArray[np.int64]:
        """Return the row of each id, int64 of shape (n_ids,).

        Parameters
        ----------
        ids : scalar, list, ndarray, iterator or pandas / polars / pyarrow column

        Raises
        ------
        ValueError
            If an id is unknown or missing.
        TypeError
            If `ids` is a set, which has no order, or an id is not hashable.
        """
        asked = self._asked(ids)
        rows = self._find(asked)
        if (rows < 0).any():
            raise ValueError(self.unknown(asked[int(rows.argmin())]))
        return rows

    def find(self, ids: Any) -> NDArray[np.int64]:
        """Return the row of each id as `rows` does, but -1 for an id that is unknown."""
        return self._find(self._asked(ids))

    def knows(self, each: Any) -> bool:
        """Return whether one thing, such as a tuple, is an id as it stands."""
        try:
            return self.values is not None and each in self._row_of
        except TypeError:  # not hashable
            return False

    def with_more(self, ids: NDArray[Any]) -> Ids:
        """Return these ids and others behind them, which are unique and none of these."""
        more = type(self)(None, self.n + len(ids), self.word)
        if self.values is None:
            return more
        old, name = self.values, f"{self.word}_ids"
        alike = old.dtype.kind == ids.dtype.kind and ids.dtype.itemsize <= old.dtype.itemsize
        if alike and old.dtype.kind not in "mM":
            more.values = np.concatenate([old, ids])
        else:
            more.values = id_array([*_each(old), *_each(ids)], name)
        more.values.flags.writeable = False
        return more

    def _asked(self, ids: Any) -> NDArray[Any]:
        if not is_single(ids):
            return to_array(ids, f"{self.word} ids", "ids")
        if isinstance(ids, np.ndarray):
            return to_array(np.atleast_1d(ids), f"{self.word} ids", "ids")
        one = np.empty(1, dtype=object)
        one[0] = python_value(ids)
        return one

    def _find(self, asked: NDArray[Any]) -> NDArray[np.int64]:
        if self.values is None:
            return self._numbers(asked)
        kind = self.values.dtype.kind
        keys = _keys(asked, kind)
        try:
            rows = np.fromiter((self._row_of.get(each, -1) for each in keys), np.int64, len(keys))
        except TypeError as error:
            raise TypeError(f"{self.word} ids must be hashable: {error}") from None
        if asked.dtype.kind in "mM" and kind not in "mM":
            # To NumPy 1 a date is equal to the number of its nanoseconds.
            numbers = [row >= 0 and isinstance(self.values[row], Number) for row in rows]
            rows[numbers] = -1
        return rows

    def _numbers(self, asked: NDArray[Any]) -> NDArray[np.int64]:
        if asked.dtype.kind not in "iu":
            nested = [each for each in asked if isinstance(each, (list, tuple, np.ndarray))]
            if nested:
                raise ValueError(
                    f"{self.word} ids must be one-dimensional, got {shown(nested[0])} among them"
                )
            rows = [each if _is_whole(each) and 0 <= each < self.n else -1 for each in asked]
            return np.array(rows, np.int64)
        known = (asked >= 0) & (asked < self.n)
        return np.where(known, asked, 0).astype(np.int64) - ~known

    def unknown(self, each: Any) -> str:
        """Return the sentence that says that an id is unknown, and which are known."""
        each = shown(plain(each))
        if self.values is None:
            return f"unknown {self.word} id {each}: ids are the whole numbers 0 ... {self.n - 1}"
        if self.n == 0:
            return f"unknown {self.word} id {each}: no id is known"
        first = shown(plain(self.values[0]))
        return f"unknown {self.word} id {each}: {self.n} ids are known, the first is {first}"


def _each(ids: NDArray[Any]) -> list[Any]:
    """Return ids one by one; dates keep their unit."""
    return list(ids) if ids.dtype.kind in "mM" else ids.tolist()


def _keys(asked: NDArray[Any], kind: str) -> list[Any]:
    """Return what stands for each id in the table of ids whose dtype is of this kind."""
    if kind in "mM":
        same = asked.dtype.kind == kind
        return keys_of(asked) if same else [key_of_date(each, kind) for each in asked]
    return list(asked) if asked.dtype.kind in "mM" else asked.tolist()


def is_single(ids: Any) -> bool:
    """Return whether `ids` is one id rather than a sequence of ids."""
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
        return True
    return getattr(ids, "ndim", 1) == 0


def _is_whole(each: Any) -> bool:
    return isinstance(each, Integral) and not isinstance(each, bool)
