"""The time an epoch spends in each of its stages; used by `roofline.py` and `scaling.py`.

Uses internals of training: the kernel of `TripletTraining.loop` is the training loop, and those of
`tripletrec.training.bucketing` and `dealing` prepare an epoch: `draw_negatives` draws, the others bucket and
shuffle the positives. What *prepare* takes beyond those is Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tripletrec as tr
from machine import by_kernels
from tripletrec.training import dealing, stratum, user_parts

__all__ = ["SETTINGS", "Fit"]

SETTINGS: dict[str, Any] = {
    "loss": "bpr", "optimizer": "sgd", "learning_rate": 0.05, "user_l2": 0.01, "item_l2": 0.01,
    "sampler": "unseen", "random_state": 0,
}  # fmt: skip


class _Watch:
    """A kernel that keeps the seconds spent in it: of the thread on a core, not of waiting for one."""

    def __init__(self, kernel: Callable[..., Any]) -> None:
        self.kernel, self.seconds = kernel, 0.0

    def __call__(self, *arguments: Any) -> Any:
        started = time.thread_time()
        answer = self.kernel(*arguments)
        self.seconds += time.thread_time() - started
        return answer


_PREPARING = (
    (dealing, "_shuffle_runs"), (user_parts, "bucket"), (stratum, "shuffle_strata"),
    (stratum, "draw_negatives"),
)  # fmt: skip


def _watch(module: Any, name: str) -> _Watch:
    """Put a kernel under watch where a module calls it; return its watch, the same one for all fits."""
    if not isinstance(getattr(module, name), _Watch):
        setattr(module, name, _Watch(getattr(module, name)))
    watch: _Watch = getattr(module, name)
    return watch


class Fit:
    """The state of a fit by one thread, whose stages are timed apart.

    Parameters
    ----------
    data : Interactions
    n_factors : int
    optimizer : str, default "sgd"

    Attributes
    ----------
    table_bytes, state_bytes : int
        Size of factors and item biases, and of the optimizer state that belongs to them, without padding.
    """

    def __init__(self, data: tr.Interactions, n_factors: int, optimizer: str = "sgd") -> None:
        settings = {**SETTINGS, "n_factors": n_factors, "optimizer": optimizer, "n_jobs": 1}
        model = tr.MatrixFactorization(**settings)
        by_kernels()
        plan = model._plan_for(model._plan(), data, None)
        training: Any = model._begin(plan, data, None, None).training
        self._update = _Watch(training.loop.kernel)
        training.loop = training.loop._replace(kernel=self._update)
        self._kernels = {name: _watch(module, name) for module, name in _PREPARING}
        self.table_bytes = sum(each.nbytes for each in training.factors)
        remembered, step_counts = training.plan.optimizer.state, training.plan.optimizer.step_counts
        rows = data.n_users + data.n_items
        self.state_bytes = len(remembered) * self.table_bytes + 4 * len(step_counts) * rows
        self._training, self._number = training, 0

    def epoch(self) -> dict[str, float]:
        """Run an epoch; return nanoseconds per triplet, whole and by stage."""
        self._number += 1
        for watch in (self._update, *self._kernels.values()):
            watch.seconds = 0.0
        started = time.thread_time()
        record = self._training.run_epoch(self._number)
        whole = time.thread_time() - started
        update, draw = self._update.seconds, self._kernels["draw_negatives"].seconds
        stages = {
            "whole": whole, "prepare": whole - update - draw, "draw": draw, "update": update,
            "bucket and shuffle, of prepare": sum(each.seconds for each in self._kernels.values()) - draw,
        }  # fmt: skip
        return {name: 1e9 * s / max(1, record["n_triplets"]) for name, s in stages.items()}
