"""How a model is evaluated, as one record; what is made of it is in `standing` and `fields`."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["EvaluationProtocol"]


class EvaluationProtocol(NamedTuple):
    """How a model is evaluated, as `evaluate` was told."""

    exclude: Any = "seen"
    candidates: Any = None
    sampled: int | None = None
    random_state: Any = 0
    n_jobs: int | None = None
    verbose: int = 0
