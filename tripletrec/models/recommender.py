"""What every model offers once it is fitted: predict, recommend, similar rows, score, save; not `fit`."""

from __future__ import annotations

from os import PathLike
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec.data.ids import Ids, is_single
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.space import Space
from tripletrec.evaluation import full_auc
from tripletrec.models.estimator import Estimator, check_is_fitted
from tripletrec.models.folds import check_fold, whole

if TYPE_CHECKING:
    from tripletrec.ranking.scores import ScoreUsers

__all__ = ["Recommender", "present"]


class Recommender(Estimator):
    """Base of the models.

    A model sets ``n_users_``, ``n_items_``, ``user_ids_`` and ``item_ids_`` in `fit` and says how all items
    are scored for some users (`_score_function`), how pairs are scored (`_score_pairs`), and which rows
    represent users and items when they are compared (`_user_rows`, `_item_rows`).
    """

    n_users_: int
    n_items_: int
    user_ids_: NDArray[Any] | None
    item_ids_: NDArray[Any] | None
    n_jobs: int | None = None  # a parameter of the models that have it
    _of_matrix = False  # whether it was trained on a matrix, not on Interactions

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
            candidates=None if candidates is None else self._candidate_rows(candidates),
            n_jobs=self.n_jobs,
        )

    def _candidate_rows(self, candidates: Any) -> NDArray[np.int64]:
        listed = [candidates] if is_single(candidates) else list(candidates)  # a set in any order
        items = self._items()
        rows = items.find(listed)
        unknown = [each for each, row in zip(listed, rows, strict=True) if row < 0]
        if unknown:
            known = (
                "0 <= c < model.n_items_" if items.values is None else "c in set(model.item_ids_)"
            )
            raise ValueError(
                f"{items.unknown(unknown[0])}; {len(unknown)} of the {len(listed)} candidates are unknown, "
                f"which may be left out: [c for c in candidates if {known}]"
            )
        return rows

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
        found = _similar(self._item_rows(), rows, k, self.n_jobs)
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
        found = _similar(self._user_rows(), rows, k, self.n_jobs)
        return present(*found, self.user_ids_, single=is_single(users))

    def score(self, X: Any, y: None = None, *, exclude: Any = None) -> float:
        """Return the full AUC on the interactions `X`; see `tripletrec.full_auc`.

        Parameters
        ----------
        X : Interactions, sparse matrix or array of shape (n_users, n_items)
            Test positives.
        y : None
            Not used; there for scikit-learn.
        exclude : as `X`, default None
            Interactions left out of the ranking.

        Returns
        -------
        float
            In [0, 1]; 0.5 is chance.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `X` or `exclude` speaks of other users or items than the model, as the rows of a matrix do that
            scikit-learn has split.

        Warns
        -----
        UserWarning
            If most users of `X` have no training data, or the rows of a matrix seem to be other users.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> 0.5 < tr.MatrixFactorization(n_epochs=20).fit(data).score(data) <= 1
        True
        """
        check_is_fitted(self)
        excluded = whole(exclude, X, self._space(), "exclude")
        # Of users without training data a model with features of users still knows those.
        features = vars(self).get("user_encoding_", {}).get("n_columns", 0)
        known = vars(self).get("seen_"), X, self._space()
        test = check_fold(*known, unseen=features > 0, rows=self._of_matrix)
        return full_auc(self, test, excluded, n_jobs=self.n_jobs)

    def save(self, path_or_file: str | PathLike[str] | IO[bytes]) -> None:
        """Write the fitted model to a safetensors file; see `tripletrec.load`.

        Parameters
        ----------
        path_or_file : path-like or binary file
            A file of that name is replaced when the new one is complete; its mode is kept, and a symbolic
            link stays one. Or a file that is open for writing, such as ``io.BytesIO()``: it stays open.

        Warns
        -----
        UserWarning
            If a callback noted something in ``history_`` that is neither a number nor text: it is left out.
            If a parameter was set after `fit` to what `fit` would not take: the default is saved.

        Raises
        ------
        NotFittedError
            Before `fit`.
        OSError
            If the file cannot be written or is no regular file; an older file stays as it was.
        ValueError, TypeError
            If the model could not be loaded again: a fitted attribute is not as `fit` left it, a part of
            your own has the name of a built-in one, or the class is not one of this package. Nothing is
            written then.

        Notes
        -----
        Of a loss or another part of your own only the name is saved, of a generator as `random_state`
        nothing.

        Examples
        --------
        >>> import pathlib, tempfile, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(pathlib.Path(folder, "model.safetensors"))
        ...     again = tr.load(pathlib.Path(folder, "model.safetensors"))
        >>> bool((again.user_factors_ == model.user_factors_).all())
        True
        """
        check_is_fitted(self)
        # Here, because most models are never saved.
        from tripletrec.models import saving

        saving.save(self, path_or_file)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags

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
            known = values, Ids(values, n, word)
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


def _similar(
    factors: NDArray[np.float32], rows: NDArray[np.int64], k: Any, n_jobs: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    from scipy.sparse import csr_matrix

    from tripletrec.ranking.scores import factor_scores
    from tripletrec.ranking.top_k import top_k
    from tripletrec.scorers import COSINE

    n, k = len(factors), check_count(k, "k", most=None)
    directions = COSINE.rows(factors)
    itself = csr_matrix((np.ones(n, np.float32), (np.arange(n), np.arange(n))), shape=(n, n))
    return top_k(
        factor_scores(directions, directions),
        rows,
        n,
        max(1, min(k, n - 1)),
        exclude=as_interactions(itself),
        n_jobs=n_jobs,
    )
