"""Bootstrap intervals, sign-flip tests and Holm's correction of columns of numbers.

Rows are users, columns whatever was measured of them; NaN where a column is not defined for a user. All
columns are resampled together: one draw of users serves all of them, in blocks of resamples, as a product of
a matrix of weights with the columns.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_count, check_random_state, check_share
from tripletrec._runtime.blas import one_blas_thread
from tripletrec._runtime.messages import shown

__all__ = ["IntervalMethod", "Intervals", "bootstrap", "effect_sizes", "holm", "sign_flip_test"]

IntervalMethod = Literal["bca", "percentile"]

_BLOCK = 1 << 22  # weights that are in memory at once: 32 MB
_ROUNDING = (
    1e-10  # of a sum, relative to the sum of its absolute values: what two orders may differ by
)


class Intervals(NamedTuple):
    """The means of some columns and between what they lie, each of shape (n_columns,)."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class _Columns(NamedTuple):
    """Columns with zeros for NaN, and where they are defined."""

    values: NDArray[np.float64]
    defined: NDArray[np.bool_]
    with_gaps: NDArray[np.int64]  # the columns with a NaN

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _Columns:
        defined = ~np.isnan(values)
        return cls(np.where(defined, values, 0.0), defined, np.flatnonzero(~defined.all(axis=0)))

    def means(self) -> NDArray[np.float64]:
        n = self.defined.sum(axis=0)
        sums = self.values.sum(axis=0)
        return np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)


def bootstrap(
    values: NDArray[np.float64],
    level: float = 0.95,
    n_resamples: int = 1000,
    method: IntervalMethod = "bca",
    random_state: Seed = 0,
) -> Intervals:
    """Return bootstrap intervals of the mean of each column, by drawing rows with replacement.

    Parameters
    ----------
    values : float64 array of shape (n_rows, n_columns)
        NaN where a column is not defined; such rows are left out of its means, and draws of nothing else out
        of its interval, which is NaN where the column is defined nowhere.
    level : float, default 0.95
        In how many of all cases the interval holds the true mean.
    n_resamples : int, default 1000
    method : {"bca", "percentile"}, default "bca"
        Bias-corrected and accelerated (Efron, "Better bootstrap confidence intervals", JASA 1987), or the
        plain quantiles of the resampled means.
    random_state : int, RandomState, Generator or None, default 0

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.evaluation.resampling import bootstrap
    >>> found = bootstrap(np.array([[1.0], [2.0], [3.0], [6.0]]))
    >>> bool(found.low < found.mean < found.high), found.mean.tolist()
    (True, [3.0])
    """
    level = check_share(level, "level")
    n_resamples = check_count(n_resamples, "n_resamples")
    if method not in get_args(IntervalMethod):
        allowed = " or ".join(map(repr, get_args(IntervalMethod)))
        raise ValueError(f"method must be {allowed}, got {shown(method)}")
    seed = check_random_state(random_state)
    columns = _Columns.of(values)
    means = columns.means()
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if not len(values):
        return Intervals(means, means, means)
    resampled = _resampled_means(columns, n_resamples, seed)
    probabilities = np.repeat(tails[:, None], len(means), axis=1)
    if method == "bca":
        probabilities = _corrected(columns, means, resampled, probabilities)
    low, high = _quantiles(resampled, probabilities)
    return Intervals(means, low, high)


def _resampled_means(columns: _Columns, n_resamples: int, seed: int) -> NDArray[np.float64]:
    """Return the means of the columns over so many draws of the rows, shape (n_resamples, n_columns).

    NaN where no row was drawn that a column is defined for.
    """
    n = len(columns.values)
    rng = np.random.default_rng(seed)
    gaps = columns.with_gaps
    factors = np.hstack([columns.values, columns.defined[:, gaps].astype(np.float64)])
    n_columns = columns.values.shape[1]
    sums = np.empty((n_resamples, factors.shape[1]))
    n_at_once = max(1, min(n_resamples, _BLOCK // n))
    weights = np.empty((n_at_once, n))
    with one_blas_thread():
        for first in range(0, n_resamples, n_at_once):
            block = weights[: min(n_at_once, n_resamples - first)]
            for line in block:
                line[:] = np.bincount(rng.integers(0, n, n), minlength=n)
            np.matmul(block, factors, out=sums[first : first + len(block)])
    n_drawn = np.full((n_resamples, n_columns), float(n))
    n_drawn[:, gaps] = sums[:, n_columns:]
    means = np.full(n_drawn.shape, np.nan)
    return np.divide(sums[:, :n_columns], n_drawn, out=means, where=n_drawn > 0)


def _corrected(
    columns: _Columns,
    means: NDArray[np.float64],
    resampled: NDArray[np.float64],
    probabilities: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return between which quantiles a BCa interval lies; the plain ones where there is no such interval."""
    from scipy.special import ndtr, ndtri  # here, because evaluation alone does without

    n = np.maximum(1, _n_known(resampled))
    # Of metrics with few values many means are equal, but for the order in which they were added up.
    absolute = np.abs(columns.values).sum(axis=0) / np.maximum(1, columns.defined.sum(axis=0))
    low, high = means - _ROUNDING * absolute, means + _ROUNDING * absolute
    below = ((resampled < low).sum(axis=0) / n + (resampled <= high).sum(axis=0) / n) / 2
    bias = ndtri(below)
    away = np.where(columns.defined, columns.values - means, 0.0)
    squares = (away**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        acceleration = (away**3).sum(axis=0) / (6 * squares**1.5)
        shifted = bias + ndtri(probabilities)
        stretch = 1 - acceleration * shifted  # not above 0 at levels that so few rows cannot tell
        corrected = ndtr(bias + shifted / stretch)
    usable = (np.isfinite(corrected) & (stretch > 0)).all(axis=0) & np.isfinite(bias)
    return np.where(usable, corrected, probabilities)


def _n_known(resampled: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.count_nonzero(~np.isnan(resampled), axis=0)


def _quantiles(
    resampled: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the quantiles that each column asks for, linear between neighbours: shape (2, n_columns).

    They are of what is known in a column; NaN where nothing is.
    """
    ordered = np.sort(resampled, axis=0)  # NaN last
    last = np.maximum(1, _n_known(resampled)) - 1
    at = probabilities * last
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, last)
    column = np.arange(ordered.shape[1])
    some, others = ordered[below, column], ordered[above, column]
    return some + (others - some) * (at - below)


def sign_flip_test(
    differences: NDArray[np.float64], n_resamples: int = 10_000, random_state: Seed = 0
) -> NDArray[np.float64]:
    """Return two-sided p-values of paired differences, by setting their signs at random.

    Under no difference each one is as likely as its negative. The p-value is the share of all ways to set the
    signs that make the mean as large in absolute value as it is: of all 2ⁿ ways where these are no more than
    `n_resamples`, else of so many at random and the observed one (Phipson and Smyth, "Permutation P-values
    should never be zero", 2010).

    Parameters
    ----------
    differences : float64 array of shape (n_rows, n_columns)
        NaN where there is none: left out.
    n_resamples : int, default 10000
    random_state : int, RandomState, Generator or None, default 0

    Returns
    -------
    float64 array of shape (n_columns,)
        1 where all differences are 0, NaN where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.evaluation.resampling import sign_flip_test
    >>> sign_flip_test(np.array([[1.0], [2.0], [3.0]])).tolist()
    [0.25]
    """
    n_resamples = check_count(n_resamples, "n_resamples")
    rng = np.random.default_rng(check_random_state(random_state))
    values = np.nan_to_num(differences, nan=0.0)
    n = len(values)
    exact = n < 62 and 2**n <= n_resamples
    n_ways = 2**n if exact else n_resamples
    observed = np.abs(values.sum(axis=0))
    # The sum of all with a plus is half of what the flipped sum and the plain one add up to.
    least = observed - _ROUNDING * np.abs(values).sum(axis=0)
    total, count = values.sum(axis=0), np.zeros(values.shape[1])
    n_at_once = max(1, min(n_ways, _BLOCK // max(n, 1)))
    lines = np.empty((n_at_once, n))
    with one_blas_thread():
        for first in range(0, n_ways, n_at_once):
            flips = lines[: min(n_at_once, n_ways - first)]
            flips[:] = (
                _all_flips(first, *flips.shape) if exact else _random_flips(rng, *flips.shape)
            )
            count += (np.abs(2.0 * (flips @ values) - total) >= least).sum(axis=0)
    p_values = count / n_ways if exact else (count + 1) / (n_ways + 1)
    return np.where(np.isnan(differences).all(axis=0), np.nan, p_values)


def _all_flips(first: int, m: int, n: int) -> NDArray[np.int64]:
    ways = np.arange(first, first + m)
    return ways[:, None] >> np.arange(n) & 1


def _random_flips(rng: np.random.Generator, m: int, n: int) -> NDArray[np.uint8]:
    n_bytes = -(-n // 8)
    drawn = np.frombuffer(rng.bytes(m * n_bytes), np.uint8).reshape(m, n_bytes)
    return np.unpackbits(drawn, axis=1, count=n)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values corrected for there being several (Holm, Scandinavian Journal of Statistics 1979).

    Parameters
    ----------
    p_values : float64 array of shape (n_tests, n_families)
        Those of a column belong together; NaN is none of them and stays.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.evaluation.resampling import holm
    >>> holm(np.array([[0.01], [0.04], [0.03]]))[:, 0].round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, axis=0, kind="stable")
    n = np.count_nonzero(~np.isnan(p_values), axis=0)  # the others are last
    ordered = np.take_along_axis(p_values, order, axis=0)
    ordered *= np.maximum(1, n - np.arange(len(p_values))[:, None])
    found = np.empty_like(p_values)
    corrected = np.minimum(np.maximum.accumulate(ordered, axis=0), 1.0)
    np.put_along_axis(found, order, corrected, axis=0)
    return found


def effect_sizes(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standardised paired differences: the mean over the standard deviation (Cohen's d_z).

    0 where all differences are 0, infinite where they are all the same otherwise.
    """
    columns = _Columns.of(differences)
    n, means = columns.defined.sum(axis=0), columns.means()
    away = np.where(columns.defined, columns.values - means, 0.0)
    spread = np.sqrt((away**2).sum(axis=0) / np.maximum(n - 1, 1))
    tiny = spread <= _ROUNDING * np.abs(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.where(tiny, np.copysign(np.inf, means), means / spread)
    return np.where(means == 0.0, 0.0, np.where(n > 1, sizes, np.nan))
