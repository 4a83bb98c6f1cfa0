"""The plan of an epoch that all who learn a part of it share: strata, deals, random streams, rates.

An `EpochLayout` is a pure function of a plan and of how many positives each user and item has. It holds
neither interactions nor factors, so the fit in memory, the one from disk and every worker of a cluster have
their own and meet in the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec.losses import ListLoss
from tripletrec.sampling.draw import Pool
from tripletrec.training.bucketing import Buckets
from tripletrec.training.dealing import Partition, deal
from tripletrec.training.plan import L2, FactorPlan, Record
from tripletrec.training.strata import (
    LIMITS,
    Strata,
    StrataLimits,
    codes_of,
    drawn_strata,
    given_strata,
    group_size,
    most_lanes,
    n_blocks,
    place_bits,
)
from tripletrec.training.stratum import Loop, Streams
from tripletrec.training.tables import row_width
from tripletrec.training.triplet_kernel import build_epoch
from tripletrec.training.triplet_records import GROUP, HyperParameters, search_of

__all__ = ["EpochLayout", "ItemDeal", "record_of"]

_EPOCHS_AT_ONCE = 64  # whose streams are made together
_EPOCHS_OF_PARTITION = 2  # four cost a little NDCG where there are but eight blocks
_MOST_GIVEN_BLOCKS = 8  # with given negatives: strata grow with the cube of the blocks


class ItemDeal(NamedTuple):
    """The items, dealt into blocks for the epochs from `number` on.

    Parameters
    ----------
    number : int
        Of the first epoch.
    items : Partition
    row_at : int32 array of shape (n_positions,)
        The item at each position; 0 at those that are no item's.
    pool : Pool
        What negatives are drawn from: by position, beside given negatives in any order.
    """

    number: int
    items: Partition
    row_at: NDArray[np.int32]
    pool: Pool


class EpochLayout:
    """What an epoch of a plan depends on, beside factors and interactions; see the module.

    Parameters
    ----------
    plan : FactorPlan
    user_counts, item_counts : int64 array of shape (n_users,), (n_items,)
        Positives of each.
    given : bool
        Whether the user gives negatives.
    limits : StrataLimits, default LIMITS

    Attributes
    ----------
    shape : (n_users, n_items)
    n_positives : int
    stores_negatives : bool
        Whether negatives are stored with the positives, see `FactorPlan.stores_negatives`.
    strata : Strata
    codes : Codes
    group : int
        The most triplets of a group, see `strata.group_size`.

    Raises
    ------
    TypeError
        If the loss is not one of triplets.
    """

    def __init__(
        self,
        plan: FactorPlan,
        user_counts: NDArray[np.int64],
        item_counts: NDArray[np.int64],
        *,
        given: bool,
        limits: StrataLimits = LIMITS,
    ) -> None:
        if isinstance(plan.loss, ListLoss):
            raise TypeError(f"loss {plan.loss.name!r} is not one of triplets")
        self.plan, self.limits, self._loss = plan, limits, plan.loss
        self.stores_negatives = plan.stores_negatives(given)
        self.shape = n_users, n_items = len(user_counts), len(item_counts)
        self.n_positives = int(item_counts.sum())
        self._hyper, self._streams = self._make_hyper(), dict[int, Streams]()
        self._item_counts = item_counts
        self._item_ranking = _ranking(item_counts)
        self.strata = self._make_strata(self.n_positives)
        self.codes = codes_of(self.strata, n_users, n_items, limits)
        weights = plan.sampler.weights(item_counts)
        self.group = group_size(self.strata, user_counts, item_counts, weights, GROUP)

    def _make_strata(self, nnz: int) -> Strata:
        (n_users, n_items), plan, limits = self.shape, self.plan, self.limits
        if self._loss.searches:
            limits = limits._replace(least_triplets=limits.least_searched)
        item_bytes = 4 * (1 + len(plan.optimizer.state)) * row_width(plan.n_factors)
        blocks = n_blocks(n_users, n_items, nnz, item_bytes, limits)
        # Negatives that are given, or lower-valued positives, may be of any block.
        if self.stores_negatives:
            return given_strata(min(blocks, _MOST_GIVEN_BLOCKS))
        return drawn_strata(blocks, most_lanes(nnz))

    def build_loop(self, *, prefetch_rows: bool) -> Loop:
        """Return how strata are learnt; compiles the kernel when it is first called."""
        plan, sampler, loss = self.plan, self.plan.sampler, self._loss
        # Candidates of a negative are drawn like further negatives, and from the same block.
        width = row_width(plan.n_factors)
        kernel: Callable[..., None] = build_epoch(
            loss, plan.scorer, plan.optimizer, width, sampler.choose, plan.n_candidates,
            prefetch_rows=prefetch_rows,
        )  # fmt: skip
        n_each, n_drawn = plan.n_negatives, plan.n_negatives * plan.n_candidates
        if self.stores_negatives:  # a triplet is stored for each negative, else for each positive
            n_each, n_drawn = 1, 0
        return Loop(
            kernel,
            width,
            self.group,
            n_each,
            n_drawn,
            sampler.verified,
            loss.n_positives,
            loss.searches,
        )

    def _make_hyper(self) -> HyperParameters:
        plan = self.plan
        with np.errstate(over="ignore"):  # of a step beyond float32 the error of training tells
            l2, loss, optimizer = (
                tuple(map(np.float32, numbers))
                for numbers in (plan.l2, plan.loss.parameters, plan.optimizer.parameters)
            )
        search = search_of(self._loss, self.shape[1])
        return HyperParameters(
            np.float32(0), L2(*l2), loss, optimizer, plan.item_bias, search  # type: ignore[arg-type]
        )  # fmt: skip

    def hyper(self, number: int) -> HyperParameters:
        """Return the numbers that the steps of an epoch depend on."""
        with np.errstate(over="ignore"):
            return self._hyper._replace(rate=np.float32(self.plan.rate_at(number - 0.5)))

    def streams(self, number: int) -> Streams:
        """Return the streams of random numbers of an epoch; those of number 0 are the fit's own."""
        if number not in self._streams:  # those of many epochs at a time, which takes no longer
            n, first = 5 * _EPOCHS_AT_ONCE, number - number % _EPOCHS_AT_ONCE
            drawn = np.random.SeedSequence((self.plan.seed, first)).generate_state(n, np.uint64)
            streams = (Streams(*each) for each in drawn.reshape(-1, 5))
            self._streams = dict(enumerate(streams, first))
        return self._streams[number]

    def first_of_partition(self, number: int) -> int:
        """Return the first epoch that has the partition of epoch `number`.

        A partition serves two epochs: on large data it costs a quarter of one.
        """
        return number - (number - 1) % (1 if self.stores_negatives else _EPOCHS_OF_PARTITION)

    def deal_items(self, number: int) -> ItemDeal:
        """Deal the items for the partition that begins with epoch `number`."""
        strata, sampler = self.strata, self.plan.sampler
        items = deal(self._item_ranking, strata.n_item_blocks, self.streams(number).items)
        row_at = np.zeros(strata.n_item_blocks << self.codes.place_bits, np.int32)
        row_at[items.position_of] = np.arange(len(items.order), dtype=np.int32)
        # Beside given negatives others are drawn from all blocks, between which positions leave gaps.
        drawn_from = items.order if self.stores_negatives else row_at
        pool = Pool(drawn_from, sampler.cumulative(self._item_counts[drawn_from]))
        return ItemDeal(number, items, row_at, pool)

    def buckets(
        self, first: int, bounds: NDArray[np.int64], deal: ItemDeal, users: Partition, block: int
    ) -> Buckets:
        """Return a run of strata as `learn_strata` wants it.

        Parameters
        ----------
        first : int
            Number of the first stratum.
        bounds : int64 array of shape (n + 1,)
            Where the triplets of each of the n strata begin.
        deal : ItemDeal
        users : Partition
        block : int
            Number of the first block of `users`.
        """
        strata, last = self.strata, first + len(bounds) - 1
        first_position = last_position = np.zeros(last - first, np.int64)
        if not self.stores_negatives:
            blocks = strata.item_block[first:last]
            first_position = blocks.astype(np.int64) << self.codes.place_bits
            last_position = first_position + np.diff(deal.items.bounds)[blocks]
        return Buckets(
            np.arange(first, last), bounds, strata.user_block[first:last] - np.int32(block),
            users.order, users.bounds, first_position, last_position,
        )  # fmt: skip

    def positions_of(self, item_blocks: NDArray[np.int64], deal: ItemDeal) -> NDArray[np.int64]:
        """Return the positions of the items of some blocks."""
        bounds, bits = deal.items.bounds, self.codes.place_bits
        return np.concatenate(
            [(b << bits) + np.arange(bounds[b + 1] - bounds[b]) for b in item_blocks]
        )

    def deal_users(self, user_counts: NDArray[np.int64]) -> Partition:
        """Deal the users into blocks, once for the whole fit; a block has them by rising row number.

        So all that belongs to the users of a block can be kept together: in memory, in a file, on a worker.
        """
        n_blocks = self.strata.n_user_blocks
        users = deal(_ranking(user_counts), n_blocks, self.streams(0).users)
        order, bounds, block_of, position_of = users
        for first, last in zip(bounds[:-1], bounds[1:], strict=True):
            order[first:last].sort()
        places = np.arange(len(order)) - np.repeat(bounds[:-1], np.diff(bounds))
        position_of[order] = (
            block_of[order].astype(np.int64) << place_bits(len(order), n_blocks) | places
        )
        return users


def record_of(
    number: int, totals: NDArray[np.float64], n_drawn: int, searches: bool, seconds: float
) -> Record:
    """Return the record of an epoch.

    Parameters
    ----------
    number : int
        Of the epoch.
    totals : float64 array of shape (n_strata, N_TOTALS)
        Of all its strata, by their numbers: their order is that of the sum.
    n_drawn : int
        Triplets if none were skipped.
    searches : bool
        Whether the loss searches for its negatives.
    seconds : float
    """
    loss, right, mass, count, n_learnt = totals.sum(0).tolist()
    return {
        "epoch": number,
        "loss": loss / mass if mass else 0.0,
        "train_auc": right / mass if mass else 0.5,
        "n_triplets": int(count),
        "n_skipped": n_drawn - int(count),
        **({"n_violations": int(n_learnt)} if searches else {}),
        "seconds": seconds,
    }


def _ranking(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the rows by falling count."""
    return np.argsort(-counts, kind="stable").astype(np.int32)
