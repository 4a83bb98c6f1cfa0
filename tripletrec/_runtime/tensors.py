"""Arrays by name and texts, in one file of the format safetensors; which arrays and why is not known here.

The library of that name makes and takes the bytes. Files are written and read here, since what it writes
by itself lies under temporary names of its own, which nobody removes if the process is killed, and what it
reads it maps: such a file may be cut off meanwhile.
"""

from __future__ import annotations

import json
import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["map_arrays", "parse_json", "read_arrays", "write_arrays"]

_LONGEST_TEXT = (
    100_000_000  # bytes of the header, which is all but the arrays: more the library does not read
)
_MOST_DIGITS = (
    4300  # of a number, as in Python: a longer one takes time by the square of its length
)


def write_arrays(file: Any, arrays: dict[str, NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write arrays and texts to a binary file.

    Parameters
    ----------
    file : binary file
    arrays : dict of ndarray
        Of numbers or truth values.
    metadata : dict of str

    Raises
    ------
    ValueError
        If the texts are so long that they could not be read again.
    """
    from safetensors.numpy import save

    n_bytes = sum(len(each.encode()) for each in metadata.values())
    if n_bytes > _LONGEST_TEXT // 2:  # as some characters take two in JSON
        raise ValueError(
            f"its texts and numbers take {n_bytes} bytes beside its arrays, at most {_LONGEST_TEXT // 2} can"
        )
    plain = {
        name: np.asarray(each, each.dtype.newbyteorder("="), order="C")
        for name, each in arrays.items()
    }
    file.write(save(plain, metadata))


def read_arrays(file: Any, size: int) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the texts of a binary file.

    Parameters
    ----------
    file : binary file
        At its begin.
    size : int
        Bytes in the file.

    Raises
    ------
    ValueError
        If it is none of this format, holds a type that NumPy lacks, or is shorter than it was.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = file.read()
    if len(content) != size:
        raise ValueError(f"it ends after {len(content)} of {size} bytes")
    try:
        arrays = load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # a type that NumPy lacks
        raise ValueError(f"it has an array that is not read here: {error!r}") from None
    for name, array in arrays.items():
        if array.dtype == bool and (array.view(np.uint8) > 1).any():
            raise ValueError(f"array {name[:80]!r} has truth values other than 0 and 1")
        if not array.flags.writeable or not array.flags.aligned:
            arrays[name] = array.copy()
    header = parse_json(str(content[8 : 8 + int.from_bytes(content[:8], "little")], "utf-8"))
    return arrays, header.get("__metadata__") or {}


def map_arrays(content: mmap.mmap) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the texts of a mapped file; the arrays are read-only and look into it.

    What does not lie as its type needs it is copied.

    Raises
    ------
    ValueError
        If it is none of this format, or an array does not lie within it.
    """
    n_header = int.from_bytes(content[:8], "little")
    if len(content) < 8 or n_header > min(_LONGEST_TEXT, len(content) - 8):
        raise ValueError(f"its header should take {n_header} of {len(content)} bytes")
    header = parse_json(str(content[8 : 8 + n_header], "utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    texts = header.pop("__metadata__", None) or {}
    if not isinstance(texts, dict):
        raise ValueError("its texts are no JSON object")
    arrays, end, n_data = {}, 0, len(content) - 8 - n_header
    for name, entry in sorted(header.items(), key=_place_of):
        first, last = entry["data_offsets"]
        dtype, shape = np.dtype(_TYPES.get(entry.get("dtype"), "V1")), entry.get("shape")
        if dtype.kind == "V" or not isinstance(shape, list) or not all(map(_is_size, shape)):
            raise ValueError(f"array {name[:80]!r} is of a type or shape that is not read here")
        if first != end or last > n_data or last - first != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"array {name[:80]!r} does not lie where its shape says")
        end = last
        array = np.frombuffer(content, np.uint8, last - first, 8 + n_header + first)
        if dtype.kind == "b" and (array > 1).any():
            raise ValueError(f"array {name[:80]!r} has truth values other than 0 and 1")
        array = array.view(dtype)
        arrays[name] = (array if array.flags.aligned else array.copy()).reshape(shape)
    if end != n_data:
        raise ValueError(f"its arrays end after {end} of {n_data} bytes")
    return arrays, texts


_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def _place_of(item: tuple[str, Any]) -> tuple[int, int]:
    """Return where an array begins and ends, by its name and entry in the header."""
    name, entry = item
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise ValueError(f"array {name[:80]!r} is without its place")
    return offsets[0], offsets[1]


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


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
