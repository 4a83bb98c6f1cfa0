"""Checks of the fitted attributes that all models have, as when a file is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripletrec._checks import check_count
from tripletrec._runtime.messages import shown

__all__ = ["check_array", "check_ids_and_counts", "check_sizes"]


def check_sizes(model: Any) -> None:
    """Raise unless a model has all attributes that `fit` sets, and numbers of users and items."""
    missing = [name for name in model._learnt_names() if name not in vars(model)]
    if missing:
        raise ValueError(f"the attribute {missing[0]} is missing")
    check_count(model.n_users_, "n_users_")
    check_count(model.n_items_, "n_items_")
    n_features = model.n_features_in_
    if n_features != model.n_items_ or isinstance(n_features, bool):
        raise ValueError(
            f"n_features_in_ must be n_items_, {model.n_items_}, got {shown(n_features)}"
        )


def check_ids_and_counts(model: Any, look_through: bool) -> None:
    """Raise unless ids and ``item_counts_`` are as `fit` leaves them.

    Ids are looked through for equal ones only if that is asked for.
    """
    _check_id_array("user_ids_", model.user_ids_, model.n_users_)
    _check_id_array("item_ids_", model.item_ids_, model.n_items_)
    if not look_through:
        model._trust_ids()
    model._users(), model._items()  # checks the ids
    _check_counts(model.item_counts_, model.n_items_)


def check_array(name: str, array: Any, shape: tuple[int, ...], look_through: bool) -> None:
    """Raise unless an attribute is a float32 array of a shape, and finite if it is looked through."""
    known = isinstance(array, np.ndarray)
    if not known or array.shape != shape or array.dtype != np.float32:
        found = f"{array.dtype} {array.shape}" if known else shown(array)
        raise ValueError(f"{name} must be float32 of shape {shape}, got {found}")
    if look_through and not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")


def _check_id_array(name: str, ids: Any, n: int) -> None:
    if not (ids is None or isinstance(ids, np.ndarray)):
        raise TypeError(f"{name} must be an array or None, got {shown(ids)}")
    if ids is not None and len(ids) != n:
        raise ValueError(f"{name} must have {n} ids, got {len(ids)}")


def _check_counts(counts: Any, n_items: int) -> None:
    known = isinstance(counts, np.ndarray)
    if not known or counts.ndim != 1 or counts.dtype != np.int64 or (counts < 0).any():
        raise ValueError(f"item_counts_ must be int64 numbers >= 0, got {shown(counts)}")
    if len(counts) > n_items:  # fewer where items were added
        raise ValueError(
            f"item_counts_ must be of {n_items} items at most, got shape {counts.shape}"
        )
