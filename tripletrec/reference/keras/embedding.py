"""The layer that looks up rows of factors, as Keras has it; the layers of users' models are in `neural`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel

__all__ = ["Embedding"]


@kernel
def _add_rows(gradient, rows, row_gradients):
    """``gradient[rows[n]] += row_gradients[n]`` for every n, rows that occur twice included."""
    for n in range(rows.shape[0]):
        row = rows[n]
        for k in range(gradient.shape[1]):
            gradient[row, k] += row_gradients[n, k]


class Embedding:
    """A trainable table of shape (n_rows, n_factors), with or without a bias that is added to all rows.

    With a bias it equals a dense layer on one-hot inputs: output = one_hot @ table + bias.

    Parameters
    ----------
    table : float array, shape (n_rows, n_factors)
        Initial values of the rows; trained in place.
    bias : float array, shape (n_factors,), optional
        Initial value of the bias; trained in place.

    Attributes
    ----------
    parameters, gradients : list of arrays
        What an optimizer's ``update`` takes: `backward` adds to the gradients, and a step of the
        optimizer sets them to zero.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Embedding(np.eye(3, 2, dtype=np.float32))
    >>> layer.forward(np.array([1, 1]))
    array([[0., 1.],
           [0., 1.]], dtype=float32)
    >>> layer.backward(np.array([1, 1]), np.ones((2, 2), np.float32))
    >>> layer.gradients[0][1]
    array([2., 2.], dtype=float32)
    """

    def __init__(self, table: NDArray[Any], bias: NDArray[Any] | None = None) -> None:
        self.table = table
        self.bias = bias
        self.parameters = [table] if bias is None else [table, bias]
        self.gradients = [np.zeros_like(each) for each in self.parameters]

    def forward(self, rows: NDArray[np.integer]) -> NDArray[Any]:
        """Return the factors of `rows`, shape (len(rows), n_factors)."""
        factors = self.table[rows]
        return factors if self.bias is None else factors + self.bias

    def backward(self, rows: NDArray[np.integer], row_gradients: NDArray[Any]) -> None:
        """Add the gradient of the loss with respect to the factors that `forward` gave for `rows`."""
        _add_rows(self.gradients[0], rows, row_gradients)
        if self.bias is not None:
            self.gradients[1] += row_gradients.sum(axis=0)
