"""New users of a perceptron: their input rows are learnt, all else stays; factor models are in `training`.

The first layer is split as in `pair_scores`: what it makes of the items is computed once, and of a user once
for each pass. Each user is learnt alone, so that the products of matrices, whose order of additions depends
on their size, are functions of that user's history.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.jit import kernel
from tripletrec._runtime.threads import executor_for
from tripletrec.data.csr import Rows
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.neural.negatives import Negatives, choose_candidates
from tripletrec.neural.stack import Stack
from tripletrec.ranking.products import Products
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.fold_in_triplet import PASSES, Passes
from tripletrec.training.plan import NetworkPlan

__all__ = ["PerceptronFoldIn"]

Float32 = NDArray[np.float32]

_STATE = np.float32(0.1)  # of Adagrad, at the start
_USERS = 16  # of a task


class PerceptronFoldIn:
    """Learns input rows of new users by a triplet loss, by a step of Adagrad for each pass over a history.

    Parameters
    ----------
    plan : NetworkPlan
        Loss, sampler and L2 of users.
    perceptron : callable
        Returns the trained perceptron, a new one at each call, without dropout; its first layer is dense.
    n_factors : int
        Of a user.
    factors : float32 array of shape (n_items, n_item_factors)
    counts : int64 array of shape (n_items,)
        Positives of each item in the training data.
    passes : Passes, default PASSES
    """

    def __init__(
        self,
        plan: NetworkPlan,
        perceptron: Callable[[], Stack],
        n_factors: int,
        factors: Float32,
        counts: NDArray[np.int64],
        passes: Passes = PASSES,
    ) -> None:
        if isinstance(plan.loss, ListLoss):
            raise TypeError(f"loss {plan.loss.name!r} is not one of triplets")
        self._plan, self._perceptron, self._passes = plan, perceptron, passes
        self._counts = counts
        first = perceptron().dense[0]
        self._users_of = np.ascontiguousarray(first.weights[:n_factors])
        terms = Products(factors, first.weights[n_factors:].T, first.bias)
        self._items = terms(np.arange(len(factors)))
        self._parameters = tuple(map(np.float32, plan.loss.parameters))
        self._slopes = _build_slopes(plan.loss._replace(name="", parameters=()))
        self._keys = np.random.SeedSequence(0).generate_state(passes.n, np.uint64)

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> Float32:
        """Return a row of factors for each history, float32 of shape (n_users, n_factors).

        Parameters
        ----------
        histories : ItemsOfUsers
            The items of each user, ascending. An empty one gives zeros.
        n_jobs : int, default 1
        """
        n = len(histories.indptr) - 1
        rows = np.zeros((n, len(self._users_of)), np.float32)
        if not n:
            return rows
        negatives = self._negatives(histories)
        cuts = [(first, min(n, first + _USERS)) for first in range(0, n, _USERS)]
        executor = executor_for(max(1, min(n_jobs, len(cuts))))

        def task(first: int, last: int) -> None:
            rest = Stack(self._perceptron().layers[1:])
            for u in range(first, last):
                own = histories.indices[histories.indptr[u] : histories.indptr[u + 1]]
                if len(own):
                    rows[u] = self._learn(u, own, negatives, rest)

        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"), executor.threads():
            executor.run(task, cuts)
        return rows

    def _negatives(self, histories: ItemsOfUsers) -> Negatives:
        shape = len(histories.indptr) - 1, len(self._items)
        known = Interactions.__new__(Interactions)
        values = np.ones(len(histories.indices), np.float32)
        known._set(
            Rows(shape, *histories, values, None),
            Ids(None, shape[0], "user"),
            Ids(None, shape[1], "item"),
        )
        return Negatives(self._plan.sampler, known, counts=self._counts)

    def _learn(
        self, user: int, own: NDArray[np.int32], negatives: Negatives, rest: Stack
    ) -> Float32:
        """Return the row of a user; random numbers depend on the pass and on places in the history."""
        passes, weights = self._passes, self._users_of
        positives = np.tile(own, -(-passes.least // len(own)))
        positives = np.repeat(positives, self._plan.n_negatives)
        n, row = len(positives), np.zeros(len(weights), np.float32)
        state, users = np.full(len(row), _STATE), np.full(n, user, np.int32)
        of_positives, x = self._items[positives], np.empty((2 * n, weights.shape[1]), np.float32)
        l2 = np.float32(n * self._plan.l2.user)
        for number, key in enumerate(self._keys):
            of_user = row @ weights
            np.add(of_positives, of_user, out=x[:n])
            drawn = self._draw(key, users, positives, negatives, rest, x[:n], of_user)
            np.take(self._items, drawn, axis=0, out=x[n:], mode="clip")  # none is -1
            x[n:] += of_user
            scores = rest.run(x)[:, 0]
            gradient = np.zeros((2 * n, 1), np.float32)
            self._slopes(scores, drawn, self._parameters, gradient[:, 0])
            slope = weights @ rest.run_back(gradient).sum(0) + l2 * row
            state += slope * slope
            rate = np.float32(passes.rate * (1.0 - (number + 0.5) / passes.n))
            row = row - rate * slope / np.sqrt(state)
        return row

    def _draw(
        self, key: Any, users: NDArray[np.int32], positives: NDArray[np.int32], negatives: Negatives,
        rest: Stack, x: Float32, of_user: Float32,
    ) -> NDArray[np.int32]:  # fmt: skip
        """Return a negative for each positive; < 0: none."""
        sampler, n = self._plan.sampler, len(positives)
        drawn = negatives.draw(key, users, sampler.n_candidates)
        drawn[drawn == positives[:, None]] = -1
        if sampler.choose is None:
            return drawn[:, 0]
        scores = np.empty((n, sampler.n_candidates + 1), np.float32)
        scores[:, 0] = rest.infer(x)[:, 0]
        for c in range(sampler.n_candidates):
            of_candidates = self._items[np.maximum(drawn[:, c], 0)] + of_user
            scores[:, 1 + c] = rest.infer(of_candidates)[:, 0]
        return choose_candidates(drawn, scores[:, 1:], scores[:, 0], sampler.choose)


@cache
def _build_slopes(loss: Loss) -> Callable[..., None]:
    slope = loss.slope

    @kernel
    def slopes(scores, negatives, parameters, gradient):  # type: ignore[no-untyped-def]
        """Write the gradient by the scores of n positives, then by those of their negatives."""
        n = negatives.shape[0]
        for t in range(n):
            if negatives[t] >= 0:
                g = np.float32(slope(np.float32(scores[t] - scores[n + t]), parameters))
                gradient[t], gradient[n + t] = g, -g

    return slopes
