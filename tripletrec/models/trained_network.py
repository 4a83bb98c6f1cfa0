"""What the models with a network share as estimators: plan, dense layers, start values.

Networks, their layers and trainings are in `tripletrec.neural`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import (
    Seed,
    check_count,
    check_non_negative,
    check_positive,
    check_random_state,
)
from tripletrec._runtime.messages import shown
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss, check_loss
from tripletrec.models.continuing import ContinuedModel
from tripletrec.models.fit_arguments import check_dropout
from tripletrec.models.names import FeatureSamplerName, LossName, OptimizerName, ScheduleName
from tripletrec.neural.layers import Dense, Dropout, Layer
from tripletrec.optimizers import Optimizer, check_optimizer
from tripletrec.ranking.rows import FactorRows
from tripletrec.rates import Schedule, check_schedule
from tripletrec.sampling import Sampler
from tripletrec.sampling.samplers import check_sampler
from tripletrec.training.plan import L2, NetworkPlan

__all__ = [
    "TrainedNetwork",
    "count_weights",
    "split_seed",
]


class TrainedNetwork(ContinuedModel):
    """Base of the models that train a network in batches."""

    loss: LossName | Loss | ListLoss | None
    optimizer: OptimizerName | Optimizer | None
    sampler: FeatureSamplerName | Sampler | None
    schedule: ScheduleName | Schedule | None
    learning_rate: float | None
    n_epochs: int | None
    batch_size: int | None
    n_negatives: int | None
    user_l2: float | None
    item_l2: float | None
    l2: float
    dropout: float
    init_scale: float | None
    random_state: Seed
    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]

    def _first_loss(self) -> Loss | ListLoss:
        """Return the loss of a fit, as far as the parameters tell it."""
        loss: Any = self.loss
        return check_loss(loss)

    def _last_loss(self) -> Loss | ListLoss:
        """Return the loss of the last fit, if there was one."""
        return self._first_loss()

    def _chosen(self, name: str, loss: Loss | ListLoss) -> Any:
        """Return a parameter; where it is None, what it is with this loss."""
        return getattr(self, name)

    def _settled_params(self, X: Any = None, **fit_params: Any) -> dict[str, Any]:
        loss = self._last_loss()
        return {name: self._chosen(name, loss) for name in self.get_params()}

    def _plan(self) -> NetworkPlan:
        return self._plan_with(check_random_state(self.random_state), self._first_loss())

    def _plan_again(self) -> NetworkPlan:
        return self._plan_with(check_random_state(self.random_state), self._last_loss())

    def _plan_with(self, seed: int, loss: Loss | ListLoss) -> NetworkPlan:
        chosen = partial(self._chosen, loss=loss)
        item_l2 = check_non_negative(chosen("item_l2"), "item_l2")
        return NetworkPlan(
            loss=loss,
            optimizer=check_optimizer(chosen("optimizer")),
            sampler=check_sampler(chosen("sampler"), features=True),
            learning_rate=check_positive(chosen("learning_rate"), "learning_rate"),
            batch_size=check_count(chosen("batch_size"), "batch_size"),
            init_scale=check_positive(chosen("init_scale"), "init_scale"),
            n_negatives=self._n_negatives(loss),
            layer_l2=check_non_negative(self.l2, "l2"),
            l2=L2(check_non_negative(chosen("user_l2"), "user_l2"), item_l2, item_l2),
            seed=seed,
            schedule=check_schedule(chosen("schedule")),
            n_epochs=check_count(chosen("n_epochs"), "n_epochs"),
        )

    def _epoch_scores(self, plan: NetworkPlan, data: Interactions) -> float:
        return 400.0 * max(1, plan.n_negatives) * data.nnz

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_dropout(self.dropout)

    def _n_negatives(self, loss: Loss | ListLoss) -> int:
        return check_count(self.n_negatives, "n_negatives")

    def _dense_layers(
        self,
        widths: Sequence[int],
        activation: Callable[[], Layer] | None,
        rng: np.random.Generator | None,
        seeds: Sequence[int] = (),
    ) -> list[Layer]:
        """Return dense layers from one width to the next, with activations between them.

        They are untrained and have dropout by `seeds`; without `rng` their weights are zeros, for those
        that were learnt to be put in, and nothing is dropped.
        """
        rate = check_dropout(self.dropout) if rng is not None else 0.0
        layers: list[Layer] = []
        for n, (n_inputs, n_outputs) in enumerate(zip(widths, widths[1:], strict=False)):
            if n and activation is not None:
                layers.append(activation())
            if rate > 0.0:
                layers.append(Dropout(rate, seeds[n]))
            if rng is None:
                layers.append(Dense(np.zeros((n_inputs, n_outputs), np.float32)))
            else:
                layers.append(Dense.start(rng, n_inputs, n_outputs))
        return layers

    def _user_table(self) -> FactorRows:
        return FactorRows(self.user_factors_)

    def _item_table(self) -> FactorRows:
        return FactorRows(self.item_factors_)


def count_weights(widths: Any, name: str) -> int:
    """Return how many weights and biases dense layers of these widths have; raise if they are no widths."""
    if not isinstance(widths, list) or not widths:
        raise ValueError(f"{name} must be a list of integers >= 1, got {shown(widths)}")
    widths = [check_count(each, name) for each in widths]
    return sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))


def split_seed(seed: int, n: int) -> list[int]:
    """Return `n` seeds of one."""
    return [int(x) for x in np.random.SeedSequence(seed).generate_state(n, np.uint64)]
