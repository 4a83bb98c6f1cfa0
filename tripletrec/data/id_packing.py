"""Ids as plain JSON and arrays by name, and back, for files; which ids can be saved is told in `id_codecs`.

In JSON they are ``{"ids": form}``; the numbers or letters, or the bytes of all texts and where each one ends,
are arrays. Row numbers in place of ids are ``{"json": None}``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.id_codecs import pack_ids, unpack_ids

__all__ = ["pack_ids_of", "unpack_ids_of"]


def pack_ids_of(name: str, ids: NDArray[Any] | None, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return what stands in the JSON for ids; the arrays with them go to `arrays`, under `name`."""
    if ids is None:
        return {"json": None}
    form, content = pack_ids(ids)
    if isinstance(content, list):
        # A few long ids must not make all the others as long: UTF-8 and where each one ends.
        encoded = [each.encode("utf-8", "surrogatepass") for each in content]
        arrays[name] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[name + ".ends"] = np.cumsum([len(each) for each in encoded], dtype=np.int64)
    else:
        arrays[name] = content
    return {"ids": form}


def unpack_ids_of(name: str, value: Any, arrays: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Return the ids that `pack_ids_of` was given; what is taken from `arrays` is removed there."""
    if value == {"json": None}:
        return None
    form = value.get("ids") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(form, str):
        raise ValueError(f"{name} is {shown(value)}, which are no ids")
    if name not in arrays:
        raise ValueError(f"{name} is without its array")
    array = arrays.pop(name)
    if name + ".ends" not in arrays:
        return unpack_ids(form, array)
    ends = arrays.pop(name + ".ends")
    places = _places(name, array, ends)
    content, places = array.tobytes(), places.tolist()
    pieces = zip(places, places[1:], strict=False)
    return unpack_ids(form, [content[a:b].decode("utf-8", "surrogatepass") for a, b in pieces])


def _places(name: str, whole: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each text begins, and the end of the last."""
    if whole.dtype != np.uint8 or whole.ndim != 1 or ends.dtype != np.int64 or ends.ndim != 1:
        raise ValueError(f"the texts of {name} must be a row of bytes and where each one ends")
    places = np.concatenate([[0], ends])
    if (places[1:] < places[:-1]).any() or places[-1] != len(whole):
        raise ValueError(f"the ends of {name} must never fall, and the last be {len(whole)}")
    return places
