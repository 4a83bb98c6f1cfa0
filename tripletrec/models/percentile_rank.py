r"""How far up neighbours, or popularity, rank an item that users have: numbers that companions go by.

Some users have one of their items left out. Items are ranked for each of them by the users with whom it
shares others, and the *percentile rank* of the item that was left out is the share of all items that the user
does not have which stand above it: 0 if it comes first, 0.5 by chance (Hu, Koren, Volinsky, "Collaborative
filtering for implicit feedback datasets", ICDM 2008, section 6). With X the matrix of positives without those
left out, and D the diagonal matrices of how many positives a user and an item have, the scores of user u are

.. math:: x_u D_I^{-1/2} A^T A, \qquad A = D_U^{-1/2} X D_I^{-1/2}.

Nothing is trained here; what follows from the number is in `companions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from tripletrec._runtime.arrays import picked

__all__ = ["BY_CHANCE", "percentile_rank", "popularity_rank", "users_to_look_at"]

BY_CHANCE = 0.5
_MOST_USERS = 20_000
_MOST_POSITIVES = 1_000_000  # of those users, about
_TESTED = 200
_MOST_ITEMS = 8192  # among which the one that was left out is ranked


def users_to_look_at(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of the users by whom the percentile rank is told, rising.

    They are at most 20,000, with about a million positives or fewer, spread evenly over all that have some.

    Parameters
    ----------
    counts : int array of shape (n_users,)
        Positives of each user.
    """
    known = np.flatnonzero(counts)
    mean = counts.sum() / max(1, len(known))
    return known[
        _spread(len(known), min(_MOST_USERS, max(1, int(_MOST_POSITIVES / max(1.0, mean)))))
    ]


def percentile_rank(
    indptr: NDArray[np.int64], indices: NDArray[Any], users: NDArray[np.int64] | None = None
) -> float:
    """Return the geometric mean of the percentile ranks of items that are left out of users' rows.

    Parameters
    ----------
    indptr, indices : arrays
        Rows of positives, as of a CSR matrix.
    users : int array, default None
        The rows to look at; None: all.

    Returns
    -------
    float
        In (0, 1); 0.5 where no user has two items or no other item is to be had.

    Examples
    --------
    >>> import numpy as np
    >>> indptr = np.arange(0, 61, 3)  # 20 users with 3 of 30 items: all of a kind have the same
    >>> indices = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]] * 5).ravel()
    >>> percentile_rank(indptr, indices) < 0.1
    True
    """
    if users is not None:
        indptr, places = picked(indptr, users)
        indices = indices[places]
    counts = np.diff(indptr)
    items, columns = np.unique(indices, return_inverse=True)
    able = np.flatnonzero((counts > 1) & (counts < len(items)))
    if not len(able):
        return BY_CHANCE
    tested = able[_spread(len(able), _TESTED)]
    random = np.random.Generator(np.random.PCG64(0))
    left_out = indptr[tested] + random.integers(counts[tested])
    among = np.sort(random.permutation(len(items))[:_MOST_ITEMS])
    shape = len(counts), len(items)
    known = sp.csr_array((np.ones(len(columns)), columns, indptr), shape=shape)
    rest = known.copy()
    rest.data[left_out] = 0.0
    rest.eliminate_zeros()
    of_users, of_items = (
        sp.diags_array(1.0 / np.sqrt(np.maximum(rest.sum(axis), 1.0))) for axis in (1, 0)
    )
    scaled = sp.csr_array(of_users @ rest @ of_items)
    overlaps = sp.csr_array(rest[tested] @ of_items @ scaled.T)
    own = overlaps.multiply(scaled[:, columns[left_out]].T).sum(axis=1)[:, None]
    scores = (overlaps @ scaled[:, among]).toarray()
    unknown = known[tested][:, among].toarray() == 0.0
    # Sums in another order may differ in the last digits where they are the same.
    equal = np.isclose(scores, own, rtol=1e-9, atol=0.0)
    above = np.sum(((scores > own) & ~equal & unknown) + 0.5 * (equal & unknown), axis=1)
    n_unknown = unknown.sum(axis=1)
    told = n_unknown > 0
    if not told.any():
        return BY_CHANCE
    above, n_unknown = above[told], n_unknown[told]
    return float(np.exp(np.mean(np.log(np.maximum(above, 0.5) / n_unknown))))


def popularity_rank(counts: NDArray[Any]) -> float:
    """Return the mean percentile rank of a positive among all items, ranked by their other positives.

    Parameters
    ----------
    counts : int array of shape (n_items,)
        Positives of each item; items without any are left out.

    Returns
    -------
    float
        In [0, 1]: 0 where the most popular item is all there is to tell, 1 where all items are as popular;
        0.5 where no second item has a positive.

    Examples
    --------
    >>> import numpy as np
    >>> popularity_rank(np.array([3, 3, 3])), popularity_rank(np.array([9, 1, 0]))
    (1.0, 0.1)
    """
    rising = np.sort(counts[counts > 0])
    if len(rising) < 2:
        return BY_CHANCE
    last = np.searchsorted(rising, rising - 1, "right")  # what is left where a positive is left out
    equal = last - np.searchsorted(rising, rising - 1, "left")
    above = len(rising) - 1 - last + 0.5 * equal  # the item itself is not among them
    return float(np.average(above, weights=rising) / (len(rising) - 1))


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of 0, 1, ..., n - 1, evenly spread."""
    taken = min(n, most)
    return np.arange(taken) * n // max(1, taken)
