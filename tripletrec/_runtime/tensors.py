"""Reads and writes the files of models: arrays by name and texts, in the format safetensors.

The library of that name takes the bytes. Files are read here, since what it reads it maps: such a file may be
cut off meanwhile. They are written here array by array: the library makes the whole file in memory first, in
several copies, and what it writes by itself lies under temporary names that nobody removes after a crash.
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
    n_bytes = sum(len(each.encode()) for each in metadata.values())
    if n_bytes > _LONGEST_TEXT // 2:  # as some characters take two in JSON
        raise ValueError(
            f"its texts and numbers take {n_bytes} bytes beside its arrays, at most {_LONGEST_TEXT // 2} can"
        )
    plain = [
        (name, np.asarray(each, each.dtype.newbyteorder("="), order="C"))
        for name, each in arrays.items()
    ]
    plain.sort(key=lambda each: (-each[1].itemsize, each[0]))  # so that all are aligned
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, each in plain:
        kind = "BOOL" if each.dtype == bool else f"{each.dtype.kind.upper()}{8 * each.itemsize}"
        place = [end, end := end + each.nbytes]
        header[name] = {"dtype": kind, "shape": each.shape, "data_offsets": place}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, each in plain:
        if each.size:
            file.write(each.reshape(-1).view(np.uint8).data)


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


def map_arrays(content: mmap.mmap | bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
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
    header, texts = _header(str(content[8 : 8 + n_header], "utf-8"))
    arrays, end, begin = {}, 0, 8 + n_header
    for name, entry in sorted(header.items(), key=_place_of):
        first, last = entry["data_offsets"]
        dtype, shape = _type_of(name, entry), entry["shape"]
        if first != end or last - first != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"array {name[:80]!r} does not lie where its shape says")
        if begin + last > len(content):
            raise ValueError(f"array {name[:80]!r} ends beyond the {len(content)} bytes")
        end = last
        arrays[name] = _look(content, begin + first, last - first, name, dtype).reshape(shape)
    if begin + end != len(content):
        raise ValueError(f"its arrays end after {begin + end} of {len(content)} bytes")
    return arrays, texts


def _header(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a header says of each array, and the texts in it."""
    header = parse_json(text)
    if not isinstance(header, dict) or not text.startswith("{"):
        raise ValueError("its header is no JSON object")
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(each, str) for each in texts.values()):
        raise ValueError("the texts in its header are no JSON object of strings")
    return header, texts


def _look(
    content: mmap.mmap | bytes, begin: int, n_bytes: int, name: str, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return numbers in mapped bytes, copied only if they do not lie as their type needs."""
    array = np.frombuffer(content, np.uint8, n_bytes, begin)
    if dtype.kind == "b" and (array > 1).any():
        raise ValueError(f"array {name[:80]!r} has truth values other than 0 and 1")
    array = array.view(dtype)
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array


def _type_of(name: str, entry: dict[str, Any]) -> np.dtype[Any]:
    kind, shape = _TYPES.get(str(entry.get("dtype"))), entry.get("shape")
    if kind is None or not isinstance(shape, list) or not all(map(_is_size, shape)):
        raise ValueError(f"array {name[:80]!r} is of a type or shape that is not read here")
    return np.dtype(kind)


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
