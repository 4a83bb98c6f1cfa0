"""For each positive, the negative item whose features are nearest; how items are drawn is in `sampling`.

From two items with nearly the same features a model learns what features do not show; from such negatives
alone it learns little else (see the reference system K6). They are best mixed with random ones:
``sampler=tripletrec.sampling.nearest(share=...)`` of `TwoTower`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import kernel
from tripletrec.data.features import as_feature_matrix
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.sampling.draw import contains

__all__ = ["nearest_negatives"]


class _Pairs(NamedTuple):
    """Pairs of user and item, by user."""

    indptr: NDArray[np.int64]
    users: NDArray[np.int32]
    items: NDArray[np.int32]


@kernel
def _pick_unknown(chosen, positives, first, neighbours, negatives):
    """For the positives `chosen`, pick the nearest item that the user is not known to like.

    ``neighbours[r]`` are the items nearest to item ``first + r``, in that order.
    """
    items = positives.items
    for n in range(chosen.shape[0]):
        p = chosen[n]
        user, row = positives.users[p], items[p] - first
        for m in range(neighbours.shape[1]):
            item = neighbours[row, m]
            if not contains(items, positives.indptr[user], positives.indptr[user + 1], item):
                negatives[p] = item
                break


@kernel
def _pick_disliked(chosen, positives, dislikes, first, similarity, negatives):
    """For the positives `chosen`, pick the nearest of the user's dislikes.

    ``similarity[r]`` is that of item ``first + r`` with all items.
    """
    for n in range(chosen.shape[0]):
        p = chosen[n]
        user, row = positives.users[p], positives.items[p] - first
        best = -np.inf
        for d in range(dislikes.indptr[user], dislikes.indptr[user + 1]):
            item = dislikes.items[d]
            if similarity[row, item] > best:
                best = similarity[row, item]
                negatives[p] = item


def nearest_negatives(
    positives: Any,
    item_features: Any,
    dislikes: Any = None,
    *,
    items: NDArray[np.integer] | None = None,
    n_neighbors: int = 100,
    max_similarities: int = 1 << 22,
) -> NDArray[np.int32]:
    """Return for each positive the negative item whose features have the highest cosine with the item's.

    Parameters
    ----------
    positives : Interactions, sparse matrix or array of shape (n_users, n_items)
    item_features : sparse matrix or array of shape (n_items, n_columns)
    dislikes : as `positives`, default None
        The negative is the nearest of the user's own dislikes; where there are none, it is the nearest of
        `items` that the user is not known to like, among the `n_neighbors` nearest of them.
    items : int array, default None
        In ascending order; None: all.
    n_neighbors : int, default 100
    max_similarities : int, default 2**22
        How many to compute at once, of four bytes each; does not change the result.

    Returns
    -------
    int32 array of shape (nnz,)
        In the order of the positives (by user, items ascending); -1 where there is none. Of equally
        near items it is the one with the lowest number.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.neural.nearest import nearest_negatives
    >>> genres = np.array([[1, 0], [1, 0.1], [0, 1]])
    >>> nearest_negatives(np.array([[1, 0, 0]]), genres)
    array([1], dtype=int32)
    >>> nearest_negatives(np.array([[1, 0, 0]]), genres, dislikes=np.array([[0, 0, 1]]))
    array([2], dtype=int32)
    """
    data = as_interactions(positives, "positives")
    features = as_feature_matrix(item_features, "item_features")
    n_items = data.n_items
    if features.shape[0] != n_items:
        raise ValueError(f"item_features must have {n_items} rows, got {features.shape[0]}")
    pool = np.arange(n_items) if items is None else np.asarray(items)
    n_kept = min(check_count(n_neighbors, "n_neighbors"), len(pool))
    n_rows = max(1, check_count(max_similarities, "max_similarities") // n_items)
    disliked, dislikes_any = None, np.zeros(data.n_users, bool)
    if dislikes is not None:
        disliked = _pairs(as_interactions(dislikes, "dislikes", data.space, "positives"))
        dislikes_any = np.diff(disliked.indptr) > 0
    scale = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)).ravel())
    features = features.multiply(1.0 / np.where(scale > 0.0, scale, 1.0)[:, None]).tocsr()
    by_item = np.argsort(data.indices, kind="stable")
    bounds = np.searchsorted(data.indices[by_item], np.arange(n_items + 1))
    liked, negatives = _pairs(data), np.full(data.nnz, -1, np.int32)
    for first in range(0, n_items, n_rows):
        last = min(first + n_rows, n_items)
        chosen = by_item[bounds[first] : bounds[last]]
        similarity = (features[first:last] @ features.T).toarray().astype(np.float32, copy=False)
        has = dislikes_any[data.rows[chosen]]
        if disliked is not None:
            _pick_disliked(chosen[has], liked, disliked, first, similarity, negatives)
        if not has.all():
            among = similarity if items is None else similarity[:, pool]
            neighbours = pool[_nearest(among, n_kept)]
            _pick_unknown(chosen[~has], liked, first, neighbours, negatives)
    return negatives


def _pairs(data: Interactions) -> _Pairs:
    return _Pairs(read_only(data.indptr), read_only(data.rows), read_only(data.indices))


def _nearest(similarity: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return the `n` columns of each row with the highest values, in that order, of equal ones the first."""
    cut = np.argpartition(-similarity, n - 1, axis=1)[:, :n]
    cut.sort(axis=1)
    order = np.argsort(-np.take_along_axis(similarity, cut, axis=1), axis=1, kind="stable")
    return np.take_along_axis(cut, order, axis=1)
