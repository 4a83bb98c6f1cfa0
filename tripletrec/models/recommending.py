"""Scores of pairs, and each user's best items; what is alike is in `comparing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.ids import is_single
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.fitted import Fitted, present

if TYPE_CHECKING:
    from tripletrec.ranking.scores import ScoreUsers

__all__ = ["Recommending"]


class Recommending(Fitted):
    """What fitted models say of users and items: `predict` and `recommend`."""

    def predict(self, users: Any, items: Any) -> NDArray[np.float32]:
        """Return the scores of pairs of users and items.

        Parameters
        ----------
        users, items : id or sequence of n ids
            Pairwise; a single user is paired with every item, a single item with every user.

        Returns
        -------
        float32 array of shape (n,)
            Scores have no unit: only their order within a user has a meaning.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown or the lengths differ.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> model.predict([0, 1], [2, 3]).shape
        (2,)
        """
        check_is_fitted(self)
        user_rows, item_rows = self._users().rows(users), self._items().rows(items)
        if len(user_rows) != len(item_rows) and 1 not in (len(user_rows), len(item_rows)):
            raise ValueError(
                f"users and items must be of one length, got {len(user_rows)} and {len(item_rows)}"
            )
        return self._score_pairs(*np.broadcast_arrays(user_rows, item_rows))

    def recommend(
        self, users: Any, k: int = 10, exclude: Any = None, *, candidates: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return each user's best items, best first, ties by the lowest item number.

        Parameters
        ----------
        users : id or sequence of n ids
        k : int, default 10
            How many items; all, if there are fewer to choose from.
        exclude : Interactions, sparse matrix or array of shape (n_users, n_items), default None
            Pairs that are never recommended, usually the training data. None: nothing is excluded.
        candidates : sequence or set of item ids, default None
            The only items to choose from; None: all.

        Returns
        -------
        ids : array of shape (n, width), or (m,) for a single user
            The width is k, or the number of distinct candidates where that is smaller.
        scores : float32 array of the same shape
            They are the same bits for a user alone and among others, at any `n_jobs`. If `exclude` leaves
            fewer items for a user, the row is filled up with scores of -inf and ids of -1 (None if the items'
            ids are not their numbers); a single user's lists are shorter: m <= width.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown (of the candidates too), k is not positive or `exclude` has another shape.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> ids, scores = model.recommend([0, 1, 2], k=5, exclude=data)
        >>> ids.shape
        (3, 5)
        """
        check_is_fitted(self)
        rows = self._users().rows(users)
        seen = (
            None
            if exclude is None
            else as_interactions(exclude, "exclude", self._space(), "the model")
        )
        best = self._best_items(self._score_function(), rows, k, seen, candidates)
        return present(*best, self.item_ids_, single=is_single(users))

    def _best_items(
        self,
        score_users: ScoreUsers,
        rows: NDArray[np.int64],
        k: Any,
        seen: Interactions | None,
        candidates: Any,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the numbers and the scores of the best items of some rows; see `recommend`."""
        from tripletrec.ranking.top_k import top_k  # here, because a fit does without

        return top_k(
            score_users,
            rows,
            self.n_items_,
            k,
            exclude=seen,
            candidates=self._chosen(self._items(), candidates),
            n_jobs=self.n_jobs,
        )
