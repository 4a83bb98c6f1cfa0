"""`EASE`, a linear model of items by items in closed form; no epochs, no factors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_positive
from tripletrec._runtime.memory import check_memory
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.models.baseline import Baseline
from tripletrec.models.explaining import Explanation, check_pair, with_first_items
from tripletrec.models.fitted import answer
from tripletrec.models.history_input import HistoryInput, read_histories
from tripletrec.ranking.exclusion import padded
from tripletrec.ranking.scores import ScoreUsers
from tripletrec.sampling.draw import ItemsOfUsers

__all__ = ["EASE", "l2_for"]

_BLOCK = 512  # items whose numbers are computed at once
_LEAST_CONDITION = 1e-12  # reciprocal, of a matrix whose inverse has four digits left in float64
_LEAST_L2, _MOST_L2, _NOISY_RANK = 1.0, 300.0, 0.015


class EASE(Baseline):
    r"""Embarrassingly shallow autoencoder: a linear model of items by items, in closed form.

    A user's score of item i is the sum of the weights :math:`B_{ji}` of the items j that the user has. Of all
    B with a diagonal of zeros it is the one that minimizes

    .. math:: \|X - XB\|_F^2 + \lambda \|B\|_F^2, \qquad
              B = I - P \, \mathrm{diag}(P)^{-1}, \quad P = (X^T X + \lambda I)^{-1},

    where X has a 1 for each interaction. A strong rival on dense data, without randomness and with one number
    to choose.

    Parameters
    ----------
    l2 : float or None, default None
        λ > 0. None: it goes by the data, see the notes.

    Attributes
    ----------
    item_weights_ : float32 array of shape (n_items, n_items)
        B: entry (j, i) is what having item j adds to the score of item i.
    l2_ : float
        λ, as it was taken.
    item_counts_ : int64 array of shape (n_items,)
        How many users each item has.
    seen_ : Interactions or None
        What it was fitted on, not a copy: the histories that known users are scored by. None if it was loaded
        from a file that does not say it; only `recommend_history` and `similar_items` answer then.
    n_users_, n_items_, n_features_in_ : int
        ``n_features_in_`` is the number of items.
    user_ids_, item_ids_ : array or None
        Ids of the data; None where they are the row numbers.

    Raises
    ------
    TypeError, ValueError
        In `fit`, if a parameter or the data is not allowed; a fitted model stays as it was.
    NotEnoughMemoryError
        In `fit`, before anything is allocated, if ``12 * n_items**2`` bytes are more than there are (a
        `MemoryError` and a `ValueError`): 1.2 GB for 10,000 items, 30 GB for 50,000; with few users down to a
        third of that.

    Notes
    -----
    Where `l2` is None it is 300 · (r / 0.015)^1.5, from 1 to 300, r being the percentile rank: the share of
    what a user does not have that stands above an item that was left out, see
    `tripletrec.models.percentile_rank`. Where the others who share items with a user tell them well, there
    is little noise to be damped. Cuts of training data gave the numbers: docs/choosing-measured.md.

    Time grows with the cube of the number of items: 10,000 take about a minute. Where users are less than
    half as many as items it grows with their number times the square of that of items, for P then comes from
    a matrix of users (the identity of Woodbury). BLAS works on one thread, so that the result does not
    depend on how many there are. The model keeps 4 bytes for each pair of items.

    ``recommend_history(h)`` ranks by ``h @ B``: nothing is learnt for a new user, and a known one gets the
    same list by the same history. `similar_items` gives partial correlations, those of two items given
    all others, and `similar_users` the cosines of what users have. In `explain` the contributions are the
    weights of the user's items, and there is no rest.

    References
    ----------
    .. [1] Steck. "Embarrassingly shallow autoencoders for sparse data", WWW 2019.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> model = tr.EASE(l2=50.0).fit(train)
    >>> model.score(test) > tr.Popularity().fit(train).score(test) > 0.5
    True
    >>> model.recommend_history([3, 7], k=5)[0].shape
    (5,)
    """

    _learnt = ("item_weights_", "l2_")
    item_weights_: NDArray[np.float32]
    l2_: float

    def __init__(self, l2: float | None = None) -> None:
        self.l2 = l2

    def _check_parameters(self) -> None:
        if self.l2 is not None:
            check_positive(self.l2, "l2")

    def _settled_params(self, X: Any = None, **fit_params: Any) -> dict[str, Any]:
        if self.l2 is not None:
            return {"l2": self.l2}
        if X is not None:
            return {"l2": self._l2_for(as_interactions(X, "X"))}
        return {"l2": vars(self).get("l2_", _MOST_L2)}

    def _l2_for(self, data: Interactions) -> float:
        if self.l2 is not None:
            return check_positive(self.l2, "l2")
        # Here, because answers do without.
        from tripletrec.models.companions import percentile_rank_of

        return l2_for(percentile_rank_of(data))

    def _learn(self, data: Interactions) -> None:
        check_memory(
            _bytes(data),
            f"EASE of {data.n_items:,} items",
            "keep fewer items, with Interactions.filter(min_per_item=...)",
        )
        self.l2_ = self._l2_for(data)
        self.item_weights_ = _solve(data, self.l2_)

    def _check_continuable(self, seen: Interactions | None, new: Interactions) -> None:
        if seen is None:
            raise ValueError(
                "partial_fit of an EASE needs what was seen before, which its file does not hold: save it "
                "with seen=True, or fit it anew on all events"
            )

    def _check_learnt(self, look_through: bool = True) -> None:
        super()._check_learnt(look_through)
        check_positive(self.l2_, "l2_")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"item_weights_": (self.n_items_, self.n_items_)}

    def _histories(self) -> ItemsOfUsers:
        """Return the items of all users."""
        seen = self._seen
        if seen is None:
            raise ValueError(
                "the model does not know what its users have had, by which it scores, for its file was saved "
                "with seen=False: use recommend_history, or save it with seen=True"
            )
        seen._check_still_inside("what the model was trained on")
        return padded(seen, self.n_users_)

    def _score_function(self) -> ScoreUsers:
        return _Sums(self._histories(), self.item_weights_)

    def _encode_histories(self, histories: HistoryInput) -> Any:
        return histories.items

    def _scores_of(self, rows: Any) -> ScoreUsers:
        return _Sums(rows, self.item_weights_)

    def _with_rows(self, rows: Any) -> dict[str, NDArray[np.float32]]:
        self._histories()  # raises where those of other users are not known
        return {}

    @answer
    def encode_histories(
        self, histories: Any, *, unknown: Literal["raise", "drop"] = "raise"
    ) -> NDArray[np.float32]:
        """Return the rows of X of users with these histories: a 1 for each item.

        Parameters
        ----------
        histories, unknown
            As of `recommend_history`.

        Returns
        -------
        float32 array of shape (n, n_items)
            Their products with ``item_weights_`` are the scores.

        Examples
        --------
        >>> import numpy as np, tripletrec as tr
        >>> model = tr.EASE().fit(np.array([[1, 0, 1], [0, 1, 1]]))
        >>> model.encode_histories([2, 0])
        array([[1., 0., 1.]], dtype=float32)
        """
        read = read_histories(histories, self._items(), unknown)
        return _dense(read.items, np.arange(read.n), self.n_items_)

    def _vectors(self, word: str, rows: Any) -> NDArray[np.float32]:
        if word == "item":
            return np.ascontiguousarray(self.item_weights_[:, rows].T)
        return _dense(self._histories(), np.arange(self.n_users_)[rows], self.n_items_)

    def _likeness(self, word: str) -> Any:
        if word == "item":
            return _PartialCorrelations(self.item_weights_)
        return _SharedItems(self._histories(), self.n_items_)

    @answer
    def explain(self, user: Any, item: Any, k: int = 5) -> Explanation:
        """Return what each of a user's items adds to the score of an item.

        Parameters
        ----------
        user, item : id
        k : int, default 5
            How many of the user's items to name.

        Returns
        -------
        Explanation
            ``items``, ``contributions``, ``other_items`` and ``score``; ``rest`` and ``bias`` are 0.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If an id is unknown, k is not positive, or the model does not know what the user has had.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> why = tr.EASE().fit(data).explain(7, 3, k=2)
        >>> abs(sum(why.terms()) - why.score) < 1e-6
        True
        """
        k = check_count(k, "k", most=None)
        user_row, item_row = check_pair(self, user, item)
        histories = self._histories()
        own = histories.indices[histories.indptr[user_row] : histories.indptr[user_row + 1]]
        ids = own.astype(np.int64) if self.item_ids_ is None else self.item_ids_[own]
        contributions = self.item_weights_[own, item_row].astype(np.float64)
        score = float(contributions.sum())
        return with_first_items(ids, contributions, k, rest=0.0, bias=0.0, score=score)


def l2_for(rank: float) -> float:
    """Return the L2 for data of this percentile rank."""
    return max(_LEAST_L2, _MOST_L2 * min(1.0, (rank / _NOISY_RANK) ** 1.5))


def _users_of(data: Interactions) -> int:
    """Return the number of users with an interaction."""
    return int(np.count_nonzero(np.diff(data.indptr)))


def _is_wide(data: Interactions) -> bool:
    """Return whether it takes less to invert a matrix of users than one of items."""
    return 2 * _users_of(data) <= data.n_items


def _bytes(data: Interactions) -> int:
    """Return the bytes that it takes to solve: float64, and the float32 that are kept."""
    n, n_users = data.n_items, _users_of(data)
    return 4 * n**2 + 8 * (n_users * (n + n_users) if _is_wide(data) else n**2)


def _solve(data: Interactions, l2: float) -> NDArray[np.float32]:
    """Return B."""
    from tripletrec._runtime.blas import one_blas_thread

    with one_blas_thread():
        weights = (_solve_by_users if _is_wide(data) else _solve_by_items)(data, l2)
    if weights is None:
        raise ValueError(
            f"l2 is too small for these {data.n_items} items to be told apart in float64, got {l2:g}"
        )
    weights[np.diag_indices(data.n_items)] = 0.0
    return weights


def _solve_by_items(data: Interactions, l2: float) -> NDArray[np.float32] | None:
    """Return B but for its diagonal; None where float64 does not tell it."""
    # Here, because a loaded model does without.
    from scipy.linalg.lapack import dpocon, dpotrf, dpotri

    n = data.n_items
    gram = _gram(data)
    gram[np.diag_indices(n)] += l2
    norm = gram.sum(axis=0).max(initial=0.0)  # of columns, whose entries are counts
    factor, failed = dpotrf(gram, lower=1, overwrite_a=1)
    if failed:
        return None
    if dpocon(factor, norm, uplo="L")[0] < _LEAST_CONDITION:
        return None
    inverse, failed = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        return None
    diagonal = inverse.diagonal().copy()
    weights = np.empty((n, n), np.float32)
    for a in range(0, n, _BLOCK):
        b = min(n, a + _BLOCK)
        # Of the inverse only the lower triangle is there.
        corner = np.tril(inverse[a:b, a:b])
        corner += np.tril(corner, -1).T
        weights[a:b, :a] = inverse[a:b, :a] / -diagonal[:a]
        weights[a:b, a:b] = corner / -diagonal[a:b]
        weights[a:b, b:] = inverse[b:, a:b].T / -diagonal[b:]
    return weights


def _solve_by_users(data: Interactions, l2: float) -> NDArray[np.float32] | None:
    """Return the same by a matrix of users.

    With :math:`L L^T = X X^T + λ I` and :math:`Z = L^{-1} X`, :math:`P = (I - Z^T Z) / λ`: entry (j, i) of B
    is that of :math:`Z^T Z` over 1 minus its entry (i, i).
    """
    from scipy.linalg.lapack import dpotrf, dtrtrs

    X = _ones(data)[np.flatnonzero(np.diff(data.indptr))]
    gram = (X @ X.T).toarray(order="F")
    gram[np.diag_indices(len(gram))] += l2
    factor, failed = dpotrf(gram, lower=1, overwrite_a=1)
    if failed:
        return None
    Z, _ = dtrtrs(factor, X.toarray(order="F"), lower=1, overwrite_b=1)
    left = 1.0 - np.einsum("ij,ij->j", Z, Z)  # of λ P, in the diagonal
    if left.min(initial=1.0) <= np.finfo(float).eps * len(gram):
        return None
    weights = np.empty((data.n_items, data.n_items), np.float32)
    for a in range(0, data.n_items, _BLOCK):
        b = min(data.n_items, a + _BLOCK)
        shared = Z[:, a:b].T @ Z[:, a:]
        weights[a:b, a:] = shared / left[a:]
        weights[b:, a:b] = shared[:, b - a :].T / left[a:b]
    return weights


def _ones(data: Interactions) -> Any:
    """Return X."""
    from scipy.sparse import csr_matrix

    ones = np.ones(data.nnz)
    return csr_matrix((ones, data.indices, data.indptr), shape=data.space.shape, copy=False)


def _gram(data: Interactions) -> NDArray[np.float64]:
    """Return how many users each two items share, as LAPACK overwrites it."""
    X = _ones(data)
    by_item = X.T.tocsr()
    gram = np.empty((data.n_items, data.n_items), order="F")
    for a in range(0, data.n_items, _BLOCK):
        gram[:, a : a + _BLOCK] = (by_item[a : a + _BLOCK] @ X).toarray().T
    return gram


class _Sums:
    """Scores of users: the sums of the weights of their items, added up in the order of the items."""

    def __init__(
        self, histories: ItemsOfUsers, weights: NDArray[np.float32], columns: Any = slice(None)
    ) -> None:
        self._histories, self._weights, self._columns = histories, weights, columns

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        scores = np.zeros((len(rows), self._weights[:0, self._columns].shape[1]), np.float32)
        for total, user in zip(scores, rows.tolist(), strict=True):
            for item in self._items(user).tolist():
                total += self._weights[item][self._columns]
        return scores

    def restricted(self, items: NDArray[np.int64]) -> _Sums:
        """Return the function for some of all items only, which costs what these cost."""
        return _Sums(self._histories, self._weights, items)

    def own(
        self, rows: NDArray[np.int64], items: NDArray[np.int64], bounds: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the scores of each row's own items, filled up with -inf; see `Products.own`."""
        sizes = np.diff(bounds)
        scores = np.full((len(rows), sizes.max(initial=0)), -np.inf, np.float32)
        inside = np.arange(scores.shape[1]) < sizes[:, None]
        scores[inside] = self.pairs(np.repeat(rows, sizes), items)
        return scores

    def pairs(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of pairs, to the same bits."""
        scores = np.zeros(len(users), np.float32)
        order = np.argsort(users, kind="stable")
        firsts = np.flatnonzero(np.diff(users[order], prepend=-1))
        for places in np.split(order, firsts[1:]):
            own = self._items(int(users[places[0]])) if len(places) else ()
            if len(own):
                wanted = self._weights[np.ix_(own, items[places])]
                scores[places] = np.add.accumulate(wanted, axis=0)[-1]
        return scores

    def _items(self, user: int) -> NDArray[np.int32]:
        bounds = self._histories.indptr
        return self._histories.indices[bounds[user] : bounds[user + 1]]


class _PartialCorrelations:
    """Items -> their partial correlations with all items, ``-P_ij / sqrt(P_ii P_jj)``, of B alone."""

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self._weights, self.n_items = weights, len(weights)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        there, back = self._weights[rows], self._weights[:, rows].T
        # Both have the sign of -P_ij; where float32 has lost one of them they share nothing.
        return np.sign(there) * np.sqrt(np.maximum(there * back, np.float32(0.0)))


class _SharedItems:
    """Users -> the cosines of what they have with what all users have."""

    def __init__(self, histories: ItemsOfUsers, n_items: int) -> None:
        from scipy.sparse import csr_matrix  # here, because most models compare no users

        shape = self.n_items, _ = histories.n_users, n_items
        lengths = np.sqrt(np.diff(histories.indptr))
        ones = np.repeat(1 / np.maximum(lengths, 1), np.diff(histories.indptr))
        self._units = csr_matrix((ones, histories.indices, histories.indptr), shape=shape)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float64] = (self._units[rows] @ self._units.T).toarray()
        return np.minimum(found, 1.0).astype(np.float32)


def _dense(histories: ItemsOfUsers, rows: NDArray[np.int64], n_items: int) -> NDArray[np.float32]:
    chosen = histories.of(rows)
    found = np.zeros((len(rows), n_items), np.float32)
    found[np.repeat(np.arange(len(rows)), np.diff(chosen.indptr)), chosen.indices] = 1.0
    return found
