"""Parts that draw one negative: proposals, known pairs, redraws; which samplers there are is elsewhere.

All are pure functions of a stream of random numbers and of the data.
"""

from __future__ import annotations

import numpy as np

from tripletrec._runtime.counter_random import below, derive, uniform
from tripletrec._runtime.jit import part

__all__ = [
    "NONE_LEFT",
    "contains",
    "draw",
    "draw_again",
    "draw_given",
    "is_known",
    "pair_bits",
    "propose",
]

NONE_LEFT = -1  # in place of a negative: the user likes all there is
_PROPOSALS = 24  # after as many refusals the rest is listed and drawn from exactly
_NO_FILTER = np.zeros(1, np.uint64)


@part
def contains(indices, first, last, item):
    """Whether `item` is in the sorted ``indices[first:last]``."""
    # Bisection without a branch on the data: a processor cannot guess these, and a wrong guess
    # costs more than the whole search.
    base, n = np.uint64(first), np.uint64(last - first)
    if last <= first:
        return False
    while n > np.uint64(1):
        half = n >> np.uint64(1)
        base += half * np.uint64(indices[base + half - np.uint64(1)] < item)
        n -= half
    return indices[base] == item


@part
def pair_bits(user, position, odd, n_bits):
    """Return where the pair is noted in a filter of ``2**n_bits`` bits: a word and a mask."""
    pair = (np.uint64(user) << np.uint64(32)) | np.uint64(position)
    # The high bits of a product with a random odd number (Dietzfelbinger et al., J. Algorithms 25, 1997).
    place = (pair * odd) >> np.uint64(64 - n_bits)
    return place >> np.uint64(6), np.uint64(1) << (place & np.uint64(63))


@part
def _search(cumulative, first, last, target):
    """Return the last position p of first ... last - 1 with ``cumulative[p] <= target``."""
    while last - first > 1:
        middle = (first + last) >> 1
        if cumulative[middle] <= target:
            first = middle
        else:
            last = middle
    return first


@part
def propose(stream, number, first, last, cumulative):
    """Return proposal `number` of the stream: a position in the stretch from `first` to before `last`."""
    if cumulative is not None:
        low, high = cumulative[first], cumulative[last]
        target = low + uniform(stream, number) * (high - low)
        return _search(cumulative, first, last, target)
    return first + below(stream, number, last - first)


@part
def is_known(user, position, items, known, seen):
    """Whether the user and the item at a position are one of the `known` pairs.

    With a filter of users and positions some other pairs pass for known, too. Which ones is random, so
    that they are as likely to be any, and what is drawn remains unbiased.
    """
    pairs, odd, n_bits = seen
    if n_bits > 0:
        word, mask = pair_bits(user, position, odd, n_bits)
        return (pairs[word] & mask) != np.uint64(0)
    indptr, indices = known
    return contains(indices, indptr[user], indptr[user + 1], items[position])


@part
def draw(stream, number, user, items, first, last, cumulative, verified, known):
    """Draw negative `number` of the stream from ``items[first:last]``; NONE_LEFT if `user` likes all.

    A pure function of its arguments.
    """
    # The first proposals are neighbours in one stream, which is cheap; most are not refused.
    position = propose(stream, number, first, last, cumulative)
    seen = (_NO_FILTER, np.uint64(0), 0)
    if verified and is_known(user, position, items, known, seen):
        position = draw_again(stream, number, user, items, first, last, cumulative, known, seen)
    return items[position] if position >= 0 else NONE_LEFT


@part
def draw_again(stream, number, user, items, first, last, cumulative, known, seen):
    """Return the position that follows when the first proposal was a known pair, or NONE_LEFT."""
    own = derive(stream, number)
    for attempt in range(1, _PROPOSALS):
        position = np.int32(propose(own, attempt, first, last, cumulative))
        if not is_known(user, position, items, known, seen):
            return position
    return _draw_rest(own, user, items, first, last, cumulative, known)


@part
def _draw_rest(stream, user, items, first, last, cumulative, known):
    """Draw a position from all that `user` is not known to like; NONE_LEFT if there are none.

    Exact, but it visits the whole stretch.
    """
    indptr, indices = known
    target = np.inf
    for _turn in range(2):  # first the sum of their weights, then where the running sum passes
        total = 0.0
        for position in range(first, last):
            if not contains(indices, indptr[user], indptr[user + 1], items[position]):
                if cumulative is not None:
                    total += cumulative[position + 1] - cumulative[position]
                else:
                    total += 1.0
                if total > target:
                    return position
        target = uniform(stream, _PROPOSALS) * total
    return NONE_LEFT


@part
def draw_given(
    stream, user, given_indptr, given, share, items, cumulative, verified, indptr, indices
):
    """Draw, with probability `share`, one of the user's given negatives, else from all items."""
    n_given = given_indptr[user + 1] - given_indptr[user]
    if n_given > 0 and uniform(stream, 0) < share:
        return given[given_indptr[user] + below(stream, 1, n_given)]
    rest, n_items = derive(stream, 2), items.shape[0]
    return draw(rest, 0, user, items, 0, n_items, cumulative, verified, (indptr, indices))
