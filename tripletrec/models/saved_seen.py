"""What a model was trained on, in a saved file: the items of each user; all else is in `saving`.

Four bytes an interaction and eight a user. Values and times are left out: nothing that a fitted model answers
depends on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.checks import check_pointers, check_positions
from tripletrec.data.csr import Rows
from tripletrec.data.interactions import Interactions
from tripletrec.ranking.exclusion import Pairs, padded

__all__ = ["SEEN_ARRAYS", "pack_seen", "unpack_seen"]

SEEN_ARRAYS = _BOUNDS, _ITEMS = "seen_bounds", "seen_items"


def pack_seen(model: Any, arrays: dict[str, NDArray[Any]]) -> bool:
    """Put what a model was trained on into `arrays`; return whether it knows that."""
    seen = vars(model).get("seen_")
    if seen is None:
        return False
    seen.check_still_inside("what the model was trained on")
    pairs: Pairs = padded(seen, model.n_users_)
    arrays[_BOUNDS], arrays[_ITEMS] = pairs.indptr, pairs.indices
    return True


def unpack_seen(value: Any, arrays: dict[str, NDArray[Any]], model: Any) -> Interactions | None:
    """Return what a model was trained on, with values of 1, or None if a file does not say it.

    Parameters
    ----------
    value : object
        What the description of the file says of it: whether it is there; None: nothing.
    arrays : dict of ndarray
        Those of the file that are named in `SEEN_ARRAYS`.
    model : estimator
        Has its users and items by now.

    Raises
    ------
    ValueError, TypeError
        If it is not as `fit` was given it: kernels would follow a wrong number out of an array.
    """
    if not (value is None or isinstance(value, bool)):
        raise ValueError(f"seen must be true or false, got {shown(value)}")
    if len(arrays) != (2 if value else 0):
        raise ValueError(f"seen is {value}, and there are {len(arrays)} of its two arrays")
    if not value:
        return None
    bounds, items = arrays[_BOUNDS], arrays[_ITEMS]
    for name, array, kind in ((_BOUNDS, bounds, np.int64), (_ITEMS, items, np.int32)):
        if array.dtype != kind or array.ndim != 1:
            raise ValueError(
                f"{name} must be one row of {kind.__name__}, got {array.dtype} {array.shape}"
            )
    bounds = check_pointers(bounds, model.n_users_, len(items), _BOUNDS)
    if bounds[-1] != len(items):
        raise ValueError(f"{_BOUNDS} must end at the {len(items)} of {_ITEMS}, got {bounds[-1]}")
    check_positions(items, _ITEMS, model.n_items_)
    falls = np.flatnonzero(items[1:] <= items[:-1]) + 1
    if not np.isin(falls, bounds).all():
        raise ValueError(f"{_ITEMS} must rise for each user")
    shape = model.n_users_, model.n_items_
    rows = Rows(shape, bounds, items, np.ones(len(items), np.float32), None)
    return Interactions.of_rows(rows, model._users(), model._items())
