"""Arrays by name and a text, in one file of the format safetensors; which arrays and why is not known here.

A file has the length of its header (8 bytes, little-endian), the header (JSON: of each array the type, the
shape and where it begins and ends; and texts under ``__metadata__``), and the arrays one after the other, see
https://github.com/huggingface/safetensors. The library of that name reads and writes the same files. Here

- files are written to and read from whatever is open: what the library writes by itself, under temporary
  names of its own, nobody removes if the process is killed;
- an array is read into memory of its own, never mapped: the file may be cut off meanwhile;
- everything that the header says is checked against the size of the file before memory is taken for it.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

__all__ = ["Header", "parse_json", "read_arrays", "read_header", "write_arrays"]

_TYPES = {
    "BOOL": "?", "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}
_LONGEST_HEADER = 100_000_000  # bytes, as in the library
_MOST_DIMENSIONS = 8
_MOST_DIGITS = (
    4300  # of a number, as in Python: more of them take a time that grows with their square
)


class Header(NamedTuple):
    """What a file says of itself: texts by name, and of each array its entry, in the order of the file."""

    metadata: dict[str, Any]
    arrays: list[tuple[str, dict[str, Any]]]


def write_arrays(file: Any, arrays: dict[str, NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write arrays and texts to a binary file.

    Parameters
    ----------
    file : binary file
        Its ``write`` takes anything with a buffer, and writes all of it.
    arrays : dict of ndarray
        Of numbers or truth values.
    metadata : dict of str
    """
    # The widest elements first: then each array begins at a multiple of its elements' size.
    ordered = sorted(arrays.items(), key=lambda each: (-each[1].dtype.itemsize, each[0]))
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        kind = _NAMES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(
            f"its texts and numbers take {len(text)} bytes, at most {_LONGEST_HEADER} are read again"
        )
    file.write(len(text).to_bytes(8, "little") + text)
    for _, array in ordered:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        file.write(little.reshape(-1).view(np.uint8))


def read_header(file: Any, size: int) -> Header:
    """Read the header of a file; afterwards the file is at its first array.

    Parameters
    ----------
    file : binary file
        At its begin.
    size : int
        Bytes in the file.

    Raises
    ------
    ValueError
        If it is none of this format, or not of this size.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ValueError(f"its first bytes do not say how long its header is, of {size} bytes")
    header = parse_json(str(file.read(length), "utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError("its __metadata__ is no JSON object")
    arrays = sorted(header.items(), key=lambda each: _offsets(*each))
    end = 0
    for name, entry in arrays:
        begin, last = _offsets(name, entry)
        if begin != end or last < begin:
            raise ValueError(
                f"array {name[:80]!r} must begin at byte {end}, where the one before ends"
            )
        end = last
    if end != size - 8 - length:
        raise ValueError(f"its arrays take {end} bytes, but {size - 8 - length} follow the header")
    return Header(metadata, arrays)


def read_arrays(file: Any, header: Header) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file whose header has been read.

    Raises
    ------
    ValueError
        If the header says of an array what cannot be, or the file is shorter than it was.
    """
    arrays = {}
    for name, entry in header.arrays:
        begin, end = _offsets(name, entry)
        dtype, shape = _TYPES.get(str(entry.get("dtype"))), entry.get("shape")
        if dtype is None:
            raise ValueError(f"array {name[:80]!r} has a type that is not read here")
        if not _is_row_of_counts(shape) or len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"array {name[:80]!r} has no shape")
        if math.prod(shape) * np.dtype(dtype).itemsize != end - begin:
            raise ValueError(
                f"array {name[:80]!r} does not have as many elements as its shape says"
            )
        raw = np.empty(end - begin, np.uint8)
        if file.readinto(raw) != end - begin:
            raise ValueError("it ends too early")
        if dtype == "?" and (raw > 1).any():
            raise ValueError(f"array {name[:80]!r} has truth values other than 0 and 1")
        native = np.dtype(dtype).newbyteorder("=")
        arrays[name] = raw.view(dtype).reshape(shape).astype(native, copy=False)
    return arrays


def parse_json(text: str) -> Any:
    """Return what a JSON text holds.

    Raises
    ------
    ValueError
        If it is not JSON, has a name twice in one object, or is nested too deep.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=_whole_number)
    except RecursionError:
        raise ValueError("its JSON is nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        last = {name: place for place, (name, _) in enumerate(pairs)}
        twice = next(name for place, (name, _) in enumerate(pairs) if last[name] != place)
        raise ValueError(f"its JSON has the name {twice[:80]!r} twice in one object")
    return found


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"its JSON has a number of {len(text)} digits")
    return int(text)


def _offsets(name: str, entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not _is_row_of_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"array {name[:80]!r} does not say where it begins and ends")
    begin, end = offsets
    return begin, end


def _is_row_of_counts(value: Any) -> TypeGuard[list[int]]:
    """Tell whether a value is a list of whole numbers, none negative, that NumPy may count with."""
    return isinstance(value, list) and all(
        type(each) is int and 0 <= each < 2**62 for each in value
    )
