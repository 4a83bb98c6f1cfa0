r"""Training of factor models by list-wise losses, as matrix products; loops are in `listwise_kernels`.

An epoch deals the users with positives into batches at random. A batch scores its users against
candidates that they share: all items, or a random sample of them. With U the rows of the users and V
those of the candidates (both scaled to length one with the scorer "cosine"), b the biases and τ the
temperature, the work on it is

.. math:: E = f(U V^T / \tau + b), \qquad \nabla_U = E' V, \qquad \nabla_V = E'^T U,

where f is the loss' `exponentiate` and E' is E with each row multiplied by a factor, which is applied to the
smaller matrices. So one pass over a user's scores serves all of the user's positives.

The candidates are cut into pieces whose borders depend on the data alone. Two passes go over the
pieces, on any number of threads: the first computes E and E V of each; the second, once the sums of the rows
are known, the items' gradients and their update. One thread adds up what the pieces give, in their order. So
the same seed gives the same bits at any `n_jobs`. There is never more than one batch of scores.

With a `history` in the plan, a user's row is a mix of its own and the mean of its items' rows (see
`listwise_history`): the gradient by it goes on to the rows of these items, all of which have slots.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import check_rows, read_only
from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.threads import executor_for
from tripletrec.data.interactions import Interactions
from tripletrec.losses.listwise import ListLoss
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.scorers import COSINE
from tripletrec.training.candidates import BatchCandidates
from tripletrec.training.given_weights import GivenWeights
from tripletrec.training.histories import LENGTHS, HistoryFoldIn, begin_own_rows, lengths_of, mix
from tripletrec.training.listwise_batch import Batch
from tripletrec.training.listwise_history import RowMix, build_history_kernels
from tripletrec.training.listwise_kernels import ItemStep, build_batch_kernels, collect
from tripletrec.training.plan import FactorPlan, Factors, Record
from tripletrec.training.tables import FactorTables, leave_unknown
from tripletrec.training.triplet import count_items

__all__ = ["ListwiseTraining", "PieceSizes"]

Float32 = NDArray[np.float32]


class PieceSizes(NamedTuple):
    """Limits of the pieces of candidates; other limits round differently and take another time."""

    scores: int = 2**17  # of a piece, 512 KiB: they stay in a core's cache between the passes
    least: int = 256
    most: int = 4096

    def size(self, n_candidates: int, n_rows: int) -> int:
        """Return the number of candidates in a piece, which is a multiple of 16."""
        most = max(self.least, min(self.most, self.scores // n_rows))
        n_pieces = -(-n_candidates // most)
        # Pieces of nearly equal size, so that threads end together; whole cache lines.
        return -(-n_candidates // (n_pieces * 16)) * 16


_SIZES = PieceSizes()
_ROWS = 64  # users that one task takes, learns or sums up
_OWN_DROPOUT = 0.1  # share of the users who learn as their history alone, as new users will be
# What only epochs need: the interactions, and what was worked out of them.
_OF_EPOCHS = (
    "_known", "_weights", "_users_with_positives", "_given", "_batch", "_records", "_kernels",
    "_history_kernels", "candidates",
)  # fmt: skip


class _Numbers(NamedTuple):
    """What the kernels compute with, in the type that they do."""

    scale: np.float32  # one over the temperature
    temperature: np.float32
    user_l2: np.float32
    item_l2: tuple[np.float32, np.float32, np.float32]  # positive, negative, bias
    parameters: tuple[np.float32, ...]  # of the optimizer
    mix: RowMix

    @classmethod
    def of(cls, plan: FactorPlan, temperature: float, dropout: float) -> _Numbers:
        real = np.float32
        with np.errstate(over="ignore"):  # see `run_epoch`
            return cls(
                real(1.0 / temperature), real(temperature), real(plan.l2.user),
                # Biases are learnt in units of the logit; their L2 is that of what they are in the end.
                (real(plan.l2.positive), real(plan.l2.negative), real(plan.l2.bias * temperature**2)),
                tuple(map(real, plan.optimizer.parameters)),
                RowMix(*map(real, (plan.history, plan.history_dropout, _OWN_DROPOUT, dropout))),
            )  # fmt: skip


class ListwiseTraining:
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
        Candidates of a batch; None: all items.
    batch_size : int
        Users of a batch, at most.
    dropout : float
        Share of the factors of a user that are left out when it is learnt from.
    n_jobs : int
        Threads, >= 1.
    given : Interactions or None, default None
        Negatives given by the user; they weigh more than other candidates, see `training.given_weights`.
    sizes : PieceSizes, default PieceSizes()

    Attributes
    ----------
    tables : FactorTables
        What is learnt; biases are in units of the temperature.
    batch_size, piece_size : int
        Users of a batch, candidates of a piece.
    cancelled : bool
        Set by another thread to cancel the running epoch.
    """

    features: Mapping[str, Any] = MappingProxyType({})  # it has none

    def __init__(
        self,
        plan: FactorPlan,
        interactions: Interactions,
        weights: Float32 | None,
        n_negatives: int | None,
        batch_size: int,
        dropout: float,
        n_jobs: int,
        *,
        given: Interactions | None = None,
        sizes: PieceSizes = _SIZES,
    ) -> None:
        self.plan, self._loss = plan, _list_loss(plan)
        self.cancelled = False
        self._dropout = dropout
        # Of a released training: lengths of the own rows, and mixed rows.
        self._lengths: Float32 | None = None
        self._users: Float32 | None = None
        self.executor = executor_for(n_jobs)
        self._known = (read_only(interactions.indptr), read_only(interactions.indices))
        self._weights = read_only(np.empty(0, np.float32) if weights is None else weights)
        self._mass = float(interactions.nnz if weights is None else weights.sum(dtype=np.float64))
        counts, n_items = np.diff(interactions.indptr), interactions.n_items
        self._users_with_positives = np.flatnonzero(counts).astype(np.int32)
        n_users = len(self._users_with_positives)
        self._temperature = self._loss.temperature or 1.0
        self._numbers = _Numbers.of(plan, self._temperature, dropout)
        self.tables = self._start(counts, n_items)
        cosine, width = plan.scorer == COSINE, self.tables.width
        self._mixed = plan.history > 0.0
        self._kernels = build_batch_kernels(
            self._loss, plan.optimizer, cosine=cosine, width=width, mixed=self._mixed
        )
        if self._mixed:
            self._history_kernels = build_history_kernels(
                plan.optimizer, cosine=cosine, width=width
            )
        # An item that nobody has is among all items, too.
        had = np.maximum(count_items(interactions.indices, n_items), 1)
        by_popularity = plan.sampler.weights(had) if plan.sampler.alpha > 0.0 else None
        self.candidates = BatchCandidates(n_items, n_negatives, by_popularity)
        self.batch_size = max(1, min(batch_size, n_users))
        self.piece_size = sizes.size(self.candidates.most, self.batch_size)
        n_pairs = int(np.sort(counts)[-self.batch_size :].sum())
        self._given = GivenWeights.of(given, plan.sampler.share, n_items)
        self._batch = Batch.allocate(
            self.batch_size, n_pairs, min(n_items, self.candidates.most + n_pairs),
            self.candidates.most, self.piece_size, self.tables.width, mixed=self._mixed,
            n_given=self._given.most(self.batch_size),
        )  # fmt: skip
        self._records = self._batch.of_kernels()

    def _start(self, counts: NDArray[Any], n_items: int) -> FactorTables:
        plan = self.plan
        tables = FactorTables.start(
            len(counts), n_items, plan.n_factors, plan.optimizer, scale=plan.init_scale,
            seed=plan.seed, n_jobs=self.executor.n_jobs,
        )  # fmt: skip
        leave_unknown(tables.users, counts)
        return tables

    def threads(self) -> AbstractContextManager[None]:
        """Keep the threads alive for a run of epochs."""
        return self.executor.threads()

    @property
    def factors(self) -> Factors:
        """The factors as they stand; the biases in units of the score, users mixed with their history."""
        factors = self._in_units_of_score(self.tables.factors)
        return factors._replace(user_factors=self._mix(factors)) if self._mixed else factors

    def _mix(self, factors: Factors) -> Float32:
        return mix(factors.user_factors, self._of_histories(factors.item_factors), self.plan)

    def _of_histories(self, items: Float32) -> Float32:
        return HistoryFoldIn(self.plan, items).learn(
            ItemsOfUsers(*self._known), self.executor.n_jobs
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the epochs to come depend on, see `tripletrec.training.loop.Trainable`."""
        return self.tables.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state; raise ValueError if it is of another size."""
        self.tables.restore(state)

    def row_state(self) -> dict[str, NDArray[Any]]:
        """Return the optimizer's state in brief, see `FactorTables.row_state`; also after `release`.

        Of users with a history also the lengths of their own rows, of which a mix tells nothing.
        """
        state = self.tables.row_state()
        if self.plan.history == 0.0:
            return state
        if self._lengths is None:
            return {**state, LENGTHS: lengths_of(self.tables.factors.user_factors)}
        return {**state, LENGTHS: self._lengths}

    def take_up(self, learnt: Factors, row_state: Mapping[str, NDArray[Any]] | None) -> None:
        """Begin with what another training has learnt, see `FactorTables.take_up`.

        With a history the users' rows are their own ones, see `own_rows`; new users begin as their history.
        """
        learnt = learnt._replace(item_biases=learnt.item_biases / np.float32(self._temperature))
        if self._mixed:
            check_rows(self.tables.factors, learnt)
            items = self.tables.factors.item_factors.copy()
            items[: len(learnt.item_factors)] = learnt.item_factors
            lengths = None if row_state is None else row_state.get(LENGTHS)
            history = self._of_histories(items)
            users = begin_own_rows(
                learnt.user_factors, history, lengths, lengths_of(items), self.plan
            )
            learnt = learnt._replace(user_factors=users)
        self.tables.take_up(learnt, row_state)

    def release(self) -> Factors:
        """Return the factors as arrays of their own and drop what epochs need: the training ends here."""
        if self._mixed and self._users is None:
            self._lengths = lengths_of(self.tables.factors.user_factors)
            self._users = self._mix(self.tables.factors)
        vars(self).update(dict.fromkeys(_OF_EPOCHS))
        factors = self._in_units_of_score(self.tables.release())
        return factors if self._users is None else factors._replace(user_factors=self._users)

    def _in_units_of_score(self, factors: Factors) -> Factors:
        return factors._replace(item_biases=factors.item_biases * np.float32(self._temperature))

    def run_epoch(self, number: int) -> Record:
        """Learn from every user once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1; with the seed it determines all that is random in the epoch.

        Returns
        -------
        dict
            epoch, loss, n_positives, seconds. The loss is not finite if that of any batch was not: the
            epoch ends there.
        """
        started = time.perf_counter()
        random = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence((self.plan.seed, number)))
        )
        users = random.permutation(self._users_with_positives)
        batches = range(0, len(users), self.batch_size)
        keys = random.integers(2**63, size=(len(batches), 2), dtype=np.uint64)
        self.candidates.begin_epoch()
        loss = 0.0
        # An overflow shows in the loss, which `train` checks.
        with one_blas_thread(), np.errstate(over="ignore"):
            if self.candidates.are_all:
                self._take_items(self.candidates.most)
            for n, first in enumerate(batches):
                if self.cancelled:
                    raise KeyboardInterrupt
                rate = self.plan.rate_at(number - 1 + (n + 0.5) / len(batches))
                loss += self.learn_from(users[first : first + self.batch_size], keys[n], rate)
                if not math.isfinite(loss):
                    break
        return {
            "epoch": number,
            "loss": loss / self._mass,
            "n_positives": len(self._known[1]),
            "seconds": time.perf_counter() - started,
        }

    def learn_from(self, users: NDArray[np.int32], keys: Any, rate: float) -> float:
        """Learn from one batch; return the sum of its losses."""
        numbers, step_size, slots = self._numbers, np.float32(rate), self._batch.slots
        n_candidates = self.candidates.draw(keys[0], slots.items, slots.importance)
        n_slots = collect(
            users, self._known, self._weights, tuple(self._given), self.candidates.slot_of,
            n_candidates, self._records["collect"],
        )  # fmt: skip
        self.candidates.forget(slots.items[:n_slots])
        if not self.candidates.are_all:
            self._take_items(n_slots)
        self._run(partial(self._take_users, users, keys[1]), len(users), _ROWS)
        self._run(partial(self._exponentiate, len(users)), n_candidates)
        losses = [0.0] * -(-len(users) // _ROWS)
        self._run(partial(self._reduce, n_candidates, losses), len(users), _ROWS)
        if not math.isfinite(sum(losses)):
            return math.nan
        self._run(partial(self._learn_users, users, step_size), len(users), _ROWS)
        step = ItemStep(step_size, *numbers.item_l2, numbers.temperature, numbers.parameters)
        self._run(partial(self._learn_items, len(users), n_candidates, step), n_slots)
        return sum(losses) * self._temperature

    def _run(self, task: Callable[[int, int, int], None], n: int, size: int | None = None) -> None:
        """Call ``task(piece, first, last)`` for all pieces of the first n slots or rows, in any order."""
        size = size or self.piece_size
        self.executor.run(task, [(c, a, min(a + size, n)) for c, a in enumerate(range(0, n, size))])

    def _take_items(self, n_slots: int) -> None:
        items, biases = self.tables.items.reshape(-1), self.tables.biases.reshape(-1)
        slots = tuple(self._batch.slots)

        def take(c: int, first: int, last: int) -> None:
            self._kernels.take_items(first, last, items, biases, slots)

        self._run(take, n_slots)

    def _take_users(
        self, users: NDArray[np.int32], key: Any, c: int, first: int, last: int
    ) -> None:
        table = self.tables.users.reshape(-1)
        if self._mixed:
            self._history_kernels.take_users(
                first, last, users, self._known[0], table, tuple(self._numbers.mix), key,
                self._records["take_users"],
            )  # fmt: skip
        else:
            rows = tuple(self._batch.rows)
            self._kernels.take_users(first, last, users, table, self._dropout, key, rows)

    def _exponentiate(self, n_rows: int, c: int, first: int, last: int) -> None:
        """Compute the scores of piece c, exponentiate them, and sum up the items' rows by them."""
        slots, pieces, rows = self._batch[1:4]
        scores, vectors = pieces.exponentials[c, :n_rows, : last - first], slots.vectors[first:last]
        with np.errstate(over="ignore", invalid="ignore"):  # of this thread, see `run_epoch`
            np.matmul(rows.vectors[:n_rows], vectors.T, out=scores)
            self._kernels.exponentiate(
                c, first, last, n_rows, self.plan.sampler.verified, self._numbers.scale,
                self._loss.parameters, self._records["exponentiate"],
            )  # fmt: skip
            np.matmul(scores, vectors, out=pieces.sums[c, :n_rows])

    def _reduce(
        self, n_candidates: int, losses: list[float], c: int, first: int, last: int
    ) -> None:
        losses[c] = self._kernels.reduce(
            first, last, n_candidates, len(self.tables.items), self.plan.sampler.verified,
            self._numbers.scale, self._loss.parameters, self._records["reduce"],
        )  # fmt: skip

    def _learn_users(
        self, users: NDArray[np.int32], rate: np.float32, c: int, first: int, last: int
    ) -> None:
        kernels = self._history_kernels if self._mixed else self._kernels
        tables, numbers = self.tables, self._numbers
        kernels.learn_users(
            first, last, users, tables.users.reshape(-1), tables.user_step_counts, rate,
            numbers.user_l2, numbers.parameters, self._dropout, self._records["learn_users"],
        )  # fmt: skip

    def _learn_items(
        self, n_rows: int, n_candidates: int, step: ItemStep, c: int, first: int, last: int
    ) -> None:
        """Compute the gradients of slots first ... last - 1, those of piece c, and update their items."""
        slots, pieces, rows = self._batch[1:4]
        end = min(last, n_candidates)
        if first < end:
            exponentials = pieces.exponentials[c, :n_rows, : end - first]
            coefficients, scaled = pieces.coefficients[c, :n_rows], pieces.sums[c, :n_rows]
            np.multiply(rows.vectors[:n_rows], coefficients[:, None], out=scaled)
            np.matmul(exponentials.T, scaled, out=slots.gradients[first:end])
            np.matmul(exponentials.T, coefficients, out=slots.bias_gradients[first:end])
        self._kernels.learn_items(
            first, last, n_candidates, self.tables.items.reshape(-1),
            self.tables.biases.reshape(-1), self.tables.item_step_counts, self.plan.item_bias,
            self.candidates.are_all, tuple(step), self._records["learn_items"],
        )  # fmt: skip


def _list_loss(plan: FactorPlan) -> ListLoss:
    if not isinstance(plan.loss, ListLoss):
        raise TypeError(f"loss {plan.loss.name!r} is not list-wise")
    return plan.loss
