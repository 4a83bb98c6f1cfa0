"""The compiled loops: preparing an epoch, drawing its negatives, and the one training loop.

Kernels are built by factories that close over parts and over a fingerprint of the sources (see
`tripletrec._jit`). Arrays that belong together travel as plain tuples:

- ``known``: (indptr, indices) of the training positives;
- ``given``: (indptr, indices) of negatives handed in by the user, empty where there are none;
- ``catalogue``: (items, cumulative), the items in the order of their blocks and the search table of
  their weights (see `tripletrec.sampling`);
- ``triplets``: (users, positives, negatives, weights); weights are empty where all are 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tripletrec._jit import fingerprint, kernel, part, prefetch, use_whole_vectors
from tripletrec._random import below, derive
from tripletrec.choosing import only
from tripletrec.sampling import contains, draw_again, draw_given, pair_bits, propose
from tripletrec.schedule import partition

__all__ = ["Preparation", "build_epoch", "build_preparation"]

_AHEAD = 8  # triplets between the prefetch of a row and its use


class Preparation(NamedTuple):
    """The kernels that prepare an epoch."""

    partition: Callable[..., None]
    tally: Callable[..., None]
    place: Callable[..., None]
    shuffle: Callable[..., None]
    draw: Callable[..., None]


@cache
def build_preparation(given_negatives: bool) -> Preparation:
    """Return the kernels that bucket the interactions of an epoch and draw its negatives.

    Parameters
    ----------
    given_negatives : bool
        Whether negatives may be given, so that they are drawn before they are bucketed.

    Returns
    -------
    Preparation
    """
    stamp = fingerprint()

    @kernel
    def divide(dealt, n_blocks, key, order, bounds, block_of):
        _ = stamp
        partition(dealt, n_blocks, key, order, bounds, block_of)

    @kernel
    def draw_round(
        first, last, key, bounds, item_block, item_bounds, known, catalogue, verified,
        n_negatives, users, positives, pairs, doubtful, negatives,
    ):  # fmt: skip
        """Draw the negatives of strata first ... last - 1 into the front of `negatives`."""
        _ = stamp
        use_whole_vectors()
        indptr, indices = known
        items, cumulative = catalogue
        origin = bounds[first] * n_negatives
        for s in range(first, last):
            begin, end = item_bounds[item_block[s]], item_bounds[item_block[s] + 1]
            stream = derive(key, s)
            place, n_drawn = bounds[s] * n_negatives - origin, bounds[s + 1] - bounds[s]
            drawn = negatives[place : place + n_drawn * n_negatives]
            # Proposals for all, in a loop without branches; then a look at those that may be known.
            _propose_all(stream, items, begin, end, cumulative, drawn)
            # The known pairs of the stratum's users and items are its own triplets.
            n_bits = _note_pairs(pairs, users, positives, bounds[s], bounds[s + 1])
            n_doubtful = 0
            for t in range(n_drawn if verified else 0):
                user = users[bounds[s] + t]
                for c in range(n_negatives):
                    d = t * n_negatives + c
                    word, mask = pair_bits(user, drawn[d], n_bits)
                    doubtful[n_doubtful] = d
                    n_doubtful += (pairs[word] & mask) != np.uint64(0)
            for x in range(n_doubtful):
                d = doubtful[x]
                user = users[bounds[s] + d // n_negatives]
                if contains(indices, indptr[user], indptr[user + 1], drawn[d]):
                    drawn[d] = draw_again(
                        stream, d, user, items, begin, end, cumulative, known, pairs, n_bits
                    )

    @kernel
    def shuffle_round(first, last, key, bounds, triplets, places):
        """Shuffle the triplets of each of the strata first ... last - 1 (Fisher and Yates)."""
        _ = stamp
        use_whole_vectors()
        users, positives, negatives, weights = triplets
        for s in range(first, last):
            stream, begin = derive(key, s), bounds[s]
            # All random places first: a loop without branches, eight at a time.
            for t in range(bounds[s + 1] - begin):
                places[t] = below(stream, t, t + 1)
            for t in range(bounds[s + 1] - begin):
                a, b = np.uint64(begin + t), np.uint64(begin + places[t])
                users[a], users[b] = users[b], users[a]
                positives[a], positives[b] = positives[b], positives[a]
                if negatives.shape[0] > 0:
                    negatives[a], negatives[b] = negatives[b], negatives[a]
                if weights.shape[0] > 0:
                    weights[a], weights[b] = weights[b], weights[a]

    tally, place = _build_pass(given_negatives, False), _build_pass(given_negatives, True)
    return Preparation(divide, tally, place, shuffle_round, draw_round)


def _build_pass(given_negatives: bool, place: bool) -> Callable[..., None]:
    """Return the pass over the interactions that counts the strata, or fills them."""
    stamp = fingerprint()

    @kernel
    def visit(
        first, last, key, order, bounds, item_block, stratum, known, weights, given, catalogue,
        share, verified, n_negatives, starts, sizes, triplets,
    ):  # fmt: skip
        """Count into `sizes`, or place from `starts` on, the triplets of user blocks first ... last - 1."""
        _ = stamp
        indptr, indices = known
        given_indptr, given_indices = given
        items, cumulative = catalogue
        users, positives, negatives, weights_out = triplets
        for p in range(first, last):
            for position in range(bounds[p], bounds[p + 1]):
                u = order[position]
                for e in range(indptr[u], indptr[u + 1]):
                    i = indices[e]
                    for c in range(n_negatives if given_negatives else 1):
                        j = i
                        if given_negatives:
                            # Drawn in both passes: a pure function needs no memory.
                            j = draw_given(
                                derive(key, e * n_negatives + c), u, given_indptr, given_indices,
                                share, items, cumulative, verified, indptr, indices,
                            )  # fmt: skip
                            if j < 0:
                                continue
                        s = stratum[p, item_block[i], item_block[j] if given_negatives else 0]
                        n = sizes[s]
                        sizes[s] = n + 1
                        if place:
                            end = starts[s] + n
                            users[end], positives[end] = u, i
                            if given_negatives:
                                negatives[end] = j
                            if weights.shape[0] > 0:
                                weights_out[end] = weights[e]

    return visit


@part
def _propose_all(stream, items, first, last, cumulative, drawn):
    """Fill with the proposals 0, 1, 2, … of a stream."""
    if cumulative.shape[0] > 0:
        for d in range(drawn.shape[0]):
            drawn[d] = propose(stream, d, items, first, last, cumulative)
    else:
        stretch = items[first:last]
        for d in range(drawn.shape[0]):
            drawn[d] = stretch[np.uint64(below(stream, d, last - first))]


@part
def _note_pairs(pairs, users, positives, first, last):
    """Note a stratum's pairs in a filter that few other pairs pass; return its size in bits, log2."""
    n_bits = 6
    while (1 << n_bits) < 64 * (last - first) and (2 << n_bits) <= 64 * pairs.shape[0]:
        n_bits += 1
    pairs[: 1 << (n_bits - 6)] = np.uint64(0)
    for t in range(first, last):
        word, mask = pair_bits(users[t], positives[t], n_bits)
        pairs[word] |= mask
    return n_bits


@cache
def build_epoch(
    value: Callable[..., Any],
    slope: Callable[..., Any],
    score: Callable[..., Any],
    coefficients: Callable[..., Any],
    gradient: Callable[..., Any],
    step: Callable[..., Any],
    update: Callable[..., Any],
    width: int,
    far: bool,
    linear: bool = False,
    choose: Callable[..., Any] = only,
    n_candidates: int = 1,
) -> Callable[..., None]:
    """Return the training loop for one choice of parts.

    Parameters
    ----------
    value, slope : callable
        Of the loss.
    score, coefficients, gradient : callable
        Of the scorer.
    step, update : callable
        Of the optimizer.
    width : int
        Factors of a row, padding included: known when compiled, so that the loops unroll.
    far : bool
        Whether rows lie beyond the processor's cache, so that they should be prefetched.
    linear : bool, default False
        Whether a score is linear in the item, so that one product gives the difference of two.
    choose : callable, default `tripletrec.choosing.only`
        Which of the candidates for a negative is the one.
    n_candidates : int, default 1
        Candidates for each negative, next to each other in the array of negatives.

    Returns
    -------
    Dispatcher
    """
    stamp = fingerprint(value, slope, score, coefficients, gradient, step, update, choose)
    index = np.uint64  # signed indices would be checked for "from the end"

    @kernel
    def epoch(
        first, last, bounds, triplets, offset, n_negatives, user_table, user_clocks, item_table,
        item_clocks, bias_table, learn_bias, rate, l2, loss_parameters, step_parameters, noted,
        totals,
    ):  # fmt: skip
        """Learn from strata first ... last - 1; note loss, right order, weight, triplets in `totals`.

        `noted` is scratch for two numbers of each triplet of a stratum.
        """
        _ = stamp
        use_whole_vectors()
        real = user_table.dtype.type  # float64 in a loop over factors would halve the speed
        users, positives, negatives, weights = triplets
        U, V, b = user_table, item_table, bias_table
        l2_user, l2_positive, l2_negative, l2_bias = l2
        for s in range(first, last):
            count = 0
            for t in range(bounds[s], bounds[s + 1]):
                if far:
                    ahead = min(t + _AHEAD, bounds[last] - 1)
                    prefetch(U, users[ahead])
                    prefetch(V, positives[ahead])
                    prefetch(V, max(0, negatives[(ahead - offset) * n_negatives * n_candidates]))
                for c in range(n_negatives):
                    drawn = choose(
                        negatives, (t - offset) * n_negatives + c, n_candidates, users, positives,
                        t, U, V, b, score, width,
                    )  # fmt: skip
                    # No negative: the user likes all there is. The positive itself (an unverified
                    # sampler may draw it): x is 0 whatever the parameters are, no gradient.
                    if drawn < 0 or drawn == positives[t]:
                        continue
                    u, i, j = index(users[t]), index(positives[t]), index(drawn)
                    ui, uj, uu, ii, jj = real(0), real(0), real(0), real(0), real(0)
                    if linear:
                        for k in range(width):
                            ui += U[u, 0, k] * (V[i, 0, k] - V[j, 0, k])
                        x = real(ui + b[i, 0, 0] - b[j, 0, 0])
                    else:
                        for k in range(width):
                            a, p, q = U[u, 0, k], V[i, 0, k], V[j, 0, k]
                            ui += a * p
                            uj += a * q
                            uu += a * a
                            ii += p * p
                            jj += q * q
                        x = real(score(ui, uu, ii) - score(uj, uu, jj) + b[i, 0, 0] - b[j, 0, 0])
                    weight = weights[t] if weights.shape[0] > 0 else real(1)
                    noted[0, count], noted[1, count] = x, weight
                    count += 1
                    g = real(weight * slope(x, loss_parameters))
                    rate_u = real(step(user_clocks, u, rate, step_parameters))
                    rate_i = real(step(item_clocks, i, rate, step_parameters))
                    rate_j = real(step(item_clocks, j, rate, step_parameters))
                    # A triplet of weight 2 counts as two of them, so its L2 does as well.
                    l2_u, l2_i, l2_j = weight * l2_user, weight * l2_positive, weight * l2_negative
                    if learn_bias:
                        bi, bj, l2_b = b[i, 0, 0], b[j, 0, 0], weight * l2_bias
                        update(b, i, 0, g + l2_b * bi, rate_i, step_parameters)
                        update(b, j, 0, l2_b * bj - g, rate_j, step_parameters)
                    p_ui, q_ui = coefficients(ui, uu, ii)
                    p_uj, q_uj = coefficients(uj, uu, jj)
                    p_iu, q_iu = coefficients(ui, ii, uu)
                    p_ju, q_ju = coefficients(uj, jj, uu)
                    p_ui, q_ui, p_uj, q_uj = real(p_ui), real(q_ui), real(p_uj), real(q_uj)
                    p_iu, q_iu, p_ju, q_ju = real(p_iu), real(q_iu), real(p_ju), real(q_ju)
                    for k in range(width):
                        a, p, q = U[u, 0, k], V[i, 0, k], V[j, 0, k]
                        du = g * (gradient(p_ui, q_ui, a, p) - gradient(p_uj, q_uj, a, q))
                        di = g * gradient(p_iu, q_iu, p, a)
                        dj = -g * gradient(p_ju, q_ju, q, a)
                        update(U, u, k, du + l2_u * a, rate_u, step_parameters)
                        update(V, i, k, di + l2_i * p, rate_i, step_parameters)
                        update(V, j, k, dj + l2_j * q, rate_j, step_parameters)
            # Afterwards, because a loop over all of them takes eight or sixteen at once.
            loss, right, mass = 0.0, 0.0, 0.0
            for n in range(count):
                x, weight = noted[0, n], noted[1, n]
                loss += weight * value(x, loss_parameters)
                right += weight * (real(1) if x > 0 else real(0.5) if x == 0 else real(0))
                mass += weight
            totals[s, 0], totals[s, 1], totals[s, 2], totals[s, 3] = loss, right, mass, count

    return epoch
