"""The loop over epochs: early stopping, checkpoints, Ctrl-C."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import CompilationError
from tripletrec._runtime.part_checks import explain
from tripletrec._runtime.progress import Progress
from tripletrec._runtime.threads import UninterruptedThread
from tripletrec.training.health import Limits, warn_at_the_end
from tripletrec.training.plan import Factors, Record

__all__ = ["Checkpoint", "EpochWatch", "Outcome", "Trainable", "train"]


@runtime_checkable
class InPieces(Protocol):
    """What a training whose factors may be larger than memory has besides."""

    def factor_pieces(self) -> Iterable[NDArray[np.float32]]:
        """Yield arrays that hold all factors together, as they stand."""


class Trainable(Protocol):
    """What `train` needs of a state of training; `tripletrec.training.triplet.TripletTraining` is one."""

    cancelled: bool
    """Set by another thread to cancel the running epoch, which then raises KeyboardInterrupt."""

    @property
    def plan(self) -> Any:
        """A `tripletrec.training.plan.Plan`, for what is said of a training that goes wrong."""

    @property
    def features(self) -> Mapping[str, Any]:
        """Encoded features of users and items by name: those of a checkpoint must be the same."""

    @property
    def factors(self) -> Any:
        """The arrays that are learnt, as they stand; a table of users that is read-only stays as it is."""

    def threads(self) -> AbstractContextManager[None]:
        """Keep threads alive for a run of epochs."""

    def run_epoch(self, number: int) -> Record:
        """Run epoch `number`, from 1; the record has at least "epoch" and "loss"."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return by name all that the epochs to come depend on, beside the plan, the data and their number.

        What the arrays hold is valid until the next epoch. Rows of users and of items come in their order,
        so that a larger training can begin with those that there were.
        """

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over a copy of a state of a training of the same plan and data, which then goes on from there.

        Raises
        ------
        ValueError
            If an array is missing, too many, or of another shape or type; nothing is taken over.
        """

    def row_state(self) -> dict[str, NDArray[Any]]:
        """Return what the optimizer keeps in brief, a few numbers for each row; also after `release`."""

    def take_up(self, learnt: Any, row_state: Mapping[str, NDArray[Any]] | None) -> None:
        """Begin with what a training of the first users and items has learnt, and with its `row_state`.

        To be called before the first epoch; new users and items start as they do in any training.
        """

    def release(self) -> Any:
        """Return the arrays that are learnt as arrays of their own, and drop what only epochs need.

        The training ends with it. If it is interrupted, it may be called again.
        """


class EpochWatch(Protocol):
    """What looks at a training after its epochs."""

    def __call__(self, record: Record, factors: Any, /) -> bool:
        """Take the record of an epoch, to which it may add, and the factors; return whether to stop."""

    def looks_at(self, epoch: int) -> bool:
        """Tell whether the factors are looked at after an epoch; else they need not be checked."""


class Outcome(NamedTuple):
    """What a run of epochs leaves.

    Parameters
    ----------
    factors : Factors or tuple of arrays
        Those of the last epoch, with early stopping those of the best one.
    history : list of dict
        The record of each epoch.
    kept_epoch : int
        Number of the epoch that the factors are of.
    interrupt : KeyboardInterrupt or None, default None
        What ended the run early.
    """

    factors: Any
    history: list[Record]
    kept_epoch: int
    interrupt: KeyboardInterrupt | None = None


class Checkpoint(Protocol):
    """What keeps the state of a training, so that another process can go on with it."""

    seconds: float
    """Least time from one to the next; 0: one after every epoch."""

    def write(self, outcome: Outcome) -> None:
        """Keep the state of the training as it stands, and the outcome of its epochs so far.

        The factors of the outcome are those of the best epoch; None where none is kept.
        """


def train(
    training: Trainable,
    n_epochs: int,
    *,
    watch: EpochWatch | None,
    metric: str | None,
    patience: int | None,
    verbose: int,
    first_epoch: int = 1,
    earlier: Outcome | None = None,
    checkpoint: Checkpoint | None = None,
    turn_seconds: float = 0.1,
) -> Outcome:
    """Run epochs until all are done, until the callbacks or the metric say stop, or until Ctrl-C.

    After Ctrl-C the running epoch is finished, so that no copy of the factors needs to be kept; a second
    Ctrl-C cancels it.

    Parameters
    ----------
    training : Trainable
        Not to be used again.
    n_epochs : int
        Number of the last epoch.
    watch : EpochWatch or None
        Is called after each epoch. With None short epochs run one after the other, several in each turn of
        the other thread.
    metric : str or None
        Entry of the records by which epochs are compared; larger is better. Epochs without it are passed
        over.
    patience : int or None
        Stop at an epoch with the `metric`, so many or more epochs after the best one, and keep a copy of the
        best one's factors; None: keep the last epoch's.
    verbose : int
        0: silent, otherwise a progress bar on standard error.
    first_epoch : int, default 1
        Number of the first epoch. The training must be in the state that the epochs before left.
    earlier : Outcome, default None
        That of the epochs before `first_epoch`: its records begin the history and, with `patience`, its
        factors are those of the best epoch so far. None: nothing of them is reported, and the best epoch is
        one from `first_epoch` on.
    checkpoint : Checkpoint, default None
        Is written between epochs, but not after the last one: by then the outcome is at hand.
    turn_seconds : float, default 0.1
        Time after which a turn ends at the next end of an epoch.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        If there is no epoch to run, or `earlier` ends elsewhere than before `first_epoch`.
    FloatingPointError
        If training diverges, see `tripletrec.training.health`.
    TypeError
        If Numba cannot compile a part of the plan.
    KeyboardInterrupt
        If it comes before the end of the first epoch, or twice; others are returned.
    """
    _check_epochs(n_epochs, first_epoch, earlier)
    progress = Progress(n_epochs, "training", "epoch", shown=bool(verbose), done=first_epoch - 1)
    clock = _Clock(checkpoint)
    in_turns = watch is None and not verbose and not clock.is_due()
    seconds = turn_seconds if in_turns else None
    run = _Run(training, n_epochs, first_epoch, seconds, earlier, watch)
    best = None if patience is None else _BestEpoch(str(metric), patience, earlier)
    interrupt = None
    try:
        with (
            progress,
            training.threads(),
            UninterruptedThread(run.stop, run.cancel) as thread,
        ):
            _supervise(run, thread, watch, best, progress, clock)
    except KeyboardInterrupt as error:
        if not _leaves_factors(run, best):
            raise
        if watch is None:  # else the last epoch has not been looked at
            clock.write(run, None)
        interrupt = error
    except CompilationError as error:
        raise explain(training.plan.fields(), error) from error.__cause__
    if best is not None and best.outcome is not None:
        return best.outcome._replace(interrupt=interrupt)
    return _last_epoch(run, metric, interrupt)


def _check_epochs(n_epochs: int, first_epoch: int, earlier: Outcome | None) -> None:
    if n_epochs < max(1, first_epoch):
        raise ValueError(f"n_epochs must be at least {max(1, first_epoch)}, got {n_epochs}")
    if earlier is not None and [r["epoch"] for r in earlier.history[-1:]] != [first_epoch - 1]:
        raise ValueError(
            f"earlier must end with epoch {first_epoch - 1}, got {len(earlier.history)} records"
        )


def _supervise(
    run: _Run,
    thread: UninterruptedThread,
    watch: EpochWatch | None,
    best: _BestEpoch | None,
    progress: Progress,
    clock: _Clock,
) -> None:
    """Have the epochs run, and look at the records, until there are no more or someone says stop."""
    stop = False
    while not stop and not run.is_complete:
        thread.run(run.turn)
        stop = _look(run, watch, best)
        progress.advance(**_numbers(run.records))
        if not stop and clock.is_due():
            clock.write(run, best)
    kept = run.number if best is None or best.outcome is None else best.outcome.kept_epoch
    records = [each for each in run.records if each["epoch"] <= kept]
    warn_at_the_end(run.training.plan, records, run.largest)


def _look(run: _Run, watch: EpochWatch | None, best: _BestEpoch | None) -> bool:
    """Look at the epoch that has ended; return whether someone says stop."""
    stop = watch is not None and watch(run.records[-1], run.training.factors)
    if best is not None:
        stop = best.is_last(run.records, run.training.factors) or stop
    return stop


def _numbers(records: list[Record]) -> dict[str, Any]:
    """Return what a progress bar shows: the last loss, and the last value of the validation metric."""
    shown = {"loss": records[-1]["loss"]}
    for record in reversed(records):
        found = {name: each for name, each in record.items() if name.startswith("validation_")}
        if found:
            return shown | found
    return shown


class _Clock:
    """Says when it is time to write a checkpoint, and has it written."""

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint, self._written = checkpoint, time.perf_counter()

    def is_due(self) -> bool:
        """Tell whether it is time."""
        if self._checkpoint is None:
            return False
        return time.perf_counter() - self._written >= self._checkpoint.seconds

    def write(self, run: _Run, best: _BestEpoch | None) -> None:
        """Have one written, unless all epochs have ended; the time it takes is not that between two."""
        if self._checkpoint is None or run.is_complete:
            return
        outcome = None if best is None else best.outcome
        self._checkpoint.write(outcome or Outcome(None, run.records, run.number))
        self._written = time.perf_counter()


def _leaves_factors(run: _Run, best: _BestEpoch | None) -> bool:
    """Return whether there are factors of a finished epoch after Ctrl-C; raise if they diverged."""
    if best is not None:
        return best.outcome is not None
    if run.is_between_epochs:
        run.check(0.0, factors=True)
    return run.is_between_epochs


def _last_epoch(run: _Run, metric: str | None, interrupt: KeyboardInterrupt | None) -> Outcome:
    """Return the outcome with the factors of the last epoch, also if Ctrl-C comes in between."""
    if metric is not None:
        run.records[-1].setdefault(metric, math.nan)  # of an epoch that Ctrl-C left without
    try:
        factors = run.training.release()
    except KeyboardInterrupt as error:
        if interrupt is not None:
            raise
        factors, interrupt = run.training.release(), error
    return Outcome(factors, run.records, run.number, interrupt)


class _Run:
    """Epochs that run one after the other; `turn` is called in a thread that Ctrl-C does not reach.

    Parameters
    ----------
    training : Trainable
    n_epochs, first_epoch : int
        Numbers of the last and of the first epoch.
    turn_seconds : float or None
        See `train`; None: each turn is one epoch.
    earlier : Outcome or None
        Its records begin the list of records.
    watch : EpochWatch or None
        Tells of an epoch whether the factors are looked at after it; None: of all.
    """

    def __init__(
        self,
        training: Trainable,
        n_epochs: int,
        first_epoch: int,
        turn_seconds: float | None,
        earlier: Outcome | None,
        watch: EpochWatch | None,
    ) -> None:
        self.training, self._n_epochs, self._turn_seconds = training, n_epochs, turn_seconds
        self._watch = watch
        self._limits = Limits(training.plan)
        self.largest = 0.0  # factor, when they were looked at last
        self.records: list[Record] = [] if earlier is None else earlier.history[:]
        self.number = first_epoch - 1  # of the epoch that was begun last
        self._n_begun = self._n_ended = 0
        self._stopped = False  # set by another thread

    @property
    def is_complete(self) -> bool:
        """Whether all epochs have been run."""
        return self.number == self._n_epochs

    @property
    def is_between_epochs(self) -> bool:
        """Whether the factors are those at the end of an epoch of this run."""
        return 0 < self._n_ended == self._n_begun

    def turn(self) -> None:
        """Run one epoch, or several short ones; raise if training diverges."""
        started, is_first = time.perf_counter(), self._n_begun == 0
        while True:
            self.number += 1
            self._n_begun += 1
            record = self.training.run_epoch(self.number)
            if self._limits.is_beyond(record["loss"]):
                break
            self.records.append(record)
            self._n_ended += 1
            if self._stopped or self.is_complete or self._is_over(started):
                break
        looks = self._watch is None or self._watch.looks_at(self.number)
        seen = self._turn_seconds is None and looks
        at_end = self.is_complete or seen
        self.check(record["loss"], factors=is_first or at_end)

    def _is_over(self, started: float) -> bool:
        seconds = self._turn_seconds
        return seconds is None or time.perf_counter() - started > seconds

    def check(self, loss: float, *, factors: bool) -> None:
        """Raise if training has diverged, by the loss and, if asked for, by the factors."""
        # Losses are computed before the steps: what the last steps did shows in the factors only.
        arrays: Iterable[NDArray[Any]] = ()
        if factors:
            training = self.training
            arrays = (
                training.factor_pieces() if isinstance(training, InPieces) else training.factors
            )
        largest = self._limits.check(self.number, loss, arrays)
        self.largest = largest if factors else self.largest

    def stop(self) -> None:
        """End the turn after the running epoch."""
        self._stopped = True

    def cancel(self) -> None:
        """Cancel the running epoch."""
        self.training.cancelled = True


class _BestEpoch:
    """Keeps a copy of the best epoch's factors and says when no better one has come for long.

    Parameters
    ----------
    metric : str
        Entry of the records; larger is better.
    patience : int
        Epochs after the best one.
    earlier : Outcome or None
        What was kept of epochs before.

    Attributes
    ----------
    outcome : Outcome or None
        None before the first epoch.
    """

    def __init__(self, metric: str, patience: int, earlier: Outcome | None) -> None:
        self._metric, self._patience = metric, patience
        self.outcome = earlier
        # Copies of this run's: of the best epoch, and of one that is not the best any more.
        self._copies: list[Any] = []

    def is_last(self, records: list[Record], factors: Any) -> bool:
        """Take the records so far and the factors; return whether to stop."""
        number, kept, quality = records[-1]["epoch"], self.outcome, records[-1].get(self._metric)
        if kept is None or (quality is not None and quality > self._quality(kept)):
            kept = Outcome(self._copied(factors), records[:], number)
        # In one assignment: Ctrl-C may come at any moment.
        self.outcome = kept._replace(history=records[:])
        return quality is not None and bool(number - kept.kept_epoch >= self._patience)

    def _copied(self, factors: Any) -> Any:
        if isinstance(factors, Factors) and not factors.user_factors.flags.writeable:
            return Factors(factors[0], *(each.copy() for each in factors[1:]))
        # New memory for each copy would take several times as long as the copying.
        if len(self._copies) < 2:
            copies = [each.copy() for each in factors]
            new = Factors(*copies) if isinstance(factors, Factors) else tuple(copies)
        else:
            new = self._copies.pop(0)
            for copied, each in zip(new, factors, strict=True):
                np.copyto(copied, each)
        self._copies.append(new)
        return new

    def _quality(self, kept: Outcome) -> float:
        """Return the metric of the kept epoch; minus infinity if it was not computed."""
        (record,) = (each for each in kept.history if each["epoch"] == kept.kept_epoch)
        return float(record.get(self._metric, -math.inf))
