"""Columns of tables and sequences of any kind as 1-D arrays."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.checks import is_absent, is_of_128_bits, refuse_masked

__all__ = [
    "arrow_names",
    "check_column",
    "column_of",
    "eager",
    "in_order",
    "is_dict",
    "is_missing",
    "is_native",
    "known_numbers",
    "missing_from",
    "missing_position",
    "names_of",
    "python_value",
    "to_array",
]


def eager(frame: Any, names: Iterable[Any]) -> Any:
    """Return a table that is in memory: of a lazy one the columns of these names."""
    if not (hasattr(frame, "collect") and hasattr(frame, "collect_schema")):
        return frame
    known = names_of(frame)
    return frame.select([each for each in known if each in set(names)]).collect()


def column_of(frame: Any, name: Any) -> Any:
    """Return a column of a pandas, polars or pyarrow table or of a dict."""
    index = getattr(getattr(frame, "index", None), "names", ())
    hint = (
        ", and it is in the index: use frame.reset_index()"
        if name is not None and name in index
        else ""
    )
    check_column(name, names_of(frame), hint)
    column = frame[name]
    if getattr(column, "ndim", 1) != 1:
        raise ValueError(
            f"column {name!r} of frame must be one-dimensional, got shape {column.shape}"
        )
    return column


def check_column(name: Any, names: list[Any], hint: str = "", table: str = "frame") -> None:
    """Raise unless a table has one column of a name; `hint` is added where it has none."""
    if name not in names:
        raise ValueError(
            f"{table} has no column {name!r}: its columns are {shown(names, 300)}{hint}"
        )
    if names.count(name) > 1:
        raise ValueError(
            f"{table} has {names.count(name)} columns of the name {name!r}: rename all but one"
        )


def names_of(frame: Any) -> list[Any]:
    """Return the names of the columns of a table, also of one that is lazy, or of a dict."""
    if hasattr(frame, "collect_schema"):
        return list(frame.collect_schema().names())
    if is_dict(frame):
        return list(frame)
    if (names := arrow_names(frame)) is not None:
        return names  # its .columns are the arrays
    if not hasattr(frame, "columns") or not hasattr(frame, "__getitem__"):
        raise TypeError(
            "frame must be a DataFrame or a dict of columns (or a polars or pyarrow table), "
            f"got {type(frame)}"
        )
    return list(frame.columns)


def arrow_names(frame: Any) -> list[Any] | None:
    """Return the names of the columns of a table, reader or dataset of pyarrow; None: it is none."""
    names = getattr(getattr(frame, "schema", None), "names", None)
    return names if isinstance(names, list) else None


def to_array(values: Any, name: str, what: str = "values") -> NDArray[Any]:
    """Return a sequence as a 1-D array of objects or of its own type, in the processor's byte order.

    An array of the processor's byte order is not copied.

    Parameters
    ----------
    values : ndarray, pandas, polars or pyarrow column, list, iterator
        Masked arrays must not hide any of their values.
    name : str
        What error messages call it.
    what : str, default "values"
        What it is a sequence of.
    """
    values = in_order(values, name, what)
    if isinstance(values, (str, bytes)) or not (
        hasattr(values, "__iter__") or hasattr(values, "to_numpy")
    ):
        raise TypeError(f"{name} must be a sequence of {what}, got {shown(values)}")
    refuse_masked(values, name)
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {values.shape}")
    if not hasattr(values, "iloc") and hasattr(values, "to_pandas"):
        values = values.to_list() if is_of_128_bits(values) else _as_pandas_would(values)
    array = values.to_numpy() if hasattr(values, "to_numpy") else values
    if not hasattr(array, "dtype"):
        return _objects(array)
    array = np.asarray(array)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    return array if is_native(array.dtype) else array.astype(array.dtype.newbyteorder("="))


def _objects(values: Any) -> NDArray[Any]:
    # Not np.asarray: it turns ["a", 1] into two strings, and makes all as long as the longest.
    elements = list(values)
    if any(hasattr(each, "as_py") for each in set(map(type, elements))):
        elements = [python_value(each) for each in elements]
    return np.fromiter(elements, dtype=object, count=len(elements))


def in_order(values: Any, name: str, what: str = "values") -> Any:
    """Return an iterator as a list, and what has its elements in order as it is; a set or dict has none."""
    if isinstance(values, (set, frozenset)):
        raise TypeError(f"{name} must be a sequence of {what}, but a set has no order: use a list")
    if is_dict(values):
        raise TypeError(
            f"{name} must be a sequence of {what}, got the dict {shown(values)}: use the list of its keys or "
            "of its values"
        )
    iterable = hasattr(values, "__iter__") and not hasattr(values, "__getitem__")
    return list(values) if iterable and not hasattr(values, "to_numpy") else values


def is_dict(value: Any) -> bool:
    """Return whether a value maps keys to others; a sparse matrix by keys of SciPy is a dict and a matrix."""
    return isinstance(value, Mapping) and not hasattr(value, "tocsr")


def python_value(each: Any) -> Any:
    """Return a scalar of pyarrow as Python's own, anything else as it is."""
    return each.as_py() if hasattr(each, "as_py") else each


def is_native(dtype: Any) -> bool:
    """Return whether a type has the byte order of the processor, without which pandas fails."""
    return getattr(dtype, "isnative", None) is not False  # of types of pandas it is missing or None


def _as_pandas_would(values: Any) -> Any:
    """Return a polars or pyarrow column as something whose `to_numpy` keeps time zones."""
    zone = getattr(getattr(values, "dtype", None), "time_zone", None)
    if zone is None:
        return values if hasattr(values, "dtype") else values.to_pandas()
    import pandas as pd

    return pd.Series(values.to_numpy()).dt.tz_localize("UTC").dt.tz_convert(zone)


def known_numbers(values: Any) -> tuple[NDArray[np.bool_], Any] | None:
    """Tell which whole numbers of a column are there, and return these; None: all are, or it holds no such.

    As an array the column would be of floats, which round large numbers.
    """
    dtype: Any = getattr(values, "dtype", None)
    if hasattr(values, "null_count") and hasattr(dtype, "is_integer"):  # polars
        if not dtype.is_integer() or not values.null_count():
            return None
        return values.is_not_null().to_numpy(), values.drop_nulls()
    if type(values).__module__.startswith("pyarrow") and hasattr(values, "null_count"):
        return _known_of_arrow(values)
    if getattr(dtype, "kind", "") not in ("i", "u") or not hasattr(values, "isna"):
        return None
    missing = np.asarray(values.isna(), np.bool_)
    return (~missing, values[~missing]) if missing.any() else None


def _known_of_arrow(values: Any) -> tuple[NDArray[np.bool_], Any] | None:
    if hasattr(values.type, "value_type") and hasattr(values.type, "index_type"):  # a dictionary
        values = values.cast(values.type.value_type)
    if not re.fullmatch(r"u?int\d+|bool", str(values.type)) or not values.null_count:
        return None
    return np.asarray(values.is_valid(), np.bool_), values.drop_null()


def is_missing(each: Any) -> bool:
    """Return whether an element stands for no value: None, NaN, NaT, pandas' NA or masked."""
    if is_absent(each) or ("numpy.ma" in sys.modules and each is np.ma.masked):
        return True
    try:
        return bool(each != each)  # only NaN differs from itself
    except (ArithmeticError, ValueError, TypeError):  # a signalling NaN; an array
        return False


def missing_from(name: str, what: str, wrong: NDArray[np.bool_], hint: str = "") -> ValueError:
    """Return the error that says where something of a column is missing, and with `hint` what may be done."""
    n, first = np.count_nonzero(wrong), wrong.argmax()
    return ValueError(f"{name} has a missing {what} at position {first}, and {n} in all{hint}")


def missing_position(elements: list[Any]) -> int | None:
    """Return where the first missing element is; None: all are there."""
    return next((place for place, each in enumerate(elements) if is_missing(each)), None)
