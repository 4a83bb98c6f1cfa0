"""The package's optimizers on the parameters of layers: rows that a batch meets, or all of them.

`tripletrec.optimizers` moves a row of weights and its memories. Here a table is a parameter of any layer:
for a table of factors only the rows that the batch meets are moved, once each however often it meets
them; for the rest of a network every row is. For SGD and Adagrad that is the same as moving all, as
a row without gradient stays where it is; for Adam see `tripletrec.optimizers`, and
`tripletrec.neural.optimizers` for the dense form of old Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._jit import fingerprint, kernel
from tripletrec.optimizers import Optimizer

__all__ = ["RowOptimizer"]


@cache
def _build_move(step: Callable[..., Any], update: Callable[..., Any]) -> Any:
    stamp = fingerprint(step, update)

    @kernel
    def move(  # type: ignore[no-untyped-def]
        weights, gradient, rows, moved, now, scale, memories, clocks, scratch, rate, l2, parameters
    ):
        """Move each of `rows` that was not moved in this step yet, and clear its gradient."""
        _ = stamp
        real = weights.dtype.type
        n_memories = memories.shape[1]
        for n in range(rows.shape[0]):
            row = rows[n]
            if moved[row] == now:
                continue
            moved[row] = now
            rate_now = real(step(clocks, row, rate, parameters))
            for k in range(weights.shape[1]):
                scratch[0, 0, k] = weights[row, k]
            for m in range(n_memories):
                for k in range(weights.shape[1]):
                    scratch[0, 1 + m, k] = memories[row, m, k]
            for k in range(weights.shape[1]):
                g = scale * gradient[row, k] + l2 * scratch[0, 0, k]
                update(scratch, 0, k, g, rate_now, parameters)
                gradient[row, k] = real(0.0)
            for k in range(weights.shape[1]):
                weights[row, k] = scratch[0, 0, k]
            for m in range(n_memories):
                for k in range(weights.shape[1]):
                    memories[row, m, k] = scratch[0, 1 + m, k]

    return move


class RowOptimizer:
    """Moves tables of weights by one of the package's optimizers.

    Parameters
    ----------
    optimizer : tripletrec.optimizers.Optimizer
    learning_rate : float
        Step size, > 0.
    tables : sequence of float arrays, shape (n_rows, width)
        The parameters, moved in place.
    l2 : sequence of float, default zeros
        For each table the penalty ``l2 / 2 * sum(w ** 2)`` on the rows that are moved.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.optimizers import SGD
    >>> table, gradient = np.ones((3, 1), np.float32), np.ones((3, 1), np.float32)
    >>> RowOptimizer(SGD, 0.5, [table]).update([gradient], [np.array([2, 0, 2])])
    >>> table.ravel(), gradient.ravel()
    (array([0.5, 1. , 0.5], dtype=float32), array([0., 1., 0.], dtype=float32))
    """

    def __init__(
        self,
        optimizer: Optimizer,
        learning_rate: float,
        tables: Sequence[NDArray[Any]],
        l2: Sequence[float] = (),
    ) -> None:
        self._move = _build_move(optimizer.step, optimizer.update)
        self._tables = list(tables)
        self._now = 0
        self._states = []
        for n, table in enumerate(self._tables):
            real, (n_rows, width) = table.dtype.type, table.shape
            memories = np.empty((n_rows, len(optimizer.memories), width), table.dtype)
            memories[...] = np.array(optimizer.memories, table.dtype)[:, None]
            self._states.append(
                (
                    memories,
                    np.tile(np.array(optimizer.clocks, table.dtype), (n_rows, 1)),
                    np.empty((1, 1 + len(optimizer.memories), width), table.dtype),
                    real(learning_rate),
                    real(l2[n] if l2 else 0.0),
                    tuple(map(real, optimizer.parameters)),
                )
            )
        self._moved = [np.zeros(len(table), np.int64) for table in self._tables]
        self._all = [np.arange(len(table)) for table in self._tables]

    def update(
        self,
        gradients: Sequence[NDArray[Any]],
        rows: Sequence[NDArray[np.int64] | None],
        n_triplets: int = 1,
    ) -> None:
        """Move the tables one step and set the gradients of what was moved to zero.

        Parameters
        ----------
        gradients : sequence of float arrays
            One for each table, of its shape.
        rows : sequence of int64 arrays, or None
            The rows of each table to move, repetitions allowed; None: all.
        n_triplets : int, default 1
            By which the gradients of tables that are moved as a whole are divided. A row of factors
            takes the sum over the few triplets that meet it, the rest of a network the mean over
            the batch: so the step size means the same for every batch size.
        """
        self._now += 1
        for n, (table, gradient, met) in enumerate(zip(self._tables, gradients, rows, strict=True)):
            scale = table.dtype.type(1.0 if met is not None else 1.0 / n_triplets)
            met = self._all[n] if met is None else met
            self._move(table, gradient, met, self._moved[n], self._now, scale, *self._states[n])
