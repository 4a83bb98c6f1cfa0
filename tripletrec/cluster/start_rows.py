"""Rows of users and items as a fit starts with them, of some of them only; epochs change them elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import distinct
from tripletrec._runtime.jit import aligned
from tripletrec.training.parts import UserPart
from tripletrec.training.plan import FactorPlan
from tripletrec.training.tables import row_width

__all__ = ["start_items", "start_users"]

_CHUNK = 2**12

Float32 = NDArray[np.float32]


def start_users(plan: FactorPlan, part: UserPart) -> tuple[Float32, Float32]:
    """Return table and step counts of the users of a part; factors of those without positives are zero."""
    if part.numbers is None:
        raise ValueError("part must be one that says which users it has")
    table, step_counts = _start(plan, part.numbers.users, 0)
    table[np.diff(part.positives.indptr) == 0, 0] = 0.0
    return table, step_counts


def start_items(plan: FactorPlan, rows: NDArray[np.int32]) -> tuple[Float32, Float32, Float32]:
    """Return table, biases and step counts of some items."""
    table, step_counts = _start(plan, rows, 1)
    biases = np.zeros((len(rows), table.shape[1]), np.float32)
    biases[:, 1:] = np.array(plan.optimizer.state, np.float32)
    return table, biases, step_counts


def _start(plan: FactorPlan, rows: NDArray[np.int32], number: int) -> tuple[Float32, Float32]:
    shape = (len(rows), 1 + len(plan.optimizer.state), row_width(plan.n_factors))
    table = aligned(math.prod(shape)).reshape(shape)
    table[:, 1:] = np.array(plan.optimizer.state, np.float32)[:, None]
    _draw(table[:, 0, : plan.n_factors], rows, number, plan)
    return table, np.tile(np.array(plan.optimizer.step_counts, np.float32), (len(rows), 1))


def _draw(into: Any, rows: NDArray[np.int32], number: int, plan: FactorPlan) -> None:
    """Draw the factors of some rows as `FactorTables.start` does, chunk by chunk."""
    for first in distinct(rows - rows % _CHUNK).tolist():
        own = np.flatnonzero((rows >= first) & (rows < first + _CHUNK))
        last = int(rows[own].max()) + 1 - first
        stream = np.random.SeedSequence(plan.seed, spawn_key=(number, first))
        random = np.random.Generator(np.random.PCG64(stream))
        drawn = random.standard_normal((last, plan.n_factors), np.float32)
        into[own] = drawn[rows[own] - first] * np.float32(plan.init_scale)
