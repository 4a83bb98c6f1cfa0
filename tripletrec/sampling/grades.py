"""Which of a user's items have a lower value than another; how negatives are drawn from them is in `draw`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tripletrec.sampling.draw import ItemsOfUsers

__all__ = ["by_rising_value", "has_grades"]


def by_rising_value(
    positives: tuple[NDArray[np.int64], NDArray[np.int32]], values: NDArray[np.float32]
) -> tuple[ItemsOfUsers, NDArray[np.int32]]:
    """Return the items of each user by rising value, and how many of them have less than each positive's.

    Parameters
    ----------
    positives : (indptr, indices)
        The items of each user, see `ItemsOfUsers`.
    values : array of shape (n_positives,)
        Of each positive, in the order of `indices`.

    Returns
    -------
    ItemsOfUsers
        Of equal values the items are in their order among `indices`.
    int32 array of shape (n_positives,)
        In the order of `indices`: of user u, positive e is worth more than that many items from
        ``indptr[u]`` on.
    """
    indptr, indices = positives
    users = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    order = np.lexsort((values, users))
    ranked, n = values[order], len(order)
    # Where a run of one user's equal values begins.
    begins = np.ones(n, bool)
    begins[1:] = (users[1:] != users[:-1]) | (ranked[1:] != ranked[:-1])
    first_of_run = np.maximum.accumulate(np.where(begins, np.arange(n), 0))
    n_lower = np.empty(n, np.int32)
    n_lower[order] = first_of_run - indptr[users]
    return ItemsOfUsers(indptr, indices[order]), n_lower


def has_grades(
    indptr: NDArray[np.int64], values: NDArray[np.float32], at_once: int = 2**20
) -> bool:
    """Return whether there is a user with items of different values, looking at so many at a time."""
    for first in range(0, len(values) - 1, at_once):
        piece = values[first : first + at_once + 1]
        differ = piece[1:] != piece[:-1]
        users = np.searchsorted(indptr, (first + 1, first + len(piece)))
        differ[indptr[users[0] : users[1]] - first - 1] = False  # there the next user begins
        if differ.any():
            return True
    return False
