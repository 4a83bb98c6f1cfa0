"""Where times are cut: what a date, a share or a period means."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_real
from tripletrec._runtime.messages import shown
from tripletrec.data.times import check_timestamps
from tripletrec.splits.parts import is_share

__all__ = ["Timeline", "has_unit"]

_PERIOD = re.compile(r"\s*[+-]?(P|[\d.]+\s*[a-zA-Zµ])")  # "14D", "1.5 hours", "P2W"
_UNIT = re.compile("[a-zA-Zµ:]")  # "7 days", "12:00:00"
_DATE = re.compile(r"\s*\d{4}-\d\d")  # not "now" or "10:00", which another day means another date
_DURATIONS = (timedelta, np.timedelta64)
_TIMES = (Real, Decimal, date, np.datetime64)


class Timeline:
    """The times of events, and where a part of them begins.

    Parameters
    ----------
    times : int64, float64 or datetime64[ns] ndarray
        At least one, in any order; none is missing.

    Attributes
    ----------
    keys : int64 or float64 ndarray
        The times as numbers: of dates the nanoseconds since 1970. All times below are such numbers.
    first, last : int or float
        The earliest and the latest.
    end : int or float
        The next number after the last time.
    """

    def __init__(self, times: NDArray[Any]) -> None:
        self._dates = times.dtype.kind == "M"
        self.keys: NDArray[Any] = times.view(np.int64) if self._dates else times
        self._ascending = np.sort(self.keys)
        self.first, self.last = self._ascending[[0, -1]].tolist()
        self._whole = isinstance(self.last, int)
        self.end = self.last + 1 if self._whole else float(np.nextafter(self.last, np.inf))

    def __len__(self) -> int:
        return len(self.keys)

    def count_before(self, time: Any) -> int:
        """Return how many events are earlier than a time, which int64 need not be able to hold."""
        if time <= self.first:
            return 0
        return len(self) if time > self.last else int(np.searchsorted(self._ascending, time))

    def start_of(self, value: Any, stop: Any, name: str) -> Any:
        """Return when the part begins that ends at a time.

        Parameters
        ----------
        value : date, share or period
            What the user gave: the begin itself (a number where the times are numbers), how many of
            all events the part has, or how long it is.
        stop : int or float
            The first time after the part.
        name : str
            What error messages call `value`.
        """
        if is_share(value):
            return self._start_of_share(value, stop)
        if isinstance(value, _DURATIONS) or isinstance(value, str) and _PERIOD.match(value):
            return stop - self._length(value, name)
        return self._time(value, name)

    def start_before(self, value: Any, stop: Any, name: str) -> Any:
        """Do as `start_of` for a share or a period, which is a number where the times are numbers."""
        if is_share(value):
            return self._start_of_share(value, stop)
        return stop - self._length(value, name)

    def nearest(self, n: int, stop: Any) -> Any:
        """Return the time from which on there are `n` events before `stop`, or as nearly as can be.

        Events at the same time are not parted. Of two times that are equally near it is the later one. It is
        the first of all, which leaves nothing before it, only if `n` is all, or all are at one time.
        """
        before = self._ascending[: self.count_before(stop)]
        starts = np.flatnonzero(before[1:] != before[:-1]) + 1
        if n >= len(before) or not len(starts):
            return self.first
        distances = np.abs(starts - (len(before) - n))[::-1]
        return before[starts[len(starts) - 1 - int(distances.argmin())]].item()

    def show(self, time: Any) -> str:
        """Return a time as messages show it."""
        if not self._dates:
            return str(time)
        return str(np.array(time, "M8[ns]")).removesuffix(".000000000")

    def _start_of_share(self, share: Any, stop: Any) -> Any:
        return self.nearest(int(np.ceil(float(share) * len(self))), stop)

    def _length(self, value: Any, name: str) -> Any:
        """Return a period as a number > 0."""
        if self._dates:
            length: float = self._nanoseconds(value, name)
        elif isinstance(value, (str, *_DURATIONS)):
            raise TypeError(
                f"{name}={shown(value)} is a period of dates, but the timestamps are numbers: "
                "give a number"
            )
        else:
            length = check_real(value, name)
            if self._whole:
                length = math.floor(value)
        if length <= 0:
            raise ValueError(f"{name} must be longer than no time at all, got {shown(value)}")
        return length

    def _nanoseconds(self, value: Any, name: str) -> int:
        import pandas as pd

        if not has_unit(value):
            self._refuse(value, name, "a share between 0 and 1 or a period, such as '14D'")
        try:
            length = pd.Timedelta(value)
            if length is not pd.NaT:
                return int(length.as_unit("ns").value)
        except (ValueError, OverflowError):  # also what is beyond 292 years
            pass
        self._refuse(value, name)

    def _time(self, value: Any, name: str) -> Any:
        """Return a time as a number."""
        date_like = isinstance(value, _TIMES) or hasattr(value, "start_time")
        if isinstance(value, bool) or not (date_like or isinstance(value, str)):
            self._refuse(value, name, error=TypeError)
        try:
            known = self._parsed(value) if isinstance(value, str) else value
            time = check_timestamps([known], 1, name)
        except (ValueError, TypeError):
            self._refuse(value, name)
        if (time.dtype.kind == "M") != self._dates:
            self._refuse(value, name)
        number = time.view(np.int64).item() if self._dates else time.item()
        return math.ceil(number) if self._whole else number  # no whole number is between the two

    def _parsed(self, text: str) -> Any:
        import pandas as pd

        if not _DATE.match(text):
            raise ValueError("no date")
        return pd.Timestamp(text)

    def _refuse(
        self,
        value: Any,
        name: str,
        allowed: str | None = None,
        error: type[ValueError | TypeError] = ValueError,
    ) -> NoReturn:
        if allowed is None and self._dates:
            allowed = (
                "a share between 0 and 1, a date, such as '2024-03-31', or a period, such as '14D'"
            )
        elif allowed is None:
            allowed = "a share between 0 and 1 or a number, as the timestamps are"
        raise error(f"{name} must be {allowed}, got {shown(value)}") from None


def has_unit(value: Any) -> bool:
    """Tell whether this can be a period, not a number alone, of which pandas makes nanoseconds."""
    if isinstance(value, str):
        return _UNIT.search(value) is not None
    generic = isinstance(value, np.timedelta64) and np.datetime_data(value.dtype)[0] == "generic"
    return isinstance(value, _DURATIONS) and not generic
