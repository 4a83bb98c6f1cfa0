"""A fit by a triplet loss of memory-mapped interactions, in bounded memory; that of others is in `triplet`.

The users are cut into parts. A round of an epoch visits one part after the other, in a round there and in
the next one back, and learns the tile that it has there: a run of strata, see `Strata.tiles`. What it takes
is read before: of the part the rows, and of the tile the triplets, which are in a file in the order of the
strata. It is read while the tile before is learnt, and afterwards the rows are written back, where there is
no memory for all. The rows of all items stay in memory.

So all files are read and written in long runs, and what is learnt are the bits of the fit in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import check_alike, check_rows, copy_into
from tripletrec._runtime.memory import available_memory
from tripletrec._runtime.scratch import ScratchFolder
from tripletrec._runtime.threads import Call, ThreadPool, executor_for
from tripletrec.data.interactions import Interactions
from tripletrec.training.block_order import BlockOrder, PartBuffers, PartsOnDisk
from tripletrec.training.bucketing import Stored
from tripletrec.training.disk_layout import DiskLayout, FitSize, choose_layout, part_counts
from tripletrec.training.epoch_layout import EpochLayout, ItemDeal, record_of
from tripletrec.training.plan import FactorPlan, Factors, Record
from tripletrec.training.strata import LIMITS, StrataLimits, Tile
from tripletrec.training.stratum import StratumLearner
from tripletrec.training.tables import FactorTables
from tripletrec.training.triplet import TripletTraining, count_items
from tripletrec.training.triplet_files import TripletFiles, cut_stored
from tripletrec.training.triplet_records import N_TOTALS, ItemRows, UserRows
from tripletrec.training.user_parts import (
    UserPart,
    bucket_part,
    by_position,
    epoch_of_part,
    from_positions,
)
from tripletrec.training.user_rows import UserTable

__all__ = ["DiskTripletTraining", "start_mapped"]

_OF_USERS = ("users", "user_step_counts")


def start_mapped(
    plan: FactorPlan,
    interactions: Interactions,
    weights: NDArray[np.float32] | None,
    given: Interactions | None,
    n_jobs: int,
) -> TripletTraining | DiskTripletTraining:
    """Return a training of memory-mapped interactions: in memory if all of it fits, else from the disk."""
    size = FitSize.of(plan, interactions, given, weighted=weights is not None, n_jobs=n_jobs)
    if size.fits(DiskLayout(1, 1), available_memory()):
        return TripletTraining(plan, interactions, weights, given, n_jobs)
    return DiskTripletTraining(plan, interactions, weights, given, n_jobs)


class _DealtItems(NamedTuple):
    """What holds for all parts while a partition is in use."""

    deal: ItemDeal
    rows: ItemRows


class _Buffers(NamedTuple):
    """Memory for what is read before a tile is learnt, rows apart."""

    part: PartBuffers
    stored: Stored


class _Files(NamedTuple):
    """What lies on the disk, rows that are in memory, and memory for what is read; given up together."""

    parts: PartsOnDisk
    rows: UserTable
    triplets: TripletFiles
    buffers: list[_Buffers]


class _Visit(NamedTuple):
    """A tile, and all that was read for it."""

    tile: Tile
    part: UserPart
    rows: UserRows
    stored: (
        Stored  # the triplets of the tile; of a part that is not bucketed yet, place for all of its
    )


class DiskTripletTraining(StratumLearner):
    """The state of one fit, most of it on a disk; see `tripletrec.training.loop.train` for what runs it.

    Parameters
    ----------
    plan : FactorPlan
    interactions : Interactions
        The positives. They are read once, from the first to the last.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    given : Interactions or None
        Negatives given by the user, of the same shape.
    n_jobs : int
        The most threads that learn, >= 1. One more reads and writes.
    layout : DiskLayout or None, default None
        Changes no bit. None: by the memory that there is.
    limits : StrataLimits, default LIMITS

    Attributes
    ----------
    tables : FactorTables
        What is learnt of items; there are no users in it.
    epoch_layout : EpochLayout
    layout : DiskLayout
    executor : Executor
    loop : Loop

    Raises
    ------
    TypeError
        If the loss is not one of triplets.
    NotEnoughMemoryError, NotEnoughDiskError
        If not even one part fits into memory, or the files on the disk.
    OSError
        If no file can be written.
    """

    features: Mapping[str, Any] = MappingProxyType({})  # it has none
    _files: _Files | None = None  # after the release, or once it failed
    _prepared: _DealtItems | None = None
    _of_users: dict[str, NDArray[Any]] | None = None  # after the release

    def __init__(
        self,
        plan: FactorPlan,
        interactions: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        n_jobs: int,
        *,
        layout: DiskLayout | None = None,
        limits: StrataLimits = LIMITS,
    ) -> None:
        super().__init__(limits, weighted=weights is not None)
        self.plan, self._n, self._n_users = plan, interactions.nnz, interactions.n_users
        graded = given is None and plan.is_graded
        user_counts = np.diff(interactions.indptr)
        self.epoch_layout = EpochLayout(
            plan, user_counts, count_items(interactions.indices, interactions.n_items),
            given=given is not None, limits=limits,
        )  # fmt: skip
        self._places_given = given is not None and not self.epoch_layout.stores_negatives
        users = BlockOrder(*self.epoch_layout.deal_users(user_counts)[:2])
        size = FitSize.of(plan, interactions, given, weighted=weights is not None, n_jobs=n_jobs)
        strata = self.epoch_layout.strata
        self.layout = layout or choose_layout(size, part_counts(strata), available_memory())
        scratch = ScratchFolder(interactions.memory_map)
        scratch.check_room(size.disk(self.layout), "a fit from memory-mapped interactions")
        parts = PartsOnDisk(
            scratch, users, self.layout.n_parts, interactions, weights, given, graded=graded
        )
        rows = UserTable(
            scratch, users, parts.bounds, self.layout.n_resident, plan.n_factors,
            plan.optimizer,
        )  # fmt: skip
        rows.start(user_counts[users.rows], plan.init_scale, plan.seed)
        self.tables = FactorTables.start(
            0, interactions.n_items, plan.n_factors, plan.optimizer, scale=plan.init_scale,
            seed=plan.seed, n_jobs=n_jobs,
        )  # fmt: skip
        self.loop = self.epoch_layout.build_loop(
            prefetch_rows=size.user * size.n_users + self.tables.nbytes > limits.cache_bytes
        )
        triplets = TripletFiles(scratch, self.epoch_layout, parts, self._n, weighted=self._weighted)
        buffers = [
            _Buffers(parts.buffers(), triplets.buffers()) for _ in range(self.layout.n_buffers)
        ]
        self._files = _Files(parts, rows, triplets, buffers)
        self._starts: dict[int, NDArray[np.int64]] = {}  # of the strata of parts that are bucketed
        self._unsaved: tuple[int, Stored] | None = None  # triplets that are not on the disk yet
        self._longest = 0  # stratum
        self._at: int | None = None  # the part that was visited last
        self._share_out(n_jobs)

    def _share_out(self, n_jobs: int) -> None:
        """Cut the work of a tile into pieces that are worth a turn of a thread."""
        n_parts, least = self.layout.n_parts, max(1, self.limits.least_run)
        strata = self.epoch_layout.strata
        self._tiles, within = strata.tiles(n_parts), strata.within(n_parts)
        most = self._n * self.plan.n_negatives // n_parts**2 // least if n_jobs > 1 else 1
        runs = within.runs(most, n_jobs)
        self._runs = [[(int(first), int(last)) for first, last in each] for each in runs]
        n_blocks = strata.n_user_blocks // n_parts
        several = self._n // n_parts >= n_blocks * least
        step = 1 if several else n_blocks
        self._bucket_tasks = [(first, first + step) for first in range(0, n_blocks, step)]
        self.executor = executor_for(min(n_jobs, max(runs.shape[1], len(self._bucket_tasks))))
        self._io = _OneByOne()

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Keep the threads alive for a run of epochs; files and memory are given up if it fails."""
        try:
            with self.executor.threads(), self._io.thread():
                yield
        except Exception:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Drop files and memory, but not what `row_state` and `release` return once more."""
        self._files = self._prepared = self._unsaved = None
        self._starts = {}

    @property
    def _open(self) -> _Files:
        if self._files is None:
            raise RuntimeError("the training has ended: its files are gone")
        return self._files

    def run_epoch(self, number: int) -> Record:
        """Learn from every positive once; see `TripletTraining.run_epoch`."""
        started = time.perf_counter()
        prepared = self._prepare(number)
        totals = np.zeros((len(self.epoch_layout.strata.item_block), N_TOTALS))
        visits, n_buffers = self._visits(), len(self._open.buffers)
        loading = self._io.run(self._load, visits[0], self._open.buffers[0], None)
        try:
            for x, tile in enumerate(visits):
                visit = loading.result()
                if tile.part not in self._starts:
                    visit = self._bucket(visit, prepared.deal)
                following = visits[x + 1 : x + 2]
                if following and n_buffers > 1:
                    buffers = self._open.buffers[(x + 1) % n_buffers]
                    loading = self._io.run(self._load, following[0], buffers, tile.part)
                self._learn(number, prepared, visit, totals)
                if following and n_buffers == 1:
                    loading = self._io.run(self._load, following[0], self._open.buffers[0], None)
        finally:
            loading.wait()  # no thread may go on writing to what the caller sees
        return record_of(
            number, totals, self._n * self.plan.n_negatives, self.loop.searches,
            time.perf_counter() - started,
        )  # fmt: skip

    def _visits(self) -> list[Tile]:
        """Return the tiles of an epoch; each round begins with the part where the one before ends."""
        visits: list[Tile] = []
        for tiles in self._tiles:
            is_last = tiles[-1].part == self._at
            visits += tiles[::-1] if is_last else tiles
            self._at = visits[-1].part
        return visits

    def _prepare(self, number: int) -> _DealtItems:
        """Deal the items; parts are bucketed when they are visited."""
        number = self.epoch_layout.first_of_partition(number)
        if self._prepared is None or self._prepared.deal.number != number:
            tables = self.settle()
            self._prepared = None
            deal = self.epoch_layout.deal_items(number)
            self._starts, self._unsaved = {}, None
            self._prepared = _DealtItems(deal, by_position(tables, deal))
        return self._prepared

    def _load(self, tile: Tile, buffers: _Buffers, busy: int | None) -> _Visit:
        """Read what a tile needs, into buffers that are free; part `busy` is being learnt."""
        a = tile.part
        if self._unsaved is not None:
            unsaved, self._unsaved = self._unsaved, None
            self._open.triplets.write(*unsaved)
        rows = self._open.rows.rows(a, busy)
        if a not in self._starts:
            return _Visit(tile, self._open.parts.read(a, buffers.part), rows, buffers.stored)
        # Strata whose known pairs have no filter look them up where they are, at any place.
        looks_up = self.plan.sampler.verified and self._longest > self.limits.filter_words
        reads = looks_up or self._places_given
        known = self._open.parts.read(a, buffers.part) if reads else self._open.parts.known(a)
        first, last = self._starts[a][[tile.first, tile.last]].tolist()
        stored = cut_stored(buffers.stored, 0, last - first)
        self._open.triplets.read(a, first, stored)
        return _Visit(tile, known, rows, stored)

    def _bucket(self, visit: _Visit, deal: ItemDeal) -> _Visit:
        """Write the triplets of a part to its buffers; return the visit with those of the tile."""
        tile, part, rows, stored = visit
        starts = bucket_part(
            self.epoch_layout, deal, part, stored, self.executor, self._bucket_tasks
        )
        self._longest = max(self._longest, int(np.diff(starts).max()))
        self._starts[tile.part] = starts
        self._unsaved = tile.part, cut_stored(stored, 0, int(starts[-1]))
        first, last = starts[[tile.first, tile.last]].tolist()
        return _Visit(tile, part, rows, cut_stored(stored, first, last))

    def _learn(
        self, number: int, prepared: _DealtItems, visit: _Visit, totals: NDArray[np.float64]
    ) -> None:
        tile, part, rows, stored = visit
        bounds = self._starts[tile.part][tile.first : tile.last + 1]
        epoch = epoch_of_part(
            self.epoch_layout, number, prepared.deal, part, (tile.first, bounds - bounds[0]), stored,
            (rows, prepared.rows),
        )  # fmt: skip
        own = totals[tile.first : tile.last]
        self.executor.run_rounds(partial(self.learn_run, epoch, own, self._longest), self._runs)

    def settle(self) -> FactorTables:
        """Return the tables of items, after biases and step counts were written back into them."""
        if self._prepared is not None:
            from_positions(self.tables, *self._prepared)
        return self.tables

    @property
    def factors(self) -> Factors:
        """The factors as they stand; those of users are an own array, maybe in a file of its own."""
        items = self.settle().factors
        return Factors(self._open.rows.collect(_factors_of)["factors"], *items[1:])

    def factor_pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield all factors as they stand, some at a time."""
        for _, tables in self._open.rows.in_order():
            yield tables.factors.user_factors
        yield from self.settle().factors[1:]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the epochs to come depend on, see `tripletrec.training.loop.Trainable`."""
        users = self._open.rows.collect(_state_of)
        return {name: users.get(name, each) for name, each in self.settle().state().items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state; raise ValueError if it is of another size."""
        own = self.tables.state()
        shapes = {name: (self._n_users, *own[name].shape[1:]) for name in _OF_USERS}
        zero = np.float32(0)
        check_alike(
            {**own, **{name: np.broadcast_to(zero, each) for name, each in shapes.items()}}, state
        )
        self._prepared = None
        items = own.keys() - set(_OF_USERS)
        copy_into({name: own[name] for name in items}, {name: state[name] for name in items})
        for first, tables in self._open.rows.in_order(change=True):
            last = first + len(tables.users)
            copy_into(_state_of(tables), {name: state[name][first:last] for name in _OF_USERS})

    def row_state(self) -> dict[str, NDArray[Any]]:
        """Return the optimizer's state in brief, see `FactorTables.row_state`; also after `release`."""
        of_users = self._of_users or self._open.rows.collect(_row_state_of)
        items = (self.tables if self._of_users else self.settle()).row_state()
        return {name: of_users.get(name, each) for name, each in items.items()}

    def take_up(self, learnt: Factors, row_state: Mapping[str, NDArray[Any]] | None) -> None:
        """Begin with what another training has learnt, see `FactorTables.take_up`."""
        items = self.tables.factors
        users = np.broadcast_to(np.float32(0), (self._n_users, self.plan.n_factors))
        check_rows((users, *items[1:]), learnt)
        self.tables.take_up(
            Factors(learnt.user_factors[:0], *learnt[1:]),
            None if row_state is None else _of_some(row_state, 0, 0),
        )
        for first, tables in self._open.rows.in_order(change=True):
            last = first + len(tables.users)
            tables.take_up(
                Factors(learnt.user_factors[first:last], *(each[:0] for each in learnt[1:])),
                None if row_state is None else _of_some(row_state, first, last),
            )

    def release(self) -> Factors:
        """Return the factors as arrays of their own and drop all else: the training ends here."""
        if self._of_users is None:
            self.settle()
            self._of_users = self._open.rows.collect(
                lambda each: {**_factors_of(each), **_row_state_of(each)}
            )
        self._give_up()
        return Factors(self._of_users["factors"], *self.tables.release()[1:])


class _OneByOne:
    """Calls that run one after the other, in a thread of their own while there is one."""

    _pool: ThreadPool | None = None

    @contextmanager
    def thread(self) -> Iterator[None]:
        """Keep the thread alive inside the block."""
        with ThreadPool(1, "tripletrec-disk") as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def run(self, call: Callable[..., _Visit], *arguments: Any) -> Call[_Visit]:
        """Begin a call."""
        if self._pool is not None:
            return self._pool.submit(call, *arguments)
        return Call.made(call, arguments)


def _factors_of(tables: FactorTables) -> dict[str, NDArray[Any]]:
    return {"factors": tables.factors.user_factors}


def _state_of(tables: FactorTables) -> dict[str, NDArray[Any]]:
    state = tables.state()
    return {name: state[name] for name in _OF_USERS}


def _row_state_of(tables: FactorTables) -> dict[str, NDArray[Any]]:
    state = tables.row_state()
    return {name: state[name] for name in ("state.0", "step_counts.0")}


def _of_some(
    row_state: Mapping[str, NDArray[Any]], first: int, last: int
) -> dict[str, NDArray[Any]]:
    """Return the state of some users, and of all items."""
    return {
        name: each[first:last] if name.endswith(".0") else each for name, each in row_state.items()
    }
