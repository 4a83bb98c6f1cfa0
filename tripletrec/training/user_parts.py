"""Parts of the users: what is known of them, and their share of an epoch; it is learnt in `stratum`.

A part has the users of a run of user blocks, which stay together for a whole fit. The fit in memory has one
part with all users; from disk, or on a cluster, one part after the other, or each on its worker, learns the
tiles of `Strata.tiles`: the same strata with the same random numbers, and so the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import picked, read_only
from tripletrec._runtime.first_work import FirstWork
from tripletrec._runtime.threads import Executor, SerialExecutor
from tripletrec.sampling.draw import ItemsOfUsers, RowNumbers
from tripletrec.training.bucketing import (
    GivenNegatives,
    Stored,
    UserPositives,
    bucket,
    bucket_first,
)
from tripletrec.training.dealing import Partition
from tripletrec.training.epoch_layout import EpochLayout, ItemDeal
from tripletrec.training.placed_negatives import Placed, chances
from tripletrec.training.stratum import Contents, Epoch
from tripletrec.training.tables import FactorTables
from tripletrec.training.triplet_records import ItemRows, UserRows

__all__ = [
    "UserPart",
    "bucket_part",
    "by_position",
    "cut_part",
    "empty_stored",
    "epoch_of_part",
    "from_positions",
    "part_users",
    "whole_part",
]

_FIRST = FirstWork(2**21)  # positives, in two passes


class UserPart(NamedTuple):
    """What is known of the users of a run of blocks.

    Parameters
    ----------
    block : int
        Number of the first block.
    users : Partition
        Their rows in the arrays of the part, block by block.
    positives : UserPositives
    given : ItemsOfUsers or None
        Their given negatives, or all positives by rising value; see `GivenNegatives`.
    n_lower : int32 array of shape (n_positives,) or None
    numbers : RowNumbers or None
        Their rows in all of the data. None: the same.
    """

    block: int
    users: Partition
    positives: UserPositives
    given: ItemsOfUsers | None
    n_lower: NDArray[np.int32] | None
    numbers: RowNumbers | None


def whole_part(
    users: Partition,
    positives: UserPositives,
    given: ItemsOfUsers | None = None,
    n_lower: NDArray[np.int32] | None = None,
) -> UserPart:
    """Return the part that has all users."""
    return UserPart(0, users, positives, given, n_lower, None)


def cut_part(whole: UserPart, part: int, n_parts: int) -> UserPart:
    """Return one of `n_parts` parts of all users: copies, which hold nothing of the others.

    Its users are numbered from 0, as they follow one another in the blocks.
    """
    n_blocks = (len(whole.users.bounds) - 1) // n_parts
    bounds = whole.users.bounds[part * n_blocks : (part + 1) * n_blocks + 1]
    own = whole.users.order[bounds[0] : bounds[-1]]
    indptr, indices, weights, numbers = whole.positives
    own_indptr, places = picked(indptr, own)
    given = None
    if whole.given is not None:
        given_indptr, given_places = picked(whole.given.indptr, own)
        given = ItemsOfUsers(read_only(given_indptr), read_only(whole.given.indices[given_places]))
    return UserPart(
        part * n_blocks,
        part_users(bounds - bounds[0]),
        UserPositives(
            read_only(own_indptr),
            read_only(indices[places]),
            read_only(weights[places] if len(weights) else weights),
            read_only(numbers[own]),
        ),
        given,
        None if whole.n_lower is None else whole.n_lower[places],
        RowNumbers(own.copy(), 0),
    )


def part_users(bounds: NDArray[np.int64]) -> Partition:
    """Return the users of a part, numbered as they follow one another, whose blocks begin at `bounds`."""
    order = np.arange(bounds[-1], dtype=np.int32)
    block_of = np.repeat(np.arange(len(bounds) - 1, dtype=np.int16), np.diff(bounds))
    return Partition(order, bounds, block_of, order)


def empty_stored(epoch_layout: EpochLayout, part: UserPart) -> Stored:
    """Return place for the triplets of a part."""
    n, stores = len(part.positives.indices), epoch_layout.stores_negatives
    if stores:
        n *= epoch_layout.plan.n_negatives
    return Stored(
        np.empty(n, epoch_layout.codes.dtype),
        np.empty(n if stores else 0, np.int32),
        np.empty(n if len(part.positives.weights) else 0, np.float32),
    )


def bucket_part(
    epoch_layout: EpochLayout,
    deal: ItemDeal,
    part: UserPart,
    stored: Stored,
    executor: Executor | None = None,
    tasks: Sequence[tuple[int, int]] | None = None,
) -> NDArray[np.int64]:
    """Write the triplets of a part to `stored`, stratum by stratum; return where the strata begin.

    Parameters
    ----------
    epoch_layout : EpochLayout
    deal : ItemDeal
    part : UserPart
    stored : Stored
    executor : Executor, optional
        Runs the tasks. Default: one after the other.
    tasks : sequence of (int, int), optional
        Runs of the part's user blocks, each the task of a thread. Default: one with all.

    Returns
    -------
    int64 array of shape (n_strata + 1,)
        Of the strata of all parts; there is nothing in those of others.
    """
    strata, sampler = epoch_layout.strata, epoch_layout.plan.sampler
    n_blocks = len(part.users.bounds) - 1
    executor, tasks = executor or SerialExecutor(), tasks or [(0, n_blocks)]
    given = None
    if part.given is not None and epoch_layout.stores_negatives:
        given = GivenNegatives(
            epoch_layout.streams(deal.number).given, part.given, part.n_lower, sampler.share, deal.pool,
            sampler.verified, epoch_layout.plan.n_negatives,
        )  # fmt: skip
    by_numpy = given is None and _FIRST.covers(2 * len(part.positives.indices))
    table = strata.stratum[part.block : part.block + n_blocks]
    # A row for each user block: threads that write to one cache line wait for each other.
    sizes = np.zeros((n_blocks, len(strata.item_block)), np.int64)
    starts = np.zeros(len(strata.item_block) + 1, np.int64)

    def task(place: bool, first: int, last: int) -> None:
        blocks, bits = (first, last, part.users, deal.items, part.positives), epoch_layout.codes[:2]
        if by_numpy:
            bucket_first(*blocks, table, bits, place, starts, sizes, stored)
        else:
            bucket(*blocks, given, table, bits, place, starts, sizes, stored)

    executor.run(partial(task, False), tasks)
    np.cumsum(sizes.sum(0), out=starts[1:])
    sizes[:] = 0
    executor.run(partial(task, True), tasks)
    return starts


def epoch_of_part(
    epoch_layout: EpochLayout,
    number: int,
    deal: ItemDeal,
    part: UserPart,
    strata: tuple[int, NDArray[np.int64]],
    stored: Stored,
    rows: tuple[UserRows, ItemRows],
) -> Epoch:
    """Return all that a run of strata of a part depends on; its strata are numbered from 0.

    Parameters
    ----------
    epoch_layout : EpochLayout
    number : int
        Of the epoch.
    deal : ItemDeal
        That of the epoch's partition.
    part : UserPart
    strata : (int, int64 array of shape (n + 1,))
        Number of the first one, and where the triplets of each begin in `stored`.
    stored : Stored
    rows : (UserRows, ItemRows)
        What is learnt: of the part's users, and by position of items, of which those of other item blocks
        are not looked at.
    """
    known: Any = ItemsOfUsers(*part.positives[:2])
    placed = None
    if part.given is not None and not epoch_layout.stores_negatives:
        n_blocks = epoch_layout.strata.n_item_blocks
        placed = Placed(
            ItemsOfUsers(read_only(part.given.indptr), read_only(part.given.indices)),
            read_only(deal.items.position_of),
            *chances(epoch_layout.plan.sampler.share, n_blocks),
        )  # fmt: skip
    contents = Contents(
        epoch_layout.buckets(*strata, deal, part.users, part.block), stored, epoch_layout.codes.item_bits,
        known, deal.pool, part.numbers, placed,
    )  # fmt: skip
    return Epoch(contents, *rows, epoch_layout.hyper(number), epoch_layout.streams(number))


def by_position(tables: FactorTables, deal: ItemDeal) -> ItemRows:
    """Return the rows of items, whose biases and step counts lie by position from now on.

    So a cache line of them belongs to one block, and no two threads write to it.
    """
    position_of, row_at = deal.items.position_of, deal.row_at
    biases = np.empty((len(row_at), *tables.biases.shape[1:]), np.float32)
    step_counts = np.empty((len(row_at), tables.item_step_counts.shape[1]), np.float32)
    biases[position_of], step_counts[position_of] = tables.biases, tables.item_step_counts
    return ItemRows(tables.items.reshape(-1), row_at, biases.reshape(-1), step_counts)


def from_positions(tables: FactorTables, deal: ItemDeal, rows: ItemRows) -> None:
    """Write biases and step counts of `by_position` back into the tables."""
    position = deal.items.position_of
    shape = (-1, *tables.biases.shape[1:])
    tables.biases[:] = rows.biases.reshape(shape)[position]
    tables.item_step_counts[:] = rows.step_counts[position]
