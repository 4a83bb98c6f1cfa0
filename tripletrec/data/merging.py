"""What becomes of several interactions of one user with one item; how the rest is sorted out is in `csr`."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["Duplicates", "MergedPairs", "check_duplicates", "merge", "zeros_and_ones"]

Duplicates: TypeAlias = Literal["sum", "max", "last", "first", "count"]


class MergedPairs(NamedTuple):
    """One key, value and time per pair of a user and an item, ascending by key."""

    keys: NDArray[np.int64]
    values: NDArray[Any]
    timestamps: NDArray[Any] | None
    n_merged: int


def check_duplicates(duplicates: Any) -> Duplicates:
    """Return the name of a way to merge duplicates."""
    if not isinstance(duplicates, str) or duplicates not in get_args(Duplicates):
        names = ", ".join(map(repr, get_args(Duplicates)))
        raise ValueError(f"duplicates must be one of {names}, got {duplicates!r}")
    return duplicates  # type: ignore[return-value]


def zeros_and_ones(values: NDArray[Any]) -> NDArray[Any]:
    """Return booleans as numbers, which `merge` adds up, and anything else as it is."""
    return values.astype(np.uint8) if values.dtype == bool else values


def merge(
    keys: NDArray[np.int64],
    values: NDArray[Any],
    timestamps: NDArray[Any] | None,
    duplicates: Duplicates,
) -> MergedPairs:
    """Sort by key and let one interaction stand for all of the same key; zeros stay.

    Parameters
    ----------
    keys : ndarray of shape (n,)
        One number per pair of a user and an item.
    values : ndarray of shape (n,)
        With "count", ones. Booleans are those of a matrix: the sum of two trues is one.
    timestamps : ndarray of shape (n,) or None
    duplicates : {"sum", "max", "last", "first", "count"}
        "last" and "first" are by time, among equal times and without times by position. The time that is
        kept is the latest, with "first" the earliest.
    """
    order = _order(keys, timestamps if duplicates in ("last", "first") else None)
    keys, values = keys[order], values[order]
    timestamps = None if timestamps is None else timestamps[order]
    del order  # of ten million there is much of it
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    n_merged = len(keys) - len(starts)
    if not n_merged:
        return MergedPairs(keys, values, timestamps, 0)
    if duplicates in ("last", "first"):
        kept = starts if duplicates == "first" else np.append(starts[1:], len(keys)) - 1
        times = None if timestamps is None else timestamps[kept]
        return MergedPairs(keys[kept], values[kept], times, n_merged)
    times = None if timestamps is None else np.maximum.reduceat(timestamps, starts)
    return MergedPairs(keys[starts], _together(values, starts, duplicates), times, n_merged)


def _order(keys: NDArray[np.int64], times: NDArray[Any] | None) -> NDArray[np.intp]:
    """Return the order by key, then by time if there are times, then by position."""
    if times is not None:
        return np.lexsort((times, keys))
    n_bits = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + n_bits > 63:
        return np.argsort(keys, kind="stable")
    # Distinct numbers have but one order, so that NumPy may take its fastest sort.
    places = (keys << n_bits) | np.arange(len(keys))
    places.sort()
    return places & ((1 << n_bits) - 1)


def _together(
    values: NDArray[Any], starts: NDArray[np.intp], duplicates: Duplicates
) -> NDArray[Any]:
    if values.dtype == bool:  # two trues are one true, as in SciPy
        together: NDArray[Any] = np.logical_or.reduceat(values, starts)
    elif duplicates == "max":
        together = np.maximum.reduceat(values, starts)
    else:  # float64: int8 would wrap around
        together = np.add.reduceat(values.astype(np.float64), starts)
    return together
