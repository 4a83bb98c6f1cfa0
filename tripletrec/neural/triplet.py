"""Fits of networks by a triplet loss: order, negatives, batches; gradients are in `networks`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.interactions import Interactions
from tripletrec.losses import Loss
from tripletrec.neural.bare_towers import BareTowers
from tripletrec.neural.fit import NetworkTraining
from tripletrec.neural.negatives import Negatives, choose_candidates
from tripletrec.neural.networks import PairPerceptron, Towers
from tripletrec.training.plan import NetworkPlan, Record

__all__ = ["NetworkTripletTraining"]

_TOGETHER = 64  # batches in one call


class _Positives(NamedTuple):
    """The positives of an epoch, each of them `n_negatives` times."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32] | None
    nearest: NDArray[np.int32] | None  # the nearest negative, < 0: none


class _Triplets(NamedTuple):
    """The triplets of an epoch or of a batch."""

    users: NDArray[np.int32]
    positives: NDArray[np.int32]
    weights: NDArray[np.float32] | None
    candidates: NDArray[np.int32]  # (n, n_candidates): one of them is the negative; < 0: none


def _take(columns: Any, rows: Any) -> Any:
    """Return these rows of all columns of a record."""
    return type(columns)(*(None if column is None else column[rows] for column in columns))


class NetworkTripletTraining(NetworkTraining):
    """A fit of a network by a triplet loss, for `tripletrec.training.loop.train`.

    Parameters
    ----------
    plan : NetworkPlan
    network : PairPerceptron or Towers
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    given : Interactions or None
        Negatives given by the user.
    factors : callable
        Returns the arrays of a fitted model, without a copy.
    items : int array, default None
        The items that negatives are drawn from; None: all.
    nearest : int array of shape (nnz,), default None
        The nearest negative of each positive, see `tripletrec.neural.nearest`; < 0: it has none.
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
        self._positives = _Positives(
            np.repeat(interactions.rows, plan.n_negatives),
            np.repeat(interactions.indices, plan.n_negatives),
            None if weights is None else np.repeat(weights, plan.n_negatives),
            None if nearest is None else np.repeat(nearest, plan.n_negatives),
        )
        self._negatives = Negatives(plan.sampler, interactions, given, items)
        self._bare: BareTowers | None = None
        if (
            isinstance(network, Towers)
            and not any(each.layers for each in network.stacks)
            and isinstance(plan.loss, Loss)
            and plan.sampler.choose is None  # it needs the scores as they stand
        ):
            self._bare = BareTowers(
                network, plan.loss, plan.optimizer, self._optimizer, plan.batch_size
            )

    def run_epoch(self, number: int) -> Record:
        """Train on every positive once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1. Order and negatives are functions of the seed and this number.

        Returns
        -------
        dict
            epoch, loss, train_auc, n_triplets, n_skipped, seconds.
        """
        started = time.perf_counter()
        self._factors = None
        shuffle, key = np.random.SeedSequence((self.plan.seed, number)).generate_state(2, np.uint64)
        triplets = self._make_triplets(int(shuffle), key)
        n_triplets, totals = len(triplets.users), np.zeros(3)
        if self._bare is not None:
            self._run_batches(self._bare, number, triplets, totals)
        else:
            for rows in self._batches(number, n_triplets):
                self._step(_take(triplets, rows), totals)
        loss, correct, mass = totals.tolist()
        return {
            "epoch": number,
            "loss": loss / mass if mass else 0.0,
            "train_auc": correct / mass if mass else 0.5,
            "n_triplets": n_triplets,
            "n_skipped": len(self._positives.users) - n_triplets,
            "seconds": time.perf_counter() - started,
        }

    def _make_triplets(self, shuffle: int, key: np.uint64) -> _Triplets:
        """Return the triplets of an epoch in their order, without those that have no negative."""
        order = np.random.default_rng(shuffle).permutation(len(self._positives.users))
        users, items, weights, nearest = _take(self._positives, order)
        sampler = self.plan.sampler
        candidates = self._negatives.draw(key, users, sampler.n_candidates)
        if nearest is not None:
            chosen = np.random.default_rng(shuffle ^ 1).random(len(order)) < sampler.share
            chosen &= nearest >= 0
            candidates[chosen, 0] = nearest[chosen]
        # There is none if the user likes all items; an unverified one may be the positive itself.
        candidates[candidates == items[:, None]] = -1
        triplets, kept = _Triplets(users, items, weights, candidates), candidates.max(axis=1) >= 0
        return triplets if kept.all() else _take(triplets, kept)

    def _run_batches(
        self, towers: BareTowers, number: int, triplets: _Triplets, totals: NDArray[np.float64]
    ) -> None:
        """Learn from all triplets, some batches at a time, so that an epoch can be cancelled."""
        n_all, size = len(triplets.users), self.plan.batch_size
        for start in range(0, n_all, size * _TOGETHER):
            if self.cancelled:
                raise KeyboardInterrupt
            end = min(start + size * _TOGETHER, n_all)
            users, positives, weights, candidates = _take(triplets, slice(start, end))
            negatives = np.ascontiguousarray(candidates[:, 0])
            rates = [self._rate(number, first, n_all) for first in range(start, end, size)]
            towers.run(
                (users, positives, negatives, weights), np.array(rates), self.plan.l2, totals
            )

    def _step(self, batch: _Triplets, totals: NDArray[np.float64]) -> None:
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
