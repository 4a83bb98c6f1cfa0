"""What a model was trained on, in a saved file: the items of each user; all else is in `saving`.

Four bytes an interaction and eight a user. Values are there only if some are not 1, for `partial_fit`: one
byte each where all are whole numbers up to 255, else four. Times are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.checks import check_pointers, check_positions, check_values
from tripletrec.data.csr import CsrRows
from tripletrec.data.ids import where
from tripletrec.data.interactions import Interactions
from tripletrec.ranking.exclusion import padded
from tripletrec.sampling.draw import ItemsOfUsers

__all__ = ["SEEN_ARRAYS", "VALUES", "pack_seen", "unpack_seen"]

SEEN_ARRAYS = _BOUNDS, _ITEMS, VALUES = "seen_bounds", "seen_items", "seen_values"


def pack_seen(model: Any, arrays: dict[str, NDArray[Any]]) -> bool:
    """Put what a model was trained on into `arrays`; return whether it knows that."""
    seen = model._seen
    if seen is None:
        return False
    seen._check_still_inside("what the model was trained on")
    pairs: ItemsOfUsers = padded(seen, model.n_users_)
    arrays[_BOUNDS], arrays[_ITEMS] = pairs.indptr, pairs.indices
    values = _as_values(seen.values, pairs, "values of what the model was trained on")
    if not (values == 1.0).all():
        small = values.max() <= 255.0 and (values == np.floor(values)).all()
        arrays[VALUES] = values.astype(np.uint8) if small else values
    return True


def _as_values(array: NDArray[Any], pairs: ItemsOfUsers, name: str) -> NDArray[np.float32]:
    def locate(place: int) -> str:
        user = int(np.searchsorted(pairs.indptr, place, side="right")) - 1
        return where(user, int(pairs.indices[place]))

    return check_values(array, name, locate)


def unpack_seen(value: Any, arrays: dict[str, NDArray[Any]], model: Any) -> Interactions | None:
    """Return what a model was trained on, without times, or None if a file does not say it.

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
    allowed = ({_BOUNDS, _ITEMS}, set(SEEN_ARRAYS)) if value else (set(),)
    if arrays.keys() not in allowed:
        raise ValueError(f"seen is {value}, and there are of its arrays {sorted(arrays)}")
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
    values = _unpack_values(arrays.get(VALUES), ItemsOfUsers(bounds, items))
    rows = CsrRows(shape, bounds, items, values, None)
    return Interactions._of_rows(rows, model._users(), model._items())


def _unpack_values(array: NDArray[Any] | None, pairs: ItemsOfUsers) -> NDArray[np.float32]:
    if array is None:
        return np.ones(len(pairs.indices), np.float32)
    if array.dtype not in (np.uint8, np.float32) or array.shape != pairs.indices.shape:
        raise ValueError(
            f"{VALUES} must be {len(pairs.indices)} of uint8 or float32, got {array.dtype} {array.shape}"
        )
    return _as_values(array, pairs, VALUES)
