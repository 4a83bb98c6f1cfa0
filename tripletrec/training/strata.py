r"""Strata: which triplets are learnt together, and which strata at the same time.

Users are dealt at random into blocks once in a fit, items afresh in every other epoch. A *stratum* holds the
triplets of one user block and one item block (or one pair of item blocks); a *round* is a set of
strata, or of runs of strata, that share no user and no item. They may therefore run in any order, or at the
same time, without locks and with the same bits. After DSGD (Gemulla et al., KDD 2011, section 3) and
FPSGD (Chin et al., ACM TIST 2015, section 4).

There are two forms:

*Drawn negatives.* The negatives of a stratum come from its own item block. Item blocks are as many as
it takes for the rows of one to fit a cache, user blocks at most `most_lanes`, which is 16 up to some
10⁷ interactions: so a stratum of large data has many triplets for each row of its item block, which is
read from memory once, and no more threads than that have work. With P user blocks and P groups of item
blocks, P a power of two, lane p of round r is the strata of user block p with the item blocks of group
p XOR r, one after the other: the rows of its users stay in the cache. For any power of two m, lanes
0 … m - 1 of rounds 0 … m - 1 need only groups 0 … m - 1, and every other m lanes m groups of their own:
m lanes of m rounds make one lane of one longer round. Strata are numbered so that the longer lanes are
runs of strata, too: a *tile*, see `Strata.tiles`. Small data is run in few long rounds, because threads
wait for each other at the end of each round.

*Given negatives* may lie in any item block, so a stratum is a user block and an unordered pair
of item blocks. A round-robin tournament of the B item blocks meets every pair once in B - 1 turns of
B/2 disjoint pairs; each turn is run with the B/2 user blocks in B/2 rotations. Triplets within one
item block run with the first pair that holds the block.

The number of blocks depends on the data alone, never on the machine: the same fit has the same
strata everywhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LIMITS",
    "Codes",
    "Strata",
    "StrataLimits",
    "Tile",
    "codes_of",
    "drawn_strata",
    "given_strata",
    "group_size",
    "most_lanes",
    "n_blocks",
    "place_bits",
]

_LANES = (16, 256)  # the fewest user blocks of large data, and the most
_LANE_TRIPLETS = 2**14  # that a lane of a round shall have
_MOST_BLOCKS = 2**15 - 2**4  # their numbers are int16


class StrataLimits(NamedTuple):
    """Sizes that decide how the work of an epoch is cut up. Tests choose smaller ones.

    Parameters
    ----------
    block_bytes : int, default 2**20
        About as many bytes of item rows make an item block: they stay in a core's own cache.
    least_items : int, default 64
        Of a block: the negatives of fewer would be a poor sample of all items.
    least_triplets : int, default 128
        Of a stratum, on average: fewer do not pay for its bookkeeping.
    least_searched : int, default 2**14
        The same for losses that search for a negative: fewer make a few blocks, which cost them .002 of
        the AUC on small data, other losses nothing.
    narrow_bits : int, default 32
        Codes of triplets of up to so many bits take four bytes, others eight.
    least_run : int, default 2**13
        Triplets that are worth a turn of a thread; no bit depends on it.
    at_once : int, default 2**15
        Triplets that are drawn before they are learnt from: as many as stay in a core's cache.
    filter_words : int, default 2**17
        Of the Bloom filter of the known pairs of a stratum at most.
    cache_bytes : int, default 2**22
        Rows of larger tables are prefetched; no bit depends on it.
    """

    block_bytes: int = 2**20
    least_items: int = 64
    least_triplets: int = 128
    least_searched: int = 2**14
    narrow_bits: int = 32
    least_run: int = 2**13
    at_once: int = 2**15
    filter_words: int = 2**17
    cache_bytes: int = 2**22


LIMITS = StrataLimits()


class Tile(NamedTuple):
    """A run of strata, first ... last - 1, of one part of the users and of some item blocks, ascending."""

    part: int
    item_blocks: NDArray[np.int64]
    first: int
    last: int


class Strata(NamedTuple):
    """Which stratum a triplet belongs to, and which strata make a round.

    Parameters
    ----------
    n_user_blocks, n_item_blocks : int
        Into how many blocks users and items are dealt.
    starts : int64 array of shape (n_rounds, n_lanes)
        First stratum of each lane of each round. Two strata of different lanes of a round share no row.
    lane : int
        Strata in a lane; they run one after the other.
    nested : bool
        Whether 2, 4, 8, … lanes of as many rounds make one lane of a longer round; see `runs`.
    stratum : int32 array of shape (n_user_blocks, n_item_blocks, n_item_blocks) or (..., 1)
        Stratum of a triplet, by the blocks of its user, positive and negative; with drawn negatives
        by the first two.
    user_block, item_block : int32 array of shape (n_rounds * n_lanes * lane,)
        The one user block and item block of each stratum (of a pair of item blocks, either).

    Examples
    --------
    >>> from tripletrec.training.strata import drawn_strata
    >>> drawn_strata(2).item_block
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

    @property
    def has_pairs(self) -> bool:
        """Whether a stratum has a pair of item blocks, as where negatives are given."""
        return self.stratum.shape[2] > 1

    def item_blocks_of(self, s: int) -> NDArray[np.int64]:
        """Return the item block of stratum `s`, or its pair of blocks, ascending."""
        _, positives, negatives = np.nonzero(self.stratum == s)
        return np.unique(np.concatenate([positives, negatives]) if self.has_pairs else positives)

    def runs(self, most: int, n_jobs: int) -> NDArray[np.int64]:
        """Return the rounds, each cut into runs of strata.

        Results depend on the order of the strata alone, and so neither on `most` nor on `n_jobs`.

        Parameters
        ----------
        most : int
            The most runs of all rounds together; there is at least one.
        n_jobs : int
            Threads. Where possible a round has two to four runs for each of them: with one, all would wait
            for the slowest; with more, rows move between the caches of cores more often.

        Returns
        -------
        int64 array of shape (n_rounds, n_lanes, 2)
            First stratum of each run, and the one after its last. Runs of a round share no row.

        Examples
        --------
        >>> from tripletrec.training.strata import drawn_strata
        >>> drawn_strata(8).runs(10, 2).tolist()
        [[[0, 16], [16, 32]], [[32, 48], [48, 64]]]
        """
        starts, size = self.starts, self.lane
        while starts.size > max(1, most) or (self.nested and starts.shape[1] >= 4 * n_jobs):
            if self.nested:
                starts, size = starts[::2, ::2], 4 * size
            else:
                starts, size = starts[:1, :1], len(self.item_block)
        return np.stack([starts, starts + size], axis=-1)

    def tiles(self, n_parts: int) -> list[list[Tile]]:
        """Return the rounds of an epoch that is shared out to parts of the users.

        The user blocks are cut into parts, 0 … n_parts - 1, of as many blocks each. Who has a part needs but
        one tile's items at a time. Tiles of a round share no user and no item, and part a has one in each:
        with drawn negatives that with item part a XOR k in round k, a run of `within`; with pairs of item
        blocks a stratum.

        Parameters
        ----------
        n_parts : int
            A power of two, at most the number of user blocks; where strata have pairs of item blocks that
            number itself.

        Raises
        ------
        ValueError
            If it is not.

        Examples
        --------
        >>> from tripletrec.training.strata import drawn_strata
        >>> for tiles in drawn_strata(8).tiles(2):
        ...     print([(t.part, t.item_blocks.tolist(), t.first, t.last) for t in tiles])
        [(0, [0, 1, 2, 3], 0, 16), (1, [4, 5, 6, 7], 16, 32)]
        [(0, [4, 5, 6, 7], 32, 48), (1, [0, 1, 2, 3], 48, 64)]
        """
        if n_parts == self.n_user_blocks and not self.nested:
            return [
                [Tile(int(self.user_block[s]), self.item_blocks_of(s), s, s + 1) for s in lanes]
                for lanes in self.starts.tolist()
            ]
        within = self.within(n_parts)
        step, n_items, size = within.n_user_blocks, within.n_item_blocks, len(within.item_block)
        return [
            [
                Tile(a, (a ^ k) * n_items + np.arange(n_items), first, first + size)
                for a, first in enumerate(lanes)
            ]
            for k, lanes in enumerate(self.starts[::step, ::step].tolist())
        ]

    def within(self, n_parts: int) -> Strata:
        """Return the strata within a tile of `tiles`, numbered from 0."""
        if n_parts == self.n_user_blocks and not self.nested:
            return drawn_strata(1)
        fits = n_parts & (n_parts - 1) == 0 and 1 <= n_parts <= self.n_user_blocks
        if not (self.nested and fits):
            raise ValueError(
                f"these strata of {self.n_user_blocks} user blocks cannot be cut into {n_parts} parts"
            )
        n_users, n_items = self.n_user_blocks // n_parts, self.n_item_blocks // n_parts
        end = n_users * n_items
        return self._replace(
            n_user_blocks=n_users, n_item_blocks=n_items, starts=self.starts[:n_users, :n_users],
            stratum=self.stratum[:n_users, :n_items], user_block=self.user_block[:end],
            item_block=self.item_block[:end],
        )  # fmt: skip


def n_blocks(
    n_users: int, n_items: int, n_interactions: int, item_bytes: int, limits: StrataLimits = LIMITS
) -> int:
    """Return the number of item blocks for data of this size.

    Parameters
    ----------
    n_users, n_items, n_interactions : int
        Size of the training data.
    item_bytes : int
        Bytes of an item's row, optimizer state included.
    limits : StrataLimits, default LIMITS

    Returns
    -------
    int
        1 for the smallest data, 8 for 100,000 interactions, more where the item rows outgrow a
        cache of nominal size.
    """
    wanted, n_lanes = (
        math.ceil(n_items * item_bytes / limits.block_bytes),
        most_lanes(n_interactions),
    )
    if wanted > 8 or n_lanes > _LANES[0]:
        wanted = math.ceil(wanted / n_lanes) * n_lanes
    wanted = max(8, wanted)
    by_rows = min(n_users // 4, n_items // limits.least_items)
    by_triplets = math.isqrt(n_interactions // limits.least_triplets)
    return max(1, min(wanted, by_rows, by_triplets, _MOST_BLOCKS))


def most_lanes(n_interactions: int) -> int:
    """Return the most user blocks, which are lanes of a round, for so many interactions: a power of two.

    Examples
    --------
    >>> from tripletrec.training.strata import most_lanes
    >>> [most_lanes(10**n) for n in range(4, 11)]
    [16, 16, 16, 16, 64, 128, 256]
    """
    few, many = _LANES
    wanted = math.isqrt(n_interactions // _LANE_TRIPLETS)
    return max(few, min(many, 1 << wanted.bit_length() - 1 if wanted else 1))


def group_size(
    strata: Strata,
    user_counts: NDArray[np.int64],
    item_counts: NDArray[np.int64],
    item_weights: NDArray[np.float64],
    most: int,
) -> int:
    """Return how many triplets of a stratum may make a group, whose slopes are found before its steps.

    The slope of a triplet then misses the steps of those before it in its group: on average at most half a
    step on one of its rows.

    Parameters
    ----------
    strata : Strata
    user_counts, item_counts : int64 array of shape (n_users,), (n_items,)
        Positives of each.
    item_weights : float64 array of shape (n_items,)
        How often each item is drawn as a negative, up to a factor.
    most : int

    Returns
    -------
    int
        From 1 to `most`.
    """
    users, positives, negatives = (
        each / each.sum() for each in (user_counts, item_counts, item_weights)
    )
    # The chance that two triplets of a stratum share a row, or rather the mean number they share.
    shared = strata.n_user_blocks * (users @ users)
    shared += strata.n_item_blocks * float(np.sum((positives + negatives) ** 2))
    return int(min(most, 1 + 1 // shared))


def place_bits(n_rows: int, n_blocks: int) -> int:
    """Return the bits that it takes to number the rows of a block."""
    return (-(-n_rows // n_blocks) - 1).bit_length()


class Codes(NamedTuple):
    """How user and positive of a stored triplet are kept in one number, of four bytes if possible.

    The *position* of an item has its block and, in the bits below, its place within the block. So positions
    are numbers below ``n_item_blocks << place_bits``, not all of which are an item's.

    Parameters
    ----------
    place_bits : int
        For the place of an item within its block.
    item_bits : int
        For the item: its place, and where a stratum has pairs of blocks its whole position. The place of the
        user within the user block stands above these.
    dtype : type
    """

    place_bits: int
    item_bits: int
    dtype: type[np.unsignedinteger]


def codes_of(strata: Strata, n_users: int, n_items: int, limits: StrataLimits = LIMITS) -> Codes:
    """Return the codes for data of this size.

    Parameters
    ----------
    strata : Strata
    n_users, n_items : int
    limits : StrataLimits, default LIMITS

    Returns
    -------
    Codes

    Examples
    --------
    >>> from tripletrec.training.strata import codes_of, drawn_strata
    >>> codes_of(drawn_strata(128), n_users=300_000, n_items=500_000)
    Codes(place_bits=12, item_bits=12, dtype=<class 'numpy.uint32'>)
    """
    user_bits = place_bits(n_users, strata.n_user_blocks)
    item_bits = own_bits = place_bits(n_items, strata.n_item_blocks)
    if strata.has_pairs:
        item_bits += (strata.n_item_blocks - 1).bit_length()
    narrow = user_bits + item_bits <= limits.narrow_bits
    return Codes(own_bits, item_bits, np.uint32 if narrow else np.uint64)


def drawn_strata(n_blocks: int, most_lanes: int = _LANES[0]) -> Strata:
    """Return the strata for negatives drawn from the positive's own item block.

    Parameters
    ----------
    n_blocks : int
        Item blocks, >= 1; rounded down to a multiple of the user blocks, which are a power of two.
    most_lanes : int, default 16
        The most user blocks, see `most_lanes`.

    Returns
    -------
    Strata
    """
    n_bits = min(n_blocks, most_lanes).bit_length() - 1
    n_lanes = 1 << n_bits
    lane = n_blocks // n_lanes
    # The number of a lane interleaves the bits of its round and its own (Morton 1966), so that the
    # lanes that make one of a longer round follow one another.
    turn, p = np.indices((n_lanes, n_lanes))
    number = sum(
        (turn >> bit & 1) << 2 * bit + 1 | (p >> bit & 1) << 2 * bit for bit in range(n_bits)
    )
    starts = lane * np.asarray(number, np.int64).reshape(n_lanes, n_lanes)
    p, q = np.indices((n_lanes, n_lanes * lane))
    stratum = (starts[p ^ q // lane, p] + q % lane).astype(np.int32)
    user_block, item_block = np.empty((2, stratum.size), dtype=np.int32)
    user_block[stratum], item_block[stratum] = p, q
    return Strata(
        n_lanes, n_lanes * lane, starts, lane, True, stratum[:, :, None], user_block, item_block
    )


def given_strata(n_blocks: int) -> Strata:
    """Return the strata for negatives that may lie in any item block.

    Parameters
    ----------
    n_blocks : int
        Item blocks, >= 1; an odd number other than 1 is rounded down.

    Returns
    -------
    Strata
    """
    if n_blocks == 1:
        return drawn_strata(1)
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
    return Strata(n_lanes, 2 * n_lanes, starts, 1, False, stratum, user_block, item_block)


def _tournament_turn(turn: int, n_pairs: int) -> list[tuple[int, int]]:
    """Return the disjoint pairs of one turn (circle method: one stays, the others walk round)."""
    n_turns = 2 * n_pairs - 1
    circle = [(turn + offset) % n_turns for offset in range(n_turns)]
    return [(n_turns, circle[0])] + [(circle[x], circle[-x]) for x in range(1, n_pairs)]
