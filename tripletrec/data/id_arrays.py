"""Arrays of ids, each kind in one exact form, and the keys they are found by; looking them up is in `ids`.

========================================= ==================================================================
ids                                       are kept as
========================================= ==================================================================
strings                                   a NumPy string array; an array of objects where that would be larger
                                          (one long id makes all as long) or lose a NUL at the end
whole numbers                             int64; uint64, else an array of objects, where int64 is too small
fractional numbers, booleans              float64, bool
naive dates and times                     datetime64 in their own unit, all digits of it
anything else that is hashable, mixtures  an array of objects
========================================= ==================================================================

Arrays of numbers keep their type. Floats that are so large that they round whole numbers are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import chain, groupby
from numbers import Integral, Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.columns import missing_position, to_array

__all__ = [
    "check_ids",
    "check_types",
    "each_of",
    "id_array",
    "index_of",
    "joined_dates",
    "key_of_date",
    "keys_of",
    "plain",
    "refuse_rounded",
    "same_ids",
    "text_array",
]

# Up to here a fixed width is no waste: an object takes as much, or all of them are small together.
_SHORT = 16
_SMALL = 2**20

_DTYPES = {bool: np.dtype(bool), float: np.dtype(np.float64), date: np.dtype("M8[D]")}
# Whole multiples of the finest unit, so that equal dates have equal keys in whatever unit.
_PER_UNIT = {
    unit: count * 10**power
    for unit, count, power in (
        ("W", 7 * 86400, 18),
        ("D", 86400, 18),
        ("h", 3600, 18),
        ("m", 60, 18),
        ("s", 1, 18),
        ("ms", 1, 15),
        ("us", 1, 12),
        ("ns", 1, 9),
        ("ps", 1, 6),
        ("fs", 1, 3),
        ("as", 1, 0),
    )
}


def check_ids(ids: Any, name: str, length: int | None = None) -> NDArray[Any]:
    """Return ids as a new 1-D array: each kind in one form, none missing."""
    array = id_array(ids, name)
    if length is not None and len(array) != length:
        raise ValueError(f"{name} must have {length} ids, got {len(array)}")
    return array


def index_of(ids: NDArray[Any], name: str) -> dict[Any, int]:
    """Return the position of each id by its key, see `keys_of`; raise if one is there twice."""
    keys = keys_of(ids)
    try:
        last = {each: position for position, each in enumerate(keys)}
    except TypeError as error:
        raise TypeError(f"{name} must be hashable: {error}") from None
    if len(last) < len(keys):
        twice = next(place for place, each in enumerate(keys) if last[each] != place)
        raise ValueError(f"{name} must be unique, got {shown(plain(ids[twice]))} twice")
    return last


def id_array(ids: Any, name: str) -> NDArray[Any]:
    """Return ids as a new 1-D array in the form of their kind; they may be there twice."""
    array = to_array(ids, name, "ids")
    kind = array.dtype.kind
    if kind in "OTS":
        return _array_of(array.tolist(), name)
    if kind == "U":
        return _fixed_or_not(np.char.str_len(array), array.astype, array.tolist)
    if kind not in "biufmM" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be strings, numbers, dates or other ids, got {array.dtype}")
    if kind in "fmM":
        wrong = np.isnan(array)
        _refuse_missing(name, int(wrong.argmax()) if wrong.any() else None)
    if kind == "f":
        refuse_rounded(array, name)
    _refuse_generic(array, name)
    return array.copy()


def check_types(types: set[type], name: str) -> None:
    """Raise if there are booleans among numbers: True is equal to 1, so that they would be one id."""
    if types & {bool, np.bool_} and any(issubclass(each, Number) for each in types - {bool}):
        raise TypeError(f"{name} must not mix booleans with numbers: True is equal to 1")


def text_array(texts: list[str]) -> NDArray[Any]:
    """Return strings as an array of fixed width, or as objects where that would be large or lose a NUL."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if any(each.endswith("\0") for each in texts):
        return _objects(texts)
    return _fixed_or_not(lengths, lambda dtype: np.array(texts, dtype), lambda: texts)


def each_of(array: NDArray[Any]) -> list[Any]:
    """Return the ids of an array one by one: Python objects, but for dates, which keep their unit."""
    return list(array) if array.dtype.kind in "mM" else array.tolist()


def keys_of(array: NDArray[Any]) -> list[Any]:
    """Return what finds each id in a dict: Python objects, for dates exact numbers."""
    if array.dtype.kind not in "mM":
        return array.tolist()
    unit, count = np.datetime_data(array.dtype)
    if unit in "YM":
        if array.dtype.kind == "m":
            return [("months", each * count * (12 if unit == "Y" else 1)) for each in _whole(array)]
        return keys_of(array.astype("M8[D]"))
    if unit == "generic":
        return [("no unit", each) for each in _whole(array)]
    factor = _PER_UNIT[unit] * count
    return [each * factor for each in _whole(array)]


def key_of_date(each: Any, kind: str) -> Any:
    """Return the key of one element asked for in an array of dates ("M") or durations ("m")."""
    if kind == "M":
        if isinstance(each, datetime):
            if each.tzinfo is not None:
                return _NO_KEY
            each = each.to_datetime64() if hasattr(each, "to_datetime64") else each
        elif not isinstance(each, (date, np.datetime64)):
            return _NO_KEY
        each = np.datetime64(each)
    elif isinstance(each, timedelta):
        each = (
            each.to_timedelta64() if hasattr(each, "to_timedelta64") else np.array(each, "m8[us]")
        )
    elif not isinstance(each, np.timedelta64):
        return _NO_KEY
    return _NO_KEY if np.isnat(each) else keys_of(np.atleast_1d(each))[0]


def same_ids(some: NDArray[Any] | None, others: NDArray[Any] | None) -> bool:
    """Return whether two arrays hold equal ids in the same order."""
    if some is others:
        return True
    if some is None or others is None or len(some) != len(others):
        return False
    if some.dtype == others.dtype and some.dtype.kind not in "OmM":
        return bool((some == others).all())
    kinds = [each.dtype.kind if each.dtype.kind in "bmM" else "" for each in (some, others)]
    return kinds[0] == kinds[1] and keys_of(some) == keys_of(others)


def joined_dates(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return dates or durations end to end in the finest of their units; as objects if it cannot hold all."""
    try:
        array = np.concatenate(parts)
    except (OverflowError, TypeError):  # as of NumPy 2.5; months among days
        return _objects(chain.from_iterable(parts))
    alike = all(each.dtype == array.dtype for each in parts)
    if alike or keys_of(array) == [key for each in parts for key in keys_of(each)]:
        return array
    return _objects(chain.from_iterable(parts))


def plain(each: Any) -> Any:
    """Return a NumPy scalar as Python's own, for an error message; dates and all else as they are."""
    return each.item() if isinstance(each, np.generic) and each.dtype.kind not in "mM" else each


class _NoKey:
    """The key of what is in no table."""


_NO_KEY: Hashable = _NoKey()


def _whole(array: NDArray[Any]) -> list[int]:
    return array.astype(np.int64).tolist()


def _is_plain(each: Any) -> bool:
    return isinstance(each, np.generic) and each.dtype.kind in "biufUS" and each.itemsize <= 8


def _refuse_missing(name: str, position: int | None) -> None:
    if position is not None:
        raise ValueError(f"{name} has a missing id at position {position}")


def refuse_rounded(floats: NDArray[Any], name: str) -> None:
    """Raise if there are floats so large that several whole numbers have become one of them."""
    n_bits = np.finfo(floats.dtype).nmant + 1
    wrong = np.isfinite(floats) & (np.abs(floats) >= 2.0**n_bits)
    if wrong.any():
        raise ValueError(
            f"{name} must not be floats of 2**{n_bits} or beyond, which round whole numbers so that several "
            f"become one, got {plain(floats[wrong.argmax()])}: read them as texts or as whole numbers, in "
            'pandas with dtype "Int64" where some are missing'
        )


def _refuse_generic(array: NDArray[Any], name: str) -> None:
    if array.dtype.kind == "m" and np.datetime_data(array.dtype)[0] == "generic":
        raise TypeError(f"{name} must be durations of a known unit, got dtype {array.dtype}")


def _objects(elements: Iterable[Any]) -> NDArray[Any]:
    return np.fromiter(elements, dtype=object)


def _fixed_or_not(
    lengths: NDArray[Any], fixed: Callable[[str], NDArray[Any]], texts: Callable[[], list[str]]
) -> NDArray[Any]:
    width, total = int(lengths.max(initial=1)), int(lengths.sum())
    alike = width * len(lengths) <= 2 * total
    if alike or width <= _SHORT or 4 * width * len(lengths) <= _SMALL:
        return fixed(f"U{max(width, 1)}")
    return _objects(texts())


def _array_of(elements: list[Any], name: str) -> NDArray[Any]:
    elements = _pythons_own(elements)
    types = set(map(type, elements))
    check_types(types, name)
    if not types <= {str, int, bool, bytes}:
        _check_each(elements, name)
    if not types:
        return np.empty(0, object)
    if _all_are(str, types):
        return text_array([str.__str__(each) for each in elements])
    if _all_are(np.timedelta64, types):
        durations = _in_one_unit(elements)
        _refuse_generic(durations, name)
        return durations
    if _all_are(Integral, types) and not types & {bool, np.timedelta64}:
        return _whole_numbers(elements)
    if _all_are((datetime, np.datetime64), types):
        return _dates(elements)
    dtype = _DTYPES.get(types.pop()) if len(types) == 1 else None
    return _objects(elements) if dtype is None else np.array(elements, dtype)


def _check_each(elements: list[Any], name: str) -> None:
    _refuse_missing(name, missing_position(elements))
    floats = [each for each in elements if isinstance(each, float)]
    refuse_rounded(np.array(floats, np.float64), name)


def _pythons_own(elements: list[Any]) -> list[Any]:
    if not any(issubclass(each, np.generic) for each in set(map(type, elements))):
        return elements
    return [each.item() if _is_plain(each) else each for each in elements]


def _all_are(kind: Any, types: set[type]) -> bool:
    return all(issubclass(each, kind) for each in types)


def _whole_numbers(elements: list[Any]) -> NDArray[Any]:
    least, most = min(elements), max(elements)
    if -(2**63) <= least and most < 2**63:
        return np.array(elements, np.int64)
    if least >= 0 and most < 2**64:
        return np.array(elements, np.uint64)
    return _objects(elements)


def _dates(elements: list[Any]) -> NDArray[Any]:
    if any(getattr(each, "tzinfo", None) is not None for each in elements):
        return _objects(elements)
    dates = [
        each.to_datetime64() if hasattr(each, "to_datetime64") else np.datetime64(each)
        for each in elements
    ]
    array = _in_one_unit(dates)
    return _objects(elements) if array.dtype == object else array


def _in_one_unit(dates: list[Any]) -> NDArray[Any]:
    """Return the scalars of NumPy as one array, see `joined_dates`."""
    runs = groupby(dates, lambda each: each.dtype)
    return joined_dates([np.array(list(run), dtype) for dtype, run in runs])
