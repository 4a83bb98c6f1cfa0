r"""The schedule of an epoch: who may touch what, when.

Users and items are partitioned at random into blocks, afresh in every other epoch. A *stratum* holds the
triplets of one user block and one item block (or one pair of item blocks); a *round* is a set of
strata, or of runs of strata, that share no user and no item. They may therefore run in any order, or at the
same time, without locks and with the same bits. After DSGD (Gemulla et al., KDD 2011, section 3) and
FPSGD (Chin et al., ACM TIST 2015, section 4).

Two forms, one code:

*Drawn negatives.* The negatives of a stratum come from its own item block. There are as many item blocks as
make the rows of one fit a cache, but at most 16 user blocks: then a stratum of large data has many
triplets for each row of its item block, which is read from memory once. So no more than 16 threads
have work. With P user blocks and P groups of item blocks, lane p of round r is the strata of user block
p with the item blocks of group (p + r) mod P, one after the other: the rows of its users stay near.

*Given negatives* may lie in any item block, so that a stratum is a user block and an unordered pair
of item blocks. A round-robin tournament of the B item blocks meets every pair once in B - 1 turns of
B/2 disjoint pairs; each turn is run with the B/2 user blocks in B/2 rotations. Triplets within one
item block run with the first pair that holds the block.

The number of blocks depends on the data alone, never on the machine: the same fit has the same
strata everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._jit import fingerprint, kernel
from tripletrec._random import derive, shuffle

__all__ = [
    "Codes",
    "Schedule",
    "build_partition",
    "codes_of",
    "drawn_schedule",
    "given_schedule",
    "group_size",
    "n_blocks",
]

_ITEM_BLOCK_BYTES = 2**20  # rows of an item block that stay in a core's own cache
_MOST_LANES = 16  # user blocks
_MOST_BLOCKS = 2**15 - 2**4  # their numbers are int16
_LEAST_ITEMS = 64  # fewer items in a block make its negatives a poor sample of the catalogue
_LEAST_TRIPLETS = 128  # fewer triplets in a stratum do not pay for its bookkeeping


class Schedule(NamedTuple):
    """Which stratum a triplet belongs to, and which strata make a round.

    Parameters
    ----------
    n_user_blocks, n_item_blocks : int
        Into how many blocks users and items are partitioned.
    n_rounds, n_lanes, lane : int
        The strata of a round are `n_lanes` times `lane`. The first `lane` of them run one after the other,
        and so do the second, …; two strata of different lanes of a round share no row.
    stratum : int32 array of shape (n_user_blocks, n_item_blocks, n_item_blocks) or (..., 1)
        Stratum of a triplet, by the blocks of its user, positive and negative; with drawn negatives
        by the first two.
    user_block, item_block : int32 array of shape (n_rounds * n_lanes * lane,)
        The one user block and item block of each stratum (of a pair of item blocks, either).

    Examples
    --------
    >>> from tripletrec.schedule import drawn_schedule
    >>> drawn_schedule(2).item_block
    array([0, 1, 1, 0], dtype=int32)
    """

    n_user_blocks: int
    n_item_blocks: int
    n_rounds: int
    n_lanes: int
    lane: int
    stratum: NDArray[np.int32]
    user_block: NDArray[np.int32]
    item_block: NDArray[np.int32]


def n_blocks(n_users: int, n_items: int, n_interactions: int, item_bytes: int) -> int:
    """Return the number of item blocks for data of this size.

    Parameters
    ----------
    n_users, n_items, n_interactions : int
        Size of the training data.
    item_bytes : int
        Bytes of an item's row, optimizer memories included.

    Returns
    -------
    int
        1 for the smallest data, 8 for 100,000 interactions, more where the item rows outgrow a
        cache of nominal size.
    """
    wanted = max(8, math.ceil(n_items * item_bytes / _ITEM_BLOCK_BYTES))
    if wanted > _MOST_LANES:
        wanted = math.ceil(wanted / _MOST_LANES) * _MOST_LANES
    by_rows = min(n_users // 4, n_items // _LEAST_ITEMS)
    by_triplets = math.isqrt(n_interactions // _LEAST_TRIPLETS)
    return max(1, min(wanted, by_rows, by_triplets, _MOST_BLOCKS))


def group_size(
    schedule: Schedule,
    user_counts: NDArray[np.int64],
    item_counts: NDArray[np.int64],
    item_weights: NDArray[np.float64],
    most: int,
) -> int:
    """Return how many triplets of a stratum may be looked at together, before any of their steps.

    The slope of a triplet then misses the steps of those before it in its group. So many may make a group
    that, on average, at most half a step on one of its rows is missed.

    Parameters
    ----------
    schedule : Schedule
    user_counts, item_counts : int64 array of shape (n_users,), (n_items,)
        Positives of each.
    item_weights : float64 array of shape (n_items,)
        How often each item is drawn as a negative, up to a factor.
    most : int
        No more than so many.

    Returns
    -------
    int
        From 1 to `most`.
    """
    users, positives, negatives = (
        each / each.sum() for each in (user_counts, item_counts, item_weights)
    )
    # The chance that two triplets of a stratum share a row, or rather the mean number they share.
    shared = schedule.n_user_blocks * (users @ users)
    shared += schedule.n_item_blocks * float(np.sum((positives + negatives) ** 2))
    return int(min(most, 1 + 1 // shared))


class Codes(NamedTuple):
    """How user and positive item of a stored triplet are kept in one number; see `codes_of`.

    Parameters
    ----------
    place_bits : int
        For the place of an item within its block.
    item_bits : int
        For the item: its place, and where a stratum has pairs of blocks its block above that. The place
        of the user within his block stands above these.
    dtype : type
        Of four bytes, if these suffice, or of eight.
    """

    place_bits: int
    item_bits: int
    dtype: type[np.unsignedinteger]


def codes_of(schedule: Schedule, n_users: int, n_items: int) -> Codes:
    """Return the codes for data of this size.

    Parameters
    ----------
    schedule : Schedule
    n_users, n_items : int

    Returns
    -------
    Codes

    Examples
    --------
    >>> from tripletrec.schedule import codes_of, drawn_schedule
    >>> codes_of(drawn_schedule(128), n_users=300_000, n_items=500_000)
    Codes(place_bits=12, item_bits=12, dtype=<class 'numpy.uint32'>)
    """
    user_bits, place_bits = (
        (-(-n // blocks) - 1).bit_length()
        for n, blocks in ((n_users, schedule.n_user_blocks), (n_items, schedule.n_item_blocks))
    )
    pairs = schedule.stratum.shape[2] > 1
    item_bits = place_bits + (schedule.n_item_blocks - 1).bit_length() * pairs
    return Codes(place_bits, item_bits, np.uint32 if user_bits + item_bits <= 32 else np.uint64)


def drawn_schedule(n_blocks: int) -> Schedule:
    """Return the schedule for negatives drawn from the positive's own item block.

    Parameters
    ----------
    n_blocks : int
        Item blocks, >= 1, and user blocks up to 16. More than 16 are rounded down to a multiple of it.

    Returns
    -------
    Schedule
    """
    n_lanes = min(n_blocks, _MOST_LANES)
    lane = n_blocks // n_lanes
    p, q = np.meshgrid(np.arange(n_lanes), np.arange(n_lanes * lane), indexing="ij")
    turn = (q // lane - p) % n_lanes
    stratum = ((turn * n_lanes + p) * lane + q % lane).astype(np.int32)
    user_block, item_block = np.empty((2, stratum.size), dtype=np.int32)
    user_block[stratum], item_block[stratum] = p, q
    return Schedule(
        n_lanes, n_lanes * lane, n_lanes, n_lanes, lane, stratum[:, :, None], user_block, item_block
    )


def given_schedule(n_blocks: int) -> Schedule:
    """Return the schedule for negatives that may lie in any item block.

    Parameters
    ----------
    n_blocks : int
        Item blocks, >= 1; an odd number other than 1 is rounded down.

    Returns
    -------
    Schedule
    """
    if n_blocks == 1:
        return drawn_schedule(1)
    n_lanes = n_blocks // 2
    n_turns = 2 * n_lanes - 1
    n_rounds = n_turns * n_lanes
    stratum = np.empty((n_lanes, 2 * n_lanes, 2 * n_lanes), dtype=np.int32)
    user_block, item_block = np.empty((2, n_rounds * n_lanes), dtype=np.int32)
    for p in range(n_lanes):
        for turn in range(n_turns):
            for pair, (a, b) in enumerate(_tournament_turn(turn, n_lanes)):
                s = (turn * n_lanes + (pair - p) % n_lanes) * n_lanes + p
                stratum[p, a, b] = stratum[p, b, a] = s
                user_block[s], item_block[s] = p, a
                if turn == 0:
                    stratum[p, a, a] = stratum[p, b, b] = s
    return Schedule(n_lanes, 2 * n_lanes, n_rounds, n_lanes, 1, stratum, user_block, item_block)


def _tournament_turn(turn: int, n_pairs: int) -> list[tuple[int, int]]:
    """Return the disjoint pairs of one turn (circle method: one stays, the others walk round)."""
    n_turns = 2 * n_pairs - 1
    circle = [(turn + offset) % n_turns for offset in range(n_turns)]
    return [(n_turns, circle[0])] + [(circle[x], circle[-x]) for x in range(1, n_pairs)]


@cache
def build_partition() -> Callable[..., None]:
    """Return the kernel that partitions users or items."""
    stamp = fingerprint()

    @kernel
    def partition(dealt, n_blocks, key, place_bits, order, bounds, block_of, home_of):
        """Partition rows at random into blocks that are alike in size and weight.

        `dealt` lists the rows by weight. Runs of it are shuffled and dealt out in turn, so that every
        block gets its part of the heavy rows and of the light ones; a run is many times the number
        of blocks, so that rows of similar weight meet as often as others do.

        Shuffles `dealt`; fills `order` (rows, block by block), `bounds` (n_blocks + 1 positions in
        `order`), `block_of` and `home_of`: a row's block, and below that in `place_bits` bits its place
        there.
        """
        _ = stamp
        n = dealt.shape[0]
        run = 32 * n_blocks
        for first in range(0, n, run):
            shuffle(dealt, first, min(first + run, n), derive(key, first))
        filled = 0
        for block in range(n_blocks):
            bounds[block] = filled
            for position in range(block, n, n_blocks):
                row = dealt[position]
                order[filled] = row
                block_of[row] = block
                home_of[row] = (block << place_bits) | (filled - bounds[block])
                filled += 1
        bounds[n_blocks] = n

    return partition
