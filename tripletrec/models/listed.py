"""How often the items of fitted models were taken, and in how many lists they are; `plots` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.interactions import Interactions
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.popularity import Popularity
from tripletrec.ranking.exclusion import known_seen, padded, union

__all__ = ["item_counts", "item_ids", "popularity_of", "taken_and_listed"]


def taken_and_listed(
    model: Any, k: int, exclude: Any = "seen"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many users took each item in training, and in how many lists it is.

    Parameters
    ----------
    model : fitted model
    k : int
        Length of the lists.
    exclude : "seen", None, interactions, item ids or ("seen", one of the last two), default "seen"
        What is left out of the lists.

    Returns
    -------
    taken, listed : int64 arrays of shape (n_items,)

    Raises
    ------
    ValueError
        If the model does not know what it was trained on.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(data)
    >>> taken, listed = taken_and_listed(model, k=5)
    >>> int(taken.sum()), int(listed.sum())
    (3000, 995)
    """
    check_is_fitted(model)
    seen, n_items = known_seen(model), model.n_items_
    users = np.flatnonzero(np.diff(seen.indptr))
    users = users if model.user_ids_ is None else model.user_ids_[users]
    ids, scores = model.recommend(users, k=k, exclude=exclude)
    kept = np.isfinite(scores)
    rows = model._items().rows(ids[kept])
    return item_counts(model), np.bincount(rows, minlength=n_items)


def item_ids(model: Any) -> NDArray[Any]:
    """Return the ids of a model's items, in the order of their rows.

    Parameters
    ----------
    model : fitted model

    Returns
    -------
    array of shape (n_items,)

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(20, 10, 50, random_state=0)
    >>> item_ids(tr.Popularity().fit(data)).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    ids: NDArray[Any] | None = model.item_ids_
    return np.arange(model.n_items_) if ids is None else ids


def item_counts(model: Any) -> NDArray[np.int64]:
    """Return how many users took each item in training; 0 for items that were added.

    Parameters
    ----------
    model : fitted model

    Returns
    -------
    int64 array of shape (n_items,)
    """
    counts: NDArray[np.int64] = model.item_counts_
    return np.pad(counts, (0, model.n_items_ - len(counts)))


def popularity_of(models: Sequence[Any]) -> Any:
    """Return what ranks items by how many users had them in training: the least that models have to beat.

    Of models that were trained on other events it is the highest number, and what any of them has seen is
    left out, so that their order means nothing.

    Parameters
    ----------
    models : sequence of fitted models
        Of the same users and items.

    Returns
    -------
    Popularity or tuple of arrays
        Factors, which leave nothing out, where no model says what it was trained on.

    Examples
    --------
    >>> import tripletrec as tr
    >>> models = [tr.Popularity().fit(np.array(each)) for each in ([[1, 1], [0, 0]], [[0, 1], [0, 1]])]
    >>> popularity_of(models).item_popularity_.tolist()
    [1.0, 2.0]
    """
    first, counts = models[0], np.max([each._item_counts() for each in models], axis=0)
    n_users, n_items = first.n_users_, first.n_items_
    known = [each.seen_ for each in models if each.seen_ is not None]
    if not known:
        return np.zeros((n_users, 1)), np.zeros((n_items, 1)), counts.astype(np.float64)
    seen = known[0]
    if seen.space.shape != (n_users, n_items) or any(each is not seen for each in known):
        pairs = union([padded(each, n_users) for each in known])
        seen = Interactions.from_arrays(
            np.repeat(np.arange(n_users), np.diff(pairs.indptr)),
            pairs.indices,
            shape=(n_users, n_items),
            user_ids=first.user_ids_,
            item_ids=first.item_ids_,
        )
    popular = Popularity().fit(seen)
    # Users who were added later have seen something, which nobody was trained on.
    popular.item_counts_, popular.item_popularity_ = counts, counts.astype(np.float32)
    return popular
