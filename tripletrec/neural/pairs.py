"""The pairs of a batch, each user and item in one place; what is learnt from them is in `listwise`.

Many pairs of a batch share a user or an item. Users are put in ascending order, with their pairs one after
the other; different items in ascending order get *slots*, the rows of the batch's matrices of items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel

__all__ = ["Pairs", "Slots"]

_HALF, _LOW_HALF = 32, (1 << 32) - 1  # of a key of user and pair
_UNWEIGHTED = np.empty(0, np.float32)


class Pairs(NamedTuple):
    """The pairs of a batch, user after user."""

    users: NDArray[np.int32]  # each once
    bounds: NDArray[np.int64]  # the pairs of users[r] are bounds[r] ... bounds[r + 1] - 1
    items: NDArray[np.int32]
    slots: NDArray[np.int64]  # of the items
    weights: NDArray[np.float32]


@kernel
def _group(keys, candidates, weights, slot_of, users, bounds, items, weights_of, different):  # type: ignore[no-untyped-def]
    """List users, their pairs and different items, given keys of user and pair in ascending order.

    `candidates` are the items of the pairs, then further ones; each is marked in `slot_of`. The numbers of
    users and of different items are returned.
    """
    n, n_users, n_different = keys.shape[0], 0, 0
    for p in range(n):
        user, pair = np.int32(keys[p] >> _HALF), keys[p] & _LOW_HALF
        if n_users == 0 or users[n_users - 1] != user:
            users[n_users], bounds[n_users] = user, p
            n_users += 1
        items[p] = candidates[pair]
        weights_of[p] = weights[pair] if weights.shape[0] else np.float32(1.0)
    bounds[n_users] = n
    for p in range(n, candidates.shape[0]):
        items[p] = candidates[p]
    for item in items:
        if slot_of[item] < 0:
            slot_of[item] = 0
            different[n_different] = item
            n_different += 1
    return n_users, n_different


@kernel
def _number(items, different, slot_of, slots, counts):  # type: ignore[no-untyped-def]
    """Give slots to different items; write those of `items`, and how many of them each slot has."""
    for s in range(different.shape[0]):
        slot_of[different[s]] = s
        counts[s] = 0
    for p in range(items.shape[0]):
        slots[p] = slot_of[items[p]]
        counts[slots[p]] += 1


class Slots:
    """The slots of the items of one batch after the other.

    Parameters
    ----------
    n_items : int

    Attributes
    ----------
    of_items : int32 array of shape (n_items,)
        The slot of each item of the batch; -1 for all others.
    items : int32 array
        The items of the batch, each once, in ascending order.
    counts : int64 array
        How often each of them occurs in the batch.

    Examples
    --------
    >>> import numpy as np
    >>> slots, drawn = Slots(9), np.array([8, 3])
    >>> pairs = slots.fill(np.array([5, 2, 5]), np.array([7, 7, 3]), drawn)
    >>> slots.items, slots.counts
    (array([3, 7, 8], dtype=int32), array([2, 2, 1]))
    >>> pairs.users, pairs.bounds, pairs.items, pairs.slots
    (array([2, 5], dtype=int32), array([0, 1, 3]), array([7, 7, 3], dtype=int32), array([1, 1, 0]))
    """

    def __init__(self, n_items: int) -> None:
        self.of_items = np.full(n_items, -1, np.int32)
        self.items, self.counts = np.empty(0, np.int32), np.empty(0, np.int64)

    def fill(
        self,
        users: NDArray[np.integer],
        positives: NDArray[np.integer],
        drawn: NDArray[np.integer],
        weights: NDArray[np.float32] | None = None,
    ) -> Pairs:
        """Give slots to the items of a batch, and take them from those of the last one.

        Parameters
        ----------
        users, positives : int arrays of shape (n,)
        drawn : int array of shape (m,)
            Further items.
        weights : float32 array of shape (n,), default ones

        Returns
        -------
        Pairs
        """
        self.of_items[self.items] = -1
        n = len(users)
        keys = np.sort((users.astype(np.int64) << _HALF) | np.arange(n))
        candidates = np.concatenate([positives, drawn], dtype=np.int32, casting="same_kind")
        weights = _UNWEIGHTED if weights is None else weights
        rows, bounds = np.empty(n, np.int32), np.empty(n + 1, np.int64)
        items, different = np.empty_like(candidates), np.empty_like(candidates)
        weights_of = np.empty(n, np.float32)
        n_users, n_different = _group(
            keys, candidates, weights, self.of_items, rows, bounds, items, weights_of, different
        )
        self.items = different[:n_different]
        self.items.sort()
        slots, self.counts = np.empty(len(items), np.int64), np.empty(n_different, np.int64)
        _number(items, self.items, self.of_items, slots, self.counts)
        return Pairs(rows[:n_users], bounds[: n_users + 1], items[:n], slots[:n], weights_of)
