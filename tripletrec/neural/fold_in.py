"""New users of a perceptron: their input rows are learnt, all else stays; factor models are in `training`.

The first layer is split as in `pair_scores`: what it makes of the items is computed once, and of a user once
for each pass. With one hidden layer, one kernel runs all passes over a history. Each user is learnt alone, so
that the products of matrices, whose order of additions depends on their size, are functions of that user's
history.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.jit import kernel, part
from tripletrec._runtime.threads import executor_for
from tripletrec.data.csr import CsrRows
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.neural.layers import Dense, ReLU
from tripletrec.neural.negatives import Negatives, choose_candidates
from tripletrec.neural.stack import Stack
from tripletrec.sampling.draw import NONE_LEFT, ItemsOfUsers
from tripletrec.sampling.hard import hardest
from tripletrec.training.fold_in_triplet import PASSES, Passes
from tripletrec.training.plan import NetworkPlan

__all__ = ["PerceptronFoldIn"]

Float32 = NDArray[np.float32]

_STATE = np.float32(0.1)  # of Adagrad, at the start
_USERS = 16  # of a task
_LANES = 16


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
    terms : float32 array of shape (n_items, width)
        What the first layer makes of the items; see `pair_scores.item_terms`.
    counts : int64 array of shape (n_items,)
        Positives of each item in the training data.
    passes : Passes, default PASSES
    """

    def __init__(
        self,
        plan: NetworkPlan,
        perceptron: Callable[[], Stack],
        n_factors: int,
        terms: Float32,
        counts: NDArray[np.int64],
        passes: Passes = PASSES,
    ) -> None:
        if isinstance(plan.loss, ListLoss):
            raise TypeError(f"loss {plan.loss.name!r} is not one of triplets")
        self._plan, self._perceptron, self._passes = plan, perceptron, passes
        self._counts, self._n_candidates = counts, plan.n_candidates
        first = perceptron().dense[0]
        self._users_of = np.ascontiguousarray(first.weights[:n_factors])
        self._items = terms
        self._parameters = tuple(map(np.float32, plan.loss.parameters))
        self._keys = np.random.SeedSequence(0).generate_state(passes.n, np.uint64)
        rates = passes.rate * (1.0 - (np.arange(passes.n) + 0.5) / passes.n)
        self._rates = rates.astype(np.float32)
        loss = plan.loss.functions()
        self._hidden = _hidden_of(perceptron(), self._users_of, self._items)
        if self._hidden is None:
            self._slopes = _build_slopes(loss)
        else:
            self._learn_all = _build_passes(loss, plan.sampler.choose or hardest)

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
        # Who has all items learns nothing where only unknown ones are drawn: none is left.
        everything = len(self._items) if self._plan.sampler.verified else math.inf
        cuts = [(first, min(n, first + _USERS)) for first in range(0, n, _USERS)]
        executor = executor_for(max(1, min(n_jobs, len(cuts))))

        def task(first: int, last: int) -> None:
            rest = Stack(self._perceptron().layers[1:])
            for u in range(first, last):
                own = histories.indices[histories.indptr[u] : histories.indptr[u + 1]]
                if 0 < len(own) < everything:
                    rows[u] = self._learn(u, own, negatives, rest)

        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"), executor.threads():
            executor.run(task, cuts)
        return rows

    def _negatives(self, histories: ItemsOfUsers) -> Negatives:
        shape = len(histories.indptr) - 1, len(self._items)
        known = Interactions.__new__(Interactions)
        values = np.ones(len(histories.indices), np.float32)
        known._set(
            CsrRows(shape, *histories, values, None),
            Ids(None, shape[0], "user"),
            Ids(None, shape[1], "item"),
        )
        return Negatives(self._plan.sampler, known, counts=self._counts)

    def _learn(
        self, user: int, own: NDArray[np.int32], negatives: Negatives, rest: Stack
    ) -> Float32:
        """Return the row of a user; random numbers depend on the pass and on places in the history."""
        positives = np.tile(own, -(-self._passes.least // len(own)))
        positives = np.repeat(positives, self._plan.n_negatives)
        l2 = np.float32(len(positives) * self._plan.l2.user)
        if self._hidden is not None:
            return self._learn_at_once(self._hidden, user, positives, negatives, l2)
        return self._learn_by_layers(user, positives, negatives, rest, l2)

    def _learn_at_once(
        self, hidden: Hidden, user: int, positives: NDArray[np.int32], negatives: Negatives,
        l2: np.float32,
    ) -> Float32:  # fmt: skip
        (n_factors, width), n_passes = hidden.weights.shape, len(self._rates)
        users, n_candidates = np.full(n_passes * len(positives), user, np.int32), self._n_candidates
        drawn = negatives.draw(self._keys[0], users, n_candidates)
        drawn = drawn.reshape(n_passes, len(positives), n_candidates)
        drawn[drawn == positives[:, None]] = NONE_LEFT
        row = np.zeros(n_factors, np.float32)
        scratch = tuple(np.empty(n, np.float32) for n in (width, width, _LANES, n_factors))
        self._learn_all(hidden, positives, drawn, self._parameters, l2, self._rates, scratch, row)
        return row

    def _learn_by_layers(
        self, user: int, positives: NDArray[np.int32], negatives: Negatives, rest: Stack,
        l2: np.float32,
    ) -> Float32:  # fmt: skip
        weights, n = self._users_of, len(positives)
        row, users = np.zeros(len(weights), np.float32), np.full(n, user, np.int32)
        state = np.full(len(row), _STATE)
        of_positives, x = self._items[positives], np.empty((2 * n, weights.shape[1]), np.float32)
        for key, rate in zip(self._keys, self._rates, strict=True):
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
            row = row - rate * slope / np.sqrt(state)
        return row

    def _draw(
        self, key: Any, users: NDArray[np.int32], positives: NDArray[np.int32], negatives: Negatives,
        rest: Stack, x: Float32, of_user: Float32,
    ) -> NDArray[np.int32]:  # fmt: skip
        """Return a negative for each positive; < 0: none."""
        sampler, n = self._plan.sampler, len(positives)
        drawn = negatives.draw(key, users, self._n_candidates)
        drawn[drawn == positives[:, None]] = NONE_LEFT
        if sampler.choose is None:
            return drawn[:, 0]
        scores = np.empty((n, self._n_candidates + 1), np.float32)
        scores[:, 0] = rest.infer(x)[:, 0]
        for c in range(self._n_candidates):
            of_candidates = self._items[np.maximum(drawn[:, c], 0)] + of_user
            scores[:, 1 + c] = rest.infer(of_candidates)[:, 0]
        return choose_candidates(drawn, scores[:, 1:], scores[:, 0], sampler.choose)


class Hidden(NamedTuple):
    """A perceptron of one hidden layer as the kernel sees it; its width is a multiple of 16."""

    items: Float32  # (n_items, width): what the first layer makes of the items, with its biases
    weights: Float32  # (n_user_factors, width): of the users
    last: Float32  # (width,)
    bias: np.float32
    final_relu: bool


def _hidden_of(perceptron: Stack, weights: Float32, items: Float32) -> Hidden | None:
    """Return a perceptron of one hidden layer, padded by units that are never above zero; None: another."""
    kinds = [type(layer) for layer in perceptron.layers]
    if kinds not in ([Dense, ReLU, Dense], [Dense, ReLU, Dense, ReLU]):
        return None
    last = perceptron.dense[1]
    padding = -weights.shape[1] % _LANES
    if padding:
        items, weights = (np.pad(each, ((0, 0), (0, padding))) for each in (items, weights))
    return Hidden(
        read_only(items), read_only(weights), read_only(np.pad(last.weights[:, 0], (0, padding))),
        last.bias[0], len(kinds) == 4,
    )  # fmt: skip


@part
def _score(hidden, item, of_user, lanes):
    """Return the score of an item; sixteen sums are added up in turn."""
    items, last = hidden.items, hidden.last
    for k in range(_LANES):
        lanes[k] = np.float32(0.0)
    for first in range(0, last.shape[0], _LANES):
        for k in range(_LANES):
            unit = items[item, first + k] + of_user[first + k]
            lanes[k] += (unit if unit > np.float32(0.0) else np.float32(0.0)) * last[first + k]
    total = np.float32(0.0)
    for k in range(_LANES):
        total += lanes[k]
    total += hidden.bias
    return total if not hidden.final_relu or total > np.float32(0.0) else np.float32(0.0)


@part
def _add_units(items, item, of_user, slope, units):
    """Add the gradient by the hidden units of an item that are above zero."""
    for k in range(units.shape[0]):
        above = items[item, k] + of_user[k] > np.float32(0.0)
        units[k] += slope if above else np.float32(0.0)


@part
def _step(weights, units, l2, rate, state, row):
    """Take a step of Adagrad."""
    for f in range(row.shape[0]):
        total = l2 * row[f]
        for k in range(units.shape[0]):
            total += weights[f, k] * units[k]
        state[f] += total * total
        row[f] -= rate * total / np.sqrt(state[f])


@cache
def _build_passes(loss: Loss, choose: Callable[..., Any]) -> Callable[..., None]:
    slope = loss.slope

    @kernel
    def passes(hidden, positives, negatives, parameters, l2, rates, scratch, row):
        """Learn a row of factors by a step of Adagrad for each table of candidates."""
        zero = np.float32(0.0)
        n_factors, width = hidden.weights.shape
        of_user, units, lanes, state = scratch
        state[:] = _STATE
        for number in range(rates.shape[0]):
            of_user[:] = zero
            units[:] = zero
            for f in range(n_factors):
                for k in range(width):
                    of_user[k] += row[f] * hidden.weights[f, k]
            for t in range(positives.shape[0]):
                i = positives[t]
                x = _score(hidden, i, of_user, lanes)
                j, y = np.int32(NONE_LEFT), zero
                for c in range(negatives.shape[2]):
                    candidate = negatives[number, t, c]
                    if candidate < 0:
                        continue
                    score = _score(hidden, candidate, of_user, lanes)
                    if j < 0 or choose(score, y, x):
                        j, y = candidate, score
                if j < 0:
                    continue
                g = np.float32(slope(x - y, parameters))
                if not hidden.final_relu or x > zero:
                    _add_units(hidden.items, i, of_user, g, units)
                if not hidden.final_relu or y > zero:
                    _add_units(hidden.items, j, of_user, -g, units)
            for k in range(width):
                units[k] *= hidden.last[k]
            _step(hidden.weights, units, l2, rates[number], state, row)

    return passes


@cache
def _build_slopes(loss: Loss) -> Callable[..., None]:
    slope = loss.slope

    @kernel
    def slopes(scores, negatives, parameters, gradient):
        """Write the gradient by the scores of n positives, then by those of their negatives."""
        n = negatives.shape[0]
        for t in range(n):
            if negatives[t] >= 0:
                g = np.float32(slope(np.float32(scores[t] - scores[n + t]), parameters))
                gradient[t], gradient[n + t] = g, -g

    return slopes
