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
have work. With P user blocks and P groups of item blocks, P a power of two, lane p of round r is the strata
of user block p with the item blocks of group p XOR r, one after the other: the rows of its users stay near.
So in rounds 0 … m - 1, m a power of two, lanes 0 … m - 1 keep to groups 0 … m - 1, and every other m lanes
to m groups of their own: m lanes of m rounds are one lane of one longer round. Strata are numbered such that
the longer ones are runs of them, too, so that small data, whose threads would have to wait for each
other all the time, has few rounds.

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

from tripletrec._runtime.counter_random import derive, shuffle
from tripletrec._runtime.jit import kernel

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
    starts : int64 array of shape (n_rounds, n_lanes)
        First stratum of each lane of each round. Two strata of different lanes of a round share no row.
    lane : int
        So many strata are in a lane; they run one after the other.
    nested : bool
        Whether 2, 4, 8, … lanes of as many rounds make one lane of a longer round; see `runs`.
    stratum : int32 array of shape (n_user_blocks, n_item_blocks, n_item_blocks) or (..., 1)
        Stratum of a triplet, by the blocks of its user, positive and negative; with drawn negatives
        by the first two.
    user_block, item_block : int32 array of shape (n_rounds * n_lanes * lane,)
        The one user block and item block of each stratum (of a pair of item blocks, either).

    Examples
    --------
    >>> from tripletrec.training.strata import drawn_schedule
    >>> drawn_schedule(2).item_block
    array([0, 1, 1, 0], dtype=int32)
    """

    n_user_blocks: int
    n_item_blocks: int
    starts: NDArray[np.int64]
    lane: int
    nested: bool
    stratum: NDArray[np.int32]
    user_block: NDArray[np.int32]
    item_block: NDArray[np.int32]

    def runs(self, most: int, n_jobs: int) -> NDArray[np.int64]:
        """Return the rounds, each cut into runs of strata.

        Results depend on the order of the strata alone, and so neither on `most` nor on `n_jobs`.

        Parameters
        ----------
        most : int
            No more runs than so many, unless that is 0.
        n_jobs : int
            Threads. Where possible each has two runs or a little more in a round: with one, all would wait
            for the slowest; with more, rows go to and fro between them more often.

        Returns
        -------
        int64 array of shape (n_rounds, n_lanes, 2)
            First stratum of each run, and the one after its last. Runs of a round share no row.

        Examples
        --------
        >>> from tripletrec.training.strata import drawn_schedule
        >>> drawn_schedule(8).runs(10, 2).tolist()
        [[[0, 16], [16, 32]], [[32, 48], [48, 64]]]
        """
        starts, size = self.starts, self.lane
        while starts.size > max(1, most) or (self.nested and starts.shape[1] >= 4 * n_jobs):
            if self.nested:
                starts, size = starts[::2, ::2], 4 * size
            else:
                starts, size = starts[:1, :1], len(self.item_block)
        return np.stack([starts, starts + size], axis=-1)


def n_blocks(n_users: int, n_items: int, n_interactions: int, item_bytes: int) -> int:
    """Return the number of item blocks for data of this size.

    Parameters
    ----------
    n_users, n_items, n_interactions : int
        Size of the training data.
    item_bytes : int
        Bytes of an item's row, optimizer state included.

    Returns
    -------
    int
        1 for the smallest data, 8 for 100,000 interactions, more where the item rows outgrow a
        cache of nominal size.
    """
    wanted = max(8, math.ceil(n_items * item_bytes / _ITEM_BLOCK_BYTES))
    if wanted > 8:
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

    An item's *home* has its block and, in the bits below, its place there. So homes are numbers below
    ``n_item_blocks << place_bits``, not all of which are an item's.

    Parameters
    ----------
    place_bits : int
        For the place of an item within its block.
    item_bits : int
        For the item: its place, and where a stratum has pairs of blocks its whole home. The place of the
        user within his block stands above these.
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
    >>> from tripletrec.training.strata import codes_of, drawn_schedule
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
        Item blocks, >= 1; rounded down to a multiple of the user blocks, which are a power of two, at most
        16.

    Returns
    -------
    Schedule
    """
    n_bits = min(n_blocks, _MOST_LANES).bit_length() - 1
    n_lanes = 1 << n_bits
    lane = n_blocks // n_lanes
    # A lane's number has the bits of its round and its own in turn (Morton 1966), the round's first: so
    # the lanes that make one of a longer round follow one another.
    turn, p = np.indices((n_lanes, n_lanes))
    number = sum(
        (turn >> bit & 1) << 2 * bit + 1 | (p >> bit & 1) << 2 * bit for bit in range(n_bits)
    )
    starts = lane * np.asarray(number, np.int64).reshape(n_lanes, n_lanes)
    p, q = np.indices((n_lanes, n_lanes * lane))
    stratum = (starts[p ^ q // lane, p] + q % lane).astype(np.int32)
    user_block, item_block = np.empty((2, stratum.size), dtype=np.int32)
    user_block[stratum], item_block[stratum] = p, q
    return Schedule(
        n_lanes, n_lanes * lane, starts, lane, True, stratum[:, :, None], user_block, item_block
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
    starts = np.arange(n_rounds * n_lanes).reshape(n_rounds, n_lanes)
    return Schedule(n_lanes, 2 * n_lanes, starts, 1, False, stratum, user_block, item_block)


def _tournament_turn(turn: int, n_pairs: int) -> list[tuple[int, int]]:
    """Return the disjoint pairs of one turn (circle method: one stays, the others walk round)."""
    n_turns = 2 * n_pairs - 1
    circle = [(turn + offset) % n_turns for offset in range(n_turns)]
    return [(n_turns, circle[0])] + [(circle[x], circle[-x]) for x in range(1, n_pairs)]


@cache
def build_partition() -> Callable[..., None]:
    """Return the kernel that partitions users or items."""

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
