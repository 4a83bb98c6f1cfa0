"""The package's optimizers on the parameters of a network; their update rules are in `tripletrec.optimizers`.

A rule updates one row of weights and its optimizer state. Here a table of such rows is any parameter of a
network. Of a table of factors only the rows that a batch touches are updated, each once however often it is
touched; of the other parameters every row is. For SGD and Adagrad that equals updating all rows, as one
without gradient stays where it is; for Adam see `tripletrec.optimizers`, and
`tripletrec.reference.keras.optimizers` for the dense form of old Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.intrinsics import prefetch
from tripletrec._runtime.jit import kernel, part
from tripletrec.optimizers import Optimizer

__all__ = ["MovingTable", "RowOptimizer", "build_row_updates"]


_AHEAD = 6  # rows between the prefetch of one and its update


class MovingTable(NamedTuple):
    """A parameter of a network and what its optimizer keeps of each row."""

    weights: NDArray[Any]
    gradient: NDArray[Any]
    state: NDArray[Any]  # flat, row after row
    step_counts: NDArray[Any]  # (n_rows, n_step_counts)
    updated_at: NDArray[np.int64]  # the last step that updated each row
    own: NDArray[Any]  # of one row, while it is updated: the weights, then their state


@cache
def build_row_updates(optimizer: Optimizer) -> Any:
    """Return a part that updates rows of a table, each once, and clears their gradients."""
    step, update, n_state = optimizer.step, optimizer.update, len(optimizer.state)

    @part(fused=True)
    def update_rows(table, touched, now, scale, penalty, rate, parameters):
        """Update the rows `touched` in step `now`, whose gradients count `scale` times.

        `touched` is overwritten.
        """
        w, gradient, state, own = table.weights, table.gradient, table.state, table.own
        real, width = w.dtype.type, np.uint64(w.shape[1])
        kept = width * np.uint64(n_state)
        row_bytes, n_rows = w.shape[1] * w.itemsize, 0
        for n in range(touched.shape[0]):
            row = touched[n]
            if table.updated_at[np.uint64(row)] != now:
                table.updated_at[np.uint64(row)] = now
                touched[n_rows] = row
                n_rows += 1
        for n in range(n_rows):
            row, ahead = np.uint64(touched[n]), touched[min(n + _AHEAD, n_rows - 1)]
            prefetch(w, ahead, row_bytes)
            prefetch(gradient, ahead, row_bytes)
            prefetch(state, ahead, n_state * row_bytes)
            row_rate = real(step(table.step_counts, row, rate, parameters))
            start = row * kept
            for k in range(width):
                own[k] = w[row, k]
            for k in range(kept):
                own[width + k] = state[start + k]
            for k in range(width):
                g = scale * gradient[row, k]
                update(own, k, width, g, penalty, row_rate, parameters)
                gradient[row, k] = real(0.0)
            for k in range(width):
                w[row, k] = own[k]
            for k in range(kept):
                state[start + k] = own[width + k]

    return update_rows


@cache
def _build_update(optimizer: Optimizer) -> Any:
    update_rows = build_row_updates(optimizer)

    @kernel(noalias=True)
    def update_tables(weights, gradients, rows, states, now, scales, l2, rate, parameters):
        """Update each of the rows once in step `now`, and clear its gradient."""
        for t in range(len(rows)):
            table = MovingTable(weights[t], gradients[t], *states[t])
            update_rows(table, rows[t], now, scales[t], l2[t], rate, parameters)

    return update_tables


class RowOptimizer:
    """Updates tables of weights by one of the package's optimizers.

    Parameters
    ----------
    optimizer : tripletrec.optimizers.Optimizer
    learning_rate : float
        Step size, > 0.
    tables : sequence of float arrays, shape (n_rows, width)
        The parameters, updated in place.
    l2 : sequence of float, default zeros
        For each table the penalty ``l2 / 2 * sum(w ** 2)`` on the rows that are updated.

    Attributes
    ----------
    learning_rate : float
        May be set between steps.
    states : tuple
        Of each table, the last four fields of a `MovingTable`.

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
        self._update_tables = _build_update(optimizer.functions())
        self._tables, self._now = tuple(tables), 0
        self._n_state = len(optimizer.state)
        # Plain tuples, see `tripletrec.neural.features.FeatureTable`.
        self.states = tuple(_start_states(optimizer, table) for table in tables)
        self._all_rows = [np.arange(len(table), dtype=np.int32) for table in tables]
        self._real = real = tables[0].dtype.type
        self._l2 = tuple(map(real, l2)) if l2 else (real(0.0),) * len(tables)
        self.learning_rate = learning_rate
        self._parameters = tuple(map(real, optimizer.parameters))

    def update(
        self,
        gradients: Sequence[NDArray[Any]],
        touched: Sequence[NDArray[np.integer] | None],
        n_triplets: int = 1,
    ) -> None:
        """Update the tables by one step and set the gradients of the updated rows to zero.

        Parameters
        ----------
        gradients : sequence of float arrays
            One for each table, of its shape.
        touched : sequence of int arrays, or None
            The rows of each table to update, repetitions allowed; None: all. Those of int32 are overwritten.
        n_triplets : int, default 1
            Size of the batch: the gradients of tables that are updated as a whole are divided by it. A row
            of factors takes the sum over the few triplets that touch it, all other parameters the mean
            over the batch; so a learning rate means the same for every batch size.
        """
        now = self.take_steps(1)
        scales = tuple(self._real(1.0 / n_triplets if rows is None else 1.0) for rows in touched)
        rows_of_tables = tuple(
            every if rows is None else np.asarray(rows, np.int32)
            for every, rows in zip(self._all_rows, touched, strict=True)
        )
        self._update_tables(
            self._tables, tuple(gradients), rows_of_tables, self.states, now, scales,
            self._l2, self._real(self.learning_rate), self._parameters,
        )  # fmt: skip

    def take_steps(self, n: int) -> int:
        """Count `n` steps, and return the number of the first of them."""
        self._now += n
        return self._now - n + 1

    def state(self) -> dict[str, NDArray[Any]]:
        """Return by name what the optimizer keeps of each row, and how often each has been updated: views."""
        found = {}
        for n, (table, (state, step_counts, *_)) in enumerate(
            zip(self._tables, self.states, strict=True)
        ):
            found[f"state.{n}"] = state.reshape(len(table), self._n_state, table.shape[1])
            found[f"step_counts.{n}"] = step_counts
        return found


def _start_states(optimizer: Optimizer, table: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the last four fields of a `MovingTable` before the first step."""
    state = np.empty((len(table), len(optimizer.state), table.shape[1]), table.dtype)
    state[...] = np.array(optimizer.state, table.dtype)[:, None]
    step_counts = np.tile(np.array(optimizer.step_counts, table.dtype), (len(table), 1))
    own = np.empty((1 + len(optimizer.state)) * table.shape[1], table.dtype)
    return state.ravel(), step_counts, np.zeros(len(table), np.int64), own
