"""The exact best items of each user, from the scores of a batch of users at a time.

Every score is looked at once. A chunk at a time is compared with the worst score of the list so
far, a min-heap of ``k`` items, and only what beats it enters. That is rare: of ``n`` scores in
random order about ``k * (1 + ln(n / k))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tripletrec._checks import check_count, check_n_jobs
from tripletrec._runtime.arrays import distinct, read_only
from tripletrec._runtime.jit import kernel, part
from tripletrec.data.checks import check_positions, check_scores
from tripletrec.ranking.plain import best_of_row
from tripletrec.ranking.products import Products, budget
from tripletrec.ranking.scores import (
    LIMITS,
    BatchLimits,
    Restrictable,
    ScoreUsers,
    map_batches,
    refuse_nan,
    run_batches,
)

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions

__all__ = ["side_by_side", "top_k"]

# Measured: shorter chunks cost more to start than they save in the ones that hold a better score.
_CHUNK = 64


def top_k(
    score_users: ScoreUsers,
    rows: ArrayLike,
    n_items: int,
    k: int,
    *,
    exclude: Interactions | tuple[NDArray[np.int64], NDArray[np.int32]] | None = None,
    candidates: ArrayLike | Sequence[ArrayLike] | None = None,
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
    exclude : Interactions or tuple of two arrays, optional
        One row per user that `rows` may name: items to leave out for that user. Or row pointers, int64 of
        shape (n + 1,), and rising items, int32: what each of `rows` leaves out, in their order.
    candidates : array-like of int, or list of n of them, optional
        The items to choose from: of all rows, or of each row its own; None: all. Where `score_users` is
        `Restrictable`, only these are scored.
    n_jobs : int, optional
        Number of threads; None: one where there is little to do, else all cores; -1: all cores.
        The result does not depend on it.
    limits : BatchLimits
        How many users are scored at once. The result does not depend on it either.

    Returns
    -------
    items : ndarray of int64 of shape (n, min(k, number of distinct candidates))
        Sorted by falling score, equal scores by rising item. -1 where exclusions leave fewer, or a row has
        fewer candidates than another.
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
    rows = check_positions(rows, "rows").astype(np.int64, copy=False)
    out, places = _exclusions(exclude, rows)
    if _one_each(candidates):
        own = _own_candidates(candidates, len(rows), n_items)
        return _top_k_of_own(score_users, rows, n_items, k, own, out, places, n_jobs, limits)
    chosen = _ALL
    if candidates is not None:
        chosen = _candidates(candidates, n_items)
        if isinstance(score_users, Restrictable):
            score_users, n_items = score_users.restricted(chosen), len(chosen)
    k = min(k, n_items if candidates is None else len(chosen))
    n_jobs = check_n_jobs(n_jobs, work=10.0 * len(rows) * n_items)
    found = _in_numpy(score_users, rows, k, chosen, out, places)
    if found is not None:
        return found

    def select(
        first: int, last: int, scores: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        items, best = _empty_lists(last - first, k, scores.dtype)
        if candidates is not None and scores.shape[1] != len(chosen):
            scores = read_only(scores[:, chosen])
        if not _chosen_in_numpy(scores, chosen, out, places[first:last], best, items):
            row = _select(scores, chosen, *out, places[first:last], best, items)
            refuse_nan(rows[first:last], int(row))
        return items, best

    return _joined(map_batches(select, score_users, rows, n_items, n_jobs, limits), k)


# Row pointers and items where nothing is excluded, and the candidates where all items are.
_NOTHING = read_only(np.zeros(2, np.int64)), read_only(np.empty(0, np.int32))
_ALL = read_only(np.empty(0, np.int64))


def _in_numpy(
    score_users: ScoreUsers,
    rows: NDArray[np.int64],
    k: int,
    chosen: NDArray[np.int64],
    out: tuple[NDArray[np.int64], NDArray[np.int32]],
    places: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
    """Return the lists without a kernel, if that is cheaper; see `plain`."""
    if not isinstance(score_users, Products) or not k or not len(rows):
        return None
    if not budget.suffices(len(rows), score_users.n_items, score_users.n_factors):
        return None
    items, best = _empty_lists(len(rows), k, np.float32)
    for n, row in enumerate(rows.tolist()):
        left_out = _left_out(out, places[n], chosen)
        found = budget.spend(partial(score_users.best_in_numpy, row, k, left_out))
        if found is None:
            return None
        _enter(found, chosen, items[n], best[n])
    return _joined([(items, best)], k)


def _chosen_in_numpy(
    scores: NDArray[Any],
    chosen: NDArray[np.int64],
    out: tuple[NDArray[np.int64], NDArray[np.int32]],
    places: NDArray[np.int64],
    best: NDArray[Any],
    items: NDArray[np.int64],
) -> bool:
    """Do without a kernel what `_select` does, if that is cheaper and no score is NaN; else nothing."""
    n_rows, k = best.shape
    if not k or not budget.suffices_to_choose(n_rows, scores.shape[1]) or np.isnan(scores).any():
        return False
    for n in range(n_rows):
        row = scores[n].copy()
        row[_left_out(out, places[n], chosen)] = -np.inf
        found = budget.spend(partial(best_of_row, row, 0.0, k, row.take))
        if found is None:
            items[:n], best[:n] = _empty_lists(n, k, best.dtype)
            return False
        _enter(found, chosen, items[n], best[n])
    return True


def _left_out(
    out: tuple[NDArray[np.int64], NDArray[np.int32]], place: int, chosen: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the columns of what a row leaves out, among the candidates where there are some."""
    bounds, excluded = out
    left_out: NDArray[Any] = excluded[bounds[place] : bounds[place + 1]]
    if len(chosen):
        at = np.searchsorted(chosen, left_out)
        left_out = at[chosen[np.minimum(at, len(chosen) - 1)] == left_out]
    return left_out


def _enter(
    found: tuple[NDArray[np.int64], NDArray[Any]],
    chosen: NDArray[np.int64],
    items: NDArray[np.int64],
    best: NDArray[Any],
) -> None:
    """Write columns and their scores into the list of a row."""
    m = len(found[0])
    items[:m], best[:m] = chosen[found[0]] if len(chosen) else found[0], found[1]


def _exclusions(
    exclude: Any, rows: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int32]], NDArray[np.int64]]:
    """Return row pointers and items to be left out, and which of these rows each of `rows` has."""
    if exclude is None:
        return _NOTHING, np.zeros_like(rows)
    if isinstance(exclude, tuple):
        bounds, items = exclude
        return (read_only(bounds), read_only(items)), np.arange(len(rows))
    check_positions(rows, "rows", exclude.n_users)
    return (read_only(exclude.indptr), read_only(exclude.indices)), rows


def _one_each(candidates: Any) -> TypeGuard[Sequence[ArrayLike]]:
    """Tell whether these are candidates of each row, rather than of all."""
    return (
        isinstance(candidates, (list, tuple))
        and len(candidates) > 0
        and all(hasattr(each, "__len__") and not isinstance(each, str) for each in candidates)
    )


def _candidates(candidates: Any, n_items: int) -> NDArray[np.int64]:
    # Sorted, so that among equal scores the lowest item comes first.
    return read_only(distinct(check_positions(candidates, "candidates", n_items)))


def _own_candidates(
    candidates: Sequence[ArrayLike], n_rows: int, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the candidates of all rows, those of each row rising, and where each row's begin."""
    if len(candidates) != n_rows:
        raise ValueError(
            f"candidates must be one list for all, or one for each of the {n_rows} users, got "
            f"{len(candidates)} lists"
        )
    lists = [check_positions(each, "candidates") for each in candidates]
    items = check_positions(np.concatenate(lists), "candidates", n_items)
    row = np.repeat(np.arange(n_rows), [len(each) for each in lists])
    row, items = np.divmod(distinct(row * n_items + items), max(1, n_items))
    return items, np.searchsorted(row, np.arange(n_rows + 1))


def _top_k_of_own(
    score_users: ScoreUsers,
    rows: NDArray[np.int64],
    n_items: int,
    k: int,
    own: tuple[NDArray[np.int64], NDArray[np.int64]],
    out: tuple[NDArray[np.int64], NDArray[np.int32]],
    places: NDArray[np.int64],
    n_jobs: int | None,
    limits: BatchLimits,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the best of each row's own candidates, as `top_k` does."""
    chosen, bounds = own
    widest = int(np.diff(bounds).max(initial=0))
    k = min(k, widest)
    width = max(1, widest if isinstance(score_users, Restrictable) else n_items)
    n_jobs = check_n_jobs(n_jobs, work=10.0 * len(rows) * width)
    n_rows = limits.batch_size(width)

    def work(first: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        users, ends = rows[first : first + n_rows], bounds[first : first + n_rows + 1]
        mine = chosen[ends[0] : ends[-1]]
        if isinstance(score_users, Restrictable):
            scores = score_users.own(users, mine, ends - ends[0])
        else:
            scores = check_scores(score_users(users), (len(users), n_items))
            scores = side_by_side(scores, mine, ends - ends[0])
        items, best = _empty_lists(len(users), k, scores.dtype)
        row = _select_own(
            read_only(scores), read_only(mine), read_only(ends - ends[0]), *out,
            places[first : first + n_rows], best, items,
        )  # fmt: skip
        refuse_nan(users, int(row))
        return items, best

    many = isinstance(score_users, Products) and len(rows) * width >= limits.min_shared
    lists = run_batches(work, range(0, len(rows), n_rows), n_jobs if many else 1)
    return _joined(lists, k)


def side_by_side(
    scores: NDArray[Any], items: NDArray[np.int64], bounds: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the scores of each row's own items, filled up with -inf; see `Products.own`."""
    sizes = np.diff(bounds)
    inside = np.arange(sizes.max(initial=0)) < sizes[:, None]
    found = np.full(inside.shape, -np.inf, scores.dtype)
    found[inside] = scores[np.repeat(np.arange(len(sizes)), sizes), items]
    return found


def _empty_lists(n: int, k: int, dtype: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    return np.full((n, k), np.iinfo(np.int64).max), np.full((n, k), -np.inf, dtype)


def _joined(
    lists: list[tuple[NDArray[np.int64], NDArray[Any]]], k: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    if not lists:
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    items, best = lists[0] if len(lists) == 1 else map(np.concatenate, zip(*lists, strict=True))
    items[best == -np.inf] = -1
    return items, best


@kernel
def _select(scores, candidates, bounds, excluded, rows, best, items):
    """Fill `best` (all -inf) and `items`; return the first row with a NaN, or -1.

    Without candidates the items are 0, 1, 2 …
    """
    for r in range(scores.shape[0]):
        e, end = bounds[rows[r]], bounds[rows[r] + 1]
        if _select_row(scores[r], candidates, excluded, e, end, best[r], items[r]):
            return r
    return -1


@kernel
def _select_own(scores, candidates, starts, bounds, excluded, rows, best, items):
    """Do the same where row r has the candidates ``starts[r]`` to ``starts[r + 1]``, scored in order."""
    for r in range(scores.shape[0]):
        first, last, e, end = starts[r], starts[r + 1], bounds[rows[r]], bounds[rows[r] + 1]
        row, mine = scores[r, : last - first], candidates[first:last]
        if _select_row(row, mine, excluded, e, end, best[r], items[r]):
            return r
    return -1


@part
def _select_row(row, candidates, excluded, e, end, heap, held):
    """Fill the list of one row; return whether there is a NaN."""
    named = candidates.shape[0] > 0
    for start in range(0, row.shape[0], _CHUNK):
        chunk = row[start : start + _CHUNK]
        if not _any_above(chunk, heap[0]):
            continue
        for c in range(chunk.shape[0]):
            score, item = chunk[c], start + c
            if score <= heap[0]:
                continue
            if np.isnan(score):
                return True
            if named:
                item = candidates[item]
            # Items come in rising order, so one walk over the excluded ones is enough.
            while e < end and excluded[e] < item:
                e += 1
            if e == end or excluded[e] != item:
                _sift_down(heap, held, score, item)
    for last in range(heap.shape[0] - 1, 0, -1):
        score, item = heap[last], held[last]
        heap[last], held[last] = heap[0], held[0]
        _sift_down(heap[:last], held[:last], score, item)
    return False


@part
def _any_above(scores, threshold):
    # Written as "not <=", so that a NaN is above any threshold and cannot slip through. A sum
    # instead of an early exit, because only that becomes vector instructions.
    above = np.int32(0)
    for i in range(scores.shape[0]):
        above = np.int32(above + (not scores[i] <= threshold))
    return above > 0


@part
def _sift_down(scores, items, score, item):
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
