"""Ids of users or items: from row to id and back, and out of a table's columns; interactions are not here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.checks import as_elements, check_ids, refuse_masked

__all__ = ["Ids", "column_of", "encode"]


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
        known = [] if self.values is None else as_elements(self.values)
        return {each: row for row, each in enumerate(known)}

    def rows(self, ids: Any) -> NDArray[np.int64]:
        """Return the row of each id, int64 of shape (n_ids,).

        Parameters
        ----------
        ids : scalar, list, ndarray or pandas / polars Series

        Raises
        ------
        ValueError
            If an id is unknown.
        """
        if self.values is None:
            return self._check_numbers(ids)
        asked = _as_list(ids, self.word)
        if self.values.dtype.kind == "M":
            # A date in another unit is equal to the key in the table, but hashes differently.
            asked = [_as_date(each) if isinstance(each, np.datetime64) else each for each in asked]
        try:
            return np.fromiter((self._row_of[each] for each in asked), np.int64, len(asked))
        except KeyError as error:
            raise ValueError(self._unknown(error.args[0])) from None
        except TypeError as error:
            raise TypeError(f"{self.word} ids must be hashable: {error}") from None

    def _check_numbers(self, ids: Any) -> NDArray[np.int64]:
        refuse_masked(ids, f"{self.word} ids")
        array = np.atleast_1d(ids.to_numpy() if hasattr(ids, "to_numpy") else np.asarray(ids))
        if array.ndim != 1:
            raise ValueError(f"{self.word} ids must be one-dimensional, got shape {array.shape}")
        if array.size == 0:
            return np.empty(0, np.int64)
        if array.dtype.kind not in "iu":
            raise ValueError(self._unknown(array.tolist()[0]))
        wrong = (array < 0) | (array >= self.n)
        if wrong.any():
            raise ValueError(self._unknown(array[wrong].tolist()[0]))
        return array.astype(np.int64, copy=False)

    def _unknown(self, each: Any) -> str:
        if self.values is None:
            return f"unknown {self.word} id {each!r}: ids are the whole numbers 0 ... {self.n - 1}"
        first = next(iter(self._row_of))
        return f"unknown {self.word} id {each!r}: {self.n} ids are known, the first is {first!r}"


def _as_list(ids: Any, word: str) -> list[Any]:
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__len__"):
        return [ids]
    if getattr(ids, "ndim", 1) == 0:
        return [ids.item()]
    if getattr(ids, "ndim", 1) != 1:
        raise ValueError(f"{word} ids must be one-dimensional, got shape {ids.shape}")
    ids = ids.to_numpy() if hasattr(ids, "to_numpy") else ids
    return as_elements(ids) if isinstance(ids, np.ndarray) else list(ids)


def _as_date(each: np.datetime64) -> Any:
    return each.astype("M8[us]").item()


def column_of(frame: Any, name: str) -> Any:
    """Return a column of a pandas or polars DataFrame or of a dict."""
    columns: Iterable[Any] = getattr(frame, "columns", frame)
    if not hasattr(frame, "__getitem__") or isinstance(frame, (np.ndarray, list, str)):
        raise TypeError(f"frame must be a DataFrame or a dict of columns, got {type(frame)}")
    if name not in list(columns):
        raise ValueError(f"frame has no column {name!r}: its columns are {list(columns)}")
    return frame[name]


def encode(column: Any, name: str, word: str, ids: Any) -> tuple[NDArray[np.int64], Ids]:
    """Return the row of each id of a column, and the ids: those given, else those found, sorted."""
    import pandas as pd

    if not isinstance(column, pd.Series):
        column = column.to_numpy() if hasattr(column, "to_numpy") else column
        if not isinstance(column, np.ndarray):
            column = np.fromiter(column, dtype=object, count=len(column))
    codes, found = pd.factorize(column)
    if len(codes) == 0:
        raise ValueError("frame has no rows: at least one interaction is needed")
    if codes.min() < 0:
        raise ValueError(f"column {name!r} has a missing id at position {codes.argmin()}")
    known = Ids(_sorted(found, name, word) if ids is None else ids, None, word)
    return known.rows(found)[codes], known


def _sorted(found: Any, name: str, word: str) -> NDArray[Any]:
    try:
        return np.sort(check_ids(found, f"column {name!r}"))
    except TypeError as error:
        raise TypeError(
            f"column {name!r} has ids that cannot be sorted, give {word}_ids: {error}"
        ) from None
