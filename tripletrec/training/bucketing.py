"""The kernels that prepare an epoch of triplets: buckets, their order, negatives; learning is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from tripletrec._runtime.counter_random import below, bits, derive
from tripletrec._runtime.intrinsics import prefer_wide_vectors, prefetch
from tripletrec._runtime.jit import kernel, part
from tripletrec.sampling.draw import draw_again, draw_given, is_known, pair_bits, propose
from tripletrec.training.strata import build_partition

__all__ = ["Preparation", "build_preparation"]


class Preparation(NamedTuple):
    """The kernels that prepare an epoch."""

    partition: Callable[..., None]
    visit: Callable[..., None]
    shuffle: Callable[..., None]
    draw: Callable[..., None]


@cache
def build_preparation(given_negatives: bool) -> Preparation:
    """Return the kernels that bucket the interactions of an epoch and draw its negatives.

    A stored user and positive are one number, see `tripletrec.training.strata.Codes`, of four bytes
    in place of eight.

    Parameters
    ----------
    given_negatives : bool
        Whether negatives may be given, so that they are drawn before they are bucketed.

    Returns
    -------
    Preparation
    """
    index = np.uint64  # signed indices would be checked for "from the end"

    @kernel(noalias=True)
    def draw_round(
        first, last, key, bounds, item_first, item_last, known, catalogue, verified,
        n_negatives, pairs, filter_words, doubtful, negatives,
    ):  # fmt: skip
        """Draw the negatives of strata first ... last - 1 into the front of `negatives`.

        The items of stratum s have homes `item_first[s]` ... `item_last[s]` - 1.
        """
        prefer_wide_vectors()
        items, cumulative = catalogue
        origin = bounds[first] * n_negatives
        for s in range(first, last):
            begin, end = item_first[s], item_last[s]
            stream, n = derive(key, s), bounds[s + 1] - bounds[s]
            place = bounds[s] * n_negatives - origin
            drawn = negatives[place : place + n * n_negatives]
            _propose_all(stream, begin, end, cumulative, drawn)
            if not verified or n == 0:
                continue
            # The known pairs of the stratum's users and items are its own.
            own = pairs[bounds[s] - bounds[first] : bounds[s + 1] - bounds[first]]
            seen = filter_words, bits(~stream, 0) | np.uint64(1), _filter_bits(filter_words, n)
            _note_pairs(own, seen)
            # Whether all are doubtful, in a loop without branches; then those that are, one by one.
            for c in range(n_negatives):
                for t in range(n):
                    d = t * n_negatives + c
                    doubtful[d] = is_known(own[t, 0], drawn[d], items, known, seen)
            n_doubtful = 0
            for d in range(n * n_negatives):
                is_doubtful = doubtful[d]
                doubtful[n_doubtful] = d
                n_doubtful += is_doubtful
            for x in range(n_doubtful):
                d = doubtful[x]
                drawn[d] = draw_again(
                    stream, d, own[d // n_negatives, 0], items, begin, end, cumulative, known, seen
                )

    @kernel(noalias=True)
    def shuffle_round(
        first, last, key, bounds, stored, item_bits, users, user_bounds, user_block, item_first,
        places, triplets,
    ):  # fmt: skip
        """Write strata first ... last - 1 to the front of `triplets`, each in random order.

        Stratum s has the users of block `user_block[s]`, and items with homes from `item_first[s]` on.
        """
        prefer_wide_vectors()
        codes, negatives, weights = stored
        pairs, own_negatives, own_weights = triplets
        item_bits = index(item_bits)
        rest = (index(1) << item_bits) - index(1)
        for s in range(first, last):
            stream, n = derive(key, s), bounds[s + 1] - bounds[s]
            # All random places first: a loop without branches, eight at a time.
            for t in range(n):
                places[t] = below(stream, t, t + 1)
            block, home = user_block[s], index(item_first[s])
            own_users = users[user_bounds[block] : user_bounds[block + 1]]
            # A stream is loaded much faster than the places of it that are wanted, one by one.
            prefetch(own_users, 0, own_users.nbytes)
            a, b, to = bounds[s], bounds[s + 1], bounds[s] - bounds[first]
            own_codes, own = codes[a:b], pairs[to : to + n]
            # Each comes to a random place among those before it, and what was there goes to the end
            # (Fisher and Yates, from the inside out).
            for t in range(index(n)):
                place, code = index(places[t]), index(own_codes[t])
                own[t, 0], own[t, 1] = own[place, 0], own[place, 1]
                own[place, 0], own[place, 1] = own_users[code >> item_bits], home + (code & rest)
            if negatives.shape[0] > 0:
                _mix(places, negatives[a:b], own_negatives[to : to + n])
            if weights.shape[0] > 0:
                _mix(places, weights[a:b], own_weights[to : to + n])

    return Preparation(build_partition(), _build_pass(given_negatives), shuffle_round, draw_round)


def _build_pass(given_negatives: bool) -> Callable[..., None]:
    """Return the pass over the interactions that counts the strata, or fills them: compiled once."""
    index = np.uint64  # signed indices would be checked for "from the end"

    @kernel(noalias=True)
    def visit(
        first, last, key, order, bounds, item_block, item_home, stratum, known, weights,
        given, catalogue, share, verified, n_negatives, bits_of, place, starts, sizes, stored,
    ):  # fmt: skip
        """Count the triplets of user blocks first ... last - 1 into `sizes`; `place` them from `starts`."""
        indptr, indices = known
        given_indptr, given_indices = given
        items, cumulative = catalogue
        codes, negatives, weights_out = stored
        place_bits, item_bits = index(bits_of[0]), index(bits_of[1])
        rest = (index(1) << item_bits) - index(1)
        for p in range(first, last):
            counts, of_blocks = sizes[p], stratum[p]
            for position in range(bounds[p], bounds[p + 1]):
                u, user_code = order[position], index(position - bounds[p]) << item_bits
                for e in range(index(indptr[u]), index(indptr[u + 1])):
                    i = index(indices[e])
                    for c in range(n_negatives if given_negatives else 1):
                        j = i
                        if given_negatives:
                            # Drawn in both passes: a pure function needs no memory.
                            drawn = draw_given(
                                derive(key, e * index(n_negatives) + index(c)), u, given_indptr,
                                given_indices, share, items, cumulative, verified, indptr, indices,
                            )  # fmt: skip
                            if drawn < 0:
                                continue
                            j = index(drawn)
                        # Block numbers alone are half as far apart in memory.
                        home = index(item_home[i]) if place else index(0)
                        block = home >> place_bits if place else index(item_block[i])
                        other = index(item_block[j]) if given_negatives else index(0)
                        s = index(of_blocks[block, other])
                        n = counts[s]
                        counts[s] = n + 1
                        if place:
                            end = index(starts[s] + n)
                            codes[end] = user_code | (home & rest)
                            if given_negatives:
                                negatives[end] = item_home[j]
                            if weights.shape[0] > 0:
                                weights_out[end] = weights[e]

    return visit


@part
def _mix(places, source, shuffled):
    """Write numbers in the order of `shuffle_round`."""
    for t in range(source.shape[0]):
        place = np.uint64(places[t])
        shuffled[t] = shuffled[place]
        shuffled[place] = source[t]


@part
def _propose_all(stream, first, last, cumulative, drawn):
    """Fill with the proposals 0, 1, 2, … of a stream."""
    for d in range(drawn.shape[0]):
        drawn[d] = propose(stream, d, first, last, cumulative)


@part
def _filter_bits(filter_words, n):
    """Return the size, log2 of bits, of a filter of n pairs that few others pass; 0 if there is no room."""
    n_bits = 6
    while (1 << n_bits) < 64 * n:
        n_bits += 1
    return n_bits if (1 << (n_bits - 6)) <= filter_words.shape[0] else 0


@part
def _note_pairs(pairs, seen):
    filter_words, odd, n_bits = seen
    if n_bits > 0:
        filter_words[: 1 << (n_bits - 6)] = np.uint64(0)
        for t in range(pairs.shape[0]):
            word, mask = pair_bits(pairs[t, 0], pairs[t, 1], odd, n_bits)
            filter_words[word] |= mask
