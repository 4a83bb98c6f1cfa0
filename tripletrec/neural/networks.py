r"""Two networks that score a user and an item, and the gradient of a batch of triplets; epochs are in `fit`.

``PairPerceptron`` concatenates the factors of user and item and sends them through a trunk of layers; each
triplet passes it twice, with the same weights: s(u, i) = trunk([U_u, V_i]).

``Towers`` has one tower for users and one for items; the score is the dot product of their outputs,
s(u, i) = a(u) · v(i), so that the whole catalogue is scored by one matrix product.

The n positives and the n negatives of a batch are stacked into 2 n rows: each layer then runs once forward
and once backward, which sums the gradient over both uses of its weights. A batch takes a handful of compiled
calls: with 64 triplets to a batch, a few calls for each layer would cost as much as the work itself.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel
from tripletrec.losses import Loss
from tripletrec.neural.features import (
    FeatureEmbedding,
    FeatureTable,
    add_row_gradients,
    sum_rows,
)
from tripletrec.neural.stack import Stack
from tripletrec.neural.triplet_parts import build_pair_loss, differentiate_pairs, score_pairs
from tripletrec.training.plan import L2

__all__ = ["PairPerceptron", "Towers"]

Array: TypeAlias = NDArray[Any]
_MOST_ACTIVE = (
    0.8  # share of the rows with a gradient above which moving them together does not pay
)


@cache
def _build_pair_loss(loss: Loss) -> Any:
    differentiate = build_pair_loss(loss)

    @kernel
    def pair_loss(scores, weights, parameters, mean, gradient, totals):
        differentiate(scores, weights, parameters, mean, gradient, totals)

    return pair_loss


# What belongs to users and what belongs to items comes in pairs of one type, so that a loop over the two
# compiles its long body once.


@kernel(noalias=True)
def _look_up_factors(rows, tables, first_rows, first_columns, sums):
    """Write the factors of ``rows[s]`` to ``sums[s][first_rows[s]:, first_columns[s]:]``."""
    for s in range(len(rows)):
        table = FeatureTable(*tables[s])
        sum_rows(rows[s], table, first_rows[s], first_columns[s], sums[s])


@kernel(noalias=True)
def _add_factor_gradients(
    rows, weights, tables, first_columns, row_gradients, l2, touched, n_touched
):
    """Add to the gradients of the factors of ``rows[s]``; list the rows of the tables that are touched."""
    for s in range(len(rows)):
        table = FeatureTable(*tables[s])
        n_touched[s] = add_row_gradients(
            rows[s], weights, table, first_columns[s], row_gradients[s], l2[s], touched[s]
        )


@kernel
def _compact_active_rows(gradient, x, active):
    """Move the rows with a gradient to the front, list them in `active`, and return their number.

    If nearly all rows have one, move none and return the number of all.
    """
    n_active, n_rows, width = 0, x.shape[0], x.shape[1]
    for t in range(n_rows):
        active[n_active] = t
        n_active += gradient[t] != 0
    if n_active >= _MOST_ACTIVE * n_rows:
        return n_rows
    for r in range(n_active):
        gradient[r] = gradient[active[r]]
        for k in range(width):
            x[r, k] = x[active[r], k]
    return n_active


@kernel
def _score_pairs(a, v, scores):
    score_pairs(a, v, scores)


@kernel
def _differentiate_pairs(gradient, a, v, a_gradient, v_gradient):
    differentiate_pairs(gradient, a, v, a_gradient, v_gradient)


class _Network:
    """What the two share: loss and gradient of a batch, and what an optimizer needs."""

    stacks: list[Stack]
    touched: list[Array | None]

    def __init__(
        self, users: FeatureEmbedding, items: FeatureEmbedding, loss: Loss | None, mean: bool
    ) -> None:
        self.users, self.items = users, items
        self.mean = mean
        self.tables = tuple(users.arrays), tuple(items.arrays)
        self._real = users.table.dtype.type
        if loss is not None:
            self._pair_loss = _build_pair_loss(loss.functions())
            self._parameters = tuple(map(self._real, loss.parameters))
        self._unweighted = np.empty(0, self._real)
        self._n_touched = np.zeros(2, np.int64)
        self._scratch: dict[str, Array] = {}

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
        """Return the scores of n users with each of m stacked lists of n items, without dropout.

        Parameters
        ----------
        users : int array of shape (n,)
        items : int array of shape (m * n,)

        Returns
        -------
        array of shape (m * n,)
        """
        raise NotImplementedError

    def step(
        self,
        users: Array,
        positives: Array,
        negatives: Array,
        weights: Array | None,
        l2: L2,
        totals: NDArray[np.float64],
    ) -> None:
        """Add the gradient of a batch's loss.

        Parameters
        ----------
        users, positives, negatives : int arrays of shape (n,)
        weights : float array of shape (n,) or None
        l2 : L2
            Penalty of each triplet on the factors of its user and its two items, by the triplet's weight.
            Negatives are penalised like positives: `negative` and `bias` are not used.
        totals : float64 array of shape (3,)
            Added to it are the loss, the weight of the triplets whose positive is ahead, ties half, and
            the weight of all.
        """
        users = np.ascontiguousarray(users, np.int32)
        items = np.concatenate([positives, negatives], dtype=np.int32)
        scores = self._score(users, items)
        gradient = np.empty(len(items), self._real)
        weights = self._unweighted if weights is None else weights
        self._pair_loss(scores, weights, self._parameters, self.mean, gradient, totals)
        self._backpropagate(users, items, gradient, weights, l2)

    def _array(self, use: str, *shape: int) -> Array:
        """Return an uninitialised array; the next call for this `use` may return the same memory."""
        size = math.prod(shape)
        if size > self._scratch.get(use, self._unweighted).size:
            self._scratch[use] = np.empty(size, self._real)
        return self._scratch[use][:size].reshape(shape)

    def _score(self, users: Array, items: Array) -> Array:
        """Return the scores of n users with their positives, then with their negatives."""
        raise NotImplementedError

    def _backpropagate(
        self, users: Array, items: Array, gradient: Array, weights: Array, l2: L2
    ) -> None:
        """Add to the gradients of all parameters, given that with respect to the scores."""
        raise NotImplementedError

    def _backpropagate_to_factors(
        self, rows: Any, weights: Array, first_columns: Any, row_gradients: Any, user_l2: float,
        item_l2: float,
    ) -> None:  # fmt: skip
        """Add to the gradients of the factors of users and items; set `touched`."""
        of_users = np.empty(len(rows[0]) * self.users.max_entries, np.int32)
        of_items = np.empty(len(rows[1]) * self.items.max_entries, np.int32)
        l2 = self._real(user_l2), self._real(item_l2)
        _add_factor_gradients(
            rows, weights, self.tables, first_columns, row_gradients, l2,
            (of_users, of_items), self._n_touched,
        )  # fmt: skip
        n_users, n_items = self._n_touched.tolist()
        self.touched = [of_users[:n_users], of_items[:n_items], *(None for _ in self.stacks)]


class PairPerceptron(_Network):
    """A trunk of layers on the concatenated factors of user and item.

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
    touched : list
        The rows of each of `parameters` that the last step touched; None: all.
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
        self._x = x = self._array("x", len(items), self.users.width + self.items.width)
        of_users, of_items = self.tables
        _look_up_factors(
            (users, users, items), (of_users, of_users, of_items), (0, len(users), 0),
            (0, 0, self.users.width), (x, x, x),
        )  # fmt: skip
        return self.trunk.run(x).reshape(-1)

    def _backpropagate(
        self, users: Array, items: Array, gradient: Array, weights: Array, l2: L2
    ) -> None:
        users = np.concatenate([users, users])
        if not (l2.user or l2.positive):
            # Once the model has learnt, the gradient of a margin loss is 0 for most triplets.
            active = np.empty(len(users) + 1, np.int32)
            n_active = _compact_active_rows(gradient, self._x, active)
            if n_active < len(users):
                active = active[:n_active]
                self.trunk.keep(active)
                users, items = users.take(active), items.take(active)
        x_gradient = self.trunk.run_back(gradient)
        first_columns = 0, self.users.width
        self._backpropagate_to_factors(  # a user is in two rows
            (users, items), weights, first_columns, (x_gradient, x_gradient), l2.user / 2,
            l2.positive,
        )  # fmt: skip


class Towers(_Network):
    """A tower for users, one for items; the score is the dot product of their outputs.

    Parameters
    ----------
    users, items : FeatureEmbedding
    user_tower, item_tower : Stack
        To the same number of outputs.
    loss : Loss or None
        Of a batch: the sum of that of its triplets. None: for a subclass with a list-wise loss, see
        `tripletrec.neural.listwise`.

    Attributes
    ----------
    touched : list
        The rows of each of `parameters` that the last step touched; None: all.
    """

    def __init__(
        self,
        users: FeatureEmbedding,
        items: FeatureEmbedding,
        user_tower: Stack,
        item_tower: Stack,
        loss: Loss | None,
    ) -> None:
        super().__init__(users, items, loss, mean=False)
        self.user_tower, self.item_tower = user_tower, item_tower
        self.stacks = [user_tower, item_tower]

    def scores(self, users: Array, items: Array) -> Array:
        """Return scores of shape (len(items),), without dropout."""
        a = self.user_tower.infer(self.users.forward(users))
        v = self.item_tower.infer(self.items.forward(items)).reshape(-1, *a.shape)
        scores: Array = np.einsum("nk,rnk->rn", a, v).reshape(-1)
        return scores

    def _run(self, users: Array, items: Array) -> tuple[Array, Array]:
        """Return the outputs of both towers, as views that are valid until the next run."""
        of_users = self._array("x of users", len(users), self.users.width)
        of_items = self._array("x of items", len(items), self.items.width)
        _look_up_factors((users, items), self.tables, (0, 0), (0, 0), (of_users, of_items))
        return self.user_tower.run(of_users), self.item_tower.run(of_items)

    def _run_back(
        self, users: Array, items: Array, gradients: tuple[Array, Array], weights: Array, l2: L2
    ) -> None:
        """Add to the gradients of all parameters, given those with respect to both towers' outputs."""
        of_users = self.user_tower.run_back(gradients[0])
        of_items = self.item_tower.run_back(gradients[1])
        self._backpropagate_to_factors(
            (users, items), weights, (0, 0), (of_users, of_items), l2.user, l2.positive
        )

    def _score(self, users: Array, items: Array) -> Array:
        self._outputs = self._run(users, items)
        scores = np.empty(len(items), self._real)
        _score_pairs(*self._outputs, scores)
        return scores

    def _backpropagate(
        self, users: Array, items: Array, gradient: Array, weights: Array, l2: L2
    ) -> None:
        a, v = self._outputs
        gradients = self._array("gradient of a", *a.shape), self._array("gradient of v", *v.shape)
        _differentiate_pairs(gradient, a, v, *gradients)
        self._run_back(users, items, gradients, weights, l2)
