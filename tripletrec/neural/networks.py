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

from tripletrec._runtime.jit import kernel
from tripletrec.losses import Loss
from tripletrec.neural.features import FeatureEmbedding, FeatureTable, add_row_gradients, sum_rows
from tripletrec.neural.stack import Stack

__all__ = ["PairPerceptron", "Towers"]

Array: TypeAlias = NDArray[Any]
_MOST = 0.8  # of the rows: with more, leaving out the others does not pay


@cache
def _build_pair_loss(value: Callable[..., Any], slope: Callable[..., Any]) -> Any:

    @kernel
    def pair_loss(scores, weights, parameters, mean, gradient, totals):  # type: ignore[no-untyped-def]
        """Scores of n positives, then of their negatives: losses and their gradient."""
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

    @kernel
    def look_up(rows, features, firsts, places, sums):  # type: ignore[no-untyped-def]
        """Write the factors of rows[s] from row firsts[s] and column places[s] of sums[s] on."""
        for s in range(len(rows)):
            sum_rows(rows[s], FeatureTable(*features[s]), firsts[s], places[s], sums[s])

    @kernel
    def add_up(rows, features, places, sums, penalties, met, n_met):  # type: ignore[no-untyped-def]
        """Add gradients to those of the factors of rows[s]; note which were met."""
        for s in range(len(rows)):
            n_met[s] = add_row_gradients(
                rows[s], FeatureTable(*features[s]), places[s], sums[s], penalties[s], met[s]
            )

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
def _multiply_outputs(a, v, scores):  # type: ignore[no-untyped-def]
    """Score n users' outputs with those of 2 n items."""
    n = a.shape[0]
    for t in range(2 * n):
        total, user, item = scores.dtype.type(0), a[t if t < n else t - n], v[t]
        for k in range(a.shape[1]):
            total += user[k] * item[k]
        scores[t] = total


@kernel
def _share_out(gradient, a, v, in_a, in_v):  # type: ignore[no-untyped-def]
    """Turn the gradient in the scores into those in the outputs of both towers."""
    n = a.shape[0]
    for t in range(n):
        g, h, user, first, second = gradient[t], gradient[n + t], a[t], v[t], v[n + t]
        in_user, in_first, in_second = in_a[t], in_v[t], in_v[n + t]
        # All in one loop would be too many arrays to check for overlaps: it would go number by number.
        for k in range(a.shape[1]):
            in_user[k] = g * first[k] + h * second[k]
        for k in range(a.shape[1]):
            in_first[k], in_second[k] = g * user[k], h * user[k]


class _Network:
    """What the two share: a batch's loss and gradient, and what an optimizer needs."""

    stacks: list[Stack]
    met: list[Array | None]

    def __init__(
        self, users: FeatureEmbedding, items: FeatureEmbedding, loss: Loss | None, mean: bool
    ) -> None:
        self.users, self.items = users, items
        self._mean = mean
        self._look_up, self._add_up = _build_shared()
        self._features = tuple(users.arrays), tuple(items.arrays)
        self._real = users.table.dtype.type
        if loss is not None:
            self._pair_loss = _build_pair_loss(loss.value, loss.slope)
            self._parameters = tuple(map(self._real, loss.parameters))
        self._nothing = np.empty(0, self._real)
        self._n_met = np.zeros(2, np.int64)
        self._arrays: dict[str, Array] = {}

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
        users = np.ascontiguousarray(users, np.int32)
        items = np.concatenate([positives, negatives], dtype=np.int32)
        scores = self._score(users, items)
        gradient = np.empty(len(items), self._real)
        weights = self._nothing if weights is None else weights
        self._pair_loss(scores, weights, self._parameters, self._mean, gradient, totals)
        self._learn(users, items, gradient, l2)

    def _array(self, use: str, *shape: int) -> Array:
        """Return an array to work on: that of the last call for this `use`, if it has this shape."""
        if self._arrays.get(use, self._nothing).shape != shape:
            self._arrays[use] = np.empty(shape, self._real)
        return self._arrays[use]

    def _score(self, users: Array, items: Array) -> Array:
        """Return the scores of n users with their positives, then with their negatives."""
        raise NotImplementedError

    def _learn(self, users: Array, items: Array, gradient: Array, l2: Sequence[float]) -> None:
        """Add to all gradients, for that in the scores."""
        raise NotImplementedError

    def _learn_factors(self, rows: Any, places: Any, sums: Any, l2: Sequence[float]) -> None:
        """Add to the gradients of the factors of users and items; note which rows were met."""
        of_users = np.empty(len(rows[0]) * self.users.max_entries, np.int32)
        of_items = np.empty(len(rows[1]) * self.items.max_entries, np.int32)
        penalties = self._real(l2[0]), self._real(l2[1])
        met = of_users, of_items
        self._add_up(rows, self._features, places, sums, penalties, met, self._n_met)
        n_users, n_items = self._n_met.tolist()
        self.met = [of_users[:n_users], of_items[:n_items], *(None for _ in self.stacks)]


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

    def _score(self, users: Array, items: Array) -> Array:
        width, features = self.users.width + self.items.width, self._features
        self._x = x = self._array("x", len(items), width)
        self._look_up(
            (users, users, items), (features[0], *features), (0, len(users), 0),
            (0, 0, self.users.width), (x, x, x),
        )  # fmt: skip
        return self.trunk.run(x).reshape(-1)

    def _learn(self, users: Array, items: Array, gradient: Array, l2: Sequence[float]) -> None:
        users = np.concatenate([users, users])
        if not any(l2[:2]):
            # A margin loss leaves most triplets alone once the model has learnt; both rows of a
            # triplet have a gradient, or neither.
            kept = np.empty(len(users) + 1, np.int32)
            n_kept = _compact(gradient, self._x, kept)
            if n_kept < len(users):
                kept = kept[:n_kept]
                self.trunk.keep(kept)
                users, items = users.take(kept), items.take(kept)
        into = self.trunk.run_back(gradient)
        l2 = l2[0] / 2, l2[1]  # a user is in two rows
        self._learn_factors((users, items), (0, self.users.width), (into, into), l2)


class Towers(_Network):
    """A tower for users, one for items; the score is the dot product of their outputs.

    Parameters
    ----------
    users, items : FeatureEmbedding
    user_tower, item_tower : Stack
        To the same number of outputs.
    loss : Loss or None
        None: of a subclass whose loss is not one of triplets, see `tripletrec.neural.listwise`.
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

    def _run(self, rows: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return what both towers give, as views that are valid until the next run."""
        of_users = self._array("x of users", len(rows[0]), self.users.width)
        of_items = self._array("x of items", len(rows[1]), self.items.width)
        self._look_up(rows, self._features, (0, 0), (0, 0), (of_users, of_items))
        return self.user_tower.run(of_users), self.item_tower.run(of_items)

    def _run_back(
        self, rows: tuple[Array, Array], in_a: Array, in_v: Array, l2: Sequence[float]
    ) -> None:
        """Turn the gradient in what both towers gave into that of all that is learnt."""
        of_users = self.user_tower.run_back(in_a)
        of_items = self.item_tower.run_back(in_v)
        self._learn_factors(rows, (0, 0), (of_users, of_items), l2)

    def _score(self, users: Array, items: Array) -> Array:
        self._outputs = self._run((users, items))
        scores = np.empty(len(items), self._real)
        _multiply_outputs(*self._outputs, scores)
        return scores

    def _learn(self, users: Array, items: Array, gradient: Array, l2: Sequence[float]) -> None:
        a, v = self._outputs
        in_a, in_v = self._array("in a", *a.shape), self._array("in v", *v.shape)
        _share_out(gradient, a, v, in_a, in_v)
        self._run_back((users, items), in_a, in_v, l2)
