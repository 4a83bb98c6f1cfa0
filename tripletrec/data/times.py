"""Times of interactions as whole numbers, fractional numbers or dates in one unit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.checks import is_whole
from tripletrec.data.columns import is_missing, missing_from, to_array
from tripletrec.data.id_arrays import keys_of, plain

__all__ = ["check_timestamps", "times_array"]

_DATES = np.dtype("M8[ns]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KNOWN = (Real, Decimal, date, np.datetime64)
_ALLOWED = "numbers or dates"
_OUTSIDE = "a date outside the years 1678 to 2261"


def check_timestamps(timestamps: Any, length: int, name: str, hint: str = "") -> NDArray[Any]:
    """Return one time per interaction: whole numbers as int64, others as float64, dates as datetime64[ns].

    Dates with a time zone become UTC; dates without one are taken as UTC; a Period becomes its start.

    Parameters
    ----------
    timestamps : ndarray, pandas, polars or pyarrow column, or sequence
        Numbers; or dates of NumPy, pandas or the standard library, in any unit.
    length : int
        How many there must be.
    name : str
        What error messages call them.
    hint : str
        What may be done where one is missing, the end of the message.

    Raises
    ------
    ValueError
        If one is missing, not finite, beyond int64, or a date before 1678 or after 2261.
    TypeError
        If they are strings, durations or a mixture of numbers and dates.
    """
    array = times_array(timestamps, name)
    if len(array) != length:
        raise ValueError(
            f"{name} must be one per interaction: expected shape ({length},), got {array.shape}"
        )
    kind = array.dtype.kind
    if kind == "O":
        return _from_objects(array.tolist(), name, hint)
    if kind == "M":
        _refuse_missing(np.isnat(array), "date", name, hint)
        return _nanoseconds(array, name)
    if kind == "f":
        return _from_floats(array, name, hint)
    if kind == "u":
        _refuse(array > np.uint64(2**63 - 1), array, name, "a number beyond int64")
    elif kind != "i":
        _refuse_type(array.tolist()[0] if kind in "UST" and length else array.dtype, name)
    return array.astype(np.int64, copy=False)


def times_array(timestamps: Any, name: str) -> NDArray[Any]:
    """Return a column of times as an array, dates with a time zone in UTC; what is in it is not checked."""
    return to_array(_in_utc(timestamps), name, _ALLOWED)


def _in_utc(values: Any) -> Any:
    """Return a column of dates with a time zone, or of periods, as dates; anything else as it is."""
    dtype = getattr(values, "dtype", None)
    # pandas' columns over pyarrow's memory.
    if hasattr(dtype, "pyarrow_dtype") and getattr(dtype, "kind", "O") not in "iuf":
        import pandas as pd

        values = values.astype(object) if hasattr(values, "astype") else values
        return pd.Series(values).to_numpy(dtype=object)
    if hasattr(dtype, "freq") and hasattr(dtype, "na_value"):
        import pandas as pd

        return pd.PeriodIndex(values).to_timestamp(how="start").to_numpy()
    if getattr(dtype, "tz", None) is not None:
        import pandas as pd

        return pd.DatetimeIndex(values).tz_convert(None).to_numpy()
    if getattr(dtype, "time_zone", None) is not None:  # polars, whose array is in UTC
        return values.to_numpy()
    if hasattr(values, "to_pandas") and not hasattr(values, "dtype"):  # pyarrow
        return _in_utc(values.to_pandas())
    return values


def _from_floats(array: NDArray[Any], name: str, hint: str) -> NDArray[Any]:
    _refuse_missing(np.isnan(array), "time", name, hint)
    _refuse(np.isinf(array), array, name, "a time that is not finite")
    wide = array.astype(np.float64, copy=False)
    _refuse(np.isinf(wide), array, name, "a time beyond float64")
    whole = (wide == np.trunc(wide)) & (np.abs(wide) < 2.0**63)
    return wide.astype(np.int64) if whole.all() else wide


def _nanoseconds(array: NDArray[Any], name: str) -> NDArray[Any]:
    try:
        dates = array.astype(_DATES)
    except OverflowError:  # as of NumPy 2.5
        return _from_objects(list(array), name, "")
    if np.datetime_data(array.dtype)[0] not in ("ps", "fs", "as"):
        # Before NumPy 2.5 what does not fit wraps around, and comes back as another date.
        _refuse(np.isnat(dates) | (dates.astype(array.dtype) != array), array, name, _OUTSIDE)
    return dates


def _kind_of(each: Any) -> str:
    return "date" if hasattr(each, "year") or isinstance(each, np.datetime64) else "time"


def _from_objects(elements: list[Any], name: str, hint: str) -> NDArray[Any]:
    if set(map(type, elements)) <= {int, float}:  # most often, and at once
        return _from_numbers(elements, name, hint)
    missing = np.fromiter(map(is_missing, elements), np.bool_, len(elements))
    _refuse_missing(missing, _kind_of(elements[int(missing.argmax())]), name, hint)
    for position, each in enumerate(elements):
        if (
            isinstance(each, (bool, np.timedelta64))
            or not isinstance(each, _KNOWN)
            and not _is_period(each)
        ):
            _refuse_type(each, name, position)
    numbers = [isinstance(each, (Real, Decimal)) for each in elements]
    if all(numbers):
        return _from_numbers(elements, name, hint)
    if any(numbers):
        raise TypeError(f"{name} must be all numbers or all dates, got both")
    dates = [_nanosecond(each) for each in elements]
    wrong = np.array([not -(2**63) < each < 2**63 for each in dates], np.bool_)
    _refuse(wrong, elements, name, _OUTSIDE)
    return np.array(dates, np.int64).view(_DATES)


def _refuse_missing(wrong: NDArray[np.bool_], word: str, name: str, hint: str) -> None:
    if wrong.any():
        raise missing_from(name, word, wrong, hint)


def _from_numbers(elements: list[Any], name: str, hint: str) -> NDArray[Any]:
    if all(isinstance(each, Integral) for each in elements):
        wrong = np.array([not _fits(each) for each in elements], np.bool_)
        _refuse(wrong, elements, name, "a number beyond int64")
        return np.array(elements, np.int64)
    whole = [int(each) for each in elements if is_whole(each) or _is_whole_float(each)]
    if len(whole) == len(elements) and _fits(min(whole)) and _fits(max(whole)):
        return np.array(whole, np.int64)  # by way of float64 large ones would change
    try:
        floats = np.array([float(each) for each in elements], np.float64)
        return _from_floats(floats, name, hint)
    except OverflowError:
        raise ValueError(f"{name} must fit float64, got a number beyond it") from None


def _fits(number: Any) -> bool:
    return -(2**63) <= number < 2**63


def _is_whole_float(number: Any) -> bool:
    return isinstance(number, float) and number.is_integer()


def _is_period(each: Any) -> bool:
    return type(each).__name__ == "Period" and hasattr(each, "start_time")


def _nanosecond(each: Any) -> int:
    """Return a date as nanoseconds since 1970 in UTC."""
    if _is_period(each):
        each = each.start_time
    if hasattr(each, "to_datetime64"):
        each = each.to_datetime64()  # pandas' is in UTC
    if isinstance(each, np.datetime64):
        return int(keys_of(np.atleast_1d(each))[0] // 10**9)
    if not isinstance(each, datetime):
        each = datetime(each.year, each.month, each.day)
    if each.tzinfo is None:
        each = each.replace(tzinfo=UTC)
    return (each - _EPOCH) // _MICROSECOND * 1000


def _refuse(wrong: NDArray[Any], values: Any, name: str, what: str) -> None:
    if not wrong.any():
        return
    position = int(wrong.argmax())
    raise ValueError(f"{name} has {what} at position {position}: {shown(plain(values[position]))}")


def _refuse_type(each: Any, name: str, position: int = 0) -> None:
    if isinstance(each, (str, bytes)):
        raise TypeError(
            f"{name} must be {_ALLOWED}, got the text {shown(each)} at position {position}: "
            "convert it with pandas.to_datetime first"
        )
    if isinstance(each, np.dtype):
        raise TypeError(f"{name} must be {_ALLOWED}, got dtype {each}")
    raise TypeError(
        f"{name} must be {_ALLOWED}, got {shown(each)} at position {position}, "
        f"a {type(each).__name__}"
    )
