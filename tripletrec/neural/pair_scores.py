"""Scores of a whole catalogue by a perceptron, without redoing a user's half for every item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel
from tripletrec.neural.layers import Dense, Dropout, ReLU
from tripletrec.neural.stack import Stack

__all__ = ["score_catalogue"]

_HIDDEN = 1 << 21  # activations at once, 8 MB: they stay in the cache


@kernel
def _score_hidden(users, items, weights, bias, cut, scores):  # type: ignore[no-untyped-def]
    """``scores[r, i] = Σ_k max(0, users[r, k] + items[i, k]) weights[k] + bias``."""
    zero = users.dtype.type(0.0)
    for r in range(users.shape[0]):
        for i in range(items.shape[0]):
            total = bias
            for k in range(items.shape[1]):
                h = users[r, k] + items[i, k]
                total += (h if h > zero else zero) * weights[k]
            scores[r, i] = zero if cut and total < zero else total


def score_catalogue(
    trunk: Stack, user_factors: NDArray[Any], item_factors: NDArray[Any]
) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
    """Return the function rows -> scores of all items, shape (len(rows), n_items).

    The weights of the first layer are split into a user half A and an item half B:
    ``[u, v] W + b = u A + (v B + b)``. The item half is multiplied once for all users. With a single
    hidden layer one pass over the sums is left; with more, the layers behind the first see the
    items of a user in blocks.

    Parameters
    ----------
    trunk : Stack
        Dense layers and ReLUs, the first layer dense, one output. Dropout is left out.
    user_factors, item_factors : float arrays of shape (n_users, …) and (n_items, …)
    """
    first, *rest = [layer for layer in trunk.layers if not isinstance(layer, Dropout)]
    if not isinstance(first, Dense):
        raise TypeError(f"the first layer must be dense, got {first!r}")
    n_user_factors = user_factors.shape[1]
    items = item_factors @ first.weights[n_user_factors:] + first.bias
    half = np.ascontiguousarray(first.weights[:n_user_factors])
    kinds = [type(layer) for layer in rest]
    if kinds[:2] == [ReLU, Dense] and len(trunk.dense) == 2:
        last = trunk.dense[1]
        weights, bias, cut = last.weights[:, 0].copy(), last.bias[0], kinds[-1] is ReLU

        def score_fused(rows: NDArray[np.int64]) -> NDArray[Any]:
            scores = np.empty((len(rows), len(items)), items.dtype)
            _score_hidden(user_factors[rows] @ half, items, weights, bias, cut, scores)
            return scores

        return score_fused
    block = max(1, _HIDDEN // max(each.weights.shape[1] for each in trunk.dense))

    def score_users(rows: NDArray[np.int64]) -> NDArray[Any]:
        scores = np.empty((len(rows), len(items)), items.dtype)
        for r, user in enumerate(user_factors[rows] @ half):
            for start in range(0, len(items), block):
                x = items[start : start + block] + user
                for layer in rest:
                    x = layer.infer(x)
                scores[r, start : start + block] = x[:, 0]
        return scores

    return score_users
