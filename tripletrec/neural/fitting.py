"""The state of one fit of a network: epochs of batches, negatives of every kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.blas import one_blas_thread
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.neural.drawing import Negatives, choose_candidates
from tripletrec.neural.networks import PairPerceptron, Towers
from tripletrec.neural.rows import RowOptimizer
from tripletrec.optimizers import Optimizer
from tripletrec.rates import Schedule, constant
from tripletrec.sampling import Sampler

__all__ = ["NetworkTraining", "NeuralPlan", "NeuralTraining"]

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
        self.given_up = False  # to be set from another thread
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

    def hand_over(self) -> tuple[NDArray[Any], ...]:
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
            if self.given_up:
                raise KeyboardInterrupt
            n = min(plan.batch_size, n_all - first)
            yield slice(first, first + n)
            epochs = number - 1 + (first + 0.5 * n) / n_all
            rate = plan.learning_rate * plan.schedule.factor(epochs / plan.n_epochs)
            self._optimizer.learning_rate = rate
            self._optimizer.update(self._gradients, self.network.met, n)


class NeuralTraining(NetworkTraining):
    """Runs the epochs of a fit by a loss of triplets; see `tripletrec.epochs.train`.

    Parameters
    ----------
    plan : NeuralPlan
    network : PairPerceptron or Towers
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    given : Interactions or None
        Negatives handed in by the user.
    factors : callable
        Returns the arrays that make a fitted model, as they stand.
    items : int array, default None
        The items that negatives are drawn from; None: all.
    nearest : int array of shape (nnz,), default None
        The nearest negative of each positive, see `tripletrec.hard_negatives`; negative: none.
    """

    def __init__(
        self,
        plan: NeuralPlan,
        network: PairPerceptron | Towers,
        interactions: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        factors: Callable[[], tuple[NDArray[Any], ...]],
        *,
        items: NDArray[np.integer] | None = None,
        nearest: NDArray[np.integer] | None = None,
    ) -> None:
        super().__init__(plan, network, factors)
        self._columns: tuple[Any, ...] = (
            np.repeat(interactions.rows, plan.n_negatives),
            np.repeat(interactions.indices, plan.n_negatives),
            None if weights is None else np.repeat(weights, plan.n_negatives),
            None if nearest is None else np.repeat(nearest, plan.n_negatives),
        )
        self._negatives = Negatives(plan.sampler, interactions, given, items)

    def run_epoch(self, number: int) -> Record:
        """Learn from every positive once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1; with the seed it determines the order and the negatives of the epoch.

        Returns
        -------
        dict
            epoch, loss, train_auc, n_triplets, n_skipped, seconds.
        """
        started = time.perf_counter()
        self._factors = None
        shuffle, key = np.random.SeedSequence((self.plan.seed, number)).generate_state(2, np.uint64)
        columns, n_skipped = self._triplets(int(shuffle), key)
        totals = np.zeros(3)
        for batch in self._batches(number, len(columns[0])):
            self._step([None if x is None else x[batch] for x in columns], totals)
        loss, right, mass = totals.tolist()
        return {
            "epoch": number,
            "loss": loss / mass if mass else 0.0,
            "train_auc": right / mass if mass else 0.5,
            "n_triplets": len(columns[0]),
            "n_skipped": n_skipped,
            "seconds": time.perf_counter() - started,
        }

    def _triplets(self, shuffle: int, key: np.uint64) -> tuple[list[Any], int]:
        """Return users, positives, weights and negatives (or candidates) in the order of the epoch."""
        order = np.random.default_rng(shuffle).permutation(len(self._columns[0]))
        users, positives = (each[order] for each in self._columns[:2])
        weights, nearest = (None if each is None else each[order] for each in self._columns[2:])
        sampler = self.plan.sampler
        negatives = self._negatives.draw(key, users, sampler.n_candidates)
        if nearest is not None:
            chosen = np.random.default_rng(shuffle ^ 1).random(len(order)) < sampler.share
            chosen &= nearest >= 0
            negatives[chosen, 0] = nearest[chosen]
        # No negative: the user likes all there is; an unverified one may be the positive itself.
        negatives[negatives == positives[:, None]] = -1
        kept = negatives.max(axis=1) >= 0
        n_skipped = int((~kept).sum())
        columns = [users, positives, weights, negatives]
        if n_skipped:
            columns = [None if each is None else each[kept] for each in columns]
        return columns, n_skipped

    def _step(self, batch: list[Any], totals: NDArray[np.float64]) -> None:
        users, positives, weights, candidates = batch
        negatives = candidates[:, 0]
        if candidates.shape[1] > 1:
            negatives = self._hardest(users, positives, candidates)
        self.network.step(users, positives, negatives, weights, self.plan.factor_l2, totals)

    def _hardest(self, users: Any, positives: Any, candidates: Any) -> Any:
        """Return the candidate that the network, as it stands, scores highest."""
        items = np.concatenate([positives, np.maximum(candidates, 0).T.reshape(-1)])
        scores = self.network.scores(users, items).reshape(-1, len(users))
        below = self.plan.sampler.rule == "semi_hard"
        return choose_candidates(candidates, scores[1:].T, scores[0], below)
