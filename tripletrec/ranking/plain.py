"""Short lists and single scores in NumPy, bit for bit what the kernels give; the kernels are in `products`.

To import Numba takes longer than a process needs to load a model and answer once. So as long as nothing else
has loaded the compiler, small requests are answered here, until that has taken `_PATIENCE` seconds in all:
then the kernels are cheaper.

The scores of all items come from BLAS, whose rounding differs; the few that may be among the best by it are
added up once more as the kernels add. A kernel rounds ``a b + c`` once (`intrinsics.multiply_add`). In
float64 the product of two float32 numbers is exact, so that the sum, rounded to float32, is the same unless
it was rounded to float64 onto the middle between two float32 numbers: then the rest that was lost decides.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import is_compiling

__all__ = ["Budget", "best_of_row", "fused_sums", "is_fused"]

T = TypeVar("T")

_PATIENCE = 1.0  # seconds
_MOST_AT_ONCE = 0.25  # seconds that a request may take by estimate
_SETTINGS = ("NUMBA_DISABLE_JIT", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX")
_BLOCK = 1 << 12  # sums at once, which stay in the cache


def is_fused() -> bool:
    """Tell whether kernels are known to round a product and a sum once, which old processors do not."""
    if any(os.environ.get(name) for name in _SETTINGS):
        return False
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    core: Any = getattr(np, "_core", None) or getattr(np, "core", None)
    features = getattr(getattr(core, "_multiarray_umath", None), "__cpu_features__", {})
    return bool(features.get("FMA3"))


class Budget:
    """Decides whether requests are answered here.

    Parameters
    ----------
    patience : float
        Seconds in all after which they are not any more.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._left = patience
        self._lock = threading.Lock()
        self._is_fused: bool | None = None

    def suffices(self, n_rows: int, n_items: int, n_factors: int) -> bool:
        """Tell whether lists for some rows should be made here, their scores included."""
        if not self._has(n_rows * (1e-3 + n_items * n_factors * 4e-10)):
            return False
        if self._is_fused is None:
            self._is_fused = is_fused()
        return self._is_fused

    def suffices_to_choose(self, n_rows: int, n_items: int) -> bool:
        """Tell whether the best should be chosen here among scores that are there already."""
        return self._has(n_rows * (1e-4 + n_items * 2e-8))

    def _has(self, seconds: float) -> bool:
        return not is_compiling() and self._left > 0.0 and seconds <= _MOST_AT_ONCE

    def spend(self, work: Callable[[], T]) -> T:
        """Return ``work()``, whose time counts."""
        start = time.perf_counter()
        try:
            return work()
        finally:
            with self._lock:
                self._left -= time.perf_counter() - start


def fused_sums(
    left: NDArray[np.float32], right: NDArray[np.float32], starts: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``starts[n] + Σ_k left[k] right[n, k]``, added up in the order of k, each step rounded once.

    Parameters
    ----------
    left : float32 array of shape (n_factors,), or (n, n_factors): a row for each sum
    right : float32 array of shape (n, n_factors)
    starts : float32 array of shape (n,)
    """
    sums = np.empty(len(right), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(right), _BLOCK):
            some = slice(first, first + _BLOCK)
            lefts = (left if left.ndim == 1 else left[some]).T.astype(np.float64)
            total = starts[some].astype(np.float64)
            for a, b in zip(lefts, right[some].T.astype(np.float64), strict=True):
                total = _rounded(a * b, total)
            sums[some] = total
    return sums


_LAST_BITS = np.int64((1 << 29) - 1)  # of float64, which float32 lacks
_MIDDLE = np.int64(1 << 28)
_LEAST_NORMAL = 2.0**-126  # below it, float32 numbers are 2**-149 apart


def _rounded(product: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``product + total``, rounded once to float32."""
    found = product + total
    doubtful = (found.view(np.int64) & _LAST_BITS) == _MIDDLE
    doubtful |= np.abs(found) < _LEAST_NORMAL
    if doubtful.any():
        at = np.flatnonzero(doubtful)
        a, b, x = product[at], total[at], found[at]
        c = x - a  # Knuth's TwoSum: what was lost is exactly
        lost = (a - (x - c)) + (b - c)
        is_middle = (np.abs(x) >= _LEAST_NORMAL) | (np.fmod(np.abs(x) * 2.0**150, 2.0) == 1.0)
        moved = np.nextafter(x, np.where(lost > 0.0, np.inf, -np.inf))
        found[at] = np.where(is_middle & (lost != 0.0), moved, x)
    return found.astype(np.float32).astype(np.float64)


def best_of_row(
    scores: NDArray[Any], error: float, k: int, exactly: Callable[[NDArray[np.int64]], Any]
) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
    """Return the items with the `k` highest scores, equal ones by rising item; None: too many are near.

    Parameters
    ----------
    scores : float32 or float64 array of shape (n_items,)
        Roughly; -inf for what is left out.
    error : float
        What they differ from the exact ones at most.
    k : int
        1 ... n_items.
    exactly : callable
        int64 array of items -> their exact scores.
    """
    n = len(scores)
    last = np.partition(scores, n - k)[n - k]
    near = np.flatnonzero((scores >= last - np.float32(2.0 * error)) & (scores > -np.inf))
    if len(near) > max(4096, 4 * k):
        return None
    found = exactly(near)
    order = np.lexsort((near, -found))[:k]
    return near[order], found[order]
