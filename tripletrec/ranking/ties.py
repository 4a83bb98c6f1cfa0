"""What a tie is worth on average, over all orders of its candidates.

A tie is a set of candidates with one score, of whom at least one is a positive: ``above`` candidates of the
user score higher, ``size`` are in the tie, ``positives`` of these are the user's, and ``before`` positives
score higher. A candidate without an equal is a tie of size 1. Each order of a tie is as likely as any other,
so each of its places holds a positive with probability ``positives / size`` (McSherry and Najork, "Computing
information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008). With
``m = min(max(k - above, 0), size)`` places of it among the first k, the expected values are ::

    hits        positives m / size
    gain        positives / size · Σ_{i=1..m} 1 / log2(above + i + 1)
    precision   positives / size · Σ_{i=1..m} (before + 1 + (i - 1)(positives - 1) / (size - 1)) / (above + i)
    any hit     1 - C(size - positives, m) / C(size, m)          of a user's first tie
    reciprocal  Σ_i C(size - i, positives - 1) / C(size, positives) / (above + i)      likewise

where the precisions of the hits are summed. All equal the plain values where the size is 1.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import kernel

__all__ = ["Ties"]


class Ties(NamedTuple):
    """The ties of all users near the top of their rankings, users one after the other, the best ties first.

    All arrays are int64.
    """

    user: NDArray[np.int64]
    above: NDArray[np.int64]
    size: NDArray[np.int64]
    positives: NDArray[np.int64]
    before: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        bounds: NDArray[np.int64],
        greater: NDArray[np.int64],
        equal: NDArray[np.int64],
        depth: int,
    ) -> Self:
        """Return each user's first tie, and all ties that begin among the first `depth` candidates.

        Parameters
        ----------
        bounds : int64 array of shape (n_users + 1,)
            User n has the positives from ``bounds[n]`` to ``bounds[n + 1]``, at least one.
        greater, equal : int64 arrays of shape (n_positives,)
            From `count_outranking`.
        """
        order, user = _near(bounds, greater, depth)
        above = greater[order]
        # Of one user, the positives of one tie have equally many candidates above them.
        begins = np.append(True, (user[1:] != user[:-1]) | (above[1:] != above[:-1]))
        starts = np.flatnonzero(begins)
        before = starts - np.searchsorted(user, user[starts])
        size = equal[order][starts] + 1
        return cls(user[starts], above[starts], size, np.diff(np.append(starts, len(user))), before)

    def sums(
        self,
        bounds: NDArray[np.int64],
        greater: NDArray[np.int64],
        values: NDArray[np.float64],
        depth: int,
    ) -> NDArray[np.float64]:
        """Return of numbers of the positives the sum over each tie; all else as `of` was given it."""
        order, _ = _near(bounds, greater, depth)
        starts = np.cumsum(self.positives) - self.positives
        return np.add.reduceat(values[order], starts)

    def first(self) -> Self:
        """Return the first tie of each user."""
        return self._take(np.append(True, self.user[1:] != self.user[:-1]))

    def within(self, k: int) -> NDArray[np.int64]:
        """Return how many places of each tie are among the first `k` of the ranking."""
        return np.clip(k - self.above, 0, self.size)

    def hits(self, k: int) -> NDArray[np.float64]:
        """Return the expected number of positives among the first `k`."""
        return self.positives * self.within(k) / self.size

    def gains(self, k: int, worth: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the expected sum of ``1 / log2(rank + 1)`` over the hits, times what each is worth.

        `worth` is the sum of that over the positives of each tie; None: each is worth 1.
        """
        m = self.within(k)
        worth = self.positives.astype(np.float64) if worth is None else worth
        values = m * worth / np.log2(self.above + 2)
        tied, ties, m = self._tied(m)
        if len(tied):
            sums = _sums(1 / np.log2(np.arange(2, (ties.above + m).max(initial=0) + 2)))
            share = worth[tied] / ties.size
            values[tied] = share * (sums[ties.above + m] - sums[ties.above])
        return values

    def precisions(self, k: int) -> NDArray[np.float64]:
        """Return the expected sum of ``hits@rank / rank`` over the hits."""
        m = self.within(k)
        values = m * (self.before + 1) / (self.above + 1)
        tied, ties, m = self._tied(m)
        if len(tied):
            sums = _sums(1 / np.arange(1, (ties.above + m).max(initial=0) + 1))
            inverse = sums[ties.above + m] - sums[ties.above]  # Σ 1 / (above + i)
            later = m - (ties.above + 1) * inverse  # Σ (i - 1) / (above + i)
            more = (ties.positives - 1) / (ties.size - 1)
            share = ties.positives / ties.size
            values[tied] = share * ((ties.before + 1) * inverse + more * later)
        return values

    def any_hit(self, k: int) -> NDArray[np.float64]:
        """Return the probability that a positive of the tie is among the first `k`."""
        m = self.within(k)
        values = (m > 0).astype(np.float64)
        # Else no place is left for all outside.
        partly = (m > 0) & (m <= self.size - self.positives)
        if partly.any():
            ties = self._take(partly)
            cases = np.stack((ties.size, ties.positives, m[partly]), axis=1)
            found = np.empty(len(cases))
            _any_hits(read_only(cases), found)
            values[partly] = found
        return values

    def reciprocal_ranks(self) -> NDArray[np.float64]:
        """Return the expected ``1 / rank`` of the best positive of the tie."""
        values = 1 / (self.above + 1)
        tied, ties, _ = self._tied(self.above)
        if len(tied):
            kinds = np.stack((ties.above, ties.size, ties.positives), axis=1)
            kinds, kind = np.unique(kinds, axis=0, return_inverse=True)
            found = np.empty(len(kinds))
            _reciprocal_ranks(read_only(kinds), found)
            values[tied] = found[kind.reshape(-1)]
        return values

    def _tied(self, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], Ties, NDArray[np.int64]]:
        """Return where the ties of more than one candidate are, these ties, and their `values`."""
        tied = np.flatnonzero(self.size > 1)
        return tied, self._take(tied), values[tied]

    def _take(self, which: NDArray[Any]) -> Self:
        return type(self)(*(each[which] for each in self))


def _near(
    bounds: NDArray[np.int64], greater: NDArray[np.int64], depth: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positives near the top, best first for each user, and whose they are."""
    n_positives = np.diff(bounds)
    first = np.minimum.reduceat(greater, bounds[:-1])
    # Few positives come near the top; only those are put in order.
    near = np.flatnonzero((greater < depth) | (greater == np.repeat(first, n_positives)))
    user = np.repeat(np.arange(len(n_positives)), n_positives)[near]
    order = np.lexsort((greater[near], user))
    return near[order], user[order]


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of the first 0, 1, 2 … values."""
    return np.concatenate(([0.0], np.cumsum(values)))


@kernel
def _reciprocal_ranks(kinds, values):
    """Fill `values` with the expected reciprocal ranks of ties: rows of above, size, positives."""
    for n in range(kinds.shape[0]):
        above, size, positives = kinds[n, 0], kinds[n, 1], kinds[n, 2]
        total, first_here = 0.0, positives / size
        for i in range(1, size - positives + 2):
            total += first_here / (above + i)
            if first_here < 1e-18:  # and all that follow are smaller still
                break
            first_here *= (size - i - positives + 1) / (size - i)
        values[n] = total


@kernel
def _any_hits(cases, values):
    """Fill `values` with ``1 - C(size - positives, m) / C(size, m)``; rows of size, positives, m."""
    for n in range(cases.shape[0]):
        size, fewer = cases[n, 0], min(cases[n, 1], cases[n, 2])
        more, total = max(cases[n, 1], cases[n, 2]), 0.0
        for j in range(fewer):
            total += math.log1p(-more / (size - j))
        values[n] = -math.expm1(total)
