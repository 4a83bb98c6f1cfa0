"""The kernels that prepare an epoch: buckets, order, negatives; rows are dealt into blocks in `dealing`.

Once for each deal of the items the interactions are *bucketed* by their strata, in two passes: the first
counts what is in each bucket, the second places it there. In every epoch the triplets of a stratum are
shuffled and their negatives drawn, just before they are learnt.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.counter_random import below, bits, derive
from tripletrec._runtime.intrinsics import prefer_wide_vectors, prefetch
from tripletrec._runtime.jit import index, kernel, part
from tripletrec.sampling.draw import (
    NONE_LEFT,
    BloomFilter,
    ItemsOfUsers,
    Pool,
    draw_again,
    draw_distinct,
    draw_from,
    fill_filter,
    filter_bits,
    is_among,
    is_known,
    propose,
)
from tripletrec.training.dealing import Partition
from tripletrec.training.triplet_records import Triplets

__all__ = [
    "Buckets",
    "GivenNegatives",
    "Stored",
    "UserPositives",
    "bucket",
    "bucket_first",
    "draw_negatives",
    "draw_others",
    "make_distinct",
    "shuffle_strata",
]


class UserPositives(NamedTuple):
    """The training positives by user.

    Parameters
    ----------
    indptr, indices : int64 array of shape (n_users + 1,), int32 array of shape (n,)
    weights : float32 array of shape (n,) or (0,)
        Empty where all weigh 1.
    numbers : int64 array of shape (n_users,)
        Number, among the positives of all users, of the first one of each user: where these are all the users
        there are it is where the user's begin.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    numbers: NDArray[np.int64]


class GivenNegatives(NamedTuple):
    """How negatives are drawn where the user of the package gives some, or grades the positives.

    Parameters
    ----------
    key : uint64
        The stream of the draws.
    items : ItemsOfUsers
        The given ones; of graded positives all, by rising value.
    n_lower : int32 array of shape (n_positives,) or None
        With how many of a user's items, from the first one on, a positive may be compared: those of lower
        value. None: with all.
    share : float
        Probability of a given one, for users who have any.
    pool : Pool
        The items that the others are drawn from.
    verified : bool
    n_negatives : int
    """

    key: Any
    items: ItemsOfUsers
    n_lower: NDArray[np.int32] | None
    share: float
    pool: Pool
    verified: bool
    n_negatives: int


class Stored(NamedTuple):
    """Triplets, stratum by stratum.

    Parameters
    ----------
    codes : uint32 or uint64 array of shape (n,)
        User and positive of each, see `strata.Codes`.
    negatives : int32 array of shape (n,) or (0,)
        Their positions, where negatives are given.
    weights : float32 array of shape (n,) or (0,)
        Empty where all weigh 1.
    """

    codes: NDArray[Any]
    negatives: NDArray[np.int32]
    weights: NDArray[np.float32]


class Buckets(NamedTuple):
    """The strata of an epoch, and whose triplets they hold.

    Parameters
    ----------
    numbers : int64 array of shape (n_strata,)
        Number of each stratum in the epoch: its random numbers depend on it.
    bounds : int64 array of shape (n_strata + 1,)
        Where the triplets of each begin.
    user_block : int32 array of shape (n_strata,)
    users : int32 array
        Rows of the users, block by block.
    user_bounds : int64 array
        Where the user blocks begin in `users`.
    first_position, last_position : int64 array of shape (n_strata,)
        The items of a stratum have the positions from the one to before the other. Where strata have pairs
        of blocks, codes hold whole positions, and both are 0.
    """

    numbers: NDArray[np.int64]
    bounds: NDArray[np.int64]
    user_block: NDArray[np.int32]
    users: NDArray[np.int32]
    user_bounds: NDArray[np.int64]
    first_position: NDArray[np.int64]
    last_position: NDArray[np.int64]


@kernel(noalias=True)
def bucket(
    first, last, users, items, positives, given, stratum, code_bits, place, starts, sizes, stored
):
    """Count the triplets of user blocks first ... last - 1 into `sizes`; `place` them from `starts`.

    The blocks are those of the partition `users`, and `stratum`, the table of `Strata`, has their rows only.
    `items` is a partition, `given` the `GivenNegatives` or None, `code_bits` the first two fields of `Codes`.
    """
    indptr, indices, weights, numbers = positives
    place_bits, item_bits = index(code_bits[0]), index(code_bits[1])
    rest = (index(1) << item_bits) - index(1)
    for p in range(first, last):
        counts, of_blocks = sizes[p], stratum[p]
        for t in range(users.bounds[p], users.bounds[p + 1]):
            u, user_code = users.order[t], index(t - users.bounds[p]) << item_bits
            has_all = given is not None and _has_all(indptr[u + 1] - indptr[u], given)
            for e in range(index(indptr[u]), index(indptr[u + 1])):
                i = index(indices[e])
                for c in range(1 if given is None else given.n_negatives):
                    j = i
                    if given is not None:
                        number = e + index(numbers[u] - indptr[u])
                        known = ItemsOfUsers(indptr, indices)
                        drawn = _draw_given(e, number, c, u, given, known, has_all)
                        if drawn < 0:
                            continue
                        j = index(drawn)
                    # Block numbers alone are half as far apart in memory.
                    position = index(items.position_of[i]) if place else index(0)
                    block = position >> place_bits if place else index(items.block_of[i])
                    other = index(0) if given is None else index(items.block_of[j])
                    s = index(of_blocks[block, other])
                    n = counts[s]
                    counts[s] = n + 1
                    if place:
                        end = index(starts[s] + n)
                        stored.codes[end] = user_code | (position & rest)
                        if given is not None:
                            stored.negatives[end] = items.position_of[j]
                        if weights.shape[0] > 0:
                            stored.weights[end] = weights[e]


def bucket_first(
    first: int,
    last: int,
    users: Partition,
    items: Partition,
    positives: UserPositives,
    stratum: NDArray[np.int32],
    code_bits: tuple[int, int],
    place: bool,
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    stored: Stored,
) -> None:
    """Do what `bucket` does where no negatives are given, by NumPy."""
    bounds, own = users.bounds[first : last + 1], sizes[first:last]
    rows, n_rows = users.order[bounds[0] : bounds[-1]], np.diff(bounds)
    begins = positives.indptr[rows]
    n_each = positives.indptr[rows + np.int64(1)] - begins
    e = np.repeat(begins - n_each.cumsum() + n_each, n_each) + np.arange(n_each.sum())
    i = positives.indices[e]
    block = np.repeat(np.repeat(np.arange(last - first), n_rows), n_each)
    s = stratum[first:last][block, items.block_of[i], 0]
    counts = np.bincount(block * own.shape[1] + s, minlength=own.size)
    own += counts.reshape(own.shape)
    if not place:
        return
    places = np.arange(len(rows)) - np.repeat(bounds[:-1] - bounds[0], n_rows)
    item_bits = code_bits[1]
    codes = np.repeat(places, n_each) << item_bits | items.position_of[i] & ((1 << item_bits) - 1)
    order = s.argsort(kind="stable")
    s = s[order]
    end = starts[s] + np.arange(len(s)) - s.searchsorted(s)  # a stratum has one user block
    stored.codes[end] = codes[order]
    if len(positives.weights):
        stored.weights[end] = positives.weights[e[order]]


@part
def _draw_given(e, number, c, user, given, known, has_all):
    """Draw negative `c` of positive `e`: the same in both passes, so that nothing has to be kept."""
    stream = derive(given.key, number * index(given.n_negatives) + index(c))
    first = given.items.indptr[user]
    n = _n_given(e, given.items.indptr[user + 1] - first, given.n_lower)
    return draw_from(
        stream, user, given.items.indices, first, n, given.share, given.pool, given.verified, known,
        has_all,
    )  # fmt: skip


@part
def _has_all(n_known, given):
    """Whether a user of so many known items has none left to draw: the pool has each item once."""
    return given.verified and n_known == given.pool.items.shape[0]


@part
def _n_given(e, n, n_lower):
    return n if n_lower is None else n_lower[e]


@kernel(noalias=True)
def shuffle_strata(first, last, key, buckets, stored, item_bits, places, triplets):
    """Write strata first ... last - 1 to the front of `triplets`, each in random order.

    `places` is scratch.
    """
    prefer_wide_vectors()
    buckets, stored, triplets = Buckets(*buckets), Stored(*stored), Triplets(*triplets)
    bounds, pairs = buckets.bounds, triplets.pairs
    item_bits = index(item_bits)
    rest = (index(1) << item_bits) - index(1)
    for s in range(first, last):
        stream, n = derive(key, buckets.numbers[s]), bounds[s + 1] - bounds[s]
        # All random places first: a loop without branches, eight at a time.
        for t in range(n):
            places[t] = below(stream, t, t + 1)
        block, position = buckets.user_block[s], index(buckets.first_position[s])
        own_users = buckets.users[buckets.user_bounds[block] : buckets.user_bounds[block + 1]]
        # A stream is loaded much faster than the places of it that are wanted, one by one.
        prefetch(own_users, 0, own_users.nbytes)
        a, b, to = bounds[s], bounds[s + 1], bounds[s] - bounds[first]
        own_codes, own = stored.codes[a:b], pairs[to : to + n]
        # Each comes to a random place among those before it, and what was there goes to the end
        # (Fisher and Yates, from the inside out).
        for t in range(index(n)):
            place, code = index(places[t]), index(own_codes[t])
            own[t, 0], own[t, 1] = own[place, 0], own[place, 1]
            own[place, 0], own[place, 1] = own_users[code >> item_bits], position + (code & rest)
        if stored.negatives.shape[0] > 0:
            _shuffle_alike(places, stored.negatives[a:b], triplets.negatives[to : to + n])
        if stored.weights.shape[0] > 0:
            _shuffle_alike(places, stored.weights[a:b], triplets.weights[to : to + n])


@part
def _shuffle_alike(places, source, shuffled):
    """Write numbers in the order of the pairs."""
    for t in range(source.shape[0]):
        place = index(places[t])
        shuffled[t] = shuffled[place]
        shuffled[place] = source[t]


@kernel(noalias=True)
def draw_negatives(
    first,
    last,
    key,
    buckets,
    known,
    pool,
    verified,
    n_negatives,
    triplets,
    words,
    doubtful,
    numbers,
):
    """Draw the negatives of strata first ... last - 1, whose pairs `shuffle_strata` has written.

    `words` and `doubtful` are scratch. `numbers` is None, or the `RowNumbers` where the arrays hold a part of
    all rows.
    """
    prefer_wide_vectors()
    buckets, known, pool = Buckets(*buckets), ItemsOfUsers(*known), Pool(*pool)
    triplets = Triplets(*triplets)
    bounds, pairs, negatives = buckets.bounds, triplets.pairs, triplets.negatives
    origin = bounds[first] * n_negatives
    for s in range(first, last):
        begin, end = buckets.first_position[s], buckets.last_position[s]
        stream, n = derive(key, buckets.numbers[s]), bounds[s + 1] - bounds[s]
        place = bounds[s] * n_negatives - origin
        drawn = negatives[place : place + n * n_negatives]
        _propose_all(stream, begin, end, pool.cumulative, drawn)
        if not verified or n == 0:
            continue
        # The known pairs of the stratum's users and items are its own.
        own = pairs[bounds[s] - bounds[first] : bounds[s + 1] - bounds[first]]
        bloom = BloomFilter(words, bits(~stream, index(0)) | np.uint64(1), filter_bits(words, n))
        fill_filter(bloom, own, numbers)
        n_doubtful = _list_doubtful(own, drawn, n_negatives, pool, known, bloom, numbers, doubtful)
        # Who has all of the block is found out once and noted where `doubtful` was read: no more users than
        # the block has items, so that looking for one takes less than drawing.
        n_full = 0
        for x in range(n_doubtful):
            d = doubtful[x]
            user = own[d // n_negatives, 0]
            if is_among(doubtful, n_full, user):
                drawn[d] = NONE_LEFT
                continue
            drawn[d] = draw_again(stream, d, user, pool, begin, end, known, bloom, numbers)
            if drawn[d] == NONE_LEFT and n_full < end - begin:
                doubtful[n_full] = user
                n_full += 1


@part(fused=True)
def _list_doubtful(own, drawn, n_negatives, pool, known, bloom, numbers, doubtful):
    """Write to `doubtful` which negatives may be of known pairs, and return their number."""
    n_doubtful, n_each = index(0), index(n_negatives)
    if n_negatives == 1:  # whether all are, in a loop without branches, several at a time
        for t in range(own.shape[0]):
            doubtful[t] = is_known(own[t, 0], drawn[t], pool, known, bloom, numbers)
        for t in range(own.shape[0]):
            is_doubtful = index(doubtful[t])
            doubtful[n_doubtful] = t
            n_doubtful += is_doubtful
        return n_doubtful
    for t in range(index(own.shape[0])):
        for d in range(t * n_each, t * n_each + n_each):
            doubtful[n_doubtful] = d
            n_doubtful += index(is_known(own[t, 0], drawn[d], pool, known, bloom, numbers))
    return n_doubtful


@kernel(noalias=True)
def make_distinct(
    first, last, key, buckets, known, pool, verified, n_negatives, n_alike, triplets
):  # fmt: skip
    """Draw again, of each triplet's negatives, those that are already among each run of `n_alike`.

    They are what `draw_negatives`, with the same arguments, has drawn; NONE_LEFT is for where all are taken.
    """
    buckets, known, pool = Buckets(*buckets), ItemsOfUsers(*known), Pool(*pool)
    triplets, bounds = Triplets(*triplets), buckets.bounds
    for s in range(first, last):
        begin, end = buckets.first_position[s], buckets.last_position[s]
        stream = ~derive(key, buckets.numbers[s])
        for t in range(bounds[s] - bounds[first], bounds[s + 1] - bounds[first]):
            own = (t - (bounds[s] - bounds[first])) * n_negatives
            for a in range(t * n_negatives, (t + 1) * n_negatives, n_alike):
                run = triplets.negatives[a : a + n_alike]
                for c in range(1, n_alike):
                    if run[c - 1] < 0:
                        run[c] = run[c - 1]
                    elif is_among(run, c, run[c]):
                        number = own + a - t * n_negatives + c
                        run[c] = draw_distinct(
                            derive(stream, number), triplets.pairs[t, 0], pool, begin, end, verified,
                            known, run, c,
                        )  # fmt: skip


@kernel(noalias=True)
def draw_others(
    first, last, order_key, key, buckets, stored, item_bits, n_others, triplets, places
):  # fmt: skip
    """Draw, for each triplet, further ones of its user in its stratum, with replacement.

    The triplets are what `shuffle_strata` has written by the stream `order_key`; `places` is scratch, twice
    as long as a stratum.
    """
    buckets, stored, triplets = Buckets(*buckets), Stored(*stored), Triplets(*triplets)
    bounds, item_bits = buckets.bounds, index(item_bits)
    for s in range(first, last):
        n, to = bounds[s + 1] - bounds[s], bounds[s] - bounds[first]
        order, stream = derive(order_key, buckets.numbers[s]), derive(key, buckets.numbers[s])
        stored_at, shuffled_at = places[:n], places[n : 2 * n]
        for t in range(n):
            place = below(order, t, t + 1)
            stored_at[t] = stored_at[place]
            stored_at[place] = t
        for t in range(n):
            shuffled_at[stored_at[t]] = t
        # As they are stored those of a user are next to each other.
        codes, begin = stored.codes[bounds[s] : bounds[s + 1]], 0
        while begin < n:
            end, user = begin, index(codes[begin]) >> item_bits
            while end < n and index(codes[end]) >> item_bits == user:
                end += 1
            for e in range(begin, end):
                at = (to + shuffled_at[e]) * n_others
                for c in range(n_others):
                    other = begin + below(stream, e * n_others + c, end - begin)
                    triplets.others[at + c] = to + shuffled_at[other]
            begin = end


@part
def _propose_all(stream, first, last, cumulative, drawn):
    """Fill `drawn` with the proposals 0, 1, 2, … of a stream."""
    for d in range(drawn.shape[0]):
        drawn[d] = propose(stream, d, first, last, cumulative)
