r"""Triplet losses: a value and a slope for a difference of scores; no triplet is drawn here.

For a triplet (u, i, j) of user, positive and negative item let
``x = s(u, i) - s(u, j)``. A loss is a function of ``x`` alone; training needs its value and its
derivative, the slope. With the logistic function σ(x) = 1 / (1 + exp(-x)):

========= ==================== ========================== =====================================
name      value L(x)           slope dL/dx                source
========= ==================== ========================== =====================================
bpr       -log σ(x)            -σ(-x)                     Rendle et al., UAI 2009, section 4.1
sigmoid   1 - σ(x)             -σ(x) σ(-x)                "BPR" in the Keras triplet notebooks
hinge     max(0, m - x)        -1 if x < m, else 0        Weston et al., IJCAI 2011, section 2
========= ==================== ========================== =====================================

Derivations. d(-log σ)/dx = -σ'(x)/σ(x) = -σ(-x) because σ' = σ(x) σ(-x); the second line is
-σ' itself; the third is piecewise linear, its slope at the corner x = m is taken as 0.

A new loss is two part functions of ``(x, parameters)`` and one `Loss`::

    from tripletrec.losses import Loss, part

    @part
    def _value(x, parameters):
        return max(0.0, 1.0 - x) ** 2

    @part
    def _slope(x, parameters):
        return -2.0 * max(0.0, 1.0 - x)

    model = MatrixFactorization(loss=Loss("squared_hinge", _value, _slope))

Both are called with `x` as a float32 and return a finite number for every finite `x`.

List-wise losses are in `tripletrec.losses.listwise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from tripletrec._checks import check_positive
from tripletrec._runtime.float32_math import exp_of_negative, log_of_one_plus
from tripletrec._runtime.jit import part
from tripletrec._runtime.part_checks import Field, check_fields, check_name, check_numbers, once
from tripletrec._runtime.part_texts import text_of

__all__ = ["BPR", "LOSSES", "SIGMOID", "Loss", "check_parts", "hinge"]


class Loss(NamedTuple):
    """A triplet loss.

    Parameters
    ----------
    name : str
        What messages and saved models call it.
    value, slope : callable
        Part functions ``(x, parameters) -> float``: the loss of the score difference `x`, a float32,
        and its derivative.
    parameters : tuple of float, default ()
        Handed to both functions, as float32.

    Examples
    --------
    >>> from tripletrec.losses import BPR
    >>> import numpy as np
    >>> round(float(BPR.value(np.float32(0.0), ())), 4), float(BPR.slope(np.float32(0.0), ()))
    (0.6931, -0.5)
    """

    name: str
    value: Callable[..., Any]
    slope: Callable[..., Any]
    parameters: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return text_of(self, "losses", LOSSES, _ARGUMENTS)

    def fields(self) -> list[Field]:
        """Return the parts and how they are called."""
        parameters = tuple(map(np.float32, self.parameters))
        tries = tuple((np.float32(x), parameters) for x in (-0.5, 0.5))
        return [
            Field(f"loss {self.name!r}", name, function, ("x", "parameters"), "a number", 1, tries)
            for name, function in (("value", self.value), ("slope", self.slope))
        ]

    def at(self, difference: float) -> float:
        """Return the loss of a triplet; NaN if Python cannot tell."""
        with np.errstate(all="ignore"), suppress(Exception):
            parameters = tuple(map(np.float32, self.parameters))
            return float(self.value(np.float32(difference), parameters))
        return math.nan


# The comparisons keep a NaN: max(0, nan) may be 0. Constants are float32, see `_runtime.float32_math`.
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@part
def _bpr_value(x, parameters):
    tail = log_of_one_plus(exp_of_negative(abs(x)))  # -log σ(|x|)
    return tail if x > _ZERO else tail - x


@part
def _bpr_slope(x, parameters):
    e = exp_of_negative(abs(x))
    return -(e if x > _ZERO else _ONE) / (_ONE + e)


@part
def _sigmoid_value(x, parameters):
    e = exp_of_negative(abs(x))
    return (e if x > _ZERO else _ONE) / (_ONE + e)


@part
def _sigmoid_slope(x, parameters):
    e = exp_of_negative(abs(x))
    return -e / ((_ONE + e) * (_ONE + e))


@part
def _hinge_value(x, parameters):
    return _ZERO if x >= parameters[0] else parameters[0] - x


@part
def _hinge_slope(x, parameters):
    return _ZERO if x >= parameters[0] else -_ONE


BPR = Loss("bpr", _bpr_value, _bpr_slope)
SIGMOID = Loss("sigmoid", _sigmoid_value, _sigmoid_slope)


def hinge(margin: float = 1.0) -> Loss:
    """Return the margin triplet loss ``max(0, margin - x)``.

    Parameters
    ----------
    margin : float, default 1.0
        By how much a positive must outscore a negative to cost nothing, in units of the score; > 0.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If `margin` is not a positive finite number.

    Examples
    --------
    >>> from tripletrec.losses import hinge
    >>> hinge(margin=0.5).parameters
    (0.5,)
    """
    return Loss("hinge", _hinge_value, _hinge_slope, (check_positive(margin, "margin"),))


@once
def check_parts(loss: Loss) -> None:
    """Raise unless the fields of a loss are what training can use; see `part_checks`."""
    check_numbers(loss.parameters, check_name(loss.name, "loss"), "parameters")
    check_fields(loss.fields())


LOSSES: dict[str, Callable[[], Loss]] = {
    "bpr": lambda: BPR,
    "sigmoid": lambda: SIGMOID,
    "hinge": hinge,
}


_ARGUMENTS: dict[str, Callable[[Loss], dict[str, Any]]] = {
    "hinge": lambda loss: {"margin": loss.parameters[0]},
}
