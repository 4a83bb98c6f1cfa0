"""Checks of arrays, shapes and compressed rows that users hand in; parameters are checked in `_checks`.

Each function returns the checked value in the form that the rest of the package computes with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from numbers import Integral, Rational, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "as_array",
    "can_change",
    "check_factors",
    "check_length",
    "check_pointers",
    "check_positions",
    "check_scores",
    "check_shape",
    "check_values",
    "is_absent",
    "is_of_128_bits",
    "is_whole",
    "refuse_masked",
]

_EXACT = 2**53  # up to which float64 holds all whole numbers


def as_array(value: Any, name: str, kind: str = "an array") -> NDArray[Any]:
    """Return `value` as an ndarray: the door of all numbers that users hand in.

    Objects that are all numbers (Python's, Decimals) become an array of numbers: of integers where they are
    whole and none is a float. What is masked or missing has no number and is refused. `kind` is what the
    error message asks for.
    """
    if hasattr(value, "todense"):  # to NumPy one object, or an error that names no argument
        how = "toarray" if hasattr(value, "toarray") else "todense"
        raise TypeError(
            f"{name} must be {kind}, got a sparse {type(value).__name__}: use its {how}()"
        )
    refuse_masked(value, name)
    value = value.to_list() if is_of_128_bits(value) else value
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be {kind}, but its parts differ in length") from None
    return _as_numbers(array, name) if array.dtype == object and array.ndim else array


def is_of_128_bits(values: Any) -> bool:
    """Return whether a column of polars is of whole numbers that NumPy has no type for."""
    # The text of a type of NumPy takes longer than much of what is asked about arrays.
    return hasattr(values, "to_list") and str(getattr(values, "dtype", "")) in ("Int128", "UInt128")


def refuse_masked(value: Any, name: str) -> None:
    """Raise if a masked array, or a list of such, has masked entries: what is under the mask is no data."""
    if "numpy.ma" not in sys.modules:
        return
    parts = value if isinstance(value, (list, tuple)) else (value,)
    n_masked = sum(
        int(np.ma.count_masked(each)) for each in parts if isinstance(each, np.ma.MaskedArray)
    )
    if n_masked:
        raise ValueError(
            f"{name} must not be masked, but {n_masked} of its entries are: fill them first, as in "
            "array.filled(0)"
        )


def _as_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an array of objects as one of numbers, if they are; else as it is."""
    elements = array.ravel().tolist()
    for position, each in enumerate(elements):
        if is_absent(each):
            raise ValueError(f"{name} must not have missing entries, got {each} at {position}")
    if not elements:
        return array.astype(np.float64)  # as NumPy has it of an empty list
    if all(isinstance(each, (bool, np.bool_)) for each in elements):
        return array.astype(bool)
    types = set(map(type, elements))
    if np.timedelta64 in types or not all(issubclass(each, (Real, Decimal)) for each in types):
        return array
    if all(map(is_whole, elements)):
        return _as_integers([int(each) for each in elements], name).reshape(array.shape)
    try:
        return array.astype(np.float64)
    except (OverflowError, ValueError):
        raise ValueError(f"{name} must fit float64, got a number beyond it") from None


def _as_integers(numbers: list[int], name: str) -> NDArray[Any]:
    low, high = min(numbers), max(numbers)
    if low < -(2**63) or high >= (2**63 if low < 0 else 2**64):
        raise ValueError(f"{name} must fit into 64 bits, got {low if low < -(2**63) else high}")
    return np.array(numbers, np.int64 if high < 2**63 else np.uint64)


def is_whole(number: Any) -> bool:
    """Return whether a number is whole and no float; a Decimal that 64 bits cannot hold counts as none."""
    if isinstance(number, Decimal):
        # Of more digits than 64 bits have it is none, before its digits are written out.
        return number.is_finite() and number.adjusted() < 20 and number == int(number)
    return isinstance(number, Rational) and number.denominator == 1


def is_absent(each: Any) -> bool:
    """Return whether an element is None, pandas' NA or NaT; NaN is a float, and is not asked for."""
    return each is None or type(each).__name__ in ("NAType", "NaTType")


def check_shape(n_users: Any, n_items: Any, name: str) -> tuple[int, int]:
    """Return the two counts; both must be at least 1 and fit int32 positions."""
    for count, word in ((n_users, "user"), (n_items, "item")):
        if isinstance(count, bool) or not isinstance(count, Integral):
            raise TypeError(f"{name} must have a whole number of {word}s, got {count!r}")
        if int(count) < 1:
            raise ValueError(f"{name} has no {word}: its shape is ({n_users}, {n_items})")
        if int(count) >= 2**31:
            raise ValueError(f"{name} must have fewer than 2**31 {word}s, got {count}")
    return int(n_users), int(n_items)


def check_positions(positions: ArrayLike, name: str, count: int | None = None) -> NDArray[Any]:
    """Return a 1-D array of whole numbers >= 0, and < `count` if given."""
    array = as_array(positions, name)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers (row or column numbers), got {array.dtype}")
    if array.min() < 0:
        raise ValueError(f"{name} must be >= 0, got {array.min()}")
    if count is not None and array.max() >= count:
        raise ValueError(f"{name} must be < {count}, got {array.max()}")
    return array


def check_pointers(pointers: Any, n_rows: int, n_stored: int, name: str) -> NDArray[np.int64]:
    """Return the row pointers of compressed rows as int64, which describe `n_stored` entries or fewer.

    A kernel, SciPy's as well as one of this package, would follow a wrong pointer out of the array. If
    `pointers` can be changed by whoever holds them, the answer is a copy.
    """
    array = as_array(pointers, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    if array.shape != (n_rows + 1,):
        raise ValueError(
            f"{name} must have one element more than the matrix has rows (CSC: columns): expected "
            f"shape ({n_rows + 1},), got {array.shape}"
        )
    if can_change(array):
        array = array.copy()
    if array[0] != 0 or (array[1:] < array[:-1]).any():
        raise ValueError(f"{name} must start at 0 and never decrease")
    if array[-1] > n_stored:
        raise ValueError(f"{name} ends at {array[-1]}, beyond the {n_stored} stored entries")
    return array.astype(np.int64, copy=False)


def can_change(array: Any) -> bool:
    """Whether the memory of an array can be written to, through it or through what it is a view of."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return True
        array = array.base
    return False


def check_values(
    values: ArrayLike, name: str, locate: Callable[[int], str] | None = None
) -> NDArray[np.float32]:
    """Return `values` as float32: real, finite, not negative; no copy if they are float32.

    `locate` says in the error message where an entry is; None: its position is told.
    """
    array = as_array(values, name)

    def refuse(wrong: NDArray[np.bool_], what: str, hint: str = "") -> None:
        if wrong.any():
            first = int(np.argmax(wrong))
            where = f"at position {first}" if locate is None else locate(first)
            raise ValueError(
                f"{name} must hold finite values >= 0, got {what} value {array[first]} {where}{hint}"
            )

    if array.dtype.kind == "c":
        refuse(np.ones(array.shape, bool), "the complex")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}")
    refuse(~np.isfinite(array), "the")
    refuse(
        array < 0, "the negative", ": what users dislike goes to fit as negatives=, with values > 0"
    )
    with np.errstate(over="ignore", under="ignore"):
        single = array.astype(np.float32, copy=False)
    if single.dtype != array.dtype and array.dtype.kind == "f":
        refuse(np.isinf(single) | ((single == 0) & (array != 0)), "beyond float32 the")
    return single


def check_length(array: ArrayLike, length: int, name: str, what: str) -> NDArray[Any]:
    """Return a 1-D array with `length` elements, one per `what`."""
    checked = as_array(array, name)
    if checked.shape != (length,):
        raise ValueError(
            f"{name} must be one per {what}: expected shape ({length},), got {checked.shape}"
        )
    return checked


def check_factors(
    U: ArrayLike, V: ArrayLike, b: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Return the factors and biases in one dtype: float32, or float64 if any is that precise.

    Whole numbers that float64 would round are refused.
    """
    given = {"U": as_array(U, "U"), "V": as_array(V, "V")}
    if b is not None:
        given["b"] = as_array(b, "b")
    for name, array in given.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
        if name != "b" and array.ndim != 2:
            raise ValueError(f"{name} must be two-dimensional, got shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        _check_exact(array, name)
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
    """Return the scores of a batch of users as float32 or float64, whole numbers unrounded."""
    array = as_array(scores, "scores")
    if array.shape != shape:
        raise ValueError(f"scores of {shape[0]} users must have shape {shape}, got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"scores must be real numbers, got dtype {array.dtype}")
    if array.dtype == np.float32 or array.dtype == np.float64:
        return array
    _check_exact(array, "scores")
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def _check_exact(array: NDArray[Any], name: str) -> None:
    """Raise if an array has whole numbers that float64 might not tell from their neighbours."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not array.size:
        return
    for each in (array.min(), array.max()):
        if abs(int(each)) > _EXACT:
            raise ValueError(
                f"{name} must hold whole numbers from -2**53 to 2**53, for they are taken as float64, which "
                f"rounds larger ones, got {each}: make them smaller, or floats, or ranks"
            )
