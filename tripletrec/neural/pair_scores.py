"""Scores of the whole catalogue by a trained perceptron; its training is in `networks`.

The first layer gets the concatenated factors u of a user and v of an item. With its weights split into a user
half A and an item half B, ``[u, v] W + b = u A + (v B + b)``: each user's and each item's term is computed
once, not for each pair. A user's scores do not depend on who else is scored, nor on the threads of BLAS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.jit import kernel
from tripletrec.neural.layers import Dense, Dropout, ReLU
from tripletrec.neural.stack import Stack
from tripletrec.ranking.products import Products

__all__ = ["score_catalogue"]


@kernel
def _score_hidden(users, items, weights, bias, final_relu, scores):  # type: ignore[no-untyped-def]
    """``scores[r, i] = Σ_k max(0, users[r, k] + items[i, k]) weights[k] + bias``."""
    zero = users.dtype.type(0.0)
    for r in range(users.shape[0]):
        for i in range(items.shape[0]):
            total = bias
            for k in range(items.shape[1]):
                h = users[r, k] + items[i, k]
                total += (h if h > zero else zero) * weights[k]
            scores[r, i] = zero if final_relu and total < zero else total


def score_catalogue(
    trunk: Stack,
    user_factors: NDArray[Any],
    item_factors: NDArray[Any],
    *,
    max_activations: int = 1 << 21,
) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
    """Return the function rows -> scores of all items, shape (len(rows), n_items).

    Parameters
    ----------
    trunk : Stack
        Dense layers and ReLUs, the first layer dense, one output. Dropout is left out.
    user_factors, item_factors : float arrays of shape (n_users, …) and (n_items, …)
    max_activations : int, default 2**21
        Of the widest layer, computed at once where there is more than one hidden layer: 8 MB stay in the
        processor's cache.

    Raises
    ------
    TypeError
        If the first layer is not dense.
    """
    first, *rest = [layer for layer in trunk.layers if not isinstance(layer, Dropout)]
    if not isinstance(first, Dense):
        raise TypeError(f"the first layer must be dense, got {first!r}")
    n_user_factors = user_factors.shape[1]
    of_users = Products(user_factors, first.weights[:n_user_factors].T)
    of_items = Products(item_factors, first.weights[n_user_factors:].T, first.bias)
    items = of_items(np.arange(len(item_factors)))
    kinds = [type(layer) for layer in rest]
    if kinds[:2] == [ReLU, Dense] and len(trunk.dense) == 2:
        last = trunk.dense[1]
        weights, bias, final_relu = last.weights[:, 0].copy(), last.bias[0], kinds[-1] is ReLU

        def score_fused(rows: NDArray[np.int64]) -> NDArray[Any]:
            scores = np.empty((len(rows), len(items)), items.dtype)
            _score_hidden(of_users(rows), items, weights, bias, final_relu, scores)
            return scores

        return score_fused
    n_at_once = max(1, max_activations // max(each.weights.shape[1] for each in trunk.dense))

    def score_users(rows: NDArray[np.int64]) -> NDArray[Any]:
        scores = np.empty((len(rows), len(items)), items.dtype)
        with one_blas_thread():
            for r, user in enumerate(of_users(rows)):
                for start in range(0, len(items), n_at_once):
                    x = items[start : start + n_at_once] + user
                    for layer in rest:
                        x = layer.infer(x)
                    scores[r, start : start + n_at_once] = x[:, 0]
        return scores

    return score_users
