"""Splits at random, of all interactions or of those of each user; splits by time are in `by_time`.

Both parts keep the shape and the ids, so that a model fitted on one can be evaluated on the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tripletrec._checks import Seed, check_count
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.splits.parts import count_of, generator, leave_out

__all__ = ["leave_k_out", "train_test_split"]


def train_test_split(
    interactions: Any, test_size: float | int = 0.1, *, random_state: Seed = 0
) -> tuple[Interactions, Interactions]:
    """Split off a random share of the interactions for testing.

    Parameters
    ----------
    interactions : Interactions, sparse matrix or ndarray
        With at least two interactions.
    test_size : float or int, default 0.1
        Share between 0 and 1 (the number is rounded up, as in scikit-learn), or number of interactions.
    random_state : int, Generator, RandomState or None, default 0
        The same integer always gives the same split; None: another one at each call.

    Returns
    -------
    train, test : Interactions
        Of the same shape, with no interaction in common; neither is empty.

    Raises
    ------
    ValueError, TypeError
        If `test_size` is out of range or leaves a part empty.

    See Also
    --------
    leave_k_out : a few interactions of each user.
    time_split : by time, as a model meets the data.
    user_split : some users as a whole.
    InteractionKFold : several such parts.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.splits import train_test_split
    >>> train, test = train_test_split(np.ones((4, 5)), 0.25)
    >>> len(train), len(test)
    (15, 5)
    """
    data = as_interactions(interactions, "interactions")
    n_test = count_of(test_size, len(data), "test_size")
    if n_test >= len(data):
        raise ValueError(
            f"test_size={test_size!r} of {len(data)} interactions leaves none for training"
        )
    order = generator(random_state).permutation(len(data))
    return data[order[n_test:]], data[order[:n_test]]


def leave_k_out(
    interactions: Any, k: int = 1, *, min_left: int = 1, random_state: Seed = 0
) -> tuple[Interactions, Interactions]:
    """Split off `k` interactions of each user, drawn at random, for testing.

    Parameters
    ----------
    interactions : Interactions, sparse matrix or ndarray
    k : int, default 1
        Number per user.
    min_left : int, default 1
        How many a user must keep for training. Users with fewer than ``k + min_left`` interactions stay in
        the training part with all of them.
    random_state : int, Generator, RandomState or None, default 0
        The same integer always gives the same split; None: another one at each call.

    Returns
    -------
    train, test : Interactions
        Of the same shape, with no interaction in common.

    Raises
    ------
    ValueError, TypeError
        If `k` or `min_left` is no integer >= 1, or no user has enough interactions.

    See Also
    --------
    leave_last_out : the latest ones of each user.
    train_test_split : a share of all interactions.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.splits import leave_k_out
    >>> train, test = leave_k_out(np.array([[1, 1, 1, 1], [1, 1, 0, 0]]), k=2)
    >>> np.diff(train.indptr), np.diff(test.indptr)
    (array([2, 2]), array([2, 0]))
    """
    data = as_interactions(interactions, "interactions")
    k, min_left = check_count(k, "k"), check_count(min_left, "min_left")
    order = np.lexsort((generator(random_state).random(len(data)), data.rows))
    return leave_out(data, order, k, min_left, "k")
