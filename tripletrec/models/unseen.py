"""What two towers make of users and items that training has not seen: vectors, lists, new items for good.

How features are read is in `towers`, what a fitted model answers of those it knows in `recommending`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._runtime.messages import shown
from tripletrec.data.checks import check_shape
from tripletrec.data.feature_tables import as_frame, ids_of_rows, is_table
from tripletrec.data.features import encode
from tripletrec.data.id_arrays import check_ids, plain
from tripletrec.data.id_codecs import check_savable
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions
from tripletrec.data.space import Space
from tripletrec.data.union import check_kinds
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.fitted import answer, present
from tripletrec.models.history_input import HistoryInput, read_histories
from tripletrec.models.lists import ranked
from tripletrec.models.tower_plans import PlannedTowers
from tripletrec.models.towers import infer_all, unseen_input
from tripletrec.neural.history import mix
from tripletrec.ranking.candidates import read_candidates
from tripletrec.ranking.exclusion import Exclusion, read_exclude
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    from tripletrec.models.tower_histories import MixFoldIn

__all__ = ["Unseen"]


class Unseen(PlannedTowers):
    """Base of `TwoTower`: what features alone are enough for."""

    @answer
    def encode_users(
        self, features: Any, *, id: Any = None, histories: Any = None
    ) -> NDArray[np.float32]:
        """Return the vectors of users that training has not seen, from their features alone.

        Parameters
        ----------
        features : as `user_features` of `fit`
            Any number of rows; a table needs the columns that `fit` saw, and may have others.
        id : str, default None
            A column of ids, as `fit` was given. Nothing is looked up in it, for the vectors are in the order
            of the rows; it is only checked to be there.
        histories : as of `recommend_history`, default None
            What they have done, one history for each row, for a model with `history`: they are then mixed
            with it as `recommend_history` does. None: they have done nothing.

        Returns
        -------
        float32 array of shape (n, n_outputs)
            Their scores with all items are ``vectors @ model.item_factors_.T + model.item_biases_``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If a column is missing, or the features are of another kind than in `fit`.

        Examples
        --------
        >>> import pandas as pd, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> users = pd.DataFrame({"country": ["x", "y"] * 25})
        >>> model = tr.TwoTower(n_epochs=2).fit(data, user_features=users)
        >>> model.encode_users({"country": ["y", "unheard of"]}).shape
        (2, 64)
        """
        return self._encode_users(features, id, self._read_histories(histories))

    @answer
    def encode_items(self, features: Any, *, id: Any = None) -> NDArray[np.float32]:
        """Return the vectors of items that training has not seen; see `encode_users`.

        Parameters
        ----------
        features : as `item_features` of `fit`
        id : str, default None

        Returns
        -------
        float32 array of shape (n, n_outputs)
        """
        return self._encode("item", features, id)

    @answer
    def recommend_unseen(
        self,
        user_features: Any,
        k: int = 10,
        *,
        id: Any = None,
        candidates: Any = None,
        histories: Any = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the best items for users that training has not seen.

        Parameters
        ----------
        user_features : as in `fit`
            One row for each of the n users.
        k : int, default 10
        id : str, default None
            As of `encode_users`.
        candidates : None, sequence or set of item ids, or n of them, default None
            The only items to choose from; None: all. A list of lists has one for each user.
        histories : as of `recommend_history`, default None
            As of `encode_users`. Their items are left out of the lists.

        Returns
        -------
        ids : array of shape (n, width)
        scores : float32 array of shape (n, width)
            As of `recommend`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            As of `encode_users` and `recommend`.

        See Also
        --------
        recommend_history : lists from what somebody has done, without features.
        encode_users : the vectors of such users.
        add_items : keeps items that training has not seen.

        Examples
        --------
        >>> import pandas as pd, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> users = pd.DataFrame({"country": ["x", "y"] * 25})
        >>> model = tr.TwoTower(n_epochs=2).fit(data, user_features=users)
        >>> model.recommend_unseen(pd.DataFrame({"country": ["y"]}), k=3)[0].shape
        (1, 3)
        """
        k = check_count(k, "k", most=None)
        read = self._read_histories(histories)
        vectors = self._encode_users(user_features, id, read)
        score_users = self._scores_of(vectors)
        users, nobody = np.arange(len(vectors)), np.zeros(len(vectors), bool)
        chosen = read_candidates(candidates, self._items(), len(vectors))
        width = min(k, chosen.width(self.n_items_))
        out = Exclusion()
        if read is not None:
            space = Space(read.n, self.n_items_, None, self.item_ids_)
            out = read_exclude("seen", read.items, space, self._items(), owner="histories")
        best = ranked(score_users, users, users, nobody, width, out, chosen, self)
        return present(*best, self.item_ids_, single=False)

    def add_items(self, features: Any, *, id: Any = None) -> Self:
        """Put new items into the catalogue, by their features.

        They are recommended, found similar, evaluated and saved like all others from then on. The vectors of
        the items that the model knew stay as they were, bit for bit; those of the new ones are what
        `encode_items` returns. They have no factors of their own until a `fit` sees interactions with them.

        Parameters
        ----------
        features : as `item_features` of `fit`
            One row for each new item.
        id : str or sequence of n ids, default None
            The column that holds the ids of the new items, or the ids themselves (a matrix has no column).
            None: the index of a DataFrame of pandas, Dask or Modin holds them. A model of row numbers needs
            none: the new items get the next numbers.

        Returns
        -------
        TwoTower
            The model itself. Its ``seen_`` has the new items, too, as interactions for `score` then must.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If an id is known, missing or there twice; as of `encode_items`. The model stays as it was.

        See Also
        --------
        partial_fit : learns from events of new items, too.
        recommend_unseen : lists of users or items that are not kept.

        Notes
        -----
        All attributes that change are replaced in one step, none is written to: who holds an array of the
        model keeps the catalogue as it was.

        Examples
        --------
        >>> import pandas as pd, tripletrec as tr
        >>> log = {"user": ["ann", "ann", "bob", "cleo"], "item": ["tea", "milk", "tea", "jam"]}
        >>> items = pd.DataFrame({"kind": ["drink", "drink", "food"]}, index=["tea", "milk", "jam"])
        >>> model = tr.TwoTower(n_epochs=2)
        >>> model = model.fit(tr.Interactions.from_frame(log), item_features=items)
        >>> model = model.add_items({"sku": ["cocoa"], "kind": ["drink"]}, id="sku")
        >>> model.item_ids_
        array(['jam', 'milk', 'tea', 'cocoa'], dtype='<U5')
        >>> model.recommend("ann", candidates=["cocoa"])[0]
        array(['cocoa'], dtype='<U5')
        """
        check_is_fitted(self)
        with self._writing():
            vectors = self._encode("item", features, None)
            finite = np.isfinite(vectors).all(axis=1)
            if not finite.all():
                raise ValueError(
                    "item_features must have finite vectors in float32, those of row "
                    f"{finite.argmin()} are not"
                )
            items = self._enlarged(features, len(vectors), id)
            if not len(vectors):
                return self
            table = self.item_table_
            if len(table) > self._first_own_row("item"):  # own factors, of which they have none
                table = np.concatenate(
                    [table, np.zeros((len(vectors), table.shape[1]), np.float32)]
                )
            changed: dict[str, Any] = {
                "item_factors_": np.concatenate([self.item_factors_, vectors]),
                "item_biases_": np.append(self.item_biases_, np.zeros(len(vectors), np.float32)),
                "item_table_": table,
                "item_ids_": items.values,
                "n_items_": items.n,
                "n_features_in_": items.n,
            }
            seen: Interactions | None = self._seen
            if seen is not None:
                rows = seen._rows._replace(shape=(seen.n_users, items.n))
                changed["seen_"] = Interactions._of_rows(rows, seen._users, items)
            known = self._item_features
            if known is not None:  # for `partial_fit`
                from scipy.sparse import vstack

                more = encode(self.item_encoding_, features, "item_features")
                changed["_item_features"] = vstack([known, more], "csr")
            self._become(changed)
            self._know(items)
        return self

    def _enlarged(self, features: Any, n: int, id: Any) -> Ids:
        """Return the ids of all items, those of n new ones last."""
        n_known, n_all = self.n_items_, self.n_items_ + n
        check_shape(self.n_users_, n_all, "the model with the new items")
        new = ids_of_rows(features, n, "item_features", id)
        new = None if new is None else check_ids(new, "ids of item_features")
        if self.item_ids_ is None:
            if new is not None and not _counts_from(new, n_known):
                raise ValueError(
                    f"the ids of item_features must be the next row numbers, {n_known} ... {n_all - 1}, for "
                    f"the model numbers its items, got {shown(plain(new[0]))}: give no ids"
                )
            return Ids(None, n_all, "item")
        if new is None:
            raise ValueError(self._where_are_ids(features))
        Ids(new, n, "item")  # raises if one is there twice
        check_kinds(self.item_ids_, new, "item", "item_features")
        known = self._items().find(new) >= 0
        if known.any():
            raise ValueError(
                f"item_features must have new items only: {int(known.sum())} of {n} ids are known to the "
                f"model, the first is {shown(plain(new[known.argmax()]))}"
            )
        items = self._items().with_more(new)
        check_savable(items.values, "item_ids")
        return items

    def _where_are_ids(self, features: Any) -> str:
        """Return the sentence that refuses new items without ids, and says where they may be."""
        said = "item_features must say the ids of the new items, for those of the model have some: give id="
        if not is_table(features):
            return f"{said}[...], one for each row"
        known = [each["name"] for each in self.item_encoding_["columns"]]
        others = [each for each in as_frame(features, "item_features") if each not in known]
        return (
            f"{said}{others[0]!r}" if len(others) == 1 else f"{said}'...', the name of their column"
        )

    def _read_histories(self, histories: Any) -> HistoryInput | None:
        if histories is None:
            return None
        if not self._mix().share:
            raise ValueError(
                "histories must be None, for the model was fitted without history: its users are not mixed "
                f"with what they did, got {shown(histories)}"
            )
        return read_histories(histories, self._items())

    def _encode_users(
        self, features: Any, id: Any, histories: HistoryInput | None
    ) -> NDArray[np.float32]:
        """Return the vectors of users who have these features and have done this."""
        vectors, how = self._encode("user", features, id), self._mix()
        if histories is None:
            nothing = ItemsOfUsers(np.zeros(len(vectors) + 1, np.int64), np.empty(0, np.int32))
            return mix(vectors, self.item_factors_, nothing, how) if how.share else vectors
        if histories.n != len(vectors):
            raise ValueError(
                f"histories must be one for each of the {len(vectors)} rows of user_features, got "
                f"{histories.n}"
            )
        fold_in = cast("MixFoldIn", self._fold_in())  # of towers with history
        return fold_in.mix(vectors, histories.items, self._fold_in_jobs(histories.items))

    def _encode(self, word: str, features: Any, id: Any) -> NDArray[np.float32]:
        encoding, widths = getattr(self, f"{word}_encoding_"), getattr(self, f"{word}_widths_")
        table, name = getattr(self, f"{word}_table_"), f"{word}_features"
        layer = unseen_input(encoding, features, table, name, widths[0])
        if id is not None:
            ids_of_rows(features, layer.n_rows, name, id)
        return infer_all(layer, self._learnt_stack(word))


def _counts_from(ids: NDArray[Any], first: int) -> bool:
    return ids.dtype.kind in "iu" and bool((ids == np.arange(first, first + len(ids))).all())
