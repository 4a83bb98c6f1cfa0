"""New users of a factor model with a triplet loss: their rows are learnt, items stay.

The triplets of a user are a stratum (see `stratum`), of which every user has the same number: so its random
numbers are functions of the pass and of the place of an item in the sorted history. Who else is learnt beside
a user then changes no bit.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import aligned
from tripletrec._runtime.threads import executor_for
from tripletrec.losses import ListLoss
from tripletrec.optimizers import adagrad
from tripletrec.sampling.draw import ItemsOfUsers, Pool
from tripletrec.training.bucketing import Buckets, Stored
from tripletrec.training.plan import L2, FactorPlan
from tripletrec.training.strata import LIMITS
from tripletrec.training.stratum import (
    Contents,
    Epoch,
    Loop,
    Streams,
    learn_strata,
    make_workspace,
    pieces_of_users,
)
from tripletrec.training.triplet_kernel import build_epoch
from tripletrec.training.triplet_records import (
    GROUP,
    N_TOTALS,
    HyperParameters,
    ItemRows,
    UserRows,
    search_of,
)

__all__ = ["PASSES", "Passes", "TripletFoldIn"]

Float32 = NDArray[np.float32]

_OPTIMIZER = adagrad()
_AT_ONCE = 2**12  # triplets of a pass of a task


class Passes(NamedTuple):
    """How often a history is learnt from, and by which steps.

    Parameters
    ----------
    n : int, default 20
        Passes over the history.
    least : int, default 32
        A history is repeated until a pass has so many positives.
    rate : float, default 0.2
        Of Adagrad in the first pass; it falls to zero linearly.

    Notes
    -----
    Chosen on users left out of MovieLens-100K and Gowalla: more passes gained nothing, half of them lost 2 %
    of NDCG@10.
    """

    n: int = 20
    least: int = 32
    rate: float = 0.2


PASSES = Passes()


class TripletFoldIn:
    """Learns rows of new users by a triplet loss.

    Parameters
    ----------
    plan : FactorPlan
        Loss, scorer, sampler, negatives and L2 of users; of no other optimizer than Adagrad.
    factors, biases : float32 arrays of shape (n_items, n_factors) and (n_items,)
        Of the items, not copied.
    counts : int array of shape (n_items,)
        Positives of each item in the training data.
    only_used : bool, default False
        Whether only items that have a positive are drawn.
    passes : Passes, default PASSES

    Raises
    ------
    TypeError
        If the loss is not one of triplets.
    """

    def __init__(
        self,
        plan: FactorPlan,
        factors: Float32,
        biases: Float32,
        counts: NDArray[np.integer],
        *,
        only_used: bool = False,
        passes: Passes = PASSES,
    ) -> None:
        if isinstance(plan.loss, ListLoss):
            raise TypeError(f"loss {plan.loss.name!r} is not one of triplets")
        self._passes, self._linear = passes, plan.scorer.linear
        n_items, n_factors = factors.shape
        sampler = plan.sampler
        n_candidates = plan.n_candidates
        kernel = build_epoch(
            plan.loss, plan.scorer, _OPTIMIZER, n_factors, sampler.choose, n_candidates,
            bare_items=True,
        )  # fmt: skip
        self._loop = Loop(
            kernel, n_factors, GROUP, plan.n_negatives, plan.n_negatives * n_candidates,
            sampler.verified, plan.loss.n_positives, plan.loss.searches,
        )  # fmt: skip
        # Items that may be drawn have the first positions.
        drawn = counts > 0 if only_used else np.ones(n_items, bool)
        order = np.argsort(~drawn, kind="stable").astype(np.int32)
        self._n_drawn = int(drawn.sum())
        self._position_of = np.empty(n_items, np.uint32)
        self._position_of[order] = np.arange(n_items, dtype=np.uint32)
        order = read_only(order)
        self._pool = Pool(order, sampler.cumulative(counts[order].astype(np.int64)))
        self._factors = factors
        self._items = ItemRows(
            read_only(factors).reshape(-1), order, read_only(biases[order]),
            np.empty((n_items, 0), np.float32),
        )  # fmt: skip
        self._rows = plan.scorer.rows
        loss, optimizer, l2 = (
            tuple(map(np.float32, each))
            for each in (plan.loss.parameters, _OPTIMIZER.parameters, plan.l2)
        )
        search = search_of(plan.loss, n_items)
        self._hyper = HyperParameters(np.float32(0), L2(*l2), loss, optimizer, False, search)  # type: ignore[arg-type]

    @cached_property
    def _streams(self) -> list[Streams]:
        drawn = np.random.SeedSequence(0).generate_state(5 * self._passes.n, np.uint64)
        return [Streams(*each) for each in drawn.reshape(-1, 5)]

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> Float32:
        """Return a row of factors for each history, float32 of shape (n_users, n_factors).

        Parameters
        ----------
        histories : ItemsOfUsers
            The items of each user, ascending. An empty one gives zeros.
        n_jobs : int, default 1
        """
        rows = self._start(histories)
        cuts = list(pieces_of_users(histories.indptr, _AT_ONCE))
        executor = executor_for(max(1, min(n_jobs, len(cuts))))
        with executor.threads():
            executor.run(lambda first, last: self._learn(histories, rows, first, last), cuts)
        return rows

    def _start(self, histories: ItemsOfUsers) -> Float32:
        """Return rows of zeros; where a score is no product, as a cosine is none, means of items' rows."""
        n, n_factors = len(histories.indptr) - 1, self._factors.shape[1]
        rows = np.zeros((n, n_factors), np.float32)
        if not self._linear:
            for u in np.flatnonzero(np.diff(histories.indptr)):
                own = histories.indices[histories.indptr[u] : histories.indptr[u + 1]]
                rows[u] = self._rows(self._factors[own]).mean(0)
        return rows

    def _learn(self, histories: ItemsOfUsers, rows: Float32, first: int, last: int) -> None:
        """Learn the rows of users first ... last - 1: the task of a thread."""
        begin, end = histories.indptr[first], histories.indptr[last]
        known = ItemsOfUsers(
            read_only(histories.indptr[first : last + 1] - begin),
            read_only(histories.indices[begin:end]),
        )
        n, n_factors = last - first, rows.shape[1]
        contents = self._contents(known, n)
        table = aligned(2 * n * n_factors)
        weights = table.reshape(n, 2, n_factors)
        weights[:, 0], weights[:, 1] = rows[first:last], _OPTIMIZER.state[0]
        users = UserRows(table, np.empty((n, 0), np.float32))
        bounds = contents.buckets.bounds
        # Without a Bloom filter: which items pass for known must depend on the user alone.
        limits = LIMITS._replace(at_once=int(bounds[-1]), filter_words=0)
        longest = int(np.diff(bounds).max(initial=0))
        workspace = make_workspace(self._loop, longest, weighted=False, limits=limits)
        totals = np.zeros((n, N_TOTALS))
        for number, streams in enumerate(self._streams):
            rate = np.float32(self._passes.rate * (1.0 - (number + 0.5) / self._passes.n))
            epoch = Epoch(contents, users, self._items, self._hyper._replace(rate=rate), streams)
            learn_strata(0, n, self._loop, epoch, workspace, totals)
        rows[first:last] = weights[:, 0]

    def _contents(self, known: ItemsOfUsers, n: int) -> Contents:
        """Return `n` users as so many strata, each of which may draw all items of the pool."""
        lengths = np.diff(known.indptr)
        repeats = -(-self._passes.least // np.maximum(1, lengths))
        if self._loop.verified:  # who has all that is drawn learns nothing
            drawn = self._position_of[known.indices] < self._n_drawn
            repeats[np.bincount(np.repeat(np.arange(n), lengths), drawn, n) == self._n_drawn] = 0
        sizes = lengths * repeats
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        places = (np.arange(bounds[-1]) - np.repeat(bounds[:-1], sizes)) % np.repeat(lengths, sizes)
        items = known.indices[np.repeat(known.indptr[:-1], sizes) + places]
        each = np.arange(n, dtype=np.int32)
        buckets = Buckets(
            np.zeros(n, np.int64), bounds, each, each, np.arange(n + 1),
            np.zeros(n, np.int64), np.full(n, self._n_drawn),
        )  # fmt: skip
        # The code of a triplet is the user's place in the block, which is 0, and the item's position.
        stored = Stored(self._position_of[items], np.empty(0, np.int32), np.empty(0, np.float32))
        return Contents(buckets, stored, 31, known, self._pool, None)
