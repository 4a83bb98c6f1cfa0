r"""How much given negatives weigh among the candidates of a list-wise loss.

With the share s of the sampler, a user with g given negatives and n items in all, the importance weight
of each of these is multiplied by

.. math:: 1 + \frac{s}{1 - s} \frac{n}{g}.

So they have the share s of all weights, beside their places among all items: as with a loss of triplets,
whose negative is a given one with the probability s, and else any item that the user is not known to like.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import part
from tripletrec.data.interactions import Interactions

__all__ = ["GivenWeights", "exchange", "list_given"]


class GivenWeights(NamedTuple):
    """The given negatives of all users, and what those of each are weighed by; empty where there are none.

    Parameters
    ----------
    indptr : int64 array of shape (n_users + 1,)
    indices : int32 array of shape (n,)
        Those of user u are ``indices[indptr[u]:indptr[u + 1]]``.
    factors : float32 array of shape (n_users,)
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    factors: NDArray[np.float32]

    @classmethod
    def of(cls, given: Interactions | None, share: float, n_items: int) -> GivenWeights:
        """Return the weights of given negatives with a share in [0, 1) of what is compared with.

        Examples
        --------
        >>> import tripletrec as tr
        >>> given = tr.Interactions.from_arrays([0, 0, 2], [5, 7, 1], shape=(3, 10))
        >>> GivenWeights.of(given, 0.5, 10).factors
        array([ 6.,  1., 11.], dtype=float32)
        """
        if given is None or share == 0.0:
            none: Any = np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
            return cls(*map(read_only, none))
        counts = np.diff(given.indptr)
        more = np.divide(n_items, counts, out=np.zeros(len(counts)), where=counts > 0)
        factors = (1.0 + share / (1.0 - share) * more).astype(np.float32)
        return cls(read_only(given.indptr), read_only(given.indices), read_only(factors))

    def most(self, n_users: int) -> int:
        """Return how many given negatives so many users have at most."""
        if not len(self.indices):
            return 0
        return int(np.sort(np.diff(self.indptr))[-n_users:].sum())


@part
def list_given(user, weights, slot_of, n_candidates, importance, n, slots, weighed):
    """List a user's given negatives among the candidates, from place n on; return the place behind them.

    Their slots go to `slots`, their importance to `weighed`; `weights` are those of `GivenWeights`.
    """
    indptr, indices, factors = weights
    if indices.shape[0] > 0:
        for e in range(indptr[user], indptr[user + 1]):
            slot = slot_of[indices[e]]
            if 0 <= slot < n_candidates:
                slots[n], weighed[n] = slot, importance[slot] * factors[user]
                n += 1
    return n


@part
def exchange(begin, end, slots, weighed, first, last, importance):
    """Exchange the importance of listed negatives, those of the slots first ... last - 1.

    Twice leaves all as it was. ``importance[0]`` is that of slot `first`.
    """
    for e in range(begin, end):
        slot = slots[e]
        if first <= slot < last:
            importance[slot - first], weighed[e] = weighed[e], importance[slot - first]
