"""Vectors whose inner products are a model's scores, and what they serve: search indexes, explanations."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.ids import Ids
from tripletrec.models.explaining import Explanation
from tripletrec.models.fitted import Fitted, answer

if TYPE_CHECKING:
    from tripletrec.ranking.scores import ScoreUsers

__all__ = ["BiasedFactors", "Vectors"]


class Vectors(Fitted):
    """What fitted models with a score that is an inner product offer.

    Such a model gives `_vectors`; another one raises TypeError.
    """

    @answer
    def user_vectors(self, users: Any = None) -> NDArray[np.float32]:
        """Return vectors of users, whose inner products with `item_vectors` are the scores.

        Biases and, with cosine scores, the lengths of the rows are folded in. So an index for inner products
        over `item_vectors` finds what `recommend` does, which one over ``item_factors_`` alone would not.

        Parameters
        ----------
        users : id or sequence of n ids, default None
            None: all users, in the order of ``user_ids_``.

        Returns
        -------
        float32 array of shape (n, width)
            A new array; a single id gives one row. Of the vectors of `MatrixFactorization` and
            `TwoTower`, whose width is one more than that of the factors, the last number goes with the items'
            biases.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown.
        TypeError
            If the model's score is no inner product, as that of `MLPMatcher`.

        Examples
        --------
        >>> import numpy as np, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> scores = model.user_vectors([3, 4]) @ model.item_vectors().T
        >>> bool(np.allclose(scores[0], model.predict(3, range(30)), atol=1e-6))
        True
        """
        return self._vectors("user", self._rows_of(users, self._users))

    @answer
    def item_vectors(self, items: Any = None) -> NDArray[np.float32]:
        """Return vectors of items, whose inner products with `user_vectors` are the scores.

        Parameters
        ----------
        items : id or sequence of n ids, default None
            None: all items, in the order of ``item_ids_``.

        Returns
        -------
        float32 array of shape (n, width)
            As of `user_vectors`.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `user_vectors`.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> tr.MatrixFactorization(16, n_epochs=2).fit(data).item_vectors().shape
        (30, 17)
        """
        return self._vectors("item", self._rows_of(items, self._items))

    def _rows_of(self, ids: Any, lookup: Any) -> NDArray[np.int64] | slice:
        known: Ids = lookup()
        return slice(None) if ids is None else known.rows(ids)

    @answer
    def to_index(
        self,
        kind: Literal["usearch", "hnswlib", "faiss"],
        path: str | PathLike[str] | None = None,
        *,
        n_neighbors: int = 32,
        depth: int = 256,
    ) -> Any:
        """Return an index of another library that finds the best items of a vector without scoring all.

        The index is a graph of `item_vectors` under the inner product (Malkov and Yashunin, "Efficient and
        robust approximate nearest neighbor search using hierarchical navigable small world graphs", 2016).
        It answers with row numbers of ``item_ids_``, approximately: exact lists come from `recommend`.

        Parameters
        ----------
        kind : {"usearch", "hnswlib", "faiss"}
            The library, which must be installed: ``pip install usearch``, ``hnswlib`` or ``faiss-cpu``.
        path : path-like, default None
            Where the index is saved, in the library's own format, too; a file of that name is replaced.
        n_neighbors : int, default 32
            Links of each item. More: better lists, more memory.
        depth : int, default 256
            Items that are looked at while the graph is built and searched. More: better lists, more time.

        Returns
        -------
        usearch.index.Index, hnswlib.Index or faiss.IndexHNSWFlat

        Raises
        ------
        ImportError
            If the library is not installed.
        ValueError
            If there is no such kind.
        NotFittedError, TypeError
            As `user_vectors`.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> index = model.to_index("usearch", "items.usearch")  # doctest: +SKIP
        >>> rows = index.search(model.user_vectors(7)[0], 20).keys  # doctest: +SKIP
        """
        from tripletrec.models import indexes

        indexes.check_kind(kind)
        return indexes.build(kind, self.item_vectors(), path, n_neighbors, depth)

    def _history_weights(self, user: int, Q: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the weights of a user's items, vectors Q, in the user's vector; None: there are none."""
        return None

    @answer
    def explain(self, user: Any, item: Any, k: int = 5) -> Explanation:
        r"""Return which of a user's items speak for an item, with numbers that add up to the score.

        The user's vector is taken for the solution of a ridge regression over the vectors :math:`q_j` of the
        user's items, as in folding in (Hu, Koren and Volinsky, ICDM 2008, section 5). With

        .. math:: A = \sum_{j \in S_u} q_j q_j^T + \lambda I, \qquad
                  p_u = \sum_{j \in S_u} w_j q_j + r, \quad w_j = q_j^T A^{-1} p_u,

        item j contributes :math:`w_j \, q_j^T q_i` to the score of item i; what no item of the user explains
        contributes :math:`r^T q_i`, and the item's bias the rest. :math:`\lambda` is the mean of
        :math:`|q_j|^2`.

        With `history` (of `MatrixFactorization`) no regression is needed: the user is a mix in which all of
        its items have the same :math:`w_j`, and r is what its own row adds.

        Parameters
        ----------
        user, item : id
        k : int, default 5
            How many of the user's items to name.

        Returns
        -------
        Explanation
            ``items``, ``contributions``, ``other_items``, ``rest``, ``bias`` and ``score``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown, k is not positive, or the model does not know what the user has done: it was
            saved without it.
        TypeError
            If the model's score is no inner product, as that of `MLPMatcher`.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=5).fit(data)
        >>> why = model.explain(7, 3, k=2)
        >>> len(why.items), abs(sum(why.terms()) - why.score) < 1e-5
        (2, True)
        """
        from tripletrec.models.explaining import (
            explain,  # here, because most models explain nothing
        )

        return explain(self, user, item, k)


class BiasedFactors(Fitted):
    """Base of models whose score is the inner product of a user's row and an item's, plus the item's bias."""

    item_biases_: NDArray[np.float32]

    def _score_function(self) -> ScoreUsers:
        return self._factor_scores(self.item_biases_)

    def _vectors(self, word: str, rows: Any) -> NDArray[np.float32]:
        factors = (self._user_table() if word == "user" else self._item_table()).take(rows)
        last = self.item_biases_[rows] if word == "item" else np.ones(len(factors), np.float32)
        return np.column_stack((factors, last))

    @property
    def _has_biases(self) -> bool:
        return True
