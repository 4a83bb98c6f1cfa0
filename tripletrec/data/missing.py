"""Rows of a table that lack an id, a value or a time, refused or left out; all else is in `frames`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.columns import is_missing, to_array
from tripletrec.data.foreign import Dictionary, need_pyarrow
from tripletrec.data.merging import Duplicates
from tripletrec.data.times import times_array

__all__ = ["HINT", "Missing", "all_are_incomplete", "complete_rows", "lacking", "taken"]

Missing: TypeAlias = Literal["raise", "drop"]
HINT = ': missing="drop" leaves out such rows'


def complete_rows(
    columns: Mapping[str, Any], names: Mapping[str, Any], duplicates: Duplicates
) -> tuple[dict[str, Any], int]:
    """Return the columns without the rows that lack something, and how many these are.

    Parameters
    ----------
    columns : dict
        From `checked_columns` of `frames`, by role.
    names : dict
        The names of the columns, for error messages.
    duplicates : str
        With "count" the values are not read.
    """
    arrays: dict[str, Any] = {"user": columns["user"], "item": columns["item"]}
    if "value" in columns and duplicates != "count":
        arrays["value"] = to_array(columns["value"], f"values of column {names['value']!r}")
    if "timestamp" in columns:
        name = f"timestamps of column {names['timestamp']!r}"
        arrays["timestamp"] = times_array(columns["timestamp"], name)
    n = len(arrays["user"])
    whole = np.ones(n, np.bool_)
    for array in arrays.values():
        if len(array) == n:  # else refused later
            whole &= ~lacking(array)
    if whole.all():
        return dict(columns), 0
    left = {
        role: taken(columns[role], each, whole) for role, each in arrays.items() if len(each) == n
    }
    return {**columns, **left}, int(n - whole.sum())


def all_are_incomplete(n: int, source: str) -> str:
    """Return the sentence that says that no row is complete."""
    return f"all {n} rows of {source} lack an id, a value or a time"


def lacking(column: Any) -> NDArray[np.bool_]:
    """Tell which rows of a column of `id_column` of `frames`, or of an array, are missing."""
    if isinstance(column, Dictionary):
        return column.codes < 0
    if hasattr(column, "isna"):
        return np.asarray(column.isna(), np.bool_)
    if column.dtype.kind in "fcmM":
        found: NDArray[np.bool_] = np.isnan(column)
        return found
    if column.dtype == object:
        return np.fromiter(map(is_missing, column.tolist()), np.bool_, len(column))
    return np.zeros(len(column), np.bool_)


def taken(column: Any, array: Any, whole: NDArray[np.bool_]) -> Any:
    """Return some rows of a column, of itself where it can: numbers beside missing ones became floats."""
    if isinstance(column, Dictionary):
        return Dictionary(column.codes[whole], column.ids)
    if hasattr(column, "isna"):
        return column[whole]
    if type(column).__module__.startswith("pyarrow"):
        return column.filter(need_pyarrow("a column").array(whole))
    return column.gather(np.flatnonzero(whole)) if hasattr(column, "gather") else array[whole]
