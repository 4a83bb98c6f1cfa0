r"""The replicas' triplet model: two tables, a scorer and a loss, with gradients.

For n triplets let A, P, N be the (n, d) factors of users, positives and negatives; for the scorer
"cosine" each row is scaled to length 1 first. With x = A·(P - N), row by row, the batch loss is the
**mean** of L(x), and with g = L'(x) / n its gradients are

    by A: g (P - N)        by P: g A        by N: -g A.

Where a row a is scaled to â = a / |a|, a gradient h by â becomes (h - (h·â) â) / |a| by a.

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

from tripletrec.reference.keras.embedding import Embedding
from tripletrec.scorers import normalize_rows, normalize_rows_backward

__all__ = ["LOSSES", "TripletModel"]

Array: TypeAlias = NDArray[Any]


def sigmoid(x: Array) -> tuple[Array, Array]:
    """Values and slopes of 1 - σ(x)."""
    t = np.tanh(0.5 * x)  # σ(x) = (1 + t) / 2; tanh does not overflow
    return 0.5 * (1.0 - t), -0.25 * (1.0 - t * t)


def negative_sigmoid(x: Array) -> tuple[Array, Array]:
    """Values and slopes of -σ(x), the loss that the first notebook prints."""
    values, slopes = sigmoid(x)
    return values - 1.0, slopes


def hinge(x: Array) -> tuple[Array, Array]:
    """Values and slopes of max(0, 1 - x)."""
    gap = 1.0 - x
    return np.maximum(gap, 0.0), -(gap > 0.0).astype(x.dtype)


LOSSES: dict[str, Callable[[Array], tuple[Array, Array]]] = {
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
        Loss as a function of the score difference.
    scorer : {"dot", "cosine"}, default="dot"
        Score of a user's and an item's factors.

    Attributes
    ----------
    parameters, gradients : list of arrays
        Those of both tables.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.reference.keras import Embedding
    >>> users, items = Embedding(np.ones((1, 2))), Embedding(np.array([[2.0, 0.0], [0.0, 1.0]]))
    >>> model = TripletModel(users, items, "hinge")
    >>> float(model.loss([0, 0], [0, 1], [1, 0]))
    1.0
    """

    def __init__(self, users: Embedding, items: Embedding, loss: str, scorer: str = "dot") -> None:
        self.users, self.items = users, items
        self._loss = LOSSES[loss]
        self._scaled = {"dot": False, "cosine": True}[scorer]
        self.parameters = [*users.parameters, *items.parameters]
        self.gradients = [*users.gradients, *items.gradients]

    def loss(self, users: Array, positives: Array, negatives: Array) -> float:
        """Return the mean loss of a batch of triplets, three integer arrays of one length."""
        a, p, n = self._factors(users, positives, negatives)[0]
        return float(self._loss(np.einsum("nk,nk->n", a, p - n))[0].mean())

    def backward(self, users: Array, positives: Array, negatives: Array) -> float:
        """Add the gradient of the mean loss of a batch to those of the tables; return the loss."""
        (a, p, n), inverses = self._factors(users, positives, negatives)
        difference = p - n
        values, slopes = self._loss(np.einsum("nk,nk->n", a, difference))
        g = (slopes / len(users)).astype(a.dtype, copy=False)[:, None]
        in_a, in_p = g * difference, g * a
        in_n = -in_p
        if self._scaled:
            in_a, in_p, in_n = map(normalize_rows_backward, (a, p, n), inverses, (in_a, in_p, in_n))
        self.users.backward(users, in_a)
        self.items.backward(positives, in_p)
        self.items.backward(negatives, in_n)
        return float(values.mean())

    def rows_read(self, users: Array, positives: Array, negatives: Array) -> list[Array | None]:
        """Return for each parameter the rows that a batch reads; only for tables without bias."""
        return [users, np.concatenate([positives, negatives])]

    def _factors(self, *triplets: Array) -> tuple[list[Array], list[Array]]:
        layers = (self.users, self.items, self.items)
        factors = [layer.forward(rows) for layer, rows in zip(layers, triplets, strict=True)]
        if not self._scaled:
            return factors, []
        normalized = [normalize_rows(each) for each in factors]
        return [units for units, _ in normalized], [inverses for _, inverses in normalized]
