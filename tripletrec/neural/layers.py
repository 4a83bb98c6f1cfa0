r"""Single layers with hand-derived gradients; sequences of layers are in `stack`.

A layer turns rows x into rows y. ``forward(x)`` computes y and keeps what the gradient needs;
``backward(g)`` takes g = dL/dy, *adds* to the gradients of the layer's own parameters and returns dL/dx;
``infer(x)`` computes y without keeping anything, and without dropout.

=========== ============================== =========================================== ===============
layer       y                              dL/dx                                       parameters
=========== ============================== =========================================== ===============
Dense       x W + b                        g Wᵀ;  dL/dW = xᵀ g;  dL/db = Σ g over rows W, b
ReLU        max(0, x)                      g where x > 0, else 0
Softmax     exp(x) / Σ exp(x)              y (g - Σ g y)
Normalize   x / \|x\|                      (g - (g·y) y) / \|x\|
Dropout     x r / (1 - rate)               g r / (1 - rate); r: 0 with probability rate, else 1
=========== ============================== =========================================== ===============

Sums are over a row. Derivations. Softmax: dy_a/dx_b = y_a (δ_ab - y_b), so dL/dx_b = y_b (g_b - Σ_a g_a y_a).
Normalize: a change of x along its own direction leaves y = x/|x| where it is, one at right angles to it
changes y by 1/|x| times as much. Dropout (Srivastava et al., JMLR 2014) scales the units that it keeps, so
that no unit has to be scaled when the model is used.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_share
from tripletrec._runtime.jit import kernel, part
from tripletrec.scorers import normalize_rows, normalize_rows_backward

__all__ = [
    "Dense",
    "Dropout",
    "Layer",
    "Normalize",
    "ReLU",
    "Softmax",
    "glorot_uniform",
    "uniform",
]

Array: TypeAlias = NDArray[Any]


def uniform(
    rng: np.random.Generator, shape: tuple[int, int], limit: float = 0.05
) -> NDArray[np.float32]:
    """Draw from U(-limit, limit); Keras's initial weights of an embedding have this limit."""
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Draw from U(-l, l), l = √(6 / (rows + columns)): Keras's initial weights of a dense layer.

    Source: Glorot and Bengio, AISTATS 2010, equation 16.
    """
    return uniform(rng, shape, math.sqrt(6.0 / sum(shape)))


class Layer:
    """A layer without parameters; see the table of this module."""

    # Attributes that hold parameters; those called ``<name>_gradient`` hold their gradients.
    names: tuple[str, ...] = ()

    def forward(self, x: Array) -> Array:
        """Return y, shape (n, width); keep what `backward` needs."""
        raise NotImplementedError

    def backward(self, gradient: Array) -> Array:
        """Return dL/dx for dL/dy, and add to the gradients of the parameters."""
        raise NotImplementedError

    def infer(self, x: Array) -> Array:
        """Return y as a trained model uses it, without dropout; keep nothing."""
        return self.forward(x)

    @property
    def parameters(self) -> list[Array]:
        """The arrays to be trained, in place."""
        return [getattr(self, name) for name in self.names]

    @property
    def gradients(self) -> list[Array]:
        """Those of `parameters`, summed over all calls of `backward`."""
        return [getattr(self, f"{name}_gradient") for name in self.names]


class Dense(Layer):
    """Each output is a weighted sum of all inputs plus a bias.

    Parameters
    ----------
    weights : float array of shape (n_inputs, n_outputs)
    bias : float array of shape (n_outputs,), default zeros

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dense(np.array([[1.0], [2.0]]))
    >>> layer.forward(np.array([[3.0, 4.0]]))
    array([[11.]])
    >>> layer.backward(np.array([[1.0]]))
    array([[1., 2.]])
    >>> layer.weights_gradient.ravel()
    array([3., 4.])
    """

    names = ("weights", "bias")

    def __init__(self, weights: Array, bias: Array | None = None) -> None:
        self.weights = weights
        self.bias = np.zeros(weights.shape[1], weights.dtype) if bias is None else bias
        self.weights_gradient, self.bias_gradient = map(np.zeros_like, self.parameters)

    @classmethod
    def start(cls, rng: np.random.Generator, n_inputs: int, n_outputs: int) -> Dense:
        """Return an untrained layer: Glorot's uniform weights and zero biases, as in Keras."""
        return cls(glorot_uniform(rng, (n_inputs, n_outputs)))

    def forward(self, x: Array) -> Array:
        """Return x W + b."""
        self._x = x
        return self.infer(x)

    def infer(self, x: Array) -> Array:
        """Return x W + b."""
        y: Array = x @ self.weights
        y += self.bias
        return y

    def backward(self, gradient: Array) -> Array:
        """Return g Wᵀ; dL/dW = xᵀ g, dL/db = Σ g."""
        self.weights_gradient += self._x.T @ gradient
        self.bias_gradient += gradient.sum(axis=0)
        # An outer product by BLAS costs several times that of a broadcast one.
        return gradient * self.weights.T if len(self.bias) == 1 else gradient @ self.weights.T


class ReLU(Layer):
    """Rectified linear unit, max(0, x).

    Examples
    --------
    >>> import numpy as np
    >>> ReLU().infer(np.array([[3.0, -4.0]]))
    array([[3., 0.]])
    """

    def forward(self, x: Array) -> Array:
        """Return max(0, x)."""
        self._y = self.infer(x)
        return self._y

    def infer(self, x: Array) -> Array:
        """Return max(0, x)."""
        return np.maximum(x, 0.0)

    def backward(self, gradient: Array) -> Array:
        """Return g where y > 0."""
        return gradient * (self._y > 0.0)


class Softmax(Layer):
    """Positive outputs that sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> Softmax().infer(np.array([[1.0, 1.0]]))
    array([[0.5, 0.5]])
    """

    def forward(self, x: Array) -> Array:
        """Return exp(x) / Σ exp(x)."""
        self._y = self.infer(x)
        return self._y

    def infer(self, x: Array) -> Array:
        """Return exp(x) / Σ exp(x)."""
        y = np.exp(x - x.max(axis=1, keepdims=True))  # the shift cancels; exp does not overflow
        y /= y.sum(axis=1, keepdims=True)
        return y

    def backward(self, gradient: Array) -> Array:
        """Return y (g - Σ g y)."""
        along = np.einsum("nk,nk->n", gradient, self._y)[:, None]
        return self._y * (gradient - along)


class Normalize(Layer):
    """Rows scaled to length 1; a row of zeros stays zero.

    Examples
    --------
    >>> import numpy as np
    >>> Normalize().infer(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """

    def forward(self, x: Array) -> Array:
        """Return x / |x|."""
        self._y, self._inverses = normalize_rows(x)
        return self._y

    def infer(self, x: Array) -> Array:
        """Return x / |x|."""
        return normalize_rows(x)[0]

    def backward(self, gradient: Array) -> Array:
        """Return (g - (g·y) y) / |x|."""
        return normalize_rows_backward(self._y, self._inverses, gradient)


@part
def dropout_scale(n, key, threshold, scale):
    """Return `scale`, or 0 if the 32 random bits of unit n are below `threshold`."""
    # A mixing function of 32 bits (C. Wellons, "Prospecting for hash functions", 2018): processors
    # multiply vectors of eight or sixteen 32-bit integers, but 64-bit ones singly.
    z = np.uint32(n) ^ key
    z = np.uint32(z ^ (z >> np.uint32(16)))
    z = np.uint32(z * np.uint32(0x7FEB352D) + key)
    z = np.uint32(z ^ (z >> np.uint32(15)))
    z = np.uint32(z * np.uint32(0x846CA68B))
    z = np.uint32(z ^ (z >> np.uint32(16)))
    return scale if z >= threshold else type(scale)(0.0)


@kernel
def _draw_scales(key, threshold, scale, scales):
    for n in range(scales.shape[0]):
        scales[n] = dropout_scale(n, key, threshold, scale)


class Dropout(Layer):
    """Sets a random share of its inputs to zero while training.

    The random numbers are a function of the seed and of the number of earlier calls of `forward`.

    Parameters
    ----------
    rate : float
        Share of the inputs, in (0, 1).
    seed : int, default 0
        From 0 to 2**64 - 1, best drawn at random: only its upper 32 bits count.

    Attributes
    ----------
    n_forward : int
        The number of earlier calls of `forward`.

    Examples
    --------
    >>> import numpy as np
    >>> y = Dropout(0.5).forward(np.ones((2, 50)))
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """

    def __init__(self, rate: float, seed: int = 0) -> None:
        self.rate = check_share(rate, "rate")
        self.threshold = np.uint32(self.rate * 2**32)
        self.scale = 1.0 / (1.0 - self.rate)
        self._seed, self.n_forward = seed, 0

    def next_key(self) -> np.uint32:
        """Return the key of the random numbers of the next `forward`."""
        self.n_forward += 1
        # The high half of a Weyl sequence: the multiples of an odd number visit all residues.
        return np.uint32((self._seed + 0x9E3779B97F4A7C15 * self.n_forward) % 2**64 >> 32)

    def forward(self, x: Array) -> Array:
        """Return x with zeros in a random share of places, the rest scaled."""
        self._scales = np.empty(x.shape, x.dtype)
        scale = x.dtype.type(self.scale)
        _draw_scales(self.next_key(), self.threshold, scale, self._scales.reshape(-1))
        y: Array = x * self._scales
        return y

    def infer(self, x: Array) -> Array:
        """Return x."""
        return x

    def backward(self, gradient: Array) -> Array:
        """Return g with zeros in the same places, the rest scaled."""
        return gradient * self._scales
