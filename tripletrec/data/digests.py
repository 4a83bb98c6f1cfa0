"""Digests of interactions and arrays, by which two are told apart; those of code are in `_runtime`."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.id_packing import pack_ids_of
from tripletrec.data.interactions import Interactions

__all__ = ["digest_data"]

_PIECE = 2**20  # numbers that are digested at once


def digest_data(given: Any, *, whole: bool = False) -> str:
    """Return a digest of interactions, of an array or of several, or "" of None.

    Of interactions these are the pairs and the ids, with `whole` the values and the times, too.
    """
    if given is None:
        return ""
    arrays: dict[str, NDArray[Any]] = {}
    about = []
    if isinstance(given, Interactions):
        arrays = {"indptr": given.indptr, "indices": given.indices}
        about = [given.space.shape]
        for name in ("user_ids", "item_ids"):
            about.append(pack_ids_of(name, getattr(given, name), arrays))
        if whole:
            arrays["values"] = given.values
            if given.timestamps is not None:
                arrays["timestamps"] = given.timestamps
    else:
        several = [given] if isinstance(given, np.ndarray) else given
        arrays = {str(n): each for n, each in enumerate(several)}
    digest = hashlib.sha256(repr(about).encode())
    for name, each in arrays.items():
        digest.update(repr((name, each.dtype.str, each.shape)).encode())
        rows = max(1, _PIECE * len(each) // max(1, each.size))
        for first in range(0, len(each), rows):  # of what is mapped no copy is made
            piece = np.ascontiguousarray(each[first : first + rows])
            digest.update(piece.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
