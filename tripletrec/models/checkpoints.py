"""Checkpoints of a fit: files that hold what it has learnt so far and what it is of.

A checkpoint is a safetensors file: the state of the training, with early stopping the arrays of the best
epoch, and as JSON the epoch, the history and a fingerprint of parameters, parts and data. No code comes
from it. It is written like a saved model, so that there is always the whole of one checkpoint or another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from tripletrec._checks import check_count, check_non_negative
from tripletrec._runtime.files import check_writable, mapped, reading, with_sentence, writing
from tripletrec._runtime.messages import shown, warn_user
from tripletrec._runtime.tensors import map_arrays, parse_json, read_arrays, write_arrays
from tripletrec.models.fingerprints import Fingerprint, difference
from tripletrec.models.packing import pack_notes
from tripletrec.training.loop import Outcome, Trainable
from tripletrec.training.plan import Factors, Plan

__all__ = ["CheckpointFile", "CheckpointPath", "check_checkpoint"]

CheckpointPath: TypeAlias = str | os.PathLike[str] | tuple[str | os.PathLike[str], float]
"""What `fit` takes: a path, or a path and the least number of seconds between two checkpoints."""

_FORMAT = 1
_KEY = "tripletrec.checkpoint"
_STATE, _BEST = "state.", "best."


class _Saved(NamedTuple):
    """What a file holds."""

    fingerprint: Any
    history: list[dict[str, Any]]
    kept_epoch: int
    arrays: dict[str, NDArray[Any]]


class CheckpointFile:
    """The checkpoint of one fit, for `tripletrec.training.loop.train`.

    Parameters
    ----------
    path : path-like
    seconds : float
        Least time between two checkpoints; 0: one after every epoch.
    """

    def __init__(self, path: str | os.PathLike[str], seconds: float) -> None:
        self.path, self.seconds = Path(path), seconds
        self._saved: _Saved | None = None
        self._training: Trainable | None = None
        self._fingerprint: Fingerprint = {}
        self._warned = False

    def read(self, plan: Plan, random_state: Any, *, into_memory: bool = True) -> Plan:
        """Read the file, if there is one; return the plan, with its seed if `random_state` gives new ones.

        Parameters
        ----------
        plan : Plan
        random_state : object
        into_memory : bool, default True
            False: arrays stay in the file, which may be larger than memory.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or damaged.
        """
        try:
            if into_memory:
                with reading(self.path) as (file, size), self._refusing("cannot be read"):
                    self._saved = _parse(*read_arrays(file, size))
            else:
                content = mapped(self.path)
                with self._refusing("cannot be read"):
                    self._saved = _parse(*map_arrays(content))
        except FileNotFoundError:
            return plan
        except OSError as error:
            raise with_sentence(error, f"cannot read the checkpoint {self}") from error
        if isinstance(random_state, Integral):
            return plan
        with self._refusing("cannot be read"):
            return replace(plan, seed=_seed_of(self._saved.fingerprint))

    def resume(self, training: Trainable, now: Fingerprint) -> Outcome | None:
        """Let a training that has not run go on where the file ends; return what is known of its epochs.

        Returns None if there was no file, so that the training begins with epoch 1.

        Raises
        ------
        ValueError
            If the file is of other data, of another plan or of another version, or damaged.
        """
        self._training, self._fingerprint = training, now
        saved, self._saved = self._saved, None
        if saved is None:
            return None
        with self._refusing("cannot be read"):
            differs = difference(saved.fingerprint, now)
        if differs is not None:
            raise ValueError(f"checkpoint {self} is of another fit: {differs}; {_ADVICE}")
        with self._refusing("cannot be read"):
            n_epochs = training.plan.n_epochs
            if not len(saved.history) < n_epochs:
                raise ValueError(f"it has {len(saved.history)} of {n_epochs} epochs")
            best = _named(saved.arrays, _BEST)
            factors = _like(training.factors, best) if best else None
            training.restore(_named(saved.arrays, _STATE))
        return Outcome(factors, saved.history, saved.kept_epoch)

    def write(self, outcome: Outcome) -> None:
        """Write what is learnt; `outcome` has the records and, where one is kept, the best epoch."""
        if self._training is None:
            raise ValueError("there is no training before resume")
        records, lost = pack_notes(outcome.history)
        if lost and not self._warned:
            self._warned = True
            warn_user(
                f"what callbacks noted in history_ as {', '.join(lost)} is not in the checkpoint: only "
                "numbers, strings, None, and lists and dicts of these are"
            )
        state = self._training.state()
        arrays = {f"{_STATE}{name}": each for name, each in state.items()}
        for n, each in enumerate(outcome.factors or ()):
            arrays[f"{_BEST}{n}"] = each
        description = {
            "format": _FORMAT,
            "history": records,
            "kept_epoch": outcome.kept_epoch,
            "of": self._fingerprint,
        }
        try:
            with writing(self.path) as file:
                write_arrays(file, arrays, {_KEY: json.dumps(description)})
        except OSError as error:
            raise with_sentence(error, f"cannot write the checkpoint {self}") from error

    def remove(self) -> None:
        """Remove the file, if there is one; of one that stays a warning tells."""
        try:
            Path(os.path.realpath(self.path)).unlink(missing_ok=True)
        except OSError as error:
            warn_user(f"the checkpoint {self} could not be removed after the fit: {error.strerror}")

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Remove the file if the block ends well or by divergence, at which it would arrive again."""
        try:
            yield
        except FloatingPointError:
            self.remove()
            raise
        self.remove()

    def __str__(self) -> str:
        return repr(str(self.path))

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        """Turn whatever is said of the content of the file into one sentence."""
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            reason = error if isinstance(error, ValueError) else repr(error)
            raise ValueError(f"checkpoint {self} {what}: {reason}; {_ADVICE}") from None


_ADVICE = "delete the file to begin afresh, or give another path"


def check_checkpoint(checkpoint: Any) -> CheckpointFile:
    """Return the file of `checkpoint`, a path or a pair of a path and seconds.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or no file can be written there.
    """
    path, seconds = checkpoint, 0.0
    if isinstance(checkpoint, (tuple, list)):
        if len(checkpoint) != 2:
            raise ValueError(
                f"checkpoint must be a path, or a path and seconds, got {shown(checkpoint)}"
            )
        path = checkpoint[0]
        seconds = check_non_negative(checkpoint[1], "seconds of checkpoint")
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"checkpoint must be a path, or a path and seconds, got {shown(checkpoint)}"
        )
    check_writable(path, "checkpoint")
    return CheckpointFile(path, seconds)


def _parse(arrays: dict[str, NDArray[Any]], texts: dict[str, str]) -> _Saved:
    """Return what the arrays and texts of a file are; raise ValueError if they are no checkpoint."""
    if _KEY not in texts:
        raise ValueError("it is no checkpoint of tripletrec")
    description = parse_json(texts[_KEY])
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise ValueError("it is of another version")
    history = _checked_records(description.get("history"))
    kept_epoch = check_count(description.get("kept_epoch"), "kept_epoch", most=len(history))
    return _Saved(description.get("of"), history, kept_epoch, arrays)


def _checked_records(history: Any) -> list[dict[str, Any]]:
    """Return the records of epochs; raise ValueError unless they are those of epochs from 1 on."""
    if not isinstance(history, list) or not history:
        raise ValueError("it has no records of epochs")
    for number, record in enumerate(history, 1):
        found = isinstance(record, dict) and record.get("epoch") == number
        if not found or type(record.get("loss")) is not float:
            raise ValueError(f"its record of epoch {number} is {shown(record)}")
    return history


def _seed_of(found: Any) -> int:
    seed = found["fit"]["seed"]
    if type(seed) is not int or not 0 <= seed < 2**64:
        raise ValueError(f"its seed is {shown(seed)}")
    return seed


def _named(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)
    }


def _like(factors: Any, found: dict[str, NDArray[Any]]) -> Any:
    """Return the arrays of the best epoch as the training gives its own; raise if they are not like these."""
    arrays = [found.get(str(n)) for n in range(len(found))]
    alike = len(arrays) == len(factors) and all(
        each is not None and (each.shape, each.dtype) == (mine.shape, mine.dtype)
        for each, mine in zip(arrays, factors, strict=True)
    )
    if not alike:
        raise ValueError("its arrays of the best epoch are of another size")
    make: Callable[..., Any] = Factors if isinstance(factors, Factors) else lambda *each: each
    return make(*arrays)
