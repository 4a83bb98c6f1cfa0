"""Negatives of batches, by the package's samplers, which are in `sampling`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.counter_random import derive
from tripletrec._runtime.jit import kernel
from tripletrec.data.interactions import Interactions
from tripletrec.sampling import Sampler
from tripletrec.sampling.draw import NONE_LEFT, ItemsOfUsers, Pool, draw_given, takes_given

__all__ = ["Negatives", "choose_candidates"]


class _Source(NamedTuple):
    """Where negatives come from."""

    given: ItemsOfUsers
    share: float  # probability of one of the user's given negatives, where there are any
    pool: Pool  # to draw the others from
    verified: bool  # whether known positives are redrawn
    known: ItemsOfUsers
    has_all: NDArray[np.bool_]  # by user: whether a verified draw has nothing left


@kernel
def _draw(key, users, first, source, alike, negatives):
    """Fill `negatives`; each is a function of `key` and of its number in the stream.

    If they are `alike`, candidates for one negative, the first decides whether all are the same given one.
    """
    n, given = negatives.shape[1], source.given
    for t in range(negatives.shape[0]):
        for c in range(n):
            share = source.share if c == 0 or not alike else 0.0
            negatives[t, c] = draw_given(
                derive(key, (first + t) * n + c), users[t], given, share, source.pool,
                source.verified, source.known, source.has_all[users[t]],
            )  # fmt: skip
        n_given = given.indptr[users[t] + 1] - given.indptr[users[t]]
        if alike and takes_given(derive(key, (first + t) * n), n_given, source.share):
            negatives[t] = negatives[t, 0]


class Negatives:
    """Draws negatives for the positives of users.

    Parameters
    ----------
    sampler : tripletrec.sampling.Sampler
        The share of one that compares features is that of the nearest negatives, not of what is drawn here.
    positives : Interactions
        Known positives; a verified sampler redraws them.
    given : Interactions or None
        Negatives given by the user.
    items : int array, default None
        The items to draw from; None: all.
    counts : int64 array of shape (n_items,), default None
        Positives of each item; None: those of `positives`.
    """

    def __init__(
        self,
        sampler: Sampler,
        positives: Interactions,
        given: Interactions | None = None,
        items: NDArray[np.integer] | None = None,
        counts: NDArray[np.int64] | None = None,
    ) -> None:
        n_users, n_items = positives.n_users, positives.n_items
        drawn = np.arange(n_items) if items is None else np.asarray(items)
        if counts is None:
            counts = np.bincount(positives.indices, minlength=n_items)
        nothing = ItemsOfUsers(
            read_only(np.zeros(n_users + 1, np.int64)), read_only(np.empty(0, np.int32))
        )
        weighty = sampler.weights(counts[drawn]) > 0  # an item without positives may weigh nothing
        self._alike = sampler.choose is not None
        self._source = _Source(
            nothing if given is None else _items_of_users(given),
            0.0 if sampler.by_features else sampler.share,
            Pool(drawn.astype(np.int32), sampler.cumulative(counts[drawn])),
            sampler.verified,
            _items_of_users(positives),
            read_only(_have_all(positives, drawn[weighty]) & sampler.verified),
        )

    def draw(
        self, key: np.uint64, users: NDArray[np.integer], n: int, first: int = 0
    ) -> NDArray[np.int32]:
        """Return `n` negatives for each of `users`, shape (len(users), n).

        With a sampler that chooses they are the candidates for one: of given negatives all are the same.

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
        _draw(key, users, first, self._source, self._alike, negatives)
        return negatives


def _have_all(positives: Interactions, items: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which users have all of these items."""
    is_drawn = np.zeros(positives.n_items, bool)
    is_drawn[items] = True
    n_each = np.bincount(positives.rows[is_drawn[positives.indices]], minlength=positives.n_users)
    return n_each == np.count_nonzero(is_drawn)


def _items_of_users(interactions: Interactions) -> ItemsOfUsers:
    return ItemsOfUsers(read_only(interactions.indptr), read_only(interactions.indices))


def choose_candidates(
    candidates: NDArray[np.integer],
    scores: NDArray[Any],
    positive_scores: NDArray[Any],
    choose: Callable[..., Any],
) -> NDArray[np.int32]:
    """Return the hard negative of each row of candidates.

    Parameters
    ----------
    candidates : int array of shape (n, m)
        Negative numbers stand for none.
    scores : float array of shape (n, m)
    positive_scores : float array of shape (n,)
    choose : callable
        The part of a `Sampler` that chooses, see `tripletrec.sampling.hard`.

    Returns
    -------
    int32 array of shape (n,)
        Negative where all candidates of a row are.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.sampling import hard
    >>> three, scores = np.array([[7, 8, 9]]), np.array([[0.1, 0.9, 0.5]])
    >>> choose_candidates(three, scores, np.array([0.6]), hard.hardest)
    array([8], dtype=int32)
    >>> choose_candidates(three, scores, np.array([0.6]), hard.semi_hard)
    array([9], dtype=int32)
    """
    if scores.shape != candidates.shape or positive_scores.shape != candidates.shape[:1]:
        raise ValueError(
            f"scores and positive_scores must have the shapes {candidates.shape} and "
            f"{candidates.shape[:1]}, got {scores.shape} and {positive_scores.shape}"
        )
    chosen = np.empty(len(candidates), np.int32)
    _build_choice(choose)(candidates, scores, positive_scores, chosen)
    return chosen


@cache
def _build_choice(choose: Callable[..., Any]) -> Callable[..., None]:
    @kernel
    def choose_all(candidates, scores, positive_scores, chosen):
        for t in range(candidates.shape[0]):
            chosen[t], best = NONE_LEFT, positive_scores[t]
            for c in range(candidates.shape[1]):
                if candidates[t, c] < 0:
                    continue
                if chosen[t] < 0 or choose(scores[t, c], best, positive_scores[t]):
                    chosen[t], best = candidates[t, c], scores[t, c]

    return choose_all
