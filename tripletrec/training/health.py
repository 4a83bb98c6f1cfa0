"""Whether a training is in order: divergence raises, a loss that did not move warns.

Training has *diverged* if the mean loss of an epoch or a factor is not finite; if that loss is beyond both
`FARTHEST` and the loss of a triplet whose scores are so far apart in the wrong order; or if a factor is
beyond `LARGEST`. The last is what tells with a bounded loss, whose slopes vanish.

At the end of a training a warning says if little has been learnt:

- the loss is more than `MUCH_WORSE` times that of equal scores, or factors are large and few triplets are in
  order, see `LARGE` (list-wise losses count no triplets: factors beyond the first size): the learning rate
  is too large;
- or the loss has not moved, neither in the last epoch nor much since the first, and triplets are not in
  better order either. At the start scores are nearly equal and slopes small, so that a training may need many
  epochs to get going: that is why this is said at the end only.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import said_by, warn_user
from tripletrec.losses import Loss
from tripletrec.training.plan import Plan

__all__ = ["FARTHEST", "LARGEST", "Limits", "is_stuck", "largest_of", "warn_at_the_end"]

FARTHEST = 1e5  # difference of scores
LARGEST = 1e6  # of a factor that makes sense
LARGE = ((1e3, 0.65), (50.0, 0.55))  # a factor beyond it, and a smaller share of triplets in order
MUCH_WORSE = 100.0

_LEAST_TRIPLETS = 1000  # an epoch of fewer, or of fewer positives, proves nothing
_LEAST_MOVE = 2e-3  # from one epoch to the next, as a share of the loss
_LEAST_LATER_MOVE = 0.01  # since the second epoch
_LEAST_TOTAL_MOVE = 0.05  # since the first epoch, as a share of its loss
# The same with a list-wise loss: of many items, it is near that of equal scores also where much is learnt.
_LEAST_TOTAL_MOVE_OF_LISTS = 0.002
_LEAST_RISE = 0.05  # of the share of triplets in the right order
_GOOD_AUC = 0.75  # share of triplets in the right order from which on a model has learnt
_TRIED = (0.0, *(sign * x for x in (1e-3, 1e-2, 0.1, 0.5, 1, 2, 5, 10, 20, 50) for sign in (-1, 1)))

_NOT_FINITE = "the loss or a factor is not finite"
_STUCK = (
    "the training loss has not moved for an epoch: {before:.5g}, then {now:.5g} at the end. Likely "
    "causes: the scores cannot differ enough (a softmax or normalised output in front of a sigmoid or a "
    "margin of 1), outputs are stuck at zero (a ReLU at the end), positives and negatives look alike to "
    "the model (the same features, negatives that are too hard, the loss compares the wrong pairs), or "
    "the learning_rate {rate:g} is too small or so large that all is saturated"
)


class Limits:
    """Beyond what a training has diverged.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # fmax: of a loss that Python cannot compute only the first number counts
        self._highest = float(np.fmax(FARTHEST, abs(plan.loss.at(-FARTHEST))))

    def is_beyond(self, loss: float) -> bool:
        """Return whether the mean loss of an epoch is not finite, or too large."""
        return not abs(loss) <= min(self._highest, sys.float_info.max)

    def check(self, epoch: int, loss: float, arrays: Iterable[NDArray[Any]]) -> float:
        """Return the largest absolute value of a factor; raise FloatingPointError if training diverged."""
        largest = largest_of(arrays)
        if math.isfinite(loss) and math.isfinite(largest):
            if not self.is_beyond(loss) and largest <= LARGEST:
                return largest
            what = "the loss" if self.is_beyond(loss) else "a factor"
            what += f" has grown to {loss if self.is_beyond(loss) else largest:.3g}"
        else:
            what = self._reason() or _NOT_FINITE
        advice = f"try a learning_rate below {self._plan.learning_rate:g}, or more L2"
        if what.startswith("loss "):
            advice = "it must be finite for finite numbers"
        raise FloatingPointError(f"training diverged in epoch {epoch}: {what}; {advice}")

    def _reason(self) -> str | None:
        """Return what a loss of triplets does wrong by itself, if it does."""
        loss = self._plan.loss
        if not isinstance(loss, Loss):
            return None
        for field in loss.fields():
            for x in _TRIED:
                with np.errstate(all="ignore"):
                    try:
                        value = _result(field.function, np.float32(x), loss.parameters)
                    except Exception as error:  # of a part that only Numba can run, maybe
                        return f"{_NOT_FINITE}, and loss {loss.name!r} raises {said_by(error)} in Python"
                if math.isnan(value) or (math.isinf(value) and abs(x) <= 1):
                    return f"loss {loss.name!r} returned {value} at x = {x:g} ({field.name})"
        return None


def _result(function: Any, x: np.float32, parameters: tuple[float, ...]) -> float:
    try:
        return float(function(x, tuple(map(np.float32, parameters))))
    # What raises in Python is a number when compiled:
    except (ValueError, ZeroDivisionError):  # as math.log of a negative one
        return math.nan
    except OverflowError:  # as math.exp of a large one
        return math.inf


def largest_of(arrays: Iterable[NDArray[Any]]) -> float:
    """Return the largest absolute value in some arrays, NaN if there is one; 0 of nothing."""
    ends = [end for each in arrays if each.size for end in (each.max(), -each.min())]
    return float(np.max(ends)) if ends else 0.0


def is_stuck(records: Sequence[dict[str, Any]]) -> bool:
    """Return whether the loss of the last epoch is where that of the first was, and nothing was learnt.

    A loss that has come down and then stays has converged.

    Examples
    --------
    >>> [is_stuck([{"loss": loss} for loss in losses]) for losses in ([0.5, 0.4999], [0.5, 0.4, 0.4])]
    [True, False]
    """
    n_learnt_from = records[-1].get("n_triplets", records[-1].get("n_positives", _LEAST_TRIPLETS))
    if len(records) < 2 or n_learnt_from < _LEAST_TRIPLETS:
        return False
    is_listwise = "n_positives" in records[-1]
    total = _LEAST_TOTAL_MOVE_OF_LISTS if is_listwise else _LEAST_TOTAL_MOVE
    first, second, before, now = (float(records[n]["loss"]) for n in (0, 1, -2, -1))
    order, at_first = (each.get("train_auc", 0.0) for each in (records[-1], records[0]))
    if now == 0.0 or order >= _GOOD_AUC or order - at_first >= _LEAST_RISE:
        return False
    return (
        abs(now - before) <= _LEAST_MOVE * abs(before)
        and abs(now - second) <= _LEAST_LATER_MOVE * abs(second)
        and abs(now - first) <= total * abs(first)
    )


def warn_at_the_end(plan: Plan, records: Sequence[dict[str, Any]], largest: float) -> None:
    """Warn (`UserWarning`) if little has been learnt.

    Parameters
    ----------
    plan : Plan
    records : sequence of dict
        Of the epochs up to the one that is kept.
    largest : float
        The largest factor, as an absolute value.
    """
    now, order = float(records[-1]["loss"]), records[-1].get("train_auc")
    equal = plan.loss.at(0.0)
    advice = f"try a learning_rate below {plan.learning_rate:g}, or more L2"
    if abs(now) > MUCH_WORSE * np.fmax(1.0, abs(equal)):
        warn_user(
            f"the training loss ended at {now:.3g}, that of equal scores is {equal:.3g}: {advice}"
        )
    elif largest > LARGE[0][0] if order is None else _is_too_large(largest, order):
        but = ""
        if order is not None:
            but = f", but only {order:.0%} of the training triplets are in the right order"
        warn_user(f"factors have grown to {largest:.3g}{but}: {advice}")
    elif is_stuck(records):
        before = float(records[-2]["loss"])
        warn_user(_STUCK.format(before=before, now=now, rate=plan.learning_rate))


def _is_too_large(largest: float, order: float) -> bool:
    return any(largest > size and order < share for size, share in LARGE)
