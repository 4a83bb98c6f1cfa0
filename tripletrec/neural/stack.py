"""Layers one after the other as one compiled pass forward and one back; single layers are in `layers`.

For a batch of 64 triplets BLAS takes some 50 µs a product, a call from Python some 2 µs, and each layer
needs several. So two kernels run all layers of a stack. What they do stands in a *program*, an array with
a row for each step (see `_Step`). A dense layer and the ReLU and dropout that follow it make one step, which
stores the derivative of each unit: 0 where it is not above zero or is dropped, else 1 / (1 - rate).

The results are those of the layers of `tripletrec.neural.layers`, called one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - whose products `multiply` calls
from numpy.typing import NDArray

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

_DENSE, _ELEMENTWISE, _NORMALIZE, _SOFTMAX = range(4)


class _Step(NamedTuple):
    """A row of the program."""

    kind: int
    n_inputs: int
    n_outputs: int
    weights_at: int  # place of its weights in the parameters; the bias follows
    outputs_at: int  # number of outputs of all steps before it, for each row of a batch


class _StackArrays(NamedTuple):
    """What kernels see of a stack; as a plain tuple, see `tripletrec.neural.features.FeatureTable`."""

    program: NDArray[np.int64]
    floors: Array  # of each step: units not above it are 0
    thresholds: NDArray[np.uint32]  # of each step: units whose random bits are below it are dropped
    scales: Array  # of each step: what the other units are multiplied by
    keys: NDArray[np.uint32]  # of each step: that of the random bits
    parameters: Array
    gradient: Array
    outputs: Array  # of all steps, each a matrix, one behind the other
    derivatives: Array  # of these units; of normalised rows by what they were multiplied
    scratch: Array
    zeros: Array  # the bias of a step without one


@part
def _step_of(program, s):  # type: ignore[no-untyped-def]
    return _Step(program[s, 0], program[s, 1], program[s, 2], program[s, 3], program[s, 4])


@part
def _activate(y, biases, at, derivatives, row, width, floor, key, threshold, scale):  # type: ignore[no-untyped-def]
    """Apply bias, ReLU and dropout; store each unit's derivative."""
    # In place: read from one view and written through another of the same memory, the row would not be
    # vectorised. Signed indices would be checked for "from the end" at each unit.
    index = np.uint64
    bias, first, zero = index(at), index(row * width), scale * 0
    if threshold > 0:
        for k in range(width):
            drawn = dropout_scale(row * width + k, key, threshold, scale)
            v = y[first + index(k)] + biases[bias + index(k)]
            derivatives[first + index(k)] = zero if v <= floor else drawn  # a NaN stays one
            y[first + index(k)] = zero if v <= floor else v * drawn
    else:
        for k in range(width):
            v = y[first + index(k)] + biases[bias + index(k)]
            derivatives[first + index(k)] = zero if v <= floor else scale
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
def _softmax(y, row, width):  # type: ignore[no-untyped-def]
    """Replace the row by its softmax."""
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
    if kind == _DENSE or kind == _ELEMENTWISE:
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
def _multiply_inputs(product, n_rows, step, x, x_at, weights, y):  # type: ignore[no-untyped-def]
    """Y = X W of a dense layer; X lies at `x_at`."""
    index = np.uint64
    n_inputs, at = step.n_inputs, step.weights_at
    if step.n_outputs > 1:
        multiply(product, 0, n_rows, n_inputs, step.n_outputs, x, x_at, weights, at, y, 0)
        return
    for n in range(n_rows):  # an outer product by BLAS costs several times as much
        total, row = x.dtype.type(0), index(x_at + n * n_inputs)
        for k in range(n_inputs):
            total += x[row + index(k)] * weights[index(at) + index(k)]
        y[n] = total


@part
def _multiply_gradients(product, n_rows, step, x, x_at, g, stack, x_gradient):  # type: ignore[no-untyped-def]
    """Add Xᵀ G to the gradient of the weights, and set dL/dX = G Wᵀ."""
    index = np.uint64
    n_inputs, n_outputs, at = step.n_inputs, step.n_outputs, step.weights_at
    weights, weights_gradient = stack.parameters, stack.gradient
    if n_outputs > 1:
        multiply(product, 1, n_rows, n_inputs, n_outputs, x, x_at, g, 0, weights_gradient, at)
        multiply(product, 2, n_rows, n_outputs, n_inputs, g, 0, weights, at, x_gradient, 0)
        return
    for n in range(n_rows):
        row, to, slope = index(x_at + n * n_inputs), index(n * n_inputs), g[n]
        for k in range(n_inputs):
            weights_gradient[index(at) + index(k)] += slope * x[row + index(k)]
        for k in range(n_inputs):
            x_gradient[to + index(k)] = slope * weights[index(at) + index(k)]


@kernel
def _forward(product, n_rows, x, arrays):  # type: ignore[no-untyped-def]
    """Run the steps on the rows x."""
    stack, index = _StackArrays(*arrays), np.uint64
    source, source_at = x, 0
    for s in range(stack.program.shape[0]):
        step = _step_of(stack.program, s)
        first, size = step.outputs_at * n_rows, n_rows * step.n_outputs
        y, derivatives = (
            stack.outputs[first : first + size],
            stack.derivatives[first : first + size],
        )
        biases, bias_at = stack.zeros, 0
        if step.kind == _DENSE:
            biases, bias_at = stack.parameters, step.weights_at + step.n_inputs * step.n_outputs
            _multiply_inputs(product, n_rows, step, source, source_at, stack.parameters, y)
        else:
            for k in range(size):
                y[k] = source[index(source_at) + index(k)]
        for n in range(n_rows):
            if step.kind == _NORMALIZE:
                _normalize(y, derivatives, n, step.n_outputs)
            elif step.kind == _SOFTMAX:
                _softmax(y, n, step.n_outputs)
            else:
                _activate(
                    y, biases, bias_at, derivatives, n, step.n_outputs, stack.floors[s],
                    stack.keys[s], stack.thresholds[s], stack.scales[s],
                )  # fmt: skip
        source, source_at = stack.outputs, first


@kernel
def _backward(product, n_rows, x, arrays, gradient, x_gradient):  # type: ignore[no-untyped-def]
    """Add to the gradients of the parameters; set the gradient in x, for that in the last outputs."""
    stack, index = _StackArrays(*arrays), np.uint64
    half, n_steps = stack.scratch.shape[0] >> 1, stack.program.shape[0]
    g, next_g = stack.scratch[:half], stack.scratch[half:]
    for k in range(n_rows * _step_of(stack.program, n_steps - 1).n_outputs):
        g[k] = gradient[k]
    for back in range(n_steps):
        s = n_steps - 1 - back
        step = _step_of(stack.program, s)
        width, first = step.n_outputs, step.outputs_at * n_rows
        size, bias_at = n_rows * width, step.weights_at + step.n_inputs * width
        y, derivatives = (
            stack.outputs[first : first + size],
            stack.derivatives[first : first + size],
        )
        bias_gradient = stack.gradient[bias_at : bias_at + width]
        for n in range(n_rows):
            _steer(step.kind, g, y, derivatives, n, width)
            if step.kind == _DENSE:
                row = index(n * width)
                for k in range(width):
                    bias_gradient[k] += g[row + index(k)]
        if step.kind != _DENSE:
            continue
        source, source_at, target = x, 0, x_gradient
        if s > 0:
            source, target = stack.outputs, next_g
            source_at = _step_of(stack.program, s - 1).outputs_at * n_rows
        _multiply_gradients(product, n_rows, step, source, source_at, g, stack, target)
        g, next_g = next_g, g
    if _step_of(stack.program, 0).kind != _DENSE:
        for k in range(x_gradient.shape[0]):
            x_gradient[k] = g[k]


@kernel
def _keep_rows(n_rows, kept, program, outputs, derivatives):  # type: ignore[no-untyped-def]
    """Move the rows `kept`, in ascending order, to their places in a batch of ``len(kept)`` rows."""
    index = np.uint64
    for s in range(program.shape[0]):
        step = _step_of(program, s)
        width, first = step.n_outputs, step.outputs_at
        for n in range(kept.shape[0]):
            to = index(first * kept.shape[0] + n * width)
            at = index(first * n_rows + kept[n] * width)
            for k in range(width):
                outputs[to + index(k)] = outputs[at + index(k)]
                derivatives[to + index(k)] = derivatives[at + index(k)]


class Stack(Layer):
    """Layers one after the other; their parameters become views of one array, which is updated at once.

    Parameters
    ----------
    layers : sequence of Dense, ReLU, Softmax, Normalize and Dropout
        In the order in which they are applied; may be empty.

    Attributes
    ----------
    layers : list of Layer
    flat, flat_gradient : float array of shape (1, n_parameters)
        All parameters, in the order of the layers.

    Raises
    ------
    TypeError
        If a layer is of another kind.
    ValueError
        In `run`, if the number of inputs is not that of a dense layer.

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
        self._groups = _group(self.layers)
        self._dropouts = [(s, g.dropout) for s, g in enumerate(self._groups) if g.dropout]
        self._keys = np.zeros(len(self._groups), np.uint32)
        self._product = blas_product(dtype)
        self._n_rows = self._n_inputs = self._capacity = 0

    def run(self, x: Array) -> Array:
        """Run all layers, as `forward`, but copy nothing.

        Parameters
        ----------
        x : C-contiguous array of shape (n, n_inputs)
            Of the dtype of the parameters; kept for `run_back`.

        Returns
        -------
        array of shape (n, n_outputs)
            Valid until the next `run`.
        """
        n_rows, n_inputs = self._n_rows, _ = x.shape
        if not self._groups:
            return x
        for s, dropout in self._dropouts:
            self._keys[s] = dropout.next_key()
        if n_rows > self._capacity or n_inputs != self._n_inputs:
            self._allocate(n_rows, n_inputs)
        self._x = x.reshape(-1)
        _forward(self._product, n_rows, self._x, self._fields)
        last = self._last
        first, size = last.outputs_at * n_rows, last.n_outputs * n_rows
        return self._arrays.outputs[first : first + size].reshape(n_rows, last.n_outputs)

    def run_back(self, gradient: Array) -> Array:
        """Add to the gradients of the parameters, as `backward`, but copy nothing.

        Parameters
        ----------
        gradient : C-contiguous array
            dL/dy of the rows that are kept, and perhaps more behind.

        Returns
        -------
        array of shape (n, n_inputs)
            dL/dx, valid until the next `run_back`.
        """
        if not self._groups:
            return gradient[: self._n_rows]
        x_gradient = self._x_gradient[: self._n_rows * self._n_inputs]
        _backward(
            self._product, self._n_rows, self._x, self._fields, gradient.reshape(-1), x_gradient
        )
        return x_gradient.reshape(self._n_rows, self._n_inputs)

    def keep(self, rows: Array) -> None:
        """Move these rows of the last `run` together and forget the others; those of x move with the caller.

        Parameters
        ----------
        rows : int array
            In ascending order.
        """
        if self._groups:
            arrays = self._arrays
            _keep_rows(self._n_rows, rows, arrays.program, arrays.outputs, arrays.derivatives)
        self._n_rows = len(rows)

    def _allocate(self, n_rows: int, n_inputs: int) -> None:
        """Write the program for `n_inputs` inputs, and make room for `n_rows` rows."""
        steps, width, weights_at, outputs_at = [], n_inputs, 0, 0
        for group in self._groups:
            n_outputs = width
            if group.dense is not None:
                n_rows_of_weights, n_outputs = group.dense.weights.shape
                if n_rows_of_weights != width:
                    raise ValueError(f"a layer of {n_rows_of_weights} inputs was given {width}")
            steps.append(_Step(group.kind, width, n_outputs, weights_at, outputs_at))
            weights_at += (width + 1) * n_outputs if group.dense is not None else 0
            outputs_at, width = outputs_at + n_outputs, n_outputs
        drops = [(0, 1.0) if d is None else (d.threshold, d.scale) for *_, d in self._groups]
        widest, real = max(n_inputs, *(step.n_outputs for step in steps)), self.flat.dtype
        self._capacity, self._n_inputs, self._last = n_rows, n_inputs, steps[-1]
        self._x_gradient = np.empty(n_rows * n_inputs, real)
        self._arrays = _StackArrays(
            program=np.array(steps, np.int64),
            floors=np.array([0.0 if group.relu else -np.inf for group in self._groups], real),
            thresholds=np.array([threshold for threshold, _ in drops], np.uint32),
            scales=np.array([scale for _, scale in drops], real),
            keys=self._keys,
            parameters=self.flat[0],
            gradient=self.flat_gradient[0],
            outputs=np.empty(n_rows * outputs_at, real),
            derivatives=np.empty(n_rows * outputs_at, real),
            scratch=np.empty(n_rows * 2 * widest, real),
            zeros=np.zeros(widest, real),
        )
        self._fields = tuple(self._arrays)

    def forward(self, x: Array) -> Array:
        """Return what the last layer returns."""
        return self.run(np.ascontiguousarray(x, self.flat.dtype)).copy()

    def infer(self, x: Array) -> Array:
        """Return what the last layer returns, without dropout."""
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


class _Group(NamedTuple):
    """Layers that make one step."""

    kind: int
    dense: Dense | None = None
    relu: bool = False
    dropout: Dropout | None = None


def _group(layers: Sequence[Layer]) -> list[_Group]:
    """Group each dense layer with a ReLU and a dropout that follow it, in this order."""
    groups: list[_Group] = []
    for layer in layers:
        last = groups[-1] if groups else _Group(_NORMALIZE)  # one that nothing joins
        if isinstance(layer, Dense):
            groups.append(_Group(_DENSE, layer))
        elif isinstance(layer, ReLU | Dropout):
            relu = isinstance(layer, ReLU)
            if last.kind > _ELEMENTWISE or last.dropout is not None or (relu and last.relu):
                groups.append(_Group(_ELEMENTWISE))
            change = {"relu": True} if relu else {"dropout": layer}
            groups[-1] = groups[-1]._replace(**change)
        elif isinstance(layer, Normalize | Softmax):
            groups.append(_Group(_NORMALIZE if isinstance(layer, Normalize) else _SOFTMAX))
        else:
            raise TypeError(f"a stack takes the layers of this package, got {layer!r}")
    return groups
