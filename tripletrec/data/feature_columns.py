"""Columns of features as numbers, dates, durations or values; how they are encoded is in `feature_kinds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from numbers import Real
from typing import Any, NamedTuple
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.columns import is_missing

__all__ = [
    "Elements",
    "FeatureColumn",
    "comparable",
    "days",
    "distinct_pairs",
    "elements_of",
    "read_column",
    "words_of",
]

# As pandas calls what objects are.
_INFERRED = {
    "number": {"integer", "floating", "mixed-integer-float", "decimal", "boolean"},
    "date": {"date", "datetime", "datetime64"},
    "duration": {"timedelta", "timedelta64"},
}
_ALLOWED = "{what} must hold numbers, dates, strings, categories or lists, got {found}"
_DEEPEST = 10
_LISTS = (list, tuple, set, frozenset, np.ndarray)
_DAY = 86_400_000_000  # microseconds


class FeatureColumn(NamedTuple):
    """A column of a table, by what it holds.

    Attributes
    ----------
    kind : {"number", "date", "duration", "cells"}
    values : array or Series
        Numbers and durations, in days, as float64 with NaN; dates as datetime64[us] in UTC with NaT; all
        else as it was.
    """

    kind: str
    values: Any


class Elements(NamedTuple):
    """What the cells of a column hold: an entry for each distinct element of a cell.

    Attributes
    ----------
    rows : int array of shape (n,)
    codes : int array of shape (n,)
        Positions in `found`; -1: missing.
    found : list
        Distinct strings and numbers.
    several : bool
        Whether cells are lists.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    found: list[Any]
    several: bool


def read_column(column: Any, what: str) -> FeatureColumn:
    """Tell what a column holds.

    Parameters
    ----------
    column : pandas Series
    what : str
        What error messages call it.
    """
    import pandas as pd
    from pandas.api import types

    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        return read_column(column.sparse.to_dense(), what)
    if isinstance(dtype, pd.PeriodDtype):
        return read_column(column.dt.to_timestamp(), what)
    if isinstance(dtype, pd.CategoricalDtype) and _holds_lists(dtype.categories):
        return read_column(column.astype(object), what)
    if isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)):
        return FeatureColumn("cells", column)
    if types.is_complex_dtype(dtype):
        raise TypeError(_ALLOWED.format(what=what, found=dtype))
    if isinstance(dtype, pd.DatetimeTZDtype) or isinstance(dtype, np.dtype) and dtype.kind != "O":
        kind = {"M": "date", "m": "duration"}.get(dtype.kind, "number")
    elif types.is_numeric_dtype(dtype):  # of pandas' own, with missing values
        kind = "number"
    else:
        cells = column.to_numpy(dtype=object, na_value=None)
        kind = _kind_of(cells, what)
        if kind == "cells":
            return FeatureColumn(kind, cells)
    return FeatureColumn(kind, _READ[kind](column, what))


def _kind_of(cells: NDArray[Any], what: str) -> str:
    from pandas.api import types

    found = types.infer_dtype(cells, skipna=True)
    if found == "complex":
        raise TypeError(_ALLOWED.format(what=what, found=found))
    kind = next((kind for kind, names in _INFERRED.items() if found in names), "cells")
    if found in ("mixed", "mixed-integer"):
        return "date" if _all_dates(cells) else "number" if _all_numbers(cells) else kind
    return kind


def comparable(column: Any) -> Any:
    """Return a column whose cells may be asked whether they are missing: a signalling NaN is, and raises."""
    import pandas as pd

    if column.dtype != object or Decimal not in set(map(type, column)):
        return column
    cells = [None if isinstance(each, Decimal) and each.is_nan() else each for each in column]
    return pd.Series(cells, dtype=object)


def days(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return dates or durations in microseconds as days, NaN where they are missing."""
    known = ~np.isnat(dates)
    numbers = np.full(len(dates), np.nan)
    numbers[known] = dates[known].astype(np.int64) / _DAY
    return numbers


def elements_of(
    values: Any, what: str, split: Callable[[str], list[str]] | None = None
) -> Elements:
    """Return the distinct elements of each cell.

    Parameters
    ----------
    values : object array or Series
        Of a `FeatureColumn` of cells.
    what : str
        What error messages call it.
    split : callable or None, default None
        Makes several elements of a text; lists are taken as they are.
    """
    if isinstance(values, np.ndarray) and _holds_lists(values):
        return _listed([each if type(each) is list else _cell(each) for each in values], what)
    codes, found = _distinct(values)
    if split is None:
        return Elements(np.arange(len(values)), codes, found, False)
    words: list[Any] = [*(split(str(each)) for each in found), [None]]  # the last is of no text
    return _listed([words[code] for code in codes], what)


def distinct_pairs(
    rows: NDArray[np.int64], numbers: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each pair of a row and a number below n once, sorted."""
    pairs = np.sort(rows * n + numbers)
    first = np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]
    return np.divmod(pairs[first], n)


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case and without the punctuation around them.

    >>> words_of("Toy Story (1995)")
    ['toy', 'story', '1995']
    """
    parts = normalize("NFC", text.casefold()).split()
    return [word for each in parts if (word := each if each.isalnum() else _bare(each))]


def _bare(word: str) -> str:
    inside = [place for place, each in enumerate(word) if each.isalnum()]
    if not inside:
        return ""
    end = inside[-1] + 1
    while end < len(word) and category(word[end])[0] == "M":  # a mark of the last letter
        end += 1
    return word[inside[0] : end]


def _numbers(column: Any, what: str) -> NDArray[np.float64]:
    try:
        values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"{what} must hold numbers, as in fit, got {column.dtype}") from None
    if np.isinf(values).any():
        raise ValueError(f"{what} must be finite, got infinity")
    return values


def _dates(column: Any, what: str) -> NDArray[Any]:
    """Return dates in UTC; those without a time zone are taken as UTC."""
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        return _in_range(column.to_numpy(), "M8[us]", what)
    cells = column.to_numpy(dtype=object, na_value=None)
    if any(getattr(each, "tzinfo", None) is not None for each in cells):
        cells = [_in_utc(each) for each in cells]
    return _known(cells, "M8[us]", what)


def _durations(column: Any, what: str) -> NDArray[np.float64]:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "m":
        return days(_in_range(column.to_numpy(), "m8[us]", what))
    return days(_known(column.to_numpy(dtype=object), "m8[us]", what))


_READ: dict[str, Callable[[Any, str], NDArray[Any]]] = {
    "number": _numbers,
    "date": _dates,
    "duration": _durations,
}


def _known(cells: Iterable[Any], dtype: str, what: str) -> NDArray[Any]:
    """Return objects as dates or durations, NaT where they are missing."""
    listed = [None if is_missing(each) else each for each in cells]
    try:
        return np.array(listed, dtype)
    except (TypeError, ValueError, OverflowError):
        raise _uncountable(dtype, what) from None


def _in_range(values: NDArray[Any], dtype: str, what: str) -> NDArray[Any]:
    """Return dates or durations in microseconds; what wraps around (before NumPy 2.5) is refused."""
    try:
        found = values.astype(dtype)
    except OverflowError:
        raise _uncountable(dtype, what) from None
    if np.datetime_data(values.dtype)[0] in ("s", "ms") and (
        (np.isnat(found) != np.isnat(values)) | (found.astype(values.dtype) != values) & ~np.isnat(values)
    ).any():  # fmt: skip
        raise _uncountable(dtype, what)
    return found


def _uncountable(dtype: str, what: str) -> ValueError:
    word = "dates" if dtype[0] == "M" else "durations"
    return ValueError(f"{what} must hold {word} that microseconds can count")


def _in_utc(each: Any) -> Any:
    if isinstance(each, datetime) and each.tzinfo is not None:
        return each.astimezone(UTC).replace(tzinfo=None)
    return each


def _types_of(cells: NDArray[Any]) -> set[type]:
    """Return the types of cells that are not missing, but for float, for NaN is one."""
    found = set(map(type, cells)) - {float, type(None)}
    return {each for each in found if each.__name__ not in ("NAType", "NaTType")}


def _all_numbers(cells: NDArray[Any]) -> bool:
    return all(issubclass(each, (Real, Decimal, np.bool_)) for each in _types_of(cells))


def _all_dates(cells: NDArray[Any]) -> bool:
    known = _types_of(cells)
    dates = bool(known) and all(issubclass(each, (date, np.datetime64)) for each in known)
    return dates and not any(type(each) is float and each == each for each in cells)


def _holds_lists(cells: Iterable[Any]) -> bool:
    return any(issubclass(each, _LISTS) for each in set(map(type, cells)))


def _cell(value: Any) -> Any:
    """Return the elements of a cell that may be a list."""
    if isinstance(value, np.ndarray):
        return np.ravel(value).tolist()
    return value if isinstance(value, _LISTS) else (value,)


def _listed(lists: list[Any], what: str) -> Elements:
    rows, flat = _flat(np.arange(len(lists)), lists)
    for _ in range(_DEEPEST):
        if not _holds_lists(flat):
            break
        rows, flat = _flat(rows, [_cell(each) for each in flat])
    else:
        raise ValueError(f"{what} must not have lists within lists, got some {_DEEPEST} deep")
    codes, found = _distinct(flat)
    # A list may hold an element more than once.
    rows, codes = distinct_pairs(rows, codes + 1, len(found) + 1)
    return Elements(rows, codes - 1, found, True)


def _flat(rows: NDArray[np.int64], lists: list[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    sizes = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = np.fromiter(chain.from_iterable(lists), object, int(sizes.sum()))
    return np.repeat(rows, sizes), flat


def _distinct(values: Any) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the position of each value in the list of those found, -1 for a missing one; and the list."""
    import pandas as pd

    try:
        codes, kinds = pd.factorize(values)
    except (TypeError, ArithmeticError):  # not to be hashed, or compared
        values = np.fromiter((_plain(each) for each in values), object, len(values))
        codes, kinds = pd.factorize(values)
    found = [each if type(each) is str else _plain(each) for each in kinds.tolist()]
    place = dict.fromkeys(found)
    if len(place) == len(found) and None not in place:
        return codes.astype(np.int64, copy=False), found
    place.pop(None, None)
    number = {each: position for position, each in enumerate(place)}
    return np.array([*(number.get(each, -1) for each in found), -1], np.int64)[codes], list(place)


def _plain(value: Any) -> Any:
    """Return a value as a string or a number; None if it is missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, bytes):  # of an array of NumPy's strings
        return value.decode(errors="backslashreplace")
    if is_missing(value):
        return None
    return value if isinstance(value, float) else str(value)
