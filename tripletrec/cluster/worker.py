"""What a worker of a cluster keeps of a fit, and what it does: pure functions of it; who asks is `driver`.

Each function is a task: its first argument is the worker's memory for this fit, a dict that stays from task
to task; the others, and what it returns, may travel between workers. No function knows the engine.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import MutableMapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import aligned
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.grouping import Grouping
from tripletrec.cluster.start_rows import start_items, start_users
from tripletrec.cluster.store import (
    ItemGroup,
    read_items,
    read_meta,
    read_part,
    read_user_rows,
    write_items,
    write_user_rows,
)
from tripletrec.training.epoch_layout import EpochLayout, ItemDeal
from tripletrec.training.health import largest_of
from tripletrec.training.stratum import Workspaces, learn_strata, pieces
from tripletrec.training.tables import row_width
from tripletrec.training.triplet_records import N_TOTALS, ItemRows, UserRows
from tripletrec.training.user_parts import UserPart, bucket_part, empty_stored, epoch_of_part

__all__ = [
    "Ended",
    "Job",
    "LostError",
    "begin_part",
    "cut_items",
    "draw_items",
    "end_items",
    "end_part",
    "join_items",
    "learn_tile",
    "load_items",
    "prepare",
    "recall_items",
]

_KEY = "fit"

Memory = MutableMapping[str, Any]
Groups = dict[int, ItemGroup]
"""Groups of items by number, as they travel."""


class LostError(RuntimeError):
    """A worker has not got, or not any more, what a task goes on from."""


class Job(NamedTuple):
    """What all workers of a fit know.

    Parameters
    ----------
    folder : Folder
    epoch_layout : EpochLayout
    n_parts : int
    """

    folder: Folder
    epoch_layout: EpochLayout
    n_parts: int


class Ended(NamedTuple):
    """What a part says at the end of an epoch.

    Parameters
    ----------
    totals : float64 array of shape (n_strata, N_TOTALS)
        Of its strata, tile by tile.
    largest : float
        The largest factor of its users, as an absolute value; 0 if they were not looked at.
    """

    totals: NDArray[np.float64]
    largest: float


class _Part:
    """A part of the users: what is known of them, and what has been learnt of them so far."""

    def __init__(
        self, known: UserPart, rows: UserRows, epoch: int, epoch_layout: EpochLayout
    ) -> None:
        self.known, self.rows = known, rows
        self.stored = empty_stored(epoch_layout, known)
        self.starts = np.zeros(1, np.int64)
        self.deal = 0  # number of the deal of items that its triplets are stored by
        self.totals: list[NDArray[np.float64]] = []  # of the tiles of the epoch under way
        # Whole epochs and, of the one under way, the tiles that were begun.
        self.at: tuple[int, int | None] = (epoch, None)
        self.attempt = ""


class _Fit:
    """What one worker keeps of one fit."""

    def __init__(self, job: Job) -> None:
        self.job, epoch_layout = job, job.epoch_layout
        self.grouping = Grouping.of(epoch_layout.strata, job.n_parts)
        self.rounds = epoch_layout.strata.tiles(job.n_parts)
        self.parts: dict[int, _Part] = {}
        self.items: dict[int, tuple[int, ItemGroup]] = {}  # kept at the end of an epoch
        self.lock = threading.RLock()
        n_rows, plan = sum(epoch_layout.shape), epoch_layout.plan
        n_bytes = 4 * n_rows * (1 + len(plan.optimizer.state)) * row_width(plan.n_factors)
        self.loop = epoch_layout.build_loop(prefetch_rows=n_bytes > epoch_layout.limits.cache_bytes)
        self._deal: ItemDeal | None = None
        self.workspaces = Workspaces(epoch_layout.limits)
        self._local = threading.local()

    def deal(self, epoch: int) -> ItemDeal:
        """Return the deal of the items in an epoch."""
        number = self.job.epoch_layout.first_of_partition(epoch)
        with self.lock:
            if self._deal is None or self._deal.number != number:
                self._deal = self.job.epoch_layout.deal_items(number)
            return self._deal

    def part(self, number: int, attempt: str) -> _Part:
        """Return a part; raise LostError if it is not here, or someone else goes on with it."""
        part = self.parts.get(number)
        if part is None or part.attempt != attempt:
            raise LostError(f"part {number} of the users is not here")
        return part

    def by_position(self, n_positions: int, items: ItemGroup) -> tuple[NDArray[Any], ...]:
        """Return this thread's arrays by position: rows, biases and step counts of items."""
        kept: tuple[NDArray[Any], ...] | None = getattr(self._local, "by_position", None)
        if kept is None:
            kept = self._local.by_position = (
                np.zeros(n_positions, np.int32),
                np.zeros((n_positions, items.biases.shape[1]), np.float32),
                np.zeros((n_positions, items.step_counts.shape[1]), np.float32),
            )
        return kept


def prepare(memory: Memory, job: Job, parts: list[int]) -> None:
    """Get ready for a fit: what there is of it is kept, but for other parts of the users than these.

    Raises
    ------
    ValueError
        If the folder is not the one that the client has written to.
    """
    if read_meta(job.folder) is None:
        raise ValueError(
            f"checkpoint must be a folder that the client and all workers see, got {job.folder}, in which a "
            f"worker on {platform.node()!r} finds nothing"
        )
    fit = memory.get(_KEY)
    if fit is None or fit.job.n_parts != job.n_parts:
        memory[_KEY] = fit = _Fit(job)
    with fit.lock:
        for number in fit.parts.keys() - set(parts):
            del fit.parts[number]


def begin_part(memory: Memory, attempt: str, number: int, epoch: int) -> None:
    """Bring a part to where the epoch begins: as it is here, else from the folder, else by start values.

    Parameters
    ----------
    attempt : str
        From now on tasks of other attempts are refused.
    number : int
        Of the part.
    epoch : int
    """
    own = _fit(memory)
    epoch_layout = own.job.epoch_layout
    with own.lock:
        part = own.parts.get(number)
        if part is not None and part.at == (epoch - 1, None):
            part.attempt = attempt
        else:
            part = own.parts[number] = _load_part(own.job, number, epoch - 1)
            part.attempt = attempt
    deal = own.deal(epoch)
    if part.deal != deal.number:
        part.starts = bucket_part(epoch_layout, deal, part.known, part.stored)
        part.deal = deal.number
    part.totals = []


def _load_part(job: Job, number: int, epoch: int) -> _Part:
    """Return a part as it is in the folder after an epoch, or at the start."""
    epoch_layout, n_blocks = job.epoch_layout, job.epoch_layout.strata.n_user_blocks // job.n_parts
    first = number * n_blocks
    known = read_part(job.folder, first, first + n_blocks)
    if epoch == 0:
        table, step_counts = start_users(epoch_layout.plan, known)
    else:
        blocks = [
            read_user_rows(job.folder, epoch, block) for block in range(first, first + n_blocks)
        ]
        table, step_counts = (np.concatenate([each[k] for each in blocks]) for k in range(2))
    return _Part(known, UserRows(_aligned(table), step_counts), epoch, epoch_layout)


def draw_items(memory: Memory, group: int) -> Groups:
    """Return the items of a group in the first epoch's deal, by their start values."""
    own = _fit(memory)
    rows = own.grouping.rows_of(group, own.job.epoch_layout, own.deal(1))
    return {group: ItemGroup(rows, *start_items(own.job.epoch_layout.plan, rows))}


def load_items(memory: Memory, epoch: int, number: int) -> Groups:
    """Return the items of a file of the folder, under its number."""
    return {number: read_items(_fit(memory).job.folder, epoch, number)}


def cut_items(memory: Memory, epoch: int, group: int, items: Groups, old: int) -> Groups:
    """Return, of the items of group `old`, those that are in a group in the deal of an epoch."""
    own, found = _fit(memory), items[old]
    chosen = own.grouping.group_of(found.rows, own.deal(epoch)) == group
    return {group: _some(found, chosen)}


def join_items(memory: Memory, epoch: int, group: int, *cut: Groups) -> Groups:
    """Return the items of a group, in the order of their positions, of pieces that `cut_items` has made."""
    own = _fit(memory)
    joined = [np.concatenate(each) for each in zip(*(one[group] for one in cut), strict=True)]
    order = np.argsort(own.deal(epoch).items.position_of[joined[0]])
    return {group: _some(ItemGroup._make(joined), order)}


def learn_tile(
    memory: Memory,
    attempt: str,
    place: tuple[int, int, int],
    after: Any,
    *sources: Groups,
) -> Groups:
    """Learn a tile; return its items as they are then.

    Parameters
    ----------
    place : (epoch, round, part)
    after : object
        What the part's tile of the round before has returned; it must have been learnt.
    *sources : dict
        Have the groups of items that the tile needs, and maybe others.
    """
    epoch, turn, number = place
    own = _fit(memory)
    part, tile = own.part(number, attempt), own.rounds[turn][number]
    with own.lock:
        if part.attempt != attempt or part.at != (epoch - 1, turn - 1 if turn else None):
            raise LostError(f"part {number} of the users is not where tile {turn} begins")
        part.at = epoch - 1, turn
    epoch_layout, deal = own.job.epoch_layout, own.deal(epoch)
    groups = own.grouping.groups_of(tile)
    found = [next(each[group] for each in sources if group in each) for group in groups]
    rows, table, biases, step_counts = _joined(found)
    positions = deal.items.position_of[rows]
    by_position = own.by_position(len(deal.row_at), found[0])
    values = np.arange(len(rows), dtype=np.int32), biases, step_counts
    for to, each in zip(by_position, values, strict=True):
        to[positions] = each
    row_at, bias_at, counts_at = by_position
    items = ItemRows(table.reshape(-1), row_at, bias_at.reshape(-1), counts_at)
    bounds = part.starts[tile.first : tile.last + 1]
    learning = epoch_of_part(
        epoch_layout, epoch, deal, part.known, (tile.first, bounds), part.stored, (part.rows, items)
    )
    totals = np.zeros((tile.last - tile.first, N_TOTALS))
    workspace = own.workspaces.of_thread(
        own.loop, int(np.diff(bounds).max()), weighted=len(part.stored.weights) > 0
    )
    for first, last in pieces(bounds, 0, len(totals), epoch_layout.limits.at_once):
        learn_strata(first, last, own.loop, learning, workspace, totals)
    part.totals.append(totals)
    learnt = ItemGroup(rows, table, bias_at[positions], counts_at[positions])
    ends = np.cumsum([len(each.rows) for each in found])
    return {
        group: _some(learnt, slice(end - len(one.rows), end))
        for group, one, end in zip(groups, found, ends.tolist(), strict=True)
    }


def _some(items: ItemGroup, chosen: Any) -> ItemGroup:
    """Return some of the items of a group."""
    return ItemGroup._make(each[chosen] for each in items)


def _joined(found: list[ItemGroup]) -> tuple[NDArray[Any], ...]:
    """Return groups one after the other, as copies: what a worker was given it must not change."""
    rows, _, biases, step_counts = (np.concatenate(each) for each in zip(*found, strict=True))
    shape = (len(rows), *found[0].table.shape[1:])
    table = aligned(int(np.prod(shape))).reshape(shape)
    end = 0
    for each in found:
        begin, end = end, end + len(each.rows)
        table[begin:end] = each.table
    return rows, table, biases, step_counts


def end_part(
    memory: Memory, attempt: str, number: int, epoch: int, saved: bool, after: Any
) -> Ended:
    """End an epoch of a part, whose last tile has returned `after`; write its rows if they are `saved`."""
    own = _fit(memory)
    part = own.part(number, attempt)
    with own.lock:
        if part.at != (epoch - 1, len(own.rounds) - 1):
            raise LostError(f"part {number} of the users is not where epoch {epoch} ends")
        part.at = epoch, None
    totals = np.concatenate(part.totals)
    if not saved:
        return Ended(totals, 0.0)
    plan, bounds = own.job.epoch_layout.plan, part.known.users.bounds
    table = part.rows.table.reshape(bounds[-1], 1 + len(plan.optimizer.state), -1)
    for block, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        rows = table[first:last], part.rows.step_counts[first:last]
        write_user_rows(own.job.folder, epoch, part.known.block + block, *rows)
    return Ended(totals, largest_of([table[:, 0]]))


def end_items(memory: Memory, epoch: int, group: int, saved: bool, items: Groups) -> float:
    """Keep the items of a group at the end of an epoch, in the folder too if they are `saved`.

    Returns the largest factor or bias, as an absolute value; 0 if they were not looked at.
    """
    own, found = _fit(memory), items[group]
    with own.lock:
        own.items = {k: each for k, each in own.items.items() if each[0] == epoch}
        own.items[group] = epoch, found
    if not saved:
        return 0.0
    write_items(own.job.folder, epoch, group, found)
    return largest_of([found.table[:, 0], found.biases[:, 0]])


def recall_items(memory: Memory, epoch: int, group: int) -> Groups:
    """Return the items of a group that were kept at the end of an epoch; raise LostError if they are gone."""
    kept = _fit(memory).items.get(group)
    if kept is None or kept[0] != epoch:
        raise LostError(f"the items of group {group} are not here")
    return {group: kept[1]}


def _fit(memory: Memory) -> _Fit:
    fit: _Fit | None = memory.get(_KEY)
    if fit is None:
        raise LostError("nothing of the fit is here")
    return fit


def _aligned(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a table as a flat array on whole cache lines."""
    flat: NDArray[np.float32] = aligned(table.size)
    flat[:] = table.reshape(-1)
    return flat
