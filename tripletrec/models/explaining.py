"""`explain`: which of a user's own items a score comes from; vectors are in `vectors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._runtime.messages import shown
from tripletrec.data.ids import is_single
from tripletrec.ranking.exclusion import known_seen

if TYPE_CHECKING:
    from tripletrec.models.fitted import Fitted

__all__ = ["Explanation", "check_pair", "explain", "with_first_items"]


class Explanation(NamedTuple):
    """What `explain` returns: numbers that add up to a score.

    Attributes
    ----------
    items : array of shape (m,)
        Ids of the user's items that contribute most, best first; m is k, or the number of the user's items
        where that is smaller. Negative contributions come last.
    contributions : float64 array of shape (m,)
        What each of them adds to the score.
    other_items : float
        What the user's further items add.
    rest : float
        What the user's vector adds beyond all of them.
    bias : float
        What the item has from all users alike; 0 for a model without biases.
    score : float
        The sum of all: what `predict` returns, to rounding.
    """

    items: NDArray[Any]
    contributions: NDArray[np.float64]
    other_items: float
    rest: float
    bias: float
    score: float

    def terms(self) -> list[float]:
        """Return what adds up to the score: each contribution, then the others, the rest and the bias."""
        return [*self.contributions.tolist(), self.other_items, self.rest, self.bias]


def explain(model: Any, user: Any, item: Any, k: Any) -> Explanation:
    """Explain the score of a user and an item; see ``MatrixFactorization.explain``."""
    k = check_count(k, "k", most=None)
    user_row, item_row = check_pair(model, user, item)
    own = _items_of(model, user_row)
    p, q, Q = (
        model._vectors(word, rows).astype(np.float64)
        for word, rows in (("user", [user_row]), ("item", [item_row]), ("item", own))
    )
    p, q, bias = p[0], q[0], 0.0
    if model._has_biases:
        p, q, Q, bias = p[:-1], q[:-1], Q[:, :-1], float(q[-1])
    weights = model._history_weights(user_row, Q)
    if weights is None:
        weights = _weights(Q, p)
    contributions = weights * (Q @ q)
    ids = own if model.item_ids_ is None else model.item_ids_[own]
    rest, score = float((p - weights @ Q) @ q), float(p @ q + bias)
    return with_first_items(ids, contributions, k, rest=rest, bias=bias, score=score)


def with_first_items(
    ids: NDArray[Any], contributions: NDArray[np.float64], k: int, **terms: float
) -> Explanation:
    """Return the explanation that names the `k` of some items that contribute most."""
    order = np.argsort(-contributions, kind="stable")
    first, others = order[:k], float(contributions[order[k:]].sum())
    return Explanation(ids[first], contributions[first], others, **terms)


def check_pair(model: Fitted, user: Any, item: Any) -> tuple[int, int]:
    """Return the rows of one user and one item."""
    for name, given in (("user", user), ("item", item)):
        if not is_single(given):
            raise ValueError(f"{name} must be one id, got {shown(given)}")
    return int(model._users().rows(user)[0]), int(model._items().rows(item)[0])


def _items_of(model: Fitted, user: int) -> NDArray[np.int64]:
    seen = known_seen(model)
    if user >= seen.n_users:
        return np.empty(0, np.int64)
    return seen.indices[seen.indptr[user] : seen.indptr[user + 1]].astype(np.int64)


def _weights(Q: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of the rows of Q in the ridge regression whose solution is nearest to p."""
    squares = float(np.einsum("jk,jk->", Q, Q))
    if squares == 0.0:  # no items, or none with a direction
        return np.zeros(len(Q))
    # Of the two forms of the same equation the smaller one.
    if len(Q) < Q.shape[1]:
        gram = Q @ Q.T
        gram[np.diag_indices(len(Q))] += squares / len(Q)
        return np.asarray(np.linalg.solve(gram, Q @ p))
    gram = Q.T @ Q
    gram[np.diag_indices(Q.shape[1])] += squares / len(Q)
    return np.asarray(Q @ np.linalg.solve(gram, p))
