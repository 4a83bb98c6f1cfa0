"""The rows of all users by user blocks, in memory or on a disk, for whoever learns a part of them.

From the disk and back they come whole parts at a time. All users in the order of their rows, as a model and
a checkpoint have them, are put together from one run of each block at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import aligned
from tripletrec._runtime.memory import available_memory
from tripletrec._runtime.scratch import ScratchArray, ScratchFolder
from tripletrec.optimizers import Optimizer
from tripletrec.training.block_order import BlockOrder
from tripletrec.training.start_values import USERS
from tripletrec.training.tables import FactorTables, begin_rows, leave_unknown, row_width
from tripletrec.training.triplet_records import UserRows

__all__ = ["UserTable"]

Float32 = NDArray[np.float32]


class _Place(NamedTuple):
    """Memory for the rows of a part."""

    table: Float32
    step_counts: Float32


class UserTable:
    """Factors, optimizer state and step counts of all users.

    Parameters
    ----------
    scratch : ScratchFolder
        Where rows lie for which there is no memory, and what is too large in the order of the users.
    users : BlockOrder
    bounds : int64 array of shape (n_parts + 1,)
        Where the users of each part begin among those of `users`.
    n_resident : int
        Of how many parts the rows are in memory at once; of all: then nothing is read or written.
    n_factors : int
    optimizer : Optimizer
    at_once : int, default 2**14
        Users whose rows are brought into another order at once.
    """

    def __init__(
        self,
        scratch: ScratchFolder,
        users: BlockOrder,
        bounds: NDArray[np.int64],
        n_resident: int,
        n_factors: int,
        optimizer: Optimizer,
        *,
        at_once: int = 2**14,
    ) -> None:
        self._scratch, self._users, self._bounds = scratch, users, bounds.tolist()
        self._at_once = at_once
        self._optimizer, self._n_factors = optimizer, n_factors
        self._shape = 1 + len(optimizer.state), row_width(n_factors)
        n, n_counts = len(users.rows), len(optimizer.step_counts)
        self._all: _Place | None = None
        self._files: tuple[ScratchArray, ScratchArray] | None = None
        self._places: list[_Place] = []
        if n_resident == len(bounds) - 1:
            self._all = _Place(self._rows(n), np.zeros((n, n_counts), np.float32))
        else:
            self._files = (
                scratch.array((n, *self._shape), np.float32),
                scratch.array((n, n_counts), np.float32),
            )
            most = int(np.diff(bounds).max())
            self._places = [
                _Place(self._rows(most), np.zeros((most, n_counts), np.float32))
                for _ in range(n_resident)
            ]
        self._held: list[int | None] = [None] * len(self._places)  # which part is where
        self._changed: set[int] = set()  # parts that differ from the files

    def start(self, positives: NDArray[np.int64], scale: float, seed: int) -> None:
        """Write what users begin with: those without positives, see `positives`, have factors of zero.

        Parameters
        ----------
        positives : int64 array of shape (n_users,)
            How many each has, in the order of the blocks.
        scale, seed
            As of `FactorTables.start`.
        """
        for a in range(0, len(positives), self._at_once):
            b = min(a + self._at_once, len(positives))
            tables = self._tables(b - a)
            begin_rows(
                tables.users, self._users.rows[a:b], self._n_factors, self._optimizer,
                scale=scale, seed=seed, table=USERS,
            )  # fmt: skip
            leave_unknown(tables.users, positives[a:b])
            tables.user_step_counts[:] = np.array(self._optimizer.step_counts, np.float32)
            self._write(a, b, tables.users, tables.user_step_counts)

    def _rows(self, n: int) -> Float32:
        return aligned(n * self._shape[0] * self._shape[1]).reshape(n, *self._shape)

    def rows(self, part: int, busy: int | None = None) -> UserRows:
        """Return the rows of a part, which are going to be changed; part `busy` keeps its place."""
        n = self._bounds[part + 1] - self._bounds[part]
        if self._all is not None:
            own = slice(self._bounds[part], self._bounds[part + 1])
            return UserRows(self._all.table[own].reshape(-1), self._all.step_counts[own])
        if part not in self._held:
            # Parts are visited to and fro: the farthest one is wanted last.
            free = [x for x, held in enumerate(self._held) if held is None or held != busy]
            place = max(free, key=lambda x: self._distance(x, part))
            self._save(place)
            self._held[place] = None
            for file, array in zip(self._files or (), self._places[place], strict=True):
                file.read(self._bounds[part], array[:n])
            self._held[place] = part
        self._changed.add(part)
        place = self._held.index(part)
        table, step_counts = self._places[place]
        return UserRows(table[:n].reshape(-1), step_counts[:n])

    def _distance(self, place: int, part: int) -> float:
        held = self._held[place]
        return math.inf if held is None else abs(held - part)

    def _save(self, place: int) -> None:
        part = self._held[place]
        if part not in self._changed or part is None:
            return
        n = self._bounds[part + 1] - self._bounds[part]
        for file, array in zip(self._files or (), self._places[place], strict=True):
            file.write(self._bounds[part], array[:n])
        self._changed.discard(part)

    def in_order(self, *, change: bool = False) -> Iterator[tuple[int, FactorTables]]:
        """Yield the rows of all users in their order, some at a time, as tables without items.

        Parameters
        ----------
        change : bool, default False
            Whether what the tables hold afterwards is written back.

        Yields
        ------
        (int, FactorTables)
            The first user, and tables that are valid until the next ones.
        """
        for place in range(len(self._places)):
            self._save(place)
        if change:
            self._held = [None] * len(self._places)
        n = len(self._users.rows)
        for first in range(0, n, self._at_once):
            last = min(n, first + self._at_once)
            runs = self._users.runs(first, last)
            tables = self._tables(last - first)
            mine = tables.users, tables.user_step_counts
            for a, b in runs:
                for own, found in zip(mine, self._read(a, b), strict=True):
                    own[self._users.rows[a:b] - first] = found
            yield first, tables
            for a, b in runs if change else ():
                self._write(a, b, *(own[self._users.rows[a:b] - first] for own in mine))

    def _tables(self, n: int) -> FactorTables:
        """Return tables of so many users and no items."""
        rows, (n_each, _) = self._rows(n), self._shape
        n_counts = len(self._optimizer.step_counts)
        return FactorTables(
            rows, rows[:0], np.empty((0, n_each, 1), np.float32),
            np.empty((n, n_counts), np.float32), np.empty((0, n_counts), np.float32), self._n_factors,
        )  # fmt: skip

    def _read(self, a: int, b: int) -> tuple[Float32, Float32]:
        if self._all is not None:
            return self._all.table[a:b], self._all.step_counts[a:b]
        found = self._rows(b - a), np.empty((b - a, len(self._optimizer.step_counts)), np.float32)
        for file, array in zip(self._files or (), found, strict=True):
            file.read(a, array)
        return found

    def _write(self, a: int, b: int, table: Float32, step_counts: Float32) -> None:
        if self._all is not None:
            self._all.table[a:b], self._all.step_counts[a:b] = table, step_counts
        for file, array in zip(self._files or (), (table, step_counts), strict=False):
            file.write(a, array)

    def collect(
        self, take: Callable[[FactorTables], dict[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Return, of all users in their order, what `take` makes of the tables of some.

        Each array is an own one in memory; where that would take more than half of what there is, a read-only
        one that lies on the disk until nobody refers to it any more.
        """
        there = available_memory()
        found: dict[str, NDArray[Any] | ScratchArray] = {}
        for first, tables in self.in_order():
            for name, each in take(tables).items():
                if name not in found:
                    shape = len(self._users.rows), *each.shape[1:]
                    found[name] = self._array(shape, there)
                    if there is not None and isinstance(found[name], np.ndarray):
                        there -= 2 * found[name].nbytes
                into = found[name]
                if isinstance(into, ScratchArray):
                    into.write(first, np.ascontiguousarray(each))
                else:
                    into[first : first + len(each)] = each
        return {
            name: each.mapped() if isinstance(each, ScratchArray) else each
            for name, each in found.items()
        }

    def _array(
        self, shape: tuple[int, ...], available: int | None
    ) -> NDArray[np.float32] | ScratchArray:
        n_bytes = 4 * math.prod(shape)
        if available is None or n_bytes <= available // 2:
            return np.empty(shape, np.float32)
        self._scratch.check_room(n_bytes, "a fit from memory-mapped interactions")
        return self._scratch.array(shape, np.float32)
