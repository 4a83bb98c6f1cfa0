"""Which items are alike, and which users; what users are recommended is in `recommending`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec.data.ids import is_single
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.fitted import Fitted, present
from tripletrec.ranking.products import Products
from tripletrec.ranking.top_k import top_k

__all__ = ["Comparing"]


class Comparing(Fitted):
    """What fitted models say of rows alone: `similar_items` and `similar_users`."""

    def similar_items(self, items: Any, k: int = 10) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the items most similar to each given item, by the cosine of their factors.

        Parameters
        ----------
        items : id or sequence of n ids
        k : int, default 10
            How many; the item itself is left out.

        Returns
        -------
        ids : array of shape (n, k), or (k,) for a single item
        similarities : float32 array of the same shape
            Cosines, in [-1, 1].

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown or k is not positive.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> model.similar_items(3, k=4)[0].shape
        (4,)
        """
        check_is_fitted(self)
        rows = self._items().rows(items)
        found = _similar(self._likeness("item"), rows, k, self.n_jobs)
        return present(*found, self.item_ids_, single=is_single(items))

    def similar_users(self, users: Any, k: int = 10) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the users most similar to each given user, by the cosine of their factors.

        Parameters, returns and errors as for `similar_items`.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> model.similar_users([0, 1], k=4)[0].shape
        (2, 4)
        """
        check_is_fitted(self)
        rows = self._users().rows(users)
        found = _similar(self._likeness("user"), rows, k, self.n_jobs)
        return present(*found, self.user_ids_, single=is_single(users))


def _similar(
    score: Products, rows: NDArray[np.int64], k: Any, n_jobs: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    n, k = score.n_items, check_count(k, "k", most=None)
    itself = np.arange(len(rows) + 1), rows.astype(np.int32)
    return top_k(score, rows, n, max(1, min(k, n - 1)), exclude=itself, n_jobs=n_jobs)
