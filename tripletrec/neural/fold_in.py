"""New users of a perceptron: their input rows are learnt, all else stays; factor models are in `training`.

Each user is learnt alone, so that the products of matrices, whose order of additions depends on their size,
are functions of that user's history.
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
        Returns the trained perceptron, a new one at each call, without dropout.
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
        self._n_factors, self._factors, self._counts = n_factors, factors, counts
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
        rows = np.zeros((n, self._n_factors), np.float32)
        if not n:
            return rows
        negatives = self._negatives(histories)
        cuts = [(first, min(n, first + _USERS)) for first in range(0, n, _USERS)]
        executor = executor_for(max(1, min(n_jobs, len(cuts))))

        def task(first: int, last: int) -> None:
            trunk = self._perceptron()
            for u in range(first, last):
                own = histories.indices[histories.indptr[u] : histories.indptr[u + 1]]
                if len(own):
                    rows[u] = self._learn(u, own, negatives, trunk)

        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"), executor.threads():
            executor.run(task, cuts)
        return rows

    def _negatives(self, histories: ItemsOfUsers) -> Negatives:
        shape = len(histories.indptr) - 1, len(self._factors)
        known = Interactions.__new__(Interactions)
        values = np.ones(len(histories.indices), np.float32)
        known._set(
            Rows(shape, *histories, values, None),
            Ids(None, shape[0], "user"),
            Ids(None, shape[1], "item"),
        )
        return Negatives(self._plan.sampler, known, counts=self._counts)

    def _learn(
        self, user: int, own: NDArray[np.int32], negatives: Negatives, trunk: Stack
    ) -> Float32:
        """Return the row of a user; random numbers depend on the pass and on places in the history."""
        passes, n_factors = self._passes, self._n_factors
        positives = np.tile(own, -(-passes.least // len(own)))
        positives = np.repeat(positives, self._plan.n_negatives)
        n, row = len(positives), np.zeros(n_factors, np.float32)
        state, users = np.full(n_factors, _STATE), np.full(n, user, np.int32)
        x = np.empty((2 * n, n_factors + self._factors.shape[1]), np.float32)
        x[:n, n_factors:] = self._factors[positives]
        l2 = np.float32(n * self._plan.l2.user)
        for number, key in enumerate(self._keys):
            x[:, :n_factors] = row
            drawn = self._draw(key, users, positives, negatives, trunk, x)
            x[n:, n_factors:] = self._factors[np.maximum(drawn, 0)]
            scores = trunk.run(x)[:, 0]
            gradient = np.zeros((2 * n, 1), np.float32)
            self._slopes(scores, drawn, self._parameters, gradient[:, 0])
            slope = trunk.run_back(gradient)[:, :n_factors].sum(0) + l2 * row
            state += slope * slope
            rate = np.float32(passes.rate * (1.0 - (number + 0.5) / passes.n))
            row = row - rate * slope / np.sqrt(state)
        return row

    def _draw(
        self, key: Any, users: NDArray[np.int32], positives: NDArray[np.int32], negatives: Negatives,
        trunk: Stack, x: Float32,
    ) -> NDArray[np.int32]:  # fmt: skip
        """Return a negative for each positive; < 0: none."""
        sampler, n = self._plan.sampler, len(positives)
        drawn = negatives.draw(key, users, sampler.n_candidates)
        drawn[drawn == positives[:, None]] = -1
        if sampler.choose is None:
            return drawn[:, 0]
        scores = np.empty((n, sampler.n_candidates + 1), np.float32)
        scores[:, 0] = trunk.infer(x[:n])[:, 0]
        for c in range(sampler.n_candidates):
            x[n:, self._n_factors :] = self._factors[np.maximum(drawn[:, c], 0)]
            scores[:, 1 + c] = trunk.infer(x[n:])[:, 0]
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
