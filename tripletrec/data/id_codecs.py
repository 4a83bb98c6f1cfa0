"""Which ids can be saved, and how they become numbers or texts and come back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, tzinfo
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.id_arrays import id_array, text_array

__all__ = ["check_savable", "pack_ids", "unpack_ids"]


class _Codec(NamedTuple):
    """One type of id as text."""

    encode: Callable[[Any], str]
    decode: Callable[[str], Any]


def _decode_bool(text: str) -> bool:
    return {"True": True, "False": False}[text]


def _zone_name(zone: tzinfo | None) -> str:
    """Return the name by which a time zone can be found again; "" if it is a fixed offset."""
    return getattr(zone, "key", None) or getattr(zone, "zone", None) or ""


def _encode_time(time: datetime) -> str:
    return f"{time.isoformat()} {_zone_name(time.tzinfo)}"


def _decode_time(text: str) -> datetime:
    from zoneinfo import ZoneInfo

    instant, _, zone = text.partition(" ")
    time = datetime.fromisoformat(instant)
    try:
        return time.astimezone(ZoneInfo(zone)) if zone else time
    except (LookupError, OSError):  # a zone that this computer does not know: the same instant
        return time


def _encode_timestamp(time: Any) -> str:
    return f"{time.isoformat()} {_zone_name(time.tzinfo)} {time.unit}"


def _decode_timestamp(text: str) -> Any:
    from zoneinfo import ZoneInfo

    import pandas as pd

    instant, zone, unit = text.split(" ")
    if len(instant) > _LONGEST_TIME:
        raise ValueError(f"a time of {len(instant)} characters")
    time = pd.Timestamp(instant).as_unit(unit)
    try:
        # pandas takes "dateutil/" and a path for a zone, and opens whatever is there.
        return time.tz_convert(zone) if zone and ZoneInfo(zone) else time
    except (LookupError, OSError):
        return time


_LONGEST_TIME = 64  # characters, twice what any has: over a long text pandas ponders for hours
_CODECS = {
    "str": _Codec(str, str),
    "int": _Codec(lambda each: format(each, "x"), lambda text: int(text, 16)),
    "float": _Codec(float.hex, float.fromhex),
    "bool": _Codec(str, _decode_bool),
    "bytes": _Codec(bytes.hex, bytes.fromhex),
    "UUID": _Codec(str, UUID),
    "date": _Codec(date.isoformat, date.fromisoformat),
    "datetime": _Codec(_encode_time, _decode_time),
    "Timestamp": _Codec(_encode_timestamp, _decode_timestamp),
}
_NAMES = {kind.__name__: kind for kind in (str, int, float, bool, bytes, UUID, date, datetime)}
_ALLOWED = "strings, numbers, booleans, dates, bytes or UUIDs"


def _codec_name(each: Any) -> str | None:
    name = type(each).__name__
    if name == "Timestamp":
        # Others cannot be written down: the standard library has four digits for a year.
        return name if hasattr(each, "as_unit") and 1 <= each.year <= 9999 else None
    return name if _NAMES.get(name) is type(each) else None


def check_savable(ids: NDArray[Any] | None, name: str) -> None:
    """Raise TypeError if a model with these ids could not be saved.

    Parameters
    ----------
    ids : ndarray or None
        As `Interactions` keeps them.
    name : str
        What the error message calls them.
    """
    if ids is None or ids.dtype.kind != "O":
        return
    for each in ids:
        if _codec_name(each) is None:
            raise TypeError(
                f"{name} must be {_ALLOWED}, else the model could not be saved, got {shown(each)}, "
                f"a {type(each).__name__}: use its str(...), or number the ids"
            )


def pack_ids(ids: NDArray[Any]) -> tuple[str, list[str] | NDArray[Any]]:
    """Return the name of a form and the ids in that form: an array of numbers, or a list of texts.

    Parameters
    ----------
    ids : ndarray
        As `Interactions` keeps them.

    Returns
    -------
    kind : str
        "numbers", "letters", "dates" or "durations" with a unit (such as "dates[ns]"), "mixed", or the type
        of all elements, such as "str" or "UUID".
    content : ndarray of a number or bool type, or list of str
        Letters are code points, uint32 of shape (n, width): a NumPy string array as it lies in memory, so
        that it can be used where a file is mapped. Strings may hold lone surrogates and NULs.
    """
    if ids.dtype.kind in "biuf":
        return "numbers", np.ascontiguousarray(ids)
    if ids.dtype.kind in "mM":
        word = "dates" if ids.dtype.kind == "M" else "durations"
        return f"{word}{ids.dtype.str[3:]}", np.ascontiguousarray(ids).view(np.int64)
    if ids.dtype.kind == "U":
        return "letters", np.ascontiguousarray(ids).view(np.uint32).reshape(len(ids), -1)
    check_savable(ids, "ids")
    elements = ids.tolist()
    names = [str(_codec_name(each)) for each in elements]
    texts = [_CODECS[name].encode(each) for name, each in zip(names, elements, strict=True)]
    if len(set(names)) == 1:
        return names[0], texts
    return "mixed", [f"{name} {text}" for name, text in zip(names, texts, strict=True)]


def unpack_ids(kind: str, content: Any) -> NDArray[Any]:
    """Return the ids that `pack_ids` was given, equal to them, of the same types and in the same form.

    Raises
    ------
    ValueError
        If there is no such form, or the content is not in it.
    """
    if kind == "letters":
        return _unpack_letters(content)
    form, _, unit = kind.partition("[")
    if form in ("numbers", "dates", "durations"):
        return _unpack_numbers(form, unit, content)
    if not isinstance(content, list) or not all(isinstance(each, str) for each in content):
        raise ValueError(f"ids of the form {shown(kind)} must be a list of texts")
    if kind == "str":
        return text_array(content)
    try:
        if kind == "mixed":
            pieces = [each.partition(" ") for each in content]
            elements = [_CODECS[name].decode(text) for name, _, text in pieces]
        else:
            elements = [_CODECS[kind].decode(each) for each in content]
    except (LookupError, ValueError, OverflowError, TypeError) as error:
        raise ValueError(f"ids of the form {shown(kind)} cannot be read: {shown(error)}") from None
    return id_array(np.fromiter(elements, dtype=object, count=len(elements)), "ids")


def _unpack_letters(content: Any) -> NDArray[Any]:
    letters = np.asarray(content)
    if letters.dtype != np.uint32 or letters.ndim != 2 or not letters.shape[1]:
        raise ValueError("ids of the form 'letters' must be rows of letters")
    if letters.max(initial=0) > sys.maxunicode:  # of which NumPy could make no string
        raise ValueError(f"ids of the form 'letters' have a letter {letters.max()}")
    return np.ascontiguousarray(letters).view(f"U{letters.shape[1]}")[:, 0]


def _unpack_numbers(form: str, unit: str, content: Any) -> NDArray[Any]:
    array = np.asarray(content)
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        raise ValueError(f"ids of the form {shown(form)} must be one row of numbers")
    if form == "numbers":
        return array
    return array.astype(np.int64, copy=False).view(_date_type(form, unit))


def _date_type(form: str, unit: str) -> np.dtype[Any]:
    wrong = ValueError(f"ids of the form {shown(form + '[' + unit)}: no such unit")
    try:
        dtype = np.dtype(f"{'M8' if form == 'dates' else 'm8'}[{unit}")
    except TypeError:
        raise wrong from None
    if dtype.kind not in "mM":  # "[D],i8" makes records
        raise wrong
    return dtype
