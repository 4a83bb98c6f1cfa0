"""Rows of a table that lack an id, a value or a time, refused or left out; all else is in `frames`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.columns import is_missing, to_array
from tripletrec.data.foreign import Dictionary
from tripletrec.data.merging import Duplicates
from tripletrec.data.times import times_array

__all__ = ["HINT", "Missing", "all_are_incomplete", "complete_rows"]

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
    found = dict(columns)
    if "value" in found and duplicates != "count":
        found["value"] = to_array(found["value"], f"values of column {names['value']!r}")
    if "timestamp" in found:
        name = f"timestamps of column {names['timestamp']!r}"
        found["timestamp"] = times_array(found["timestamp"], name)
    n = len(found["user"])
    whole = np.ones(n, np.bool_)
    for role, column in found.items():
        if len(column) == n and (role != "value" or duplicates != "count"):  # else refused later
            whole &= ~_lacking(column)
    if whole.all():
        return found, 0
    left = {role: _taken(each, whole) for role, each in found.items() if len(each) == n}
    return {**found, **left}, int(n - whole.sum())


def all_are_incomplete(n: int, source: str) -> str:
    """Return the sentence that says that no row is complete."""
    return f"all {n} rows of {source} lack an id, a value or a time"


def _lacking(column: Any) -> NDArray[np.bool_]:
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


def _taken(column: Any, whole: NDArray[np.bool_]) -> Any:
    if isinstance(column, Dictionary):
        return Dictionary(column.codes[whole], column.ids)
    return column[whole]
