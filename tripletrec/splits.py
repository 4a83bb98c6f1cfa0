"""Splits of interactions into training and test parts; measuring on the test part is `evaluation`.

All of them split the *interactions*, not the users: both parts keep the shape and the ids, so
that a model fitted on one can be evaluated on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_random_state, check_share
from tripletrec.data.interactions import Interactions, as_interactions

__all__ = ["InteractionKFold", "leave_last_out", "train_test_split"]


def train_test_split(
    interactions: Any, test_size: float | int = 0.1, *, random_state: Any = None
) -> tuple[Interactions, Interactions]:
    """Split off a random share of the interactions for testing.

    Parameters
    ----------
    interactions : Interactions, sparse matrix or ndarray
        With at least two interactions.
    test_size : float or int, default 0.1
        Share between 0 and 1 (the number is rounded up, as in scikit-learn), or number of interactions.
    random_state : int, Generator, RandomState or None, default None
        The same integer always gives the same split.

    Returns
    -------
    train, test : Interactions
        Of the same shape, with no interaction in common; neither is empty.

    Raises
    ------
    ValueError, TypeError
        If `test_size` is out of range or leaves a part empty.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.splits import train_test_split
    >>> train, test = train_test_split(np.ones((4, 5)), 0.25, random_state=0)
    >>> len(train), len(test)
    (15, 5)
    """
    data = as_interactions(interactions, "interactions")
    if isinstance(test_size, Integral):
        n_test = check_count(test_size, "test_size")
    else:
        n_test = int(np.ceil(check_share(test_size, "test_size") * len(data)))
    if n_test >= len(data):
        raise ValueError(
            f"test_size={test_size!r} of {len(data)} interactions leaves none for training"
        )
    order = _rng(random_state).permutation(len(data))
    return data[order[n_test:]], data[order[:n_test]]


def leave_last_out(interactions: Interactions, n: int = 1) -> tuple[Interactions, Interactions]:
    """Split off the last `n` interactions of each user for testing.

    Parameters
    ----------
    interactions : Interactions
        With timestamps. Of two interactions at the same time, that with the higher item number counts as
        later.
    n : int, default 1
        Number per user. Users with `n` interactions or fewer stay in the training part with all of
        them, so that every user in the test part has interactions to learn from.

    Returns
    -------
    train, test : Interactions
        Of the same shape, with no interaction in common.

    Raises
    ------
    ValueError
        If there are no timestamps, or no user has more than `n` interactions.

    Examples
    --------
    >>> from tripletrec.data.interactions import Interactions
    >>> from tripletrec.splits import leave_last_out
    >>> data = Interactions.from_arrays([0, 0, 0], [0, 1, 2], timestamps=[30, 10, 20])
    >>> train, test = leave_last_out(data)
    >>> test.indices
    array([0], dtype=int32)
    """
    _require_interactions(interactions, "interactions")
    n = check_count(n, "n")
    if interactions.timestamps is None:
        raise ValueError("interactions must have timestamps: the last ones are left out")
    rows, indptr = interactions.rows, interactions.indptr
    order = np.lexsort((interactions.timestamps, rows))
    # `order` sorts within the rows only, the oldest first: position p still belongs to rows[p].
    n_from_here = indptr[1:][rows] - np.arange(len(rows))
    held_out = order[(n_from_here <= n) & (np.diff(indptr)[rows] > n)]
    if len(held_out) == 0:
        raise ValueError(f"n={n} leaves nothing to test: no user has more interactions than that")
    kept = np.ones(len(rows), bool)
    kept[held_out] = False
    return interactions[kept], interactions[~kept]


class InteractionKFold:
    """Random folds of interactions, as `cv` of scikit-learn's model selection.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds, at least 2. Their sizes differ by at most one.
    random_state : int, Generator, RandomState or None, default None
        The same integer always gives the same folds. Of anything else a seed is drawn when the splitter is
        made, so that all calls of `split` give the same folds, as successive halving demands.

    Notes
    -----
    Pass `Interactions` as ``X``. They count as their interactions in scikit-learn's own splitters too, but
    `KFold` without ``shuffle=True``, which is what ``cv=5`` means, cuts consecutive ones: blocks of users, of
    whom training then knows nothing. Weights are cut along, whether they are the values of `X` or an array of
    one for each interaction; held-out positives, negatives and features are passed on whole.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.data.interactions import Interactions
    >>> from tripletrec.splits import InteractionKFold
    >>> data = Interactions(np.ones((2, 3)))
    >>> for train, test in InteractionKFold(3, random_state=0).split(data):
    ...     print(len(train), len(test))
    4 2
    4 2
    4 2
    """

    def __init__(self, n_splits: int = 5, *, random_state: Any = None) -> None:
        self.n_splits = check_count(n_splits, "n_splits", 2)
        self.random_state = check_random_state(random_state)

    def split(
        self, X: Interactions, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the positions of the training and of the test interactions of each fold.

        Parameters
        ----------
        X : Interactions
            At least `n_splits` interactions.
        y, groups : None
            Not used; scikit-learn passes them.

        Yields
        ------
        train, test : int64 ndarray
            Ascending positions into the interactions.

        Raises
        ------
        TypeError
            If `X` is not Interactions.
        ValueError
            If there are fewer interactions than folds.
        """
        _require_interactions(X, "X")
        if len(X) < self.n_splits:
            raise ValueError(f"n_splits={self.n_splits} is more than the {len(X)} interactions")
        fold = np.arange(len(X)) % self.n_splits
        _rng(self.random_state).shuffle(fold)
        for number in range(self.n_splits):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return self.n_splits

    def __repr__(self) -> str:
        return f"InteractionKFold(n_splits={self.n_splits}, random_state={self.random_state!r})"


def _rng(random_state: Any) -> np.random.Generator:
    return np.random.default_rng(check_random_state(random_state))


def _require_interactions(data: Any, name: str) -> None:
    if not isinstance(data, Interactions):
        raise TypeError(
            f"{name} must be Interactions, got {type(data).__name__}: wrap it in Interactions(...)"
        )
