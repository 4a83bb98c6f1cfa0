"""Users that training has never seen: recommended from their histories, and added; how is in `training`.

See `tripletrec.training.fold_in`, and `tripletrec.neural.fold_in` for perceptrons.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_n_jobs
from tripletrec._runtime.messages import shown
from tripletrec.data.csr import Rows
from tripletrec.data.id_arrays import plain
from tripletrec.data.id_codecs import check_savable
from tripletrec.data.ids import Ids, is_single
from tripletrec.data.interactions import Interactions
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.fitted import Fitted, present
from tripletrec.models.history_input import (
    Histories,
    check_unknown,
    over_items,
    read_histories,
)
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    from tripletrec.ranking.scores import ScoreUsers

__all__ = ["FoldIn", "NewUsers"]

_MULTIPLY_ADDS = 1e5  # of an item of a history, roughly: what it takes to learn from it
_adding = threading.Lock()  # one thread adds users at a time, to whatever model


class FoldIn(Protocol):
    """What learns rows of new users by frozen items; safe to be used by several threads."""

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> NDArray[np.float32]:
        """Return a row for each history."""
        ...


class _Kept(NamedTuple):
    """A `FoldIn` and what it was made of."""

    basis: tuple[Any, ...]
    fold_in: FoldIn

    def __reduce__(self) -> Any:
        return _Kept, ((), None)  # made anew by whoever unpickles the model


class NewUsers(Fitted):
    """What fitted models say of users that training has never seen."""

    seen_: Interactions | None
    item_counts_: NDArray[np.int64]

    def _fold_in_basis(self) -> tuple[Any, ...]:
        """Return what a `FoldIn` depends on: a plan, then learnt arrays, which are compared by identity."""
        raise NotImplementedError

    def _start_fold_in(self, *basis: Any) -> FoldIn:
        raise NotImplementedError

    def _scores_of(self, rows: NDArray[np.float32]) -> ScoreUsers:
        """Return the function numbers -> scores of all items, of users with these rows."""
        raise NotImplementedError

    def _with_rows(self, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the learnt arrays that have a row for each user, with these rows added."""
        raise NotImplementedError

    def encode_histories(self, histories: Any, *, unknown: str = "raise") -> NDArray[np.float32]:
        """Return the rows of factors of users that training has not seen, learnt from their histories.

        Parameters
        ----------
        histories, unknown
            As of `recommend_history`.

        Returns
        -------
        float32 array of shape (n, n_factors)
            Rows as those of ``user_factors_``; (1, n_factors) for a single history.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As `recommend_history`.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> model.encode_histories([[3, 7], [1, 2, 9]]).shape
        (2, 64)
        """
        check_is_fitted(self)
        return self._encode_histories(read_histories(histories, self._items(), unknown))

    def recommend_history(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        unknown: str = "raise",
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        r"""Return the best items for users that training has never seen, from the items they have had.

        The row of factors of each user is learnt by the model's loss and sampler, while all items stay as
        they are, and nothing of the model changes.

        Parameters
        ----------
        histories : list of item ids, list of lists, Interactions or matrix
            One list of item ids is one user's history, and a list of lists holds those of n users.
            Interactions may be of any users, known ones too: only what is handed in counts. Their items go by
            their ids. A sparse matrix, or an array with a column for each item of the model, has one row for
            each user. Order, repetitions and values have no effect.
        k : int, default 10
            How many items; all, if there are fewer to choose from.
        exclude : "seen", None, item ids or ("seen", item ids), default "seen"
            "seen": each history is left out of its user's list. None: nothing is. Item ids are left out for
            all users.
        candidates : sequence or set of item ids, default None
            The only items to choose from; None: all.
        unknown : {"raise", "drop"}, default "raise"
            What becomes of an item that the model does not know: an error, or it is passed over.

        Returns
        -------
        ids : array of shape (n, width), or (m,) for one list of item ids
            As of `recommend`.
        scores : float32 array of the same shape
            The same bits for a user alone and among others, at any `n_jobs`, and in whatever order the
            history is.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError
            If `histories` is nothing of that.
        ValueError
            If an item is unknown, or a matrix has another number of columns.

        Notes
        -----
        An empty history says nothing: such a user gets the items with the most users in training, ties by the
        lowest item number, and the numbers of these users as scores.

        Losses of triplets: 20 passes over the history (repeated until a pass has 32 triplets), with
        negatives drawn as in training, and steps of Adagrad whose rate falls from 0.2 to 0. List-wise losses:
        8 steps down the gradient, against all items or, of more than 8,192, a fixed sample of so many; the
        lengths of the steps are those of Barzilai and Borwein. `MLPMatcher`: 20 steps of Adagrad, each after
        a pass. These numbers were found on users left out of the training data of MovieLens-100K and Gowalla;
        ``benchmarks/fold_in.py`` compares with a full refit on other users.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> ids, scores = model.recommend_history([3, 7, 12], k=5)
        >>> ids.shape
        (5,)
        >>> model.recommend_history([[3, 7, 12], [1, 2]], k=5)[0].shape
        (2, 5)
        """
        check_is_fitted(self)
        read = read_histories(histories, self._items(), unknown)
        rows = self._encode_histories(read)
        seen = self._left_out(exclude, read)
        some = np.diff(read.items.indptr) > 0
        places = np.arange(read.n)
        if some.all():
            best = self._best_items(self._scores_of(rows), places, k, seen, candidates)
        else:
            items, scores = self._best_items(self._popularity_of, places, k, seen, candidates)
            if some.any():
                learnt = self._best_items(self._scores_of(rows), places[some], k, seen, candidates)
                items[some], scores[some] = learnt
            best = items, scores
        return present(best[0], best[1], self.item_ids_, single=read.single)

    def add_users(
        self, X: Any, *, user: str = "user", item: str = "item", unknown: str = "raise"
    ) -> Self:
        """Add users that training has never seen, under their ids; nothing else of the model changes.

        Their rows of factors are learnt as by `recommend_history`. From then on they are users as all
        others: recommended, saved, similar. `user_factors_`, `user_ids_`, `n_users_` and `seen_` grow; the
        rows of users before them keep their bits. Other threads may go on asking the model meanwhile.

        Parameters
        ----------
        X : Interactions, or a table or dict as `Interactions.from_frame` takes
            All of its users are added, in their order; one without interactions has nothing of his own. Its
            items go by their ids. Where the model's users are numbers, they must have the next ones
            (``n_users_``, ``n_users_ + 1``, …) or, in Interactions, no ids.
        user, item : str, default "user" and "item"
            Columns of a table.
        unknown : {"raise", "drop"}, default "raise"
            What becomes of an item that the model does not know: an error, or it is passed over.

        Returns
        -------
        Recommender
            The model itself.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            If a user is known already, an item is unknown, or ids are missing. The model stays as it was.

        Notes
        -----
        A model that does not know what it was trained on, because its file did not hold it, does not learn
        what its new users have had either.

        Examples
        --------
        >>> import tripletrec as tr
        >>> train = tr.Interactions.from_frame({"user": ["ann", "bob", "bob"], "item": [1, 1, 2]})
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(train)
        >>> model.add_users({"user": ["cleo"], "item": [2]}).user_ids_.tolist()
        ['ann', 'bob', 'cleo']
        >>> model.recommend("cleo", k=1)[0].shape
        (1,)
        """
        check_is_fitted(self)
        drop = check_unknown(unknown)
        with _adding:
            data = self._of_new_users(X, user, item, drop)
            rows = self._encode_histories(
                Histories(ItemsOfUsers(data.indptr, data.indices), data.user_ids, False)
            )
            users = self._users().with_more(
                np.empty(data.n_users) if data.user_ids is None else data.user_ids
            )
            check_savable(users.values, "user_ids")
            new: dict[str, Any] = {**self._with_rows(rows)}
            seen = vars(self).get("seen_")
            if seen is not None:
                new["seen_"] = _joined(seen, data, users)
            new["n_users_"], new["user_ids_"] = users.n, users.values
            new["_user_lookup"] = users.values, users
            vars(self).update(new)  # all at once, for other threads
        return self

    def _of_new_users(self, X: Any, user: str, item: str, drop: bool) -> Interactions:
        """Return what `add_users` was given, over the model's items; raise if a user is known."""
        data = X
        if not isinstance(X, Interactions):
            data = Interactions.from_frame(X, user=user, item=item)
        data.check_still_inside("X")
        data = over_items(data, self._items(), "X", drop)
        users, ids = self._users(), data.user_ids
        if ids is None:
            if users.values is not None:
                raise ValueError(
                    "X must have user ids, as the model has: build it with Interactions.from_frame"
                )
            return data
        if users.values is None:
            wanted = np.arange(users.n, users.n + data.n_users)
            if ids.dtype.kind not in "iu" or not np.array_equal(ids, wanted):
                raise ValueError(
                    f"user ids of X must be the next numbers, from {users.n} to {wanted[-1]}, for the model "
                    f"was trained without user ids, got {shown(plain(ids[0]))}, …"
                )
            rows = Rows(data.space.shape, data.indptr, data.indices, data.values, data.timestamps)
            return data._like(rows, Ids(None, data.n_users, "user"), data._items)
        known = users.find(ids) >= 0
        if known.any():
            more = f", like {known.sum() - 1} more" if known.sum() > 1 else ""
            raise ValueError(
                f"X must hold new users only, but user id {shown(plain(ids[int(known.argmax())]))} is known "
                f"already{more}"
            )
        return data

    def _encode_histories(self, histories: Histories) -> NDArray[np.float32]:
        basis = self._fold_in_basis()
        kept: _Kept | None = vars(self).get("_fold_in")
        if kept is None or not _same(kept.basis, basis):
            self._fold_in = kept = _Kept(basis, self._start_fold_in(*basis))
        work = _MULTIPLY_ADDS * len(histories.items.indices)
        rows = kept.fold_in.learn(histories.items, check_n_jobs(self.n_jobs, work))
        if not np.isfinite(rows).all():
            raise FloatingPointError(
                "histories cannot be learnt from: the factors of the model are beyond all sense"
            )
        return rows

    def _left_out(self, exclude: Any, histories: Histories) -> Interactions | None:
        """Return what is left out of the lists of users of histories, one row for each; None: nothing."""
        if not histories.n:
            return None
        parts = exclude if isinstance(exclude, tuple) else (exclude,)
        codes, n_items = np.empty(0, np.int64), self.n_items_
        for each in parts:
            if each is None:
                continue
            if isinstance(each, str) and each == "seen":
                users = np.repeat(np.arange(histories.n), np.diff(histories.items.indptr))
                more = users * n_items + histories.items.indices
            elif is_single(each) or isinstance(each, (Interactions, dict)):
                raise ValueError(
                    "exclude must be 'seen', None, a list of item ids or ('seen', item ids), got "
                    f"{shown(each)}"
                )
            else:
                items = self._items().rows(
                    list(each) if isinstance(each, (set, frozenset)) else each
                )
                more = (np.arange(histories.n)[:, None] * n_items + items).ravel()
            codes = np.concatenate([codes, more])
        if not len(codes):
            return None
        users, items = np.divmod(np.unique(codes), n_items)
        return Interactions.from_arrays(users, items, shape=(histories.n, n_items))

    def _popularity_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return as scores how many users each item had in training."""
        return np.tile(self._item_counts().astype(np.float32), (len(rows), 1))

    def _item_counts(self) -> NDArray[np.int64]:
        """Return how many positives each item had in training; those that were added since had none."""
        counts = np.zeros(self.n_items_, np.int64)
        counts[: len(self.item_counts_)] = self.item_counts_
        return counts


def _same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Return whether two are made of the same: an equal plan and the very same arrays."""
    return (
        len(some) == len(others)
        and some[0] == others[0]
        and all(a is b for a, b in zip(some[1:], others[1:], strict=True))
    )


def _joined(seen: Interactions, data: Interactions, users: Ids) -> Interactions:
    """Return what was seen, and that of new users below it; times if both have them, of one type."""
    times = None
    if seen.timestamps is not None and data.timestamps is not None:
        if seen.timestamps.dtype == data.timestamps.dtype:
            times = np.concatenate([seen.timestamps, data.timestamps])
    rows = Rows(
        (users.n, seen.n_items),
        np.concatenate([seen.indptr, data.indptr[1:] + seen.nnz]),
        np.concatenate([seen.indices, data.indices]),
        np.concatenate([seen.values, data.values]),
        times,
    )
    return seen._like(rows, users, seen._items)
