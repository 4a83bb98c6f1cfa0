"""A fit of a factor model by a triplet loss: tables, strata, epochs; what runs a stratum is in `stratum`.

A model class gives a `FactorPlan`; what comes back are arrays and one record per epoch. All of it
is a pure function of the plan and the data: neither the number of threads nor their order changes a bit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.threads import Executor, executor_for
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss
from tripletrec.sampling.draw import ItemsOfUsers, Pool
from tripletrec.sampling.grades import by_rising_value
from tripletrec.training.bucketing import (
    Buckets,
    GivenNegatives,
    Partition,
    Positives,
    Stored,
    bucket,
    deal,
)
from tripletrec.training.plan import L2, FactorPlan, Factors, Record
from tripletrec.training.strata import (
    LIMITS,
    Limits,
    codes_of,
    drawn_strata,
    given_strata,
    group_size,
    n_blocks,
)
from tripletrec.training.stratum import (
    Contents,
    Epoch,
    Loop,
    Streams,
    Workspace,
    learn_strata,
    make_workspace,
    pieces,
)
from tripletrec.training.tables import FactorTables
from tripletrec.training.triplet_kernel import build_epoch
from tripletrec.training.triplet_records import (
    GROUP,
    N_TOTALS,
    HyperParameters,
    ItemRows,
    UserRows,
    search_of,
)

__all__ = ["TripletTraining", "count_items"]

_EPOCHS_AT_ONCE = 64  # whose streams are made together
_EPOCHS_OF_PARTITION = 2  # four cost a little NDCG where there are but eight blocks
_MOST_GIVEN_BLOCKS = 8  # with given negatives: strata grow with the cube of the blocks

Float32 = NDArray[np.float32]


class _Prepared(NamedTuple):
    """The interactions in strata, for the epochs from `number` on."""

    number: int
    contents: Contents
    longest: int  # triplets of a stratum
    items: Partition
    rows: ItemRows


class TripletTraining:
    """The state of one fit; see `tripletrec.training.loop.train` for what runs it.

    Parameters
    ----------
    plan : FactorPlan
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    given : Interactions or None
        Negatives given by the user, of the same shape; not with a sampler that chooses hard negatives.
    n_jobs : int
        The most threads, >= 1.
    tables : FactorTables or None, default None
        What earlier epochs have learnt, to be learnt on in place: those that `settle` of another training of
        the same plan has returned. None: start values.
    executor : Executor or None, default None
        Runs the tasks of each round. None: as many threads as have work.
    learn_items : bool, default True
        False: items, their biases and their optimizer state stay as they are.
    limits : Limits, default LIMITS

    Attributes
    ----------
    tables : FactorTables
        What is learnt. During a partition biases and step counts of items lie elsewhere, see `settle`.
    strata : Strata
    executor : Executor
    loop : Loop
        How strata are learnt; another one may be set before an epoch.

    Raises
    ------
    TypeError
        If the loss is not one of triplets.
    ValueError
        If the tables are not of the plan's size.
    """

    _prepared: _Prepared | None = None  # until the first epoch, and after the last one

    def __init__(
        self,
        plan: FactorPlan,
        interactions: Interactions,
        weights: Float32 | None,
        given: Interactions | None,
        n_jobs: int,
        *,
        tables: FactorTables | None = None,
        executor: Executor | None = None,
        learn_items: bool = True,
        limits: Limits = LIMITS,
    ) -> None:
        if isinstance(plan.loss, ListLoss):
            raise TypeError(f"loss {plan.loss.name!r} is not one of triplets")
        self.plan, self.limits, self._loss = plan, limits, plan.loss
        self.cancelled = False  # to be set from another thread
        self._local = threading.local()
        self._streams: dict[int, Streams] = {}
        self._positives = Positives(
            read_only(interactions.indptr),
            read_only(interactions.indices),
            read_only(np.empty(0, np.float32) if weights is None else weights),
        )
        self._given = self._n_lower = None
        if given is not None:
            self._given = ItemsOfUsers(read_only(given.indptr), read_only(given.indices))
        elif plan.sampler.by_value and plan.sampler.share > 0.0:
            self._given, self._n_lower = by_rising_value(self._positives[:2], interactions.values)
        if tables is None:
            # While start values are drawn one thread works the strata out.
            tables = FactorTables.start(
                interactions.n_users, interactions.n_items, plan.n_factors, plan.optimizer,
                scale=plan.init_scale, seed=plan.seed, n_jobs=n_jobs,
                beside=partial(self._make_strata, interactions),
            )  # fmt: skip
            # Nothing is learnt of a user without positives: with factors of zero the biases rank the items.
            tables.users[np.diff(interactions.indptr) == 0, 0] = 0.0
        else:
            _check_tables(tables, plan, interactions)
            self._make_strata(interactions, tables)
        self.tables = tables
        self.loop = self._build_loop(learn_items)
        self._share_out(interactions.nnz, n_jobs, executor)

    def _share_out(self, nnz: int, n_jobs: int, executor: Executor | None) -> None:
        """Cut the work of an epoch into pieces that are worth a turn of a thread."""
        least, n_user_blocks = self.limits.least_run, self.strata.n_user_blocks
        most = nnz * self.plan.n_negatives // max(1, least) if n_jobs > 1 else 1
        runs = self.strata.runs(most, n_jobs)
        self.rounds = [[(int(first), int(last)) for first, last in each] for each in runs]
        self.executor = executor or executor_for(min(n_jobs, runs.shape[1]))
        several = min(n_jobs, runs.shape[1]) > 1 and nnz >= n_user_blocks * least
        step = 1 if several else n_user_blocks
        self._bucket_tasks = [(first, first + step) for first in range(0, n_user_blocks, step)]

    def _build_loop(self, learn_items: bool) -> Loop:
        plan, sampler, tables = self.plan, self.plan.sampler, self.tables
        # Candidates of a negative are drawn like further negatives, and from the same block.
        kernel = build_epoch(
            self._loss, plan.scorer, plan.optimizer, tables.width, sampler.choose, plan.n_candidates,
            prefetch_rows=tables.nbytes > self.limits.cache_bytes, learn_items=learn_items,
        )  # fmt: skip
        with np.errstate(over="ignore"):  # of a step beyond float32 the error of training tells
            l2, loss, optimizer = (
                tuple(map(np.float32, numbers))
                for numbers in (plan.l2, plan.loss.parameters, plan.optimizer.parameters)
            )
        search = search_of(self._loss, len(tables.items))
        self._hyper = HyperParameters(
            np.float32(0), L2(*l2), loss, optimizer, plan.item_bias, search  # type: ignore[arg-type]
        )  # fmt: skip
        n_each, n_drawn = plan.n_negatives, plan.n_negatives * plan.n_candidates
        if self._given is not None:  # a triplet is stored for each negative, else for each positive
            n_each, n_drawn = 1, 0
        return Loop(
            kernel, tables.width, self._group, n_each, n_drawn, sampler.verified,
            self._loss.n_positives, self._loss.searches,
        )  # fmt: skip

    def _make_strata(self, data: Interactions, tables: FactorTables) -> None:
        item_bytes = tables.items.nbytes // data.n_items
        limits = self.limits
        if self._loss.searches:
            limits = limits._replace(least_triplets=limits.least_searched)
        blocks = n_blocks(data.n_users, data.n_items, data.nnz, item_bytes, limits)
        # Negatives that are given, or lower-valued positives, may be of any block.
        n_stored, given = data.nnz, self._given is not None
        if given:
            n_stored *= self.plan.n_negatives
            self.strata = given_strata(min(blocks, _MOST_GIVEN_BLOCKS))
        else:
            self.strata = drawn_strata(blocks)
        self._item_counts = count_items(data.indices, data.n_items)
        self._user_ranking = np.argsort(-np.diff(data.indptr), kind="stable").astype(np.int32)
        self._item_ranking = np.argsort(-self._item_counts, kind="stable").astype(np.int32)
        self._group = group_size(
            self.strata, np.diff(data.indptr), self._item_counts,
            self.plan.sampler.weights(self._item_counts), GROUP,
        )  # fmt: skip
        self._codes = codes_of(self.strata, data.n_users, data.n_items, self.limits)
        self._stored = Stored(
            np.empty(n_stored, self._codes.dtype),
            np.empty(n_stored if given else 0, np.int32),
            np.empty(n_stored if len(self._positives.weights) else 0, np.float32),
        )

    @property
    def factors(self) -> Factors:
        """The factors as they stand: views, valid until the next epoch."""
        return self.settle().factors

    def settle(self) -> FactorTables:
        """Return the tables, after biases and step counts of items were written back into them.

        While a partition is in use they lie by position, so that a cache line of them belongs to one block
        and no two threads write to it.
        """
        if self._prepared is not None:
            position, rows = self._prepared.items.position_of, self._prepared.rows
            shape = (-1, *self.tables.biases.shape[1:])
            self.tables.biases[:] = rows.biases.reshape(shape)[position]
            self.tables.item_step_counts[:] = rows.step_counts[position]
        return self.tables

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the epochs to come depend on, see `tripletrec.training.loop.Trainable`."""
        return self.settle().state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state; raise ValueError if it is of another size."""
        self._prepared = None
        self.tables.restore(state)

    def row_state(self) -> dict[str, NDArray[Any]]:
        """Return the optimizer's state in brief, see `FactorTables.row_state`; also after `release`."""
        return self.settle().row_state()

    def take_up(self, learnt: Factors, row_state: Mapping[str, NDArray[Any]] | None) -> None:
        """Begin with what another training has learnt, see `FactorTables.take_up`."""
        self.tables.take_up(learnt, row_state)

    def release(self) -> Factors:
        """Return the factors as arrays of their own and drop all else: the training ends here."""
        self.settle()
        self._prepared = None
        for name in vars(self).keys() - {"plan", "tables"}:
            delattr(self, name)
        return self.tables.release()

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
            epoch, loss, train_auc, n_triplets, n_skipped, seconds; maybe n_violations.
        """
        started = time.perf_counter()
        epoch = self.epoch(number)
        totals = np.zeros((len(epoch.contents.buckets.numbers), N_TOTALS))
        self.executor.run_rounds(partial(self._learn_run, epoch, totals), self.rounds)
        loss, right, mass, count, n_learnt = totals.sum(0).tolist()
        drawn = len(self._positives.indices) * self.plan.n_negatives
        return {
            "epoch": number,
            "loss": loss / mass if mass else 0.0,
            "train_auc": right / mass if mass else 0.5,
            "n_triplets": int(count),
            "n_skipped": drawn - int(count),
            **({"n_violations": int(n_learnt)} if self._loss.searches else {}),
            "seconds": time.perf_counter() - started,
        }

    def _learn_run(self, epoch: Epoch, totals: NDArray[np.float64], first: int, last: int) -> None:
        """Learn from a run of strata: the task of a thread."""
        workspace = self._workspace()
        for a, b in pieces(epoch.contents.buckets.bounds, first, last, self.limits.at_once):
            if self.cancelled:
                raise KeyboardInterrupt
            learn_strata(a, b, self.loop, epoch, workspace, totals)

    def epoch(self, number: int) -> Epoch:
        """Return all that the strata of an epoch depend on, valid until that of another partition."""
        prepared = self._prepare(number)
        with np.errstate(over="ignore"):  # see _build_loop
            rate = np.float32(self.plan.rate_at(number - 0.5))
        return Epoch(
            prepared.contents,
            UserRows(self.tables.users.reshape(-1), self.tables.user_step_counts),
            prepared.rows,
            self._hyper._replace(rate=rate),
            self._streams_of(number),
        )

    def positions_of(self, s: int) -> NDArray[np.int64]:
        """Return the positions of the items of stratum `s`, ascending; only after `epoch`."""
        if self._prepared is None:
            raise ValueError("there are no positions before the first epoch")
        bounds, bits = self._prepared.items.bounds, self._codes.place_bits
        blocks = self.strata.item_blocks_of(s)
        return np.concatenate([(b << bits) + np.arange(bounds[b + 1] - bounds[b]) for b in blocks])

    def _streams_of(self, number: int) -> Streams:
        if number not in self._streams:  # those of many epochs at a time, which takes no longer
            n, first = 5 * _EPOCHS_AT_ONCE, number - number % _EPOCHS_AT_ONCE
            drawn = np.random.SeedSequence((self.plan.seed, first)).generate_state(n, np.uint64)
            streams = (Streams(*each) for each in drawn.reshape(-1, 5))
            self._streams = dict(enumerate(streams, first))
        return self._streams[number]

    def _prepare(self, number: int) -> _Prepared:
        """Deal users and items, and bucket the positives (with given negatives: triplets).

        A partition serves two epochs: on large data it costs a quarter of one.
        """
        number -= (number - 1) % (1 if self._given is not None else _EPOCHS_OF_PARTITION)
        if self._prepared is None or self._prepared.number != number:
            self._prepared = self._bucket(number)
        return self._prepared

    def _bucket(self, number: int) -> _Prepared:
        strata, sampler, streams = self.strata, self.plan.sampler, self._streams_of(number)
        users = deal(self._user_ranking, strata.n_user_blocks, streams.users)
        items = deal(self._item_ranking, strata.n_item_blocks, streams.items)
        n_positions = strata.n_item_blocks << self._codes.place_bits
        row_at = np.zeros(n_positions, np.int32)
        row_at[items.position_of] = np.arange(len(items.order), dtype=np.int32)
        # Beside given negatives others are drawn from all blocks, between which positions leave gaps.
        drawn_from = row_at if self._given is None else items.order
        pool = Pool(drawn_from, sampler.cumulative(self._item_counts[drawn_from]))
        given = None
        if self._given is not None:
            given = GivenNegatives(
                streams.given, self._given, self._n_lower, sampler.share, pool, sampler.verified,
                self.plan.n_negatives,
            )  # fmt: skip
        starts = self._fill_buckets(users, items, given)
        first = last = np.zeros(len(strata.item_block), np.int64)
        if self._given is None:
            first = strata.item_block.astype(np.int64) << self._codes.place_bits
            last = first + np.diff(items.bounds)[strata.item_block]
        contents = Contents(
            Buckets(
                np.arange(len(strata.item_block)), starts, strata.user_block, users.order,
                users.bounds, first, last,
            ),
            self._stored, self._codes.item_bits, ItemsOfUsers(*self._positives[:2]), pool, None,
        )  # fmt: skip
        rows = self._by_position(items.position_of, row_at)
        return _Prepared(number, contents, int(np.diff(starts).max()), items, rows)

    def _fill_buckets(
        self, users: Partition, items: Partition, given: GivenNegatives | None
    ) -> NDArray[np.int64]:
        """Write the triplets to `_stored`, stratum by stratum; return where the strata begin."""
        n_strata = len(self.strata.item_block)
        # A row for each user block: threads that write to one cache line wait for each other.
        sizes = np.zeros((self.strata.n_user_blocks, n_strata), np.int64)
        starts = np.zeros(n_strata + 1, np.int64)

        def task(place: bool, first: int, last: int) -> None:
            bucket(
                first, last, users, items, self._positives, given, self.strata.stratum,
                self._codes[:2], place, starts, sizes, self._stored,
            )  # fmt: skip

        self.executor.run(partial(task, False), self._bucket_tasks)
        np.cumsum(sizes.sum(0), out=starts[1:])
        sizes[:] = 0
        self.executor.run(partial(task, True), self._bucket_tasks)
        return starts

    def _by_position(self, position_of: NDArray[np.int32], row_at: NDArray[np.int32]) -> ItemRows:
        """Return the rows of items, whose biases and step counts lie by position from now on."""
        tables = self.settle()
        biases = np.empty((len(row_at), *tables.biases.shape[1:]), np.float32)
        step_counts = np.empty((len(row_at), tables.item_step_counts.shape[1]), np.float32)
        biases[position_of], step_counts[position_of] = tables.biases, tables.item_step_counts
        return ItemRows(tables.items.reshape(-1), row_at, biases.reshape(-1), step_counts)

    def _workspace(self) -> Workspace:
        """Return what this thread works on.

        Kept from round to round: asking the system for memory costs as much as small rounds do.
        """
        longest = 0 if self._prepared is None else self._prepared.longest
        kept: tuple[int, Workspace] | None = getattr(self._local, "workspace", None)
        if kept is None or kept[0] < longest:
            weighted = len(self._positives.weights) > 0
            made = make_workspace(self.loop, longest, weighted=weighted, limits=self.limits)
            kept = self._local.workspace = longest, made
        return kept[1]


def _check_tables(tables: FactorTables, plan: FactorPlan, data: Interactions) -> None:
    found = (len(tables.users), len(tables.items), tables.n_factors, tables.users.shape[1] - 1)
    wanted = (data.n_users, data.n_items, plan.n_factors, len(plan.optimizer.state))
    if found != wanted:
        raise ValueError(
            "tables must be of the users, items, factors and numbers of optimizer state "
            f"{wanted}, got {found}"
        )


def count_items(
    indices: NDArray[np.int32], n_items: int, at_once: int = 2**20
) -> NDArray[np.int64]:
    """Return how often each item occurs among `indices`.

    A piece of so many at a time: NumPy makes a copy of what it counts, twice as long.
    """
    counts = np.zeros(n_items, np.int64)
    for first in range(0, len(indices), at_once):
        counts += np.bincount(indices[first : first + at_once], minlength=n_items)
    return counts
