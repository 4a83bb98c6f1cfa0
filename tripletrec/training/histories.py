"""Users as mixes of a row and their history, once the items are learnt.

See `tripletrec.training.listwise_history` for the formula. A mixed row is kept as m, before it is scaled to
length one: a cosine does not mind, and the own row can be told from it again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import kernel
from tripletrec._runtime.threads import executor_for
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.scorers import COSINE, normalize_rows
from tripletrec.training.plan import FactorPlan

__all__ = [
    "LENGTHS",
    "HistoryFoldIn",
    "MixedFoldIn",
    "begin_own_rows",
    "lengths_of",
    "mix",
    "nearest_mix",
    "own_rows",
]

LENGTHS = "lengths.0"
"""Name of the lengths of users' own rows in the optimizer's state in brief: they say how far a step turns."""

Float32 = NDArray[np.float32]

_USERS = 1 << 10  # of a task


@kernel
def average(first, last, indptr, indices, units, out):
    """Write the mean of the rows of each of the users ``first ... last - 1``; zeros for one without items."""
    n_factors = units.shape[1]
    for u in range(first, last):
        for e in range(indptr[u], indptr[u + 1]):
            for k in range(n_factors):
                out[u, k] += units[indices[e], k]
        n = np.float32(max(1, indptr[u + 1] - indptr[u]))
        for k in range(n_factors):
            out[u, k] /= n


class HistoryFoldIn:
    """Makes rows of users of their histories alone, by the rows of a model's items.

    Parameters
    ----------
    plan : FactorPlan
        Of the model: its scorer counts.
    factors : float32 array of shape (n_items, n_factors)

    Examples
    --------
    >>> import numpy as np, tripletrec as tr
    >>> from tripletrec.sampling.draw import ItemsOfUsers
    >>> plan = tr.MatrixFactorization(loss="softmax", scorer="dot", history=0.5)._plan()
    >>> items = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    >>> one = ItemsOfUsers(np.array([0, 2]), np.array([0, 2], np.int32))
    >>> HistoryFoldIn(plan, items).learn(one)
    array([[1. , 0.5]], dtype=float32)
    """

    def __init__(self, plan: FactorPlan, factors: Float32) -> None:
        self._cosine = plan.scorer == COSINE
        self._units = read_only(normalize_rows(factors)[0] if self._cosine else factors)

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> Float32:
        """Return a row for each history, float32 of shape (n_users, n_factors).

        With the scorer "cosine" they have length one. An empty history gives zeros.
        """
        n = len(histories.indptr) - 1
        rows = np.zeros((n, self._units.shape[1]), np.float32)
        known = read_only(histories.indptr), read_only(histories.indices)
        cuts = range(0, n, _USERS)
        executor = executor_for(max(1, min(n_jobs, len(cuts))))

        def task(first: int) -> None:
            average(first, min(n, first + _USERS), *known, self._units, rows)

        with executor.threads():
            executor.run(task, [(first,) for first in cuts])
        return normalize_rows(rows)[0] if self._cosine else rows


class MixedFoldIn:
    """Learns rows of new users that are mixes with their histories, as those of training are.

    Parameters
    ----------
    plan : FactorPlan
        Of the model, with a `history` below 1.
    fold_in : ListwiseFoldIn
        Learns rows of any form.
    factors : float32 array of shape (n_items, n_factors)
    """

    def __init__(self, plan: FactorPlan, fold_in: Any, factors: Float32) -> None:
        self._plan, self._fold_in = plan, fold_in
        self._history = HistoryFoldIn(plan, factors)

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> Float32:
        """Return a row for each history, float32 of shape (n_users, n_factors); zeros for an empty one."""
        rows = self._fold_in.learn(histories, n_jobs)
        return nearest_mix(rows, self._history.learn(histories, n_jobs), self._plan)


def nearest_mix(rows: Float32, history: Float32, plan: FactorPlan) -> Float32:
    """Return the mixes nearest to rows, which may be of any length with the scorer "cosine".

    With a share a of the history ĥ, own rows of length 1 - a reach the directions r for which an s exists
    with ``|s r - a ĥ| = 1 - a``; of others, the nearest point of the line is scaled to that length.
    """
    if plan.scorer != COSINE:
        return rows
    a, units = plan.history, normalize_rows(rows)[0]
    along = a * np.sum(units * history, axis=1, keepdims=True)
    beyond = (
        np.square(along) + (1.0 - a) ** 2 - a**2 * np.sum(np.square(history), axis=1, keepdims=True)
    )
    own = (along + np.sqrt(np.maximum(beyond, 0.0))) * units - a * history
    mixed: Float32 = mix(own.astype(np.float32), history, plan)
    mixed[~rows.any(axis=1)] = 0.0
    return mixed


def mix(own: Float32, history: Float32, plan: FactorPlan) -> Float32:
    """Return the mixed rows of users, from their own rows and those of their histories."""
    units = normalize_rows(own)[0] if plan.scorer == COSINE else own
    mixed: NDArray[Any] = (1.0 - plan.history) * units + plan.history * history
    return mixed


def own_rows(mixed: Float32, history: Float32, plan: FactorPlan) -> Float32:
    """Return the own rows that `mix` was given, at length one with the scorer "cosine".

    The row of a user who was a history alone is that history.
    """
    if plan.history == 1.0:
        return np.zeros_like(mixed)
    own: NDArray[Any] = (mixed - plan.history * history) / (1.0 - plan.history)
    return normalize_rows(own)[0] if plan.scorer == COSINE else own


def lengths_of(rows: Float32) -> Float32:
    """Return the lengths of rows, of shape (n_rows, 1)."""
    lengths: Float32 = np.linalg.norm(rows, axis=1, keepdims=True)
    return lengths


def begin_own_rows(
    own: Float32,
    history: Float32,
    lengths: Float32 | None,
    others: Float32,
    plan: FactorPlan,
) -> Float32:
    """Return the own rows that a training goes on from: of users without one, their history.

    Parameters
    ----------
    own : array of shape (n_known, n_factors)
        From `own_rows`; zeros where there is none.
    history : array of shape (n_users, n_factors)
    lengths : array of shape (n, 1) or None
        Of the first own rows, as they were in training.
    others : array of shape (n_items, 1)
        Lengths of the items' rows: their mean is that of users where nothing is known of any.
    plan : FactorPlan
    """
    rows = history.copy()
    known = own.any(axis=1)
    rows[: len(own)][known] = own[known]
    if plan.scorer != COSINE:
        return rows
    found = np.empty((0, 1), np.float32) if lengths is None else lengths
    typical = found[found > 0.0] if found.any() else others
    every = np.full((len(rows), 1), typical.mean(), np.float32)
    every[: len(found)][found > 0.0] = found[found > 0.0]
    units: Float32 = normalize_rows(rows)[0]
    return units * every
