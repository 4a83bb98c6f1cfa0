r"""Compiled loops of list-wise training for users who are mixes of a row and their history.

With a the share of the history, :math:`q_i` the items' rows and H the positives of a user that are not left
out of this batch, the user is

.. math:: p = \frac{m}{|m|}, \qquad m = (1 - a) \frac{U}{|U|} + a \frac{h}{|h|}, \qquad
          h = \frac{1}{|H|} \sum_{i \in H} q_i

with the scorer "cosine", and :math:`p = (1 - a) U + a h` with "dot". All else of a batch is in
`listwise_kernels`; what users are after the training is in `histories`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tripletrec._runtime.counter_random import derive, uniform
from tripletrec._runtime.jit import kernel, part
from tripletrec.optimizers import Optimizer
from tripletrec.scorers import normalize_row, normalize_row_backward
from tripletrec.training.listwise_batch import BatchItems, BatchPositives, BatchUsers, HistoryRows

__all__ = ["HistoryKernels", "RowMix", "build_history_kernels"]


class RowMix(NamedTuple):
    """How users are mixed while they learn, float32; kernels take it as a plain tuple."""

    history: np.float32  # a
    history_dropout: np.float32  # share of the positives that are left out of the history
    own_dropout: np.float32  # share of the users who are their history alone
    dropout: np.float32  # share of the factors of the mix that are left out


class HistoryKernels(NamedTuple):
    """The kernels for users; those for items are `BatchKernels`."""

    take_users: Callable[..., None]
    learn_users: Callable[..., None]


@part
def _thin(first, last, at, dropout, key, shares):
    """Choose which of the positives ``first ... last - 1`` are history: set their shares, return whether any.

    `at` is the place of the first among all positives of the data.
    """
    n = 0
    for p in range(first, last):
        kept = uniform(key, at + p - first) >= dropout
        shares[p] = np.float32(1.0) if kept else np.float32(0.0)
        n += kept
    for p in range(first, last):
        shares[p] /= np.float32(max(1, n))
    return n > 0


@part
def _sum_history(first, last, shares, slots_of, units, out):
    for k in range(out.shape[0]):
        out[k] = np.float32(0.0)
    for p in range(first, last):
        if shares[p] > np.float32(0.0):
            slot = slots_of[p]
            for k in range(out.shape[0]):
                out[k] += shares[p] * units[slot, k]


def build_history_kernels(optimizer: Optimizer, *, cosine: bool, width: int) -> HistoryKernels:
    """Return the kernels that take and update mixed users; see `build_batch_kernels`."""
    return _build(optimizer.step, optimizer.update, cosine, width, len(optimizer.state))


@cache
def _build(
    step_size: Callable[..., Any],
    update: Callable[..., None],
    cosine: bool,
    width: int,
    n_state: int,
) -> HistoryKernels:
    size = width * (1 + n_state)  # of a row in the flat table

    @part
    def unit(row):
        return normalize_row(row) if cosine else np.float32(1.0)

    @kernel(noalias=True)
    def take_users(begin, end, users, indptr, table, mix, key, batch):
        """Mix users begin ... end - 1 of a batch, whose items are in their slots already."""
        positives, slots = BatchPositives(*batch[0]), BatchItems(*batch[1])
        rows, pasts = BatchUsers(*batch[2]), HistoryRows(*batch[3])
        share, history_dropout, own_dropout, dropout = mix
        n_factors = rows.units.shape[1]  # unknown to the compiler, see `listwise_kernels`
        of_history, of_own = derive(key, 0), derive(key, 1)
        for r in range(begin, end):
            u, first, last = users[r], positives.bounds[r], positives.bounds[r + 1]
            any_left = _thin(first, last, indptr[u], history_dropout, of_history, pasts.shares)
            alone = any_left and uniform(of_own, u) < own_dropout
            own, past = pasts.own_units[r], pasts.history_units[r]
            _sum_history(first, last, pasts.shares, positives.slots, slots.units, past)
            for k in range(n_factors):
                own[k] = table[u * size + k]
            pasts.own_inverse_norms[r], pasts.history_inverse_norms[r] = unit(own), unit(past)
            pasts.history_shares[r] = np.float32(1.0) if alone else share
            pasts.own_shares[r] = np.float32(1.0) - pasts.history_shares[r]
            for k in range(n_factors):
                rows.units[r, k] = pasts.own_shares[r] * own[k] + pasts.history_shares[r] * past[k]
            if dropout > 0.0:
                for k in range(n_factors):
                    kept = uniform(key, u * width + k) >= dropout
                    rows.masks[r, k] = np.float32(1.0 / (1.0 - dropout)) if kept else 0.0
                    rows.units[r, k] *= rows.masks[r, k]
            rows.inverse_norms[r] = unit(rows.units[r])

    @kernel(noalias=True)
    def learn_users(begin, end, users, table, step_counts, rate, l2, parameters, dropout, batch):
        """Update the own rows of users begin ... end - 1; keep the gradients by their histories' means."""
        positives, rows, pasts = (
            BatchPositives(*batch[0]),
            BatchUsers(*batch[1]),
            HistoryRows(*batch[2]),
        )
        n_factors = rows.units.shape[1]
        for r in range(begin, end):
            u, gradient, of_past = users[r], rows.gradients[r], pasts.gradients[r]
            if cosine:
                normalize_row_backward(gradient, rows.units[r], rows.inverse_norms[r])
            if dropout > 0.0:
                for k in range(n_factors):
                    gradient[k] *= rows.masks[r, k]
            for k in range(n_factors):
                of_past[k] = pasts.history_shares[r] * gradient[k]
                gradient[k] *= pasts.own_shares[r]
            if cosine:
                normalize_row_backward(
                    of_past, pasts.history_units[r], pasts.history_inverse_norms[r]
                )
                normalize_row_backward(gradient, pasts.own_units[r], pasts.own_inverse_norms[r])
            if pasts.own_shares[r] == 0.0:  # nothing is learnt of a row that was left out
                continue
            weight = np.float32(0.0)
            for p in range(positives.bounds[r], positives.bounds[r + 1]):
                weight += positives.weights[p]
            own, l2_u = np.float32(step_size(step_counts, u, rate, parameters)), weight * l2
            for k in range(n_factors):
                update(table, u * size + k, width, gradient[k], l2_u, own, parameters)

    return HistoryKernels(take_users, learn_users)
