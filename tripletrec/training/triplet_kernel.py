"""The compiled loops: preparing an epoch, drawing its negatives, and the one training loop.

Kernels are built by factories that close over parts and over a fingerprint of the sources (see
`tripletrec._runtime.jit`). Arrays that belong together travel as plain tuples:

- ``known``: (indptr, indices) of the training positives;
- ``given``: (indptr, indices) of negatives handed in by the user, empty where there are none;
- ``catalogue``: (items, cumulative), items by position and the search table of their weights, or None (see
  `tripletrec.sampling`);
- ``stored``: (codes, negatives, weights), stratum by stratum: user and positive of each triplet as one
  number (see `build_preparation`), negatives where they are given, weights where not all are 1;
- ``triplets``: (pairs, negatives, weights) of some strata, next to each other: user and positive of each,
  its negatives, and weights where not all are 1. Items go by their homes there, see
  `tripletrec.training.strata.Codes`.

The training loop takes the triplets of a stratum in groups: the products of all their rows, then all
slopes at once, then the steps, one after the other. So the processor never waits for a slope, and
computes sixteen for the price of one. A slope misses the steps of triplets before it in its group, as
it would in a mini-batch; `tripletrec.training.strata.group_size` says how many may make a group.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tripletrec._runtime.intrinsics import prefer_wide_vectors, prefetch
from tripletrec._runtime.jit import aligned, kernel, part
from tripletrec.sampling.hard import only

__all__ = ["GROUP", "build_epoch", "group_scratch"]

GROUP = 16  # at most so many triplets make a group: a vector of float32
_SHORT = 32  # factors
_AHEAD = 8  # triplets between the prefetch of a row and its use


@part
def _rates(step, user_step_counts, item_step_counts, u, i, j, rate, parameters):
    """Return the step sizes of a user's row, a positive's and a negative's, and advance their step_counts."""
    real = user_step_counts.dtype.type
    return (
        real(step(user_step_counts, u, rate, parameters)),
        real(step(item_step_counts, i, rate, parameters)),
        real(step(item_step_counts, j, rate, parameters)),
    )


def group_scratch(width: int) -> tuple[Any, Any, Any]:
    """Return scratch: the rows of a group's triplets, numbers made of their products, weights of one row."""
    lanes = tuple(np.zeros(n * GROUP, np.float32) for n in (1, 1, 1, 5, 8, 3))
    return np.zeros(5 * GROUP, np.uint64), lanes, aligned(width)


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
    n_state: int,
    n_step_counts: int,
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
    n_state : int
        Numbers that the optimizer keeps of each weight.
    n_step_counts : int
        Numbers that it keeps of each row; without any `step` changes nothing, and is called twice.
    linear : bool, default False
        Whether a score is linear in the item, so that one product gives the difference of two.
    choose : callable, default `tripletrec.sampling.hard.only`
        Which of the candidates for a negative is the one.
    n_candidates : int, default 1
        Candidates for each negative, next to each other in the array of negatives.

    Returns
    -------
    Dispatcher
    """
    index = np.uint64  # signed indices would be checked for "from the end"
    # Rows are places in flat tables of a width known here: the compiler sees what cannot overlap.
    row_size, bias_size = index(width * (1 + n_state)), index(1 + n_state)
    row_bytes = 4 * width * (1 + n_state)
    # Scratch is flat for the same reason: its row k begins at rk.
    r1, r2, r3, r4, r5, r6, r7 = (index(k * GROUP) for k in range(1, 8))

    @kernel(noalias=True)
    def epoch(
        first, last, bounds, triplets, n_negatives, group, user_table, user_step_counts,
        item_table, items, item_step_counts, bias_table, learn_bias, rate, l2, loss_parameters,
        step_parameters, rows, lanes, old, totals,
    ):  # fmt: skip
        """Learn from strata first ... last - 1; note loss, right order, weight, triplets in `totals`.

        An item has row `items[home]` of the table of items; its step_counts and its bias lie at its home.

        `rows`, `lanes` and `old` are scratch, see `group_scratch`.
        """
        prefer_wide_vectors()
        real = user_table.dtype.type  # float64 in a loop over factors would halve the speed
        # So short a loop would be unrolled before anyone thinks of vectors, unless its length is unknown.
        one, all_factors = index(1), index(width if width > _SHORT else old.shape[0])
        origin, last_of_all = bounds[first], index(bounds[last] - bounds[first] - 1)
        pairs, negatives, weights = triplets
        U, V, b = user_table, item_table, bias_table
        differences, masses, slopes, products, factors, rates = lanes
        l2_user, l2_positive, l2_negative, l2_bias = l2
        for s in range(first, last):
            loss, right, mass, count = 0.0, 0.0, 0.0, 0
            end = index(bounds[s + 1] - origin)
            for start in range(index(bounds[s] - origin), end, index(group)):
                for c in range(index(n_negatives)):
                    # Which triplets, and the products of their rows.
                    n = index(0)
                    for t in range(start, min(start + index(group), end)):
                        if far:
                            ahead = min(t + index(_AHEAD), last_of_all)
                            place = ahead * index(n_negatives) + c
                            prefetch(U, pairs[ahead, 0], row_bytes)
                            negative = max(0, negatives[place * index(n_candidates)])
                            prefetch(V, items[index(pairs[ahead, 1])], row_bytes)
                            prefetch(V, items[index(negative)], row_bytes)
                        drawn = choose(
                            negatives, t * index(n_negatives) + c, n_candidates,
                            pairs, t, U, V, items, b, score, width, row_size,
                        )  # fmt: skip
                        # No negative: the user likes all there is. The positive itself (an
                        # unverified sampler may draw it): x is 0 whatever the parameters are.
                        if drawn < 0 or drawn == pairs[t, 1]:
                            continue
                        u, i, j = index(pairs[t, 0]), index(pairs[t, 1]), index(drawn)
                        rows[n], rows[r1 + n], rows[r2 + n] = u, i, j
                        differences[n] = b[i * bias_size] - b[j * bias_size]
                        i, j = index(items[i]), index(items[j])
                        rows[r3 + n], rows[r4 + n] = i, j
                        masses[n] = weights[t] if weights.shape[0] > 0 else real(1)
                        u, i, j = u * row_size, i * row_size, j * row_size
                        ui, uj, uu, ii, jj = real(0), real(0), real(0), real(0), real(0)
                        if linear:
                            for k in range(all_factors):
                                ui += U[u + k] * (V[i + k] - V[j + k])
                        else:
                            for k in range(all_factors):
                                a, p, q = U[u + k], V[i + k], V[j + k]
                                ui += a * p
                                uj += a * q
                                uu += a * a
                                ii += p * p
                                jj += q * q
                            products[r1 + n], products[r2 + n] = uj, uu
                            products[r3 + n], products[r4 + n] = ii, jj
                        products[n] = ui
                        n += one
                    # What follows from these, for all at once; lanes beyond n are not used.
                    for m in range(index(masses.shape[0])):
                        x, ui, weight = differences[m], products[m], masses[m]
                        if linear:
                            x = real(x + ui)
                        else:
                            uj, uu = products[r1 + m], products[r2 + m]
                            ii, jj = products[r3 + m], products[r4 + m]
                            x = real(x + score(ui, uu, ii) - score(uj, uu, jj))
                            factors[m], factors[r1 + m] = coefficients(ui, uu, ii)
                            factors[r2 + m], factors[r3 + m] = coefficients(uj, uu, jj)
                            factors[r4 + m], factors[r5 + m] = coefficients(ui, ii, uu)
                            factors[r6 + m], factors[r7 + m] = coefficients(uj, jj, uu)
                        slopes[m] = weight * slope(x, loss_parameters)
                        if m < n:
                            half = real(1) if x > 0 else real(0.5) if x == 0 else real(0)
                            loss += weight * value(x, loss_parameters)
                            right += weight * half
                            mass += weight
                    count += int(n)
                    # The steps, one after the other: triplets of a group may share rows. Those of the biases
                    # first, by themselves: a processor has few registers for places in memory.
                    for m in range(n):
                        u, i, j, g, weight = (
                            rows[m],
                            rows[r1 + m],
                            rows[r2 + m],
                            slopes[m],
                            masses[m],
                        )
                        rate_u, rate_i, rate_j = _rates(
                            step, user_step_counts, item_step_counts, u, i, j, rate, step_parameters
                        )
                        if n_step_counts > 0:
                            rates[m], rates[r1 + m], rates[r2 + m] = rate_u, rate_i, rate_j
                        # A triplet of weight 2 counts as two of them, so its L2 does as well.
                        if learn_bias:
                            l2_b = weight * l2_bias
                            update(b, i * bias_size, one, g, l2_b, rate_i, step_parameters)
                            update(b, j * bias_size, one, -g, l2_b, rate_j, step_parameters)
                    for m in range(n):
                        u, i, j, g, weight = (
                            rows[m],
                            rows[r3 + m],
                            rows[r4 + m],
                            slopes[m],
                            masses[m],
                        )
                        if n_step_counts > 0:
                            rate_u, rate_i, rate_j = rates[m], rates[r1 + m], rates[r2 + m]
                        else:  # it has nothing to advance
                            rate_u, rate_i, rate_j = _rates(
                                step, user_step_counts, item_step_counts, u, rows[r1 + m], rows[r2 + m],
                                rate, step_parameters,
                            )  # fmt: skip
                        l2_u, l2_i, l2_j = (
                            weight * l2_user,
                            weight * l2_positive,
                            weight * l2_negative,
                        )
                        u, i, j = u * row_size, i * row_size, j * row_size
                        p_ui, q_ui, p_uj, q_uj = (
                            factors[m], factors[r1 + m], factors[r2 + m], factors[r3 + m],
                        )  # fmt: skip
                        p_iu, q_iu, p_ju, q_ju = (
                            factors[r4 + m], factors[r5 + m], factors[r6 + m], factors[r7 + m],
                        )  # fmt: skip
                        if n_state == 0:
                            for k in range(all_factors):
                                a, p, q = U[u + k], V[i + k], V[j + k]
                                du = g * (gradient(p_ui, q_ui, a, p) - gradient(p_uj, q_uj, a, q))
                                di = g * gradient(p_iu, q_iu, p, a)
                                dj = -g * gradient(p_ju, q_ju, q, a)
                                update(U, u + k, all_factors, du, l2_u, rate_u, step_parameters)
                                update(V, i + k, all_factors, di, l2_i, rate_i, step_parameters)
                                update(V, j + k, all_factors, dj, l2_j, rate_j, step_parameters)
                        else:
                            # One row of a table in a loop: whether two rows of items and their
                            # state overlap would have to be looked at, each time.
                            for k in range(all_factors):
                                a, p = U[u + k], V[i + k]
                                old[k] = p
                                di = g * gradient(p_iu, q_iu, p, a)
                                update(V, i + k, all_factors, di, l2_i, rate_i, step_parameters)
                            for k in range(all_factors):
                                a, p, q = U[u + k], old[k], V[j + k]
                                du = g * (gradient(p_ui, q_ui, a, p) - gradient(p_uj, q_uj, a, q))
                                dj = -g * gradient(p_ju, q_ju, q, a)
                                update(U, u + k, all_factors, du, l2_u, rate_u, step_parameters)
                                update(V, j + k, all_factors, dj, l2_j, rate_j, step_parameters)
            totals[s, 0], totals[s, 1], totals[s, 2], totals[s, 3] = loss, right, mass, count

    return epoch
