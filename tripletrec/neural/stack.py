"""Layers one after the other, run as one compiled pass forward and one backward.

A batch of 64 triplets takes BLAS some 50 µs a product, but every call from Python some 2 µs, and each layer
takes several. So the layers of a stack are told to two kernels as a *program*, one row for each step,
that says what to do and where its numbers lie. A dense layer, the ReLU behind it and the dropout behind
that make one step, which notes their common slope: 0 where a unit is below zero or dropped, else
1 / (1 - rate).

The results are those of the layers of `tripletrec.neural.layers`, called one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - whose products `multiply` calls

from tripletrec._runtime.blas import limit_newly_loaded
from tripletrec._runtime.intrinsics import blas_product, multiply
from tripletrec._runtime.jit import kernel, part
from tripletrec.neural.layers import (
    Array,
    Dense,
    Dropout,
    Layer,
    Normalize,
    ReLU,
    Softmax,
    dropout_scale,
)
from tripletrec.scorers import inverse_norm, through_norm

__all__ = ["Stack"]

limit_newly_loaded()  # SciPy brings a BLAS of its own, perhaps while other models are trained

_DENSE, _PASS, _NORMALIZE, _SOFTMAX = range(4)


@part
def _activate(y, biases, at, slopes, row, width, floor, key, threshold, scale):  # type: ignore[no-untyped-def]
    """Add the bias, cut off what is not above `floor`, drop a share; note the slopes of that."""
    # In place: read from one view and written through another of the same memory, the row would be
    # worked on number by number. Signed sums would be checked for "from the end" at each.
    index = np.uint64
    bias, first, zero = index(at), index(row * width), scale * 0
    if threshold > 0:
        for k in range(width):
            drawn = dropout_scale(row * width + k, key, threshold, scale)
            v = y[first + index(k)] + biases[bias + index(k)]
            slopes[first + index(k)] = zero if v <= floor else drawn  # a NaN stays one
            y[first + index(k)] = zero if v <= floor else v * drawn
    else:
        for k in range(width):
            v = y[first + index(k)] + biases[bias + index(k)]
            slopes[first + index(k)] = zero if v <= floor else scale
            y[first + index(k)] = zero if v <= floor else v * scale


@part
def _normalize(y, slopes, row, width):  # type: ignore[no-untyped-def]
    """Scale the row to length one; store by what it was multiplied."""
    index = np.uint64
    first, squared = index(row * width), y.dtype.type(0)
    for k in range(width):
        squared += y[first + index(k)] * y[first + index(k)]
    scale = y.dtype.type(inverse_norm(squared))
    slopes[first] = scale
    for k in range(width):
        y[first + index(k)] *= scale


@part
def _soften(y, row, width):  # type: ignore[no-untyped-def]
    """Make the row positive with sum 1."""
    first = row * width
    top, total = y[first], 0.0
    for k in range(width):
        top = max(top, y[first + k])
    for k in range(width):
        y[first + k] = np.exp(y[first + k] - top)
        total += y[first + k]
    for k in range(width):
        y[first + k] = y.dtype.type(y[first + k] / total)


@part
def _steer(kind, gradient, y, slopes, row, width):  # type: ignore[no-untyped-def]
    """Turn the row's gradient in what a step gave into the one before activation or scaling."""
    index = np.uint64
    first, along = index(row * width), y.dtype.type(0)
    if kind == _DENSE or kind == _PASS:
        for k in range(width):
            gradient[first + index(k)] *= slopes[first + index(k)]
        return
    for k in range(width):
        along += gradient[first + index(k)] * y[first + index(k)]
    for k in range(width):
        g, unit = gradient[first + index(k)], y[first + index(k)]
        if kind == _NORMALIZE:
            gradient[first + index(k)] = through_norm(g, unit, along, slopes[first])
        else:
            gradient[first + index(k)] = unit * (g - along)


@part
def _forward(product, n_rows, x, stack):  # type: ignore[no-untyped-def]
    """Run the steps on the rows x."""
    program, floors, thresholds, scales, keys, flat, _, outputs, slopes, _, zeros = stack
    index = np.uint64
    source, begin = x, 0
    for s in range(program.shape[0]):
        kind, n_inputs, width, at, put = program[s]
        size = n_rows * width
        first = put * n_rows
        y, slope = outputs[first : first + size], slopes[first : first + size]
        biases, at_bias = zeros, 0
        if kind == _DENSE:
            biases, at_bias = flat, at + n_inputs * width
        if kind != _DENSE:
            for k in range(size):
                y[k] = source[index(begin) + index(k)]
        elif width > 1:
            multiply(product, 0, n_rows, n_inputs, width, source, begin, flat, at, y, 0)
        else:
            for n in range(n_rows):
                total, row = source.dtype.type(0), index(begin + n * n_inputs)
                for k in range(n_inputs):
                    total += source[row + index(k)] * flat[index(at) + index(k)]
                y[n] = total
        for n in range(n_rows):
            if kind == _NORMALIZE:
                _normalize(y, slope, n, width)
            elif kind == _SOFTMAX:
                _soften(y, n, width)
            else:
                _activate(
                    y, biases, at_bias, slope, n, width, floors[s], keys[s], thresholds[s],
                    scales[s],
                )  # fmt: skip
        source, begin = outputs, first


@part
def _backward(product, n_rows, x, stack, gradient, into):  # type: ignore[no-untyped-def]
    """Add to the gradients of the parameters; give the gradient in x, for that in the last outputs."""
    program, _, _, _, _, flat, flat_gradient, outputs, slopes, work, _ = stack
    index = np.uint64
    half = work.shape[0] >> 1
    here, there = work[:half], work[half:]
    width = into.shape[0] // max(1, n_rows)
    if program.shape[0] > 0:
        width = program[program.shape[0] - 1, 2]
    for k in range(n_rows * width):
        here[k] = gradient[k]
    for back in range(program.shape[0]):
        s = program.shape[0] - 1 - back
        kind, n_inputs, width, at, put = program[s]
        first, size = put * n_rows, n_rows * width
        y, slope = outputs[first : first + size], slopes[first : first + size]
        bias = flat_gradient[at + n_inputs * width : at + n_inputs * width + width]
        for n in range(n_rows):
            _steer(kind, here, y, slope, n, width)
            if kind == _DENSE:
                row = index(n * width)
                for k in range(width):
                    bias[k] += here[row + index(k)]
        if kind != _DENSE:
            continue
        source, begin, target = x, 0, into
        if s > 0:
            source, begin, target = outputs, program[s - 1, 4] * n_rows, there
        if width > 1:
            multiply(
                product, 1, n_rows, n_inputs, width, source, begin, here, 0, flat_gradient, at
            )  # fmt: skip
            multiply(product, 2, n_rows, width, n_inputs, here, 0, flat, at, target, 0)
        else:
            for n in range(n_rows):
                row, to, g = index(begin + n * n_inputs), index(n * n_inputs), here[n]
                for k in range(n_inputs):
                    flat_gradient[index(at) + index(k)] += g * source[row + index(k)]
                for k in range(n_inputs):
                    target[to + index(k)] = g * flat[index(at) + index(k)]
        here, there = there, here
    if program.shape[0] == 0 or program[0, 0] != _DENSE:
        for k in range(into.shape[0]):
            into[k] = here[k]


@kernel
def _keep(n_rows, kept, stack):  # type: ignore[no-untyped-def]
    """Move the rows `kept`, in ascending order, to where ``n_rows = len(kept)`` puts them."""
    program, _, _, _, _, _, _, outputs, slopes, _, _ = stack
    index = np.uint64
    for s in range(program.shape[0]):
        width, put = program[s, 2], program[s, 4]
        for n in range(kept.shape[0]):
            to = index(put * kept.shape[0] + n * width)
            at = index(put * n_rows + kept[n] * width)
            for k in range(width):
                outputs[to + index(k)] = outputs[at + index(k)]
                slopes[to + index(k)] = slopes[at + index(k)]


@cache
def _build() -> tuple[Any, Any]:

    @kernel
    def forward(product, n_rows, x, stack):  # type: ignore[no-untyped-def]
        _forward(product, n_rows, x, stack)

    @kernel
    def backward(product, n_rows, x, stack, gradient, into):  # type: ignore[no-untyped-def]
        _backward(product, n_rows, x, stack, gradient, into)

    return forward, backward


class Stack(Layer):
    """Layers one after the other; their parameters become views of a single array.

    So an optimizer moves all of them in one pass.

    Parameters
    ----------
    layers : sequence of Dense, ReLU, Softmax, Normalize and Dropout
        The first gets x, the last gives y. May be empty.

    Attributes
    ----------
    layers : list of Layer
    flat, flat_gradient : float array of shape (1, n_parameters)
        All parameters, in the order of the layers.

    Raises
    ------
    TypeError
        If a layer is of another kind.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.neural import Dense, ReLU
    >>> stack = Stack([Dense(np.eye(2, dtype=np.float32)), ReLU()])
    >>> stack.infer(np.array([[3.0, -4.0]], np.float32))
    array([[3., 0.]], dtype=float32)
    >>> stack.flat.shape
    (1, 6)
    """

    names = ("flat",)

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        arrays = [each for layer in layers for each in layer.parameters]
        dtype = np.result_type(np.float32, *arrays)
        self.flat = np.zeros((1, sum(each.size for each in arrays)), dtype)
        self.flat_gradient = np.zeros_like(self.flat)
        place = 0
        for layer in layers:
            for name in layer.names:
                values = getattr(layer, name)
                view, gradient = (
                    each[0, place : place + values.size].reshape(values.shape)
                    for each in (self.flat, self.flat_gradient)
                )
                view[...] = values
                setattr(layer, name, view)
                setattr(layer, f"{name}_gradient", gradient)
                place += values.size
        self._steps, self._dropouts = _steps(self.layers)
        self._keys = np.zeros(len(self._steps), np.uint32)
        self._product, (self._forward, self._backward) = blas_product(dtype), _build()
        self._capacity = self._n_rows = self._n_inputs = 0
        self._arrays: tuple[Any, ...] | None = None

    def run(self, x: Array) -> Array:
        """Run all layers, as `forward`, and copy nothing.

        Parameters
        ----------
        x : C-contiguous array of shape (n, n_inputs)
            Of the dtype of the parameters; kept for `run_back`.

        Returns
        -------
        array of shape (n, n_outputs)
            Valid until the next `run`.
        """
        n_rows, n_inputs = x.shape
        for n, dropout in self._dropouts:
            self._keys[n] = dropout.next_key()
        if self._arrays is None or n_rows > self._capacity:
            self._capacity, self._n_inputs = n_rows, n_inputs
            self._arrays = self._make_arrays()
        self._x, self._n_rows = x.reshape(-1), n_rows
        self._forward(self._product, n_rows, self._x, self._arrays)
        if not self._steps:
            return x
        first, end = self._last
        y: Array = self._arrays[7][first * n_rows : end * n_rows].reshape(n_rows, end - first)
        return y

    def run_back(self, gradient: Array) -> Array:
        """Add to the gradients of the parameters, as `backward`, and copy nothing.

        Parameters
        ----------
        gradient : C-contiguous array
            dL/dy of the rows that are kept, and perhaps more behind.

        Returns
        -------
        array of shape (n, n_inputs)
            dL/dx, valid until the next `run_back`.
        """
        into = self._into[: self._n_rows * self._n_inputs]
        self._backward(
            self._product, self._n_rows, self._x, self._arrays, gradient.reshape(-1), into
        )
        return into.reshape(self._n_rows, self._n_inputs)

    def keep(self, rows: Array) -> None:
        """Forget all rows of the last `run` but these, and move those together; x is the caller's to move.

        Parameters
        ----------
        rows : int array
            In ascending order.
        """
        _keep(self._n_rows, rows, self._arrays)
        self._n_rows = len(rows)

    def _make_arrays(self) -> tuple[Any, ...]:
        program, width, place, put = [], self._n_inputs, 0, 0
        for kind, dense, _, _ in self._steps:
            n_outputs = width if dense is None else dense.weights.shape[1]
            program.append((kind, width, n_outputs, place, put))
            place += 0 if dense is None else dense.weights.size + n_outputs
            put, width = put + n_outputs, n_outputs
        self._last = put - width, put
        widest = max([self._n_inputs, *(row[2] for row in program)])
        self._into = np.empty(self._capacity * self._n_inputs, self.flat.dtype)
        real, drops = self.flat.dtype, [drop for *_, drop in self._steps]
        return (
            np.array(program, np.int64).reshape(-1, 5),
            np.array([0.0 if relu else -np.inf for _, _, relu, _ in self._steps], real),
            np.array([0 if each is None else each.threshold for each in drops], np.uint32),
            np.array([1.0 if each is None else each.scale for each in drops], real),
            self._keys,
            self.flat[0],
            self.flat_gradient[0],
            *(np.empty(self._capacity * size, real) for size in (put, put, 2 * widest)),
            np.zeros(widest, real),
        )

    def forward(self, x: Array) -> Array:
        """Return what the last layer gives."""
        return self.run(np.ascontiguousarray(x, self.flat.dtype)).copy()

    def infer(self, x: Array) -> Array:
        """Return what the last layer gives, without dropout."""
        for layer in self.layers:
            x = layer.infer(x)
        return x

    def backward(self, gradient: Array) -> Array:
        """Return dL/dx."""
        return self.run_back(np.ascontiguousarray(gradient, self.flat.dtype)).copy()

    @property
    def dense(self) -> list[Dense]:
        """The dense layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Dense)]


def _steps(layers: Sequence[Layer]) -> tuple[list[tuple[Any, ...]], list[tuple[int, Dropout]]]:
    """Return the steps (kind, dense layer, whether ReLU, dropout), and the dropouts by step."""
    steps: list[tuple[Any, ...]] = []
    dropouts = []
    waiting = list(layers)
    while waiting:
        dense = waiting.pop(0) if isinstance(waiting[0], Dense) else None
        if dense is None and isinstance(waiting[0], Normalize | Softmax):
            kind = _NORMALIZE if isinstance(waiting.pop(0), Normalize) else _SOFTMAX
            steps.append((kind, None, False, None))
            continue
        relu = bool(waiting) and isinstance(waiting[0], ReLU)
        del waiting[:relu]
        drop = waiting.pop(0) if waiting and isinstance(waiting[0], Dropout) else None
        if dense is None and not relu and drop is None:
            raise TypeError(f"a stack takes the layers of this package, got {waiting[0]!r}")
        if isinstance(drop, Dropout):
            dropouts.append((len(steps), drop))
        steps.append((_PASS if dense is None else _DENSE, dense, relu, drop))
    return steps, dropouts
