r"""Training by blocks of users: list-wise losses, whose work is mostly matrix products.

An epoch deals the users with positives into blocks at random. A block scores its users against
candidates that they share: all items, or a random sample of them. With U the rows of the users and V
those of the candidates (both scaled to length one with the scorer "cosine"), b the biases and τ the
temperature, the work on it is

.. math:: E = f(U V^T / \tau + b), \qquad \nabla_U = E' V, \qquad \nabla_V = E'^T U,

where f is the loss' `exponentiate` and E' is E with each row multiplied by a factor, which the products
absorb. So a user's softmax serves all of the user's positives, and no score is looked at twice.

The candidates are cut up into pieces whose borders depend on the data alone. Two passes go over the
pieces, on any number of threads: the first makes E and E V of each, the second, once the row sums are
known, the items' gradients and their update. A sum over pieces is taken in their order, by one
thread. So the same seed gives the same bits at any `n_jobs`. There is never more than one block of
scores.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.threads import executor_for
from tripletrec.data.interactions import Interactions
from tripletrec.losses.listwise import ListLoss
from tripletrec.scorers import COSINE
from tripletrec.training.listwise_kernels import build_block, build_candidates
from tripletrec.training.plan import FactorPlan, Factors, Record
from tripletrec.training.tables import FactorTables
from tripletrec.training.triplet import count_items

__all__ = ["BlockTraining"]

_PIECE_SCORES = 2**17  # scores in a piece, 512 KiB: they stay in a core's cache between the passes
_LEAST_PIECE, _MOST_PIECE = 256, 4096

Float32 = NDArray[np.float32]


def _temperature(plan: FactorPlan, data: Interactions) -> float:
    """Return the temperature of the loss, or the one that suits where it has none."""
    loss: ListLoss = plan.loss  # type: ignore[assignment]
    n_each = data.nnz / max(1, int(np.count_nonzero(np.diff(data.indptr))))
    return loss.temperature_for(plan.scorer is COSINE, data.n_items, n_each)


class BlockTraining:
    """The state of one fit of a list-wise loss; see `tripletrec.training.loop.train` for who runs it.

    Parameters
    ----------
    plan : FactorPlan
        Its loss is a `ListLoss`.
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    n_negatives : int or None
        Candidates of a block; None: all items.
    batch_size : int
        Users of a block.
    dropout : float
        Share of the factors of a user that are left out when it is learnt from.
    n_jobs : int
        Threads, >= 1.
    """

    def __init__(
        self,
        plan: FactorPlan,
        interactions: Interactions,
        weights: Float32 | None,
        n_negatives: int | None,
        batch_size: int,
        dropout: float,
        n_jobs: int,
    ) -> None:
        self.plan = plan
        self.cancelled = False  # to be set from another thread
        self._loss: ListLoss = plan.loss  # type: ignore[assignment]
        self._temperature = _temperature(plan, interactions)
        self._dropout = dropout
        self.executor = executor_for(n_jobs)
        self._known = (read_only(interactions.indptr), read_only(interactions.indices))
        self._weights = read_only(np.empty(0, np.float32) if weights is None else weights)
        self._mass = float(interactions.nnz if weights is None else weights.sum(dtype=np.float64))
        counts = np.diff(interactions.indptr)
        self._users_with_positives = np.flatnonzero(counts).astype(np.int32)
        self._n_rows = min(batch_size, len(self._users_with_positives))
        self._make_tables(interactions)
        self._make_candidates(interactions, n_negatives)
        self._make_scratch(int(np.sort(counts)[-self._n_rows :].sum()))

    def threads(self) -> AbstractContextManager[None]:
        """Keep the threads alive for a run of epochs."""
        return self.executor.threads()

    @property
    def factors(self) -> Factors:
        """The factors as they stand; the biases in units of the score."""
        return self._in_units_of_score(self.tables.factors)

    def release(self) -> Factors:
        """Return the factors as arrays of their own and drop all else: the training ends here."""
        for name in vars(self).keys() - {"plan", "tables", "_temperature"}:
            delattr(self, name)
        return self._in_units_of_score(self.tables.release())

    def _in_units_of_score(self, factors: Factors) -> Factors:
        return factors._replace(item_biases=factors.item_biases * np.float32(self._temperature))

    def _make_tables(self, data: Interactions) -> None:
        plan, optimizer, loss = self.plan, self.plan.optimizer, self._loss
        self.tables = FactorTables.start(
            data.n_users, data.n_items, plan.n_factors, optimizer, scale=plan.init_scale,
            seed=plan.seed, n_jobs=self.executor.n_jobs,
        )  # fmt: skip
        # A user without positives has no taste to speak of: what is left is the biases.
        self.tables.users[np.diff(data.indptr) == 0, 0] = 0.0
        self._kernels = build_block(
            loss.exponentiate, loss.reduce, optimizer.step, optimizer.update, plan.scorer is COSINE,
            self.tables.width, len(optimizer.state),
        )  # fmt: skip

    def _make_candidates(self, data: Interactions, n_negatives: int | None) -> None:
        self._n_items = data.n_items
        self._all = n_negatives is None
        self._n_candidates = data.n_items if n_negatives is None else n_negatives
        counts = count_items(data.indices, data.n_items)
        self._cumulative = self.plan.sampler.cumulative(counts)
        self._choose = build_candidates()

    def _make_scratch(self, n_pairs: int) -> None:
        n_rows, width = self._n_rows, self.tables.width
        n_slots = min(self._n_items, self._n_candidates + n_pairs)
        most = max(_LEAST_PIECE, min(_MOST_PIECE, _PIECE_SCORES // n_rows))
        n_pieces = -(-self._n_candidates // most)
        # Pieces of about one size, so that threads end together; whole cache lines.
        self._piece = -(-self._n_candidates // (n_pieces * 16)) * 16
        real, whole = np.float32, np.int32
        self._items_of_block = (
            np.arange(n_slots, dtype=whole), np.zeros((n_slots, width), real),
            np.zeros(n_slots, real), np.zeros(n_slots, real), np.ones(n_slots, real),
        )  # fmt: skip
        self._slot_of = np.arange(self._n_items, dtype=whole) if self._all else np.full(
            self._n_items, -1, whole
        )  # fmt: skip
        self._pairs = (
            np.zeros(n_pairs, whole), np.zeros(n_pairs, whole), np.zeros(n_pairs, real),
            *(np.zeros(n_pairs) for _ in range(3)), np.zeros(n_rows + 1, np.int64),
            np.zeros(n_pairs, whole), np.zeros(n_slots + 1, np.int64),
        )  # fmt: skip
        self._pieces = (
            np.zeros((n_pieces, n_rows, self._piece), real), np.zeros((n_pieces, n_rows), real),
            np.zeros((n_pieces, n_rows), real), np.zeros((n_pieces, n_rows, width), real),
        )  # fmt: skip
        self._coefficients = np.zeros((n_pieces, n_rows), real)
        self._item_gradients = np.zeros((n_slots, width), real), np.zeros(n_slots, real)
        self._users_of_block = (
            np.ones((n_rows, width), real), np.zeros((n_rows, width), real), np.zeros(n_rows, real),
        )  # fmt: skip
        self._user_gradients = np.zeros((n_rows, width), real)

    def run_epoch(self, number: int) -> Record:
        """Learn from every user once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1; with the seed it determines all that is random in the epoch.

        Returns
        -------
        dict
            epoch, loss, n_positives, seconds. The loss is not finite if that of any block was not: the
            epoch ends there.
        """
        started = time.perf_counter()
        random = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence((self.plan.seed, number)))
        )
        users = random.permutation(self._users_with_positives)
        blocks = range(0, len(users), self._n_rows)
        keys = random.integers(2**63, size=(len(blocks), 2), dtype=np.uint64)
        self._catalogue = np.arange(self._n_items, dtype=np.int32)
        loss = 0.0
        with one_blas_thread():
            if self._all:
                self._take_items(self._n_items)
            for n, first in enumerate(blocks):
                if self.cancelled:
                    raise KeyboardInterrupt
                rate = self.plan.rate_at(number - 1 + (n + 0.5) / len(blocks))
                loss += self._learn(users[first : first + self._n_rows], keys[n], rate)
                if not math.isfinite(loss):
                    break
        return {
            "epoch": number,
            "loss": loss / self._mass,
            "n_positives": len(self._known[1]),
            "seconds": time.perf_counter() - started,
        }

    def _draw(self, key: Any) -> int:
        """Choose the block's candidates; return how many."""
        slots, multiples = self._items_of_block[0], self._items_of_block[4]
        if self._all:
            return self._n_items
        if self._cumulative is not None:
            return self._choose.draw_weighted(
                self._n_candidates, key, self._cumulative, slots, self._slot_of, multiples
            )
        return self._choose.draw_uniform(
            self._n_candidates, key, self._catalogue, slots, self._slot_of, multiples
        )

    def _take_items(self, n_slots: int) -> None:
        V, biases = self.tables.items.reshape(-1), self.tables.biases.reshape(-1)

        def task(c: int, a: int, b: int) -> None:
            self._kernels.take_items(a, b, V, biases, self._items_of_block)

        self.executor.run(task, self._cut(n_slots))

    def _cut(self, n: int) -> list[tuple[int, int, int]]:
        """Cut the first `n` items into pieces: number, begin and end of each."""
        return [(c, a, min(a + self._piece, n)) for c, a in enumerate(range(0, n, self._piece))]

    def _learn(self, users: NDArray[np.int32], keys: NDArray[np.uint64], rate: float) -> float:
        """Learn from one block; return the sum of its losses."""
        plan, loss, kernels = self.plan, self._loss, self._kernels
        pairs, items, pieces = self._pairs, self._items_of_block, self._pieces
        real, width_of_piece = np.float32, self._piece
        U, V, biases = (
            each.reshape(-1) for each in (self.tables.users, self.tables.items, self.tables.biases)
        )
        n_candidates = self._draw(keys[0])
        n_slots = self._choose.collect(
            users, self._known, self._weights, self._slot_of, items[0], n_candidates, pairs
        )
        if not self._all:
            self._take_items(n_slots)
        n_rows, n_pieces = len(users), -(-n_candidates // width_of_piece)
        masks, units, lengths = self._users_of_block
        kernels.take_users(users, U, self._dropout, keys[1], masks, units, lengths)
        units, gradients = units[:n_rows], self._user_gradients[:n_rows]
        masked, parameters = plan.sampler.verified, loss.parameters
        with np.errstate(over="ignore"):  # of a step beyond float32 the error of training tells
            scale, step_size = real(1.0 / self._temperature), real(rate)
            l2 = tuple(map(real, plan.l2))
            step_parameters = tuple(map(real, plan.optimizer.parameters))

        def first_pass(c: int, a: int, b: int) -> None:
            rows = pieces[0][c, :n_rows, : b - a]
            with np.errstate(over="ignore", invalid="ignore"):  # of these, too
                np.matmul(units, items[1][a:b].T, out=rows)
                kernels.exponentiate(
                    a, b, n_rows, masked, scale, parameters, pairs, items, pieces[0][c],
                    pieces[1][c], pieces[2][c],
                )  # fmt: skip
                np.matmul(rows, items[1][a:b], out=pieces[3][c, :n_rows])

        self.executor.run(first_pass, self._cut(n_candidates))
        total = kernels.reduce(
            n_rows, n_pieces, n_candidates, width_of_piece, self._n_items, masked, scale,
            parameters, pairs, items, pieces, units, gradients, self._coefficients,
        )  # fmt: skip
        if not math.isfinite(total):
            return math.nan
        kernels.learn_users(
            users, U, self.tables.user_step_counts, step_size, l2[0], step_parameters, pairs,
            self._dropout, masks, units, lengths, gradients,
        )  # fmt: skip

        def second_pass(c: int, a: int, b: int) -> None:
            by_items, by_biases = self._item_gradients
            end = min(b, n_candidates)
            if a < end:
                exponentiate, share = (
                    pieces[0][c, :n_rows, : end - a],
                    self._coefficients[c, :n_rows],
                )
                scaled = np.multiply(units, share[:, None], out=pieces[3][c, :n_rows])
                np.matmul(exponentiate.T, scaled, out=by_items[a:end])
                np.matmul(exponentiate.T, share, out=by_biases[a:end])
            kernels.learn_items(
                a, b, n_candidates, V, biases, self.tables.item_step_counts, plan.item_bias,
                step_size, l2, real(self._temperature), step_parameters, pairs, items, units,
                by_items, by_biases,
            )  # fmt: skip

        self.executor.run(second_pass, self._cut(n_slots))
        if not self._all:
            self._slot_of[items[0][:n_slots]] = -1
        return float(total) * self._temperature
