"""What one fit of a factor model depends on, and what it gives; how it is run is elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec.losses import ListLoss, Loss
from tripletrec.optimizers import Optimizer
from tripletrec.rates import Schedule, constant
from tripletrec.sampling import Sampler
from tripletrec.scorers import Scorer

__all__ = ["Factors", "Plan", "Record"]

Float32 = NDArray[np.float32]
Record = dict[str, Any]


class Factors(NamedTuple):
    """Factors of a model: float32 arrays (n_users, n_factors), (n_items, n_factors), (n_items,)."""

    user_factors: Float32
    item_factors: Float32
    item_biases: Float32


class Plan(NamedTuple):
    """All that one fit depends on; see `tripletrec.MatrixFactorization` for the meaning of each."""

    n_factors: int
    loss: Loss | ListLoss
    scorer: Scorer
    optimizer: Optimizer
    sampler: Sampler
    learning_rate: float
    l2: tuple[float, float, float, float]  # users, positive items, negative items, item biases
    item_bias: bool
    n_negatives: int
    init_scale: float
    seed: int
    schedule: Schedule = constant()
    n_epochs: int = 1

    def rate_at(self, epochs: float) -> float:
        """Return the learning rate after so many epochs."""
        return self.learning_rate * self.schedule.factor(epochs / self.n_epochs)
