"""Layers one after the other, run as one compiled pass forward and one back; single layers are in `layers`.

For a batch of 64 triplets BLAS takes some 50 µs a product, a call from Python some 2 µs, and each layer
needs several. So two kernels run all layers of a stack, see `tripletrec.neural.stack_kernels`. Their results
are those of the layers, called one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.intrinsics import blas_product
from tripletrec.neural.layers import Array, Dense, Dropout, Layer, Normalize, ReLU, Softmax
from tripletrec.neural.stack_kernels import (
    DENSE,
    ELEMENTWISE,
    NORMALIZE,
    SOFTMAX,
    StackArrays,
    Step,
    keep_rows,
    run_backward,
    run_forward,
    to_units,
    to_units_backward,
)

__all__ = ["Stack"]


class Stack(Layer):
    """Layers one after the other; their parameters become views of one array, updated as a whole.

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
        # Rows that are only scaled stay where they are: to copy them would take longer than to scale them.
        self._only_scales = [group.kind for group in self._groups] == [NORMALIZE]
        self._scales = np.empty(0, dtype)
        self._dropouts = [
            (s, g.dropout) for s, g in enumerate(self._groups) if g.dropout is not None
        ]
        self._keys = np.zeros(len(self._groups), np.uint32)
        self._n_rows = self._n_inputs = self._capacity = 0

    def run(self, x: Array) -> Array:
        """Run all layers, as `forward`, but copy nothing: a normalisation alone is done in place.

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
        if x.dtype != self.flat.dtype:
            raise TypeError(f"x must be {self.flat.dtype}, as the parameters are, got {x.dtype}")
        if not self._groups:
            return x
        if self._only_scales:
            if n_rows > len(self._scales):
                self._scales = np.empty(n_rows, x.dtype)
            self._x = x
            to_units(x, self._scales)
            return x
        for s, dropout in self._dropouts:
            self._keys[s] = dropout.next_key()
        if n_rows > self._capacity or n_inputs != self._n_inputs:
            self._allocate(n_rows, n_inputs)
        self._x = x.reshape(-1)
        run_forward(self._product, n_rows, self._x, self._fields)
        last = self._last
        first, size = last.outputs_at * n_rows, last.n_outputs * n_rows
        return self._arrays.outputs[first : first + size].reshape(n_rows, last.n_outputs)

    def run_back(self, gradient: Array) -> Array:
        """Add to the gradients of the parameters, as `backward`, but copy nothing.

        Parameters
        ----------
        gradient : C-contiguous array
            dL/dy of the rows that are kept, and perhaps more behind; overwritten by a normalisation alone.

        Returns
        -------
        array of shape (n, n_inputs)
            dL/dx, valid until the next `run_back`.
        """
        if not self._groups:
            return gradient[: self._n_rows]
        width = self._x.shape[1] if self._only_scales else self._last.n_outputs
        needed = self._n_rows * width
        if gradient.size < needed or gradient.dtype != self.flat.dtype:
            raise ValueError(
                f"gradient must be {needed} numbers of {self.flat.dtype}, one for each output, got "
                f"{gradient.size} of {gradient.dtype}"
            )
        if self._only_scales:
            rows = gradient.reshape(-1)[:needed].reshape(-1, width)
            to_units_backward(rows, self._x, self._scales)
            return rows
        x_gradient = self._x_gradient[: self._n_rows * self._n_inputs]
        run_backward(
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
        if len(rows) and not 0 <= rows[0] <= rows[-1] < self._n_rows:
            raise ValueError(f"rows must be from 0 to {self._n_rows - 1}, got {rows}")
        if self._only_scales:
            self._scales[: len(rows)] = self._scales[rows]
        elif self._groups:
            arrays = self._arrays
            keep_rows(self._n_rows, rows, arrays.program, arrays.outputs, arrays.derivatives)
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
            steps.append(Step(group.kind, width, n_outputs, weights_at, outputs_at))
            weights_at += (width + 1) * n_outputs if group.dense is not None else 0
            outputs_at, width = outputs_at + n_outputs, n_outputs
        drops = [(0, 1.0) if d is None else (d.threshold, d.scale) for *_, d in self._groups]
        widest, real = max(n_inputs, *(step.n_outputs for step in steps)), self.flat.dtype
        self._capacity, self._n_inputs, self._last = n_rows, n_inputs, steps[-1]
        self._product = blas_product(real)  # here, because answers do without
        self._x_gradient = np.empty(n_rows * n_inputs, real)
        self._arrays = StackArrays(
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
        return self.run(np.array(x, self.flat.dtype, order="C")).copy()

    def infer(self, x: Array) -> Array:
        """Return what the last layer returns, without dropout."""
        with one_blas_thread():
            for layer in self.layers:
                x = layer.infer(x)
        return x

    def backward(self, gradient: Array) -> Array:
        """Return dL/dx."""
        return self.run_back(np.array(gradient, self.flat.dtype, order="C")).copy()

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
        last = groups[-1] if groups else _Group(NORMALIZE)  # one that nothing joins
        if isinstance(layer, Dense):
            groups.append(_Group(DENSE, layer))
        elif isinstance(layer, ReLU | Dropout):
            relu = isinstance(layer, ReLU)
            if last.kind > ELEMENTWISE or last.dropout is not None or (relu and last.relu):
                groups.append(_Group(ELEMENTWISE))
            change = {"relu": True} if relu else {"dropout": layer}
            groups[-1] = groups[-1]._replace(**change)
        elif isinstance(layer, Normalize | Softmax):
            groups.append(_Group(NORMALIZE if isinstance(layer, Normalize) else SOFTMAX))
        else:
            raise TypeError(f"a stack takes the layers of this package, got {layer!r}")
    return groups
