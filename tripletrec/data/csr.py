"""Matrices of any kind in canonical CSR form: sorted, no duplicates, no zeros."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tripletrec._runtime.messages import warn_user
from tripletrec.data.checks import (
    as_array,
    can_change,
    check_length,
    check_positions,
    check_shape,
    check_values,
)
from tripletrec.data.ids import Ids, where
from tripletrec.data.merging import Duplicates, merge
from tripletrec.data.sparse import compressed_rows, entries_of, shape_of
from tripletrec.data.times import check_timestamps

__all__ = ["CsrRows", "assemble", "count_rows", "from_coordinates", "from_matrix"]


class CsrRows(NamedTuple):
    """The arrays of a canonical CSR matrix."""

    shape: tuple[int, int]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    timestamps: NDArray[Any] | None
    borrowed: bool = False  # whether the indices are a matrix's own, which its owner may change
    n_merged: int = 0  # how many were duplicates of others


def from_matrix(matrix: Any, name: str, timestamps: ArrayLike | None) -> CsrRows:
    """Bring a sparse matrix or array of any format, or an ndarray, to canonical rows."""
    from scipy.sparse import issparse

    if not issparse(matrix):
        table = _as_table(matrix, name)
        shape = check_shape(*shape_of(table, name), name)
        _warn_if_pairs(table, name)
        users, items = np.nonzero(table)
        return from_coordinates(users, items, table[users, items], timestamps, shape, name)
    shape = check_shape(*shape_of(matrix, name), name)
    if matrix.format == "csr":
        return _from_csr(matrix, shape, name, timestamps)
    return from_coordinates(*entries_of(matrix, shape, name), timestamps, shape, name)


def _as_table(matrix: Any, name: str) -> NDArray[Any]:
    if hasattr(matrix, "columns"):
        raise TypeError(
            f"{name} must be a matrix of users x items, got a {type(matrix).__name__}: "
            "use Interactions.from_frame for a table with one row per interaction"
        )
    foreign = not hasattr(matrix, "__array__") or hasattr(matrix, "todense")  # sparse, not of SciPy
    if foreign and not isinstance(matrix, (np.ndarray, list)):
        raise TypeError(
            f"{name} must be Interactions, a scipy sparse matrix or a two-dimensional ndarray, "
            f"got {type(matrix).__name__}"
        )
    table = as_array(matrix, name, "a two-dimensional array")
    if table.dtype.kind not in "biufc":
        raise TypeError(
            f"{name} must hold numbers, got dtype {table.dtype}; use Interactions.from_frame for a table "
            "with one row per interaction"
        )
    return table


def _warn_if_pairs(table: NDArray[Any], name: str) -> None:
    """Warn if a matrix looks like a list of (user, item) or (user, item, weight).

    It has two or three columns of integers, not all 0 or 1, and few zeros: matrices of weights with so few
    items are rare.
    """
    n_rows, n_columns = table.shape
    if table.dtype.kind not in "iu" or n_columns not in (2, 3) or n_rows <= n_columns:
        return
    if table.max() > 1 and 2 * np.count_nonzero(table) >= table.size:
        warn_user(
            f"{name} of shape {table.shape} is taken for the weights of {n_rows} users x {n_columns} "
            "items; if its rows are pairs of a user and an item, use "
            "Interactions.from_arrays(users, items)"
        )


def _from_csr(
    matrix: Any, shape: tuple[int, int], name: str, timestamps: ArrayLike | None
) -> CsrRows:
    indptr, items, data = compressed_rows(matrix, shape, name)
    nnz = len(items)

    def locate(entry: int) -> str:
        return where(int(np.searchsorted(indptr, entry, side="right")) - 1, int(items[entry]))

    values = check_values(data, name, locate)
    times = None if timestamps is None else check_timestamps(timestamps, nnz, "timestamps")
    if values.all() and _ascending_in_rows(indptr, items):
        indices = items.astype(np.int32, copy=False)
        borrowed = indices is items and can_change(items)
        return CsrRows(shape, indptr, indices, values, _own(times, times), borrowed)
    users = np.repeat(np.arange(shape[0], dtype=np.int32), np.diff(indptr))
    return from_coordinates(users, items, data, times, shape, name)


def _ascending_in_rows(indptr: NDArray[np.int64], items: NDArray[Any]) -> bool:
    rising = items[1:] > items[:-1]
    starts = indptr[(indptr > 0) & (indptr < len(items))]
    rising[starts - 1] = True  # the next row may begin with a lower item
    return bool(rising.all())


def from_coordinates(
    users: NDArray[Any],
    items: NDArray[Any],
    values: ArrayLike | None,
    timestamps: ArrayLike | None,
    shape: tuple[int, int],
    name: str,
    duplicates: Duplicates = "sum",
    axes: tuple[Ids, Ids] | None = None,
) -> CsrRows:
    """Bring one row, column, value and time per interaction to canonical rows; see `merging.merge`.

    Error messages name users and items by the ids of `axes`.
    """
    users = check_positions(users, "users", shape[0])
    items = check_length(check_positions(items, "items", shape[1]), len(users), "items", "user")
    if timestamps is not None:
        timestamps = check_timestamps(timestamps, len(users), "timestamps")
    if values is None or duplicates == "count":
        weights: NDArray[Any] = np.ones(len(users), np.float32)
    else:
        weights = check_length(values, len(users), name, "interaction")
        check_values(weights, name, lambda e: where(int(users[e]), int(items[e]), axes))
    rows = assemble(shape, users, items, weights, timestamps, duplicates, axes=axes)
    return rows._replace(
        values=_own(rows.values, weights), timestamps=_own(rows.timestamps, timestamps)
    )


def _own(kept: Any, given: Any) -> Any:
    """Return an array, or a copy of one that is memory of what was given, which its owner may change."""
    shared = kept is not None and can_change(kept) and np.may_share_memory(kept, given)
    return kept.copy() if shared else kept


def count_rows(positions: NDArray[Any], name: str) -> int:
    """Return how many rows, or columns, there are at least where these numbers occur."""
    if not len(positions):
        raise ValueError(f"{name} has no interaction: at least one positive, or shape, is needed")
    return int(positions.max()) + 1


def assemble(
    shape: tuple[int, int],
    users: NDArray[Any],
    items: NDArray[Any],
    values: NDArray[Any],
    timestamps: NDArray[Any] | None,
    duplicates: Duplicates = "sum",
    first: int = 0,
    axes: tuple[Ids, Ids] | None = None,
) -> CsrRows:
    """Sort by (user, item), merge duplicates, drop zeros.

    For messages, `first` is the user of row 0, and `axes` holds the ids of all users and items.
    """
    keys = users.astype(np.int64)  # with uint64 floats come of it
    keys = keys * shape[1] + items.astype(np.int64)
    n_merged = 0
    if (keys[1:] <= keys[:-1]).any() or not values.all():
        keys, values, timestamps, n_merged = merge(keys, values, timestamps, duplicates)
        kept = values != 0
        keys, values = keys[kept], values[kept]
        timestamps = None if timestamps is None else timestamps[kept]
    rows, columns = np.divmod(keys, shape[1])
    indptr = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=shape[0]), out=indptr[1:])

    def locate(entry: int) -> str:
        return where(first + int(rows[entry]), int(columns[entry]), axes)

    weights = check_values(values, "the sum of duplicates", locate)
    indices = columns.astype(np.int32)
    return CsrRows(shape, indptr, indices, weights, timestamps, n_merged=n_merged)
