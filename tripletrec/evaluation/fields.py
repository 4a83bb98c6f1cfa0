"""The candidates that a user's positives are ranked among: all items, some, or a sample.

A field has columns of its own: of some candidates for all users the scores of these alone, of candidates of
each user the scores of the user's own side by side, filled up to one width. Positives and what is left out
are renumbered accordingly. So all counts cost what the candidates cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_random_state
from tripletrec._runtime.arrays import read_only
from tripletrec.data.checks import check_scores
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.space import check_same_space
from tripletrec.evaluation.protocol import EvaluationProtocol
from tripletrec.ranking.candidates import read_candidates
from tripletrec.ranking.ranks import RankedPositives, absent_from, positives_of
from tripletrec.ranking.scores import LIMITS, Restrictable
from tripletrec.ranking.top_k import side_by_side
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    from tripletrec.ranking.scores import ScoreUsers

__all__ = ["Field", "asked_candidates", "field_of"]


class Field(NamedTuple):
    """What is scored, and where the positives are in it.

    Parameters
    ----------
    score_users : callable
        Rows -> scores of shape (len(rows), width).
    width : int
    kept : bool array of shape (nnz,)
        Which positives of the test are ranked.
    positives : RankedPositives
        Their columns, and the columns that are left out.
    n_ranked : int64 array of shape (n_users,)
        How many candidates each user has, without what is left out.
    candidates : int64 array, ItemsOfUsers or None
        Those of all users or of each, without the items that are left out for all; None: all items.
    asked : int64 array, ItemsOfUsers or None
        The candidates with these items.
    """

    score_users: ScoreUsers
    width: int
    kept: NDArray[np.bool_]
    positives: RankedPositives
    n_ranked: NDArray[np.int64]
    candidates: NDArray[np.int64] | ItemsOfUsers | None
    asked: NDArray[np.int64] | ItemsOfUsers | None = None

    def candidates_of(
        self, users: NDArray[np.int64]
    ) -> NDArray[np.int64] | list[NDArray[np.int64]] | None:
        """Return the candidates of some users, as `top_k` takes them."""
        if not isinstance(self.candidates, ItemsOfUsers):
            return self.candidates
        own = self.candidates.of(users)
        return np.split(own.indices.astype(np.int64), own.indptr[1:-1])


def field_of(
    score_users: ScoreUsers,
    test: Interactions,
    out: ItemsOfUsers,
    gone: NDArray[np.int64],
    protocol: EvaluationProtocol,
) -> Field:
    """Return the field that is asked for, without pairs and items that are left out."""
    candidates = asked_candidates(protocol.candidates, test)
    if protocol.sampled is not None:
        if candidates is not None:
            raise ValueError(
                "sampled must be None where candidates are given, for it draws the candidates itself, got "
                f"{protocol.sampled}"
            )
        candidates = _sample(test, out, gone, protocol)
    left = _without(candidates, gone, test.n_items)
    return _field_within(score_users, test, out, left)._replace(asked=candidates)


def _without(
    candidates: NDArray[np.int64] | ItemsOfUsers | None, gone: NDArray[np.int64], n_items: int
) -> NDArray[np.int64] | ItemsOfUsers | None:
    if not len(gone):
        return candidates
    if isinstance(candidates, ItemsOfUsers):
        return candidates.without(gone)
    return np.setdiff1d(np.arange(n_items) if candidates is None else candidates, gone)


def _field_within(
    score_users: ScoreUsers,
    test: Interactions,
    out: ItemsOfUsers,
    candidates: NDArray[np.int64] | ItemsOfUsers | None,
) -> Field:
    if candidates is None:
        kept = absent_from(out.indptr, out.indices, test.indptr, test.indices)
        positives = _positives(test, kept, test.indices[kept], out)
        n_ranked = test.n_items - np.diff(out.indptr)
        return Field(score_users, test.n_items, kept, positives, n_ranked, None)
    if isinstance(candidates, ItemsOfUsers):
        return _field_of_own(score_users, test, out, candidates)
    return _field_of_some(score_users, test, out, candidates)


def asked_candidates(
    candidates: Any, test: Interactions
) -> NDArray[np.int64] | ItemsOfUsers | None:
    """Return the candidates that are asked for: of all users or of each; None: all items."""
    if candidates is None:
        return None
    if _is_matrix(candidates):
        data = as_interactions(candidates, "candidates")
        check_same_space(data.space, test.space, "candidates", "test")
        return ItemsOfUsers(data.indptr, data.indices)
    read = read_candidates(candidates, test._items, test.n_users, "users of test")
    if read.own is None:
        return read.shared
    bounds = np.concatenate(([0], np.cumsum([len(each) for each in read.own])))
    return ItemsOfUsers(bounds, np.concatenate(read.own).astype(np.int32))


def _is_matrix(candidates: Any) -> bool:
    """Tell pairs of users and items from lists of ids, which an array of two dimensions may be, too."""
    if isinstance(candidates, Interactions) or hasattr(candidates, "tocsr"):
        return True
    if not hasattr(candidates, "dtype"):  # a DataFrame has none
        return False
    return getattr(candidates, "ndim", 0) == 2 and candidates.dtype == bool


def _sample(
    test: Interactions, out: ItemsOfUsers, gone: NDArray[np.int64], protocol: EvaluationProtocol
) -> ItemsOfUsers:
    """Return of each user with positives these and some other items, drawn from what is not left out."""
    n = check_count(protocol.sampled, "sampled")
    rng = np.random.default_rng(check_random_state(protocol.random_state))
    lists: list[NDArray[np.int64]] = []
    lengths = np.zeros(test.n_users, np.int64)
    for user in np.flatnonzero(np.diff(test.indptr)).tolist():
        own = test.indices[test.indptr[user] : test.indptr[user + 1]]
        own_out = out.indices[out.indptr[user] : out.indptr[user + 1]]
        taken = np.unique(np.concatenate([own, own_out, gone]))
        n_free = test.n_items - len(taken)
        drawn = rng.choice(n_free, min(n, n_free), replace=False, shuffle=False)
        # The number of a free item, among all: more by the items before it that are taken.
        drawn += np.searchsorted(taken - np.arange(len(taken)), drawn, side="right")
        lists.append(np.sort(np.concatenate([own, drawn])))
        lengths[user] = len(lists[-1])
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    return ItemsOfUsers(indptr, np.concatenate(lists).astype(np.int32))


def _field_of_some(
    score_users: ScoreUsers, test: Interactions, out: ItemsOfUsers, chosen: NDArray[np.int64]
) -> Field:
    column = np.full(test.n_items, -1, np.int32)
    column[chosen] = np.arange(len(chosen), dtype=np.int32)
    inside = column[out.indices] >= 0
    narrow = ItemsOfUsers(_bounds(out.indptr, inside), column[out.indices[inside]])
    kept = absent_from(out.indptr, out.indices, test.indptr, test.indices)
    kept &= column[test.indices] >= 0
    if isinstance(score_users, Restrictable):
        score: ScoreUsers = score_users.restricted(chosen)
    else:

        def some(rows: NDArray[np.int64]) -> NDArray[Any]:
            return check_scores(score_users(rows), (len(rows), test.n_items))[:, chosen]

        score = _batched(some, test.n_items)

    positives = _positives(test, kept, column[test.indices[kept]], narrow)
    n_ranked = len(chosen) - np.diff(narrow.indptr)
    return Field(score, len(chosen), kept, positives, n_ranked, chosen)


def _field_of_own(
    score_users: ScoreUsers, test: Interactions, out: ItemsOfUsers, own: ItemsOfUsers
) -> Field:
    n_items, sizes = test.n_items, np.diff(own.indptr)
    width = int(sizes.max(initial=0))
    places = _places(own, test.indptr, test.indices, n_items)
    kept = absent_from(out.indptr, out.indices, test.indptr, test.indices) & (places >= 0)
    out_places = _places(own, out.indptr, out.indices, n_items)
    inside = out_places >= 0
    out_bounds = _bounds(out.indptr, inside)
    n_ranked = sizes - np.diff(out_bounds)
    # What a row is filled up with is left out, too.
    more = width - sizes
    bounds = out_bounds + np.concatenate(([0], np.cumsum(more)))
    narrow = np.empty(bounds[-1], np.int32)
    rows = np.repeat(np.arange(len(sizes)), np.diff(out_bounds))
    narrow[np.arange(len(rows)) + (bounds[:-1] - out_bounds[:-1])[rows]] = out_places[inside]
    rows = np.repeat(np.arange(len(sizes)), more)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(more) - more, more)
    narrow[(bounds[:-1] + np.diff(out_bounds))[rows] + nth] = sizes[rows] + nth

    def score(rows: NDArray[np.int64]) -> NDArray[Any]:
        mine = own.of(rows)
        items = mine.indices.astype(np.int64)
        if isinstance(score_users, Restrictable):
            scores = score_users.own(rows, items, mine.indptr)
        else:
            scores = check_scores(score_users(rows), (len(rows), n_items))
            scores = side_by_side(scores, items, mine.indptr)
        if scores.shape[1] == width:
            return scores
        found = np.full((len(rows), width), -np.inf, scores.dtype)
        found[:, : scores.shape[1]] = scores
        return found

    positives = _positives(test, kept, places[kept].astype(np.int32), ItemsOfUsers(bounds, narrow))
    field = Field(score, width, kept, positives, n_ranked, own)
    if isinstance(score_users, Restrictable):
        return field
    return field._replace(score_users=_batched(score, n_items))


def _batched(score: ScoreUsers, n_items: int) -> ScoreUsers:
    """Return a function that scores few users at once, as it scores all items for each of them."""
    size = LIMITS.batch_size(n_items)

    def score_batches(rows: NDArray[np.int64]) -> NDArray[Any]:
        if len(rows) <= size:
            return score(rows)
        return np.concatenate([score(rows[n : n + size]) for n in range(0, len(rows), size)])

    return score_batches


def _places(
    own: ItemsOfUsers, bounds: NDArray[np.int64], items: NDArray[np.int32], n_items: int
) -> NDArray[np.int64]:
    """Return of items of each user which of the user's own candidates they are; -1: none."""
    if not len(own.indices):
        return np.full(len(items), -1)
    keys = np.repeat(np.arange(own.n_users) * n_items, np.diff(own.indptr)) + own.indices
    rows = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    wanted = rows * n_items + items
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at - own.indptr[:-1][rows], -1)


def _bounds(bounds: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where the rows begin of what is kept."""
    found: NDArray[np.int64] = np.concatenate(([0], np.cumsum(kept)))[bounds]
    return found


def _positives(
    test: Interactions, kept: NDArray[np.bool_], columns: NDArray[np.int32], out: ItemsOfUsers
) -> RankedPositives:
    out_of_all = read_only(out.indptr), read_only(out.indices)
    return positives_of(_bounds(test.indptr, kept), columns, *out_of_all)
