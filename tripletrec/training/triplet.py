"""A fit of a factor model by a triplet loss: tables, strata, epochs; what runs a stratum is in `stratum`.

A model class gives a `FactorPlan`; what comes back are arrays and one record per epoch. All of it
is a pure function of the plan and the data: neither the number of threads nor their order changes a bit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.threads import executor_for
from tripletrec.data.interactions import Interactions
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.sampling.grades import by_rising_value
from tripletrec.training.bucketing import UserPositives
from tripletrec.training.epoch_layout import EpochLayout, ItemDeal, record_of
from tripletrec.training.plan import FactorPlan, Factors, Record
from tripletrec.training.strata import LIMITS, StrataLimits
from tripletrec.training.stratum import Epoch, StratumLearner
from tripletrec.training.tables import FactorTables, leave_unknown
from tripletrec.training.triplet_records import N_TOTALS, UserRows
from tripletrec.training.user_parts import (
    bucket_part,
    by_position,
    empty_stored,
    epoch_of_part,
    from_positions,
    whole_part,
)

__all__ = ["TripletTraining", "count_items"]

Float32 = NDArray[np.float32]

# What only epochs need: the interactions, and what was worked out of them.
_OF_EPOCHS = (
    "_prepared", "_positives", "_given", "_n_lower", "_stored", "_workspaces", "part", "epoch_layout",
    "loop",
)  # fmt: skip


class _Prepared(NamedTuple):
    """The interactions in strata, by the deal of the items, and the first epoch that learnt them."""

    deal: ItemDeal
    longest: int  # triplets of a stratum
    epoch: Epoch


class TripletTraining(StratumLearner):
    """The state of one fit; see `tripletrec.training.loop.train` for what runs it.

    Parameters
    ----------
    plan : FactorPlan
    interactions : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
        Weight of each positive.
    given : Interactions or None
        Negatives given by the user, of the same shape.
    n_jobs : int
        The most threads, >= 1.
    limits : StrataLimits, default LIMITS

    Attributes
    ----------
    tables : FactorTables
        What is learnt. During a partition biases and step counts of items lie elsewhere, see `settle`.
    epoch_layout : EpochLayout
    part : UserPart
        All the users.
    executor : Executor
        Runs the tasks of each round: as many threads as have work; another one may be set before an epoch.
    loop : Loop
        How strata are learnt; another one may be set before an epoch.

    Raises
    ------
    TypeError
        If the loss is not one of triplets.
    """

    features: Mapping[str, Any] = MappingProxyType({})  # it has none
    _prepared: _Prepared | None = None  # until the first epoch, and after the last one

    def __init__(
        self,
        plan: FactorPlan,
        interactions: Interactions,
        weights: Float32 | None,
        given: Interactions | None,
        n_jobs: int,
        *,
        limits: StrataLimits = LIMITS,
    ) -> None:
        super().__init__(limits, weighted=weights is not None)
        self.plan = plan
        weights = np.empty(0, np.float32) if weights is None else weights
        indptr, indices = read_only(interactions.indptr), read_only(interactions.indices)
        self._positives = UserPositives(indptr, indices, read_only(weights), indptr[:-1])
        self._given = self._n_lower = None
        if given is not None:
            self._given = ItemsOfUsers(read_only(given.indptr), read_only(given.indices))
        elif plan.is_graded:
            self._given, self._n_lower = by_rising_value((indptr, indices), interactions.values)
        # While start values are drawn one thread works the strata out.
        self.tables = FactorTables.start(
            interactions.n_users, interactions.n_items, plan.n_factors, plan.optimizer,
            scale=plan.init_scale, seed=plan.seed, n_jobs=n_jobs,
            beside=lambda _: self._make_epoch_layout(interactions),
        )  # fmt: skip
        leave_unknown(self.tables.users, np.diff(interactions.indptr))
        self.loop = self.epoch_layout.build_loop(
            prefetch_rows=self.tables.nbytes > limits.cache_bytes
        )
        self._share_out(interactions.nnz, n_jobs)

    def _share_out(self, nnz: int, n_jobs: int) -> None:
        """Cut the work of an epoch into pieces that are worth a turn of a thread."""
        least, n_user_blocks = self.limits.least_run, self.epoch_layout.strata.n_user_blocks
        most = nnz * self.plan.n_negatives // max(1, least) if n_jobs > 1 else 1
        runs = self.epoch_layout.strata.runs(most, n_jobs)
        self.rounds = [[(int(first), int(last)) for first, last in each] for each in runs]
        self.executor = executor_for(min(n_jobs, runs.shape[1]))
        several = min(n_jobs, runs.shape[1]) > 1 and nnz >= n_user_blocks * least
        step = 1 if several else n_user_blocks
        self._bucket_tasks = [(first, first + step) for first in range(0, n_user_blocks, step)]

    def _make_epoch_layout(self, data: Interactions) -> None:
        user_counts, item_counts = np.diff(data.indptr), count_items(data.indices, data.n_items)
        self.epoch_layout = EpochLayout(
            self.plan, user_counts, item_counts, given=self._given is not None, limits=self.limits
        )
        users = self.epoch_layout.deal_users(user_counts)
        self.part = whole_part(users, self._positives, self._given, self._n_lower)
        self._stored = empty_stored(self.epoch_layout, self.part)

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
            from_positions(self.tables, self._prepared.deal, self._prepared.epoch.items)
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
        """Return the factors as arrays of their own and drop what epochs need: the training ends here."""
        self.settle()
        vars(self).update(dict.fromkeys(_OF_EPOCHS))
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
        longest = 0 if self._prepared is None else self._prepared.longest
        self.executor.run_rounds(partial(self.learn_run, epoch, totals, longest), self.rounds)
        return record_of(
            number, totals, len(self._positives.indices) * self.plan.n_negatives, self.loop.searches,
            time.perf_counter() - started,
        )  # fmt: skip

    def epoch(self, number: int) -> Epoch:
        """Return all that the strata of an epoch depend on, valid until that of another partition."""
        epoch_layout, first = self.epoch_layout, self.epoch_layout.first_of_partition(number)
        if self._prepared is None or self._prepared.deal.number != first:
            # Deal the items, and bucket the positives (with given negatives: triplets).
            deal = epoch_layout.deal_items(first)
            starts = bucket_part(
                epoch_layout, deal, self.part, self._stored, self.executor, self._bucket_tasks
            )
            items = by_position(self.settle(), deal)
            users = UserRows(self.tables.users.reshape(-1), self.tables.user_step_counts)
            epoch = epoch_of_part(
                epoch_layout, number, deal, self.part, (0, starts), self._stored, (users, items)
            )
            self._prepared = _Prepared(deal, int(np.diff(starts).max()), epoch)
        return self._prepared.epoch._replace(
            hyper=epoch_layout.hyper(number), streams=epoch_layout.streams(number)
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
