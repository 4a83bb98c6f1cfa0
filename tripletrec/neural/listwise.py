r"""List-wise losses for two towers: the items of a batch are candidates for all of its users.

A batch of n pairs of user and liked item comes with m items drawn for all of it. Each user's
positives are set against every item of the batch that the user is not known to like; with A what the
tower of users gives and V that of items, the scores are one matrix product, and so are both gradients:

.. math:: S = A V^T, \qquad \nabla_A = G V, \qquad \nabla_V = G^T A,

where G is the gradient of the loss by S, see `tripletrec.losses.listwise`. Items come into a batch as
often as they are liked, so the batch is no fair sample of all items. An item j that nobody draws but chance
is expected in it

.. math:: e_j = (n - 1) \frac{n_j}{\sum_k n_k} + m \frac{w_j}{\sum_k w_k}

times, n_j being its number of positives and w_j its weight with the sampler. Found c_j times, it
stands for :math:`m_j = c_j / e_j` items in the loss: so the sum over all items that the user is not known
to like is estimated without bias (the "log q" correction, here for both sources at once: the balance
heuristic of Veach and Guibas).

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
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel
from tripletrec.data.interactions import Interactions
from tripletrec.losses.listwise import ListLoss
from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.fit import NetworkTraining
from tripletrec.neural.networks import Array, Towers
from tripletrec.neural.stack import Stack
from tripletrec.sampling import Sampler
from tripletrec.training.plan import NetworkPlan, Record

__all__ = ["Catalogue", "InBatchTowers", "InBatchTraining"]

_ZERO = np.float32(0.0)
# Smaller gradients count as zero: products with subnormal numbers are slow.
_LEAST = np.float32(1e-30)


class Catalogue:
    """The items that have a positive: how often each comes into a batch, and what is drawn of them.

    Parameters
    ----------
    positives : Interactions
    sampler : tripletrec.sampling.Sampler
        "unseen", "uniform" and "popularity", or one like these.

    Attributes
    ----------
    items : int array of shape (n,)
        In ascending order.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec import Interactions
    >>> from tripletrec.sampling import UNSEEN
    >>> catalogue = Catalogue(Interactions(np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]])), UNSEEN)
    >>> catalogue.items
    array([0, 1])
    >>> catalogue.multiples(catalogue.items, np.array([2, 1]), n_pairs=3, n_drawn=0)  # liked by 3, by 1
    array([1. , 1.5], dtype=float32)
    """

    def __init__(self, positives: Interactions, sampler: Sampler) -> None:
        counts = np.bincount(positives.indices, minlength=positives.n_items)
        self.items = np.flatnonzero(counts)
        table = sampler.cumulative(counts[self.items])
        weights = None if table is None else np.diff(table)
        self._weights = None if weights is None else weights / weights.sum()
        # Of the n pairs of a batch one is the user's own: n - 1 others, of all but that one.
        self._by_pair = counts / max(1, positives.nnz - 1)
        self._by_draw = np.zeros(positives.n_items)
        self._by_draw[self.items] = 1 / len(self.items) if weights is None else self._weights

    def draw(self, random: np.random.Generator, n: int) -> NDArray[np.int64]:
        """Return `n` items: different ones if all weigh the same, else each by its weight."""
        alike = self._weights is None
        chosen = random.choice(len(self.items), n, replace=not alike, p=self._weights)
        return self.items[chosen]

    def multiples(
        self, items: Array, counts: Array, n_pairs: int, n_drawn: int
    ) -> NDArray[np.float32]:
        """Return how many items each of a batch's stands for.

        Parameters
        ----------
        items, counts : int arrays of shape (n,)
            Different items, and how often each is in the batch.
        n_pairs, n_drawn : int
            Pairs of the batch, and items drawn for it.
        """
        expected = (n_pairs - 1) * self._by_pair[items] + n_drawn * self._by_draw[items]
        # Nothing is expected where a single pair is the whole batch; it is masked then.
        return (counts / np.where(expected > 0.0, expected, 1.0)).astype(np.float32)


@cache
def _build(exponentiate: Callable[..., Any], reduce: Callable[..., Any]) -> Any:

    @kernel
    def differentiate(  # type: ignore[no-untyped-def]
        users, bounds, slots, weights, slot_of, known, masked, n_items, multiples, biases,
        temperature, parameters, work, scores, totals,
    ):  # fmt: skip
        """Replace scores by the gradient in them, user after user; add to the loss."""
        indptr, indices = known
        scale = np.float32(1.0 / temperature)
        logits, hits, slopes = work[0], work[1], work[2]
        for r in range(users.shape[0]):
            row, first, last = scores[r], bounds[r], bounds[r + 1]
            for p in range(first, last):
                logits[p] = row[slots[p]] * scale
                hits[p] = 0.0
            for p in range(first, last):
                row[slots[p]] = -np.inf
            n_unknown = n_items
            if masked:
                begin, end = indptr[users[r]], indptr[users[r] + 1]
                n_unknown -= end - begin
                for e in range(begin, end):
                    if slot_of[indices[e]] >= 0:
                        row[slot_of[indices[e]]] = -np.inf
            peak, mass = exponentiate(row, biases, multiples, scale, parameters)
            value, factor = reduce(
                first, last, peak, mass, n_unknown, logits, weights, hits, slopes, parameters
            )
            totals[0] += temperature * value
            share = np.float32(factor)
            for j in range(row.shape[0]):
                g = row[j] * share
                row[j] = g if abs(g) > _LEAST else _ZERO
            for p in range(first, last):
                row[slots[p]] += np.float32(slopes[p])
                totals[1] += weights[p]

    return differentiate


@kernel
def _decay(rows, counts, features, penalties):  # type: ignore[no-untyped-def]
    """Add the gradient of an L2 penalty on row n, counted ``counts[n]`` times."""
    for s in range(len(rows)):
        indptr, indices, _1, _2, _3, table, gradient = features[s]
        for n in range(rows[s].shape[0]):
            penalty = counts[s][n] * penalties[s]
            for e in range(indptr[rows[s][n]], indptr[rows[s][n] + 1]):
                for k in range(table.shape[1]):
                    gradient[indices[e], k] += penalty * table[indices[e], k]


class _Batch(NamedTuple):
    """A batch, user after user: each user and each item once, and what belongs to them."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    order: NDArray[np.int64]  # which pair was where
    bounds: NDArray[np.int64]  # the pairs of user r are bounds[r] ... bounds[r + 1] - 1
    slots: NDArray[np.int64]  # of each pair the place of its item
    counts: NDArray[np.int64]  # how often each item is met, as a positive or drawn


def _arrange(users: Array, positives: Array, drawn: Array) -> _Batch:
    order = np.argsort(users, kind="stable")
    rows, n_positives = np.unique(users, return_counts=True)
    items, slots, counts = np.unique(
        np.concatenate([positives[order], drawn]), return_inverse=True, return_counts=True
    )
    bounds = np.concatenate([[0], np.cumsum(n_positives)])
    return _Batch(
        rows.astype(np.int32), items.astype(np.int32), order, bounds, slots.ravel()[: len(users)],
        counts,
    )  # fmt: skip


class InBatchTowers(Towers):
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
        A verified one leaves out of a user's candidates all that the user is known to like, another
        one only the positives that the batch has of the user.
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
    ) -> None:
        super().__init__(users, items, user_tower, item_tower, None)
        self.catalogue = Catalogue(positives, sampler)
        self._temperature, self._masked = temperature, sampler.verified
        self._differentiate = _build(loss.exponentiate, loss.reduce)
        self._parameters = loss.parameters
        self._known = positives.indptr.astype(np.int64), np.array(positives.indices)
        self._slot_of = np.full(positives.n_items, -1, np.int32)
        self._scores = np.empty(0, np.float32)

    def step_on_batch(
        self,
        users: Array,
        positives: Array,
        drawn: Array,
        weights: Array | None,
        l2: Sequence[float],
        totals: NDArray[np.float64],
    ) -> None:
        """Add the gradient of a batch's loss, the sum over its pairs.

        Parameters
        ----------
        users, positives : int arrays of shape (n,)
        drawn : int array of shape (m,)
            Further candidates of all users.
        weights : float32 array of shape (n,) or None
            Of the pairs.
        l2 : (float, float)
            Penalty ``l2 / 2 * sum(w ** 2)`` of each pair on the factors of its user and of its item.
        totals : float64 array of shape (2,)
            The loss and the weight of the pairs are added.
        """
        batch = _arrange(users, positives, drawn)
        sides = batch.users, batch.items
        multiples = self.catalogue.multiples(sides[1], batch.counts, len(users), len(drawn))
        weights = np.ones(len(users), np.float32) if weights is None else weights[batch.order]
        a, v = self._run(sides)
        gradient = np.matmul(a, v.T, out=self._scratch_scores(len(a), len(v)))
        self._slot_of[batch.items] = np.arange(len(batch.items))
        self._differentiate(
            batch.users, batch.bounds, batch.slots, weights, self._slot_of, self._known,
            self._masked, len(self.catalogue.items), multiples, np.zeros_like(multiples),
            self._temperature, self._parameters, np.empty((3, len(users))), gradient, totals,
        )  # fmt: skip
        self._slot_of[batch.items] = -1
        self._run_back(sides, gradient @ v, gradient.T @ a, (0.0, 0.0))
        if any(l2[:2]):
            pairs = np.diff(batch.bounds), np.bincount(batch.slots, minlength=len(batch.items))
            times = tuple(each.astype(np.float32) for each in pairs)
            _decay(sides, times, self._features, tuple(map(np.float32, l2[:2])))

    def _scratch_scores(self, n_rows: int, n_slots: int) -> NDArray[np.float32]:
        if n_rows * n_slots > len(self._scores):
            self._scores = np.empty(n_rows * n_slots, np.float32)
        return self._scores[: n_rows * n_slots].reshape(n_rows, n_slots)


class InBatchTraining(NetworkTraining):
    """Runs the epochs of a fit by a list-wise loss; see `tripletrec.training.loop.train`.

    Parameters
    ----------
    plan : NetworkPlan
        `n_negatives` items are drawn for each batch.
    network : InBatchTowers
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    factors : callable
        Returns the arrays that make a fitted model, as they stand.
    """

    network: InBatchTowers

    def __init__(
        self,
        plan: NetworkPlan,
        network: InBatchTowers,
        interactions: Interactions,
        weights: NDArray[np.float32] | None,
        factors: Callable[[], tuple[NDArray[Any], ...]],
    ) -> None:
        super().__init__(plan, network, factors)
        self._users, self._items, self._weights = interactions.rows, interactions.indices, weights

    def run_epoch(self, number: int) -> Record:
        """Learn from every positive once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1; with the seed it determines the batches of the epoch and what is drawn for them.

        Returns
        -------
        dict
            epoch, loss, n_positives, seconds. The loss is not finite if that of any batch was not: the
            epoch ends there.
        """
        started = time.perf_counter()
        plan, network = self.plan, self.network
        self._factors = None
        random = np.random.default_rng((plan.seed, number))
        order, totals = random.permutation(len(self._users)), np.zeros(2)
        for batch in self._batches(number, len(order)):
            pairs = order[batch]
            drawn = network.catalogue.draw(random, plan.n_negatives)
            weights = None if self._weights is None else self._weights[pairs]
            network.step_on_batch(
                self._users[pairs], self._items[pairs], drawn, weights, plan.l2, totals
            )
            if not math.isfinite(totals[0]):
                break
        return {
            "epoch": number,
            "loss": float(totals[0] / totals[1]),
            "n_positives": len(order),
            "seconds": time.perf_counter() - started,
        }
