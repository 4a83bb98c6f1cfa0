r"""Factors of features: sparse rows of features become dense ones; their encoding is in `data.features`.

A row of features names, for instance, a user's gender, age and occupation, an item's genres (several
of one kind), and perhaps the user or item itself. Each column c of the sparse matrix has its own
factors W_c, and an entry x_rc is the weight of W_c in row r:

    sum:            y_r = Σ_c x_rc W_c
    concatenation:  columns belong to groups; each group is summed in a stretch of y_r of its own.

With g = dL/dy the gradient of W_c is Σ_r x_rc g_r, over the group's stretch. Only the columns that a batch
touches have one, and only their factors are updated (see `tripletrec.neural.row_optimizer`).
"""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.intrinsics import prefetch
from tripletrec._runtime.jit import index, kernel, part
from tripletrec.data.checks import check_length, check_positions
from tripletrec.data.sparse import compressed_rows, shape_of

__all__ = ["FeatureEmbedding", "FeatureTable", "add_row_gradients", "sum_rows"]


_AHEAD = 8  # rows between asking for factors and using them


class FeatureTable(NamedTuple):
    """Sparse rows of features and the factors of their columns, as kernels see them.

    Kernels that run for every batch get a plain tuple and name its fields inside, ``FeatureTable(*fields)``:
    in each call Numba reads the names of the fields of a record, which takes 2 µs.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    values: NDArray[Any]
    offsets: NDArray[np.int64]  # of each column, where its group begins in an output row
    width: int  # of an output row
    factors: NDArray[Any]
    gradient: NDArray[Any]


@part(fused=True)
def _fetch_own(rows, n, table, factors):
    """Ask for the factors of the last column of a row some places ahead: own ones, which no other row has."""
    last = table.indptr[index(rows[min(n + _AHEAD, rows.shape[0] - 1)]) + index(1)] - 1
    if last >= 0:
        row_bytes = factors.shape[1] * factors.itemsize
        prefetch(factors, table.indices[index(last)], row_bytes)


@part(fused=True)
def sum_rows(rows, table, first_row, first_column, sums):
    """Write ``y`` of row ``rows[n]`` to ``sums[first_row + n, first_column:]``."""
    indices, offsets, values, factors = table.indices, table.offsets, table.values, table.factors
    width = index(factors.shape[1])
    one_group = index(table.width) == width
    for n in range(rows.shape[0]):
        row, y = index(rows[n]), index(first_row + n)
        e, last = index(table.indptr[row]), index(table.indptr[row + index(1)])
        _fetch_own(rows, n, table, factors)
        for k in range(index(table.width)):
            sums[y, index(first_column) + k] = 0.0
        # Four columns at a time, in the same order: a sum then goes to memory and back once in four.
        while one_group and e + index(4) <= last:
            a, b = index(indices[e]), index(indices[e + index(1)])
            c, d = index(indices[e + index(2)]), index(indices[e + index(3)])
            x_a, x_b = values[e], values[e + index(1)]
            x_c, x_d = values[e + index(2)], values[e + index(3)]
            for k in range(width):
                total = sums[y, index(first_column) + k] + x_a * factors[a, k]
                total += x_b * factors[b, k]
                total += x_c * factors[c, k]
                sums[y, index(first_column) + k] = total + x_d * factors[d, k]
            e += index(4)
        while e < last:
            column, value = index(indices[e]), values[e]
            start = index(first_column + offsets[column])
            for k in range(width):
                sums[y, start + k] += value * factors[column, k]
            e += index(1)


@part(fused=True)
def add_row_gradients(rows, weights, table, first_column, row_gradients, l2, touched):
    """Add to the gradients of the columns of ``rows[n]``, whose dL/dy is ``row_gradients[n, first_column:]``.

    Each entry adds an L2 penalty, by the weight of its row where there are weights; several runs of rows may
    share these. The columns are listed in `touched`; their number is returned.
    """
    indptr, indices, factors = table.indptr, table.indices, table.factors
    gradient, width = table.gradient, index(factors.shape[1])
    n_touched, n_weights = 0, weights.shape[0]
    for n in range(rows.shape[0]):
        row, penalty = index(rows[n]), l2
        if n_weights > 0:
            penalty *= weights[n % n_weights]
        _fetch_own(rows, n, table, gradient)
        for e in range(indptr[row], indptr[row + index(1)]):
            column, value = index(indices[e]), table.values[e]
            start = index(first_column + table.offsets[column])
            if l2 == 0.0:
                for k in range(width):
                    gradient[column, k] += value * row_gradients[index(n), start + k]
            else:
                for k in range(width):
                    g = value * row_gradients[index(n), start + k]
                    gradient[column, k] += g + penalty * factors[column, k]
            touched[n_touched] = column
            n_touched += 1
    return n_touched


@kernel(noalias=True)
def _forward(rows, table, sums):
    sum_rows(rows, table, 0, 0, sums)


@kernel(noalias=True)
def _backward(rows, weights, table, row_gradients, l2, touched):
    add_row_gradients(rows, weights, table, 0, row_gradients, l2, touched)


class FeatureEmbedding:
    """Trainable factors of features, summed or concatenated for each row of a matrix.

    Parameters
    ----------
    table : float array of shape (n_columns, n_factors)
        Factors of each column; trained in place.
    matrix : sparse CSR matrix of shape (n_rows, n_columns)
        The features of all users, or of all items.
    groups : int array of shape (n_columns,), default None
        The group of each column, from 0; None: all are in one.

    Attributes
    ----------
    width : int
        Length of an output row: n_factors times the number of groups.
    n_rows : int
    max_entries : int
        Largest number of entries of a row.
    parameters, gradients : list of one array each
    arrays : FeatureTable
        What kernels take.
    touched : int array
        The columns that the last `backward` touched, some more than once.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> genres = csr_matrix(np.array([[1, 0, 1], [0, 1, 0]], np.float32))
    >>> table = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    >>> FeatureEmbedding(table, genres).forward(np.array([0, 1]))
    array([[6., 8.],
           [3., 4.]], dtype=float32)
    >>> FeatureEmbedding(table, genres, groups=np.array([0, 0, 1])).forward(np.array([0]))
    array([[1., 2., 5., 6.]], dtype=float32)
    """

    def __init__(
        self, table: NDArray[Any], matrix: Any, groups: NDArray[np.integer] | None = None
    ) -> None:
        if getattr(matrix, "format", None) != "csr":
            raise TypeError(f"matrix must be a CSR matrix, got {type(matrix).__name__}")
        shape = shape_of(matrix, "matrix", "rows, columns")
        if table.ndim != 2 or len(table) != shape[1]:
            raise ValueError(
                f"table must have a row for each of the {shape[1]} columns of matrix, got shape "
                f"{table.shape}"
            )
        indptr, columns, values = compressed_rows(matrix, shape, "matrix")
        self.table = table
        self.gradient = np.zeros_like(table)
        self.parameters, self.gradients = [table], [self.gradient]
        n_factors = table.shape[1]
        offsets = np.zeros(len(table), np.int64)
        if groups is not None:
            groups = check_length(check_positions(groups, "groups"), len(table), "groups", "column")
            offsets += groups.astype(np.int64) * n_factors
        self.width = int(offsets.max(initial=0)) + n_factors
        self.n_rows = shape[0]
        self._sizes = np.diff(indptr)
        self.max_entries = int(self._sizes.max(initial=0))
        self.arrays = FeatureTable(
            indptr.astype(np.int64),
            columns.astype(np.int64),
            values.astype(table.dtype),
            offsets,
            self.width,
            table,
            self.gradient,
        )
        self.touched = np.empty(0, np.int32)

    def with_table(self, table: NDArray[Any]) -> FeatureEmbedding:
        """Return the same rows of other factors, without a copy."""
        other = copy(self)
        other.table, other.parameters = table, [table]
        other.arrays = self.arrays._replace(factors=table)
        return other

    def forward(self, rows: NDArray[np.integer]) -> NDArray[Any]:
        """Return the output rows of `rows`, shape (len(rows), width)."""
        self._check_rows(rows)
        sums = np.empty((len(rows), self.width), self.table.dtype)
        _forward(rows, self.arrays, sums)
        return sums

    def backward(
        self, rows: NDArray[np.integer], row_gradients: NDArray[Any], l2: float = 0.0
    ) -> None:
        """Add to the gradients of the factors, given dL/dy of the rows that `forward` returned.

        Parameters
        ----------
        rows : int array of shape (n,)
        row_gradients : float array of shape (n, width)
            dL/dy of `rows`.
        l2 : float, default 0.0
            Penalty ``l2 / 2 * sum(w ** 2)`` on the factors of a column, for each of its entries.
        """
        self._check_rows(rows)
        if row_gradients.shape != (len(rows), self.width):
            raise ValueError(
                f"row_gradients must have shape ({len(rows)}, {self.width}), got {row_gradients.shape}"
            )
        self.touched = np.empty(int(self._sizes[rows].sum()), np.int32)
        real = self.table.dtype.type
        _backward(rows, np.empty(0, real), self.arrays, row_gradients, real(l2), self.touched)

    def _check_rows(self, rows: NDArray[np.integer]) -> None:
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.n_rows:
            raise ValueError(
                f"rows must be from 0 to {self.n_rows - 1}, got {rows.min()} ... {rows.max()}"
            )
