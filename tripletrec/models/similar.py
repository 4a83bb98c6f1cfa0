"""Which items are alike, and which users; what users are recommended is in `recommending`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec.data.ids import Ids, is_single
from tripletrec.models.fitted import Fitted, answer, present
from tripletrec.ranking.exclusion import known_rows
from tripletrec.ranking.products import Products
from tripletrec.ranking.top_k import top_k

__all__ = ["FindingSimilar"]


class FindingSimilar(Fitted):
    """What fitted models say of rows alone: `similar_items` and `similar_users`."""

    @answer
    def similar_items(
        self, items: Any, k: int = 10, candidates: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the items most similar to each given item, by the cosine of their factors.

        Parameters
        ----------
        items : id or sequence of n ids
        k : int, default 10
            How many; the item itself is left out.
        candidates : sequence or set of item ids, default None
            The only items to choose from; None: all.

        Returns
        -------
        ids : array of shape (n, width), or (m,) for a single item
            Best first, equal ones in the order of ``item_ids_``. The width is k, or the number of distinct
            candidates or of other items where that is smaller. A list that lacks an item, because the given
            one is a candidate, is filled up as by `recommend`.
        similarities : float32 array of the same shape
            Cosines, in [-1, 1].

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown (of the candidates too) or k is not positive.

        See Also
        --------
        similar_users : the same of users.
        explain : which items of a user a score comes from.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> model.similar_items(3, k=4)[0].shape
        (4,)
        """
        rows = self._items().rows(items)
        chosen = _chosen(self._items(), candidates)
        found = _similar(self._likeness("item"), rows, k, chosen, self.n_jobs)
        return present(*found, self.item_ids_, single=is_single(items))

    @answer
    def similar_users(
        self, users: Any, k: int = 10, candidates: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the users most similar to each given user, by the cosine of their factors.

        Parameters
        ----------
        users : id or sequence of n ids
        k : int, default 10
            How many; the user is left out.
        candidates : sequence or set of user ids, default None
            The only users to choose from; None: all.

        Returns
        -------
        ids, similarities : arrays of shape (n, width), or (m,) for a single user
            As of `similar_items`.

        Raises
        ------
        NotFittedError, ValueError
            As `similar_items`.

        See Also
        --------
        similar_items : the same of items.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> model.similar_users([0, 1], k=4)[0].shape
        (2, 4)
        """
        rows = self._users().rows(users)
        chosen = _chosen(self._users(), candidates)
        found = _similar(self._likeness("user"), rows, k, chosen, self.n_jobs)
        return present(*found, self.user_ids_, single=is_single(users))


def _chosen(ids: Ids, candidates: Any) -> NDArray[np.int64] | None:
    return None if candidates is None else known_rows(ids, candidates, "candidates")


def _similar(
    score: Products,
    rows: NDArray[np.int64],
    k: Any,
    candidates: NDArray[np.int64] | None,
    n_jobs: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    n, k = score.n_items, check_count(k, "k", most=None)
    k = max(1, min(k, n - 1))
    itself = np.arange(len(rows) + 1), rows.astype(np.int32)
    found, likeness = top_k(score, rows, n, k, exclude=itself, candidates=candidates, n_jobs=n_jobs)
    # In float32 the cosine of equal rows may be a little more than 1; what fills a list up is -inf.
    return found, np.clip(likeness, -1, 1, out=likeness, where=np.isfinite(likeness))
