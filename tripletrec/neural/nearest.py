"""The negative whose features are nearest to a positive's: precomputed, block by block.

Of two items with nearly the same features a model learns what features cannot tell apart; a training
on such negatives alone learns little else (see the reference system K6). They are best mixed with
random ones: ``sampler=tripletrec.sampling.nearest(share=...)`` of `TwoTower`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._runtime.jit import kernel
from tripletrec.data.features import as_feature_matrix
from tripletrec.data.interactions import as_interactions
from tripletrec.sampling.draw import contains

__all__ = ["nearest_negatives"]

_BLOCK = 1 << 22  # similarities at once, 16 MB


@cache
def _build_pick() -> Any:

    @kernel
    def pick(  # type: ignore[no-untyped-def]
        order, users, items, first, similarity, neighbours, indptr, indices, given_indptr, given,
        negatives,
    ):  # fmt: skip
        """Note the nearest negative of the positives `order`, whose items start at `first`."""
        for n in range(order.shape[0]):
            e = order[n]
            u, row = users[e], items[e] - first
            if given_indptr.shape[0] > 0:
                best = -np.inf
                for g in range(given_indptr[u], given_indptr[u + 1]):
                    if similarity[row, given[g]] > best:
                        best = similarity[row, given[g]]
                        negatives[e] = given[g]
                continue
            for m in range(neighbours.shape[1]):
                item = neighbours[row, m]
                if not contains(indices, indptr[u], indptr[u + 1], item):
                    negatives[e] = item
                    break

    return pick


def nearest_negatives(
    positives: Any, item_features: Any, dislikes: Any = None, *, n_neighbors: int = 100
) -> NDArray[np.int32]:
    """Return for each positive the negative item whose features are nearest by the cosine.

    Parameters
    ----------
    positives : Interactions, sparse matrix or array of shape (n_users, n_items)
    item_features : sparse matrix or array of shape (n_items, n_columns)
    dislikes : as `positives`, default None
        The nearest of the user's own dislikes is taken. None: the nearest item that the user is not
        known to like, among the `n_neighbors` nearest of all.
    n_neighbors : int, default 100

    Returns
    -------
    int32 array of shape (nnz,)
        In the order of the positives (by user, items ascending); -1 where there is none. Of equally
        near items the lowest is taken.

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
    n_kept = min(check_count(n_neighbors, "n_neighbors"), n_items)
    given_indptr, given = np.empty(0, np.int64), np.empty(0, np.int32)
    if dislikes is not None:
        own = as_interactions(dislikes, "dislikes")
        if own.shape != data.shape:
            raise ValueError(f"dislikes must have shape {data.shape}, got {own.shape}")
        given_indptr, given = own.indptr.astype(np.int64), np.array(own.indices)
    scale = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)).ravel())
    features = features.multiply(1.0 / np.where(scale > 0.0, scale, 1.0)[:, None]).tocsr()
    by_item = np.argsort(data.indices, kind="stable")
    bounds = np.searchsorted(data.indices[by_item], np.arange(n_items + 1))
    known = data.indptr.astype(np.int64), np.array(data.indices)
    columns = (np.array(data.rows), np.array(data.indices))
    negatives = np.full(data.nnz, -1, np.int32)
    n_rows = max(1, _BLOCK // n_items)
    for first in range(0, n_items, n_rows):
        last = min(first + n_rows, n_items)
        similarity = (features[first:last] @ features.T).toarray().astype(np.float32)
        nearest = np.zeros((0, 0), np.int64)
        if dislikes is None:
            nearest = _nearest(similarity, n_kept)
        _build_pick()(
            by_item[bounds[first] : bounds[last]], *columns, first, similarity, nearest, *known,
            given_indptr, given, negatives,
        )  # fmt: skip
    return negatives


def _nearest(similarity: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return the `n` highest columns of each row, highest first, of equal ones the lowest first."""
    cut = np.argpartition(-similarity, n - 1, axis=1)[:, :n]
    cut.sort(axis=1)
    order = np.argsort(-np.take_along_axis(similarity, cut, axis=1), axis=1, kind="stable")
    return np.take_along_axis(cut, order, axis=1)
