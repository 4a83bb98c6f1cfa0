"""Parts that draw one negative: proposals, known pairs, redraws; which samplers there are is in `samplers`.

A draw is a pure function of a stream of random numbers and of the data. Items are drawn by their position in
a `Pool`; a *verified* draw is repeated until the user is not known to like the item.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import picked
from tripletrec._runtime.counter_random import below, derive, uniform
from tripletrec._runtime.jit import part

__all__ = [
    "NONE_LEFT",
    "BloomFilter",
    "ItemsOfUsers",
    "Pool",
    "RowNumbers",
    "contains",
    "draw",
    "draw_again",
    "draw_distinct",
    "draw_from",
    "draw_given",
    "fill_filter",
    "filter_bits",
    "is_among",
    "is_known",
    "propose",
    "search_cumulative",
    "takes_given",
]

NONE_LEFT = -1  # in place of a negative: the user likes all there is
# After as many refusals, of many positions after a quarter of them, what is left is drawn from exactly.
_PROPOSALS = 24
_MANY = 1024
_NO_WORDS = np.zeros(1, np.uint64)


class Pool(NamedTuple):
    """The items that negatives are drawn from.

    Parameters
    ----------
    items : int32 array of shape (n_positions,)
        The item at each position.
    cumulative : float64 array of shape (n_positions + 1,) or None
        Running sums of the weights of the items, see `Sampler.cumulative`; None: all weigh the same.
    """

    items: NDArray[np.int32]
    cumulative: NDArray[np.float64] | None


class ItemsOfUsers(NamedTuple):
    """Pairs of users and items: the items of user u, ascending, are ``indices[indptr[u]:indptr[u + 1]]``."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    @property
    def n_users(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    def of(self, rows: NDArray[np.int64]) -> ItemsOfUsers:
        """Return the items of some users, with one row for each of them."""
        indptr, places = picked(self.indptr, rows)
        return ItemsOfUsers(indptr, self.indices[places])

    def without(self, items: NDArray[np.int64]) -> ItemsOfUsers:
        """Return what each user has beside some items."""
        gone = np.zeros(1 + max(self.indices.max(initial=0), items.max(initial=0)), bool)
        gone[items] = True
        kept = ~gone[self.indices]
        return ItemsOfUsers(np.concatenate(([0], np.cumsum(kept)))[self.indptr], self.indices[kept])


class RowNumbers(NamedTuple):
    """What the rows of a part of the data are numbered in all of it.

    Parameters
    ----------
    users : int32 array of shape (n_users,)
        Row of each of the part's users.
    first_position : int
        Position of the first of the part's items; the others follow.
    """

    users: NDArray[np.int32]
    first_position: int


class BloomFilter(NamedTuple):
    """A set of pairs of users and positions (Bloom, CACM 13, 1970); one hash function.

    It has false positives. They do not depend on the item, so draws stay unbiased.

    Parameters
    ----------
    words : uint64 array
        The first ``2**n_bits`` bits are the filter's.
    odd : uint64
        A random odd number, which decides on the false positives.
    n_bits : int
        0: there is no filter, so that pairs are looked up in the data.
    """

    words: NDArray[np.uint64]
    odd: Any
    n_bits: int


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
def filter_bits(words, n):
    """Return the `n_bits` of a filter of n pairs: 64 bits or more for each; 0 if there is no room."""
    n_bits = 6
    while (1 << n_bits) < 64 * n:
        n_bits += 1
    return n_bits if (1 << (n_bits - 6)) <= words.shape[0] else 0


@part
def fill_filter(bloom, pairs, numbers=None):
    """Make the filter that of these pairs, an array of shape (n, 2)."""
    if bloom.n_bits > 0:
        bloom.words[: 1 << (bloom.n_bits - 6)] = np.uint64(0)
        for t in range(pairs.shape[0]):
            word, mask = _bit_of(pairs[t, 0], pairs[t, 1], bloom, numbers)
            bloom.words[word] |= mask


@part
def _bit_of(user, position, bloom, numbers):
    """Return where the pair stands in the filter: a word and a mask."""
    if numbers is None:
        pair = (np.uint64(user) << np.uint64(32)) | np.uint64(position)
    else:
        pair = (np.uint64(numbers.users[user]) << np.uint64(32)) | np.uint64(
            numbers.first_position + position
        )
    # The high bits of a product with a random odd number (Dietzfelbinger et al., J. Algorithms 25, 1997).
    place = (pair * bloom.odd) >> np.uint64(64 - bloom.n_bits)
    return place >> np.uint64(6), np.uint64(1) << (place & np.uint64(63))


@part
def is_known(user, position, pool, known, bloom, numbers=None):
    """Whether the user and the item at a position are one of the known pairs, or pass for one."""
    if bloom.n_bits > 0:
        word, mask = _bit_of(user, position, bloom, numbers)
        return (bloom.words[word] & mask) != np.uint64(0)
    indptr, indices = known
    return contains(indices, indptr[user], indptr[user + 1], pool.items[position])


@part
def search_cumulative(cumulative, first, last, target):
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
    """Return proposal `number` of the stream: one of the positions first ... last - 1."""
    if cumulative is not None:
        low, high = cumulative[first], cumulative[last]
        target = low + uniform(stream, number) * (high - low)
        return search_cumulative(cumulative, first, last, target)
    return first + below(stream, number, last - first)


@part
def draw(stream, number, user, pool, verified, known):
    """Draw negative `number` of the stream from the whole pool; NONE_LEFT if `user` likes all of it."""
    # The first proposals are neighbours in one stream, which is cheap; most are not refused.
    n_positions = pool.items.shape[0]
    position = propose(stream, number, 0, n_positions, pool.cumulative)
    bloom = BloomFilter(_NO_WORDS, np.uint64(0), 0)
    if verified and is_known(user, position, pool, known, bloom):
        position = draw_again(stream, number, user, pool, 0, n_positions, known, bloom)
    return pool.items[position] if position >= 0 else NONE_LEFT


@part
def draw_again(stream, number, user, pool, first, last, known, bloom, numbers=None):
    """Return the position that is drawn after the first proposal was refused, or NONE_LEFT."""
    own, most = derive(stream, number), _most_proposals(first, last)
    for attempt in range(1, most):
        position = np.int32(propose(own, attempt, first, last, pool.cumulative))
        if not is_known(user, position, pool, known, bloom, numbers):
            return position
    return _draw_rest(own, most, user, pool, first, last, known)


@part
def _most_proposals(first, last):
    """Return after how many refusals to look at all positions: by then that takes no longer."""
    return (last - first) >> 2 if last - first >= _MANY else _PROPOSALS


@part
def _draw_rest(stream, number, user, pool, first, last, known):
    """Draw a position from all that `user` is not known to like; NONE_LEFT if there are none.

    Exact, by random number `number` of the stream, but it looks at all of the positions.
    """
    indptr, indices = known
    target = np.inf
    for _turn in range(2):  # first the sum of their weights, then where the running sum passes
        total = 0.0
        for position in range(first, last):
            if not contains(indices, indptr[user], indptr[user + 1], pool.items[position]):
                total += _weight(position, pool.cumulative)
                if total > target:
                    return position
        if total == 0.0:
            break
        target = uniform(stream, number) * total
    return NONE_LEFT


@part
def _weight(position, cumulative):
    return 1.0 if cumulative is None else cumulative[position + 1] - cumulative[position]


@part
def draw_given(stream, user, given, share, pool, verified, known, has_all):
    """Draw, with probability `share`, one of the user's given negatives, else from the pool."""
    indptr, indices = given
    n_given = indptr[user + 1] - indptr[user]
    return draw_from(
        stream, user, indices, indptr[user], n_given, share, pool, verified, known, has_all
    )


@part
def takes_given(stream, n, share):
    """Whether the draw of a stream is one of n given items, for which the probability is `share`."""
    return n > 0 and uniform(stream, 0) < share


@part
def draw_from(stream, user, items, first, n, share, pool, verified, known, has_all):
    """Draw, with probability `share`, one of ``items[first:first + n]``, else from the pool.

    `has_all` says that a verified draw from the pool has nothing left, which it would take long to find.
    """
    if takes_given(stream, n, share):
        return items[first + below(stream, 1, n)]
    if has_all:
        return NONE_LEFT
    return draw(derive(stream, 2), 0, user, pool, verified, known)


@part
def is_among(positions, n, position):
    """Whether `position` is one of the first `n`."""
    found = False
    for c in range(n):
        found |= positions[c] == position
    return found


@part
def draw_distinct(stream, user, pool, first, last, verified, known, taken, n):
    """Return a position that is none of the first `n` of `taken`; NONE_LEFT if there is no other.

    It is drawn as by a verified draw, or one that is not, from what the others leave.
    """
    most = _most_proposals(first, last)
    for attempt in range(most):
        position = propose(stream, attempt, first, last, pool.cumulative)
        if _is_left(position, user, pool, verified, known, taken, n):
            return position
    target = np.inf
    for _turn in range(2):  # as in _draw_rest
        total = 0.0
        for position in range(first, last):
            if _is_left(position, user, pool, verified, known, taken, n):
                total += _weight(position, pool.cumulative)
                if total > target:
                    return position
        if total == 0.0:
            break
        target = uniform(stream, most) * total
    return NONE_LEFT


@part
def _is_left(position, user, pool, verified, known, taken, n):
    """Whether a position is none of the first `n` taken ones nor, if verified, that of a known item."""
    bloom = BloomFilter(_NO_WORDS, np.uint64(0), 0)
    return not is_among(taken, n, position) and not (
        verified and is_known(user, position, pool, known, bloom)
    )
