r"""What features explain of what towers have learnt, and what is left to own factors; training is in `fit`.

The input of a tower is a sum: of a row's features, a constant, and factors of its own,

.. math:: y_r = \sum_c x_{rc} W_c + b + O_r.

While training, nothing says which of them has to change, and a rare word of a title takes as much of a
gradient as the item itself: the features then explain less of items that training has not seen than they
could. The sum alone decides what a model says of rows that it knows. So after training it is divided anew:
W and b become the ridge regression of y on the features, and O what it leaves,

.. math:: \min_{W, b} \sum_r \Big|y_r - \bar y - b - \sum_c x_{rc} W_c\Big|^2 + \alpha |W|^2 + \alpha |b|^2,

over the rows that training has seen. It is solved by conjugate gradients, for all factors side by side.

References
----------
.. [1] Hestenes, Stiefel. "Methods of conjugate gradients for solving linear systems", 1952.
.. [2] Gantner et al. "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010:
   the regression from features to the factors of items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.neural.features import FeatureTable

__all__ = ["alpha_for", "divide", "ridge"]

_LEAST_ALPHA, _MOST_ALPHA, _ROWS_PER_ALPHA = 20.0, 50.0, 25
_ACCURACY = 1e-4  # of the gradient, beside that at the start
_MOST_STEPS = 200
_FACTORS = 32  # that are divided at once


def alpha_for(n_rows: int) -> float:
    """Return the L2 of the regression on so many rows: one for 25 of them, at least 20 and at most 50.

    Chosen on items held out of training data of MovieLens-100K and of nine shops of `make_events`: new items
    are ranked best with 5 to 100, the more the more items there are.
    """
    return min(max(n_rows / _ROWS_PER_ALPHA, _LEAST_ALPHA), _MOST_ALPHA)


def ridge(matrix: Any, targets: NDArray[Any], alpha: float) -> NDArray[np.float64]:
    """Return the ridge regression of each column of targets.

    Parameters
    ----------
    matrix : sparse CSR matrix of shape (n, n_columns)
    targets : float64 array of shape (n, n_targets)
    alpha : float
        > 0.

    Returns
    -------
    array of shape (n_columns, n_targets)
        The W for which ``((targets - matrix @ W) ** 2).sum() + alpha * (W ** 2).sum()`` is least.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> ridge(csr_matrix([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), np.array([[3.0], [3.0], [4.0]]), 1.0)
    array([[2. ],
           [1.6]])
    """
    transposed = matrix.T.tocsr()
    # Where rows are many and columns few, their products are taken once.
    few = matrix.shape[1] ** 2 <= 2 * matrix.nnz
    products = transposed @ matrix if few else None
    diagonal = np.asarray(matrix.multiply(matrix).sum(axis=0)).reshape(-1, 1) + alpha
    residual = transposed @ targets
    weights, direction = np.zeros_like(residual), residual / diagonal
    along = (residual * direction).sum(axis=0)
    enough = _ACCURACY**2 * along
    for _ in range(_MOST_STEPS):
        if (along <= enough).all():
            break
        image = products @ direction if few else transposed @ (matrix @ direction)
        image += alpha * direction
        curvature = (direction * image).sum(axis=0)
        step = along / np.where(curvature > 0.0, curvature, 1.0)
        weights += step * direction
        residual -= step * image
        scaled = residual / diagonal
        before, along = along, (residual * scaled).sum(axis=0)
        direction = scaled + along / np.where(before > 0.0, before, 1.0) * direction
    return weights


def divide(table: FeatureTable, n_known: int) -> NDArray[Any]:
    """Return factors of columns with the same sums, of which features explain as much as they can.

    Parameters
    ----------
    table : FeatureTable
        Columns of features, a constant, then one of its own for each row that training has seen.
    n_known : int
        Columns that are no row's own.

    Returns
    -------
    array of the shape of ``table.factors``
        These themselves where training has diverged.

    Examples
    --------
    Of three rows with a feature and a constant two have own factors, 300 and 100, and then what they differ
    by from 204.6 and 199.8:

    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> from tripletrec.neural import FeatureEmbedding
    >>> matrix = csr_matrix(np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [1, 1, 0, 0, 0]], np.float32))
    >>> factors = np.array([[0], [0], [300], [100], [0]], np.float32)
    >>> divide(FeatureEmbedding(factors, matrix).arrays, 2).round(1).ravel()
    array([  4.8, 199.8,  95.4, -99.8,   0. ], dtype=float32)
    """
    from scipy.sparse import csr_matrix  # here, because answers do without

    if not np.isfinite(table.factors).all():
        return table.factors
    shape = len(table.indptr) - 1, len(table.factors)
    matrix = csr_matrix((table.values, table.indices, table.indptr), shape)
    own = matrix[:, n_known:]
    rows, columns = np.flatnonzero(np.diff(own.indptr)), n_known + own.indices  # one for each row
    features, divided = matrix[rows, :n_known].astype(np.float64), np.zeros_like(table.factors)
    for first in range(0, divided.shape[1], _FACTORS):  # not all at once: they take memory
        some = slice(first, first + _FACTORS)
        factors = table.factors[:, some].astype(np.float64)
        sums = features @ factors[:n_known] + factors[columns]
        mean = sums.mean(axis=0)
        explained = ridge(features, sums - mean, alpha_for(len(rows)))
        explained[-1] += mean
        divided[:n_known, some] = explained
        divided[columns, some] = sums - features @ explained
    return divided
