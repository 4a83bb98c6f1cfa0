"""How many candidates stand above each positive.

Two ways give the same counts. For few positives, one sweep over the user's scores, comparing each
positive with as many at a time as a vector register holds. For many, the scores are sorted once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.intrinsics import prefer_wide_vectors
from tripletrec._runtime.jit import kernel, part
from tripletrec.ranking.scores import LIMITS, BatchLimits, ScoreUsers, map_batches, refuse_nan

__all__ = ["MAX_SWEPT", "RankedPositives", "absent_from", "count_outranking", "positives_of"]

# With more positives than this, sorting a user's scores is cheaper than a sweep for each.
MAX_SWEPT = 128

# Scores that stay in the first-level cache while all positives of a user are compared with them.
_CHUNK = 2048


class RankedPositives(NamedTuple):
    """The positives of the users who have some, and the excluded items of all users."""

    users: NDArray[np.int64]
    bounds: NDArray[np.int64]  # users[n] has the positives items[bounds[n] : bounds[n + 1]]
    items: NDArray[np.int32]
    out_bounds: NDArray[np.int64]  # user u leaves out out_items[out_bounds[u] : out_bounds[u + 1]]
    out_items: NDArray[np.int32]

    def batch(self, first: int, last: int) -> RankedPositives:
        """Return the positives of ``users[first:last]``."""
        bounds = self.bounds[first : last + 1]
        return self._replace(
            users=self.users[first:last],
            bounds=read_only(bounds - bounds[0]),
            items=self.items[bounds[0] : bounds[-1]],
        )

    def excluded(self, n: int) -> NDArray[np.int32]:
        """Return the items that ``users[n]`` leaves out."""
        user = self.users[n]
        return self.out_items[self.out_bounds[user] : self.out_bounds[user + 1]]


def positives_of(
    bounds: NDArray[np.int64],
    items: NDArray[np.int32],
    out_bounds: NDArray[np.int64],
    out_items: NDArray[np.int32],
) -> RankedPositives:
    """Return the positives in rows of `items`, none of which is in the same row of `out_items`."""
    users = np.flatnonzero(np.diff(bounds))
    bounds = np.append(bounds[users], bounds[-1])
    out_bounds, out_items = read_only(out_bounds), read_only(out_items)
    return RankedPositives(
        read_only(users), read_only(bounds), read_only(items), out_bounds, out_items
    )


def absent_from(
    out_bounds: NDArray[np.int64],
    out_items: NDArray[np.int32],
    bounds: NDArray[np.int64],
    items: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Return of each of `items`, rising in each row, whether it is not in the same row of `out_items`."""
    kept = np.ones(len(items), bool)
    rows, out = (read_only(bounds), read_only(items)), (read_only(out_bounds), read_only(out_items))
    _drop_common(*rows, *out, kept)
    return kept


def count_outranking(
    score_users: ScoreUsers,
    n_items: int,
    positives: RankedPositives,
    n_jobs: int,
    *,
    limits: BatchLimits = LIMITS,
    max_swept: int = MAX_SWEPT,
    advance: Callable[[int], object] | None = None,
) -> NDArray[np.int64]:
    """Return two counts per positive, an array of shape (2, n_positives).

    How many other candidates have a higher score, and how many the same. A score that is NaN raises
    ValueError.

    Parameters
    ----------
    score_users : callable
        From `score_function`.
    n_items : int
        Number of columns of the scores.
    positives : RankedPositives
        From `positives_of`.
    n_jobs : int
        Number of threads, at least 1.
    limits : BatchLimits
        How many users are scored at once; no count depends on it.
    max_swept : int
        Users with more positives than this have their scores sorted; no count depends on it.
    advance : callable, optional
        Is told of how many users more the positives have been counted.
    """

    def count(first: int, last: int, scores: NDArray[Any]) -> NDArray[Any]:
        found = _count_batch(positives, max_swept, first, last, scores)
        if advance is not None:
            advance(last - first)
        return found

    counts = map_batches(count, score_users, positives.users, n_items, n_jobs, limits)
    return np.concatenate(counts, axis=1, dtype=np.int64) if counts else np.empty((2, 0), np.int64)


def _count_batch(
    positives: RankedPositives, max_swept: int, first: int, last: int, scores: NDArray[Any]
) -> NDArray[Any]:
    """Return the counts of the positives of ``users[first:last]``, whose scores these are."""
    batch = positives.batch(first, last)
    # Counters as wide as a score, so that one vector instruction serves both.
    counts = np.empty((2, len(batch.items)), f"i{scores.itemsize}")
    n_out = batch.out_bounds[batch.users + 1] - batch.out_bounds[batch.users]
    out_scores = np.empty(int(n_out.max(initial=0)), scores.dtype)
    one = read_only(np.ones(1, counts.dtype))
    refuse_nan(batch.users, int(_sweep(scores, batch, max_swept, one, out_scores, counts)))
    for r in np.flatnonzero(np.diff(batch.bounds) > max_swept).tolist():
        own = slice(batch.bounds[r], batch.bounds[r + 1])
        sorted_counts = _count_by_sorting(scores[r], batch.items[own], batch.excluded(r))
        for line, each in zip(counts, sorted_counts, strict=True):
            line[own] = each
    return counts


@kernel
def _drop_common(bounds, items, out_bounds, out_items, kept):
    """Set `kept` to whether an item is absent from the same row of `out_items`."""
    for user in range(bounds.shape[0] - 1):
        e, end = out_bounds[user], out_bounds[user + 1]
        for p in range(bounds[user], bounds[user + 1]):
            while e < end and out_items[e] < items[p]:
                e += 1
            kept[p] = e == end or out_items[e] != items[p]


@kernel
def _sweep(scores, positives, max_swept, one, out_scores, counts):
    """Fill `counts` for users with few positives; return the first row with a NaN, or -1."""
    bounds, items, out_bounds = positives.bounds, positives.items, positives.out_bounds
    for r in range(scores.shape[0]):
        row, first, last, user = scores[r], bounds[r], bounds[r + 1], positives.users[r]
        if last - first > max_swept:
            last = first
        counts[:, first:last] = 0
        for start in range(0, row.shape[0], _CHUNK):
            chunk = row[start : start + _CHUNK]
            if _count_nan(chunk, one) > 0:
                return r
            for p in range(first, last):
                greater, equal = _compare(chunk, row[items[p]], one)
                counts[0, p] += greater
                counts[1, p] += equal
        out = positives.out_items[out_bounds[user] : out_bounds[user + 1]]
        for e in range(out.shape[0]):
            out_scores[e] = row[out[e]]
        for p in range(first, last):
            greater, equal = _compare(out_scores[: out.shape[0]], row[items[p]], one)
            counts[0, p] -= greater
            counts[1, p] -= equal + 1
    return -1


# Both loops count in the integer type of `one`, cast back at each step because Numba would widen it
# to int64 and halve the speed. They index slices from 0: LLVM vectorises nothing else. The 1 comes
# from memory because LLVM adds a truth value in two instructions, and an unknown number in one.


@part
def _compare(scores, score, one):
    """Return how many scores are greater than and equal to `score`."""
    prefer_wide_vectors()
    whole, step = one.dtype.type, one[0]
    greater = equal = whole(0)
    for i in range(scores.shape[0]):
        if scores[i] > score:
            greater = whole(greater + step)
        if scores[i] == score:
            equal = whole(equal + step)
    return greater, equal


@part
def _count_nan(scores, one):
    """Return how many scores are NaN."""
    whole, step = one.dtype.type, one[0]
    n_nan = whole(0)
    for i in range(scores.shape[0]):
        if scores[i] != scores[i]:
            n_nan = whole(n_nan + step)
    return n_nan


def _count_by_sorting(
    scores: NDArray[Any], items: NDArray[np.int32], out_items: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return greater and equal of one user's positives, by sorting the user's scores."""
    own = scores[items]
    ascending = np.sort(np.delete(scores, out_items))
    left = np.searchsorted(ascending, own, "left")
    right = np.searchsorted(ascending, own, "right")
    return len(ascending) - right, right - left - 1
