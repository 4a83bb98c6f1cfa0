r"""The triplet model of two tables, on whole batches: scorers, losses and their gradients.

For n triplets let A, P, N be the (n, d) factors of users, positives and negatives. The batch loss
is the **mean** of L(x), x = s(A, P) - s(A, N), row by row. A scorer returns the scores together
with their gradients in both arguments:

========= ============================ ==================================================
scorer    s(a, b)                      ds/da  (ds/db: exchange a and b)
========= ============================ ==================================================
dot       a·b                          b
cosine    â·b̂,  â = a / |a|            (b̂ - s â) / |a|
========= ============================ ==================================================

and a loss its values and slopes dL/dx:

================= ===================== ================
loss              L(x)                  dL/dx
================= ===================== ================
sigmoid           1 - σ(x)              -σ(x) σ(-x)
negative_sigmoid  -σ(x)                 -σ(x) σ(-x)
hinge             max(0, 1 - x)         -1 if x < 1
================= ===================== ================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec.neural.embedding import Embedding

__all__ = ["LOSSES", "SCORERS", "TripletModel", "unit_rows"]

Array: TypeAlias = NDArray[Any]
Scorer: TypeAlias = Callable[[Array, Array], tuple[Array, Array, Array]]
BatchLoss: TypeAlias = Callable[[Array], tuple[Array, Array]]


def dot(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Scores a·b of paired rows and their gradients in a and b."""
    return np.einsum("nk,nk->n", a, b), b, a


def cosine(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Cosines of paired rows and their gradients in a and b; all are 0 for a row of zeros."""
    a_unit, a_scale = _unit_and_scale(a)
    b_unit, b_scale = _unit_and_scale(b)
    scores = np.einsum("nk,nk->n", a_unit, b_unit)
    s = scores[:, None]
    return scores, (b_unit - s * a_unit) * a_scale, (a_unit - s * b_unit) * b_scale


def _unit_and_scale(a: Array) -> tuple[Array, Array]:
    squared = np.einsum("nk,nk->n", a, a)[:, None]
    # The true gradient at a zero row does not exist; 0 keeps such a row where it is, where
    # the limit 1/|a| would turn it, and then everything, into NaN.
    scale = np.where(squared > 1e-12, 1.0 / np.sqrt(np.maximum(squared, 1e-12)), 0.0)
    scale = scale.astype(a.dtype, copy=False)
    return a * scale, scale


def unit_rows(a: Array) -> Array:
    """Rows of `a` at length 1, so that their dot products are cosines; zero rows stay zero."""
    return _unit_and_scale(a)[0]


def sigmoid(x: Array) -> tuple[Array, Array]:
    """Values and slopes of 1 - σ(x)."""
    t = np.tanh(0.5 * x)  # σ(x) = (1 + t) / 2; tanh does not overflow
    return 0.5 * (1.0 - t), -0.25 * (1.0 - t * t)


def negative_sigmoid(x: Array) -> tuple[Array, Array]:
    """Values and slopes of -σ(x), which the first notebook prints: `sigmoid` less 1."""
    values, slopes = sigmoid(x)
    return values - 1.0, slopes


def hinge(x: Array) -> tuple[Array, Array]:
    """Values and slopes of max(0, 1 - x)."""
    gap = 1.0 - x
    return np.maximum(gap, 0.0), -(gap > 0.0).astype(x.dtype)


SCORERS: dict[str, Scorer] = {"dot": dot, "cosine": cosine}
LOSSES: dict[str, BatchLoss] = {
    "sigmoid": sigmoid,
    "negative_sigmoid": negative_sigmoid,
    "hinge": hinge,
}


class TripletModel:
    """A table of users and one of items, trained so that positives outscore negatives.

    Parameters
    ----------
    users, items : Embedding
        The two tables; positives and negatives share the items'.
    loss : {"sigmoid", "negative_sigmoid", "hinge"}
        Loss in the score difference.
    scorer : {"dot", "cosine"}, default="dot"
        Score of a user's and an item's factors.

    Attributes
    ----------
    parameters, gradients : list of arrays
        Those of both tables.
    """

    def __init__(self, users: Embedding, items: Embedding, loss: str, scorer: str = "dot") -> None:
        self.users, self.items = users, items
        self._loss, self._scorer = LOSSES[loss], SCORERS[scorer]
        self.parameters = [*users.parameters, *items.parameters]
        self.gradients = [*users.gradients, *items.gradients]

    def loss(self, users: Array, positives: Array, negatives: Array) -> float:
        """Return the mean loss of a batch of triplets, three integer arrays of one length."""
        a = self.users.forward(users)
        x = self._scorer(a, self.items.forward(positives))[0]
        x = x - self._scorer(a, self.items.forward(negatives))[0]
        return float(self._loss(x)[0].mean())

    def backward(self, users: Array, positives: Array, negatives: Array) -> float:
        """Add the gradient of the mean loss of a batch to the tables' and return that loss."""
        a = self.users.forward(users)
        s_positive, a_positive, p = self._scorer(a, self.items.forward(positives))
        s_negative, a_negative, n = self._scorer(a, self.items.forward(negatives))
        values, slopes = self._loss(s_positive - s_negative)
        g = (slopes / len(users)).astype(a.dtype, copy=False)[:, None]
        self.users.backward(users, g * (a_positive - a_negative))
        self.items.backward(positives, g * p)
        self.items.backward(negatives, -g * n)
        return float(values.mean())
