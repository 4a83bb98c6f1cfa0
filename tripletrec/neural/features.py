r"""Factors of features: the layer that turns sparse rows of features into dense ones.

A row of features names, for instance, a user's gender, age and occupation, an item's genres (several
of one kind), and perhaps the user or item itself. Each column c of the sparse matrix has its own
factors W_c, and an entry x_rc counts x_rc times:

    sum:            y_r = Σ_c x_rc W_c
    concatenation:  the columns come in groups; each group has its own stretch of y_r, in which it sums.

With g = dL/dy the gradient of W_c is Σ_r x_rc g_r, over the group's stretch. Only the factors of columns
that a batch meets have one, and only those are moved (see `tripletrec.neural.row_optimizer`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel, part

__all__ = ["FeatureEmbedding", "add_rows", "sum_rows"]


@part
def sum_rows(rows, features, first, place, sums):  # type: ignore[no-untyped-def]
    """``sums[first + n, place:]`` = the factors of the entries of row ``rows[n]``, each times its value."""
    indptr, indices, values, offsets, width, table, _ = features
    index = np.uint64  # signed sums would be checked for "from the end", factor by factor
    for n in range(rows.shape[0]):
        row, target = index(rows[n]), index(first + n)
        for k in range(width):
            sums[target, index(place) + index(k)] = 0.0
        for e in range(indptr[row], indptr[row + index(1)]):
            column, value = index(indices[e]), values[e]
            start = index(place + offsets[column])
            for k in range(table.shape[1]):
                sums[target, start + index(k)] += value * table[column, k]


@part
def add_rows(rows, features, place, sums, penalty, met):  # type: ignore[no-untyped-def]
    """Add value times ``sums[n, place:]`` to the gradients of the entries of row ``rows[n]``.

    Note the columns in `met`, and return how many.
    """
    indptr, indices, values, offsets, _, table, gradient = features
    index = np.uint64
    n_met = 0
    for n in range(rows.shape[0]):
        row = index(rows[n])
        for e in range(indptr[row], indptr[row + index(1)]):
            column, value = index(indices[e]), values[e]
            start = index(place + offsets[column])
            for k in range(table.shape[1]):
                g = value * sums[n, start + index(k)]
                gradient[column, k] += g + penalty * table[column, k]
            met[n_met] = column
            n_met += 1
    return n_met


@cache
def _build() -> tuple[Any, Any]:

    @kernel
    def forward(rows, features, sums):  # type: ignore[no-untyped-def]
        sum_rows(rows, features, 0, 0, sums)

    @kernel
    def backward(rows, features, sums, penalty, met):  # type: ignore[no-untyped-def]
        add_rows(rows, features, 0, sums, penalty, met)

    return forward, backward


class FeatureEmbedding:
    """A trainable table of factors of features, summed or concatenated for each row of a matrix.

    Parameters
    ----------
    table : float array of shape (n_columns, n_factors)
        Factors of each column; trained in place.
    matrix : sparse CSR matrix of shape (n_rows, n_columns)
        The features of all users, or of all items.
    groups : int array of shape (n_columns,), default None
        Which stretch of the output each column belongs to, from 0; None: all sum up in one.

    Attributes
    ----------
    width : int
        Length of an output row: n_factors times the number of groups.
    n_rows : int
    most : int
        Entries of the row that has most.
    parameters, gradients : list of one array each
    arrays : tuple
        What `sum_rows` and `add_rows` take as ``features``.
    met : int array
        The columns that the last `backward` met, some more than once.

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
        self.table = table
        self.gradient = np.zeros_like(table)
        self.parameters, self.gradients = [table], [self.gradient]
        n_factors = table.shape[1]
        offsets = np.zeros(len(table), np.int64)
        if groups is not None:
            offsets += np.asarray(groups, np.int64) * n_factors
        self.width = int(offsets.max(initial=0)) + n_factors
        self.n_rows = matrix.shape[0]
        self._sizes = np.diff(matrix.indptr)
        self.most = int(self._sizes.max(initial=0))
        self.arrays = (
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int64),
            matrix.data.astype(table.dtype),
            offsets,
            self.width,
            table,
            self.gradient,
        )
        self.met = np.empty(0, np.int32)

    def forward(self, rows: NDArray[np.integer]) -> NDArray[Any]:
        """Return the sums of `rows`, shape (len(rows), width)."""
        sums = np.empty((len(rows), self.width), self.table.dtype)
        _build()[0](rows, self.arrays, sums)
        return sums

    def backward(
        self, rows: NDArray[np.integer], row_gradients: NDArray[Any], penalty: float = 0.0
    ) -> None:
        """Add the gradient of the loss in what `forward` gave for `rows`.

        Parameters
        ----------
        rows : int array of shape (n,)
        row_gradients : float array of shape (n, width)
        penalty : float, default 0.0
            Times its factors is added to the gradient of a column for each of its entries: the
            gradient of an L2 penalty.
        """
        self.met = np.empty(int(self._sizes[rows].sum()), np.int32)
        penalty = self.table.dtype.type(penalty)
        _build()[1](rows, self.arrays, row_gradients, penalty, self.met)
