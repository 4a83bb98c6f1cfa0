"""Runs a schedule: tables of rows, epochs by one or many threads, the loop over epochs.

A model class hands over a `Plan`; what comes back are arrays and one record per epoch. Everything
here is a pure function of the plan: neither the number of threads nor their order changes a bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from tripletrec._team import Team
from tripletrec.choosing import CHOICES
from tripletrec.interactions import Interactions
from tripletrec.kernels import build_epoch, build_preparation
from tripletrec.losses import ListLoss, Loss
from tripletrec.optimizers import Optimizer
from tripletrec.rates import Schedule, constant
from tripletrec.sampling import Sampler
from tripletrec.schedule import drawn_schedule, given_schedule, n_blocks
from tripletrec.scorers import Scorer
from tripletrec.stagnation import Watchman

__all__ = ["Factors", "Outcome", "Plan", "Record", "Trainable", "Training", "train"]

_LANES_OF_FLOATS = 16  # factors are padded to whole cache lines
_FILTER_WORDS = 2**14  # of known pairs, while the negatives of a stratum are drawn: 128 KiB
_CACHE_BYTES = 4 * 2**20  # tables beyond this are prefetched; changes the speed only

Float32 = NDArray[np.float32]
Record = dict[str, Any]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    # The kernels' types tell read-only, strided and mapped arrays from others: one sort only, so
    # one compilation.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


_NOTHING = (_read_only(np.zeros(1, np.int64)), _read_only(np.empty(0, np.int32)))


class Factors(NamedTuple):
    """Factors of a model: float32 arrays (n_users, n_factors), (n_items, n_factors), (n_items,)."""

    user_factors: Float32
    item_factors: Float32
    item_biases: Float32


class Plan(NamedTuple):
    """All that one fit depends on; see `tripletrec.MatrixFactorization` for the meaning of each."""

    n_factors: int
    loss: Loss | ListLoss
    scorer: Scorer
    optimizer: Optimizer
    sampler: Sampler
    learning_rate: float
    l2: tuple[float, float, float, float]  # users, positive items, negative items, item biases
    item_bias: bool
    n_negatives: int
    init_scale: float
    seed: int
    schedule: Schedule = constant()
    n_epochs: int = 1

    def rate_at(self, epochs: float) -> float:
        """Return the learning rate after so many epochs."""
        return self.learning_rate * self.schedule.factor(min(1.0, epochs / self.n_epochs))


class Training:
    """The state of one fit.

    Parameters
    ----------
    plan : Plan
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    given : Interactions or None
        Negatives handed in by the user, of the same shape; not with a sampler of hard negatives.
    n_jobs : int
        Threads, >= 1.
    """

    def __init__(
        self,
        plan: Plan,
        interactions: Interactions,
        weights: Float32 | None,
        given: Interactions | None,
        n_jobs: int,
    ) -> None:
        self.plan = plan
        self._team = Team(n_jobs)
        self._known = (_read_only(interactions.indptr), _read_only(interactions.indices))
        self._weights = _read_only(np.empty(0, np.float32) if weights is None else weights)
        self._given_negatives = given is not None
        self._given = (
            _NOTHING if given is None else (_read_only(given.indptr), _read_only(given.indices))
        )
        # Candidates of a hard negative are drawn like further negatives, and from the same block.
        self._n_candidates = plan.sampler.n_candidates if plan.sampler.rule else 1
        self._make_tables(interactions)
        self._make_schedule(interactions)

    def _make_tables(self, data: Interactions) -> None:
        plan, optimizer = self.plan, self.plan.optimizer
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(plan.seed)))
        width = -(-plan.n_factors // _LANES_OF_FLOATS) * _LANES_OF_FLOATS
        self._users = _table(data.n_users, width, optimizer)
        self._items = _table(data.n_items, width, optimizer)
        self._biases = _table(data.n_items, 1, optimizer)
        for table in (self._users, self._items):
            start = random.standard_normal((table.shape[0], plan.n_factors), dtype=np.float32)
            table[:, 0, : plan.n_factors] = start * np.float32(plan.init_scale)
        self._clocks = tuple(
            np.tile(np.array(optimizer.clocks, np.float32), (n, 1))
            for n in (data.n_users, data.n_items)
        )
        far = self._users.nbytes + self._items.nbytes > _CACHE_BYTES
        loss, scorer = plan.loss, plan.scorer
        if isinstance(loss, ListLoss):
            raise TypeError(f"loss {loss.name!r} is not one of triplets")
        self._epoch = build_epoch(
            loss.value, loss.slope, scorer.score, scorer.coefficients, scorer.gradient,
            optimizer.step, optimizer.update, width, far, CHOICES[plan.sampler.rule],
            self._n_candidates,
        )  # fmt: skip

    def _make_schedule(self, data: Interactions) -> None:
        item_bytes = self._items.nbytes // data.n_items
        blocks = n_blocks(data.n_users, data.n_items, data.nnz, item_bytes)
        make = given_schedule if self._given_negatives else drawn_schedule
        self.schedule = make(min(blocks, 8) if self._given_negatives else blocks)
        self._kernels = build_preparation(self._given_negatives)
        self._item_counts = np.bincount(data.indices, minlength=data.n_items)
        self._user_ranking = np.argsort(-np.diff(data.indptr), kind="stable").astype(np.int32)
        self._item_ranking = np.argsort(-self._item_counts, kind="stable").astype(np.int32)
        # With given negatives a triplet is stored for each negative, else for each positive.
        n_stored = data.nnz * (self.plan.n_negatives if self._given_negatives else 1)
        self._n_each = 1 if self._given_negatives else self.plan.n_negatives
        self._triplets = (
            np.empty(n_stored, np.int32),
            np.empty(n_stored, np.int32),
            np.empty(n_stored if self._given_negatives else 0, np.int32),
            np.empty(n_stored if len(self._weights) else 0, np.float32),
        )

    @property
    def factors(self) -> Factors:
        """The factors as they stand: views, valid until the next epoch."""
        n_factors = self.plan.n_factors
        return Factors(
            self._users[:, 0, :n_factors], self._items[:, 0, :n_factors], self._biases[:, 0, 0]
        )

    def threads(self) -> AbstractContextManager[None]:
        """Keep the threads alive for a run of epochs."""
        return self._team.threads()

    def run_epoch(self, number: int) -> Record:
        """Learn from every positive once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1; with the seed it determines all that is random in the epoch.

        Returns
        -------
        dict
            epoch, loss, train_auc, n_triplets, n_without_negative, seconds.
        """
        started = time.perf_counter()
        self._rate = self.plan.rate_at(number - 0.5)
        # Streams of their own for users, items, placing and drawing, in every epoch of every seed.
        keys = np.random.SeedSequence((self.plan.seed, number)).generate_state(4, np.uint64)
        bounds, catalogue, item_bounds = self._prepare(keys)
        totals = np.zeros((len(bounds) - 1, 4))
        n_lanes = self.schedule.n_lanes
        for first in range(0, len(bounds) - 1, n_lanes):
            self._run_round(first, keys[3], bounds, catalogue, item_bounds, totals)
        loss, right, mass, count = (math.fsum(column) for column in totals.T)
        drawn = len(self._known[1]) * self.plan.n_negatives
        return {
            "epoch": number,
            "loss": loss / mass if mass else 0.0,
            "train_auc": right / mass if mass else 0.5,
            "n_triplets": int(count),
            "n_skipped": drawn - int(count),
            "seconds": time.perf_counter() - started,
        }

    def _prepare(self, keys: NDArray[Any]) -> tuple[Any, Any, Any]:
        """Partition users and items, and bucket the positives (with given negatives: triplets)."""
        schedule, plan, kernels = self.schedule, self.plan, self._kernels
        users, user_bounds, _ = self._divide(self._user_ranking, schedule.n_user_blocks, keys[0])
        items, item_bounds, item_block = self._divide(
            self._item_ranking, schedule.n_item_blocks, keys[1]
        )
        catalogue = (items, plan.sampler.cumulative(self._item_counts[items]))
        sizes = np.zeros(len(schedule.item_block), np.int64)
        starts = np.zeros(len(schedule.item_block) + 1, np.int64)
        loads = np.ones(schedule.n_user_blocks)

        def visit(kernel: Any) -> None:
            def task(first: int, last: int) -> None:
                kernel(
                    first, last, keys[2], users, user_bounds, item_block, schedule.stratum,
                    self._known, self._weights, self._given, catalogue, plan.sampler.share,
                    plan.sampler.verified, plan.n_negatives, starts, sizes, self._triplets,
                )  # fmt: skip

            self._team.spread(task, 0, schedule.n_user_blocks, loads)

        visit(kernels.tally)
        np.cumsum(sizes, out=starts[1:])
        sizes[:] = 0
        visit(kernels.place)
        return starts, catalogue, item_bounds

    def _divide(self, ranking: Any, blocks: int, key: np.uint64) -> tuple[Any, Any, Any]:
        order, block_of = np.empty_like(ranking), np.empty_like(ranking)
        bounds = np.empty(blocks + 1, np.int64)
        self._kernels.partition(ranking.copy(), blocks, key, order, bounds, block_of)
        return order, bounds, block_of

    def _run_round(
        self, first: int, key: Any, bounds: Any, catalogue: Any, item_bounds: Any, totals: Any
    ) -> None:
        plan = self.plan
        n_drawn = plan.n_negatives * self._n_candidates
        last = first + self.schedule.n_lanes
        users, positives, given, weights = self._triplets
        with np.errstate(over="ignore"):  # of a step beyond float32 the error of training tells
            (rate,), l2, loss_parameters, step_parameters = (
                tuple(map(np.float32, numbers))
                for numbers in (
                    (self._rate,), plan.l2, plan.loss.parameters, plan.optimizer.parameters
                )
            )  # fmt: skip

        def task(a: int, b: int) -> None:
            negatives, offset = given, 0
            if not self._given_negatives:
                negatives = np.empty((bounds[b] - bounds[a]) * n_drawn, np.int32)
                offset = bounds[a]
                self._kernels.draw(
                    a, b, key, bounds, self.schedule.item_block, item_bounds, self._known,
                    catalogue, plan.sampler.verified, n_drawn, users, positives,
                    np.empty(_FILTER_WORDS, np.uint64), np.empty(len(negatives) + 1, np.int64),
                    negatives,
                )  # fmt: skip
            self._epoch(
                a, b, bounds, (users, positives, negatives, weights), offset, self._n_each,
                self._users, self._clocks[0], self._items, self._clocks[1], self._biases,
                plan.item_bias, rate, l2, loss_parameters, step_parameters, totals,
            )  # fmt: skip

        self._team.spread(task, first, last, np.diff(bounds[first : last + 1]))


def _table(n_rows: int, width: int, optimizer: Optimizer) -> Float32:
    """Return rows of zeros and the optimizer's start values, each row on whole cache lines."""
    shape = (n_rows, 1 + len(optimizer.memories), width)
    flat = np.zeros(math.prod(shape) + _LANES_OF_FLOATS, np.float32)
    skip = -flat.ctypes.data % 64 // flat.itemsize
    table = flat[skip : skip + math.prod(shape)].reshape(shape)
    table[:, 1:] = np.array(optimizer.memories, np.float32)[:, None]
    return table


class Trainable(Protocol):
    """What `train` needs of a state of training; `Training` is one."""

    @property
    def plan(self) -> Any:
        """At least ``learning_rate``, for the advice after divergence."""

    @property
    def factors(self) -> Any:
        """The arrays that are learnt, as they stand."""

    def threads(self) -> AbstractContextManager[None]:
        """Keep threads alive for a run of epochs."""

    def run_epoch(self, number: int) -> Record:
        """Run epoch `number`, from 1; the record has at least "loss"."""


class Outcome(NamedTuple):
    """What a run of epochs leaves: the factors kept, the records, and how it ended."""

    factors: Factors
    history: list[Record]
    kept_epoch: int
    interrupt: KeyboardInterrupt | None


def train(
    training: Trainable,
    n_epochs: int,
    *,
    watch: Callable[[Record, Factors], bool],
    metric: str | None,
    patience: int | None,
    verbose: int,
) -> Outcome:
    """Run epochs until they are done, the callbacks or the metric say stop, or Ctrl-C.

    Parameters
    ----------
    training : Trainable
    n_epochs : int
        At most so many.
    watch : callable
        ``watch(record, factors) -> bool`` after each epoch; may add to the record; True stops.
    metric : str or None
        Entry of the records by which the best epoch is told (larger is better).
    patience : int or None
        Stop after so many epochs without a better `metric`, and keep the best epoch's factors;
        None: keep the last epoch's.
    verbose : int
        0: silent, otherwise a progress bar on standard error.

    Returns
    -------
    Outcome

    Raises
    ------
    FloatingPointError
        If the loss or a factor is not finite.
    KeyboardInterrupt
        If it comes before the end of the first epoch; later ones are returned.
    """
    kept: tuple[Factors, list[Record], int] | None = None
    best, history = -math.inf, list[Record]()
    watchman = Watchman(training.plan.learning_rate)
    bar = tqdm(total=n_epochs, disable=not verbose, desc="training", unit="epoch")
    try:
        with bar, training.threads():
            for number in range(1, n_epochs + 1):
                record = training.run_epoch(number)
                _check_finite(record["loss"], training, number)
                watchman.look(record)
                stop = watch(record, training.factors)
                history = [*history, record]
                quality = record[metric] if metric is not None else math.nan
                if kept is None or patience is None or quality > best:
                    best = quality
                    copies = _copied(training.factors)
                    kept = copies, history, number  # one assignment: Ctrl-C sees all or nothing
                else:
                    kept = kept[0], history, kept[2]
                bar.set_postfix({name: f"{record[name]:.4f}" for name in ("loss", metric) if name})
                bar.update()
                if stop or (patience is not None and number - kept[2] >= patience):
                    break
    except KeyboardInterrupt as interrupt:
        if kept is None:
            raise
        return Outcome(*kept, interrupt)
    if kept is None:
        raise ValueError(f"n_epochs must be at least 1, got {n_epochs}")
    return Outcome(*kept, None)


def _copied(factors: Any) -> Any:
    copies = [each.copy() for each in factors]
    return Factors(*copies) if isinstance(factors, Factors) else tuple(copies)


def _check_finite(loss: float, training: Trainable, number: int) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [float(np.sum(each)) for each in training.factors]  # losses are of before the steps
    if not all(map(math.isfinite, [loss, *sums])):
        raise FloatingPointError(
            f"training diverged in epoch {number}: the loss or a factor is not finite; try a "
            f"learning_rate below {training.plan.learning_rate:g}, or more L2"
        )
