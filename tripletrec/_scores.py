"""From a model of any kind to blocks of scores; never n_users x n_items in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_factors, check_scores

__all__ = ["factor_scores", "frozen", "score_blocks", "score_function", "split_work", "thread_pool"]

T = TypeVar("T")
ScoreUsers = Callable[[NDArray[np.int64]], NDArray[Any]]

# Scores per block, 16 MB in float32: enough rows for BLAS to multiply rather than to repack the
# item factors, few enough to stay in the last cache. It never depends on the number of threads.
_BLOCK_SCORES = 1 << 22
_LEAST_ROWS = 16


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


def factor_scores(U: NDArray[Any], V: NDArray[Any], b: NDArray[Any] | None = None) -> ScoreUsers:
    """Return the function rows -> ``U[rows] @ V.T + b``, one BLAS product into a reused buffer.

    The buffer makes the function one for a single caller: not to be shared between threads.

    Parameters
    ----------
    U, V : ndarray of shape (n_users, n_factors) and (n_items, n_factors)
        All arrays have one dtype, float32 or float64.
    b : ndarray of shape (n_items,), optional
        Item biases.
    """
    n_factors = V.shape[1]
    if b is not None:
        # As one more factor the bias is free; added to each block it costs a pass over memory.
        V = np.column_stack((V, b))
    left = np.ones((0, V.shape[1]), V.dtype)
    buffer = np.empty((0, V.shape[0]), V.dtype)

    def score_users(rows: NDArray[np.int64]) -> NDArray[Any]:
        nonlocal left, buffer
        n_rows = len(rows)
        if n_rows > len(buffer):
            left = np.ones((n_rows, V.shape[1]), V.dtype)
            buffer = np.empty((n_rows, V.shape[0]), V.dtype)
        left[:n_rows, :n_factors] = U[rows]
        scores: NDArray[Any] = np.matmul(left[:n_rows], V.T, out=buffer[:n_rows])
        return scores

    return score_users


def score_blocks(
    score_users: ScoreUsers, rows: NDArray[np.int64], n_items: int
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield ``(first, last, scores)``: the scores of ``rows[first:last]``, read-only.

    The scores are valid until the next step. A shape or dtype that no ranking can use raises.
    """
    n_rows = max(_LEAST_ROWS, _BLOCK_SCORES // n_items)
    for first in range(0, len(rows), n_rows):
        block = rows[first : first + n_rows]
        scores = check_scores(score_users(block), (len(block), n_items))
        yield first, first + len(block), frozen(scores)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only view: kernels that get nothing else compile only once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def thread_pool(n_jobs: int) -> AbstractContextManager[ThreadPoolExecutor | None]:
    """Return a pool of `n_jobs` threads, or a context without one if one thread is enough."""
    return ThreadPoolExecutor(n_jobs) if n_jobs > 1 else nullcontext()


def split_work(
    task: Callable[[int, int], T],
    costs: NDArray[Any],
    n_jobs: int,
    pool: ThreadPoolExecutor | None,
) -> Sequence[T]:
    """Return ``task(start, stop)`` for slices of about equal cost that cover ``len(costs)``."""
    if pool is None:
        return [task(0, len(costs))]
    done = np.cumsum(costs)
    inner = np.searchsorted(done, done[-1] * np.arange(1, n_jobs) / n_jobs, "right")
    cuts = [0, *inner.tolist(), len(costs)]
    return list(pool.map(task, cuts[:-1], cuts[1:]))
