"""Tables of factors: weights, optimizer state and step counts of every row.

A table is a float32 array of shape (n_rows, 1 + n_state, width): the weights of a row, then what the
optimizer keeps of each of them, so that all that one update touches lies together. Rows are padded to
whole cache lines; the padding stays zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import check_rows, copy_into
from tripletrec._runtime.jit import aligned
from tripletrec._runtime.threads import executor_for
from tripletrec.optimizers import Optimizer
from tripletrec.training.plan import Factors
from tripletrec.training.start_values import ITEMS, LINE, USERS, start_rows

__all__ = ["FactorTables", "begin_rows", "leave_unknown", "row_width"]

_CHUNK = 2**12  # rows whose start values are drawn by one task
_NAMES = ("users", "items", "biases", "user_step_counts", "item_step_counts")

Float32 = NDArray[np.float32]


class FactorTables:
    """Users' and items' rows of factors, items' biases, and the optimizer's state of all of them.

    Parameters
    ----------
    users, items, biases : float32 arrays of shape (n_rows, 1 + n_state, width)
        The width of biases is 1.
    user_step_counts, item_step_counts : float32 arrays of shape (n_rows, n_step_counts)
    n_factors : int
        Factors of a row without padding.

    Examples
    --------
    >>> from tripletrec.optimizers import adagrad
    >>> tables = FactorTables.start(3, 5, 4, adagrad(), scale=0.1, seed=0)
    >>> tables.users.shape, tables.factors.item_factors.shape
    ((3, 2, 16), (5, 4))
    """

    def __init__(
        self,
        users: Float32,
        items: Float32,
        biases: Float32,
        user_step_counts: Float32,
        item_step_counts: Float32,
        n_factors: int,
    ) -> None:
        self.users, self.items, self.biases = users, items, biases
        self.user_step_counts, self.item_step_counts = user_step_counts, item_step_counts
        self.n_factors = n_factors
        self._row_state: dict[str, Float32] | None = None  # of tables that were released

    @classmethod
    def start(
        cls,
        n_users: int,
        n_items: int,
        n_factors: int,
        optimizer: Optimizer,
        *,
        scale: float,
        seed: int,
        n_jobs: int = 1,
        beside: Callable[[FactorTables], None] | None = None,
    ) -> Self:
        """Return tables whose factors are drawn from a normal distribution; biases are zero.

        Parameters
        ----------
        n_users, n_items, n_factors : int
        optimizer : Optimizer
            Gives the start values of the state and of the step counts.
        scale : float
            Standard deviation of the factors.
        seed : int
            A row's values depend on it and on the row's number alone, see `start_values.start_rows`.
        n_jobs : int, default 1
            Threads; changes no bit.
        beside : callable, default None
            Called with the tables, perhaps while factors are still being drawn in other threads.
        """
        tables = cls._at_zero(n_users, n_items, n_factors, optimizer)
        tables._draw(optimizer, scale, seed, n_jobs, beside)
        return tables

    @classmethod
    def _at_zero(cls, n_users: int, n_items: int, n_factors: int, optimizer: Optimizer) -> Self:
        width = row_width(n_factors)
        step_counts = np.array(optimizer.step_counts, np.float32)
        users = _zeros(n_users, width, optimizer)
        items = _zeros(n_items, width, optimizer)
        biases = _zeros(n_items, 1, optimizer)
        _start_state(biases, optimizer)
        of_users, of_items = (np.tile(step_counts, (n, 1)) for n in (n_users, n_items))
        return cls(users, items, biases, of_users, of_items, n_factors)

    @property
    def width(self) -> int:
        """Factors of a row, padding included."""
        return int(self.users.shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes of the rows of users and items."""
        return int(self.users.nbytes + self.items.nbytes)

    @property
    def factors(self) -> Factors:
        """The factors as they stand: views."""
        n = self.n_factors
        return Factors(self.users[:, 0, :n], self.items[:, 0, :n], self.biases[:, 0, 0])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that is learnt by name, as it stands: the tables themselves, no copies."""
        return {name: getattr(self, name) for name in _NAMES}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` has returned; raise ValueError unless it is of tables of this size."""
        copy_into(self.state(), state)

    def row_state(self) -> dict[str, Float32]:
        """Return the optimizer's state in brief, also after `release`: the mean of each row's, step counts.

        Those of users are ``state.0`` and ``step_counts.0``, those of items have number 1, of biases 2.
        It takes next to no memory, and who learns on from it loses next to nothing.
        """
        if self._row_state is not None:
            return self._row_state
        n = self.n_factors
        return {
            "state.0": self.users[:, 1:, :n].mean(axis=2, keepdims=True),
            "state.1": self.items[:, 1:, :n].mean(axis=2, keepdims=True),
            "state.2": self.biases[:, 1:].copy(),
            "step_counts.0": self.user_step_counts,
            "step_counts.1": self.item_step_counts,
        }

    def take_up(self, factors: Factors, row_state: Mapping[str, Float32] | None) -> None:
        """Begin with what was learnt of the first rows, and with the state that `row_state` returned of them.

        Parameters
        ----------
        factors : Factors
            Of these tables' `n_factors`; of as many users and items as there are, or fewer.
        row_state : mapping or None
            None: the state is that of the start. Rows that it lacks begin with the mean of the others', so
            that one step does not undo what they begin with; but where an optimizer counts its steps, and
            so knows of a start.

        Raises
        ------
        ValueError
            If they are not; nothing is changed then.
        """
        check_rows(self.factors, factors)
        n = self.n_factors
        for mine, theirs in zip(self.factors, factors, strict=True):
            # A user of whom nothing was known has a row of zeros, from which a cosine cannot be learnt.
            known = theirs.any(axis=1) if theirs.ndim == 2 else slice(None)
            mine[: len(theirs)][known] = theirs[known]
        if row_state is None:
            return
        tables = (self.users, self.items, self.biases)
        for k, (table, learnt) in enumerate(zip(tables, factors, strict=True)):
            state = row_state[f"state.{k}"][: len(learnt)]
            table[: len(state), 1:, :n] = state
            if not self.user_step_counts.shape[1]:
                table[len(state) : len(learnt), 1:, :n] = state.mean(axis=0)
        for k, counts in enumerate((self.user_step_counts, self.item_step_counts)):
            state = row_state[f"step_counts.{k}"][: len(factors[k])]
            counts[: len(state)] = state

    def release(self) -> Factors:
        """Return the factors as arrays of their own; state and padding are dropped, see `row_state`.

        The smaller tables are copied first, and leave their place to the next; where nothing lies
        between the factors they stay where they are. If interrupted, it may be called again.
        """
        self._row_state = self.row_state()
        self.user_step_counts = self.item_step_counts = np.empty((0, 0), np.float32)
        names = ("users", "items", "biases")
        for name in sorted(names, key=lambda name: int(getattr(self, name).nbytes)):
            rows = getattr(self, name)[:, :1, : self.n_factors]
            setattr(self, name, np.ascontiguousarray(rows))
        return self.factors

    def _draw(
        self,
        optimizer: Optimizer,
        scale: float,
        seed: int,
        n_jobs: int,
        beside: Callable[[FactorTables], None] | None,
    ) -> None:
        """Fill the rows of users and items."""

        def draw(number: int, table: Float32, first: int) -> None:
            into = table[first : first + _CHUNK]
            rows = np.arange(first, first + len(into))
            begin_rows(into, rows, self.n_factors, optimizer, scale=scale, seed=seed, table=number)

        tasks: list[Callable[[], None]] = [
            partial(draw, number, table, first)
            for number, table in ((USERS, self.users), (ITEMS, self.items))
            for first in range(0, len(table), _CHUNK)
        ]
        several = len(tasks) > 2
        if beside is not None:
            tasks.insert(0, partial(beside, self))
        executor = executor_for(n_jobs if several else 1)
        with executor.threads():
            executor.run(lambda task: task(), [(task,) for task in tasks])


def row_width(n_factors: int) -> int:
    """Return the float32 of a row of so many factors, padding included."""
    return -(-n_factors // LINE) * LINE


def begin_rows(
    into: Float32,
    rows: NDArray[np.integer[Any]],
    n_factors: int,
    optimizer: Optimizer,
    *,
    scale: float,
    seed: int,
    table: int,
) -> None:
    """Write what some rows of a table begin with, the optimizer's state included; they are zeros now.

    Parameters
    ----------
    into : float32 array of shape (n, 1 + n_state, width)
    rows : int array of shape (n,)
        Their numbers.
    n_factors, optimizer, scale, seed
        As of `FactorTables.start`.
    table : int
        `start_values.USERS` or `ITEMS`.
    """
    _start_state(into, optimizer)
    numbers = rows.astype(np.int64, copy=False)
    start_rows(numbers, into, n_factors, scale=scale, seed=seed, table=table)


def leave_unknown(users: Float32, n_positives: NDArray[np.integer[Any]]) -> None:
    """Set the factors of users without positives to zero, for nothing is learnt of them.

    So the biases alone rank the items for them.
    """
    users[n_positives == 0, 0] = 0.0


def _start_state(rows: Float32, optimizer: Optimizer) -> None:
    """Write the optimizer's start values beside weights; they are zeros now, which need no writing."""
    for number, value in enumerate(optimizer.state, 1):
        if value != 0.0:
            rows[:, number] = value


def _zeros(n_rows: int, width: int, optimizer: Optimizer) -> Float32:
    """Return a table of zeros, each row on whole cache lines, see `aligned`."""
    shape = (n_rows, 1 + len(optimizer.state), width)
    return aligned(math.prod(shape)).reshape(shape)
