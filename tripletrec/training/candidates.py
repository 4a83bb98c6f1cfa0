"""The candidates of a list-wise batch, drawn or all items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.counter_random import below, uniform
from tripletrec._runtime.jit import kernel
from tripletrec.sampling.draw import search_cumulative

__all__ = ["BatchCandidates", "draw_uniform", "draw_weighted", "expected_draws"]

_LEAST_WEIGHT = 1e-30  # of the greatest: a power of popularity can be 0 in float64


@kernel
def draw_uniform(n, key, permutation, items, slot_of, importance):
    """Draw `n` different items: the first steps of a Fisher-Yates shuffle."""
    n_items = permutation.shape[0]
    for t in range(n):
        s = t + below(key, t, n_items - t)
        item = permutation[s]
        permutation[s] = permutation[t]
        permutation[t] = item
        items[t] = item
        slot_of[item] = t
        importance[t] = n_items / n
    return n


@kernel
def draw_weighted(n, key, order, expected, cumulative, items, slot_of, importance):
    """Draw once in each of `n` equal parts of the weights' sum; return the number of different items.

    So what is expected once is drawn once, and sums over the candidates scatter less than with independent
    draws. Each occurrence of an item adds one over their expected number to its importance weight.
    """
    n_slots, p = 0, 0
    for t in range(n):
        target, step = t + uniform(key, t), 1
        while p + step < order.shape[0] and cumulative[p + step] <= target:
            step += step  # the next item is near: most are drawn every few parts
        p = search_cumulative(cumulative, p, min(p + step, order.shape[0]), target)
        item = order[p]
        slot = slot_of[item]
        if slot < 0:
            slot = n_slots
            items[slot] = item
            slot_of[item] = slot
            importance[slot] = 0.0
            n_slots += 1
        importance[slot] += 1.0 / expected[p]
    return n_slots


def expected_draws(
    weights: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the items by falling weight, and how often each is expected among `n` candidates.

    That is in proportion to the weights, but at most once, and `n` times in all.
    """
    order = np.argsort(-weights, kind="stable").astype(np.int32)
    falling = np.maximum(weights[order], _LEAST_WEIGHT * weights.max())
    left = n - np.arange(len(order))
    expected = left * falling / np.cumsum(falling[::-1])[::-1]  # if all before were drawn once
    n_certain = int(np.argmax(expected <= 1.0))  # the last of n has all that is left: one at most
    expected[n_certain:] = falling[n_certain:] * (expected[n_certain] / falling[n_certain])
    expected[:n_certain] = 1.0
    return order, np.minimum(expected, 1.0)


class BatchCandidates:
    """The candidates of one batch after the other, and the slots of its items.

    Parameters
    ----------
    n_items : int
    n_candidates : int or None
        How many to draw. None: all items.
    weights : float64 array of shape (n_items,) or None
        An item is drawn in proportion to its weight, if that is not more than once. None: all weigh the same,
        and no item is drawn twice.

    Attributes
    ----------
    are_all : bool
        Whether the candidates are all items.
    most : int
        Number of candidates, at most.
    slot_of : int32 array of shape (n_items,)
        Slot of each item in the batch, -1 if it has none.
    """

    def __init__(
        self, n_items: int, n_candidates: int | None, weights: NDArray[np.float64] | None
    ) -> None:
        self.are_all = n_candidates is None
        self.most = n_items if n_candidates is None else n_candidates
        self._weighted = None
        if weights is not None and not self.are_all:
            order, expected = expected_draws(weights, self.most)
            self._weighted = order, expected, np.concatenate([[0.0], np.cumsum(expected)])
        self._permutation = np.arange(n_items if weights is None else 0, dtype=np.int32)
        self.slot_of = np.arange(n_items, dtype=np.int32)
        if not self.are_all:
            self.slot_of[:] = -1

    def begin_epoch(self) -> None:
        """Forget what earlier epochs did: draws depend on their keys alone."""
        self._permutation[:] = np.arange(len(self._permutation), dtype=np.int32)

    def draw(
        self, key: np.uint64, items: NDArray[np.int32], importance: NDArray[np.float32]
    ) -> int:
        """Draw the candidates of a batch: write them and their importance weights, return how many."""
        if self.are_all:
            return self.most
        where = items, self.slot_of, importance
        if self._weighted is None:
            return int(draw_uniform(self.most, key, self._permutation, *where))
        return int(draw_weighted(self.most, key, *self._weighted, *where))

    def forget(self, items: NDArray[np.int32]) -> None:
        """Take their slots from the items of a batch, which itself goes on knowing them."""
        if not self.are_all:
            self.slot_of[items] = -1
