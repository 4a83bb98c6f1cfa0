"""The loop over epochs: records, callbacks, early stopping, Ctrl-C."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from tripletrec._runtime.threads import UninterruptedThread
from tripletrec.training.plan import Factors, Record
from tripletrec.training.plateau import Watchman

__all__ = ["Outcome", "Trainable", "train"]

_MOMENT = 0.1  # seconds after which the loop looks up from short epochs


class Trainable(Protocol):
    """What `train` needs of a state of training; `tripletrec.training.triplet.TripletTraining` is one."""

    cancelled: bool
    """Set by another thread while an epoch runs: nobody wants its end any more."""

    @property
    def plan(self) -> Any:
        """At least ``learning_rate``, for the advice after divergence."""

    @property
    def factors(self) -> Any:
        """The arrays that are learnt, as they stand."""

    def threads(self) -> AbstractContextManager[None]:
        """Keep threads alive for a run of epochs."""

    def run_epoch(self, number: int) -> Record:
        """Run epoch `number`, from 1; the record has at least "loss"."""

    def release(self) -> Any:
        """Return the arrays that are learnt as arrays of their own, and drop all else.

        The training ends with it. If it is interrupted, it may be called again.
        """


class Outcome(NamedTuple):
    """What a run of epochs leaves: the factors kept, the records, and how it ended."""

    factors: Factors
    history: list[Record]
    kept_epoch: int
    interrupt: KeyboardInterrupt | None


class _Course:
    """How far a training has come; `run` is called in an `UninterruptedThread`."""

    def __init__(self, training: Trainable, watched: bool) -> None:
        self.training, self.watched = training, watched
        self.n_begun = 0
        self.stopped = False  # to be set from another thread
        self.records: list[Record] = []  # of the whole epochs

    @property
    def whole(self) -> bool:
        """Whether the factors are those at the end of an epoch."""
        return 0 < self.n_begun == len(self.records)

    def run(self, n_epochs: int) -> None:
        """Run epochs until there are `n_epochs`, or it has taken a moment, or someone said stop."""
        started = time.perf_counter()
        while True:
            self.n_begun += 1
            record = self.training.run_epoch(self.n_begun)
            if not math.isfinite(record["loss"]):
                break
            self.records.append(record)
            late = time.perf_counter() - started > _MOMENT
            if late or self.stopped or self.n_begun == n_epochs:
                break
        self.check(record["loss"], self.watched or self.n_begun == n_epochs)

    def check(self, loss: float, factors: bool) -> None:
        """Raise unless the loss is finite, and the factors, whose sums take 3 % of the time of an epoch."""
        # Losses are of before the steps: after the last ones only the factors tell.
        values = [loss]
        with np.errstate(over="ignore", invalid="ignore"):
            values += [float(np.sum(each)) for each in self.training.factors if factors]
        if not all(map(math.isfinite, values)):
            raise FloatingPointError(
                f"training diverged in epoch {self.n_begun}: the loss or a factor is not finite; try a "
                f"learning_rate below {self.training.plan.learning_rate:g}, or more L2"
            )

    def stop(self) -> None:
        self.stopped = True

    def cancel(self) -> None:
        self.training.cancelled = True


def train(
    training: Trainable,
    n_epochs: int,
    *,
    watch: Callable[[Record, Factors], bool] | None,
    metric: str | None,
    patience: int | None,
    verbose: int,
) -> Outcome:
    """Run epochs until they are done, the callbacks or the metric say stop, or Ctrl-C.

    After Ctrl-C the epoch under way is finished, so that no copy of the factors needs to be at hand;
    after a second one it is given up.

    Parameters
    ----------
    training : Trainable
        Not to be used again.
    n_epochs : int
        At most so many.
    watch : callable or None
        ``watch(record, factors) -> bool`` after each epoch; may add to the record; True stops. With None
        short epochs run one after the other, some at a time.
    metric : str or None
        Entry of the records by which the best epoch is told (larger is better).
    patience : int or None
        Stop after so many epochs without a better `metric`, and keep a copy of the best epoch's
        factors; None: keep the last epoch's.
    verbose : int
        0: silent, otherwise a progress bar on standard error.

    Returns
    -------
    Outcome

    Raises
    ------
    FloatingPointError
        If the loss or a factor is not finite.
    KeyboardInterrupt
        If it comes before the end of the first epoch, or twice; others are returned.
    """
    if n_epochs < 1:
        raise ValueError(f"n_epochs must be at least 1, got {n_epochs}")
    unwatched = watch is None and not verbose
    course, interrupt = _Course(training, not unwatched), None
    best: tuple[Any, list[Record], int] | None = None
    watchman = Watchman(training.plan.learning_rate)
    bar = _bar(n_epochs) if verbose else None
    try:
        thread = UninterruptedThread(course.stop, course.cancel)
        with bar or nullcontext(), training.threads(), thread:
            stop = False
            while not stop and len(course.records) < n_epochs:
                n_seen = len(course.records)
                thread.run(partial(course.run, n_epochs if unwatched else n_seen + 1))
                for record in course.records[n_seen:]:
                    watchman.look(record)
                stop = watch is not None and watch(record, training.factors)
                if patience is not None:
                    best = _better(best, course.records[:], metric, training)
                    stop = stop or len(course.records) - best[2] >= patience
                if bar:
                    names = [name for name in ("loss", metric) if name]
                    bar.set_postfix({name: f"{record[name]:.4f}" for name in names})
                    bar.update()
    except KeyboardInterrupt as error:
        if best is None and (patience is not None or not course.whole):
            raise
        if best is None:
            course.check(0.0, factors=True)
        interrupt = error
    if best is not None:
        return Outcome(*best, interrupt)
    if metric is not None:  # of an epoch that Ctrl-C left unwatched
        course.records[-1].setdefault(metric, math.nan)
    try:
        factors = training.release()
    except KeyboardInterrupt as error:
        if interrupt is not None:
            raise
        factors, interrupt = training.release(), error
    return Outcome(factors, course.records, len(course.records), interrupt)


def _better(
    best: tuple[Any, list[Record], int] | None,
    records: list[Record],
    metric: Any,
    training: Trainable,
) -> tuple[Any, list[Record], int]:
    """Return a copy of the factors, the records and the epoch, if it is the best one so far."""
    quality = records[-1][metric]
    if best is None or quality > records[best[2] - 1][metric]:
        copies = [each.copy() for each in training.factors]
        factors = Factors(*copies) if isinstance(training.factors, Factors) else tuple(copies)
        return factors, records, len(records)
    return best[0], records, best[2]


def _bar(n_epochs: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=n_epochs, desc="training", unit="epoch")
