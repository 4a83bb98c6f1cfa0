r"""Dense optimizers, whose steps move every weight, as in Keras; lazy ones are in `tripletrec.optimizers`.

With gradient g of the mean loss of a batch, step size η and t = 1, 2, … counting batches:

========= ==================================================================== ==================
name      update of every weight w                                             source
========= ==================================================================== ==================
SGD       w -= η g                                                             Robbins, Monro 1951
Adagrad   h += g²;  w -= η g / √(h + ε)                                        Duchi et al. 2011
Adam      m = β₁ m + (1-β₁) g;  v = β₂ v + (1-β₂) g²;                          Kingma, Ba 2015,
          w -= η √(1-β₂ᵗ) / (1-β₁ᵗ) · m / (√v + ε)                             end of section 2
========= ==================================================================== ==================

A weight penalty ``l2 · Σ w²`` adds ``2 · l2 · w`` to g first. *Dense* matters for Adam: the moments
of a row that the batch does not touch decay too, and the row moves on by what is left of its
momentum. The lazy form leaves such rows alone.

A step reads and writes each array once, and sets the gradient to zero in the same pass, so that
the buffer is ready for the next batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_non_negative, check_positive, check_share
from tripletrec._runtime.jit import kernel

__all__ = ["SGD", "Adagrad", "Adam", "DenseOptimizer"]


@kernel
def _sgd_step(weights, gradient, rate, penalty):
    zero = gradient.dtype.type(0.0)
    for k in range(weights.size):
        weights[k] -= rate * (gradient[k] + penalty * weights[k])
        gradient[k] = zero


@kernel
def _adagrad_step(weights, gradient, square, rate, penalty, epsilon):
    zero = gradient.dtype.type(0.0)
    for k in range(weights.size):
        g = gradient[k] + penalty * weights[k]
        h = square[k] + g * g
        square[k] = h
        weights[k] -= rate * g / np.sqrt(h + epsilon)
        gradient[k] = zero


@kernel
def _adam_step(weights, gradient, mean, square, rate, penalty, beta1, beta2, epsilon):
    zero, one = gradient.dtype.type(0.0), gradient.dtype.type(1.0)
    tiny = gradient.dtype.type(1e-30)
    for k in range(weights.size):
        g = gradient[k] + penalty * weights[k]
        m = beta1 * mean[k] + (one - beta1) * g
        v = beta2 * square[k] + (one - beta2) * g * g
        # The mean of a row that no batch touches would shrink to a subnormal number and stay one,
        # which makes the pass 20 times slower. So small a mean moves no weight.
        mean[k] = m if abs(m) > tiny else zero
        square[k] = v
        weights[k] -= rate * m / (np.sqrt(v) + epsilon)
        gradient[k] = zero


class DenseOptimizer:
    """Base of the dense optimizers: the state of every weight, and the step count.

    Parameters
    ----------
    learning_rate : float
        Step size η, > 0.
    l2 : float, default=0.0
        Penalty ``l2 * sum(w ** 2)`` on all weights, at every step.
    """

    _state_starts: tuple[float, ...] = ()  # initial values of the state of a weight

    def __init__(self, learning_rate: float, *, l2: float = 0.0) -> None:
        self.learning_rate = check_positive(learning_rate, "learning_rate")
        self.l2 = check_non_negative(l2, "l2")
        self.n_steps = 0
        self._state: list[list[NDArray[Any]]] = []

    def update(self, parameters: Sequence[NDArray[Any]], gradients: Sequence[NDArray[Any]]) -> None:
        """Move `parameters` one step, in place, and set `gradients` to zero.

        Parameters
        ----------
        parameters, gradients : sequences of float arrays
            C-contiguous, pairwise of one shape and dtype; the same arrays at every call.
        """
        if not self._state:
            self._state = [
                [np.full(weights.size, start, weights.dtype) for start in self._state_starts]
                for weights in parameters
            ]
        self.n_steps += 1
        scalars = self._scalars()
        for weights, gradient, state in zip(parameters, gradients, self._state, strict=True):
            # reshape never copies here: the arrays are contiguous.
            self._step(
                weights.reshape(-1),
                gradient.reshape(-1),
                *state,
                # float64 scalars would make the kernels compute in float64, at half the speed.
                *(weights.dtype.type(scalar) for scalar in scalars),
            )

    def _scalars(self) -> tuple[float, ...]:
        return self.learning_rate, 2.0 * self.l2

    _step: Any = staticmethod(_sgd_step)


class SGD(DenseOptimizer):
    """Plain stochastic gradient descent.

    Parameters
    ----------
    learning_rate : float, default=0.01
        Step size η, > 0.
    l2 : float, default=0.0
        Penalty ``l2 * sum(w ** 2)``.

    Examples
    --------
    >>> import numpy as np
    >>> w, g = np.ones(2, np.float32), np.array([1, -1], np.float32)
    >>> SGD(0.5).update([w], [g])
    >>> w, g
    (array([0.5, 1.5], dtype=float32), array([0., 0.], dtype=float32))
    """

    def __init__(self, learning_rate: float = 0.01, *, l2: float = 0.0) -> None:
        super().__init__(learning_rate, l2=l2)


class Adagrad(DenseOptimizer):
    """Adagrad: steps shrink where gradients have been large.

    Parameters
    ----------
    learning_rate : float, default=0.1
        Step size η, > 0.
    initial : float, default=0.1
        Initial value of the sum of squares h: 0.1 in Keras 2 and 3, 0 before.
    epsilon : float, default=1e-7
        Added under the root: 1e-7 in Keras 3, 1e-6 in Keras 0.3 and 1.
    l2 : float, default=0.0
        Penalty ``l2 * sum(w ** 2)``.

    Examples
    --------
    >>> import numpy as np
    >>> w, g = np.ones(2, np.float32), np.array([2, 0], np.float32)
    >>> Adagrad(0.5, initial=0.0).update([w], [g])  # the length of the first step is the rate
    >>> w.round(3)
    array([0.5, 1. ], dtype=float32)
    """

    _step = staticmethod(_adagrad_step)

    def __init__(
        self,
        learning_rate: float = 0.1,
        *,
        initial: float = 0.1,
        epsilon: float = 1e-7,
        l2: float = 0.0,
    ) -> None:
        super().__init__(learning_rate, l2=l2)
        self._state_starts = (check_non_negative(initial, "initial"),)
        self.epsilon = check_positive(epsilon, "epsilon")

    def _scalars(self) -> tuple[float, ...]:
        return *super()._scalars(), self.epsilon


class Adam(DenseOptimizer):
    """Adam with dense moments.

    Parameters
    ----------
    learning_rate : float, default=0.001
        Step size η, > 0.
    beta1, beta2 : float, default=0.9 and 0.999
        Decay of the moments m and v per batch, in (0, 1).
    epsilon : float, default=1e-7
        Added to the root: 1e-7 since Keras 2.1.3, 1e-8 before.
    l2 : float, default=0.0
        Penalty ``l2 * sum(w ** 2)``. It passes through the moments: a weight that has no other
        gradient moves by up to η per batch, however small `l2` is.

    Examples
    --------
    >>> import numpy as np
    >>> w, g = np.ones(2, np.float32), np.array([2, 0], np.float32)
    >>> Adam(0.5).update([w], [g])  # the length of the first step is the rate
    >>> w.round(3)
    array([0.5, 1. ], dtype=float32)
    """

    _state_starts = (0.0, 0.0)
    _step = staticmethod(_adam_step)

    def __init__(
        self,
        learning_rate: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        l2: float = 0.0,
    ) -> None:
        super().__init__(learning_rate, l2=l2)
        self.beta1 = check_share(beta1, "beta1")
        self.beta2 = check_share(beta2, "beta2")
        self.epsilon = check_positive(epsilon, "epsilon")

    def _scalars(self) -> tuple[float, ...]:
        rate, penalty = super()._scalars()
        t = self.n_steps
        rate *= math.sqrt(1.0 - self.beta2**t) / (1.0 - self.beta1**t)
        return rate, penalty, self.beta1, self.beta2, self.epsilon
