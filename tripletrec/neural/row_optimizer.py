"""The package's optimizers on the parameters of layers: rows that a batch meets, or all of them.

`tripletrec.optimizers` moves a row of weights and its state. Here a table is a parameter of any layer:
for a table of factors only the rows that the batch meets are moved, once each however often it meets
them; for the rest of a network every row is. For SGD and Adagrad that is the same as moving all, as
a row without gradient stays where it is; for Adam see `tripletrec.optimizers`, and
`tripletrec.reference.keras.optimizers` for the dense form of old Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel
from tripletrec.optimizers import Optimizer

__all__ = ["RowOptimizer"]


@cache
def _build_move(
    step: Callable[..., Any], update: Callable[..., Any], n_state: int
) -> Callable[..., None]:

    @kernel
    def move(tables, gradients, rows, states, now, scales, l2, rate, parameters):  # type: ignore[no-untyped-def]
        """Move each of the rows that was not moved in this step yet, and clear its gradient."""
        for t in range(len(tables)):
            weights, gradient, scale, penalty = tables[t], gradients[t], scales[t], l2[t]
            state, step_counts, moved = states[t]
            real = weights.dtype.type
            for n in range(rows[t].shape[0]):
                row = np.uint64(rows[t][n])
                if moved[row] == now:
                    continue
                moved[row] = now
                rate_now = real(step(step_counts, row, rate, parameters))
                width = np.uint64(weights.shape[1])
                start = row * width * np.uint64(1 + n_state)
                for k in range(width):
                    state[start + k] = weights[row, k]
                for k in range(width):
                    g = scale * gradient[row, k]
                    update(state, start + k, width, g, penalty, rate_now, parameters)
                for k in range(width):
                    weights[row, k] = state[start + k]
                    gradient[row, k] = real(0.0)

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

    Attributes
    ----------
    learning_rate : float
        May be set between steps.

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
        self._move = _build_move(optimizer.step, optimizer.update, len(optimizer.state))
        self._tables, self._now = tuple(tables), 0
        self._states = tuple(_state(optimizer, table) for table in tables)
        self._all = [np.arange(len(table), dtype=np.int32) for table in tables]
        self._real = real = tables[0].dtype.type
        self._l2 = tuple(map(real, l2)) if l2 else (real(0.0),) * len(tables)
        self.learning_rate = learning_rate
        self._parameters = tuple(map(real, optimizer.parameters))

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
        scales = tuple(self._real(1.0 / n_triplets if met is None else 1.0) for met in rows)
        moved = tuple(
            every if met is None else np.asarray(met, np.int32)
            for every, met in zip(self._all, rows, strict=True)
        )
        self._move(
            self._tables, tuple(gradients), moved, self._states, self._now, scales, self._l2,
            self._real(self.learning_rate), self._parameters,
        )  # fmt: skip


def _state(optimizer: Optimizer, table: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the state and step_counts of the rows of a table, and when each was moved last."""
    # A row as the training of factors has it: a place for the weights, then the state.
    state = np.empty((len(table), 1 + len(optimizer.state), table.shape[1]), table.dtype)
    state[:, 1:] = np.array(optimizer.state, table.dtype)[:, None]
    step_counts = np.tile(np.array(optimizer.step_counts, table.dtype), (len(table), 1))
    return state.ravel(), step_counts, np.zeros(len(table), np.int64)
