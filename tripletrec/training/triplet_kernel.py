r"""The training loop of triplets, compiled for a choice of parts; what prepares an epoch is in `bucketing`.

The triplets of a stratum are learnt in groups, each in four steps: *collect* the rows of the group and
their products, find all *slopes* at once, then *step the biases* and *step the rows*, triplet by
triplet. So the processor never waits for a slope, and computes sixteen for the price of one. A slope misses
the steps of triplets before it in its group, as it would in a mini-batch;
`tripletrec.training.strata.group_size` says how many may make a group.

With the score s(u, i), its bias b, the loss L and x = s(u, i) + b_i - s(u, j) - b_j, the steps of a triplet
of weight w are those of its gradients

.. math:: w L'(x) \nabla_r x + w \lambda_r r

by each of its rows r: the user's, the positive's and the negative's, and the two biases. A loss that searches
for its negatives multiplies L'(x), and not the L2, by a weight of its own; where it finds none, there is no
step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tripletrec._runtime.intrinsics import prefer_wide_vectors, prefetch
from tripletrec._runtime.jit import index, kernel, part
from tripletrec.losses import Loss
from tripletrec.optimizers import Optimizer
from tripletrec.scorers import Scorer
from tripletrec.training.hard_negatives import choose_negative
from tripletrec.training.search import build_search
from tripletrec.training.triplet_records import (
    GROUP,
    GroupScratch,
    HyperParameters,
    ItemRows,
    Triplets,
    UserRows,
)

__all__ = ["build_epoch"]

_SHORT = 32  # factors
_AHEAD = 8  # triplets between the prefetch of a row and its use


_ONE = index(1)
_1, _2, _3, _4, _5, _6, _7 = (index(k * GROUP) for k in range(1, 8))


class _Choice(NamedTuple):
    """What a training loop is compiled for; names and parameters of the parts are empty here."""

    loss: Loss
    scorer: Scorer
    optimizer: Optimizer
    width: int
    choose: Callable[..., Any] | None
    n_candidates: int
    prefetch_rows: bool
    bare_items: bool
    searches: bool

    @property
    def sizes(self) -> tuple[Any, Any, Any]:
        """Numbers in the row of a user, in that of an item, and in a bias."""
        return self.row_size, self.item_size, self.bias_size

    @property
    def n_state(self) -> int:
        """Numbers that the optimizer keeps of each weight."""
        return len(self.optimizer.state)

    @property
    def item_size(self) -> Any:
        """Numbers in a row of an item, optimizer state included, if there is any."""
        return index(self.width) if self.bare_items else self.row_size

    @property
    def bias_size(self) -> Any:
        """Numbers of the bias of an item, optimizer state included, if there is any."""
        return _ONE if self.bare_items else index(1 + self.n_state)

    @property
    def row_size(self) -> Any:
        """Numbers in a row, optimizer state included."""
        return index(self.width * (1 + self.n_state))


def build_epoch(
    loss: Loss,
    scorer: Scorer,
    optimizer: Optimizer,
    width: int,
    choose: Callable[..., Any] | None = None,
    n_candidates: int = 1,
    *,
    prefetch_rows: bool = False,
    bare_items: bool = False,
) -> Callable[..., None]:
    """Return the training loop for one choice of parts; the same one for the same choice.

    Parameters
    ----------
    loss : Loss
    scorer : Scorer
    optimizer : Optimizer
    width : int
        Factors of a row, padding included: known when compiled, so that the loops unroll.
    choose : callable or None, default None
        Which of the candidates is the negative, see `tripletrec.sampling.hard`; None: there is but one.
    n_candidates : int, default 1
        Candidates for each negative, next to each other in the array of negatives. Of a loss that searches
        the hyper-parameters say it.
    prefetch_rows : bool, default False
        Whether to ask for rows some triplets ahead: tables larger than the processor's cache gain by it.
    bare_items : bool, default False
        Whether the tables of items and biases have no optimizer state: these stay as they are, users alone
        learn.

    Returns
    -------
    Dispatcher
    """
    searches, scorer = loss.searches, scorer._replace(name="")
    if searches and not prefetch_rows:
        n_candidates = 1  # no line that is reached reads it: one loop for any number of tries
    return _build_epoch(
        _Choice(
            loss.functions(), scorer, optimizer.functions(), width, choose, n_candidates,
            prefetch_rows, bare_items, searches,
        )
    )  # fmt: skip


@cache
def _build_epoch(choice: _Choice) -> Callable[..., None]:
    collect, find_slopes = _build_collect(choice), _build_slopes(choice)
    if choice.bare_items:
        step_biases, step_rows = _leave_biases, _build_user_steps(choice)
    else:
        step_biases, step_rows = _build_bias_steps(choice), _build_row_steps(choice)
    searches = choice.searches

    @kernel(noalias=True)
    def epoch(
        first, last, bounds, triplets, n_negatives, group, users, items, hyper, scratch, totals
    ):  # fmt: skip
        """Learn from strata first ... last - 1; write the sums of each to `totals`, see `N_TOTALS`.

        Records come as plain tuples: of a record Numba would look at the name of each field at each call.
        """
        prefer_wide_vectors()
        triplets, users, items = Triplets(*triplets), UserRows(*users), ItemRows(*items)
        hyper, scratch = HyperParameters(*hyper), GroupScratch(*scratch)
        origin = bounds[first]
        end_of_all = index(bounds[last] - origin)
        for s in range(first, last):
            sums, n_learnt = (0.0, 0.0, 0.0, 0), 0
            end = index(bounds[s + 1] - origin)
            for start in range(index(bounds[s] - origin), end, index(group)):
                stop = min(start + index(group), end)
                for c in range(index(n_negatives)):
                    n, sums = collect(
                        start, stop, end_of_all, c, n_negatives, triplets, users, items, hyper,
                        scratch, sums,
                    )  # fmt: skip
                    sums = find_slopes(n, sums, hyper.loss, scratch)
                    n_learnt += int(n)
                    # Biases by themselves: a processor has few registers for places in memory.
                    step_biases(n, users, items, hyper, scratch)
                    step_rows(n, users, items, hyper, scratch)
            totals[s, 0], totals[s, 1], totals[s, 2], totals[s, 3] = sums
            totals[s, 4] = n_learnt
            if not searches:
                totals[s, 3] = n_learnt

    return epoch


def _build_collect(choice: _Choice) -> Callable[..., Any]:
    width, row_size = choice.width, choice.row_size
    item_size, bias_size = choice.item_size, choice.bias_size
    sizes = choice.sizes
    row_bytes, item_bytes = 4 * int(row_size), 4 * int(item_size)
    choose, n_candidates, prefetch_rows = choice.choose, choice.n_candidates, choice.prefetch_rows
    score, linear = choice.scorer.score, choice.scorer.linear
    search = build_search(choice.loss.value, score, width, sizes) if choice.searches else None

    @part(fused=True)
    def collect(
        start, stop, end_of_all, c, n_negatives, triplets, users, items, hyper, scratch, sums
    ):
        """Note rows, products and weights of the triplets with their negative `c`; return how many.

        Of a loss that searches order, weights and triplets are added to the sums here.
        """
        pairs, negatives, weights = triplets.pairs, triplets.negatives, triplets.weights
        U, V, b = users.table, items.table, items.biases
        rows, products = scratch.rows, scratch.products
        # So short a loop would be unrolled before it is vectorized, unless its length is unknown.
        n_factors = index(width if width > _SHORT else scratch.old.shape[0])
        n = index(0)
        for t in range(start, stop):
            if prefetch_rows:
                ahead = min(t + index(_AHEAD), end_of_all - _ONE)
                place = ahead * index(n_negatives) + c
                prefetch(U, pairs[ahead, 0], row_bytes)
                negative = max(0, negatives[place * index(n_candidates)])
                prefetch(V, items.row_at[index(pairs[ahead, 1])], item_bytes)
                prefetch(V, items.row_at[index(negative)], item_bytes)
            number, place = t * index(n_negatives) + c, t
            if search is not None:
                found, drawn, sums = search(
                    n, t, number, triplets, users, items, hyper, scratch, sums
                )
                place = index(found)
            elif choose is None:
                drawn = negatives[number]
            else:
                drawn = choose_negative(
                    choose, negatives, number * n_candidates, n_candidates, pairs[t, 0],
                    pairs[t, 1], users, items, score, width, sizes,
                )  # fmt: skip
            # No negative: the user likes all there is. The positive itself (an unverified sampler
            # may draw it): x is 0 whatever the parameters are. No violation: there is nothing to learn.
            if drawn < 0 or drawn == pairs[place, 1]:
                continue
            u, i, j = index(pairs[t, 0]), index(pairs[place, 1]), index(drawn)
            rows[n], rows[_1 + n], rows[_2 + n] = u, i, j
            scratch.differences[n] = b[i * bias_size] - b[j * bias_size]
            i, j = index(items.row_at[i]), index(items.row_at[j])
            rows[_3 + n], rows[_4 + n] = i, j
            scratch.weights[n] = weights[place] if weights.shape[0] > 0 else np.float32(1)
            u, i, j = u * row_size, i * item_size, j * item_size
            ui = np.float32(0)
            if linear:
                for k in range(n_factors):
                    ui += U[u + k] * (V[i + k] - V[j + k])
            else:
                uj, uu, ii, jj = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for k in range(n_factors):
                    a, p, q = U[u + k], V[i + k], V[j + k]
                    ui += a * p
                    uj += a * q
                    uu += a * a
                    ii += p * p
                    jj += q * q
                products[_1 + n], products[_2 + n] = uj, uu
                products[_3 + n], products[_4 + n] = ii, jj
            products[n] = ui
            n += _ONE
        return n, sums

    return collect


def _build_slopes(choice: _Choice) -> Callable[..., Any]:
    value, slope, linear = choice.loss.value, choice.loss.slope, choice.scorer.linear
    score, coefficients = choice.scorer.score, choice.scorer.coefficients
    searches = choice.searches

    @part(fused=True)
    def find_slopes(n, sums, parameters, scratch):
        """Find the slope of each triplet; return the sums with its loss, right order and weight added."""
        loss, right, mass, count = sums
        products, pq = scratch.products, scratch.coefficients
        # All at once; what is beyond n is not used.
        for m in range(index(scratch.weights.shape[0])):
            x, ui, weight = scratch.differences[m], products[m], scratch.weights[m]
            if linear:
                x = np.float32(x + ui)
            else:
                uj, uu = products[_1 + m], products[_2 + m]
                ii, jj = products[_3 + m], products[_4 + m]
                x = np.float32(x + score(ui, uu, ii) - score(uj, uu, jj))
                pq[m], pq[_1 + m] = coefficients(ui, uu, ii)
                pq[_2 + m], pq[_3 + m] = coefficients(uj, uu, jj)
                pq[_4 + m], pq[_5 + m] = coefficients(ui, ii, uu)
                pq[_6 + m], pq[_7 + m] = coefficients(uj, jj, uu)
            scratch.slopes[m] = weight * slope(x, parameters)
            if searches:
                scratch.slopes[m] *= scratch.rank_weights[m]
                if m < n:
                    loss += weight * scratch.rank_weights[m] * value(x, parameters)
            elif m < n:
                half = np.float32(1) if x > 0 else np.float32(0.5) if x == 0 else np.float32(0)
                loss += weight * value(x, parameters)
                right += weight * half
                mass += weight
        return loss, right, mass, count

    return find_slopes


def _build_bias_steps(choice: _Choice) -> Callable[..., Any]:
    step, update, bias_size = (
        choice.optimizer.step,
        choice.optimizer.update,
        index(1 + choice.n_state),
    )
    n_step_counts = len(choice.optimizer.step_counts)

    @part(fused=True)
    def step_biases(n, users, items, hyper, scratch):
        """Advance the step counts of the rows of all triplets, and step their biases."""
        rows, rates, b = scratch.rows, scratch.rates, items.biases
        for m in range(n):
            u, i, j = rows[m], rows[_1 + m], rows[_2 + m]
            g, weight = scratch.slopes[m], scratch.weights[m]
            rate_u, rate_i, rate_j = _step_sizes(step, users, items, u, i, j, hyper)
            if n_step_counts > 0:
                rates[m], rates[_1 + m], rates[_2 + m] = rate_u, rate_i, rate_j
            # A triplet of weight 2 counts as two of them, so its L2 does as well.
            if hyper.item_bias:
                l2 = weight * hyper.l2.bias
                update(b, i * bias_size, _ONE, g, l2, rate_i, hyper.optimizer)
                update(b, j * bias_size, _ONE, -g, l2, rate_j, hyper.optimizer)

    return step_biases


@part
def _step_sizes(step, users, items, u, i, j, hyper):
    """Return the step sizes of a user's row, a positive's and a negative's, and advance their step counts."""
    return (
        np.float32(step(users.step_counts, u, hyper.rate, hyper.optimizer)),
        np.float32(step(items.step_counts, i, hyper.rate, hyper.optimizer)),
        np.float32(step(items.step_counts, j, hyper.rate, hyper.optimizer)),
    )


def _build_row_steps(choice: _Choice) -> Callable[..., Any]:
    step, update, gradient = choice.optimizer.step, choice.optimizer.update, choice.scorer.gradient
    width, row_size = choice.width, choice.row_size
    n_state, n_step_counts = choice.n_state, len(choice.optimizer.step_counts)

    @part(fused=True)
    def step_rows(n, users, items, hyper, scratch):
        """Step the rows of all triplets, one triplet after the other: they may share rows."""
        U, V = users.table, items.table
        rows, rates, pq, old = scratch.rows, scratch.rates, scratch.coefficients, scratch.old
        parameters = hyper.optimizer
        n_factors = index(width if width > _SHORT else old.shape[0])
        for m in range(n):
            u, i, j = rows[m], rows[_3 + m], rows[_4 + m]
            g, weight = scratch.slopes[m], scratch.weights[m]
            if n_step_counts > 0:
                rate_u, rate_i, rate_j = rates[m], rates[_1 + m], rates[_2 + m]
            else:  # nothing was advanced
                rate_u, rate_i, rate_j = _step_sizes(
                    step, users, items, u, rows[_1 + m], rows[_2 + m], hyper
                )
            l2_u = weight * hyper.l2.user
            l2_i, l2_j = weight * hyper.l2.positive, weight * hyper.l2.negative
            u, i, j = u * row_size, i * row_size, j * row_size
            p_ui, q_ui, p_uj, q_uj = pq[m], pq[_1 + m], pq[_2 + m], pq[_3 + m]
            p_iu, q_iu, p_ju, q_ju = pq[_4 + m], pq[_5 + m], pq[_6 + m], pq[_7 + m]
            if n_state == 0:
                for k in range(n_factors):
                    a, p, q = U[u + k], V[i + k], V[j + k]
                    du = g * (gradient(p_ui, q_ui, a, p) - gradient(p_uj, q_uj, a, q))
                    di = g * gradient(p_iu, q_iu, p, a)
                    dj = -g * gradient(p_ju, q_ju, q, a)
                    update(U, u + k, n_factors, du, l2_u, rate_u, parameters)
                    update(V, i + k, n_factors, di, l2_i, rate_i, parameters)
                    update(V, j + k, n_factors, dj, l2_j, rate_j, parameters)
            else:
                # One row of a table in a loop: whether two rows of items and their
                # state overlap would have to be looked at, each time.
                for k in range(n_factors):
                    a, p = U[u + k], V[i + k]
                    old[k] = p
                    di = g * gradient(p_iu, q_iu, p, a)
                    update(V, i + k, n_factors, di, l2_i, rate_i, parameters)
                for k in range(n_factors):
                    a, p, q = U[u + k], old[k], V[j + k]
                    du = g * (gradient(p_ui, q_ui, a, p) - gradient(p_uj, q_uj, a, q))
                    dj = -g * gradient(p_ju, q_ju, q, a)
                    update(U, u + k, n_factors, du, l2_u, rate_u, parameters)
                    update(V, j + k, n_factors, dj, l2_j, rate_j, parameters)

    return step_rows


@part(fused=True)
def _leave_biases(n, users, items, hyper, scratch):
    """Do nothing: in place of the steps of the biases where items are bare."""


def _build_user_steps(choice: _Choice) -> Callable[..., Any]:
    step, update, gradient = choice.optimizer.step, choice.optimizer.update, choice.scorer.gradient
    width, row_size, item_size = choice.width, choice.row_size, choice.item_size

    @part(fused=True)
    def step_users(n, users, items, hyper, scratch):
        """Step the users' rows of all triplets: in place of `step_rows` where items are bare."""
        U, V = users.table, items.table
        rows, pq, parameters = scratch.rows, scratch.coefficients, hyper.optimizer
        n_factors = index(width if width > _SHORT else scratch.old.shape[0])
        for m in range(n):
            u, g = rows[m], scratch.slopes[m]
            rate = np.float32(step(users.step_counts, u, hyper.rate, parameters))
            l2 = scratch.weights[m] * hyper.l2.user
            u, i, j = u * row_size, rows[_3 + m] * item_size, rows[_4 + m] * item_size
            p_ui, q_ui, p_uj, q_uj = pq[m], pq[_1 + m], pq[_2 + m], pq[_3 + m]
            for k in range(n_factors):
                a, p, q = U[u + k], V[i + k], V[j + k]
                du = g * (gradient(p_ui, q_ui, a, p) - gradient(p_uj, q_uj, a, q))
                update(U, u + k, n_factors, du, l2, rate, parameters)

    return step_users
