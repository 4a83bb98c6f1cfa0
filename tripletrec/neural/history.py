r"""Users who are partly their history, the mean of the vectors of what they did; towers are in `networks`.

With :math:`a_u` what the user tower gives, :math:`v_i` what the item tower gives, :math:`H_u` the items of
the user's training data and :math:`\alpha` the share of the history, the vector of a user is

.. math:: p_u = (1 - \alpha)\, a_u + \alpha\, h_u, \qquad h_u = \frac{1}{|H_u|} \sum_{i \in H_u} v_i,

or, where vectors have length 1,

.. math:: p_u = \frac{z_u}{|z_u|}, \qquad z_u = (1 - \alpha)\, a_u + \alpha\, \frac{h_u}{|h_u|}.

While training, the positives of a user in the batch are left out of :math:`H_u`, for they are to be found
without themselves. Each of the others is left out with the probability `dropout`, or with that by which some
1,024 stay if it is more: these tell the mean, and each more would cost a way through the item tower in every
batch that the user is in. The gradient by :math:`h_u` goes back to all items of :math:`H_u` that are left,
and through the item tower to their features.

References
----------
.. [1] Kabbur, Ning, Karypis. "FISM: Factored item similarity models for top-N recommender systems", KDD 2013.
.. [2] Mao et al. "SimpleX: A simple and strong baseline for collaborative filtering", CIKM 2021.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.counter_random import derive, uniform
from tripletrec._runtime.jit import index, kernel, part
from tripletrec.data.interactions import Interactions
from tripletrec.neural.pairs import BatchPairs, Slots
from tripletrec.neural.stack_kernels import scale_to_unit, through_unit
from tripletrec.sampling.draw import ItemsOfUsers

__all__ = ["BatchHistories", "TowerMix", "TrainingHistories", "mix"]

Float32: TypeAlias = NDArray[np.float32]
Int32: TypeAlias = NDArray[np.int32]
# Instead of a slot: of an item that is not in the batch, and of one that is to be found.
_NO_SLOT, _LEFT_OUT = -1, -2
_MOST_EXPECTED = 1024  # items that stay in a history, while training


class TowerMix(NamedTuple):
    """How a user is mixed with the history."""

    share: float = 0.0  # α
    dropout: float = 0.0
    units: bool = False  # whether vectors have length 1


@kernel
def _keep(key, pairs, known, dropout, slot_of, n_slots, slots, ends, counts, further):
    """List the slots of what stays in histories, those of ``pairs.users[r]`` up to ``ends[r + 1]``.

    The positives of a user in the batch do not. Items without a slot get the next one and are listed in
    `further`; their number is returned. How often each slot is listed is counted.
    """
    n_kept, n_further = 0, 0
    for s in range(n_slots):
        counts[s] = 0
    for r in range(pairs.users.shape[0]):
        user, first, last = pairs.users[r], pairs.bounds[r], pairs.bounds[r + 1]
        stream, begin, end = derive(key, user), known.indptr[user], known.indptr[user + 1]
        share_left_out = max(dropout, 1.0 - _MOST_EXPECTED / max(1, end - begin))
        for p in range(first, last):
            slot_of[pairs.items[p]] = _LEFT_OUT
        for e in range(begin, end):
            item = known.indices[index(e)]
            if share_left_out > 0.0 and uniform(stream, item) < share_left_out:
                continue
            slot = slot_of[index(item)]
            if slot == _NO_SLOT:
                slot = np.int32(n_slots + n_further)
                slot_of[index(item)], further[n_further], counts[index(slot)] = slot, item, 0
                n_further += 1
            if slot >= 0:
                slots[index(n_kept)] = slot
                counts[index(slot)] += 1
                n_kept += 1
        for p in range(first, last):
            slot_of[pairs.items[p]] = pairs.slots[p]
        ends[r + 1] = n_kept
    for n in range(n_further):
        slot_of[further[n]] = _NO_SLOT
    return n_further


@part(fused=True)
def _add_rows(v, slots, first, last, h, r):
    """Add ``v[slots[first:last]]`` to row r of `h`."""
    e, end, r = index(first), index(last), index(r)
    # Four rows at a time, in the same order: the sum then goes to memory and back once in four.
    while e + index(4) <= end:
        s, t = index(slots[e]), index(slots[e + index(1)])
        x, y = index(slots[e + index(2)]), index(slots[e + index(3)])
        for k in range(index(v.shape[1])):
            h[r, k] = (((h[r, k] + v[s, k]) + v[t, k]) + v[x, k]) + v[y, k]
        e += index(4)
    while e < end:
        s = index(slots[e])
        for k in range(index(v.shape[1])):
            h[r, k] += v[s, k]
        e += index(1)


@kernel(noalias=True)
def _mix(a, v, ends, slots, share, units, h, p, scales):
    """Write the means `h` of ``v[slots]``, the mixes `p` and the factors by which both were scaled."""
    one = a.dtype.type(1)
    for r in range(a.shape[0]):
        first, last = ends[r], ends[r + 1]
        for k in range(h.shape[1]):
            h[r, k] = 0
        _add_rows(v, slots, first, last, h, r)
        weight = a.dtype.type(one / max(1, last - first))
        for k in range(a.shape[1]):
            h[r, k] *= weight
        scales[r, 0] = scales[r, 1] = one
        if units:
            scales[r, 0] = scale_to_unit(h, r)
        for k in range(a.shape[1]):
            p[r, k] = (one - share) * a[r, k] + share * h[r, k]
        if units:
            scales[r, 1] = scale_to_unit(p, r)


@kernel(noalias=True)
def _unmix(g, kept, places, users, share, units, mixed, a_gradient, n_slots, v_gradient):
    """Write dL/da and add to dL/dv, given dL/dp in `g`, which is overwritten.

    dL/dv of the first `n_slots` rows is added to, the others are set. `places` counts the users of each slot;
    it is overwritten, and `users` is room for them.
    """
    (ends, slots), (p, h, scales), one = kept, mixed, g.dtype.type(1)
    for r in range(g.shape[0]):
        if units:
            through_unit(g, p, r, scales[r, 1])
        for k in range(g.shape[1]):
            a_gradient[r, k] = (one - share) * g[r, k]
            g[r, k] *= share
        if units:
            through_unit(g, h, r, scales[r, 0])
        weight = g.dtype.type(one / max(1, ends[r + 1] - ends[r]))
        for k in range(g.shape[1]):
            g[r, k] *= weight
    # Slot after slot: the few rows of users stay near the processor, the many rows of slots would not.
    first = 0
    for s in range(v_gradient.shape[0]):
        first, places[s] = first + places[s], first
    for r in range(g.shape[0]):
        for e in range(ends[r], ends[r + 1]):
            users[places[slots[e]]] = r
            places[slots[e]] += 1
    first = 0
    for s in range(v_gradient.shape[0]):
        if s >= n_slots:
            for k in range(g.shape[1]):
                v_gradient[s, k] = 0
        _add_rows(g, users, first, places[s], v_gradient, s)
        first = places[s]


def mix(a: Any, v: Any, histories: ItemsOfUsers, how: TowerMix) -> Any:
    """Return the vectors of users.

    Parameters
    ----------
    a : float array of shape (n_users, n_outputs)
        What the user tower gives.
    v : float array of shape (n_items, n_outputs)
        What the item tower gives.
    histories : ItemsOfUsers
    how : TowerMix

    Returns
    -------
    array of shape (n_users, n_outputs)
        The rows of `a`, scaled by 1 - share, where a history is empty.

    Examples
    --------
    >>> import numpy as np
    >>> a, v = np.array([[2.0, 0.0]]), np.array([[0.0, 4.0], [0.0, 8.0]])
    >>> mix(a, v, ItemsOfUsers(np.array([0, 2]), np.array([0, 1])), TowerMix(share=0.5))
    array([[1., 3.]])
    """
    return _mixed(a, v, histories, how)[0]


def _mixed(a: Any, v: Any, histories: ItemsOfUsers, how: TowerMix) -> tuple[Any, Any, Any]:
    """Return vectors of users, means of their histories, and the factors by which both were scaled."""
    h, p, scales = np.empty_like(a), np.empty_like(a), np.empty((len(a), 2), a.dtype)
    ends, slots = read_only(histories.indptr), read_only(histories.indices)
    _mix(a, read_only(v), ends, slots, a.dtype.type(how.share), how.units, h, p, scales)
    return p, h, scales


class BatchHistories:
    """The histories of the users of one batch, and how the gradient goes back to what they consist of.

    Attributes
    ----------
    further : int32 array of shape (n_further,)
        The items that are in a history and not in the batch, each once; they have the slots behind its own.
    """

    def __init__(self, kept: ItemsOfUsers, further: Int32, counts: Int32, how: TowerMix) -> None:
        self.further = further
        self._kept, self._counts, self._how = kept, counts, how  # slots for items

    def mix(self, a: Float32, v: Float32) -> Float32:
        """Return the vectors of the users, from what both towers give."""
        self._mixed = _mixed(a, v, self._kept, self._how)
        vectors: Float32 = self._mixed[0]
        return vectors

    def unmix(self, gradient: Float32, v_gradient: Float32) -> Float32:
        """Return the gradient by what the user tower gave, and add that by what the item tower gave.

        Parameters
        ----------
        gradient : float array of shape (n_users, n_outputs)
            By what `mix` returned; overwritten.
        v_gradient : float array of shape (n, n_outputs)
            Of all slots; of those of `further` it is set.
        """
        a_gradient, users = np.empty_like(gradient), np.empty_like(self._kept.indices)
        n_slots = len(v_gradient) - len(self.further)
        _unmix(
            gradient, tuple(self._kept), self._counts, users, gradient.dtype.type(self._how.share),
            self._how.units, self._mixed, a_gradient, n_slots, v_gradient,
        )  # fmt: skip
        return a_gradient


class TrainingHistories:
    """What all users did, to be drawn from batch by batch.

    Parameters
    ----------
    positives : Interactions
    how : TowerMix
    """

    def __init__(self, positives: Interactions, how: TowerMix) -> None:
        self.how = how
        self._known = ItemsOfUsers(read_only(positives.indptr), read_only(positives.indices))
        self._sizes = np.diff(positives.indptr)

    def of_batch(self, key: np.uint64, pairs: BatchPairs, batch: Slots) -> BatchHistories:
        """Draw the histories of the users of a batch.

        Parameters
        ----------
        key : numpy.uint64
            Stream of random numbers of the batch.
        pairs : BatchPairs
        batch : Slots
            Of the items of the batch; left as it was.
        """
        users, most = pairs.users, int(self._sizes[pairs.users].sum())
        n_slots = len(batch.items)
        most_further = min(most, len(batch.of_items) - n_slots)
        slots, further = np.empty(most, np.int32), np.empty(most_further, np.int32)
        counts = np.empty(n_slots + most_further, np.int32)
        ends = np.zeros(len(users) + 1, np.int64)
        n_further = _keep(
            key, pairs, self._known, self.how.dropout, batch.of_items, n_slots, slots, ends, counts,
            further,
        )  # fmt: skip
        kept = ItemsOfUsers(ends, slots[: ends[-1]])
        return BatchHistories(kept, further[:n_further], counts, self.how)

    def mix_all(self, a: Float32, v: Float32) -> Float32:
        """Return the vectors of all users, with all that they did."""
        vectors: Float32 = _mixed(a, v, self._known, self.how)[0]
        return vectors
