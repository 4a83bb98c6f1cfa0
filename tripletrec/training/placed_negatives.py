r"""Given negatives among hard ones: they take the place of a negative's candidates.

Where negatives are stored with the positives (see `bucketing`) they may lie in any item block. Candidates
come from the item block of their stratum, and so do the given negatives that take their place: of a user's g
given ones about g / B lie there, with B item blocks. So up to k of them are drawn, each taken with the
probability

.. math:: c = B \, (1 - (1 - s)^{1 / k}),

until one lies in the block, with the fewest tries k for which c is no more than 1: then a negative is a given
one with the probability s, the sampler's share. It is less where it takes more than one try, for users with
fewer given ones than there are blocks: none lies in most of them. Items are dealt into blocks anew in every
other epoch, so that each given one meets each positive.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.counter_random import below, derive, uniform
from tripletrec._runtime.jit import kernel
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.bucketing import Buckets
from tripletrec.training.triplet_records import Triplets

__all__ = ["Placed", "chances", "place_given"]

_MOST_TRIES = 2**10


class Placed(NamedTuple):
    """What is placed.

    Parameters
    ----------
    items : ItemsOfUsers
        The given negatives.
    position_of : int32 array of shape (n_items,)
        Of each item, see `dealing.Partition`.
    n_tries : int
    chance : float
        Probability that a try is made, see the module.
    """

    items: ItemsOfUsers
    position_of: NDArray[np.int32]
    n_tries: int
    chance: float


def chances(share: float, n_blocks: int) -> tuple[int, float]:
    """Return the number of tries and the probability of each.

    Parameters
    ----------
    share : float
        Of given negatives, in [0, 1).
    n_blocks : int
        Item blocks.

    Examples
    --------
    >>> from tripletrec.training.placed_negatives import chances
    >>> chances(0.5, 2), chances(0.1, 16)[0]
    ((1, 1.0), 2)
    """
    wanted = 1 if n_blocks == 1 else math.log1p(-share) / math.log1p(-1.0 / n_blocks)
    n_tries = max(1, min(_MOST_TRIES, math.ceil(wanted - 1e-9)))
    return n_tries, min(1.0, n_blocks * -math.expm1(math.log1p(-share) / n_tries))


@kernel(noalias=True)
def place_given(first, last, key, buckets, placed, n_negatives, n_candidates, triplets):
    """Put given negatives in place of candidates of strata first ... last - 1, as `draw_negatives` drew them.

    All candidates of a negative are the given one then.
    """
    buckets, triplets, placed = Buckets(*buckets), Triplets(*triplets), Placed(*placed)
    bounds, given = buckets.bounds, ItemsOfUsers(*placed.items)
    for s in range(first, last):
        begin, end = buckets.first_position[s], buckets.last_position[s]
        stream = derive(key, buckets.numbers[s])
        for t in range(bounds[s] - bounds[first], bounds[s + 1] - bounds[first]):
            user, number = triplets.pairs[t, 0], (t - (bounds[s] - bounds[first])) * n_negatives
            own = given.indptr[user]
            n = given.indptr[user + 1] - own
            if n == 0:
                continue
            for c in range(n_negatives):
                tries = derive(stream, number + c)
                for x in range(placed.n_tries):
                    if uniform(tries, 2 * x) >= placed.chance:
                        continue
                    item = given.indices[own + below(tries, 2 * x + 1, n)]
                    position = placed.position_of[item]
                    if begin <= position < end:
                        at = (t * n_negatives + c) * n_candidates
                        for a in range(at, at + n_candidates):
                            triplets.negatives[a] = position
                        break
