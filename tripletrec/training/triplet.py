"""Runs a schedule: tables of rows, and epochs by one or many threads.

A model class hands over a `Plan`; what comes back are arrays and one record per epoch. Everything
here is a pure function of the plan: neither the number of threads nor their order changes a bit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.threads import executor_for
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss
from tripletrec.sampling.hard import CHOICES
from tripletrec.training.bucketing import build_preparation
from tripletrec.training.plan import FactorPlan, Factors, Record
from tripletrec.training.strata import (
    codes_of,
    drawn_schedule,
    given_schedule,
    group_size,
    n_blocks,
)
from tripletrec.training.tables import FactorTables
from tripletrec.training.triplet_kernel import GROUP, build_epoch, group_scratch

__all__ = ["Training"]

_MOST_FILTER_WORDS = 2**17  # of a filter of the known pairs of a stratum: 1 MiB
_AT_ONCE = 2**15  # triplets drawn before they are learnt from, as many as a core's cache keeps
_COUNTED_AT_ONCE = 2**20
_LEAST_RUN = 2**14  # triplets that are worth a turn of a thread
_EPOCHS_AT_ONCE = 64  # whose keys are made together
_EPOCHS_OF_PARTITION = 2  # four cost a little NDCG where there are but eight blocks
_CACHE_BYTES = 4 * 2**20  # tables beyond this are prefetched; changes the speed only

Float32 = NDArray[np.float32]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    # The kernels' types tell read-only, strided and mapped arrays from others: one sort only, so
    # one compilation.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


_NOTHING = (_read_only(np.zeros(1, np.int64)), _read_only(np.empty(0, np.int32)))


class _Prepared(NamedTuple):
    """The interactions in strata, for the epochs from `number` on: what they begin at, the longest."""

    number: int
    bounds: NDArray[np.int64]
    longest: int
    users: NDArray[np.int32]  # block by block
    user_bounds: NDArray[np.int64]
    items: NDArray[np.int32]  # by home
    catalogue: tuple[Any, Any]
    homes: tuple[NDArray[np.int64], NDArray[np.int64]]  # of each stratum's items: first, last + 1
    home: NDArray[np.int32]  # of each item
    biases: Float32  # by home
    item_step_counts: Float32


class Training:
    """The state of one fit.

    Parameters
    ----------
    plan : FactorPlan
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    given : Interactions or None
        Negatives handed in by the user, of the same shape; not with a sampler of hard negatives.
    n_jobs : int
        At most so many threads, >= 1.
    """

    _prepared: _Prepared | None = None  # until the first epoch, and after the last one

    def __init__(
        self,
        plan: FactorPlan,
        interactions: Interactions,
        weights: Float32 | None,
        given: Interactions | None,
        n_jobs: int,
    ) -> None:
        self.plan = plan
        self.cancelled = False  # to be set from another thread
        self._local = threading.local()
        self._streams: dict[int, NDArray[Any]] = {}
        self._known = (_read_only(interactions.indptr), _read_only(interactions.indices))
        self._weights = _read_only(np.empty(0, np.float32) if weights is None else weights)
        self._given_negatives = given is not None
        self._given = (
            _NOTHING if given is None else (_read_only(given.indptr), _read_only(given.indices))
        )
        # Candidates of a hard negative are drawn like further negatives, and from the same block.
        self._n_candidates = plan.sampler.n_candidates if plan.sampler.rule else 1
        with np.errstate(over="ignore"):  # see run_epoch
            self._numbers = tuple(
                tuple(map(np.float32, numbers))
                for numbers in (plan.l2, plan.loss.parameters, plan.optimizer.parameters)
            )
        # While start values are drawn one thread works the strata out.
        self.tables = FactorTables.start(
            interactions.n_users, interactions.n_items, plan.n_factors, plan.optimizer,
            scale=plan.init_scale, seed=plan.seed, n_jobs=n_jobs,
            beside=partial(self._make_schedule, interactions),
        )  # fmt: skip
        self._build_epoch()
        self._share_out(interactions.nnz, n_jobs)

    def _share_out(self, nnz: int, n_jobs: int) -> None:
        """Cut the work of an epoch into pieces that are worth a turn of a thread."""
        schedule, least = self.schedule, max(1, _LEAST_RUN)
        most = nnz * self.plan.n_negatives // least if n_jobs > 1 else 1
        runs = schedule.runs(most, n_jobs)
        self._runs = [[(int(first), int(last)) for first, last in each] for each in runs]
        self.executor = executor_for(min(n_jobs, runs.shape[1]))
        n_blocks = schedule.n_user_blocks
        step = 1 if self.executor.n_jobs > 1 and nnz >= n_blocks * least else n_blocks
        self._visits = [(first, first + step) for first in range(0, n_blocks, step)]

    def _build_epoch(self) -> None:
        plan, optimizer = self.plan, self.plan.optimizer
        width, far = self.tables.width, self.tables.nbytes > _CACHE_BYTES
        loss, scorer = plan.loss, plan.scorer
        if isinstance(loss, ListLoss):
            raise TypeError(f"loss {loss.name!r} is not one of triplets")
        self._epoch = build_epoch(
            loss.value, loss.slope, scorer.score, scorer.coefficients, scorer.gradient,
            optimizer.step, optimizer.update, width, far, len(optimizer.state),
            len(optimizer.step_counts), scorer.linear, CHOICES[plan.sampler.rule], self._n_candidates,
        )  # fmt: skip

    def _make_schedule(self, data: Interactions, tables: FactorTables) -> None:
        item_bytes = tables.items.nbytes // data.n_items
        blocks = n_blocks(data.n_users, data.n_items, data.nnz, item_bytes)
        make = given_schedule if self._given_negatives else drawn_schedule
        self.schedule = make(min(blocks, 8) if self._given_negatives else blocks)
        self._kernels = build_preparation(self._given_negatives)
        self._item_counts = _counts(data.indices, data.n_items)
        self._user_ranking = np.argsort(-np.diff(data.indptr), kind="stable").astype(np.int32)
        self._item_ranking = np.argsort(-self._item_counts, kind="stable").astype(np.int32)
        # With given negatives a triplet is stored for each negative, else for each positive.
        n_stored = data.nnz * (self.plan.n_negatives if self._given_negatives else 1)
        self._group = group_size(
            self.schedule, np.diff(data.indptr), self._item_counts,
            self.plan.sampler.weights(self._item_counts), GROUP,
        )  # fmt: skip
        self._n_each = 1 if self._given_negatives else self.plan.n_negatives
        self._codes = codes_of(self.schedule, data.n_users, data.n_items)
        self._stored = (
            np.empty(n_stored, self._codes.dtype),
            np.empty(n_stored if self._given_negatives else 0, np.int32),
            np.empty(n_stored if len(self._weights) else 0, np.float32),
        )

    @property
    def factors(self) -> Factors:
        """The factors as they stand: views, valid until the next epoch."""
        self._settle()
        return self.tables.factors

    def release(self) -> Factors:
        """Return the factors as arrays of their own and drop all else: the training ends here."""
        self._settle()
        self._prepared = None
        for name in vars(self).keys() - {"plan", "tables"}:
            delattr(self, name)
        return self.tables.release()

    def _settle(self) -> None:
        """Bring what lies by home back into the order of the items."""
        if self._prepared is not None:
            home = self._prepared.home
            self.tables.biases[:] = self._prepared.biases[home]
            self.tables.item_step_counts[:] = self._prepared.item_step_counts[home]

    def _by_home(self, home: NDArray[np.int32], n_homes: int) -> tuple[Float32, Float32]:
        """Return the items' biases and step_counts by home, where they lie until the next partition.

        So all that a cache line has of them belongs to one block, and threads need not take it from each
        other all the time.
        """
        self._settle()
        biases = np.empty((n_homes, *self.tables.biases.shape[1:]), np.float32)
        step_counts = np.empty((n_homes, self.tables.item_step_counts.shape[1]), np.float32)
        biases[home], step_counts[home] = self.tables.biases, self.tables.item_step_counts
        return biases, step_counts

    def threads(self) -> AbstractContextManager[None]:
        """Keep the threads alive for a run of epochs."""
        return self.executor.threads()

    def run_epoch(self, number: int) -> Record:
        """Learn from every positive once; return the epoch's record.

        Parameters
        ----------
        number : int
            From 1; with the seed it determines all that is random in the epoch.

        Returns
        -------
        dict
            epoch, loss, train_auc, n_triplets, n_skipped, seconds.
        """
        started = time.perf_counter()
        with np.errstate(over="ignore"):  # of a step beyond float32 the error of training tells
            rate = np.float32(self.plan.rate_at(number - 0.5))
        prepared = self._prepare(number)
        totals = np.zeros((len(prepared.bounds) - 1, 4))
        learn = self._learn(self._keys(number), prepared, rate, totals)
        self.executor.run_rounds(learn, self._runs)
        loss, right, mass, count = totals.sum(0).tolist()
        drawn = len(self._known[1]) * self.plan.n_negatives
        return {
            "epoch": number,
            "loss": loss / mass if mass else 0.0,
            "train_auc": right / mass if mass else 0.5,
            "n_triplets": int(count),
            "n_skipped": drawn - int(count),
            "seconds": time.perf_counter() - started,
        }

    def _keys(self, number: int) -> NDArray[Any]:
        """Return an epoch's streams: for users, items, given negatives, drawn ones, the order of triplets."""
        if number not in self._streams:  # those of many epochs at a time, which takes no longer
            n, first = 5 * _EPOCHS_AT_ONCE, number - number % _EPOCHS_AT_ONCE
            streams = np.random.SeedSequence((self.plan.seed, first)).generate_state(n, np.uint64)
            self._streams = dict(enumerate(streams.reshape(-1, 5), first))
        return self._streams[number]

    def _prepare(self, number: int) -> _Prepared:
        """Partition users and items, and bucket the positives (with given negatives: triplets).

        A partition serves two epochs: on large data it costs a quarter of one.
        """
        number -= (number - 1) % (1 if self._given_negatives else _EPOCHS_OF_PARTITION)
        if self._prepared is None or self._prepared.number != number:
            self._prepared = self._bucket(number)
        return self._prepared

    def _bucket(self, number: int) -> _Prepared:
        schedule, plan, kernels, keys = self.schedule, self.plan, self._kernels, self._keys(number)
        users, user_bounds, *_ = self._divide(self._user_ranking, schedule.n_user_blocks, keys[0])
        items, item_bounds, item_block, item_home = self._divide(
            self._item_ranking, schedule.n_item_blocks, keys[1]
        )
        n_homes = schedule.n_item_blocks << self._codes.place_bits
        items_at = np.zeros(n_homes, np.int32)
        items_at[item_home] = np.arange(len(items), dtype=np.int32)
        # Beside given negatives some are drawn from all blocks, between which homes leave gaps.
        drawn_from = items if self._given_negatives else items_at
        catalogue = (drawn_from, plan.sampler.cumulative(self._item_counts[drawn_from]))
        # A row for each user block: threads that write to one cache line wait for each other.
        sizes = np.zeros((schedule.n_user_blocks, len(schedule.item_block)), np.int64)
        starts = np.zeros(len(schedule.item_block) + 1, np.int64)

        def visit(place: bool) -> None:
            def task(first: int, last: int) -> None:
                kernels.visit(
                    first, last, keys[2], users, user_bounds, item_block, item_home,
                    schedule.stratum, self._known, self._weights, self._given, catalogue,
                    plan.sampler.share, plan.sampler.verified, plan.n_negatives, self._codes[:2],
                    place, starts, sizes, self._stored,
                )  # fmt: skip

            self.executor.run(task, self._visits)

        visit(place=False)
        np.cumsum(sizes.sum(0), out=starts[1:])
        sizes[:] = 0
        visit(place=True)
        first = schedule.item_block.astype(np.int64) << self._codes.place_bits
        last = first + np.diff(item_bounds)[schedule.item_block]
        longest = int(np.diff(starts).max())
        return _Prepared(
            number, starts, longest, users, user_bounds, items_at, catalogue, (first, last),
            item_home, *self._by_home(item_home, n_homes),
        )  # fmt: skip

    def _divide(self, ranking: Any, blocks: int, key: np.uint64) -> tuple[Any, Any, Any, Any]:
        order, home_of = np.empty_like(ranking), np.empty_like(ranking)
        bounds, block_of = np.empty(blocks + 1, np.int64), np.empty(len(ranking), np.int16)
        bits = self._codes.place_bits
        self._kernels.partition(ranking.copy(), blocks, key, bits, order, bounds, block_of, home_of)
        return order, bounds, block_of, home_of

    def _learn(
        self, keys: Any, prepared: _Prepared, rate: np.float32, totals: Any
    ) -> Callable[[int, int], None]:
        """Return the function (first, last) -> None that learns from a run of strata."""
        plan, sampler, schedule = self.plan, self.plan.sampler, self.schedule
        bounds, homes = prepared.bounds, prepared.homes
        n_drawn = plan.n_negatives * self._n_candidates
        U, V, biases = (
            each.reshape(-1) for each in (self.tables.users, self.tables.items, prepared.biases)
        )
        item_bits = self._codes.item_bits
        # What codes leave out of an item's home: all of its block, or nothing, where strata have pairs.
        item_first = np.zeros_like(homes[0]) if self._given_negatives else homes[0]

        def learn(first: int, last: int) -> None:
            triplets, places, words, rows, lanes, steps = self._scratch(prepared.longest)
            pairs, drawn, _ = triplets
            for a, b in _pieces(bounds, first, last):
                if self.cancelled:
                    raise KeyboardInterrupt
                self._kernels.shuffle(
                    a, b, keys[4], bounds, self._stored, item_bits, prepared.users,
                    prepared.user_bounds, schedule.user_block, item_first, places, triplets,
                )  # fmt: skip
                if not self._given_negatives:
                    self._kernels.draw(
                        a, b, keys[3], bounds, *homes, self._known,
                        prepared.catalogue, sampler.verified, n_drawn, pairs, words, places, drawn,
                    )  # fmt: skip
                self._epoch(
                    a, b, bounds, triplets, self._n_each, self._group,
                    U, self.tables.user_step_counts, V, prepared.items, prepared.item_step_counts, biases,
                    plan.item_bias, rate, *self._numbers, rows, lanes, steps, totals,
                )  # fmt: skip

        return learn

    def _scratch(self, longest: int) -> tuple[Any, ...]:
        """Return what the kernels work on in this thread, for strata of at most `longest` triplets.

        Kept from round to round: asking the system for memory costs as much as small rounds do.
        """
        made = getattr(self._local, "scratch", None)
        if made is None or made[0] < longest:
            n_drawn = self.plan.n_negatives * self._n_candidates
            n_places = longest * max(self._n_each, n_drawn)
            n_triplets = max(longest, _AT_ONCE)
            made = self._local.scratch = (
                longest,
                (
                    np.empty((n_triplets, 2), np.int32),
                    np.empty(n_triplets * n_drawn, np.int32),
                    np.empty(n_triplets if len(self._weights) else 0, np.float32),
                ),
                np.empty(n_places, np.int64),
                np.empty(min(1 << longest.bit_length(), _MOST_FILTER_WORDS), np.uint64),
                *group_scratch(self.tables.width),
            )
        return made[1:]


def _pieces(bounds: NDArray[np.int64], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Cut a run of strata into runs of a few ten thousand triplets, but at least one stratum."""
    while first < last:
        end = int(np.searchsorted(bounds, bounds[first] + _AT_ONCE, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end


def _counts(indices: NDArray[np.int32], n_items: int) -> NDArray[np.int64]:
    """Return how often each item occurs; NumPy alone would hold a copy of all of them, twice as long."""
    counts = np.zeros(n_items, np.int64)
    for first in range(0, len(indices), _COUNTED_AT_ONCE):
        counts += np.bincount(indices[first : first + _COUNTED_AT_ONCE], minlength=n_items)
    return counts
