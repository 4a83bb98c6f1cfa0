"""Scores of pairs, and each user's best items; what is alike is in `similar`."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_flag
from tripletrec.data.ids import is_single
from tripletrec.data.interactions import Interactions
from tripletrec.models.fitted import Fitted, answer, present
from tripletrec.models.lists import (
    Asked,
    Lists,
    check_output,
    frame_of,
    ranked,
    write_lists,
)
from tripletrec.ranking.candidates import read_candidates
from tripletrec.ranking.exclusion import known_seen, names_seen, read_exclude, seen_by

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


__all__ = ["Recommending"]


class Recommending(Fitted):
    """What fitted models say of users and items: `predict` and `recommend`."""

    seen_: Interactions | Any
    item_counts_: NDArray[np.int64]

    @answer
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
        user_rows, item_rows = self._users().rows(users), self._items().rows(items)
        if len(user_rows) != len(item_rows) and 1 not in (len(user_rows), len(item_rows)):
            raise ValueError(
                f"users and items must be of one length, got {len(user_rows)} and {len(item_rows)}"
            )
        return self._score_pairs(*np.broadcast_arrays(user_rows, item_rows))

    @overload
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: Literal["arrays"] = "arrays",
        batch_size: int | None = None,
        skip_unknown: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]: ...

    @overload
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: Literal["pandas"],
        batch_size: int | None = None,
        skip_unknown: bool = False,
    ) -> pd.DataFrame: ...

    @overload
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: Literal["polars"],
        batch_size: int | None = None,
        skip_unknown: bool = False,
    ) -> pl.DataFrame: ...

    @answer
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        output: str = "arrays",
        batch_size: int | None = None,
        skip_unknown: bool = False,
    ) -> Any:
        """Return each user's best items, best first, ties by the lowest item number.

        Parameters
        ----------
        users : id, sequence of n ids or None, default None
            None: all users, in their order.
        k : int, default 10
            How many items; all, if there are fewer to choose from.
        exclude : "seen", None, interactions, item ids, or a tuple, default "seen"
            What is never recommended. "seen": what each user had in training (``seen_``). None: nothing is
            left out. Interactions, or a matrix with a row for each user (or for each of the n users asked
            for, in their order; if n is the number of all users, who are asked for in another order than the
            model's, only Interactions tell whose rows they are): these pairs alone. A list or set of item
            ids: these items, for all users. ``("seen", interactions)`` and ``("seen", ids)``: these and what
            was seen.
        candidates : None, sequence or set of item ids, or n of them, default None
            The only items to choose from; None: all. A list of lists has one for each user. What is excluded
            is left out of them, too.
        output : {"arrays", "pandas", "polars"}, default "arrays"
            Two arrays, or a table with the columns "user", "item", "rank" (from 1) and "score", and one row
            for each item of each user.
        batch_size : int or None, default None
            How many users are ranked at once; None: as many as have half a million items in their lists.
            No result depends on it.
        skip_unknown : bool, default False
            True: unknown users get no error but an empty list: padding in arrays, no row in a table.

        Returns
        -------
        ids : array of shape (n, width), or (m,) for a single user
            The width is k, or the number of distinct candidates where that is smaller (of lists of users'
            own, the longest). Ids of items have the type that they were given in; ``ids.tolist()`` and
            ``scores.tolist()`` are plain Python, ready for JSON where the ids are numbers or strings and no
            row is filled up (JSON has no -inf): of several users ``table.to_dict("records")`` always is.
        scores : float32 array of the same shape
            They are the same bits for a user alone and among others, at any `n_jobs`. If `exclude` leaves
            fewer items for a user, the row is filled up with scores of -inf and ids of -1 (None if the items'
            ids are not their numbers); a single user's lists are shorter: m <= width.
        table : DataFrame
            In place of the arrays, with another `output`: without padding, ids in their own types.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown (of the candidates and the excluded items too), k is not positive, `exclude`
            has another shape or may be of either users, or there is no such `output`.
        TypeError
            If users, candidates or excluded items are a dict: what its keys and values are, is not guessed.
        ImportError
            If polars is asked for and not installed.

        Warns
        -----
        UserWarning
            Once, if "seen" is to be left out, but the model was loaded from a file without it.

        See Also
        --------
        recommend_to : lists of many users, into a file.
        recommend_history : lists of users who are not in the model.
        predict : scores of single pairs.

        Notes
        -----
        Nothing was learnt of users without training data, whom `is_cold` tells. They get the items with the
        most users in training, ties by the lowest item number, and the numbers of these users as scores.
        Only where a model has learnt from features of users, it ranks by these. `predict` and `evaluate`
        keep to the model's scores.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> ids, scores = model.recommend([0, 1, 2], k=5)
        >>> ids.shape
        (3, 5)
        >>> model.recommend(k=3, output="pandas").columns.tolist()
        ['user', 'item', 'rank', 'score']
        >>> len(model.recommend(7, exclude=("seen", [0, 1]), candidates=[0, 1]))
        2
        """
        output = check_output(output)
        asked = self._asked(users, k, exclude, candidates, skip_unknown)
        lists = self._lists(asked, batch_size)
        if output != "arrays":
            return frame_of(lists, output)
        single = users is not None and is_single(users)
        return present(*lists.all(), self.item_ids_, single=single)

    @answer
    def recommend_to(
        self,
        path: str | PathLike[str],
        users: Any = None,
        k: int = 10,
        *,
        exclude: Any = "seen",
        candidates: Any = None,
        batch_size: int | None = None,
        skip_unknown: bool = False,
    ) -> int:
        """Write each user's best items to a file, a block of users at a time; see `recommend`.

        Never all lists are in memory.

        Parameters
        ----------
        path : path-like
            A file that ends in .parquet (which needs pyarrow), .csv, .tsv, .csv.gz or .tsv.gz, with the
            columns "user", "item", "rank" (from 1) and "score". A file of that name is replaced when the new
            one is complete.
        users, k, exclude, candidates, batch_size, skip_unknown
            As of `recommend`.

        Returns
        -------
        int
            How many rows were written: one for each item of each user.

        Raises
        ------
        NotFittedError, ValueError
            As of `recommend`, and if `path` has another ending.
        ImportError
            If pyarrow is needed and not installed.
        OSError
            If the file cannot be written. An older file stays as it was, whatever goes wrong.

        See Also
        --------
        recommend : the same lists as arrays or a table.
        tripletrec.cluster.recommend : the same by many workers.

        Examples
        --------
        >>> import pathlib, tempfile, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "lists.csv")
        ...     model.recommend_to(path, [3, 4], k=2)
        ...     path.read_text().splitlines()[0]
        4
        'user,item,rank,score'
        """
        asked = self._asked(users, k, exclude, candidates, skip_unknown)
        lists = self._lists(asked, batch_size)
        return write_lists(lists, path)

    @answer
    def is_cold(self, users: Any = None) -> NDArray[np.bool_]:
        """Return of users whether nothing is known of them, so that `recommend` gives what is popular.

        Parameters
        ----------
        users : id, sequence of n ids or None, default None
            None: all users.

        Returns
        -------
        bool array of shape (n,)
            Whether a user has no training data, unless the model has learnt from features of users.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown, or the model does not know what it was trained on, as one that was loaded
            from a file without it.

        Examples
        --------
        >>> import numpy as np, tripletrec as tr
        >>> data = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1]])
        >>> model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(data)
        >>> model.is_cold()
        array([False,  True, False])
        >>> model.recommend(1, k=2)[0]
        array([2, 0])
        """
        known_seen(self)
        return self._cold(np.arange(self.n_users_) if users is None else self._users().rows(users))

    def _asked(self, users: Any, k: Any, exclude: Any, candidates: Any, skip_unknown: Any) -> Asked:
        """Check what `recommend` was given; nothing is ranked yet."""
        k = check_count(k, "k", most=None)
        ids = self._users()
        if users is None:
            rows = np.arange(self.n_users_)
        else:
            skip = check_flag(skip_unknown, "skip_unknown")
            rows = ids.find(users) if skip else ids.rows(users)
        chosen = read_candidates(candidates, self._items(), len(rows))
        out = read_exclude(
            exclude, None, self._space(), self._items(), owner="the model", asked=rows
        )
        return Asked(rows, k, names_seen(exclude), out, chosen)

    def _lists(self, asked: Asked, batch_size: Any = None) -> Lists:
        """Return the lists of what `_asked` checked, which are ranked when they are read."""
        if batch_size is not None:
            batch_size = check_count(batch_size, "batch_size", most=None)
        rows, k, without_seen, out, chosen = asked
        seen = seen_by(self) if without_seen else None
        if seen is not None:
            out = out._replace(pairs=(seen, *out.pairs))
        width = min(k, chosen.width(self.n_items_))
        score_users = self._score_function()

        def rank(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            some = rows[places]
            cold = self._cold(some)
            return ranked(score_users, some, places, cold, width, out, chosen, self)

        verbose = bool(vars(self).get("verbose"))
        return Lists(
            rows, width, rank, self.user_ids_, self.item_ids_,
            batch_size=batch_size, verbose=verbose,
        )  # fmt: skip

    def _cold(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell of some users, -1 for an unknown one, who has no training data where only that counts."""
        cold = np.zeros(len(rows), bool)
        seen = self._seen
        if seen is not None and not self._has_user_features():
            inside = (rows >= 0) & (rows < seen.n_users)  # others were added since
            asked = rows[inside]
            cold[inside] = seen.indptr[asked + 1] == seen.indptr[asked]
        return cold

    def _has_user_features(self) -> bool:
        encoding: dict[str, Any] = vars(self).get("user_encoding_", {})
        return bool(encoding.get("n_columns", 0))

    def _popularity(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the items by how many users they had in training, and these numbers by item."""
        counts = self._item_counts()

        def order() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            return np.argsort(-counts, kind="stable"), counts.astype(np.float32)

        return self._once("popularity", (counts,), order)

    def _item_counts(self) -> NDArray[np.int64]:
        """Return how many users each item had in training; those that were added since had none."""
        counts, n_items = self.item_counts_, self.n_items_

        def fill_up() -> NDArray[np.int64]:
            found = np.zeros(n_items, np.int64)
            found[: len(counts)] = counts
            return found

        return self._once("item counts", (counts, (n_items,)), fill_up)

    def _on_unknown_events(self, counts: NDArray[np.int64]) -> dict[str, Any]:
        """Return what is known of all events where only `counts` are, those of before and these of new ones.

        ``seen_`` stays None: with the new events alone it would say that other users have had nothing.
        """
        counts = counts.copy()
        counts[: self.n_items_] += self._item_counts()
        return {"seen_": None, "item_counts_": counts}
