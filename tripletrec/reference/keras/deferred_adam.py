r"""Dense Adam at the cost of the rows that a batch reads, for replicas; the plain form is in `optimizers`.

A row that a batch does not read has gradient 0, and old Keras' Adam still moves it by what is left of its
momentum. These steps can be deferred until the row is read again. After k of them, from step t on,

.. math:: w \leftarrow w - \sum_{j=1}^k \eta_{t+j} \frac{\beta_1^j m}{\beta_2^{j/2} \sqrt v + \epsilon},
          \quad m \leftarrow \beta_1^k m, \quad v \leftarrow \beta_2^k v.

With :math:`a = 1 / (\sqrt v + \epsilon)` and :math:`r = a \sqrt v`, the fraction in term j is
:math:`\beta_1^j m` times :math:`a / (1 - r (1 - \beta_2^{j/2}))`. As long as :math:`\beta_1^j` is not near 0,
:math:`\beta_2^{j/2}` is near 1, and that factor is :math:`a (1 + r (1 - \beta_2^{j/2}))` up to about 10⁻⁵ of
the sum. So two sums over j, which do not depend on the weight, serve a whole row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel
from tripletrec.reference.keras.optimizers import Adam

__all__ = ["DeferredAdam"]

_NEGLIGIBLE = 1e-9  # a momentum that has decayed to this share moves no weight


@kernel
def _catch_up(rows, now, rates, last, weights, mean, square, beta1, root2, sums, powers, epsilon):
    """Make the deferred steps of `rows`, up to step `now`; `last` is that up to which a row has been moved.

    Row k of `sums`, which is scratch, is for the two sums over j of rows that are k steps behind; row k of
    `powers` holds β₁ᵏ and β₂^(k/2). Both end where β₁ᵏ is negligible.
    """
    real = weights.dtype.type
    one, tiny, zero = real(1.0), real(1e-30), real(0.0)
    most, n_known = sums.shape[0] - 1, 0
    sums[0, 0], sums[0, 1] = 0.0, 0.0
    both = beta1 * root2
    for n in range(rows.shape[0]):
        row = rows[n]
        k = now - last[row]
        if k <= 0:
            continue
        # A row that is one step further behind has one more step before all others, which decay.
        for age in range(n_known + 1, min(k, most) + 1):
            rate = rates[now - age + 1]
            sums[age, 0] = beta1 * (rate + sums[age - 1, 0])
            sums[age, 1] = both * (rate + sums[age - 1, 1])
        n_known = max(n_known, min(k, most))
        if k <= most:
            first, second, b, s = sums[k, 0], sums[k, 1], powers[k, 0], powers[k, 1]
        else:
            first, second, b, s = 0.0, 0.0, 0.0, math.exp(k * math.log(root2))
            for j in range(1, most + 1):
                share = rates[last[row] + j] * powers[j, 0]
                first += share
                second += share * powers[j, 1]
        last[row] = now
        s0, s1, m_left, v_left = real(first), real(first - second), real(b), real(s * s)
        for c in range(weights.shape[1]):
            root = np.sqrt(square[row, c])
            a = one / (root + epsilon)
            m = mean[row, c]
            weights[row, c] -= m * a * (s0 + root * a * s1)
            mean[row, c] = m * m_left if abs(m * m_left) > tiny else zero
            square[row, c] *= v_left


@kernel
def _step(rows, now, rate, last, weights, mean, square, gradient, beta1, beta2, epsilon):
    """Make step `now` of `rows`, each once, and clear their gradients."""
    real = weights.dtype.type
    first, second, step, zero = real(1.0 - beta1), real(1.0 - beta2), real(rate), real(0.0)
    keep1, keep2, tiny = real(beta1), real(beta2), real(1e-30)
    for n in range(rows.shape[0]):
        row = rows[n]
        if last[row] == now:
            continue
        last[row] = now
        for c in range(weights.shape[1]):
            g = gradient[row, c]
            m = keep1 * mean[row, c] + first * g
            v = keep2 * square[row, c] + second * g * g
            # The mean of a unit whose gradient stays 0 would shrink to a subnormal number, and
            # arithmetic on those is 20 times slower.
            mean[row, c] = m if abs(m) > tiny else zero
            square[row, c], gradient[row, c] = v, zero
            weights[row, c] -= step * m / (np.sqrt(v) + epsilon)


class DeferredAdam(Adam):
    """`Adam`, for models that know which rows of their tables a batch reads.

    Before a batch `catch_up` brings its rows up to date, after it `update` moves them, and after the
    last batch `settle` brings all rows up to date. There is no L2 penalty, which would move every row.

    Parameters
    ----------
    learning_rate : float, default=0.001
        Step size η, > 0.
    beta1, beta2, epsilon : float
        As in `Adam`.

    Examples
    --------
    >>> import numpy as np
    >>> table, gradient = np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32)
    >>> adam = DeferredAdam()
    >>> for rows in (np.array([0, 1]), np.array([0])):
    ...     adam.catch_up([table], [rows])
    ...     adam.update([table], [gradient], [rows])
    >>> adam.settle([table])
    >>> bool(table[1, 0] < -0.001)  # moved by the second step too, by its momentum
    True
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon)
        self._rates = np.zeros(1024)
        n_terms = math.ceil(math.log(_NEGLIGIBLE) / math.log(beta1))
        self._sums = np.empty((n_terms + 1, 2))
        steps = np.arange(n_terms + 1)
        self._root2 = math.sqrt(beta2)
        self._powers = np.stack([beta1**steps, self._root2**steps], axis=1)
        self._tables: list[tuple[NDArray[Any], ...]] = []  # `last`, weights and moments of each

    def catch_up(self, parameters: Sequence[NDArray[Any]], rows: Sequence[Any]) -> None:
        """Make the deferred steps of rows.

        Parameters
        ----------
        parameters : sequence of float arrays of two dimensions
            The same arrays at every call.
        rows : sequence of int arrays, or None
            Rows of each parameter, repetitions allowed; None: all rows are moved at every step.
        """
        if not self._tables:
            self._tables = [
                (np.zeros(len(w), np.int64), w, np.zeros_like(w), np.zeros_like(w))
                for w in parameters
            ]
            self._all = [np.arange(len(w), dtype=np.int32) for w in parameters]
        epsilon = parameters[0].dtype.type(self.epsilon)
        for own, table in zip(rows, self._tables, strict=True):
            if own is not None:
                _catch_up(
                    np.asarray(own, np.int32), self.n_steps, self._rates, *table, self.beta1, self._root2,
                    self._sums, self._powers, epsilon,
                )  # fmt: skip

    def settle(self, parameters: Sequence[NDArray[Any]]) -> None:
        """Bring all rows up to date."""
        self.catch_up(parameters, self._all)

    def update(
        self,
        parameters: Sequence[NDArray[Any]],
        gradients: Sequence[NDArray[Any]],
        rows: Sequence[Any] = (),
    ) -> None:
        """Move the rows that the last `catch_up` named one step; set their gradients to zero.

        Parameters
        ----------
        parameters, gradients, rows : sequences
            As in `catch_up`; gradients have the shapes of the parameters.
        """
        self.n_steps += 1
        if self.n_steps == len(self._rates):
            self._rates = np.concatenate([self._rates, np.zeros_like(self._rates)])
        rate = self._rates[self.n_steps] = self._scalars()[0]
        epsilon = parameters[0].dtype.type(self.epsilon)
        for own, every, table, gradient in zip(
            rows, self._all, self._tables, gradients, strict=True
        ):
            _step(
                every if own is None else np.asarray(own, np.int32), self.n_steps, rate, *table, gradient,
                self.beta1, self.beta2, epsilon,
            )  # fmt: skip
