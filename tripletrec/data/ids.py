"""Ids of users or items: from row to id and back; how they come out of a table is in `frames`."""

from __future__ import annotations

from functools import cached_property
from itertools import repeat
from numbers import Integral, Number
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.columns import known_numbers, python_value, to_array
from tripletrec.data.id_arrays import (
    check_ids,
    each_of,
    id_array,
    index_of,
    joined_dates,
    key_of_date,
    keys_of,
    plain,
)

__all__ = ["Form", "Ids", "forms_of", "is_single", "where"]

Form: TypeAlias = Literal["texts", "numbers"] | None


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
            self._row_of = index_of(self.values, f"{word}_ids")
            self.values.flags.writeable = False
            n = len(self.values)
        self.n: int = n or 0
        self._n_scans = 0  # that look for one id among all, before a table is made

    @classmethod
    def trusted(cls, values: NDArray[Any], n: int, word: str) -> Ids:
        """Return ids that were checked when they were saved; to look at all of them again would take long."""
        ids = cls(None, n, word)
        if values.shape != (n,):
            raise ValueError(f"{word}_ids must have {n} ids, got {len(values)}")
        values.flags.writeable = False
        ids.values, ids._n_scans = values, _MOST_SCANS
        return ids

    @classmethod
    def of_sorted(cls, values: NDArray[Any], word: str) -> Ids:
        """Return ids that are checked and sorted already, and whose table is made when it is needed."""
        if values.dtype.kind == "O" or not (values[1:] > values[:-1]).all():
            return cls(values, None, word)
        return cls._of(values, word)

    @classmethod
    def _of(cls, values: NDArray[Any], word: str) -> Ids:
        new = cls(None, len(values), word)
        new.values = values
        new.values.flags.writeable = False
        return new

    def part(self, kept: NDArray[np.bool_]) -> Ids:
        """Return the ids of some rows; without ids, the numbers of the rows, unless all stay."""
        if kept.all():
            return self
        return self._of(
            np.flatnonzero(kept) if self.values is None else self.values[kept], self.word
        )

    @property
    def form(self) -> Form:
        """What all ids are: strings, whole numbers, or something else."""
        if self.values is None or self.values.dtype.kind in "iu":
            return "numbers"
        texts = self.values.dtype.kind in "OU" and all(
            isinstance(each, str) for each in self.values
        )
        return "texts" if texts else None

    def __getstate__(self) -> dict[str, Any]:
        state = {"n": self.n, "word": self.word, "values": self.values}  # not the lookup table
        return state | {"_n_scans": self._n_scans}

    @cached_property
    def _row_of(self) -> dict[Any, int]:
        return {} if self.values is None else index_of(self.values, f"{self.word}_ids")

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
            If `ids` is a set, which has no order, or a dict, or an id is not hashable.
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

    def called(self, row: int) -> str:
        """Return what a message calls a row: its id or, without ids, its number."""
        if self.values is not None:
            return f"{self.word} {shown(plain(self.values[row]))}"
        return f"{'row' if self.word == 'user' else 'column'} {row}"

    def with_more(self, ids: NDArray[Any]) -> Ids:
        """Return these ids and others behind them, which are unique and none of these."""
        more = type(self)(None, self.n + len(ids), self.word)
        if self.values is None:
            return more
        old, name = self.values, f"{self.word}_ids"
        alike = old.dtype.kind == ids.dtype.kind and ids.dtype.itemsize <= old.dtype.itemsize
        if old.dtype.kind in "mM" and ids.dtype.kind == old.dtype.kind:
            more.values = joined_dates([old, ids])
        elif alike:
            more.values = np.concatenate([old, ids])
        else:
            more.values = id_array([*each_of(old), *each_of(ids)], name)
        more.values.flags.writeable = False
        return more

    def _asked(self, ids: Any) -> NDArray[Any]:
        name = f"{self.word} ids"
        if not is_single(ids):
            if (known := known_numbers(ids)) is None:
                return to_array(ids, name, "ids")
            asked = np.full(len(known[0]), None, object)
            asked[known[0]] = to_array(known[1], name, "ids")
            return asked
        if isinstance(ids, np.ndarray):
            return to_array(np.atleast_1d(ids), name, "ids")
        one = np.empty(1, dtype=object)
        one[0] = python_value(ids)
        return one

    def _find(self, asked: NDArray[Any]) -> NDArray[np.int64]:
        if self.values is None:
            return self._numbers(asked)
        kind = self.values.dtype.kind
        if self._n_scans > 0 and len(asked) == 1 and _is_comparable(asked[0], kind):
            self._n_scans -= 1
            return np.append(np.flatnonzero(self.values == asked[0]), -1)[:1]
        keys = _keys(asked, kind)
        try:
            rows = np.fromiter(map(self._row_of.get, keys, repeat(-1)), np.int64, len(keys))
        except TypeError as error:
            raise TypeError(f"{self.word} ids must be hashable: {error}") from None
        if asked.dtype.kind in "mM" and kind not in "mM":
            # To NumPy 1 a date is equal to the number of its nanoseconds.
            numbers = [row >= 0 and _is_number(self.values[row]) for row in rows]
            rows[numbers] = -1
        self._tell_booleans(asked, rows)
        return rows

    def _tell_booleans(self, asked: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Make unknown what was only found because True is equal to 1, and False to 0, as in a mask."""
        for truth in (False, True):
            row = self._row_of.get(truth, -1)
            if row < 0 or self.values is None:
                continue
            known = isinstance(self.values[row], (bool, np.bool_))
            for place in np.flatnonzero(rows == row):
                if isinstance(asked[place], (bool, np.bool_)) != known:
                    rows[place] = -1

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
        each = python_value(each)
        of_a_mask = isinstance(each, (bool, np.bool_))
        each = shown(plain(each))
        if self.values is None:
            hint = " (of a mask, np.flatnonzero(mask))" if of_a_mask else ""
            return (
                f"unknown {self.word} id {each}: ids are the whole numbers 0 ... {self.n - 1}{hint}"
            )
        if self.n == 0:
            return f"unknown {self.word} id {each}: no id is known"
        hint = " (of a mask, give ids[mask])" if of_a_mask else ""
        first = shown(plain(self.values[0]))
        return f"unknown {self.word} id {each}: {self.n} ids are known, the first is {first}{hint}"


def where(user: int, item: int, axes: tuple[Ids, Ids] | None = None) -> str:
    """Return where a message says that an interaction is: by ids or, without ids, by its row and column.

    Examples
    --------
    >>> from tripletrec.data.ids import Ids, where
    >>> where(1, 0, (Ids(["ann", "bob"], 2, "user"), Ids(["tea"], 1, "item")))
    "of user 'bob', item 'tea'"
    >>> where(1, 0)
    'at row 1, column 0'
    """
    users, items = axes or (Ids(None, None, "user"), Ids(None, None, "item"))
    named = users.values is not None or items.values is not None
    return f"{'of' if named else 'at'} {users.called(user)}, {items.called(item)}"


def forms_of(users: Ids | None, items: Ids | None) -> dict[str, Form]:
    """Return what ids that the names of folders tell are to be, see `Ids.form`."""
    axes = {"user": users, "item": items}
    return {word: None if each is None else each.form for word, each in axes.items()}


# As long as to make a table.
_MOST_SCANS = 10


def _is_comparable(each: Any, kind: str) -> bool:
    """Tell whether NumPy finds in an array of this kind what a dict would find."""
    if kind == "U":
        return type(each) is str and not each.endswith("\0")
    return kind == "i" and type(each) is int and -(2**63) <= each < 2**63


def _keys(asked: NDArray[Any], kind: str) -> list[Any]:
    """Return what stands for each id in the table of ids whose dtype is of this kind."""
    if kind in "mM":
        same = asked.dtype.kind == kind
        return keys_of(asked) if same else [key_of_date(each, kind) for each in asked]
    return each_of(asked)


def is_single(ids: Any) -> bool:
    """Return whether `ids` is one id rather than a sequence of ids."""
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
        return True
    return getattr(ids, "ndim", 1) == 0


def _is_number(each: Any) -> bool:
    return isinstance(each, Number) and not isinstance(each, np.timedelta64)


def _is_whole(each: Any) -> bool:
    return isinstance(each, Integral) and _is_number(each) and not isinstance(each, bool)
