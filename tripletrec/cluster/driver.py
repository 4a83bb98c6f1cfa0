"""Who learns what, where and when: the epochs of a fit on workers; what a task does is in `worker`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.cluster import worker as tasks
from tripletrec.cluster.engine import Engine
from tripletrec.cluster.grouping import Grouping, n_parts_for
from tripletrec.cluster.probe import Report, check_alike, probe
from tripletrec.cluster.store import Committed, commit_epoch
from tripletrec.cluster.worker import Ended, Job, LostError
from tripletrec.losses import Loss
from tripletrec.training.epoch_layout import record_of
from tripletrec.training.health import Limits
from tripletrec.training.plan import Record
from tripletrec.training.triplet_records import N_TOTALS

__all__ = ["Driver", "ProbeOf"]

_MOST_LOSSES = 5  # of workers in one epoch


class ProbeOf:
    """Asks workers that have not been asked yet whether they give the same bits.

    Parameters
    ----------
    engine : Engine
    arguments : tuple
        Of `probe`, but the memory.
    known : Report or None
        What those said with whom the fit began.

    Attributes
    ----------
    report : Report or None
        What all say that were asked.
    """

    def __init__(self, engine: Engine, arguments: tuple[Any, ...], known: Report | None) -> None:
        self._engine, self._arguments, self.report = engine, arguments, known
        self._asked: set[str] = set()

    def check(self) -> dict[str, int]:
        """Return the threads of all workers; raise ValueError unless they are alike, see `check_alike`."""
        for turn in range(_MOST_LOSSES + 1):
            workers = self._engine.workers()
            new = [each for each in workers if each not in self._asked]
            asked = [self._engine.submit(each, probe, *self._arguments) for each in new]
            try:
                found = self._engine.gather(asked)
            except LostError:
                if turn == _MOST_LOSSES:
                    raise
                continue
            if new:
                self.report = check_alike(dict(zip(new, found, strict=True)), self.report)
            self._asked.update(new)
            break
        return workers


class Driver:
    """Runs the epochs of a fit, and begins one again, with the workers that are left, when one is lost.

    Parameters
    ----------
    engine : Engine
    job : Job
        Its number of parts is not looked at.
    probing : ProbeOf
    every : int
        Epochs from one that is written to the folder, and from then on counts, to the next.
    """

    def __init__(self, engine: Engine, job: Job, probing: ProbeOf, every: int) -> None:
        self._engine, self._job, self._probing, self._every = engine, job, probing, every
        self._limits = Limits(job.epoch_layout.plan)
        self._grouping = Grouping.of(job.epoch_layout.strata, 1)
        self._home: dict[int, str] = {}  # worker of each part
        self._attempt = ""
        # How the groups of items come to an epoch: where, by which task, and its arguments; of which deal.
        self._roots: dict[int, tuple[str, Callable[..., Any], tuple[Any, ...]]] = {}
        self._dealt: tuple[int, int] = 0, 0
        self.largest: float | None = None  # factor, when they were looked at last

    def run(self, committed: Committed, report: Callable[[Record], None]) -> Committed:
        """Run the epochs that are left; return the last one.

        Parameters
        ----------
        committed : Committed
            The last epoch that counts.
        report : callable
            Called with the record of each epoch that has ended.

        Raises
        ------
        FloatingPointError
            If training diverges.
        RuntimeError
            If workers are lost in one epoch again and again.
        """
        n_epochs, n_losses = self._job.epoch_layout.plan.n_epochs, 0
        while committed.number < n_epochs:
            before = committed.number
            try:
                self._place()
                self._recall(committed)
                history = list(committed.history)
                for number in range(before + 1, n_epochs + 1):
                    saved = number == n_epochs or (number - committed.number) == self._every
                    history.append(self._run_epoch(number, saved))
                    report(history[-1])
                    if saved:
                        committed = Committed(number, list(history), self._grouping.n_groups)
                        commit_epoch(self._job.folder, committed)
            except LostError as error:
                n_losses = 1 if committed.number > before else n_losses + 1
                if n_losses > _MOST_LOSSES:
                    raise RuntimeError(
                        f"epoch {committed.number + 1} was begun {n_losses} times, and each time a worker "
                        f"was lost ({error}); the epochs before it are in checkpoint {self._job.folder}"
                    ) from error
        return committed

    def _place(self) -> None:
        """Give each part of the users its worker: that which has it, as long as it is there."""
        workers = self._probing.check()
        if not self._home:
            strata = self._job.epoch_layout.strata
            n_parts = n_parts_for(strata, sum(workers.values()))
            self._job = self._job._replace(n_parts=n_parts)
            self._grouping = Grouping.of(strata, n_parts)
            self._rounds = strata.tiles(n_parts)
        self._home = _placed(self._job.n_parts, workers, self._home)
        self._attempt = secrets.token_hex(8)
        self._engine.open(sorted(set(self._home.values())))
        prepared = []
        for worker in sorted(set(self._home.values())):
            parts = [part for part, home in self._home.items() if home == worker]
            job = self._engine.send(worker, self._job)
            prepared.append(self._submit(worker, tasks.prepare, job, parts))
        self._engine.gather(prepared)

    def _recall(self, committed: Committed) -> None:
        """Let the items be those of the folder, or the start values."""
        first_home = self._first_homes()
        n_files = committed.n_item_files
        if not committed.number:
            self._dealt = 1, self._grouping.n_groups
            self._roots = {g: (home, tasks.draw_items, (g,)) for g, home in first_home.items()}
            return
        number = self._job.epoch_layout.first_of_partition(committed.number)
        self._dealt = number, n_files
        homes = [first_home[k * len(first_home) // n_files] for k in range(n_files)]
        self._roots = {
            k: (home, tasks.load_items, (committed.number, k)) for k, home in enumerate(homes)
        }

    def _run_epoch(self, number: int, saved: bool) -> Record:
        """Run an epoch; return its record.

        What it begins with depends on no task of an epoch before, so that an engine need not know, after a
        loss, how all that was learnt came about, and does not try to learn it again.
        """
        started, attempt, submit = time.perf_counter(), self._attempt, self._submit
        homes, epoch_layout = self._home, self._job.epoch_layout
        after = {
            part: submit(home, tasks.begin_part, attempt, part, number)
            for part, home in homes.items()
        }
        items = self._regrouped(number)
        for turn, tiles in enumerate(self._rounds):
            learnt = {}
            for tile in tiles:
                part, home = tile.part, homes[tile.part]
                groups = self._grouping.groups_of(tile)
                sources = {id(items[g][0]): items[g][0] for g in groups}
                result = submit(
                    home, tasks.learn_tile, attempt, (number, turn, part), after[part],
                    *sources.values(),
                )  # fmt: skip
                after[part] = result
                learnt.update(dict.fromkeys(groups, (result, home)))
            items = learnt
        ended = [
            submit(home, tasks.end_part, attempt, part, number, saved, after[part])
            for part, home in homes.items()
        ]
        kept = [
            submit(home, tasks.end_items, number, group, saved, result)
            for group, (result, home) in items.items()
        ]
        self._roots = {g: (home, tasks.recall_items, (number, g)) for g, (_, home) in items.items()}
        del after, items, learnt, result, sources
        results = self._engine.gather(ended + kept)
        totals = self._totals(results[: len(ended)])
        plan = epoch_layout.plan
        n_drawn = epoch_layout.n_positives * plan.n_negatives
        searches = isinstance(plan.loss, Loss) and plan.loss.searches
        record = record_of(number, totals, n_drawn, searches, time.perf_counter() - started)
        if saved or self._limits.is_beyond(record["loss"]):
            self._check(record, results[: len(ended)], results[len(ended) :])
        return record

    def _regrouped(self, number: int) -> dict[int, tuple[Any, str]]:
        """Return the groups of items of an epoch's deal, and where they are.

        At a new deal each piece goes from where it is to where it is needed.
        """
        found = {
            k: (self._submit(at, task, *each), at) for k, (at, task, each) in self._roots.items()
        }
        dealt = self._job.epoch_layout.first_of_partition(number), self._grouping.n_groups
        if self._dealt == dealt:
            return found
        self._dealt, groups = dealt, {}
        for group, home in self._first_homes().items():
            cut = [
                self._submit(at, tasks.cut_items, number, group, items, k)
                for k, (items, at) in found.items()
            ]
            groups[group] = self._submit(home, tasks.join_items, number, group, *cut), home
        return groups

    def _first_homes(self) -> dict[int, str]:
        """Return for each group of items the worker that learns it first in an epoch."""
        found = {
            group: self._home[tile.part]
            for tile in self._rounds[0]
            for group in self._grouping.groups_of(tile)
        }
        return dict(sorted(found.items()))

    def _totals(self, ended: list[Ended]) -> NDArray[np.float64]:
        """Return the totals of all strata by their numbers, whoever has learnt them."""
        totals = np.zeros((len(self._job.epoch_layout.strata.item_block), N_TOTALS))
        filled = [0] * self._job.n_parts
        for tiles in self._rounds:
            for part, _, first, last in tiles:
                begin = filled[part]
                filled[part] += last - first
                totals[first:last] = ended[part].totals[begin : filled[part]]
        return totals

    def _check(self, record: Record, ended: list[Ended], largest: list[float]) -> None:
        """Raise FloatingPointError if training has diverged."""
        found = np.array([*largest, *(each.largest for each in ended)])
        self.largest = self._limits.check(record["epoch"], record["loss"], [found])

    def _submit(self, worker: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._engine.submit(worker, function, *arguments)


def _placed(n_parts: int, workers: dict[str, int], before: dict[int, str]) -> dict[int, str]:
    """Return the worker of each part.

    A worker has parts by its threads; those next to each other, between which no items travel in every
    other round. Parts whose worker is lost go to those that have the fewest for their threads.
    """
    names = sorted(workers)
    if not before:
        seats = [name for name in names for _ in range(workers[name])]
        return {part: seats[part * len(seats) // n_parts] for part in range(n_parts)}
    home = {part: name for part, name in before.items() if name in workers}
    for part in range(n_parts):
        if part not in home:
            loads = {name: sum(each == name for each in home.values()) for name in names}
            home[part] = min(names, key=lambda name: (loads[name] / workers[name], name))
    return dict(sorted(home.items()))
