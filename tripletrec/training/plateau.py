"""Tells a user whose loss does not go down, and why that may be."""

from __future__ import annotations

import sys
import warnings
from typing import Any

__all__ = ["Watchman"]

_LEAST_TRIPLETS = 1000  # fewer steps in an epoch prove nothing
_MOVED = 2e-3  # of the loss, from one epoch to the next
_EVER_MOVED = 0.05  # of the loss, since the first epoch
_RANKS_WELL = 0.75  # share of triplets in the right order: so good a model has learnt, and rests

_MESSAGE = (
    "the training loss has not moved for an epoch: {before:.5g}, then {now:.5g}. Likely causes: the "
    "scores cannot differ enough (a softmax or normalised output in front of a sigmoid or a margin of "
    "1), outputs are stuck at zero (a ReLU at the end), positives and negatives look alike to the "
    "model (the same features, negatives that are too hard, the loss compares the wrong pairs), or the "
    "learning_rate {rate:g} is too small or so large that all is saturated"
)


class Watchman:
    """Warns once if the loss stands where it started.

    A loss that has come down and then rests has converged, so only one that is still where it was in
    the first epoch is reported, and only if the model does not rank its triplets well either.

    Parameters
    ----------
    learning_rate : float
        For the message.
    """

    def __init__(self, learning_rate: float) -> None:
        self._rate = learning_rate
        self._losses: list[float] = []
        self._told = False

    def look(self, record: dict[str, Any]) -> None:
        """Take the record of the next epoch; warn (`UserWarning`) if it is time to."""
        if self.stands_still(record):
            before, now = self._losses[-2:]
            message = _MESSAGE.format(before=before, now=now, rate=self._rate)
            warnings.warn(message, UserWarning, stacklevel=_level_outside())

    def stands_still(self, record: dict[str, Any]) -> bool:
        """Take the record of the next epoch; tell, once, that the loss has not moved."""
        self._losses.append(float(record["loss"]))
        first, now = self._losses[0], self._losses[-1]
        if self._told or len(self._losses) < 2 or now == 0.0:
            return False
        if record.get("n_triplets", _LEAST_TRIPLETS) < _LEAST_TRIPLETS:
            return False
        if record.get("train_auc", 0.0) >= _RANKS_WELL:
            return False
        before = self._losses[-2]
        self._told = abs(now - before) <= _MOVED * abs(before) and (
            abs(now - first) <= _EVER_MOVED * abs(first)
        )
        return self._told


def _level_outside() -> int:
    """Return the `stacklevel` at which a warning of the caller names the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(
        "tripletrec."
    ):
        level, frame = level + 1, frame.f_back
    return level
