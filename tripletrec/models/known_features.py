"""Features of old users and items and of new ones when `TwoTower` learns on; towers are in `towers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_flag
from tripletrec.data.features import align, encode
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss
from tripletrec.models.continuing import News
from tripletrec.models.tower_histories import TowerHistories
from tripletrec.models.towers import Columns, Encoded
from tripletrec.neural.listwise import unit_of_biases

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from tripletrec.models.fit_arguments import Callback

__all__ = ["ContinuedTowers", "features_of"]


def features_of(columns: Columns) -> csr_matrix | None:
    """Return the encoded features of all users or items, or None if there are none."""
    n_columns = columns.encoding["n_columns"]
    return columns.matrix[:, :n_columns] if n_columns else None


class ContinuedTowers(TowerHistories):
    """Base of `TwoTower`: learns on, with the features of what is new."""

    own_factors: bool

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        n_epochs: int | None = None,
        *,
        user_features: Any = None,
        item_features: Any = None,
        user_id: Any = None,
        item_id: Any = None,
        callbacks: Callback | Sequence[Callback] | None = None,
        sample_weight: Any = None,
        negatives: Any = None,
    ) -> Self:
        """Learn from new events; see `MatrixFactorization.partial_fit` for all but the features.

        Parameters
        ----------
        X, y, n_epochs, callbacks, sample_weight, negatives
            As of `MatrixFactorization.partial_fit`.
        user_features, item_features : as of `fit`, default None
            Those of the users and items that are new in `X`; a table may have others, which are passed over,
            a matrix has a row for each user or item of `X`. They are encoded as `fit` learnt to. What is
            known of the others stays as it is: the model keeps it, and a file holds it if it was saved with
            ``state=True``. Without it the features of all that were ever seen are needed.
        user_id, item_id : str, default None
            The column of the table that holds the ids, as of `fit`.

        Returns
        -------
        TwoTower
            The model itself.

        Raises
        ------
        TypeError, ValueError
            As of `MatrixFactorization.partial_fit`; if features are missing, or the model was fitted without;
            if ``seen_`` is None and the model has `history` or `own_factors`: rows that `X` does not speak of
            would lose theirs.
        FloatingPointError, KeyboardInterrupt
            As of `MatrixFactorization.partial_fit`.

        See Also
        --------
        add_items : adds items by their features, without training.
        save : with ``state=True`` a file holds what this goes on from.

        Examples
        --------
        >>> import pandas as pd, tripletrec as tr
        >>> log = {"user": ["ann", "ann", "bob", "cleo"], "item": ["tea", "milk", "tea", "jam"]}
        >>> items = pd.DataFrame({"kind": ["drink", "drink", "food"]}, index=["tea", "milk", "jam"])
        >>> model = tr.TwoTower(n_epochs=2)
        >>> model = model.fit(tr.Interactions.from_frame(log), item_features=items)
        >>> today = tr.Interactions.from_frame({"user": ["bob", "joe"], "item": ["cocoa", "tea"]})
        >>> more = pd.DataFrame({"kind": ["drink"]}, index=["cocoa"])
        >>> model.partial_fit(today, item_features=more).item_ids_
        array(['jam', 'milk', 'tea', 'cocoa'], dtype='<U5')
        """
        return self._partial_fit(
            X, y, n_epochs, callbacks, sample_weight, negatives,
            user_features=user_features, item_features=item_features,
            user_id=user_id, item_id=item_id,
        )  # fmt: skip

    def _learnt_parameters(self) -> tuple[NDArray[np.float32], ...]:
        return self._network_parameters(by_lists=self.temperature_ is not None)

    def _training_parameters(self, data: Interactions) -> tuple[NDArray[np.float32], ...]:
        # The loss may be of the other kind by now: those of triplets learn no biases.
        by_lists = isinstance(self._last_loss(), ListLoss)
        users, *others = self._network_parameters(by_lists=by_lists)
        first, (new, items) = self._first_own_row("user"), self._new_histories(data)
        if len(users) > first and len(new):
            vectors = self._begin_users(self.user_factors_, data.n_users, new, items)
            own = self._own_rows(vectors[new])
            if own is not None:
                users = np.concatenate([users, np.zeros_like(vectors[self.n_users_ :])])
                users[first + new] = own
        return users, *others

    def _network_parameters(self, *, by_lists: bool) -> tuple[NDArray[np.float32], ...]:
        """Return what was learnt in the order of the network's parameters; by lists with biases of items."""
        learnt = (
            self.user_table_,
            self.item_table_,
            self.user_weights_[None],
            self.item_weights_[None],
        )
        unit = np.float32(unit_of_biases(self.temperature_ or 1.0))
        return (*learnt, self.item_biases_[:, None] / unit) if by_lists else learnt

    def _known_features(self, news: News, **features: Any) -> dict[str, Any]:
        knows_all = self._seen is not None
        if not knows_all and (
            self._mix().share > 0.0 or check_flag(self.own_factors, "own_factors")
        ):
            raise ValueError(
                "partial_fit of a TwoTower with history or own_factors needs what was seen before, which its "
                "file does not hold: save it with seen=True, or fit it anew on all events"
            )
        return {
            f"{word}_features": _encode_all(
                getattr(self, f"_{word}_features"),
                getattr(self, f"{word}_encoding_"),
                features[f"{word}_features"],
                features[f"{word}_id"],
                news,
                word,
                0 if knows_all else getattr(self, f"n_{word}s_"),
            )
            for word in ("user", "item")
        }


def _encode_all(
    known: csr_matrix | None,
    encoding: dict[str, Any],
    features: Any,
    id: Any,
    news: News,
    word: str,
    n_unknown: int,
) -> Encoded:
    """Return the features of all users or items: of old ones those that are known, of new ones those given.

    Parameters
    ----------
    known : csr_matrix or None
        Encoded features of the first users or items; None: they are not known.
    encoding : dict
        As `fit` learnt it.
    features : table, matrix or None
        Of those that are new in X.
    id : str or None
        The column of ids of a table.
    news : News
    word : {"user", "item"}
    n_unknown : int
        Of how many old ones it is not known whether they have interactions: they are taken to.
    """
    from scipy.sparse import csr_matrix, vstack  # here, because answers do without

    name, merger, X = f"{word}_features", news.merger, news.X
    every, rows = (
        (merger.users, merger.user_rows) if word == "user" else (merger.items, merger.item_rows)
    )
    shape = every.n, encoding["n_columns"]
    if not encoding["n_columns"]:
        if features is not None:
            raise ValueError(f"{name} must be None, for the model was fitted without")
        return Encoded(csr_matrix(shape, dtype=np.float32), encoding)
    if known is None:
        if features is None:
            raise ValueError(
                f"partial_fit needs {name} of all {word}s, old ones too, for they are not in the file that "
                "the model is from: give them, or save models with state=True"
            )
        used = _used(news.data, word) | (np.arange(every.n) < n_unknown)
        aligned = align(features, every.values, used, name, id)
        return Encoded(encode(encoding, aligned, name), encoding)
    old = vstack([known, csr_matrix((every.n - known.shape[0], shape[1]), dtype=np.float32)], "csr")
    new = rows >= known.shape[0]
    needed = new & _used(X, word)
    if features is None:
        if needed.any():
            raise ValueError(
                f"partial_fit needs {name} of the {word}s that are new in X, which are {needed.sum()}"
            )
        return Encoded(old, encoding)
    ids = X.user_ids if word == "user" else X.item_ids
    matrix = encode(encoding, align(features, ids, needed, name, id), name)[np.flatnonzero(new)]
    n_new = matrix.shape[0]
    place = csr_matrix(
        (np.ones(n_new, np.float32), (rows[new], np.arange(n_new))), (every.n, n_new)
    )
    return Encoded((old + place @ matrix).tocsr(), encoding)


def _used(data: Interactions, word: str) -> NDArray[np.bool_]:
    """Return which users or items have an interaction."""
    if word == "user":
        return np.diff(data.indptr) > 0
    return np.bincount(data.indices, minlength=data.n_items) > 0
