"""Scores of all items for a batch of users at a time, by any kind of model.

Never n_users x n_items scores are in memory at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeGuard, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.messages import shown
from tripletrec.data.checks import check_factors, check_scores
from tripletrec.data.interactions import Interactions
from tripletrec.data.space import HOW
from tripletrec.ranking.products import Products

__all__ = [
    "LIMITS",
    "BatchLimits",
    "FittedModel",
    "RankingModel",
    "Restrictable",
    "ScoreUsers",
    "factor_scores",
    "is_model",
    "map_batches",
    "refuse_nan",
    "run_batches",
    "score_function",
]

T = TypeVar("T")
ScoreUsers = Callable[[NDArray[np.int64]], NDArray[Any]]


@runtime_checkable
class Restrictable(Protocol):
    """A function rows -> scores that can score some items at the cost of these alone, as `Products` can."""

    def __call__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """Return the scores of all items."""

    def restricted(self, items: NDArray[np.int64]) -> ScoreUsers:
        """Return the function for some of the items only."""

    def own(
        self, rows: NDArray[np.int64], items: NDArray[np.int64], bounds: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return the scores of each row's own items, filled up with -inf."""


@runtime_checkable
class RankingModel(Protocol):
    """What ranking asks of an estimator of ours, fitted or not, beside what `FittedModel` has."""

    @property
    def _seen(self) -> Interactions | None:
        """What it was trained on, if that is known."""

    def _score_function(self) -> ScoreUsers:
        """Return the function rows -> scores of all items."""

    def _now(self) -> Self:
        """Return a model that stays what this one is now."""

    def _is_first(self, what: str) -> bool:
        """Return whether this is asked of the model for the first time."""


@runtime_checkable
class FittedModel(RankingModel, Protocol):
    """What ranking asks of a fitted estimator."""

    n_users_: int
    n_items_: int
    user_ids_: NDArray[Any] | None
    item_ids_: NDArray[Any] | None


def is_model(model: Any) -> TypeGuard[RankingModel]:
    """Return whether this is an estimator of ours, not a class of them."""
    return isinstance(model, RankingModel) and not isinstance(model, type)


class BatchLimits(NamedTuple):
    """How many users are scored at once, and when several threads do it; no result depends on it.

    Parameters
    ----------
    n_users : int
        Users of a batch where nothing else decides: enough to multiply rather than to lay out the item
        factors, few enough for every thread to get some batches.
    min_users : int
        Users of a batch at least, however many items there are.
    min_scores : int
        Scores of a batch at least (4 MB in float32), so that its fixed cost in Python does not show.
    max_scores : int
        Scores of a batch at most (32 MB in float32), which stay in the last level of the cache.
    min_shared : int
        Scores in all from which on it is worth starting threads.
    """

    n_users: int = 512
    min_users: int = 16
    min_scores: int = 1 << 20
    max_scores: int = 1 << 23
    min_shared: int = 1 << 21

    def batch_size(self, n_items: int) -> int:
        """Return the number of users of a batch; it does not depend on the number of threads."""
        n_items = max(n_items, 1)
        n_users = max(self.n_users, self.min_scores // n_items)
        return max(self.min_users, min(n_users, self.max_scores // n_items))


LIMITS = BatchLimits()


def score_function(model: Any, n_users: int, n_items: int, name: str = "model") -> ScoreUsers:
    """Return the function rows -> scores of a model, after checking the model's shape.

    Parameters
    ----------
    model : estimator, tuple, list or callable
        A `FittedModel`, arrays ``(U, V)`` or ``(U, V, b)``, or a function of an int64 array of row numbers.
    n_users, n_items : int
        The shape of the interactions to rank.
    name : str, default "model"
        What error messages call it.

    Returns
    -------
    callable
        int64 rows -> scores of shape (len(rows), n_items). The next call may overwrite them.
    """
    if isinstance(model, (tuple, list)):
        if len(model) not in (2, 3):
            raise ValueError(f"{name} must be (U, V) or (U, V, b), got {len(model)} arrays")
        arrays = check_factors(*model)
        _check_shape((len(arrays[0]), len(arrays[1])), (n_users, n_items), name)
        return factor_scores(*arrays)
    if is_model(model):
        if not isinstance(model, FittedModel):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"{name} {type(model).__name__} is not fitted yet: call fit first")
        _check_shape((model.n_users_, model.n_items_), (n_users, n_items), name)
        return model._score_function()
    if not callable(model) or isinstance(model, type):
        raise TypeError(
            f"{name} must be a fitted model, a tuple (U, V) or (U, V, b) of arrays, or a function "
            f"users -> scores, got {shown(model)}"
        )
    # A copy, because nothing keeps a foreign function from writing into its argument.
    return lambda rows: model(rows.copy())


def _check_shape(scored: tuple[int, int], wanted: tuple[int, int], name: str) -> None:
    if scored != wanted:
        raise ValueError(
            f"{name} scores {scored[0]} users x {scored[1]} items, but test has shape {wanted}: {HOW}"
        )


def factor_scores(U: NDArray[Any], V: NDArray[Any], b: NDArray[Any] | None = None) -> ScoreUsers:
    """Return the function rows -> ``U[rows] @ V.T + b``, which threads may share; see `products`.

    Parameters
    ----------
    U, V : ndarray of shape (n_users, n_factors) and (n_items, n_factors)
        All arrays have one dtype, float32 or float64.
    b : ndarray of shape (n_items,), optional
        Item biases.
    """
    return Products(U, V, b)


def map_batches(
    task: Callable[[int, int, NDArray[Any]], T],
    score_users: ScoreUsers,
    rows: NDArray[np.int64],
    n_items: int,
    n_jobs: int,
    limits: BatchLimits = LIMITS,
) -> list[T]:
    """Return ``task(first, last, scores)`` for each batch of users, in the order of `rows`.

    The scores are those of ``rows[first:last]``, read-only, and valid until the task returns. The
    scores of factors are computed by `n_jobs` threads, if they are many; any other function is called for one
    batch after the other. A shape or dtype that no ranking can use raises.
    """
    n_rows = limits.batch_size(n_items)
    many = n_jobs > 1 and len(rows) * n_items >= limits.min_shared
    shared = many and isinstance(score_users, Products)
    if shared:  # no thread is left without work
        n_rows = max(limits.min_users, min(n_rows, -(-len(rows) // n_jobs)))
    firsts = range(0, len(rows), n_rows)

    def work(first: int) -> T:
        batch = rows[first : first + n_rows]
        scores = check_scores(score_users(batch), (len(batch), n_items))
        return task(first, first + len(batch), read_only(scores))

    return run_batches(work, firsts, n_jobs if shared else 1)


def run_batches(work: Callable[[int], T], firsts: Sequence[int], n_jobs: int) -> list[T]:
    """Return ``work(first)`` for each of `firsts`, in their order, computed by `n_jobs` threads."""
    if n_jobs < 2 or len(firsts) < 2:
        return [work(first) for first in firsts]
    # Here, because a single short list needs no threads.
    from tripletrec._runtime.threads import ThreadPool

    with ThreadPool(min(n_jobs, len(firsts)), "tripletrec") as pool:
        try:
            futures = deque(pool.submit(work, first) for first in firsts)
            # Each is let go: an error would keep it, and it the error.
            return [futures.popleft().result() for _ in firsts]
        finally:
            # After an error or an interrupt, batches that no thread has begun are left out.
            pool.drop()


def refuse_nan(users: NDArray[np.int64], row: int) -> None:
    """Raise ValueError if a kernel has found a NaN in the scores of ``users[row]``; -1: in none."""
    if row >= 0:
        raise ValueError(f"scores of user {users[row]} contain NaN")
