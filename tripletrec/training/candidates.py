"""The candidates of a list-wise batch, drawn or all items; what is learnt from them is elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.counter_random import below, uniform
from tripletrec._runtime.jit import kernel
from tripletrec.sampling.draw import search_cumulative

__all__ = ["Candidates", "draw_uniform", "draw_weighted"]


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
def draw_weighted(n, key, cumulative, items, slot_of, importance):
    """Draw `n` times by the weights; return the number of different items.

    Each occurrence of an item adds one over their expected number to its importance weight.
    """
    n_items = cumulative.shape[0] - 1
    total = cumulative[n_items]
    n_slots = 0
    for t in range(n):
        item = search_cumulative(cumulative, 0, n_items, uniform(key, t) * total)
        slot = slot_of[item]
        if slot < 0:
            slot = n_slots
            items[slot] = item
            slot_of[item] = slot
            importance[slot] = 0.0
            n_slots += 1
        importance[slot] += total / (n * (cumulative[item + 1] - cumulative[item]))
    return n_slots


class Candidates:
    """The candidates of one batch after the other, and the slots of its items.

    Parameters
    ----------
    n_items : int
    n_candidates : int or None
        How many to draw. None: all items.
    cumulative : float64 array of shape (n_items + 1,) or None
        Sums of the weights of the first items. None: all weigh the same, and no item is drawn twice.

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
        self, n_items: int, n_candidates: int | None, cumulative: NDArray[np.float64] | None
    ) -> None:
        self.are_all = n_candidates is None
        self.most = n_items if n_candidates is None else n_candidates
        self._cumulative = cumulative
        self._permutation = np.arange(n_items if cumulative is None else 0, dtype=np.int32)
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
        if self._cumulative is None:
            return int(draw_uniform(self.most, key, self._permutation, *where))
        return int(draw_weighted(self.most, key, self._cumulative, *where))

    def forget(self, items: NDArray[np.int32]) -> None:
        """Take their slots from the items of a batch, which itself goes on knowing them."""
        if not self.are_all:
            self.slot_of[items] = -1
