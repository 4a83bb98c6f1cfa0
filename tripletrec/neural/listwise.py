r"""List-wise losses for two towers: the items of a batch are the candidates; the losses are in `losses`.

A batch of n pairs of a user and a positive comes with m further items, drawn for the whole batch. The items
of all pairs are candidates for all users: each user's positives are compared with every item of the batch
that the user is not known to like. With A the outputs of
the user tower and V those of the item tower, scores and both gradients are matrix products:

.. math:: S = A V^T + \nu 1 b^T, \qquad \nabla_A = G V, \qquad \nabla_V = G^T A, \qquad
          \nabla_b = \nu G^T 1,

where b are biases of the items, :math:`\nu` is their unit, the temperature or 1 if that is less, and G the
gradient of the loss with respect to S, see `tripletrec.losses.listwise`. Popular items come
into more batches, so the items of a batch are no uniform sample. The expected number of occurrences of item
j in a batch is

.. math:: e_j = (n - 1) \frac{n_j}{\sum_k n_k} + m \frac{w_j}{\sum_k w_k},

where n_j is its number of positives and w_j its weight with the sampler. If it occurs c_j times, its
importance weight in the loss is :math:`m_j = c_j / e_j`: the sum over all items that the user is not known
to like is then estimated without bias (the "log q" correction, here for both sources at once, which is the
balance heuristic of Veach and Guibas). That pairs of one user come together (`tripletrec.neural.pairs`)
leaves it as it is but for a factor near 1: of the n - 1 other pairs up to seven are the user's own.

References
----------
.. [1] Yi et al. "Sampling-bias-corrected neural modeling for large corpus item recommendations",
   RecSys 2019, section 3.
.. [2] Wu et al. "On the effectiveness of sampled softmax loss for item recommendation",
   ACM TOIS 42 (4), 2024.
.. [3] Veach, Guibas. "Optimally combining sampling techniques for Monte Carlo rendering",
   SIGGRAPH 1995, section 3.2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import index, kernel
from tripletrec.data.interactions import Interactions
from tripletrec.losses.listwise import ListLoss
from tripletrec.neural.candidates import CandidateSampler
from tripletrec.neural.features import FeatureEmbedding, FeatureTable
from tripletrec.neural.fit import NetworkTraining
from tripletrec.neural.history import TowerMix, TrainingHistories
from tripletrec.neural.networks import Array, Towers
from tripletrec.neural.pairs import BatchPairs, PairGroups, Slots
from tripletrec.neural.stack import Stack
from tripletrec.sampling import Sampler
from tripletrec.training.given_weights import GivenWeights, exchange, list_given
from tripletrec.training.plan import L2, NetworkPlan, Record

__all__ = ["ListwiseTowers", "NetworkListwiseTraining", "unit_of_biases"]

_ZERO = np.float32(0.0)
_NO_KEY = np.uint64(0)
_NO_MIX = TowerMix()
# Smaller gradients are rounded to zero: products with subnormal numbers are slow.
_LEAST_GRADIENT = np.float32(1e-30)


def unit_of_biases(temperature: float) -> float:
    """Return what biases of items are measured in: the temperature, so that they add to logits, at most 1."""
    return min(1.0, temperature)


class _CandidateSlots(NamedTuple):
    """The items of a batch, each in one slot, and who is known to like them."""

    importance: NDArray[np.float32]
    biases: NDArray[np.float32]
    slot_of: NDArray[np.int32]  # of each item of the catalogue, -1 if it is not in the batch
    n_items: int  # which the candidates represent
    masked: bool  # whether all items that a user is known to like are left out
    indptr: NDArray[np.int64]  # what users are known to like
    indices: NDArray[np.int32]
    given: GivenWeights
    given_slots: NDArray[np.int32]  # of one user at a time, and so is their importance
    weighed: NDArray[np.float32]


@cache
def _build_differentiate(loss: ListLoss) -> Any:
    exponentiate, reduce = loss.exponentiate, loss.reduce

    @kernel
    def differentiate(positives, candidates, temperature, parameters, scratch, scores, totals):
        """Replace the scores S by G, the gradient with respect to S, row by row; add to the totals."""
        users, bounds, slots = positives.users, positives.bounds, positives.slots
        slot_of, indices = candidates.slot_of, candidates.indices
        listed, n_slots = (candidates.given_slots, candidates.weighed), scores.shape[1]
        scale = np.float32(1.0 / temperature)
        logits, hits, slopes = scratch[0], scratch[1], scratch[2]
        for r in range(users.shape[0]):
            row, first, last = scores[r], bounds[r], bounds[r + 1]
            for p in range(first, last):
                logits[p] = row[slots[p]] * scale + candidates.biases[slots[p]]
                hits[p] = 0.0
            for p in range(first, last):
                row[slots[p]] = -np.inf
            n_unknown = candidates.n_items
            if candidates.masked:
                begin, end = candidates.indptr[users[r]], candidates.indptr[users[r] + 1]
                n_unknown -= end - begin
                for e in range(begin, end):
                    slot = slot_of[index(indices[index(e)])]
                    if slot >= 0:
                        row[index(slot)] = -np.inf
            n_given = list_given(
                users[r], candidates.given, slot_of, n_slots, candidates.importance, 0, *listed
            )
            exchange(0, n_given, *listed, 0, n_slots, candidates.importance)
            peak, mass = exponentiate(
                row, candidates.biases, candidates.importance, scale, parameters
            )
            exchange(0, n_given, *listed, 0, n_slots, candidates.importance)
            value, factor = reduce(
                first, last, peak, mass, n_unknown, logits, positives.weights, hits, slopes,
                parameters,
            )  # fmt: skip
            totals[0] += temperature * value
            row_scale = np.float32(factor)
            for j in range(row.shape[0]):
                g = row[j] * row_scale
                row[j] = g if abs(g) > _LEAST_GRADIENT else _ZERO
            for p in range(first, last):
                row[slots[p]] += np.float32(slopes[p])
                totals[1] += positives.weights[p]

    return differentiate


@kernel
def _add_l2_gradients(rows, weights, tables, l2):
    """Add to the gradients of factors that of an L2 penalty on rows[s][n], ``weights[s][n]`` times."""
    for s in range(len(rows)):
        table = FeatureTable(*tables[s])
        indptr, indices = table.indptr, table.indices
        for n in range(rows[s].shape[0]):
            penalty = weights[s][n] * l2[s]
            for e in range(indptr[rows[s][n]], indptr[rows[s][n] + 1]):
                for k in range(table.factors.shape[1]):
                    table.gradient[indices[e], k] += penalty * table.factors[indices[e], k]


class ListwiseTowers(Towers):
    """Two towers that learn from whole batches by a list-wise loss.

    Parameters
    ----------
    users, items : FeatureEmbedding
        Of float32.
    user_tower, item_tower : Stack
        To the same number of outputs.
    loss : ListLoss
    temperature : float
        What scores are divided by.
    positives : Interactions
        What users are known to like.
    sampler : tripletrec.sampling.Sampler
        If it is verified, a user's candidates are the items that the user is not known to like; if not,
        the items that are not the user's positives in this batch.
    mix : TowerMix, default none
        How users are mixed with their histories.
    given : Interactions or None, default None
        Negatives given by the user; they weigh more than other candidates, by the sampler's share. Those of
        items that are no candidates are left out.

    Attributes
    ----------
    candidates : CandidateSampler
    given : GivenWeights
        Of the given negatives that are candidates.
    item_biases : float32 array of shape (n_items, 1)
        What is added to the scores of each item, in units of `unit_of_biases`.
    histories : TrainingHistories or None
        None: users are what the user tower gives.
    touched : list
        The rows of each of `parameters` that the last step touched; None: all.
    """

    def __init__(
        self,
        users: FeatureEmbedding,
        items: FeatureEmbedding,
        user_tower: Stack,
        item_tower: Stack,
        loss: ListLoss,
        temperature: float,
        positives: Interactions,
        sampler: Sampler,
        mix: TowerMix = _NO_MIX,
        given: Interactions | None = None,
    ) -> None:
        super().__init__(users, items, user_tower, item_tower, None)
        self.histories = TrainingHistories(positives, mix) if mix.share > 0.0 else None
        self.candidates = CandidateSampler(positives, sampler)
        if given is not None:  # what never has a slot must not dilute the others
            given = given[np.isin(given.indices, self.candidates.items)]
        self.given = GivenWeights.of(given, sampler.share, len(self.candidates.items))
        most = self.given.most(1)
        self._listed = np.empty(most, np.int32), np.empty(most, np.float32)
        self._temperature, self._masked = temperature, sampler.verified
        self._unit = np.float32(unit_of_biases(temperature))
        self.item_biases = np.zeros((positives.n_items, 1), np.float32)
        self._bias_gradient = np.zeros_like(self.item_biases)
        self._differentiate = _build_differentiate(loss.functions())
        self._parameters = loss.parameters
        self._known = read_only(positives.indptr), read_only(positives.indices)
        self._slots = Slots(positives.n_users, positives.n_items)

    @property
    def parameters(self) -> list[Array]:
        """Those of both towers, then the items' biases."""
        return [*super().parameters, self.item_biases]

    def biases_of_scores(self) -> Array:
        """Return the items' biases in units of the score, a new array of shape (n_items,)."""
        biases: Array = self._unit * self.item_biases[:, 0]
        return biases

    @property
    def gradients(self) -> list[Array]:
        """Those of `parameters`."""
        return [*super().gradients, self._bias_gradient]

    def step_on_batch(
        self,
        users: Array,
        positives: Array,
        drawn: Array,
        weights: Array | None,
        l2: L2,
        totals: NDArray[np.float64],
        key: np.uint64 = _NO_KEY,
    ) -> None:
        """Add the gradient of a batch's loss, the sum over its pairs.

        Parameters
        ----------
        users, positives : int arrays of shape (n,)
        drawn : int array of shape (m,)
            Further candidates of all users.
        weights : float32 array of shape (n,) or None
            Of the pairs.
        l2 : L2
            Penalty of each pair on the factors of its user and of its item; `negative` and `bias` are
            not used.
        totals : float64 array of shape (2,)
            The loss and the weight of the pairs are added.
        key : numpy.uint64, default 0
            Stream of random numbers, by which histories are thinned.
        """
        pairs = self._slots.fill(users, positives, drawn, weights)
        rows, items = pairs.users, self._slots.items
        history = None
        everything = items
        if self.histories is not None:
            history = self.histories.of_batch(key, pairs, self._slots)
            everything = np.concatenate([items, history.further])
        a, v = self._run(rows, everything)
        p = a if history is None else history.mix(a, v)
        candidates, scores = v[: len(items)], self._array("scores", len(rows), len(items))
        np.matmul(p, candidates.T, out=scores)
        self._differentiate_scores(pairs, scores, len(drawn), totals)
        self._bias_gradient[items, 0] += self._unit * scores.sum(axis=0)
        a_gradient, v_gradient = (
            self._array("gradient of a", *a.shape),
            self._array("gradient of v", *v.shape),
        )
        np.matmul(scores.T, p, out=v_gradient[: len(items)])
        np.matmul(scores, candidates, out=a_gradient)
        if history is not None:
            a_gradient = history.unmix(a_gradient, v_gradient)
        self._run_back(rows, everything, (a_gradient, v_gradient), self._unweighted, L2())
        self.touched.append(items.copy())  # which the optimizer writes to
        if l2.user or l2.positive:
            rows_of_pairs = np.repeat(np.arange(len(rows)), np.diff(pairs.bounds))
            sums = (
                np.bincount(places, pairs.weights, len(of))
                for places, of in ((rows_of_pairs, rows), (pairs.slots, items))
            )
            _add_l2_gradients(
                (rows, items), tuple(each.astype(np.float32) for each in sums), self.tables,
                (np.float32(l2.user), np.float32(l2.positive)),
            )  # fmt: skip

    def _differentiate_scores(
        self, pairs: BatchPairs, scores: Array, n_drawn: int, totals: NDArray[np.float64]
    ) -> None:
        """Replace the scores S by G, the gradient with respect to them."""
        slots = self._slots
        importance = self.candidates.importance_weights(
            slots.items, slots.counts, len(pairs.slots), n_drawn
        )
        biases = self.item_biases[slots.items, 0] * (self._unit / np.float32(self._temperature))
        candidates = _CandidateSlots(
            importance, biases, slots.of_items, len(self.candidates.items), self._masked,
            *self._known, self.given, *self._listed,
        )  # fmt: skip
        scratch = np.empty((3, len(pairs.slots)))
        self._differentiate(
            pairs, candidates, self._temperature, self._parameters, scratch, scores, totals
        )


class NetworkListwiseTraining(NetworkTraining):
    """A fit of towers by a list-wise loss, for `tripletrec.training.loop.train`.

    Parameters
    ----------
    plan : NetworkPlan
        `n_negatives` items are drawn for each batch.
    network : ListwiseTowers
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    factors : callable
        Returns the arrays of a fitted model, without a copy.
    """

    network: ListwiseTowers

    def __init__(
        self,
        plan: NetworkPlan,
        network: ListwiseTowers,
        interactions: Interactions,
        weights: NDArray[np.float32] | None,
        factors: Callable[[], tuple[NDArray[Any], ...]],
    ) -> None:
        super().__init__(plan, network, factors)
        self._users, self._items, self._weights = interactions.rows, interactions.indices, weights
        self._groups = PairGroups(self._users, interactions.indptr, plan.batch_size)

    def run_epoch(self, number: int) -> Record:
        """Train on every positive once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1. Batches and what is drawn for them are functions of the seed and this number.

        Returns
        -------
        dict
            epoch, loss, n_positives, seconds. Once the loss of a batch is not finite, the epoch ends, and its
            loss is not finite.
        """
        started = time.perf_counter()
        plan, network = self.plan, self.network
        self._factors = None
        random = np.random.default_rng((plan.seed, number))
        order, totals = self._groups.order(random), np.zeros(2)
        users, items = self._users[order], self._items[order]
        weights = None if self._weights is None else self._weights[order]
        for batch in self._batches(number, len(order)):
            drawn = network.candidates.draw(random, plan.n_negatives)
            key = _NO_KEY if network.histories is None else random.integers(2**64, dtype=np.uint64)
            weights_of = None if weights is None else weights[batch]
            network.step_on_batch(
                users[batch], items[batch], drawn, weights_of, plan.l2, totals, key
            )
            if not math.isfinite(totals[0]):
                break
        return {
            "epoch": number,
            "loss": float(totals[0] / totals[1]),
            "n_positives": len(order),
            "seconds": time.perf_counter() - started,
        }
