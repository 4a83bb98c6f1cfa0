"""Arrays by name and texts, in one file of the format safetensors; which arrays and why is not known here.

The library of that name takes the bytes. Files are read here, since what it reads it maps: such a file may be
cut off meanwhile. They are written here array by array: the library makes the whole file in memory first, in
several copies, and what it writes by itself lies under temporary names that nobody removes after a crash.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["parse_json", "read_arrays", "write_arrays"]

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
