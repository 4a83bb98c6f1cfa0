"""Users that training has never seen: recommended from their histories, and added; how is in `training`.

See `tripletrec.training.fold_in`, and `tripletrec.neural.fold_in` for perceptrons.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_n_jobs
from tripletrec._runtime.messages import shown
from tripletrec.data.csr import CsrRows
from tripletrec.data.id_arrays import plain
from tripletrec.data.id_codecs import check_savable
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions
from tripletrec.data.space import Space
from tripletrec.data.union import check_kinds, joined_times
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.fitted import answer, present
from tripletrec.models.history_input import (
    HistoryInput,
    check_unknown,
    over_items,
    read_histories,
)
from tripletrec.models.lists import (
    Lists,
    check_output,
    frame_of,
    ranked,
)
from tripletrec.models.recommending import Recommending
from tripletrec.ranking.candidates import read_candidates
from tripletrec.ranking.exclusion import names_seen, read_exclude
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from tripletrec.ranking.scores import ScoreUsers
    from tripletrec.training.fold_in import FoldIn

__all__ = ["NewUsers"]

_MULTIPLY_ADDS = 1e5  # of an item of a history, roughly: what it takes to learn from it


class NewUsers(Recommending):
    """What fitted models say of users that training has never seen."""

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

    @answer
    def encode_histories(
        self, histories: Any, *, unknown: Literal["raise", "drop"] = "raise"
    ) -> NDArray[np.float32]:
        """Return the rows of factors of users that training has not seen, learnt from their histories.

        Of a `MatrixFactorization` with `history` they are mixes of a row of their own with the mean of the
        rows of their items, as in training; with ``history=1.0`` that mean. See the notes of
        `recommend_history`, also for `TwoTower`.

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
        return self._encode_histories(read_histories(histories, self._items(), unknown))

    @overload
    def recommend_history(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: Literal["arrays"] = "arrays",
        unknown: Literal["raise", "drop"] = "raise",
    ) -> tuple[NDArray[Any], NDArray[np.float32]]: ...

    @overload
    def recommend_history(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: Literal["pandas"],
        unknown: Literal["raise", "drop"] = "raise",
    ) -> pd.DataFrame: ...

    @overload
    def recommend_history(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: Literal["polars"],
        unknown: Literal["raise", "drop"] = "raise",
    ) -> pl.DataFrame: ...

    @answer
    def recommend_history(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: str = "arrays",
        unknown: Literal["raise", "drop"] = "raise",
    ) -> Any:
        r"""Return the best items for users that training has never seen, from the items they have had.

        The row of factors of each user is learnt by the model's loss and sampler, while all items stay as
        they are, and nothing of the model changes.

        Parameters
        ----------
        histories : list of item ids, list of lists, Interactions or matrix
            One list of item ids is one user's history, and a list of lists holds those of n users.
            Interactions may be of any users, known ones too: only what is handed in counts. Their items go by
            their ids. A sparse matrix, or an array with a column for each item of the model, has one row for
            each user. Whole numbers in an array of another width are ids, unless most are 0 or all are 0 or
            1, as in a matrix. Nested lists are always of ids: make a matrix of 0 and 1 an array first. Order,
            repetitions and values have no effect.
        k : int, default 10
            How many items; all, if there are fewer to choose from.
        exclude : "seen", None, interactions, item ids, or a tuple, default "seen"
            "seen": each history is left out of its user's list. None: nothing is. Otherwise as of
            `recommend`, with a row for each history.
        candidates : None, sequence or set of item ids, or n of them, default None
            The only items to choose from; None: all. A list of lists has one for each user.
        output : {"arrays", "pandas", "polars"}, default "arrays"
            As of `recommend`. Users of lists have their numbers in a table, from 0.
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
            If an item is unknown, a matrix has another number of columns, or as `recommend`.

        See Also
        --------
        recommend : lists of users whom the model knows.
        add_users : keeps such users in the model.
        encode_histories : their vectors.

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

        With `history` (of `MatrixFactorization`) the row is the mix of a row of its own and the mean of the
        items' rows that is nearest to the row learnt so; with ``history=1.0`` it is that mean. A `TwoTower`
        with `history` mixes as in training, with a user of whom nothing is known in place of the tower's
        answer, and the mix with the row learnt so: the share of the mix is (τ / 0.2)^6, from 0.2 to 1, for
        where the temperature τ is low, users are well told by what they did. Without `normalize` nothing is
        learnt.

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
        output, k = check_output(output), check_count(k, "k", most=None)
        items = self._items()
        read = read_histories(histories, items, unknown)
        chosen = read_candidates(candidates, items, read.n)
        space = Space(read.n, items.n, read.user_ids, items.values)
        seen = read.items if names_seen(exclude) else None
        out = read_exclude(exclude, seen, space, items, owner="histories")
        scores_of = self._scores_of(self._encode_histories(read))
        width = min(k, chosen.width(items.n))
        cold = np.diff(read.items.indptr) == 0

        def rank(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            return ranked(scores_of, places, places, cold[places], width, out, chosen, self)

        lists = Lists(
            np.arange(read.n), width, rank, read.user_ids, items.values,
            batch_size=None, verbose=bool(vars(self).get("verbose")),
        )  # fmt: skip
        if output != "arrays":
            return frame_of(lists, output)
        return present(*lists.all(), items.values, single=read.single)

    def add_users(
        self,
        X: Any,
        *,
        user: str = "user",
        item: str = "item",
        timestamp: str | None = None,
        unknown: Literal["raise", "drop"] = "raise",
    ) -> Self:
        """Add users that training has never seen, under their ids; nothing else of the model changes.

        Their rows of factors are learnt as by `recommend_history`. From then on they are users as all
        others: recommended, saved, similar. `user_factors_`, `user_ids_`, `n_users_` and `seen_` grow; the
        rows of users before them keep their bits. Other threads may go on asking the model meanwhile.

        Parameters
        ----------
        X : Interactions, or a table or dict as `Interactions.from_frame` takes
            All of its users are added, in their order; one without interactions learns nothing. Its
            items go by their ids. Where the model's users are numbers, they must have the next ones
            (``n_users_``, ``n_users_ + 1``, …) or, in Interactions, no ids.
        user, item : str, default "user" and "item"
            Columns of a table.
        timestamp : str or None, default None
            Column of its times. Without times, or of another kind, ``seen_`` loses those that it has, which
            no answer needs; a `Popularity` with window or decay refuses that.
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

        See Also
        --------
        recommend_history : lists of such users, who are not kept.
        partial_fit : learns from what users do, old and new ones.

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
        with self._writing():
            data = self._of_new_users(X, user, item, timestamp, drop)
            seen = self._seen
            self._check_times(seen, data)
            rows = self._encode_histories(
                HistoryInput(ItemsOfUsers(data.indptr, data.indices), data.user_ids, False)
            )
            users = self._users().with_more(
                np.empty(data.n_users) if data.user_ids is None else data.user_ids
            )
            check_savable(users.values, "user_ids")
            new: dict[str, Any] = {**self._with_rows(rows)}
            if seen is not None:
                new["seen_"] = _joined(seen, data, users)
            new["n_users_"], new["user_ids_"] = users.n, users.values
            self._become(new)
            self._know(users)
        return self

    def _check_times(self, seen: Interactions | None, new: Interactions) -> None:
        """Raise if new events lack the times that this kind of model needs beside those of earlier ones."""

    def _of_new_users(
        self, X: Any, user: str, item: str, timestamp: str | None, drop: bool
    ) -> Interactions:
        """Return what `add_users` was given, over the model's items; raise if a user is known."""
        data = X
        if not isinstance(X, Interactions):
            data = Interactions.from_frame(X, user=user, item=item, timestamp=timestamp)
        data._check_still_inside("X")
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
            rows = CsrRows(
                data.space.shape, data.indptr, data.indices, data.values, data.timestamps
            )
            return data._like(rows, Ids(None, data.n_users, "user"), data._items)
        check_kinds(users.values, ids, "user", "X")
        known = users.find(ids) >= 0
        if known.any():
            more = f", like {known.sum() - 1} more" if known.sum() > 1 else ""
            raise ValueError(
                f"X must hold new users only, but user id {shown(plain(ids[int(known.argmax())]))} is known "
                f"already{more}"
            )
        return data

    def _fold_in(self) -> FoldIn:
        """Return what learns new users, made once."""
        plan, *learnt = self._fold_in_basis()
        # Plans are compared by what is in them, arrays by identity.
        numbers = tuple(each for each in learnt if not isinstance(each, np.ndarray))
        arrays = [each for each in learnt if isinstance(each, np.ndarray)]
        of = ((*vars(plan).values(), *numbers), *arrays)
        return self._once("fold-in", of, partial(self._start_fold_in, plan, *learnt))

    def _fold_in_jobs(self, histories: ItemsOfUsers) -> int:
        return check_n_jobs(self.n_jobs, _MULTIPLY_ADDS * len(histories.indices))

    def _encode_histories(self, histories: HistoryInput) -> NDArray[np.float32]:
        rows = self._fold_in().learn(histories.items, self._fold_in_jobs(histories.items))
        if not np.isfinite(rows).all():
            raise FloatingPointError(
                "histories cannot be learnt from: the factors of the model are beyond all sense"
            )
        return rows


def _joined(seen: Interactions, data: Interactions, users: Ids) -> Interactions:
    """Return what was seen, and that of new users below it."""
    rows = CsrRows(
        (users.n, seen.n_items),
        np.concatenate([seen.indptr, data.indptr[1:] + seen.nnz]),
        np.concatenate([seen.indices, data.indices]),
        np.concatenate([seen.values, data.values]),
        joined_times(seen, data),
    )
    return seen._like(rows, users, seen._items)
