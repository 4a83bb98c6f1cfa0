"""Scores of the whole catalogue by a trained perceptron; its training is in `networks`.

The first layer gets the concatenated factors u of a user and v of an item. With its weights split into a user
half A and an item half B, ``[u, v] W + b = u A + (v B + b)``: each user's and each item's term is computed
once, not for each pair. A pair's score does not depend on what else is scored, nor on the threads of BLAS.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.jit import kernel
from tripletrec.neural.layers import Dense, Dropout, ReLU
from tripletrec.neural.stack import Stack
from tripletrec.ranking.products import Products

__all__ = ["CatalogueScores", "item_terms"]

Array = NDArray[Any]
_PAIRS = 1 << 15  # scored at once


@kernel
def _score_hidden(users, items, columns, starts, ends, weights, bias, final_relu, scores):
    """``scores[r, c] = Σ_k max(0, users[r, k] + items[i, k]) weights[k] + bias`` of each of the row's items.

    Row r has the items ``columns[starts[r] : ends[r]]``.
    """
    zero = users.dtype.type(0.0)
    for r in range(users.shape[0]):
        for c in range(starts[r], ends[r]):
            total, i = bias, columns[c]
            for k in range(items.shape[1]):
                h = users[r, k] + items[i, k]
                total += (h if h > zero else zero) * weights[k]
            scores[r, c - starts[r]] = zero if final_relu and total < zero else total


def item_terms(trunk: Stack, item_factors: Array) -> Array:
    """Return what the first layer makes of all items, biases included, shape (n_items, width).

    Parameters
    ----------
    trunk : Stack
        Its first layer, apart from dropout, is dense.
    item_factors : float array of shape (n_items, …)
        The last inputs of that layer.

    Raises
    ------
    TypeError
        If the first layer is not dense.
    """
    first = _without_dropout(trunk)[0]
    weights = first.weights[len(first.weights) - item_factors.shape[1] :]
    return Products(item_factors, weights.T, first.bias)(np.arange(len(item_factors)))


class CatalogueScores:
    """Function rows -> scores of all items, shape (len(rows), n_items), or of some items at their cost alone.

    An item's score has the same bits wherever it is asked for.

    Parameters
    ----------
    trunk : Stack
        Dense layers and ReLUs, the first layer dense, one output. Dropout is left out.
    user_factors : float array of shape (n_users, …)
    terms : float array of shape (n_items, width)
        Those of `item_terms`.
    n_at_once : int, default 512
        Pairs that pass the layers at once where there is more than one hidden layer.

    Raises
    ------
    TypeError
        If the first layer is not dense.
    """

    def __init__(
        self, trunk: Stack, user_factors: Array, terms: Array, *, n_at_once: int = 512
    ) -> None:
        first, *rest = _without_dropout(trunk)
        self._of_users = Products(user_factors, first.weights[: user_factors.shape[1]].T)
        self._terms, self._columns = terms, np.arange(len(terms))
        kinds = [type(layer) for layer in rest]
        if kinds[:2] == [ReLU, Dense] and len(trunk.dense) == 2:
            last = trunk.dense[1]
            self._fill = _fused(terms, last, kinds[-1] is ReLU)
        else:
            self._fill = _by_layers(terms, rest, n_at_once)

    def __call__(self, rows: NDArray[np.int64]) -> Array:
        """Return the scores of some rows."""
        n = len(self._columns)
        scores = np.empty((len(rows), n), self._terms.dtype)
        bounds = np.zeros(len(rows), np.int64), np.full(len(rows), n)
        self._fill(self._of_users(rows), self._columns, *bounds, scores)
        return scores

    def restricted(self, items: NDArray[np.int64]) -> Self:
        """Return the function for some of the items only, which costs what these cost."""
        twin = copy.copy(self)
        twin._columns = self._columns[items]
        return twin

    def own(
        self, rows: NDArray[np.int64], items: NDArray[np.int64], bounds: NDArray[np.int64]
    ) -> Array:
        """Return the scores of each row's own items, filled up with -inf; see `Products.own`."""
        width = np.diff(bounds).max(initial=0)
        scores = np.full((len(rows), width), -np.inf, self._terms.dtype)
        columns = self._columns[items]
        self._fill(self._of_users(rows), columns, bounds[:-1].copy(), bounds[1:].copy(), scores)
        return scores

    def pairs(self, rows: NDArray[np.int64], items: NDArray[np.int64]) -> Array:
        """Return the scores of pairs, the same bits as elsewhere.

        Parameters
        ----------
        rows, items : int64 arrays of shape (n,)
        """
        scores = np.empty((len(rows), 1), self._terms.dtype)
        for first in range(0, len(rows), _PAIRS):
            some = slice(first, first + _PAIRS)
            users, places = self._of_users(rows[some]), np.arange(len(rows[some]))
            self._fill(users, self._columns[items[some]], places, places + 1, scores[some])
        return scores[:, 0]


def _without_dropout(trunk: Stack) -> list[Any]:
    """Return the layers of which scores are made; raise if the first is not dense."""
    layers = [layer for layer in trunk.layers if not isinstance(layer, Dropout)]
    if not isinstance(layers[0], Dense):
        raise TypeError(f"the first layer must be dense, got {layers[0]!r}")
    return layers


def _fused(terms: Array, last: Dense, final_relu: bool) -> Callable[..., None]:
    """Return what fills scores with those of users' terms, by one kernel."""
    weights, bias = last.weights[:, 0].copy(), last.bias[0]

    def fill(users: Array, columns: Array, starts: Array, ends: Array, scores: Array) -> None:
        _score_hidden(users, terms, columns, starts, ends, weights, bias, final_relu, scores)

    return fill


def _by_layers(terms: Array, rest: list[Any], n_at_once: int) -> Callable[..., None]:
    """Return what fills scores with those of users' terms, layer by layer.

    The order in which BLAS adds depends on the size of a product, so all are of one.
    """

    def fill(users: Array, columns: Array, starts: Array, ends: Array, scores: Array) -> None:
        bounds = np.concatenate(([0], np.cumsum(ends - starts)))
        with one_blas_thread():
            for first in range(0, bounds[-1], n_at_once):
                pairs = np.arange(first, min(first + n_at_once, bounds[-1]))
                r = np.searchsorted(bounds, pairs, side="right") - 1
                c = pairs - bounds[r]
                x = terms[columns[starts[r] + c]]
                x += users[r]
                if len(x) < n_at_once:
                    x = np.pad(x, ((0, n_at_once - len(x)), (0, 0)))
                for layer in rest:
                    x = layer.infer(x)
                scores[r, c] = x[: len(pairs), 0]

    return fill
