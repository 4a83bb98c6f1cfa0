r"""Optimizers: the in-place update of single rows of factors; whole layers of a network are not updated here.

A table of rows is a float32 array of shape (n_rows, 1 + n_state, width): the weights of a row, then the
optimizer's state of each of them, so that everything that one update touches is adjacent in memory. For the
gradient g of one weight w, which includes λ w of its L2 penalty, and step size η:

========= ================================================================== ====================
name      update                                                             source
========= ================================================================== ====================
sgd       w -= η g                                                           Robbins, Monro 1951
adagrad   h += g²;  w -= η g / √h;  h starts at `initial`                    Duchi et al. 2011
adam      m = β₁ m + (1-β₁) g;  v = β₂ v + (1-β₂) g²;                        Kingma, Ba 2015,
          w -= η √(1-β₂ᵗ) / (1-β₁ᵗ) · m / (√v + ε)                           end of section 2
========= ================================================================== ====================

Adam is *lazy* here: only the rows of a triplet or batch are updated, and t is the number of updates of that
row. The moments of all other rows stay as they are, unlike those of the dense Adam of old Keras
(`tripletrec.reference.keras.optimizers` has that one, for the reference systems).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tripletrec._checks import check_positive, check_share, choose
from tripletrec._runtime.jit import part
from tripletrec._runtime.part_checks import PartField, check_fields, check_name, check_numbers, once
from tripletrec._runtime.part_texts import text_of

__all__ = ["OPTIMIZERS", "SGD", "Optimizer", "adagrad", "adam"]


class Optimizer(NamedTuple):
    """An optimizer of single rows.

    Parameters
    ----------
    name : str
        What messages and saved models call it.
    step : callable
        Part function ``(step_counts, row, rate, parameters) -> rate``, called once per update of a row. It
        may advance ``step_counts[row]`` and returns the step size that `update` is called with.
    update : callable
        Part function ``(table, at, width, gradient, l2, rate, parameters)``, called for each weight. `table`
        is flat: the weight is ``table[at]``, its state ``table[at + width]``, ``table[at + 2 * width]``, …
        `gradient` is that of the loss alone; the function adds ``l2 * table[at]``.
    state : tuple of float, default ()
        Start values of the numbers that are kept for each weight, such as moments.
    step_counts : tuple of float, default ()
        Start values of the numbers that are kept for each row, such as the count of its updates.
    parameters : tuple of float, default ()
        Handed to both functions, as float32.
    """

    name: str
    step: Callable[..., Any]
    update: Callable[..., Any]
    state: tuple[float, ...] = ()
    step_counts: tuple[float, ...] = ()
    parameters: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return text_of(self, "optimizers", OPTIMIZERS, _ARGUMENTS)

    def functions(self) -> Optimizer:
        """Return what kernels are compiled for: the functions, and how many numbers there are.

        The name is empty and numbers are 0, so that optimizers that differ in these alone share kernels.
        """
        state, step_counts = ((0.0,) * len(each) for each in (self.state, self.step_counts))
        return Optimizer("", self.step, self.update, state, step_counts)

    def fields(self) -> list[PartField]:
        """Return the parts and how they are called: with one row of two weights, nothing beyond it."""
        numbers = tuple(map(np.float32, self.parameters))
        rate, gradient, l2 = np.float32(0.1), np.float32(0.5), np.float32(0.01)
        counts = np.array([self.step_counts], np.float32)
        table = np.repeat(np.array([1.0, *self.state], np.float32), 2)
        owner = f"optimizer {self.name!r}"
        return [
            PartField(
                owner, "step", self.step, ("step_counts", "row", "rate", "parameters"),
                "a number", 1, ((counts, 0, rate, numbers),),
            ),
            PartField(
                owner, "update", self.update,
                ("table", "at", "width", "gradient", "l2", "rate", "parameters"),
                "nothing", 0, ((table, 1, 2, gradient, l2, rate, numbers),),
            ),
        ]  # fmt: skip


_ONE = np.float32(1.0)  # a literal would make the loops float64
_ZERO, _LEAST = np.float32(0.0), np.float32(1e-30)


@part
def _same_rate(step_counts, row, rate, parameters):
    return rate


@part
def _sgd_update(table, at, width, gradient, l2, rate, parameters):
    # Written in this form, and not as "-= rate * (gradient + l2 * weight)", it takes two operations.
    table[at] = (_ONE - rate * l2) * table[at] - rate * gradient


@part
def _adagrad_update(table, at, width, gradient, l2, rate, parameters):
    gradient += l2 * table[at]
    squares = table[at + width] + gradient * gradient
    table[at + width] = squares
    # Not "/ np.sqrt": processors have an instruction for one over a root.
    table[at] -= rate * gradient * (_ONE / np.sqrt(squares))


@part
def _adam_step(step_counts, row, rate, parameters):
    # The counts are what the two moments would be if all gradients were 1: (1 - βᵗ) / (1 - β). Computed from
    # a power βᵗ they would lose digits in "1 - βᵗ", and βᵗ would become subnormal, which is slow.
    step_counts[row, 0] = parameters[0] * step_counts[row, 0] + _ONE
    step_counts[row, 1] = parameters[1] * step_counts[row, 1] + _ONE
    return rate * np.sqrt(step_counts[row, 1]) / step_counts[row, 0]


@part
def _adam_update(table, at, width, gradient, l2, rate, parameters):
    # The state is m / (1-β₁) and v / (1-β₂), which saves two operations; the rate (see `_adam_step`) and ε
    # (see `adam`) make up for the two factors.
    gradient += l2 * table[at]
    first = parameters[0] * table[at + width] + gradient
    # Without gradients it would become subnormal, and operations on such numbers take twenty times as long.
    first = first if abs(first) > _LEAST else _ZERO
    # Always > 0, so that its root has an inverse, and never subnormal.
    second = parameters[1] * table[at + width + width] + (gradient * gradient + _LEAST)
    table[at + width] = first
    table[at + width + width] = second
    # The root is computed from its inverse (see Adagrad); the division then runs on another unit of the
    # processor. That is faster than two inverse roots, and twice as fast as a root and a division, which
    # share that unit.
    root = second * (_ONE / np.sqrt(second))
    table[at] -= rate * first / (root + parameters[2])


SGD = Optimizer("sgd", _same_rate, _sgd_update)


def adagrad(initial: float = 0.1) -> Optimizer:
    """Return Adagrad.

    Parameters
    ----------
    initial : float, default 0.1
        Start value of each weight's sum of squared gradients; > 0. The larger it is, the smaller are
        the first steps.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If `initial` is not a positive finite number.

    References
    ----------
    .. [1] Duchi, Hazan, Singer. "Adaptive subgradient methods", JMLR 12, 2011, section 1.3.

    Examples
    --------
    >>> from tripletrec.optimizers import adagrad
    >>> adagrad(initial=1.0).state
    (1.0,)
    """
    return Optimizer(
        "adagrad", _same_rate, _adagrad_update, state=(check_positive(initial, "initial"),)
    )


def adam(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7) -> Optimizer:
    """Return lazy Adam.

    Parameters
    ----------
    beta1, beta2 : float, defaults 0.9 and 0.999
        Decay of the first and second moment per update of a row, in (0, 1), at most 1 - 1e-7.
    epsilon : float, default 1e-7
        Added to the root of the second moment; > 0.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a value is out of its range.

    References
    ----------
    .. [1] Kingma, Ba. "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1 in the
       form at the end of section 2.

    Examples
    --------
    >>> from tripletrec.optimizers import adam
    >>> len(adam(beta1=0.8).state)
    2
    """
    beta1, beta2 = check_share(beta1, "beta1"), check_share(beta2, "beta2")
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        if 1.0 - beta < 1e-7:
            raise ValueError(
                f"{name} must be at most 1 - 1e-7 (it is used in float32), got {beta!r}"
            )
    return Optimizer(
        "adam",
        _adam_step,
        _adam_update,
        state=(0.0, 0.0),
        step_counts=(0.0, 0.0),
        parameters=(beta1, beta2, check_positive(epsilon, "epsilon") / math.sqrt(1.0 - beta2)),
    )


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": lambda: SGD,
    "adagrad": adagrad,
    "adam": adam,
}


_ARGUMENTS: dict[str, Callable[[Optimizer], dict[str, Any]]] = {
    "adagrad": lambda optimizer: {"initial": optimizer.state[0]},
    "adam": lambda optimizer: {
        "beta1": optimizer.parameters[0],
        "beta2": optimizer.parameters[1],
        "epsilon": optimizer.parameters[2] * math.sqrt(1.0 - optimizer.parameters[1]),
    },
}


def check_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return the `Optimizer` that a user names or hands in; raise on an unknown name or a wrong part."""
    chosen = choose(optimizer, OPTIMIZERS, Optimizer, "optimizer")
    _check_parts(chosen)
    return chosen


@once
def _check_parts(optimizer: Optimizer) -> None:
    owner = check_name(optimizer.name, "optimizer")
    for name in ("state", "step_counts", "parameters"):
        check_numbers(getattr(optimizer, name), owner, name)
    check_fields(optimizer.fields())
