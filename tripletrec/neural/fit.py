"""The state of one fit of a network: epochs of batches, negatives of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from numpy.typing import NDArray

from tripletrec._runtime.blas import one_blas_thread
from tripletrec.losses import ListLoss, Loss
from tripletrec.neural.networks import PairPerceptron, Towers
from tripletrec.neural.row_optimizer import RowOptimizer
from tripletrec.optimizers import Optimizer
from tripletrec.rates import Schedule, constant
from tripletrec.sampling import Sampler

__all__ = ["NetworkTraining", "NeuralPlan"]

Record = dict[str, Any]


class NeuralPlan(NamedTuple):
    """What a fit of a network depends on, the network apart."""

    loss: Loss | ListLoss
    optimizer: Optimizer
    sampler: Sampler
    learning_rate: float
    batch_size: int
    n_negatives: int  # for each positive; with a list-wise loss for each batch
    l2: float  # of the layers' weights
    factor_l2: tuple[float, float]  # of the factors of users, of items
    seed: int
    schedule: Schedule = constant()
    n_epochs: int = 1


class NetworkTraining:
    """What fits of all losses share: the optimizer, its step size, the arrays of the fitted model.

    Parameters
    ----------
    plan : NeuralPlan
    network : PairPerceptron or Towers
    factors : callable
        Returns the arrays that make a fitted model, as they stand.
    """

    def __init__(
        self,
        plan: NeuralPlan,
        network: PairPerceptron | Towers,
        factors: Callable[[], tuple[NDArray[Any], ...]],
    ) -> None:
        self.plan, self.network = plan, network
        self.cancelled = False  # to be set from another thread
        l2 = (0.0, 0.0, *[plan.l2] * len(network.stacks))
        self._optimizer = RowOptimizer(plan.optimizer, plan.learning_rate, network.parameters, l2)
        self._gradients = network.gradients
        self._make_factors = factors
        self._factors: tuple[NDArray[Any], ...] | None = None

    @property
    def factors(self) -> tuple[NDArray[Any], ...]:
        """The arrays of a model fitted so far, valid until the next epoch."""
        if self._factors is None:
            self._factors = self._make_factors()
        return self._factors

    def release(self) -> tuple[NDArray[Any], ...]:
        """Return the arrays of a fitted model, in memory of their own."""
        return tuple(each.copy() for each in self.factors)

    def threads(self) -> AbstractContextManager[None]:
        """Keep BLAS to one thread, which is faster for a batch and gives the same bits everywhere."""
        return one_blas_thread()

    def run_epoch(self, number: int) -> Record:
        """Learn from every positive once; return the epoch's record."""
        raise NotImplementedError

    def _batches(self, number: int, n_all: int) -> Iterator[slice]:
        """Yield the places of each batch of epoch `number`; then move all that the batch met."""
        plan = self.plan
        for first in range(0, n_all, plan.batch_size):
            if self.cancelled:
                raise KeyboardInterrupt
            n = min(plan.batch_size, n_all - first)
            yield slice(first, first + n)
            epochs = number - 1 + (first + 0.5 * n) / n_all
            rate = plan.learning_rate * plan.schedule.factor(epochs / plan.n_epochs)
            self._optimizer.learning_rate = rate
            self._optimizer.update(self._gradients, self.network.met, n)
