"""Tells a user whose loss does not go down, and why that may be."""

from __future__ import annotations

import warnings
from typing import Any

__all__ = ["Watchman"]

_LEAST_TRIPLETS = 1000  # fewer steps in an epoch prove nothing
_MOVED = 1e-3  # of the loss, from one epoch to the next
_EVER_MOVED = 1e-2  # of the loss, since the first epoch

_MESSAGE = (
    "the training loss has not moved for an epoch: {before:.5g}, then {now:.5g}. Likely causes: the "
    "scores cannot differ enough (a softmax or normalised output in front of a sigmoid or a margin of "
    "1), outputs are stuck at zero (a ReLU at the end), positives and negatives look alike to the "
    "model (the same features, negatives that are too hard, the loss compares the wrong pairs), or the "
    "learning_rate {rate:g} is too small or so large that all is saturated"
)


class Watchman:
    """Warns once if the loss stands where it started.

    A loss that has come down and then rests has converged, so only one that never moved is reported.

    Parameters
    ----------
    learning_rate : float
        For the message.
    """

    def __init__(self, learning_rate: float) -> None:
        self._rate = learning_rate
        self._losses: list[float] = []

    def look(self, record: dict[str, Any]) -> None:
        """Take the record of the next epoch; warn (`UserWarning`) if it is time to."""
        self._losses.append(float(record["loss"]))
        if len(self._losses) < 2 or record.get("n_triplets", _LEAST_TRIPLETS) < _LEAST_TRIPLETS:
            return
        first, before, now = self._losses[0], self._losses[-2], self._losses[-1]
        if len(self._losses) == 2 and now != 0.0:
            still = abs(now - before) <= _MOVED * abs(before)
            if still and abs(now - first) <= _EVER_MOVED * abs(first):
                message = _MESSAGE.format(before=before, now=now, rate=self._rate)
                warnings.warn(message, UserWarning, stacklevel=4)
