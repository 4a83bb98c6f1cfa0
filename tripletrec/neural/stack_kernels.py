"""The passes of a stack of layers over a batch, forward and back; what a stack consists of is in `stack`.

What the layers do stands in a *program*, an array with a row for each step (see `Step`). A dense layer and
the ReLU and dropout that follow it make one step, which stores the derivative of each unit: 0 where it is not
above zero or is dropped, else 1 / (1 - rate).
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.intrinsics import multiply
from tripletrec._runtime.jit import index, kernel, part
from tripletrec.neural.layers import dropout_scale
from tripletrec.scorers import inverse_norm, through_norm

__all__ = [
    "DENSE",
    "ELEMENTWISE",
    "NORMALIZE",
    "SOFTMAX",
    "StackArrays",
    "Step",
    "keep_rows",
    "run_backward",
    "run_forward",
    "scale_to_unit",
    "through_unit",
    "to_units",
    "to_units_backward",
]

Array: TypeAlias = NDArray[Any]
DENSE, ELEMENTWISE, NORMALIZE, SOFTMAX = range(4)  # kinds of steps


class Step(NamedTuple):
    """A row of the program: one layer, or a dense layer with the ReLU and dropout that follow it."""

    kind: int
    n_inputs: int
    n_outputs: int
    weights_at: int  # place of its weights in the parameters; the bias follows
    outputs_at: int  # number of outputs of all steps before it, for each row of a batch


class StackArrays(NamedTuple):
    """What kernels see of a stack; as a plain tuple, see `tripletrec.neural.features.FeatureTable`."""

    program: NDArray[np.int64]
    floors: Array  # of each step: units that are not above it become 0
    thresholds: NDArray[np.uint32]  # of each step: units whose random bits are below it are dropped
    scales: Array  # of each step: factor of the units that are kept
    keys: NDArray[np.uint32]  # of each step: of its random bits
    parameters: Array
    gradient: Array
    outputs: Array  # of all steps, each a matrix, one behind the other
    derivatives: Array  # of these units; of a normalised row, first, one over its length
    scratch: Array
    zeros: Array  # the bias of a step without one


@part
def _step_of(program, s):
    return Step(program[s, 0], program[s, 1], program[s, 2], program[s, 3], program[s, 4])


@part
def _activate(y, biases, at, derivatives, row, width, floor, key, threshold, scale):
    """Apply bias, ReLU and dropout; store each unit's derivative."""
    # In place: read from one view and written through another of the same memory, the row would not be
    # vectorised. Signed indices would be checked for "from the end" at each unit.
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
def _normalize(y, derivatives, row, width):
    """Scale the row to length one; store the factor."""
    first, squared = index(row * width), y.dtype.type(0)
    for k in range(width):
        squared += y[first + index(k)] * y[first + index(k)]
    scale = y.dtype.type(inverse_norm(squared))
    derivatives[first] = scale
    for k in range(width):
        y[first + index(k)] *= scale


@part
def _softmax(y, row, width):
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
def _backpropagate_row(kind, g, y, derivatives, row, width):
    """Turn dL/dy of a row into the gradient before its activation, normalisation or softmax, in place."""
    first, along = index(row * width), y.dtype.type(0)
    if kind == DENSE or kind == ELEMENTWISE:
        for k in range(width):
            g[first + index(k)] *= derivatives[first + index(k)]
        return
    for k in range(width):
        along += g[first + index(k)] * y[first + index(k)]
    for k in range(width):
        slope, unit = g[first + index(k)], y[first + index(k)]
        if kind == NORMALIZE:
            g[first + index(k)] = through_norm(slope, unit, along, derivatives[first])
        else:
            g[first + index(k)] = unit * (slope - along)


@part
def _multiply_inputs(product, n_rows, step, x, x_at, weights, y):
    """Y = X W of a dense layer; X lies at `x_at`."""
    n_inputs, at = step.n_inputs, step.weights_at
    if step.n_outputs > 1:
        multiply(product, 0, n_rows, n_inputs, step.n_outputs, x, x_at, weights, at, y, 0)
        return
    for n in range(n_rows):  # for a single output BLAS takes several times as long
        total, row = x.dtype.type(0), index(x_at + n * n_inputs)
        for k in range(n_inputs):
            total += x[row + index(k)] * weights[index(at) + index(k)]
        y[n] = total


@part
def _multiply_gradients(product, n_rows, step, x, x_at, g, stack, x_gradient):
    """Add Xᵀ G to the gradient of the weights, and set dL/dX = G Wᵀ."""
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


@part
def scale_to_unit(rows, r):
    """Scale row r to length 1 and return the factor; 0 for a row without direction."""
    square = rows.dtype.type(0)
    for k in range(rows.shape[1]):
        square += rows[r, k] * rows[r, k]
    scale = rows.dtype.type(inverse_norm(square))
    for k in range(rows.shape[1]):
        rows[r, k] *= scale
    return scale


@part
def through_unit(gradient, unit, r, scale):
    """Turn the gradient by row r, which was scaled to length 1, into that before, in place."""
    along = gradient.dtype.type(0)
    for k in range(gradient.shape[1]):
        along += gradient[r, k] * unit[r, k]
    for k in range(gradient.shape[1]):
        gradient[r, k] = through_norm(gradient[r, k], unit[r, k], along, scale)


@kernel
def to_units(rows, scales):
    """Scale all rows to length 1, in place; write the factors."""
    for r in range(rows.shape[0]):
        scales[r] = scale_to_unit(rows, r)


@kernel
def to_units_backward(gradient, units, scales):
    """Turn the gradient by rows of length 1 into that by the rows before, in place."""
    for r in range(gradient.shape[0]):
        through_unit(gradient, units, r, scales[r])


@kernel
def run_forward(product, n_rows, x, arrays):
    """Compute the outputs of all steps for the rows x."""
    stack = StackArrays(*arrays)
    source, source_at = x, 0
    for s in range(stack.program.shape[0]):
        step = _step_of(stack.program, s)
        first, size = step.outputs_at * n_rows, n_rows * step.n_outputs
        y = stack.outputs[first : first + size]
        derivatives = stack.derivatives[first : first + size]
        biases, bias_at = stack.zeros, 0
        if step.kind == DENSE:
            biases, bias_at = stack.parameters, step.weights_at + step.n_inputs * step.n_outputs
            _multiply_inputs(product, n_rows, step, source, source_at, stack.parameters, y)
        else:
            for k in range(size):
                y[k] = source[index(source_at) + index(k)]
        for n in range(n_rows):
            if step.kind == NORMALIZE:
                _normalize(y, derivatives, n, step.n_outputs)
            elif step.kind == SOFTMAX:
                _softmax(y, n, step.n_outputs)
            else:
                _activate(
                    y, biases, bias_at, derivatives, n, step.n_outputs, stack.floors[s],
                    stack.keys[s], stack.thresholds[s], stack.scales[s],
                )  # fmt: skip
        source, source_at = stack.outputs, first


@kernel
def run_backward(product, n_rows, x, arrays, gradient, x_gradient):
    """Add to the gradients of the parameters and set dL/dx, given dL/dy of the last step."""
    stack = StackArrays(*arrays)
    half, n_steps = stack.scratch.shape[0] >> 1, stack.program.shape[0]
    g, next_g = stack.scratch[:half], stack.scratch[half:]
    for k in range(n_rows * _step_of(stack.program, n_steps - 1).n_outputs):
        g[k] = gradient[k]
    for back in range(n_steps):
        s = n_steps - 1 - back
        step = _step_of(stack.program, s)
        width, first = step.n_outputs, step.outputs_at * n_rows
        size, bias_at = n_rows * width, step.weights_at + step.n_inputs * width
        y = stack.outputs[first : first + size]
        derivatives = stack.derivatives[first : first + size]
        bias_gradient = stack.gradient[bias_at : bias_at + width]
        for n in range(n_rows):
            _backpropagate_row(step.kind, g, y, derivatives, n, width)
            if step.kind == DENSE:
                row = index(n * width)
                for k in range(width):
                    bias_gradient[k] += g[row + index(k)]
        if step.kind != DENSE:
            continue
        source, source_at, target = x, 0, x_gradient
        if s > 0:
            source, target = stack.outputs, next_g
            source_at = _step_of(stack.program, s - 1).outputs_at * n_rows
        _multiply_gradients(product, n_rows, step, source, source_at, g, stack, target)
        g, next_g = next_g, g
    if _step_of(stack.program, 0).kind != DENSE:
        for k in range(x_gradient.shape[0]):
            x_gradient[k] = g[k]


@kernel
def keep_rows(n_rows, kept, program, outputs, derivatives):
    """Move the rows `kept`, in ascending order, to their places in a batch of ``len(kept)`` rows."""
    for s in range(program.shape[0]):
        step = _step_of(program, s)
        width, first = step.n_outputs, step.outputs_at
        for n in range(kept.shape[0]):
            to = index(first * kept.shape[0] + n * width)
            at = index(first * n_rows + kept[n] * width)
            for k in range(width):
                outputs[to + index(k)] = outputs[at + index(k)]
                derivatives[to + index(k)] = derivatives[at + index(k)]
