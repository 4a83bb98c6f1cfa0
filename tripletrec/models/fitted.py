"""What all answers of a fitted model need: ids, the space, how scores are made; the answers are elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.ids import Ids
from tripletrec.data.space import Space
from tripletrec.models.estimator import Estimator

if TYPE_CHECKING:
    from tripletrec.ranking.scores import ScoreUsers

__all__ = ["Fitted", "present"]


class Fitted(Estimator):
    """Base of what answers.

    A model sets ``n_users_``, ``n_items_``, ``user_ids_`` and ``item_ids_`` in `fit` and says how all items
    are scored for some users (`_score_function`), how pairs are scored (`_score_pairs`), and which rows
    represent users and items when they are compared (`_user_rows`, `_item_rows`).
    """

    n_users_: int
    n_items_: int
    user_ids_: NDArray[Any] | None
    item_ids_: NDArray[Any] | None
    n_jobs: int | None = None  # a parameter of the models that have it

    def _score_function(self) -> ScoreUsers:
        raise NotImplementedError

    def _score_pairs(
        self, users: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        raise NotImplementedError

    def _user_rows(self) -> NDArray[np.float32]:
        raise NotImplementedError

    def _item_rows(self) -> NDArray[np.float32]:
        raise NotImplementedError

    def _users(self) -> Ids:
        return self._lookup(self.user_ids_, self.n_users_, "user")

    def _items(self) -> Ids:
        return self._lookup(self.item_ids_, self.n_items_, "item")

    def _lookup(self, values: NDArray[Any] | None, n: int, word: str) -> Ids:
        if values is None:
            return Ids(None, n, word)
        # Checking a million ids takes a second, so it is done once for a fitted model, not in every call.
        known: tuple[Any, Ids] | None = vars(self).get(f"_{word}_lookup")
        if known is None or known[0] is not values:
            # Their own number: another thread may be adding users, after it was read and before `n` was.
            known = values, Ids(values, len(values), word)
            setattr(self, f"_{word}_lookup", known)
        return known[1]

    def _space(self) -> Space:
        return Space(self.n_users_, self.n_items_, self.user_ids_, self.item_ids_)


def present(
    rows: NDArray[np.int64], scores: NDArray[Any], ids: NDArray[Any] | None, *, single: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ids for row numbers; for a single row without its padding."""
    if single:
        rows, scores = rows[0][rows[0] >= 0], scores[0][rows[0] >= 0]
    if ids is None:
        return rows, scores
    if (rows >= 0).all():
        return ids[rows], scores
    found = np.empty(rows.shape, dtype=object)
    if ids.dtype.kind in "mM":  # which as objects would become whole numbers, or lose their unit
        found.flat[:] = list(ids[rows.ravel()])
    else:
        found[...] = ids[rows]
    found[rows < 0] = None
    return found, scores
