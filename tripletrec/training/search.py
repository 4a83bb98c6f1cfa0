"""The search of losses such as WARP for a negative that costs something; losses are in `losses`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tripletrec._runtime.jit import index, part
from tripletrec.sampling.draw import NONE_LEFT
from tripletrec.training.hard_negatives import pair_score

__all__ = ["build_search"]


def build_search(
    value: Callable[..., Any], score: Callable[..., Any], width: int, sizes: tuple[Any, Any, Any]
) -> Callable[..., Any]:
    """Return the part that searches for the negative of a triplet; see `hard_negatives`."""

    @part
    def search(n, t, number, triplets, users, items, hyper, scratch, sums):
        """Find the first candidate that costs something, and note its weight as number `n` of the group.

        Returns the triplet that has the positive, the position of the negative (NONE_LEFT: there is none),
        and the sums of loss, right order, weights and triplets; to the last three the triplet is added.
        """
        negatives, weights = triplets.negatives, triplets.weights
        loss, right, mass, count = sums
        place, limit = _positive(
            t, triplets, users, items, hyper.search, scratch, score, width, sizes
        )
        user, positive = triplets.pairs[t, 0], triplets.pairs[place, 1]
        weight = weights[place] if weights.shape[0] > 0 else np.float32(1)
        n_candidates = index(hyper.search.weights.shape[0])
        tries, found = 0, NONE_LEFT
        for c in range(number * n_candidates, (number + index(1)) * n_candidates):
            position = negatives[c]
            if position < 0 or position == positive:
                continue
            x = np.float32(limit - pair_score(user, position, users, items, score, width, sizes))
            if tries == 0:
                right += weight * (
                    np.float32(1) if x > 0 else np.float32(0.5) if x == 0 else np.float32(0)
                )
                mass += weight
                count += 1
            # So written a loss that is not a number costs something: a diverged model must show.
            if not value(x, hyper.loss) <= 0:
                scratch.rank_weights[n], found = hyper.search.weights[tries], position
                break
            tries += 1
        return place, found, (loss, right, mass, count)

    return search


@part
def _positive(t, triplets, users, items, search, scratch, score, width, sizes):
    """Return which triplet has the positive that triplet `t` learns from, and its score.

    Of the user's positives that are compared it is the k-th best; of equal scores the first counts.
    """
    scores, best, k = scratch.best_scores, scratch.best, search.k
    user, held = triplets.pairs[t, 0], 0
    for c in range(search.n_positives):
        place = np.int64(t)
        if c > 0:
            place = np.int64(triplets.others[np.int64(t) * (search.n_positives - 1) + c - 1])
        s = pair_score(user, triplets.pairs[place, 1], users, items, score, width, sizes)
        m = held
        while m > 0 and s > scores[m - 1]:
            if m < k:
                scores[m], best[m] = scores[m - 1], best[m - 1]
            m -= 1
        if m < k:
            scores[m], best[m] = s, place
            held = min(held + 1, k)
    return best[held - 1], scores[held - 1]
