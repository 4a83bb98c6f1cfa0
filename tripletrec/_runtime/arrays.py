"""The one form in which arrays are handed to kernels, and copies by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_alike", "check_rows", "copy_into", "distinct", "picked", "read_only"]

T = TypeVar("T", bound=np.generic)


def read_only(array: NDArray[T]) -> NDArray[T]:
    """Return a contiguous read-only view of an array, or of a copy where it is not contiguous.

    Numba compiles a kernel once for each kind of array: writable, read-only, strided or
    memory-mapped. A kernel that gets its inputs in this form only is compiled once.
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def distinct(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return what ``np.unique`` does of whole numbers, which first imports masked arrays."""
    ordered = np.sort(numbers.astype(np.int64))
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def picked(
    indptr: NDArray[np.int64], rows: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the index of some rows of a CSR matrix, and where their entries are in it."""
    lengths = indptr[rows + 1] - indptr[rows]
    own = np.concatenate(([0], np.cumsum(lengths)))
    return own, np.arange(own[-1]) + np.repeat(indptr[rows] - own[:-1], lengths)


def check_rows(larger: Sequence[NDArray[Any]], smaller: Sequence[NDArray[Any]]) -> None:
    """Raise ValueError unless each of the smaller arrays can be the first rows of the larger one."""
    for mine, theirs in zip(larger, smaller, strict=True):
        if mine.shape[1:] != theirs.shape[1:] or len(theirs) > len(mine):
            raise ValueError(
                f"an array of shape {theirs.shape} is not the first rows of {mine.shape}"
            )


def copy_into(named: Mapping[str, NDArray[Any]], others: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays into those of the same names.

    Raises
    ------
    ValueError
        If one is missing, there is one too many, or one is of another shape or type; nothing is copied then.
    """
    check_alike(named, others)
    for name, array in named.items():
        array[...] = others[name]


def check_alike(named: Mapping[str, NDArray[Any]], others: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError unless there are arrays of the same names, shapes and types, as `copy_into` does."""
    for name in (*named, *others):
        mine, other = named.get(name), others.get(name)
        if mine is None or other is None:
            raise ValueError(f"the array {name!r} is {'missing' if other is None else 'unknown'}")
        if (mine.shape, mine.dtype) != (other.shape, other.dtype):
            raise ValueError(
                f"the array {name!r} must be {mine.dtype} of shape {mine.shape}, got {other.dtype} of "
                f"shape {other.shape}"
            )
