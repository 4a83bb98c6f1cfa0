"""The exact best items of each user, from the scores of a batch of users at a time; models are not here.

Every score is looked at once. A chunk at a time is compared with the worst score of the list so
far, a min-heap of ``k`` items, and only what beats it enters. That is rare: of ``n`` scores in
random order about ``k * (1 + ln(n / k))``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tripletrec._checks import check_count, check_n_jobs
from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import kernel, part
from tripletrec.data.checks import check_positions
from tripletrec.ranking.scores import LIMITS, BatchLimits, ScoreUsers, map_batches, refuse_nan

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions
    from tripletrec.ranking.exclusion import Pairs

__all__ = ["top_k"]

# Measured: shorter chunks cost more to start than they save in the ones that hold a better score.
_CHUNK = 64


def top_k(
    score_users: ScoreUsers,
    rows: ArrayLike,
    n_items: int,
    k: int,
    *,
    exclude: Interactions | Pairs | None = None,
    candidates: ArrayLike | None = None,
    n_jobs: int | None = None,
    limits: BatchLimits = LIMITS,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the `k` best items of each row, best first.

    Parameters
    ----------
    score_users : callable
        int64 array of rows -> scores of shape (len(rows), n_items), float32 or float64. The
        scores are read, never written. Infinite scores are allowed.
    rows : array-like of int of shape (n,)
        The users to rank for; in any order, also more than once.
    n_items : int
        Number of columns of the scores.
    k : int
        Length of a list, at least 1; all, if there are fewer items to choose from.
    exclude : Interactions or Pairs, optional
        One row per user that `rows` may name: items to leave out for that user.
    candidates : array-like of int, optional
        The items to choose from; None: all.
    n_jobs : int, optional
        Number of threads; None: one where there is little to do, else all cores; -1: all cores.
        The result does not depend on it.
    limits : BatchLimits
        How many users are scored at once. The result does not depend on it either.

    Returns
    -------
    items : ndarray of int64 of shape (n, min(k, number of distinct candidates))
        Sorted by falling score, equal scores by rising item. -1 where exclusions leave fewer.
    scores : ndarray of the same shape
        In the dtype of the scores; -inf where the item is -1. An item that scores -inf is never
        returned.

    Raises
    ------
    ValueError
        If a score is NaN, or a row or candidate out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.ranking.top_k import top_k
    >>> scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.2]])
    >>> items, best = top_k(lambda rows: scores[rows], [0, 1], n_items=3, k=2)
    >>> items
    array([[1, 2],
           [0, 1]])
    """
    k = check_count(k, "k", most=None)
    rows = check_positions(rows, "rows").astype(np.int64)
    chosen = _candidates(candidates, n_items)
    k = min(k, len(chosen))
    if exclude is None:
        bounds, excluded = np.zeros(rows.max(initial=0) + 2, np.int64), np.empty(0, np.int32)
    else:
        check_positions(rows, "rows", exclude.n_users)
        bounds, excluded = exclude.indptr, exclude.indices
    bounds, excluded = read_only(bounds), read_only(excluded)
    n_jobs = check_n_jobs(n_jobs, work=10.0 * len(rows) * n_items)

    def select(
        first: int, last: int, scores: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        items = np.full((last - first, k), np.iinfo(np.int64).max)
        best = np.full((last - first, k), -np.inf, scores.dtype)
        if candidates is not None:
            scores = read_only(scores[:, chosen])
        users = rows[first:last]
        refuse_nan(users, int(_select(scores, chosen, bounds, excluded, users, best, items)))
        return items, best

    lists = map_batches(select, score_users, rows, n_items, n_jobs, limits)
    if not lists:
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    items, best = (np.concatenate(each) for each in zip(*lists, strict=True))
    items[best == -np.inf] = -1
    return items, best


def _candidates(candidates: ArrayLike | None, n_items: int) -> NDArray[np.int64]:
    if candidates is None:
        return read_only(np.arange(n_items))
    # Sorted, so that among equal scores the lowest item comes first.
    return read_only(np.unique(check_positions(candidates, "candidates", n_items)).astype(np.int64))


@kernel
def _select(scores, candidates, bounds, excluded, rows, best, items):  # type: ignore[no-untyped-def]
    """Fill `best` (all -inf) and `items`; return the first row with a NaN, or -1."""
    n_scores = scores.shape[1]  # none: a list of no item
    for r in range(scores.shape[0]):
        row, heap, held = scores[r], best[r], items[r]
        e, end = bounds[rows[r]], bounds[rows[r] + 1]
        for start in range(0, n_scores, _CHUNK):
            chunk = row[start : start + _CHUNK]
            if not _any_above(chunk, heap[0]):
                continue
            for c in range(chunk.shape[0]):
                score, item = chunk[c], candidates[start + c]
                if score <= heap[0]:
                    continue
                if np.isnan(score):
                    return r
                # Items come in rising order, so one walk over the excluded ones is enough.
                while e < end and excluded[e] < item:
                    e += 1
                if e == end or excluded[e] != item:
                    _sift_down(heap, held, score, item)
        for last in range(heap.shape[0] - 1, 0, -1):
            score, item = heap[last], held[last]
            heap[last], held[last] = heap[0], held[0]
            _sift_down(heap[:last], held[:last], score, item)
    return -1


@part
def _any_above(scores, threshold):  # type: ignore[no-untyped-def]
    # Written as "not <=", so that a NaN is above any threshold and cannot slip through. A sum
    # instead of an early exit, because only that becomes vector instructions.
    above = np.int32(0)
    for i in range(scores.shape[0]):
        above = np.int32(above + (not scores[i] <= threshold))
    return above > 0


@part
def _sift_down(scores, items, score, item):  # type: ignore[no-untyped-def]
    """Replace the root, the worst of a heap, by `item`; of equal scores a higher item is worse."""
    place, child = 0, 1
    while child < scores.shape[0]:
        other = child + 1
        if other < scores.shape[0] and (
            scores[other] < scores[child]
            or (scores[other] == scores[child] and items[other] > items[child])
        ):
            child = other
        if scores[child] > score or (scores[child] == score and items[child] < item):
            break
        scores[place], items[place] = scores[child], items[child]
        place, child = child, 2 * child + 1
    scores[place], items[place] = score, item
