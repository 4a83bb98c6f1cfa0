r"""Learning-rate schedules: the factor of the learning rate as training proceeds.

With t the share of the training that is done, from 0 to 1, and w the share that is warm-up:

========= =============================================== ======================================
name      factor after the warm-up                        source
========= =============================================== ======================================
constant  1
linear    :math:`1 - s`
cosine    :math:`\tfrac12 (1 + \cos \pi s)`               Loshchilov, Hutter, ICLR 2017, eq. 5
========= =============================================== ======================================

where :math:`s = (t - w) / (1 - w)`; during the warm-up the factor is :math:`t / w`. The share that is done
is relative to `n_epochs`, even if early stopping ends training sooner.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

from tripletrec._checks import check_share, choose
from tripletrec._runtime.messages import said_by, shown
from tripletrec._runtime.part_checks import check_name, is_finite
from tripletrec._runtime.part_texts import text_of

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "linear"]


class Schedule(NamedTuple):
    """A learning-rate schedule.

    Parameters
    ----------
    name : str
        What messages and saved models call it.
    shape : callable
        ``s -> factor``, for s from 0 (the end of the warm-up) to 1 (the end of training).
    warmup : float, default 0
        Share of the training during which the rate rises from 0.
    """

    name: str
    shape: Callable[[float], float]
    warmup: float = 0.0

    def __repr__(self) -> str:
        arguments = dict.fromkeys(SCHEDULES, _warmup_of)
        return text_of(self, "rates", SCHEDULES, arguments)

    def factor(self, done: float) -> float:
        """Return by what the learning rate is multiplied at some point of the training.

        Parameters
        ----------
        done : float
            Share of the training that is done, from 0; more than 1 counts as 1.

        Raises
        ------
        TypeError, ValueError
            If the shape raises, or returns something else than a finite number >= 0.
        """
        done = min(1.0, done)
        if done < self.warmup:
            return done / self.warmup
        return _shape_at(self, (done - self.warmup) / (1.0 - self.warmup))


def _warmup_of(schedule: Schedule) -> dict[str, float]:
    return {"warmup": schedule.warmup}


def _flat(s: float) -> float:
    return 1.0


def _falling(s: float) -> float:
    return 1.0 - s


def _half_wave(s: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * s))


def _warm(warmup: float) -> float:
    return check_share(warmup, "warmup", closed="left")


def constant(warmup: float = 0.0) -> Schedule:
    """Return the schedule that keeps the learning rate constant.

    Parameters
    ----------
    warmup : float, default 0.0
        Share of the training, 0 <= warmup < 1, during which the rate rises from 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If `warmup` is out of its range.

    Examples
    --------
    >>> from tripletrec.rates import constant
    >>> constant(warmup=0.5).factor(0.25)
    0.5
    """
    return Schedule("constant", _flat, _warm(warmup))


def linear(warmup: float = 0.0) -> Schedule:
    """Return the schedule that falls linearly to 0.

    Parameters
    ----------
    warmup : float, default 0.0
        Share of the training, 0 <= warmup < 1, during which the rate rises from 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If `warmup` is out of its range.

    Examples
    --------
    >>> from tripletrec.rates import linear
    >>> linear().factor(0.75)
    0.25
    """
    return Schedule("linear", _falling, _warm(warmup))


def cosine(warmup: float = 0.0) -> Schedule:
    """Return the schedule that falls to 0 along half a period of a cosine.

    Parameters
    ----------
    warmup : float, default 0.0
        Share of the training, 0 <= warmup < 1, during which the rate rises from 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If `warmup` is out of its range.

    References
    ----------
    .. [1] Loshchilov, Hutter. "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> from tripletrec.rates import cosine
    >>> round(cosine().factor(0.5), 6)
    0.5
    """
    return Schedule("cosine", _half_wave, _warm(warmup))


SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
}


def check_schedule(schedule: str | Schedule) -> Schedule:
    """Return the `Schedule` that a user names or hands in; raise on an unknown name or a wrong shape."""
    chosen = choose(schedule, SCHEDULES, Schedule, "schedule")
    _warm(chosen.warmup)
    if not callable(chosen.shape):
        raise TypeError(f"{_rule(chosen)}, got {shown(chosen.shape)}")
    for s in (0.0, 0.5, 1.0):
        _shape_at(chosen, s)
    return chosen


def _shape_at(schedule: Schedule, s: float) -> float:
    """Return the factor after the share `s` of what follows the warm-up, checked."""
    try:
        factor = schedule.shape(s)
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{_rule(schedule)}; it raised {said_by(error)}") from error
    if isinstance(factor, Real) and is_finite(factor) and factor >= 0.0:
        return float(factor)
    kind = ValueError if isinstance(factor, Real) else TypeError
    raise kind(f"{_rule(schedule)}, got {shown(factor)} at s = {s:g}")


def _rule(schedule: Schedule) -> str:
    owner = check_name(schedule.name, "schedule")
    return f"{owner}: shape must be a function of (s) that returns a finite number >= 0"
