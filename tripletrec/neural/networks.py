r"""Two networks that score a user and an item, and their steps down the gradient.

``PairPerceptron`` puts the factors of user and item side by side and sends them through a trunk of layers; a
triplet passes it twice, with the same weights: s(u, i) = trunk([U_u, V_i]).

``Towers`` has one tower for users and one for items; the score is the product of what they give:
s(u, i) = a(u) · v(i), so that the catalogue is scored by one matrix product.

A step stacks the n positives and the n negatives of a batch into one batch of 2 n rows: each layer is then
used once forward and once backward, and the sum over the uses of a shared weight comes by itself. A step is a
handful of compiled calls: at 64 triplets to a batch several for each layer would cost as much as the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec._jit import fingerprint, kernel
from tripletrec.losses import Loss
from tripletrec.neural.features import FeatureEmbedding, add_rows, sum_rows
from tripletrec.neural.stack import Stack

__all__ = ["PairPerceptron", "Towers"]

Array: TypeAlias = NDArray[Any]
_MOST = 0.8  # of the rows: with more, leaving out the others does not pay


@cache
def _build_pair_loss(value: Callable[..., Any], slope: Callable[..., Any]) -> Any:
    stamp = fingerprint(value, slope)

    @kernel
    def pair_loss(scores, weights, parameters, mean, gradient, totals):  # type: ignore[no-untyped-def]
        """Scores of n positives, then of their negatives: losses and their gradient."""
        _ = stamp
        n = scores.shape[0] >> 1
        one = scores.dtype.type(1.0)
        share = one / n if mean else one
        loss, right, mass = 0.0, 0.0, 0.0
        for t in range(n):
            x = scores[t] - scores[n + t]
            weight = weights[t] if weights.shape[0] > 0 else one
            loss += weight * value(x, parameters)
            right += weight * (1.0 if x > 0 else 0.5 if x == 0 else 0.0)
            mass += weight
            g = weight * share * slope(x, parameters)
            gradient[t], gradient[n + t] = g, -g
        totals[0] += loss
        totals[1] += right
        totals[2] += mass

    return pair_loss


# What comes in pairs, of users and of items, is of one type, so that a loop over the sides compiles its long
# body once.


@cache
def _build_shared() -> tuple[Any, Any]:
    stamp = fingerprint()

    @kernel
    def look_up(rows, features, firsts, places, sums):  # type: ignore[no-untyped-def]
        """Write the factors of rows[s] from row firsts[s] and column places[s] of sums[s] on."""
        _ = stamp
        for s in range(len(rows)):
            sum_rows(rows[s], features[s], firsts[s], places[s], sums[s])

    @kernel
    def add_up(rows, features, places, sums, penalties, met, n_met):  # type: ignore[no-untyped-def]
        """Add gradients to those of the factors of rows[s]; note which were met."""
        _ = stamp
        for s in range(len(rows)):
            n_met[s] = add_rows(rows[s], features[s], places[s], sums[s], penalties[s], met[s])

    return look_up, add_up


@kernel
def _compact(gradient, x, kept):  # type: ignore[no-untyped-def]
    """Move the rows that have a gradient to the front, note which they were, return how many.

    Unless they are most.
    """
    n_active, n_rows, width = 0, x.shape[0], x.shape[1]
    for t in range(n_rows):
        kept[n_active] = t
        n_active += gradient[t] != 0
    if n_active >= _MOST * n_rows:
        return n_rows
    for r in range(n_active):
        gradient[r] = gradient[kept[r]]
        for k in range(width):
            x[r, k] = x[kept[r], k]
    return n_active


@kernel
def _multiply_outputs(a, a0, v, v0, width, scores):  # type: ignore[no-untyped-def]
    """Score n users' outputs with those of 2 n items."""
    n = scores.shape[0] >> 1
    for t in range(2 * n):
        total = scores.dtype.type(0)
        left, right = np.uint64(a0 + (t if t < n else t - n) * width), np.uint64(v0 + t * width)
        for k in range(width):
            total += a[left + np.uint64(k)] * v[right + np.uint64(k)]
        scores[t] = total


@kernel
def _share_out(gradient, a, a0, v, v0, width, in_a, in_v):  # type: ignore[no-untyped-def]
    """Turn the gradient in the scores into those in the outputs of both towers."""
    n, index = gradient.shape[0] >> 1, np.uint64
    for t in range(n):
        g, h = gradient[t], gradient[n + t]
        left, here, there = index(a0 + t * width), index(t * width), index((n + t) * width)
        first, second = index(v0 + t * width), index(v0 + (n + t) * width)
        for k in range(width):
            in_a[here + index(k)] = g * v[first + index(k)] + h * v[second + index(k)]
            in_v[here + index(k)] = g * a[left + index(k)]
            in_v[there + index(k)] = h * a[left + index(k)]


class _Network:
    """What the two share: a batch's loss and gradient, and what an optimizer needs."""

    stacks: list[Stack]

    def __init__(
        self, users: FeatureEmbedding, items: FeatureEmbedding, loss: Loss | None, mean: bool
    ) -> None:
        self.users, self.items = users, items
        self._mean = mean
        self._look_up, self._add_up = _build_shared()
        self._features = users.arrays, items.arrays
        self._real = users.table.dtype.type
        if loss is not None:
            self._pair_loss = _build_pair_loss(loss.value, loss.slope)
            self._parameters = tuple(map(self._real, loss.parameters))
        self._nothing = np.empty(0, self._real)
        self._n_met = np.zeros(2, np.int64)
        self._scratch: dict[int, tuple[Any, ...]] = {}

    @property
    def parameters(self) -> list[Array]:
        """Factors of users, factors of items, then one array for each stack of layers."""
        return [self.users.table, self.items.table, *(each.flat for each in self.stacks)]

    @property
    def gradients(self) -> list[Array]:
        """Those of `parameters`."""
        layers = (self.users, self.items)
        return [*(x.gradient for x in layers), *(x.flat_gradient for x in self.stacks)]

    def scores(self, users: Array, items: Array) -> Array:
        """Return the scores of the users with each of the len(items) / len(users) stacked items.

        Without dropout.
        """
        raise NotImplementedError

    def step(
        self,
        users: Array,
        positives: Array,
        negatives: Array,
        weights: Array | None,
        l2: Sequence[float],
        totals: NDArray[np.float64],
    ) -> None:
        """Add the gradient of a batch's loss.

        Parameters
        ----------
        users, positives, negatives : int arrays of shape (n,)
        weights : float array of shape (n,) or None
        l2 : (float, float)
            Penalty ``l2 / 2 * sum(w ** 2)`` of each triplet on the factors of its user and its items.
        totals : float64 array of shape (3,)
            The loss, the weight of triplets in the right order and the weight of all are added.
        """
        n = len(users)
        if n not in self._scratch:
            met = tuple(np.empty(2 * n * x.most, np.int32) for x in (self.users, self.items))
            scores, gradient = (np.empty(2 * n, self._real) for _ in range(2))
            self._scratch[n] = scores, gradient, met, self._make_scratch(n)
        scores, gradient, met, scratch = self._scratch[n]
        rows = np.ascontiguousarray(users, np.int32), np.empty(2 * n, np.int32)
        rows[1][:n], rows[1][n:] = positives, negatives
        self._score(rows, scratch, scores)
        weights = self._nothing if weights is None else weights
        self._pair_loss(scores, weights, self._parameters, self._mean, gradient, totals)
        self._learn(rows, scratch, gradient, l2, met)
        self.met: list[Array | None] = [
            *(each[:count] for each, count in zip(met, self._n_met.tolist(), strict=True)),
            *(None for _ in self.stacks),
        ]

    def _make_scratch(self, n: int) -> tuple[Any, ...]:
        """Return arrays to work on, for n triplets."""
        raise NotImplementedError

    def _score(self, rows: tuple[Array, Array], scratch: Any, scores: Array) -> None:
        """Fill the scores of n users with their positives, then with their negatives."""
        raise NotImplementedError

    def _learn(
        self, rows: Any, scratch: Any, gradient: Array, l2: Sequence[float], met: Any
    ) -> None:
        """Add to all gradients, for that in the scores."""
        raise NotImplementedError


class PairPerceptron(_Network):
    """A trunk of layers on the factors of user and item, side by side.

    Parameters
    ----------
    users, items : FeatureEmbedding
    trunk : Stack
        From ``users.width + items.width`` inputs to one output.
    loss : Loss
    mean : bool, default True
        Whether the loss of a batch is the mean of its triplets', or the sum.

    Attributes
    ----------
    met : list
        The rows of each of `parameters` that the last step met; None: all.
    """

    def __init__(
        self,
        users: FeatureEmbedding,
        items: FeatureEmbedding,
        trunk: Stack,
        loss: Loss,
        mean: bool = True,
    ) -> None:
        super().__init__(users, items, loss, mean)
        self.trunk, self.stacks = trunk, [trunk]

    def scores(self, users: Array, items: Array) -> Array:
        """Return scores of shape (len(items),), without dropout."""
        left = np.tile(self.users.forward(users), (len(items) // len(users), 1))
        return self.trunk.infer(np.concatenate([left, self.items.forward(items)], axis=1))[:, 0]

    def _make_scratch(self, n: int) -> tuple[Any, ...]:
        shape = 2 * n, self.users.width + self.items.width
        x, into = (np.empty(shape, self._real) for _ in range(2))
        return x, into, np.empty(2 * n + 1, np.int32)

    def _score(self, rows: tuple[Array, Array], scratch: Any, scores: Array) -> None:
        users, items = rows
        x, features = scratch[0], self._features
        self._look_up(
            (users, users, items), (features[0], *features), (0, len(users), 0),
            (0, 0, self.users.width), (x, x, x),
        )  # fmt: skip
        outputs, begin = self.trunk.run(x)
        scores[:] = outputs[begin : begin + len(scores)]

    def _learn(
        self, rows: Any, scratch: Any, gradient: Array, l2: Sequence[float], met: Any
    ) -> None:
        users, items = rows
        x, into, kept = scratch
        users = np.concatenate([users, users])
        if not any(l2):
            # A margin loss leaves most triplets alone once the model has learnt; both rows of a
            # triplet have a gradient, or neither.
            n_rows = _compact(gradient, x, kept)
            if n_rows < len(x):
                rows = kept[:n_rows]
                self.trunk.keep(rows)
                users, items, into = users.take(rows), items.take(rows), into[:n_rows]
        self.trunk.run_back(gradient, into)
        penalties = self._real(l2[0] / 2), self._real(l2[1])  # a user is in two rows
        self._add_up(
            (users, items), self._features, (0, self.users.width), (into, into), penalties, met,
            self._n_met,
        )  # fmt: skip


class Towers(_Network):
    """A tower for users, one for items; the score is the dot product of their outputs.

    Parameters
    ----------
    users, items : FeatureEmbedding
    user_tower, item_tower : Stack
        To the same number of outputs.
    loss : Loss or None
        None: of a subclass whose loss is not one of triplets, see `tripletrec.neural.in_batch`.
    mean : bool, default True
        Whether the loss of a batch is the mean of its triplets', or the sum.

    Attributes
    ----------
    met : list
        The rows of each of `parameters` that the last step met; None: all.
    """

    def __init__(
        self,
        users: FeatureEmbedding,
        items: FeatureEmbedding,
        user_tower: Stack,
        item_tower: Stack,
        loss: Loss | None,
        mean: bool = True,
    ) -> None:
        super().__init__(users, items, loss, mean)
        self.user_tower, self.item_tower = user_tower, item_tower
        self.stacks = [user_tower, item_tower]

    def scores(self, users: Array, items: Array) -> Array:
        """Return scores of shape (len(items),), without dropout."""
        a = self.user_tower.infer(self.users.forward(users))
        v = self.item_tower.infer(self.items.forward(items)).reshape(-1, *a.shape)
        scores: Array = np.einsum("nk,rnk->rn", a, v).reshape(-1)
        return scores

    def _make_scratch(self, n: int) -> tuple[Any, ...]:
        shapes = (n, self.users.width), (2 * n, self.items.width)
        x, into = (tuple(np.empty(shape, self._real) for shape in shapes) for _ in range(2))
        sides = self.users.width, self.items.width
        widest = max(*sides, *(each.widest for each in self.stacks))
        return x, into, tuple(np.empty(n_rows * widest, self._real) for n_rows, _ in shapes)

    def _score(self, rows: tuple[Array, Array], scratch: Any, scores: Array) -> None:
        x = scratch[0]
        self._look_up(rows, self._features, (0, 0), (0, 0), x)
        self._outputs = *self.user_tower.run(x[0]), *self.item_tower.run(x[1])
        _multiply_outputs(*self._outputs, self.user_tower.n_outputs, scores)

    def _learn(
        self, rows: Any, scratch: Any, gradient: Array, l2: Sequence[float], met: Any
    ) -> None:
        _, into, in_outputs = scratch
        _share_out(gradient, *self._outputs, self.user_tower.n_outputs, *in_outputs)
        for tower, outputs, inputs in zip(self.stacks, in_outputs, into, strict=True):
            tower.run_back(outputs, inputs)
        penalties = self._real(l2[0]), self._real(l2[1])
        self._add_up(rows, self._features, (0, 0), into, penalties, met, self._n_met)
