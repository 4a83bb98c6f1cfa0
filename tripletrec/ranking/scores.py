"""From a model of any kind to blocks of scores; never n_users x n_items in memory at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.blas import one_blas_thread
from tripletrec.data.checks import check_factors, check_scores

__all__ = ["factor_scores", "frozen", "map_blocks", "score_function"]

T = TypeVar("T")
ScoreUsers = Callable[[NDArray[np.int64]], NDArray[Any]]

# Rows per block: enough for BLAS to multiply rather than to repack the item factors, few enough for
# every thread to get some. At most 32 MB of float32 scores, which stay in the last cache; at least
# 4 MB, so that what a block costs in Python does not show. It never depends on the number of threads.
_BLOCK_ROWS = 512
_BLOCK_SCORES = 1 << 23
_LEAST_SCORES = 1 << 20
_LEAST_ROWS = 16
_LEAST_SHARED = 1 << 23  # scores in all that are worth starting threads for


def score_function(model: Any, n_users: int, n_items: int) -> ScoreUsers:
    """Return the function rows -> scores of a model, after checking the model's shape.

    Parameters
    ----------
    model : estimator, tuple, list or callable
        A fitted estimator (``n_users_``, ``n_items_``, ``_score_function``), arrays ``(U, V)`` or
        ``(U, V, b)``, or a function of an int64 array of row numbers.
    n_users, n_items : int
        The shape of the interactions to rank.

    Returns
    -------
    callable
        int64 rows -> scores of shape (len(rows), n_items). The next call may overwrite them.
    """
    if isinstance(model, (tuple, list)):
        if len(model) not in (2, 3):
            raise ValueError(f"model must be (U, V) or (U, V, b), got {len(model)} arrays")
        arrays = check_factors(*model)
        _check_model_shape(len(arrays[0]), len(arrays[1]), n_users, n_items)
        return factor_scores(*arrays)
    if hasattr(model, "_score_function") and not isinstance(model, type):
        if not hasattr(model, "n_items_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"model {type(model).__name__} is not fitted yet: call fit first")
        _check_model_shape(model.n_users_, model.n_items_, n_users, n_items)
        score_users: ScoreUsers = model._score_function()
        return score_users
    if not callable(model) or isinstance(model, type):
        raise TypeError(
            "model must be a fitted model, a tuple (U, V) or (U, V, b) of arrays, or a function "
            f"users -> scores, got {model!r}"
        )
    # A copy, because nothing keeps a foreign function from writing into its argument.
    return lambda rows: model(rows.copy())


def _check_model_shape(model_users: int, model_items: int, n_users: int, n_items: int) -> None:
    if (model_users, model_items) != (n_users, n_items):
        raise ValueError(
            f"model scores {model_users} users x {model_items} items, "
            f"but test has shape ({n_users}, {n_items})"
        )


class _FactorScores:
    """The function rows -> ``U[rows] @ V.T``, one BLAS product into memory that each thread reuses."""

    def __init__(self, U: NDArray[Any], V: NDArray[Any], b: NDArray[Any] | None) -> None:
        self._n_factors = V.shape[1]
        # As one more factor the bias is free; added to each block it costs a pass over memory.
        self._users, self._items = U, V if b is None else np.column_stack((V, b))
        self._local = threading.local()

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        n_rows, (n_items, width) = len(rows), self._items.shape
        left, buffer = getattr(self._local, "memory", (np.empty((0, 0)), np.empty((0, 0))))
        if n_rows > len(buffer):
            left = np.ones((n_rows, width), self._items.dtype)
            buffer = np.empty((n_rows, n_items), self._items.dtype)
            self._local.memory = left, buffer
        left[:n_rows, : self._n_factors] = self._users[rows]
        scores: NDArray[Any] = np.matmul(left[:n_rows], self._items.T, out=buffer[:n_rows])
        return scores


def factor_scores(U: NDArray[Any], V: NDArray[Any], b: NDArray[Any] | None = None) -> ScoreUsers:
    """Return the function rows -> ``U[rows] @ V.T + b``, which threads may share.

    Parameters
    ----------
    U, V : ndarray of shape (n_users, n_factors) and (n_items, n_factors)
        All arrays have one dtype, float32 or float64.
    b : ndarray of shape (n_items,), optional
        Item biases.
    """
    return _FactorScores(U, V, b)


def map_blocks(
    task: Callable[[int, int, NDArray[Any]], T],
    score_users: ScoreUsers,
    rows: NDArray[np.int64],
    n_items: int,
    n_jobs: int,
) -> list[T]:
    """Return ``task(first, last, scores)`` for blocks of rows, with the scores of ``rows[first:last]``.

    The scores are read-only and the thread's own until the task returns. Several blocks of scores of
    factors are made by `n_jobs` threads, each with one thread of BLAS; any other function is called for
    one block after the other. A shape or dtype that no ranking can use raises.
    """
    n_rows = max(_BLOCK_ROWS, _LEAST_SCORES // n_items)
    n_rows = max(_LEAST_ROWS, min(n_rows, _BLOCK_SCORES // n_items))
    firsts = range(0, len(rows), n_rows)

    def work(first: int) -> T:
        block = rows[first : first + n_rows]
        scores = check_scores(score_users(block), (len(block), n_items))
        return task(first, first + len(block), frozen(scores))

    shared = len(firsts) > 1 and len(rows) * n_items >= _LEAST_SHARED
    if n_jobs == 1 or not shared or not isinstance(score_users, _FactorScores):
        return [work(first) for first in firsts]
    pool = ThreadPoolExecutor(n_jobs)
    with one_blas_thread():
        try:
            return list(pool.map(work, firsts))
        finally:
            # After an error or an interrupt, blocks that no thread has begun are left out.
            pool.shutdown(cancel_futures=True)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only view: kernels that get nothing else compile only once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
