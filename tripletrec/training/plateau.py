"""The warning of a training loss that does not move; whether training stops is not decided here."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

__all__ = ["PlateauMonitor"]

_LEAST_TRIPLETS = 1000  # an epoch of fewer steps proves nothing
_LEAST_MOVE = 2e-3  # from one epoch to the next, as a share of the loss
_LEAST_TOTAL_MOVE = 0.05  # since the first epoch, as a share of its loss
_GOOD_AUC = 0.75  # share of training triplets in the right order from which on a model has learnt

_MESSAGE = (
    "the training loss has not moved for an epoch: {before:.5g}, then {now:.5g}. Likely causes: the "
    "scores cannot differ enough (a softmax or normalised output in front of a sigmoid or a margin of "
    "1), outputs are stuck at zero (a ReLU at the end), positives and negatives look alike to the "
    "model (the same features, negatives that are too hard, the loss compares the wrong pairs), or the "
    "learning_rate {rate:g} is too small or so large that all is saturated"
)


class PlateauMonitor:
    """Warns once if the loss is stuck where it started.

    A loss that has come down and then stays has converged. So only a loss that is still near that of
    the first epoch is reported, and only if the model does not rank its triplets well either.

    Parameters
    ----------
    learning_rate : float
        For the message.
    earlier : sequence of dict, default ()
        Records of the epochs that have been run before; they cause no warning.

    Examples
    --------
    >>> monitor = PlateauMonitor(learning_rate=0.1)
    >>> [monitor.is_stuck({"loss": loss}) for loss in (0.5, 0.4999, 0.4998)]
    [False, True, False]
    """

    def __init__(self, learning_rate: float, earlier: Sequence[dict[str, Any]] = ()) -> None:
        self._rate = learning_rate
        self._losses: list[float] = []
        self._has_warned = False
        for record in earlier:
            self.is_stuck(record)

    def warn_if_stuck(self, record: dict[str, Any]) -> None:
        """Take the record of the next epoch; warn (`UserWarning`), once, if the loss has not moved."""
        if self.is_stuck(record):
            before, now = self._losses[-2:]
            message = _MESSAGE.format(before=before, now=now, rate=self._rate)
            warnings.warn(message, UserWarning, stacklevel=_level_outside())

    def is_stuck(self, record: dict[str, Any]) -> bool:
        """Take the record of the next epoch; return True, once, if the loss has not moved."""
        self._losses.append(float(record["loss"]))
        first, now = self._losses[0], self._losses[-1]
        if self._has_warned or len(self._losses) < 2 or now == 0.0:
            return False
        if record.get("n_triplets", _LEAST_TRIPLETS) < _LEAST_TRIPLETS:
            return False
        if record.get("train_auc", 0.0) >= _GOOD_AUC:
            return False
        before = self._losses[-2]
        self._has_warned = abs(now - before) <= _LEAST_MOVE * abs(before) and (
            abs(now - first) <= _LEAST_TOTAL_MOVE * abs(first)
        )
        return self._has_warned


def _level_outside() -> int:
    """Return the `stacklevel` at which a warning of the caller names the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(
        "tripletrec."
    ):
        level, frame = level + 1, frame.f_back
    return level
