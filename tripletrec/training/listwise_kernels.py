"""The compiled loops of list-wise training: what is not a matrix product in the work on a block.

A block is some users with all their positives, and the items it touches, its *slots*: first the
candidates, then those positives that are not among them. Arrays that belong together travel as tuples:

- ``pairs``: (rows, slots, weights, logits, hits, slopes, bounds, order, starts): of each positive its
  row in the block, its slot and so on, row after row from ``bounds``; ``order`` lists them slot after
  slot, from ``starts``;
- ``items``: (slots, units, lengths, biases, multiples): of each slot its item, row as the products see
  it, one over its norm, bias, and how many items it stands for;
- ``pieces``: (exponentiate, peaks, masses, sums): the candidates cut up into pieces of equal width; of each
  piece and row the exponentiate scores, what they are relative to, their sum, and their product with the
  items' rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tripletrec._runtime.counter_random import below, uniform
from tripletrec._runtime.jit import kernel, part
from tripletrec.scorers import normalize_row, normalize_row_backward

__all__ = ["BlockKernels", "CandidateKernels", "build_block", "build_candidates"]


class CandidateKernels(NamedTuple):
    """The kernels that choose what a block looks at."""

    draw_uniform: Callable[..., int]
    draw_weighted: Callable[..., int]
    collect: Callable[..., int]


class BlockKernels(NamedTuple):
    """The kernels that learn from a block; see `build_block`."""

    take_users: Callable[..., None]
    take_items: Callable[..., None]
    exponentiate: Callable[..., None]
    reduce: Callable[..., Any]
    learn_users: Callable[..., None]
    learn_items: Callable[..., None]


@part
def _search(cumulative, target):
    first, last = 0, cumulative.shape[0] - 1
    while last - first > 1:
        middle = (first + last) >> 1
        if cumulative[middle] <= target:
            first = middle
        else:
            last = middle
    return first


@cache
def build_candidates() -> CandidateKernels:
    """Return the kernels that draw candidates and list the positives of a block."""

    @kernel
    def draw_uniform(n, key, catalogue, slots, slot_of, multiples):
        """Draw `n` different items: shuffle the front of the catalogue (Fisher and Yates)."""
        n_items = catalogue.shape[0]
        for t in range(n):
            s = t + below(key, t, n_items - t)
            item = catalogue[s]
            catalogue[s] = catalogue[t]
            catalogue[t] = item
            slots[t] = item
            slot_of[item] = t
            multiples[t] = n_items / n
        return n

    @kernel
    def draw_weighted(n, key, cumulative, slots, slot_of, multiples):
        """Draw `n` times by the weights; an item drawn twice is one candidate that counts twice."""
        total = cumulative[cumulative.shape[0] - 1]
        n_slots = 0
        for t in range(n):
            item = _search(cumulative, uniform(key, t) * total)
            slot = slot_of[item]
            if slot < 0:
                slot = n_slots
                slots[slot] = item
                slot_of[item] = slot
                multiples[slot] = 0.0
                n_slots += 1
            multiples[slot] += total / (n * (cumulative[item + 1] - cumulative[item]))
        return n_slots

    @kernel
    def collect(users, known, weights, slot_of, slots, n_slots, pairs):
        """List the positives of a block, give those without a slot one; return the number of slots."""
        indptr, indices = known
        rows, pair_slots, pair_weights, _1, _2, _3, bounds, order, starts = pairs
        n = 0
        for row in range(users.shape[0]):
            bounds[row] = n
            for e in range(indptr[users[row]], indptr[users[row] + 1]):
                item = indices[e]
                if slot_of[item] < 0:
                    slot_of[item] = n_slots
                    slots[n_slots] = item
                    n_slots += 1
                rows[n] = row
                pair_slots[n] = slot_of[item]
                pair_weights[n] = weights[e] if weights.shape[0] > 0 else 1.0
                n += 1
        bounds[users.shape[0]] = n
        for slot in range(n_slots + 1):
            starts[slot] = 0
        for p in range(n):
            starts[pair_slots[p]] += 1
        running = 0
        for slot in range(n_slots + 1):
            running += starts[slot]
            starts[slot] = running
        for p in range(n - 1, -1, -1):
            starts[pair_slots[p]] -= 1
            order[starts[pair_slots[p]]] = p
        return n_slots

    return CandidateKernels(draw_uniform, draw_weighted, collect)


@part
def _to_unit(row, cosine):
    return normalize_row(row) if cosine else np.float32(1.0)


@cache
def build_block(
    exponentiate_row: Callable[..., Any],
    reduce_row: Callable[..., Any],
    step: Callable[..., Any],
    update: Callable[..., None],
    cosine: bool,
    width: int,
    n_state: int,
) -> BlockKernels:
    """Return the kernels that learn from one block.

    Parameters
    ----------
    exponentiate_row, reduce_row : callable
        Of the list-wise loss.
    step, update : callable
        Of the optimizer.
    cosine : bool
        Whether rows are scaled to length one first.
    width : int
        Factors of a row, padding included.
    n_state : int
        Numbers that the optimizer keeps of each weight.

    Returns
    -------
    BlockKernels
    """
    # Rows of tables as places in flat arrays.
    size, bias_size = width * (1 + n_state), 1 + n_state

    @kernel
    def take_users(users, table, dropout, key, masks, units, lengths):
        """Copy the rows of a block's users, drop some of their factors, scale them to length one."""
        kept = np.float32(1.0 / (1.0 - dropout))
        for row in range(users.shape[0]):
            u = users[row]
            for k in range(width):
                units[row, k] = table[u * size + k]
            if dropout > 0.0:
                for k in range(width):
                    mask = np.float32(0.0) if uniform(key, u * width + k) < dropout else kept
                    masks[row, k] = mask
                    units[row, k] *= mask
            lengths[row] = _to_unit(units[row], cosine)

    @kernel
    def take_items(first, last, table, bias_table, items):
        slots, units, lengths, biases, _1 = items
        for slot in range(first, last):
            i = slots[slot]
            for k in range(width):
                units[slot, k] = table[i * size + k]
            lengths[slot] = _to_unit(units[slot], cosine)
            biases[slot] = bias_table[i * bias_size]

    @kernel
    def exponentiate(
        first, last, n_rows, masked, scale, parameters, pairs, items, rows, peaks, masses
    ):
        """Spread the scores of candidates first ... last - 1, all rows of the block."""
        pair_rows, order, starts = pairs[0], pairs[7], pairs[8]
        biases, multiples = items[3][first:last], items[4][first:last]
        if masked:
            for slot in range(first, last):
                for x in range(starts[slot], starts[slot + 1]):
                    rows[pair_rows[order[x]], slot - first] = -np.inf
        for r in range(n_rows):
            row = rows[r, : last - first]
            peaks[r], masses[r] = exponentiate_row(row, biases, multiples, scale, parameters)

    @kernel
    def reduce(
        n_rows, n_pieces, n_candidates, piece, n_items, masked, scale, parameters, pairs, items,
        pieces, users, user_gradients, coefficients,
    ):  # fmt: skip
        """Compute losses and all derivatives by scores; return the sum of the losses."""
        _1, pair_slots, weights, logits, hits, slopes, bounds, _2, _3 = pairs
        _4, units, _5, biases, _6 = items
        exponentials, peaks, masses, sums = pieces
        total = 0.0
        for r in range(n_rows):
            peak = -np.inf
            for c in range(n_pieces):
                peak = max(peak, np.float64(peaks[c, r]))
            mass = 0.0
            for c in range(n_pieces):
                share = np.exp(peaks[c, r] - peak) if peaks[c, r] > -np.inf else 0.0
                coefficients[c, r] = share
                # Not "if share": a piece that is not finite must show in the sum.
                mass += masses[c, r] * share if peaks[c, r] != -np.inf else 0.0
            for p in range(bounds[r], bounds[r + 1]):
                slot = pair_slots[p]
                score = np.float32(0.0)
                for k in range(width):
                    score += users[r, k] * units[slot, k]
                logits[p] = score * scale + biases[slot]
                c = slot // piece
                hits[p] = 0.0
                if slot < n_candidates and not masked:
                    hits[p] = exponentials[c, r, slot - c * piece] * coefficients[c, r]
            n_unknown = n_items - (bounds[r + 1] - bounds[r] if masked else 0)
            value, factor = reduce_row(
                bounds[r], bounds[r + 1], peak, mass, n_unknown, logits, weights, hits, slopes,
                parameters,
            )  # fmt: skip
            total += value
            for k in range(width):
                user_gradients[r, k] = 0.0
            for c in range(n_pieces):
                coefficients[c, r] *= factor
                share = coefficients[c, r]
                for k in range(width):
                    user_gradients[r, k] += share * sums[c, r, k]
            for p in range(bounds[r], bounds[r + 1]):
                slope, slot = np.float32(slopes[p]), pair_slots[p]
                for k in range(width):
                    user_gradients[r, k] += slope * units[slot, k]
        return total

    @kernel
    def learn_users(
        users, table, step_counts, rate, l2, step_parameters, pairs, dropout, masks, units, lengths,
        gradients,
    ):  # fmt: skip
        weights, bounds = pairs[2], pairs[6]
        for r in range(users.shape[0]):
            u = users[r]
            weight = np.float32(0.0)
            for p in range(bounds[r], bounds[r + 1]):
                weight += weights[p]
            if cosine:
                normalize_row_backward(gradients[r], units[r], lengths[r])
            if dropout > 0.0:
                for k in range(width):
                    gradients[r, k] *= masks[r, k]
            own, l2_u = np.float32(step(step_counts, u, rate, step_parameters)), weight * l2
            for k in range(width):
                update(table, u * size + k, width, gradients[r, k], l2_u, own, step_parameters)

    @kernel
    def learn_items(
        first, last, n_candidates, table, bias_table, step_counts, learn_bias, rate, l2, temperature,
        step_parameters, pairs, items, users, gradients, bias_gradients,
    ):  # fmt: skip
        """Update the items of slots first ... last - 1, and the rows and biases kept for them."""
        rows, weights, slopes, order, starts = pairs[0], pairs[2], pairs[5], pairs[7], pairs[8]
        slots, units, lengths, biases, _1 = items
        _2, l2_positive, l2_negative, l2_bias = l2
        for slot in range(first, last):
            i = slots[slot]
            candidate = slot < n_candidates
            if not candidate:
                for k in range(width):
                    gradients[slot, k] = 0.0
                bias_gradients[slot] = 0.0
            weight, by_bias = np.float32(0.0), np.float32(bias_gradients[slot])
            for x in range(starts[slot], starts[slot + 1]):
                slope, r = np.float32(slopes[order[x]]), rows[order[x]]
                weight += weights[order[x]]
                by_bias += slope
                for k in range(width):
                    gradients[slot, k] += slope * users[r, k]
            if cosine:
                normalize_row_backward(gradients[slot], units[slot], lengths[slot])
            l2_i = weight * l2_positive + (l2_negative if candidate else np.float32(0.0))
            own = np.float32(step(step_counts, i, rate, step_parameters))
            for k in range(width):
                update(table, i * size + k, width, gradients[slot, k], l2_i, own, step_parameters)
                units[slot, k] = table[i * size + k]
            lengths[slot] = _to_unit(units[slot], cosine)
            if learn_bias:
                at, by_bias = i * bias_size, np.float32(temperature * by_bias)
                update(bias_table, at, 1, by_bias, weight * l2_bias, own, step_parameters)
                biases[slot] = bias_table[at]

    return BlockKernels(take_users, take_items, exponentiate, reduce, learn_users, learn_items)
