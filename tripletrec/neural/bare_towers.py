"""Two towers without layers: many batches in one compiled call; steps one by one are in `networks`.

Without layers a tower is the sum of its features' factors, a few microseconds for a batch, and the calls from
Python would take several times as long. The parts are those of `networks` and `row_optimizer`, and so are the
results.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel
from tripletrec.losses import Loss
from tripletrec.neural.features import FeatureTable, add_row_gradients, sum_rows
from tripletrec.neural.networks import Towers
from tripletrec.neural.row_optimizer import MovingTable, RowOptimizer, build_row_updates
from tripletrec.neural.triplet_parts import build_pair_loss, differentiate_pairs, score_pairs
from tripletrec.optimizers import Optimizer
from tripletrec.training.plan import L2

__all__ = ["BareTowers"]


@cache
def _build_run(loss: Loss, optimizer: Optimizer) -> Any:
    pair_loss, update_rows = build_pair_loss(loss), build_row_updates(optimizer)

    @kernel(noalias=True)
    def run(batches, network, moving, l2, numbers, scratch, totals):
        """Learn from a batch of `size` triplets, or of what is left of them, at each of `rates`."""
        users, positives, negatives, weights, size, rates, now = batches
        tables, mean, of_loss, of_optimizer = network
        items, a, a_gradient, v, v_gradient, scores, slopes, of_users, of_items = scratch
        touched = (of_users, of_items)
        for batch in range(rates.shape[0]):
            first = batch * size
            last = min(first + size, users.shape[0])
            n = last - first
            for t in range(n):
                items[t], items[n + t] = positives[first + t], negatives[first + t]
            rows, outputs = (users[first:last], items[: 2 * n]), (a[:n], v[: 2 * n])
            gradients = (a_gradient[:n], v_gradient[: 2 * n])
            for s in range(2):
                sum_rows(rows[s], FeatureTable(*tables[s]), 0, 0, outputs[s])
            score_pairs(outputs[0], outputs[1], scores)
            pair_loss(scores[: 2 * n], weights[first:last], of_loss, mean, slopes, totals)
            differentiate_pairs(slopes, outputs[0], outputs[1], gradients[0], gradients[1])
            for s in range(2):
                table = FeatureTable(*tables[s])
                n_touched = add_row_gradients(
                    rows[s], weights[first:last], table, 0, gradients[s], l2[s], touched[s]
                )
                # As arguments, not as constants, 1 and 0 leave the bits of a step as they are elsewhere.
                update_rows(
                    MovingTable(table.factors, table.gradient, *moving[s]), touched[s][:n_touched],
                    now + batch, numbers[0], numbers[1], rates[batch], of_optimizer,
                )  # fmt: skip

    return run


class BareTowers:
    """Runs batches of two towers without layers.

    Parameters
    ----------
    network : Towers
    loss : Loss
    optimizer : Optimizer
    moving : RowOptimizer
        Of the parameters of `network`, by this optimizer.
    batch_size : int
    """

    def __init__(
        self,
        network: Towers,
        loss: Loss,
        optimizer: Optimizer,
        moving: RowOptimizer,
        batch_size: int,
    ) -> None:
        self._network, self._moving, self._size = network, moving, batch_size
        self._run = _build_run(loss.functions(), optimizer.functions())
        self._real = real = network.users.table.dtype.type
        self._parameters = tuple(tuple(map(real, each.parameters)) for each in (loss, optimizer))
        n, width = batch_size, network.users.width
        outputs = [np.empty((m, width), real) for m in (n, n, 2 * n, 2 * n)]
        touched = n * network.users.max_entries, 2 * n * network.items.max_entries
        self._scratch = (
            np.empty(2 * n, np.int32), *outputs, np.empty(2 * n, real), np.empty(2 * n, real),
            *(np.empty(m, np.int32) for m in touched),
        )  # fmt: skip

    def run(
        self,
        triplets: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], Any],
        rates: NDArray[Any],
        l2: L2,
        totals: NDArray[np.float64],
    ) -> None:
        """Step once for each batch.

        Parameters
        ----------
        triplets : tuple of users, positives, negatives and weights
            Of all batches. Without weights, None.
        rates : float array of shape (n_batches,)
            The learning rate of each.
        l2, totals
            As of `Towers.step`.
        """
        *rows, weights = triplets
        real, now = self._real, self._moving.take_steps(len(rates))
        weights = np.empty(0, real) if weights is None else weights.astype(real, copy=False)
        self._run(
            (*rows, weights, self._size, rates.astype(real), now),
            (self._network.tables, self._network.mean, *self._parameters),
            self._moving.states[:2], (real(l2.user), real(l2.positive)), (real(1.0), real(0.0)),
            self._scratch, totals,
        )  # fmt: skip
