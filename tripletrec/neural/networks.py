r"""Two networks that score a user and an item, and their steps down the gradient.

``PairPerceptron`` puts the factors of user and item side by side and sends them through a trunk of layers; a
triplet passes it twice, with the same weights: s(u, i) = trunk([U_u, V_i]).

``Towers`` has one tower for users and one for items; the score is the product of what they give:
s(u, i) = a(u) · v(i), so that the catalogue is scored by one matrix product.

A step stacks the n positives and the n negatives of a batch into one batch of 2 n rows: each layer is then
called once forward and once backward, and the sum over the uses of a shared weight comes by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec.neural.drawing import PairLoss
from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.layers import Stack

__all__ = ["PairPerceptron", "Towers"]

Array: TypeAlias = NDArray[Any]
_MOST = 0.8  # of the rows: with more, leaving out the others does not pay


class _Network:
    """What the two share: a batch's loss and gradient, and what an optimizer needs."""

    users: FeatureEmbedding
    items: FeatureEmbedding
    stacks: list[Stack]
    _loss: PairLoss

    @property
    def parameters(self) -> list[Array]:
        """Factors of users, factors of items, then one array for each stack of layers."""
        return [self.users.table, self.items.table, *(each.flat for each in self.stacks)]

    @property
    def gradients(self) -> list[Array]:
        """Those of `parameters`."""
        layers = (self.users, self.items)
        return [*(x.gradient for x in layers), *(x.flat_gradient for x in self.stacks)]

    @property
    def met(self) -> list[Array | None]:
        """The rows of each parameter that the last batch met; None: all."""
        return [self.users.met, self.items.met, *(None for _ in self.stacks)]

    def forward(self, users: Array, items: Array) -> Array:
        """Return the scores of the users with each of the len(items) / len(users) stacked items."""
        raise NotImplementedError

    def scores(self, users: Array, items: Array) -> Array:
        """Return what `forward` does, but without dropout, and keep nothing."""
        raise NotImplementedError

    def backward(self, gradient: Array, l2: Sequence[float]) -> None:
        """Add to the gradients, given the gradient in the scores of the last `forward`."""
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
            See `PairLoss.gradient`.
        """
        scores = self.forward(users, np.concatenate([positives, negatives]))
        self.backward(self._loss.gradient(scores, weights, totals), l2)


class PairPerceptron(_Network):
    """A trunk of layers on the factors of user and item, side by side.

    Parameters
    ----------
    users, items : FeatureEmbedding
    trunk : Stack
        From ``users.width + items.width`` inputs to one output.
    loss : PairLoss
    """

    def __init__(
        self, users: FeatureEmbedding, items: FeatureEmbedding, trunk: Stack, loss: PairLoss
    ) -> None:
        self.users, self.items, self.trunk, self._loss = users, items, trunk, loss
        self.stacks = [trunk]

    def forward(self, users: Array, items: Array) -> Array:
        """Return scores of shape (len(items),)."""
        self._rows = users, items
        return self.trunk.forward(self._side_by_side(users, items))[:, 0]

    def scores(self, users: Array, items: Array) -> Array:
        """Return scores of shape (len(items),), without dropout."""
        return self.trunk.infer(self._side_by_side(users, items))[:, 0]

    def _side_by_side(self, users: Array, items: Array) -> Array:
        x = np.empty((len(items), self.users.width + self.items.width), self.users.table.dtype)
        x[:, self.users.width :] = self.items.forward(items)
        repeated = x[:, : self.users.width].reshape(-1, len(users), self.users.width)
        repeated[...] = self.users.forward(users)
        return x

    def backward(self, gradient: Array, l2: Sequence[float]) -> None:
        """Add to the gradients of the trunk and of the factors met."""
        users, items = self._rows
        active = np.flatnonzero(gradient)
        if len(active) < _MOST * len(gradient) and not any(l2):
            # A margin loss leaves most triplets alone once the model has learnt; both rows of a
            # triplet have a gradient, or neither.
            self.trunk.keep(active)
            gradient, items = gradient[active], items[active]
            users = users[active[: len(active) // 2]]
        into = self.trunk.backward(gradient[:, None])
        width, n = self.users.width, len(users)
        self.users.backward(users, into[:n, :width] + into[n:, :width], l2[0])
        self.items.backward(items, np.ascontiguousarray(into[:, width:]), l2[1])


class Towers(_Network):
    """A tower for users, one for items; the score is the dot product of their outputs.

    Parameters
    ----------
    users, items : FeatureEmbedding
    user_tower, item_tower : Stack
        To the same number of outputs.
    loss : PairLoss
    """

    def __init__(
        self,
        users: FeatureEmbedding,
        items: FeatureEmbedding,
        user_tower: Stack,
        item_tower: Stack,
        loss: PairLoss,
    ) -> None:
        self.users, self.items, self._loss = users, items, loss
        self.user_tower, self.item_tower = user_tower, item_tower
        self.stacks = [user_tower, item_tower]

    def forward(self, users: Array, items: Array) -> Array:
        """Return scores of shape (len(items),)."""
        self._rows = users, items
        a = self.user_tower.forward(self.users.forward(users))
        v = self.item_tower.forward(self.items.forward(items))
        self._sides = a, v.reshape(-1, *a.shape)
        scores: Array = np.einsum("nk,rnk->rn", *self._sides).reshape(-1)
        return scores

    def scores(self, users: Array, items: Array) -> Array:
        """Return scores of shape (len(items),), without dropout."""
        a = self.user_tower.infer(self.users.forward(users))
        v = self.item_tower.infer(self.items.forward(items)).reshape(-1, *a.shape)
        scores: Array = np.einsum("nk,rnk->rn", a, v).reshape(-1)
        return scores

    def backward(self, gradient: Array, l2: Sequence[float]) -> None:
        """Add to the gradients of both towers and of the factors met."""
        users, items = self._rows
        a, v = self._sides
        g = gradient.reshape(*v.shape[:2], 1)
        into = self.user_tower.backward((g * v).sum(axis=0))
        self.users.backward(users, into, l2[0])
        into = self.item_tower.backward((g * a).reshape(-1, a.shape[1]))
        self.items.backward(items, into, l2[1])
