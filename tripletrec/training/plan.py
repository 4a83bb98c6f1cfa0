"""What one fit depends on, data apart, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.part_checks import PartField
from tripletrec.losses import ListLoss, Loss
from tripletrec.optimizers import Optimizer
from tripletrec.rates import Schedule, constant
from tripletrec.sampling import Sampler
from tripletrec.scorers import Scorer

__all__ = ["L2", "RECORD_NUMBERS", "FactorPlan", "Factors", "NetworkPlan", "Plan", "Record"]

Float32 = NDArray[np.float32]
Record = dict[str, Any]  # of an epoch
# What trainings write into records, beside which are the validation metric and the notes of callbacks.
RECORD_NUMBERS = frozenset(
    {
        "epoch",
        "loss",
        "train_auc",
        "n_triplets",
        "n_skipped",
        "n_violations",
        "n_positives",
        "seconds",
    }
)


class Factors(NamedTuple):
    """Factors of a model: float32 arrays (n_users, n_factors), (n_items, n_factors), (n_items,)."""

    user_factors: Float32
    item_factors: Float32
    item_biases: Float32


class L2(NamedTuple):
    """Weight of the penalty ½ λ |w|² for each role of a row; >= 0."""

    user: float = 0.0
    positive: float = 0.0
    negative: float = 0.0
    bias: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every fit depends on; see the estimators for the meaning of each field."""

    loss: Loss | ListLoss
    optimizer: Optimizer
    sampler: Sampler
    learning_rate: float
    n_negatives: int
    l2: L2 = L2()
    seed: int
    schedule: Schedule = constant()
    n_epochs: int = 1

    def fields(self) -> list[PartField]:
        """Return the parts and how they are called."""
        return [*self.loss.fields(), *self.optimizer.fields(), *self.sampler.fields()]

    @property
    def n_candidates(self) -> int:
        """Items that are drawn for one negative."""
        if isinstance(self.loss, Loss) and self.loss.searches:
            return self.loss.max_sampled
        return self.sampler.n_candidates if self.sampler.choose is not None else 1

    def rate_at(self, epochs: float) -> float:
        """Return the learning rate after so many epochs, whole or not."""
        return self.learning_rate * self.schedule.factor(epochs / self.n_epochs)


@dataclass(frozen=True, kw_only=True)
class FactorPlan(Plan):
    """What a fit of a factor model depends on.

    `companions` are the parameters that the user has left to the loss, by name, as they were chosen.
    """

    n_factors: int
    scorer: Scorer
    item_bias: bool
    init_scale: float
    history: float = 0.0
    history_dropout: float = 0.5
    companions: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def is_graded(self) -> bool:
        """Whether positives are compared with positives of lower value."""
        return self.sampler.by_value and self.sampler.share > 0.0

    def stores_negatives(self, given: bool) -> bool:
        """Return whether negatives are stored with the positives; `given`: whether the user gives some.

        They are where they are given, or positives are graded, unless the sampler chooses among candidates,
        see `tripletrec.training.placed_negatives`.
        """
        return (given or self.is_graded) and self.sampler.choose is None

    def fields(self) -> list[PartField]:
        """Return the parts and how they are called."""
        return [*super().fields(), *self.scorer.fields()]


@dataclass(frozen=True, kw_only=True)
class NetworkPlan(Plan):
    """What a fit of a network depends on, the network apart; `layer_l2` is the L2 of its weights."""

    batch_size: int
    init_scale: float
    layer_l2: float = 0.0
