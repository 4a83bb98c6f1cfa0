"""Rows of users and items as a fit starts with them, of some of them only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import aligned
from tripletrec.training.plan import FactorPlan
from tripletrec.training.start_values import ITEMS, USERS
from tripletrec.training.tables import begin_rows, leave_unknown, row_width
from tripletrec.training.user_parts import UserPart

__all__ = ["start_items", "start_users"]

Float32 = NDArray[np.float32]


def start_users(plan: FactorPlan, part: UserPart) -> tuple[Float32, Float32]:
    """Return table and step counts of the users of a part; factors of those without positives are zero."""
    if part.numbers is None:
        raise ValueError("part must be one that says which users it has")
    table, step_counts = _start(plan, part.numbers.users, USERS)
    leave_unknown(table, np.diff(part.positives.indptr))
    return table, step_counts


def start_items(plan: FactorPlan, rows: NDArray[np.int32]) -> tuple[Float32, Float32, Float32]:
    """Return table, biases and step counts of some items."""
    table, step_counts = _start(plan, rows, ITEMS)
    biases = np.zeros((len(rows), table.shape[1]), np.float32)
    biases[:, 1:] = np.array(plan.optimizer.state, np.float32)
    return table, biases, step_counts


def _start(plan: FactorPlan, rows: NDArray[np.int32], table: int) -> tuple[Float32, Float32]:
    shape = (len(rows), 1 + len(plan.optimizer.state), row_width(plan.n_factors))
    into = aligned(math.prod(shape)).reshape(shape)
    begin_rows(
        into,
        rows,
        plan.n_factors,
        plan.optimizer,
        scale=plan.init_scale,
        seed=plan.seed,
        table=table,
    )
    return into, np.tile(np.array(plan.optimizer.step_counts, np.float32), (len(rows), 1))
