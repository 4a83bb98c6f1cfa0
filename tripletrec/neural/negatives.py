"""What a batch needs of the package's samplers: negatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.counter_random import derive
from tripletrec._runtime.jit import kernel
from tripletrec.data.interactions import Interactions
from tripletrec.sampling import Sampler
from tripletrec.sampling.draw import NONE_LEFT, ItemsOfUsers, Pool, draw_given

__all__ = ["Negatives", "choose_candidates"]


@cache
def _build_draw() -> Any:

    @kernel
    def draw_all(  # type: ignore[no-untyped-def]
        key, users, first, share, given_indptr, given, items, cumulative, verified, indptr,
        indices, negatives,
    ):  # fmt: skip
        for t in range(negatives.shape[0]):
            for c in range(negatives.shape[1]):
                negatives[t, c] = draw_given(
                    derive(key, (first + t) * negatives.shape[1] + c), users[t],
                    ItemsOfUsers(given_indptr, given), share, Pool(items, cumulative), verified,
                    ItemsOfUsers(indptr, indices),
                )  # fmt: skip

    return draw_all


class Negatives:
    """Draws negatives by a sampler of the package.

    Parameters
    ----------
    sampler : tripletrec.sampling.Sampler
    positives : Interactions
        Known positives; a verified sampler redraws them.
    given : Interactions or None
        Negatives handed in by the user.
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
        self._sampler = sampler
        n_items = positives.n_items
        catalogue = np.arange(n_items) if items is None else np.asarray(items)
        counts = np.bincount(positives.indices, minlength=n_items)[catalogue]
        self._known = (positives.indptr.astype(np.int64), np.array(positives.indices))
        self._catalogue = (catalogue.astype(np.int32), sampler.cumulative(counts))
        nothing = (np.zeros(positives.n_users + 1, np.int64), np.empty(0, np.int32))
        self._given = (
            nothing if given is None else (given.indptr.astype(np.int64), np.array(given.indices))
        )

    def draw(
        self, key: np.uint64, users: NDArray[np.integer], n: int, first: int = 0
    ) -> NDArray[np.int32]:
        """Return `n` negatives for each of `users`, shape (len(users), n); < 0: there is none.

        Parameters
        ----------
        key : numpy.uint64
            Stream of random numbers.
        users : int array
        n : int
        first : int, default 0
            Number of the first of these draws in the stream.
        """
        negatives = np.empty((len(users), n), np.int32)
        _build_draw()(
            key, users, first, self._sampler.share, *self._given, *self._catalogue,
            self._sampler.verified, *self._known, negatives,
        )  # fmt: skip
        return negatives


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
    chosen = np.empty(len(candidates), np.int32)
    _build_choice(choose)(candidates, scores, positive_scores, chosen)
    return chosen


@cache
def _build_choice(choose: Callable[..., Any]) -> Callable[..., None]:
    @kernel
    def choose_all(candidates, scores, positive_scores, chosen):  # type: ignore[no-untyped-def]
        for t in range(candidates.shape[0]):
            chosen[t], best = NONE_LEFT, positive_scores[t]
            for c in range(candidates.shape[1]):
                if candidates[t, c] < 0:
                    continue
                if chosen[t] < 0 or choose(scores[t, c], best, positive_scores[t]):
                    chosen[t], best = candidates[t, c], scores[t, c]

    return choose_all
