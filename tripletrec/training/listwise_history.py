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
from tripletrec.scorers import normalize_row_backward
from tripletrec.training.listwise_batch import BatchItems, BatchPositives, BatchUsers, HistoryRows
from tripletrec.training.listwise_kernels import backpropagate, build_learn_row, drop_out, normalize

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
def _thin(first, last, at, dropout, key, weights):
    """Choose which of the positives ``first ... last - 1`` are history: set their weights, return if any.

    `at` is the place of the first among all positives of the data.
    """
    n = 0
    for p in range(first, last):
        is_kept = uniform(key, at + p - first) >= dropout
        weights[p] = np.float32(1.0) if is_kept else np.float32(0.0)
        n += is_kept
    for p in range(first, last):
        weights[p] /= np.float32(max(1, n))
    return n > 0


@part
def _sum_history(first, last, weights, slots_of, vectors, out):
    for k in range(out.shape[0]):
        out[k] = np.float32(0.0)
    for p in range(first, last):
        if weights[p] > np.float32(0.0):
            slot = slots_of[p]
            for k in range(out.shape[0]):
                out[k] += weights[p] * vectors[slot, k]


def build_history_kernels(optimizer: Optimizer, *, cosine: bool, width: int) -> HistoryKernels:
    """Return the kernels that take and update mixed users; see `build_batch_kernels`."""
    return _build(optimizer.step, optimizer.update, cosine, width, len(optimizer.state))


@cache
def _build(
    step_of: Callable[..., Any],
    update: Callable[..., None],
    cosine: bool,
    width: int,
    n_state: int,
) -> HistoryKernels:
    size = width * (1 + n_state)  # of a row in the flat table
    learn_row = build_learn_row(step_of, update, width, n_state)

    @kernel(noalias=True)
    def take_users(begin, end, users, indptr, table, mix, key, batch):
        """Mix users begin ... end - 1 of a batch, whose items are in their slots already."""
        positives, slots = BatchPositives(*batch[0]), BatchItems(*batch[1])
        rows, histories = BatchUsers(*batch[2]), HistoryRows(*batch[3])
        history_share, history_dropout, own_dropout, dropout = mix
        n_factors = rows.vectors.shape[1]  # unknown to the compiler, see `listwise_kernels`
        key_of_history, key_of_own = derive(key, 0), derive(key, 1)
        for r in range(begin, end):
            u, first, last = users[r], positives.bounds[r], positives.bounds[r + 1]
            any_left = _thin(
                first, last, indptr[u], history_dropout, key_of_history, histories.weights
            )
            is_alone = any_left and uniform(key_of_own, u) < own_dropout
            own, history = histories.own_vectors[r], histories.history_vectors[r]
            _sum_history(first, last, histories.weights, positives.slots, slots.vectors, history)
            for k in range(n_factors):
                own[k] = table[u * size + k]
            histories.own_inverse_norms[r] = normalize(own, cosine)
            histories.history_inverse_norms[r] = normalize(history, cosine)
            histories.history_shares[r] = np.float32(1.0) if is_alone else history_share
            histories.own_shares[r] = np.float32(1.0) - histories.history_shares[r]
            for k in range(n_factors):
                rows.vectors[r, k] = (
                    histories.own_shares[r] * own[k] + histories.history_shares[r] * history[k]
                )
            if dropout > 0.0:
                drop_out(r, u, dropout, key, rows)
            rows.inverse_norms[r] = normalize(rows.vectors[r], cosine)

    @kernel(noalias=True)
    def learn_users(begin, end, users, table, step_counts, rate, l2, parameters, dropout, batch):
        """Update the own rows of users begin ... end - 1; keep the gradients by their histories' means."""
        positives, rows = BatchPositives(*batch[0]), BatchUsers(*batch[1])
        histories = HistoryRows(*batch[2])
        n_factors = rows.vectors.shape[1]
        for r in range(begin, end):
            backpropagate(r, dropout, rows, cosine)
            gradient, of_history = rows.gradients[r], histories.gradients[r]
            for k in range(n_factors):
                of_history[k] = histories.history_shares[r] * gradient[k]
                gradient[k] *= histories.own_shares[r]
            if cosine:
                normalize_row_backward(
                    of_history, histories.history_vectors[r], histories.history_inverse_norms[r]
                )
                normalize_row_backward(
                    gradient, histories.own_vectors[r], histories.own_inverse_norms[r]
                )
            if histories.own_shares[r] == 0.0:  # nothing is learnt of a row that was left out
                continue
            learn_row(r, users[r], positives, rows, table, step_counts, rate, l2, parameters)

    return HistoryKernels(take_users, learn_users)
