r"""Factors of features: the layer that turns sparse rows of features into dense ones.

A row of features names, for instance, a user's gender, age and occupation, an item's genres (several
of one kind), and perhaps the user or item itself. Each column c of the sparse matrix has its own
factors W_c, and an entry x_rc counts x_rc times:

    sum:            y_r = Σ_c x_rc W_c
    concatenation:  the columns come in groups; each group has its own stretch of y_r, in which it sums.

With g = dL/dy the gradient of W_c is Σ_r x_rc g_r, over the group's stretch. Only the factors of columns
that a batch meets have one, and only those are moved (see `tripletrec.neural.rows`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._jit import kernel

__all__ = ["FeatureEmbedding"]


@kernel
def _sum_rows(rows, indptr, indices, values, offsets, table, sums):  # type: ignore[no-untyped-def]
    """``sums[n]`` = the factors of the entries of row ``rows[n]``, each times its value."""
    for n in range(rows.shape[0]):
        for k in range(sums.shape[1]):
            sums[n, k] = 0.0
        for e in range(indptr[rows[n]], indptr[rows[n] + 1]):
            column, value = indices[e], values[e]
            start = offsets[column]
            for k in range(table.shape[1]):
                sums[n, start + k] += value * table[column, k]


@kernel
def _add_rows(rows, indptr, indices, values, offsets, sums, table, penalty, gradient, met):  # type: ignore[no-untyped-def]
    """Add value times ``sums[n]`` to the gradients of the entries of row ``rows[n]``; note the columns."""
    place = 0
    for n in range(rows.shape[0]):
        for e in range(indptr[rows[n]], indptr[rows[n] + 1]):
            column, value = indices[e], values[e]
            start = offsets[column]
            for k in range(table.shape[1]):
                gradient[column, k] += value * sums[n, start + k] + penalty * table[column, k]
            met[place] = column
            place += 1


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
    parameters, gradients : list of one array each
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
        self._same_size = (
            int(self._sizes.max(initial=0)) if len(set(self._sizes.tolist())) == 1 else -1
        )
        self._entries = (
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int64),
            matrix.data.astype(table.dtype),
            offsets,
        )
        self.met = np.empty(0, np.int64)

    def forward(self, rows: NDArray[np.integer]) -> NDArray[Any]:
        """Return the sums of `rows`, shape (len(rows), width)."""
        sums = np.empty((len(rows), self.width), self.table.dtype)
        _sum_rows(rows, *self._entries, self.table, sums)
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
        same = self._same_size
        n_entries = same * len(rows) if same >= 0 else int(self._sizes[rows].sum())
        self.met = np.empty(n_entries, np.int64)
        _add_rows(
            rows, *self._entries, row_gradients, self.table, self.table.dtype.type(penalty),
            self.gradient, self.met,
        )  # fmt: skip
