"""Tables of rows of factors: weights, and the optimizer's state behind them; updates are elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import aligned
from tripletrec._runtime.threads import executor_for
from tripletrec.optimizers import Optimizer

__all__: list[str] = []

_LANES_OF_FLOATS = 16  # factors are padded to whole cache lines
_TABLES = ("_users", "_items", "_biases")
_ROWS_AT_ONCE = 2**12

Float32 = NDArray[np.float32]


def _draw_start(
    tables: Any,
    n_factors: int,
    scale: float,
    seed: int,
    n_jobs: int,
    beside: Callable[[], None] = lambda: None,
) -> None:
    """Fill the weights of tables with normal numbers, some rows at a time, each with a stream of its own.

    Calls `beside` as well, perhaps in another thread at the same time.
    """
    pieces = [
        (number, first)
        for number, table in enumerate(tables)
        for first in range(0, len(table), _ROWS_AT_ONCE)
    ]

    def draw(number: int, first: int) -> None:
        stream = np.random.SeedSequence(seed, spawn_key=(number, first))
        rows = tables[number][first : first + _ROWS_AT_ONCE, 0, :n_factors]
        random = np.random.Generator(np.random.PCG64(stream))
        rows[...] = random.standard_normal(rows.shape, np.float32) * np.float32(scale)

    tasks: list[Callable[[], None]] = [beside, *(partial(draw, *piece) for piece in pieces)]
    executor = executor_for(n_jobs if len(pieces) > len(tables) else 1)
    with executor.threads():
        executor.run(lambda task: task(), [(task,) for task in tasks])


def _let_go(training: Any) -> None:
    """Drop all but the factors of a training, the optimizer's state and padding included.

    The smaller tables are copied first, and leave their place to the next; where nothing lies
    between the factors they stay where they are. May be interrupted and called again.
    """
    for name in vars(training).keys() - {"plan", "_temperature", *_TABLES}:
        delattr(training, name)
    for name in sorted(_TABLES, key=lambda name: getattr(training, name).nbytes):
        rows = getattr(training, name)[:, :1, : training.plan.n_factors]
        setattr(training, name, np.ascontiguousarray(rows))


def _table(n_rows: int, width: int, optimizer: Optimizer) -> Float32:
    """Return rows of zeros and the optimizer's start values, each row on whole cache lines."""
    shape = (n_rows, 1 + len(optimizer.state), width)
    table = aligned(math.prod(shape)).reshape(shape)
    table[:, 1:] = np.array(optimizer.state, np.float32)[:, None]
    return table
