"""Fits of a network by a loss of triplets: their order, negatives, steps; layers are elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.interactions import Interactions
from tripletrec.neural.fit import NetworkTraining
from tripletrec.neural.negatives import Negatives, choose_candidates
from tripletrec.neural.networks import PairPerceptron, Towers
from tripletrec.training.plan import NetworkPlan, Record

__all__ = ["NeuralTraining"]


class NeuralTraining(NetworkTraining):
    """Runs the epochs of a fit by a loss of triplets; see `tripletrec.training.loop.train`.

    Parameters
    ----------
    plan : NetworkPlan
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
        The nearest negative of each positive, see `tripletrec.neural.nearest`; negative: none.
    """

    def __init__(
        self,
        plan: NetworkPlan,
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
        if self.plan.sampler.choose is not None:
            negatives = self._choose(users, positives, candidates, self.plan.sampler.choose)
        self.network.step(users, positives, negatives, weights, self.plan.l2, totals)

    def _choose(
        self, users: Any, positives: Any, candidates: Any, choose: Callable[..., Any]
    ) -> NDArray[np.int32]:
        """Return the candidates that are chosen by the scores of the network as it stands."""
        items = np.concatenate([positives, np.maximum(candidates, 0).T.reshape(-1)])
        scores = self.network.scores(users, items).reshape(-1, len(users))
        return choose_candidates(candidates, scores[1:].T, scores[0], choose)
