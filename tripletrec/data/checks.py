"""Checks of arrays, shapes and compressed rows that users hand in; parameters are checked in `_checks`.

Each function returns the checked value in the form that the rest of the package computes with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "check_csr",
    "check_factors",
    "check_length",
    "check_positions",
    "check_scores",
    "check_shape",
    "check_values",
]


def check_shape(n_users: int, n_items: int, name: str) -> tuple[int, int]:
    """Return the two counts; both must be at least 1 and fit int32 positions."""
    for count, word in ((n_users, "user"), (n_items, "item")):
        if count < 1:
            raise ValueError(f"{name} has no {word}: its shape is ({n_users}, {n_items})")
        if count >= 2**31:
            raise ValueError(f"{name} must have fewer than 2**31 {word}s, got {count}")
    return int(n_users), int(n_items)


def check_positions(positions: ArrayLike, name: str, count: int | None = None) -> NDArray[Any]:
    """Return a 1-D array of whole numbers >= 0, and < `count` if given."""
    array = np.asarray(positions)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be integers (row or column numbers), got {array.dtype}")
    if array.size == 0:
        return array.astype(np.int64)
    if array.min() < 0:
        raise ValueError(f"{name} must be >= 0, got {array.min()}")
    if count is not None and array.max() >= count:
        raise ValueError(f"{name} must be < {count}, got {array.max()}")
    return array


def check_csr(indptr: NDArray[Any], indices: NDArray[Any], n_data: int, name: str) -> None:
    """Raise unless the row pointers of a CSR matrix describe its arrays.

    A kernel would follow a wrong pointer out of the array.
    """
    if indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(f"{name}.indptr must start at 0 and never decrease")
    if indptr[-1] > min(len(indices), n_data):
        raise ValueError(
            f"{name}.indptr ends at {indptr[-1]}, beyond the {min(len(indices), n_data)} "
            "stored entries"
        )


def check_values(
    values: ArrayLike, name: str, locate: Callable[[int], tuple[int, int]]
) -> NDArray[np.float32]:
    """Return `values` as float32: real, finite, not negative; no copy if they are float32.

    `locate` gives the row and column of an entry, for the error message.
    """
    array = np.asarray(values)

    def refuse(wrong: NDArray[np.bool_], what: str, hint: str = "") -> None:
        if wrong.any():
            first = int(np.argmax(wrong))
            row, column = locate(first)
            raise ValueError(
                f"{name} must hold finite values >= 0, got {what} value {array[first]} "
                f"at row {row}, column {column}{hint}"
            )

    if array.dtype.kind == "c":
        refuse(np.ones(array.shape, bool), "the complex")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}")
    refuse(~np.isfinite(array), "the")
    refuse(array < 0, "the negative", ": give what users dislike to fit as negatives=")
    with np.errstate(over="ignore", under="ignore"):
        single = array.astype(np.float32, copy=False)
    if single.dtype != array.dtype and array.dtype.kind == "f":
        refuse(np.isinf(single) | ((single == 0) & (array != 0)), "beyond float32 the")
    return single


def check_length(array: ArrayLike, length: int, name: str, what: str) -> NDArray[Any]:
    """Return a 1-D array with `length` elements, one per `what`."""
    checked = np.asarray(array)
    if checked.shape != (length,):
        raise ValueError(
            f"{name} must be one per {what}: expected shape ({length},), got {checked.shape}"
        )
    return checked


def check_factors(
    U: ArrayLike, V: ArrayLike, b: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Return the factors and biases in one dtype: float32, or float64 if any is that precise."""
    given = {"U": np.asarray(U), "V": np.asarray(V)}
    if b is not None:
        given["b"] = np.asarray(b)
    for name, array in given.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
        if name != "b" and array.ndim != 2:
            raise ValueError(f"{name} must be two-dimensional, got shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
    if given["U"].shape[1] != given["V"].shape[1]:
        raise ValueError(
            "U and V must have the same number of factors, "
            f"got shapes {given['U'].shape} and {given['V'].shape}"
        )
    if b is not None and given["b"].shape != given["V"].shape[:1]:
        raise ValueError(
            f"b must have one bias per item: expected shape {given['V'].shape[:1]}, "
            f"got {given['b'].shape}"
        )
    precise = np.result_type(np.float32, *given.values()) != np.float32
    dtype = np.float64 if precise else np.float32
    arrays = {name: array.astype(dtype, copy=False) for name, array in given.items()}
    return arrays["U"], arrays["V"], arrays.get("b")


def check_scores(scores: Any, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the scores of a batch of users as float32 or float64."""
    array = np.asarray(scores)
    if array.shape != shape:
        raise ValueError(f"scores of {shape[0]} users must have shape {shape}, got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"scores must be real numbers, got dtype {array.dtype}")
    if array.dtype == np.float32 or array.dtype == np.float64:
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)
