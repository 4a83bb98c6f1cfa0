"""Negatives of batches, by the package's samplers, which are in `sampling`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.counter_random import derive
from tripletrec._runtime.jit import kernel
from tripletrec.data.interactions import Interactions
from tripletrec.sampling import Sampler
from tripletrec.sampling.draw import draw_given

__all__ = ["Negatives", "choose_candidates"]


class _Source(NamedTuple):
    """Where negatives come from."""

    share: float  # probability of one of the user's given negatives, where there are any
    given_indptr: NDArray[np.int64]
    given: NDArray[np.int32]
    items: NDArray[np.int32]  # to draw the others from
    cumulative: NDArray[Any] | None  # of their weights; None: all have the same
    verified: bool  # whether known positives are redrawn
    indptr: NDArray[np.int64]  # the known positives
    indices: NDArray[np.int32]


@kernel
def _draw(key, users, first, source, negatives):  # type: ignore[no-untyped-def]
    """Fill `negatives`; each is a function of `key` and of its number in the stream."""
    n = negatives.shape[1]
    for t in range(negatives.shape[0]):
        for c in range(n):
            negatives[t, c] = draw_given(
                derive(key, (first + t) * n + c), users[t], source.given_indptr, source.given,
                source.share, source.items, source.cumulative, source.verified, source.indptr,
                source.indices,
            )  # fmt: skip


class Negatives:
    """Draws negatives for the positives of users.

    Parameters
    ----------
    sampler : tripletrec.sampling.Sampler
    positives : Interactions
        Known positives; a verified sampler redraws them.
    given : Interactions or None
        Negatives given by the user.
    items : int array, default None
        The items to draw from; None: all.
    """

    def __init__(
        self,
        sampler: Sampler,
        positives: Interactions,
        given: Interactions | None = None,
        items: NDArray[np.integer] | None = None,
    ) -> None:
        n_users, n_items = positives.shape
        drawn = np.arange(n_items) if items is None else np.asarray(items)
        counts = np.bincount(positives.indices, minlength=n_items)[drawn]
        nothing = read_only(np.zeros(n_users + 1, np.int64)), read_only(np.empty(0, np.int32))
        self._source = _Source(
            sampler.share,
            *(nothing if given is None else _csr(given)),
            drawn.astype(np.int32),
            sampler.cumulative(counts),
            sampler.verified,
            *_csr(positives),
        )

    def draw(
        self, key: np.uint64, users: NDArray[np.integer], n: int, first: int = 0
    ) -> NDArray[np.int32]:
        """Return `n` negatives for each of `users`, shape (len(users), n).

        A user who likes all items has none: the number is negative then.

        Parameters
        ----------
        key : numpy.uint64
            Stream of random numbers.
        users : int array
        n : int
        first : int, default 0
            Number of the first of these users in the stream.
        """
        negatives = np.empty((len(users), n), np.int32)
        _draw(key, users, first, self._source, negatives)
        return negatives


def _csr(interactions: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    return read_only(interactions.indptr), read_only(interactions.indices)


def choose_candidates(
    candidates: NDArray[np.integer],
    scores: NDArray[Any],
    positive_scores: NDArray[Any],
    below_positive: bool,
) -> NDArray[Any]:
    """Return of each row of candidates the one with the highest score.

    Parameters
    ----------
    candidates : int array of shape (n, m)
        Negative numbers stand for none.
    scores : float array of shape (n, m)
    positive_scores : float array of shape (n,)
    below_positive : bool
        Semi-hard: only candidates that score less than the positive count, as long as there is one;
        otherwise the lowest of all is taken.

    Returns
    -------
    int array of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> three, scores = np.array([[7, 8, 9]]), np.array([[0.1, 0.9, 0.5]])
    >>> choose_candidates(three, scores, np.array([0.6]), below_positive=False)
    array([8])
    >>> choose_candidates(three, scores, np.array([0.6]), below_positive=True)
    array([9])
    """
    missing = candidates < 0
    hardness = np.where(missing, -np.inf, scores)
    if below_positive:
        reach = positive_scores[:, None]
        allowed = np.where(scores < reach, hardness, -np.inf)
        none = ~np.isfinite(allowed).any(axis=1, keepdims=True)
        hardness = np.where(none, -np.where(missing, np.inf, scores), allowed)
    best = hardness.argmax(axis=1)
    return candidates[np.arange(len(candidates)), best]
