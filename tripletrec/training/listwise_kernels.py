"""The compiled loops of list-wise training: all but the matrix products; `listwise` calls both in turn.

The arrays that they work on are those of `listwise_batch`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tripletrec._runtime.counter_random import uniform
from tripletrec._runtime.intrinsics import prefer_wide_vectors, prefetch
from tripletrec._runtime.jit import index, kernel, part
from tripletrec.losses.listwise import ListLoss
from tripletrec.optimizers import Optimizer
from tripletrec.scorers import normalize_row, normalize_row_backward
from tripletrec.training.given_weights import exchange, list_given
from tripletrec.training.listwise_batch import (
    BatchItems,
    BatchPositives,
    BatchUsers,
    CandidatePieces,
    Given,
    HistoryRows,
)

__all__ = [
    "BatchKernels",
    "ItemStep",
    "backpropagate",
    "build_batch_kernels",
    "build_learn_row",
    "collect",
    "drop_out",
    "normalize",
]


_ONE = index(1)
_AHEAD = index(4)  # slots between the prefetch of a row and its use


class ItemStep(NamedTuple):
    """What the updates of all items of a batch share, float32; kernels take it as a plain tuple."""

    rate: np.float32
    l2_positive: np.float32
    l2_negative: np.float32
    l2_bias: np.float32
    temperature: np.float32  # biases are learnt in units of the logit
    parameters: tuple[np.float32, ...]  # of the optimizer


class BatchKernels(NamedTuple):
    """The kernels that learn from a batch, in the order in which they are called."""

    take_items: Callable[..., None]
    take_users: Callable[..., None]
    exponentiate: Callable[..., None]
    reduce: Callable[..., float]
    learn_users: Callable[..., None]
    learn_items: Callable[..., None]


# -------------------------------------------------------------------- which items a batch touches


@kernel
def collect(users, known, weights, given_weights, slot_of, n_slots, batch):
    """List the positives of a batch, give a slot to those without one; return the number of slots."""
    indptr, indices = known
    positives, slots, given = BatchPositives(*batch[0]), BatchItems(*batch[1]), Given(*batch[2])
    n, n_candidates = 0, n_slots
    for row in range(users.shape[0]):
        given.bounds[row + 1] = list_given(
            users[row], given_weights, slot_of, n_candidates, slots.importance, given.bounds[row],
            given.slots, given.weighed,
        )  # fmt: skip
        positives.bounds[row] = n
        for e in range(indptr[users[row]], indptr[users[row] + 1]):
            item = indices[e]
            if slot_of[item] < 0:
                slot_of[item] = n_slots
                slots.items[n_slots] = item
                n_slots += 1
            positives.rows[n] = row
            positives.slots[n] = slot_of[item]
            positives.weights[n] = weights[e] if weights.shape[0] > 0 else 1.0
            n += 1
    positives.bounds[users.shape[0]] = n
    _sort_by_slot(n, n_slots, positives)
    return n_slots


@part
def _sort_by_slot(n, n_slots, positives):
    slots, bounds = positives.slots, positives.slot_bounds
    for slot in range(n_slots + 1):
        bounds[slot] = 0
    for p in range(n):
        bounds[slots[p]] += 1
    running = 0
    for slot in range(n_slots + 1):
        running += bounds[slot]
        bounds[slot] = running
    for p in range(n - 1, -1, -1):
        bounds[slots[p]] -= 1
        positives.by_slot[bounds[slots[p]]] = p


# -------------------------------------------------------------------- parts of the kernels that learn


@part
def normalize(row, cosine):
    """Scale a row to length one with the scorer "cosine"; return one over its norm, else 1."""
    return normalize_row(row) if cosine else np.float32(1.0)


@part(fused=True)
def drop_out(r, u, dropout, key, rows):
    """Leave out a random share of the factors of row r, that of user u; the others make up for it."""
    n_factors = rows.vectors.shape[1]  # unknown to the compiler, see `take`
    kept_scale = np.float32(1.0 / (1.0 - dropout))
    for k in range(n_factors):
        is_kept = uniform(key, u * n_factors + k) >= dropout
        rows.masks[r, k] = kept_scale if is_kept else np.float32(0.0)
        rows.vectors[r, k] *= rows.masks[r, k]


@part(fused=True)
def backpropagate(r, dropout, rows, cosine):
    """Turn the gradient by the vector of row r into that by what was taken: before dropout and scaling."""
    gradient = rows.gradients[r]
    if cosine:
        normalize_row_backward(gradient, rows.vectors[r], rows.inverse_norms[r])
    if dropout > 0.0:
        for k in range(rows.vectors.shape[1]):
            gradient[k] *= rows.masks[r, k]


@cache
def build_learn_row(
    step_of: Callable[..., Any], update: Callable[..., None], width: int, n_state: int
) -> Any:
    """Return the part that updates a user's row in the flat table."""
    size = width * (1 + n_state)

    @part(fused=True)
    def learn_row(r, u, positives, rows, table, step_counts, rate, l2, parameters):
        """Update the row of user u by the gradient in row r; the L2 is that of each positive, weighted."""
        weight, gradient = np.float32(0.0), rows.gradients[r]
        for p in range(positives.bounds[r], positives.bounds[r + 1]):
            weight += positives.weights[p]
        step_size, l2_u = np.float32(step_of(step_counts, u, rate, parameters)), weight * l2
        for k in range(rows.gradients.shape[1]):
            update(table, u * size + k, width, gradient[k], l2_u, step_size, parameters)

    return learn_row


@part
def _merge_pieces(r, n_pieces, pieces):
    """Return peak and mass of row r; write to `coefficients` what relates the pieces' peaks to this one."""
    peak = -np.inf
    for c in range(n_pieces):
        peak = max(peak, np.float64(pieces.peaks[c, r]))
    mass = 0.0
    for c in range(n_pieces):
        rescaling = np.exp(pieces.peaks[c, r] - peak) if pieces.peaks[c, r] > -np.inf else 0.0
        pieces.coefficients[c, r] = rescaling
        # Not "if rescaling": a piece that is not finite must show in the sum.
        mass += pieces.masses[c, r] * rescaling if pieces.peaks[c, r] != -np.inf else 0.0
    return peak, mass


# -------------------------------------------------------------------- the kernels that learn


def build_batch_kernels(
    loss: ListLoss, optimizer: Optimizer, *, cosine: bool, width: int, mixed: bool = False
) -> BatchKernels:
    """Return the kernels that learn from one batch.

    Tables come to them flat (see `tripletrec.training.tables.FactorTables`). Losses and optimizers that
    differ in their numbers only share kernels.

    Parameters
    ----------
    loss : ListLoss
    optimizer : Optimizer
    cosine : bool
        Whether rows are scaled to length one first.
    width : int
        Factors of a row, padding included.
    mixed : bool, default False
        Whether users are mixes of a row and their history; `listwise_history` then has their kernels.
    """
    exponentiate, reduce = _build_score_kernels(loss.exponentiate, loss.reduce)
    of_rows = optimizer.step, optimizer.update, cosine, width, len(optimizer.state)
    take_users, learn_users = _build_user_kernels(*of_rows)
    take_items, learn_items = _build_item_kernels(*of_rows, mixed)
    return BatchKernels(take_items, take_users, exponentiate, reduce, learn_users, learn_items)


@cache
def _build_score_kernels(
    exponentiate_row: Callable[..., Any], reduce_row: Callable[..., Any]
) -> tuple[Any, Any]:
    @kernel
    def exponentiate(c, first, last, n_rows, masked, scale, parameters, batch):
        """Exponentiate the scores of piece c, whose slots are first ... last - 1, in all rows."""
        positives, slots, pieces = (
            BatchPositives(*batch[0]),
            BatchItems(*batch[1]),
            CandidatePieces(*batch[2]),
        )
        given = Given(*batch[3])  # whose slots no other piece has
        biases, importance = slots.biases[first:last], slots.importance[first:last]
        if masked:
            for slot in range(first, last):
                for x in range(positives.slot_bounds[slot], positives.slot_bounds[slot + 1]):
                    row = positives.rows[positives.by_slot[x]]
                    pieces.exponentials[c, row, slot - first] = -np.inf
        for r in range(n_rows):
            scores = pieces.exponentials[c, r, : last - first]
            begin, end = given.bounds[r], given.bounds[r + 1]
            exchange(begin, end, given.slots, given.weighed, first, last, importance)
            peak, mass = exponentiate_row(scores, biases, importance, scale, parameters)
            exchange(begin, end, given.slots, given.weighed, first, last, importance)
            pieces.peaks[c, r], pieces.masses[c, r] = peak, mass

    @kernel(noalias=True)
    def reduce(begin, end, n_candidates, n_items, masked, scale, parameters, batch):
        """Compute losses, slopes of positives and gradients of rows begin ... end - 1; return their loss."""
        positives, slots = BatchPositives(*batch[0]), BatchItems(*batch[1])
        pieces, rows = CandidatePieces(*batch[2]), BatchUsers(*batch[3])
        n_factors = rows.vectors.shape[1]  # unknown to the compiler, see `take`
        piece_size = pieces.exponentials.shape[2]
        n_pieces = -(-n_candidates // piece_size)
        total = 0.0
        for r in range(begin, end):
            first, last = positives.bounds[r], positives.bounds[r + 1]
            peak, mass = _merge_pieces(r, n_pieces, pieces)
            for p in range(first, last):
                slot = positives.slots[p]
                score = np.float32(0.0)
                for k in range(n_factors):
                    score += rows.vectors[r, k] * slots.vectors[slot, k]
                positives.logits[p] = score * scale + slots.biases[slot]
                positives.hits[p] = 0.0
                if slot < n_candidates and not masked:
                    c = slot // piece_size
                    exponential = pieces.exponentials[c, r, slot - c * piece_size]
                    positives.hits[p] = exponential * pieces.coefficients[c, r]
            n_unknown = n_items - (last - first if masked else 0)
            value, factor = reduce_row(
                first, last, peak, mass, n_unknown, positives.logits, positives.weights,
                positives.hits, positives.slopes, parameters,
            )  # fmt: skip
            total += value
            for k in range(n_factors):
                rows.gradients[r, k] = 0.0
            for c in range(n_pieces):
                pieces.coefficients[c, r] *= factor
                coefficient = pieces.coefficients[c, r]
                for k in range(n_factors):
                    rows.gradients[r, k] += coefficient * pieces.sums[c, r, k]
            for p in range(first, last):
                slope, slot = np.float32(positives.slopes[p]), positives.slots[p]
                for k in range(n_factors):
                    rows.gradients[r, k] += slope * slots.vectors[slot, k]
        return total

    return exponentiate, reduce


@cache
def _build_user_kernels(
    step_of: Callable[..., Any],
    update: Callable[..., None],
    cosine: bool,
    width: int,
    n_state: int,
) -> tuple[Any, Any]:
    size = width * (1 + n_state)  # of a row in the flat table
    learn_row = build_learn_row(step_of, update, width, n_state)

    @kernel
    def take_users(first, last, users, table, dropout, key, rows):
        """Copy the factors of users first ... last - 1 from their table, with dropout."""
        rows = BatchUsers(*rows)
        for row in range(first, last):
            u = users[row]
            for k in range(width):
                rows.vectors[row, k] = table[u * size + k]
            if dropout > 0.0:
                drop_out(row, u, dropout, key, rows)
            rows.inverse_norms[row] = normalize(rows.vectors[row], cosine)

    @kernel(noalias=True)
    def learn_users(first, last, users, table, step_counts, rate, l2, parameters, dropout, batch):
        """Update users first ... last - 1 of a batch."""
        positives, rows = BatchPositives(*batch[0]), BatchUsers(*batch[1])
        for r in range(first, last):
            backpropagate(r, dropout, rows, cosine)
            learn_row(r, users[r], positives, rows, table, step_counts, rate, l2, parameters)

    return take_users, learn_users


@cache
def _build_item_kernels(
    step_of: Callable[..., Any],
    update: Callable[..., None],
    cosine: bool,
    width: int,
    n_state: int,
    mixed: bool,
) -> tuple[Any, Any]:
    # Of a row in a flat table, and of the weights of one.
    size, bias_size = index(width * (1 + n_state)), index(1 + n_state)
    size_bytes, row_bytes = 4 * width * (1 + n_state), 4 * width

    @part(fused=True)
    def take(slot, table, bias_table, slots):
        """Copy factors and bias of the item of a slot from the tables."""
        # A loop of known length would be unrolled before it is vectorized.
        i, vectors = index(slots.items[slot]), slots.vectors
        for k in range(index(vectors.shape[1])):
            vectors[slot, k] = table[i * size + k]
        slots.inverse_norms[slot] = normalize(vectors[slot], cosine)
        slots.biases[slot] = bias_table[i * bias_size]

    @kernel(noalias=True)
    def take_items(first, last, table, bias_table, slots):
        """Copy factors and biases of slots first ... last - 1 from the tables."""
        prefer_wide_vectors()
        slots = BatchItems(*slots)
        for slot in range(index(first), index(last)):
            ahead = slots.items[min(slot + _AHEAD, index(last) - _ONE)]
            prefetch(table, ahead * (1 + n_state), row_bytes)
            take(slot, table, bias_table, slots)

    @part(fused=True)
    def gather(slot, positives, slots, rows, histories):
        """Add to the gradients of a slot what its positives have of them; return the positives' weight."""
        n_factors, weight = index(slots.vectors.shape[1]), np.float32(0.0)
        bounds = positives.slot_bounds
        for x in range(index(bounds[slot]), index(bounds[slot + _ONE])):
            p = index(positives.by_slot[x])
            slope, r = np.float32(positives.slopes[p]), index(positives.rows[p])
            weight += positives.weights[p]
            slots.bias_gradients[slot] += slope
            history_weight = histories.weights[p] if mixed else np.float32(0.0)
            for k in range(n_factors):
                if mixed:
                    slots.gradients[slot, k] += history_weight * histories.gradients[r, k]
                slots.gradients[slot, k] += slope * rows.vectors[r, k]
        return weight

    @kernel(noalias=True)
    def learn_items(
        first, last, n_candidates, table, bias_table, step_counts, item_bias, retake, step, batch
    ):
        """Update the items of slots first ... last - 1 in the tables; if `retake`, take them anew.

        The gradients of candidates hold what scores of candidates have of them.
        """
        prefer_wide_vectors()
        positives, slots = BatchPositives(*batch[0]), BatchItems(*batch[1])
        rows, histories = BatchUsers(*batch[2]), HistoryRows(*batch[3])
        step, gradients = ItemStep(*step), slots.gradients
        n_factors = index(slots.vectors.shape[1])
        for slot in range(index(first), index(last)):
            ahead = slots.items[min(slot + _AHEAD, index(last) - _ONE)]
            prefetch(table, ahead, size_bytes)
            i, candidate = index(slots.items[slot]), slot < index(n_candidates)
            if not candidate:
                for k in range(n_factors):
                    gradients[slot, k] = 0.0
                slots.bias_gradients[slot] = 0.0
            weight = gather(slot, positives, slots, rows, histories)
            if cosine:
                normalize_row_backward(
                    gradients[slot], slots.vectors[slot], slots.inverse_norms[slot]
                )
            l2 = weight * step.l2_positive + (step.l2_negative if candidate else np.float32(0.0))
            step_size = np.float32(step_of(step_counts, i, step.rate, step.parameters))
            for k in range(n_factors):
                g = gradients[slot, k]
                update(table, i * size + k, n_factors, g, l2, step_size, step.parameters)
            if item_bias:
                g = np.float32(step.temperature * slots.bias_gradients[slot])
                l2 = weight * step.l2_bias
                update(bias_table, i * bias_size, _ONE, g, l2, step_size, step.parameters)
            if retake:
                take(slot, table, bias_table, slots)

    return take_items, learn_items
