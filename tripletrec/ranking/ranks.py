"""How many candidates stand above each positive: the one loop behind every ranking metric.

Two ways give the same counts. For few positives, one sweep over the user's scores, comparing each
positive with as many at a time as a vector register holds. For many, the scores are sorted once.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.intrinsics import prefer_wide_vectors
from tripletrec._runtime.jit import kernel, part
from tripletrec.ranking.scores import ScoreUsers, frozen, map_blocks

__all__ = ["Positives", "count_outranking", "positives_without"]

# With more positives than this, sorting a user's scores is cheaper than a sweep for each.
_MANY = 128

# Scores that stay in the first cache while all positives of a user are compared with them.
_CHUNK = 2048


class Positives(NamedTuple):
    """The positives of the users who have some, and the excluded items of all users."""

    users: NDArray[np.int64]
    bounds: NDArray[np.int64]  # users[n] has the positives items[bounds[n] : bounds[n + 1]]
    items: NDArray[np.int32]
    out_bounds: NDArray[np.int64]  # user u leaves out out_items[out_bounds[u] : out_bounds[u + 1]]
    out_items: NDArray[np.int32]


def positives_without(
    bounds: NDArray[np.int64],
    items: NDArray[np.int32],
    out_bounds: NDArray[np.int64],
    out_items: NDArray[np.int32],
) -> Positives:
    """Return the positives in rows of `items` that are not in the same row of `out_items`."""
    given = frozen(bounds), frozen(items), frozen(out_bounds), frozen(out_items)
    if len(out_items):
        kept = np.ones(len(items), bool)
        _drop_common(*given, kept)
        bounds, items = np.concatenate(([0], np.cumsum(kept)))[bounds], items[kept]
    users = np.flatnonzero(np.diff(bounds))
    bounds = np.append(bounds[users], bounds[-1])
    return Positives(frozen(users), frozen(bounds), frozen(items), *given[2:])


def count_outranking(
    score_users: ScoreUsers, n_items: int, positives: Positives, n_jobs: int
) -> NDArray[np.int64]:
    """Return three counts per positive, an array of shape (3, n_positives).

    How many other candidates have a higher score, how many the same, and how many of the latter a
    lower item number. A score that is NaN raises ValueError.
    """
    count = partial(_count_block, positives)
    blocks = map_blocks(count, score_users, positives.users, n_items, n_jobs)
    for wrong, _ in blocks:
        if wrong >= 0:
            raise ValueError(f"scores of user {positives.users[wrong]} contain NaN")
    counts = [counts for _, counts in blocks]
    return np.concatenate(counts, axis=1, dtype=np.int64) if counts else np.empty((3, 0), np.int64)


def _count_block(
    positives: Positives, first: int, last: int, scores: NDArray[Any]
) -> tuple[int, NDArray[Any]]:
    """Count for ``users[first:last]``; return the first of them with a NaN, or -1, and the counts."""
    _, _, items, out_bounds, out_items = positives
    users, bounds = positives.users[first:last], positives.bounds[first : last + 1]
    own = frozen(items[bounds[0] : bounds[-1]])
    bounds = frozen(bounds - bounds[0])
    # Counters as wide as a score, so that one vector instruction serves both.
    counts = np.empty((3, len(own)), f"i{scores.itemsize}")
    most = int((out_bounds[users + 1] - out_bounds[users]).max(initial=0))
    out_scores = np.empty(most, scores.dtype)
    one = frozen(np.ones(1, counts.dtype))
    wrong = int(_sweep(scores, users, bounds, own, out_bounds, out_items, out_scores, one, counts))
    if wrong >= 0:
        return first + wrong, counts
    for r in np.flatnonzero(np.diff(bounds) > _MANY):
        out = out_items[out_bounds[users[r]] : out_bounds[users[r] + 1]]
        mine = slice(bounds[r], bounds[r + 1])
        for line, each in zip(counts, _count_by_sorting(scores[r], own[mine], out), strict=True):
            line[mine] = each
    return -1, counts


@kernel
def _drop_common(bounds, items, out_bounds, out_items, kept):  # type: ignore[no-untyped-def]
    """Set `kept` to whether an item is absent from the same row of `out_items`."""
    for user in range(bounds.shape[0] - 1):
        e, end = out_bounds[user], out_bounds[user + 1]
        for p in range(bounds[user], bounds[user + 1]):
            while e < end and out_items[e] < items[p]:
                e += 1
            kept[p] = e == end or out_items[e] != items[p]


@kernel
def _sweep(scores, users, bounds, items, out_bounds, out_items, out_scores, one, counts):  # type: ignore[no-untyped-def]
    """Fill `counts` for users with few positives; return the first row with a NaN, or -1."""
    for r in range(scores.shape[0]):
        row, first, last = scores[r], bounds[r], bounds[r + 1]
        if last - first > _MANY:
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
        out = out_items[out_bounds[users[r]] : out_bounds[users[r] + 1]]
        for e in range(out.shape[0]):
            out_scores[e] = row[out[e]]
        n_lower = 0
        for p in range(first, last):
            score = row[items[p]]
            greater, equal = _compare(out_scores[: out.shape[0]], score, one)
            counts[0, p] -= greater
            counts[1, p] -= equal + 1
            if counts[1, p] > 0:
                while n_lower < out.shape[0] and out[n_lower] < items[p]:
                    n_lower += 1
                _, equal = _compare(row[: items[p]], score, one)
                _, out_equal = _compare(out_scores[:n_lower], score, one)
                counts[2, p] = equal - out_equal
    return -1


# Both loops count in the integer type of `one`, cast back at each step because Numba would widen it
# to int64 and halve the speed. They index slices from 0: LLVM vectorises nothing else. The 1 comes
# from memory because LLVM adds a truth value in two instructions, and an unknown number in one.


@part
def _compare(scores, score, one):  # type: ignore[no-untyped-def]
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
def _count_nan(scores, one):  # type: ignore[no-untyped-def]
    """Return how many scores are NaN."""
    whole, step = one.dtype.type, one[0]
    n_nan = whole(0)
    for i in range(scores.shape[0]):
        if scores[i] != scores[i]:
            n_nan = whole(n_nan + step)
    return n_nan


def _count_by_sorting(
    scores: NDArray[Any], items: NDArray[np.int32], out_items: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | int]:
    """Return greater, equal and lower of one user's positives, by sorting his scores."""
    candidates = np.delete(np.arange(len(scores)), out_items)
    scores = scores[candidates]
    places = np.searchsorted(candidates, items)
    ascending = np.sort(scores)
    left = np.searchsorted(ascending, scores[places], "left")
    right = np.searchsorted(ascending, scores[places], "right")
    equal = right - left - 1
    if not equal.any():
        return len(scores) - right, equal, 0
    position = np.empty(len(scores), np.int64)
    position[np.argsort(scores, kind="stable")] = np.arange(len(scores))
    return len(scores) - right, equal, position[places] - left
