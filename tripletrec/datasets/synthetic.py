"""Synthetic interactions of any size, drawn from popularity times taste."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_count, check_flag, check_non_negative, check_random_state
from tripletrec._runtime.blas import one_blas_thread
from tripletrec.data.interactions import Interactions

__all__ = ["make_interactions"]

_CHUNK = 500_000  # interactions, or cells of whole rows, in memory at once
_TASTE_ROUNDS = 8  # after so many, what a user still lacks is drawn uniformly
_HEAVY = 8  # a user of more than 1/8 of the items is heavy: scored on all items at once


@overload
def make_interactions(
    n_users: int = ...,
    n_items: int = ...,
    n_interactions: int = ...,
    *,
    n_factors: int = ...,
    user_exponent: float = ...,
    item_exponent: float = ...,
    signal: float = ...,
    return_factors: Literal[False] = ...,
    random_state: Seed = ...,
) -> Interactions: ...
@overload
def make_interactions(
    n_users: int = ...,
    n_items: int = ...,
    n_interactions: int = ...,
    *,
    n_factors: int = ...,
    user_exponent: float = ...,
    item_exponent: float = ...,
    signal: float = ...,
    return_factors: Literal[True],
    random_state: Seed = ...,
) -> tuple[Interactions, NDArray[np.float32], NDArray[np.float32]]: ...


def make_interactions(
    n_users: int = 1000,
    n_items: int = 500,
    n_interactions: int = 20_000,
    *,
    n_factors: int = 8,
    user_exponent: float = 0.5,
    item_exponent: float = 0.8,
    signal: float = 4.0,
    return_factors: bool = False,
    random_state: Seed = None,
) -> Interactions | tuple[Interactions, NDArray[np.float32], NDArray[np.float32]]:
    r"""Draw interactions from popularity times taste.

    User :math:`u` likes item :math:`i` with probability proportional to

    .. math:: r_i^{-b} \; \sigma(s \, P_u \cdot Q_i),

    where :math:`r_i` is the popularity rank of the item, :math:`b` is `item_exponent`, :math:`s`
    is `signal`, and the planted factors :math:`P_u, Q_i` are normal with
    :math:`P_u \cdot Q_i` of variance 1. The number of items that a user likes is proportional to
    :math:`r_u^{-a}`, where :math:`r_u` is the activity rank of the user and :math:`a` is
    `user_exponent`. Ranks are assigned at random.

    Parameters
    ----------
    n_users, n_items : int, default 1000 and 500
        Shape of the matrix.
    n_interactions : int, default 20000
        Number of distinct (user, item) pairs, exactly. Every user has at least one if there are
        at least as many interactions as users.
    n_factors : int, default 8
        Length of the planted factors.
    user_exponent, item_exponent : float, default 0.5 and 0.8
        Exponents of the power laws, >= 0; with 0 all users, or all items, are alike.
    signal : float, default 4.0
        Strength of taste, >= 0; with 0 popularity decides alone, and there is no taste to learn.
    return_factors : bool, default False
        Whether to return the planted factors too.
    random_state : int, Generator, RandomState or None, default None
        The same integer always gives the same interactions (on one kind of machine).

    Returns
    -------
    Interactions
        Of shape (n_users, n_items), with values 1.
    user_factors, item_factors : float32 ndarray of shape (n_users or n_items, n_factors)
        The planted factors, only if `return_factors`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, or more pairs are asked for than there are.

    Notes
    -----
    Time and memory grow with `n_interactions`, not with ``n_users * n_items``: 12 million
    interactions of 300,000 users and 500,000 items take about ten seconds. Where popularity is
    very steep, active users soon run out of popular items: what they still lack after several
    rounds is drawn uniformly.

    Examples
    --------
    >>> from tripletrec.datasets import make_interactions
    >>> make_interactions(100, 50, 700, random_state=0)
    Interactions(100 users x 50 items, 700 positives)
    """
    n_users, n_items = check_count(n_users, "n_users"), check_count(n_items, "n_items")
    n_interactions = check_count(n_interactions, "n_interactions")
    if n_interactions > n_users * n_items:
        raise ValueError(
            f"n_interactions must be at most n_users * n_items = {n_users * n_items}, "
            f"got {n_interactions}"
        )
    rng = np.random.default_rng(check_random_state(random_state))
    world = _World(
        *_draw_factors(n_users, n_items, check_count(n_factors, "n_factors"), rng),
        rng.permutation(n_items),
        check_non_negative(item_exponent, "item_exponent"),
        check_non_negative(signal, "signal"),
    )
    activity = np.arange(1.0, n_users + 1) ** -check_non_negative(user_exponent, "user_exponent")
    activity = rng.permutation(np.maximum(activity, 1e-200))  # a steep law underflows to zero
    degrees = _degrees(activity, n_interactions, n_items)
    interactions = _draw_interactions(world, degrees, rng, _CHUNK)
    if check_flag(return_factors, "return_factors"):
        return interactions, world.users.T.copy(), world.items.T.copy()
    return interactions


class _World(NamedTuple):
    """What decides who likes what."""

    users: NDArray[np.float32]  # (n_factors, n_users)
    items: NDArray[np.float32]  # (n_factors, n_items)
    item_of_rank: NDArray[np.int64]
    exponent: float
    signal: float

    @property
    def n_items(self) -> int:
        return self.items.shape[1]

    def popular_items(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw `n` items by popularity, by inverting the integral of the power law."""
        share, end, power = rng.random(n), self.n_items + 1.0, 1.0 - self.exponent
        if abs(power) < 1e-6:
            rank = end**share
        else:
            rank = (1.0 + share * (end**power - 1.0)) ** (1.0 / power)
        return self.item_of_rank[np.minimum(rank.astype(np.int64), self.n_items) - 1]

    def log_popularity(self) -> NDArray[np.float64]:
        """Logarithm of the probabilities, up to a constant, with which `popular_items` draws."""
        ends, power = np.arange(1.0, self.n_items + 2), 1.0 - self.exponent
        integral = np.log(ends) if abs(power) < 1e-6 else ends**power / power
        logarithm = np.empty(self.n_items)
        logarithm[self.item_of_rank] = np.log(np.maximum(np.diff(integral), 1e-300))
        return logarithm

    def likes(
        self, users: NDArray[np.int64], items: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Draw for each pair, with probability sigma(signal * score), whether the user likes the item."""
        score = np.zeros(len(users), np.float32)
        for of_users, of_items in zip(self.users, self.items, strict=True):
            score += of_users[users] * of_items[items]
        coin = rng.random(len(users), dtype=np.float32)
        with np.errstate(over="ignore"):
            return coin * (1.0 + np.exp(-self.signal * score)) < 1.0


def _draw_factors(
    n_users: int, n_items: int, n_factors: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scale = np.float32(n_factors**-0.25)
    users = rng.standard_normal((n_factors, n_users), dtype=np.float32)
    items = rng.standard_normal((n_factors, n_items), dtype=np.float32)
    return users * scale, items * scale


def _degrees(weights: NDArray[np.float64], total: int, most: int) -> NDArray[np.int64]:
    """Return whole numbers up to `most` that sum to `total`, near-proportional to `weights`."""
    least = 1 if total >= len(weights) else 0

    def counts(log_scale: float) -> NDArray[np.int64]:
        return np.clip(np.exp(log_scale) * weights, least, most).astype(np.int64)

    low, high = np.log(0.5 / weights.max()), np.log(2.0 * most / weights.min())
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if counts(middle).sum() <= total else (low, middle)
    degrees = counts(low)
    rest = total - int(degrees.sum())
    nearest = np.where(degrees < most, np.exp(low) * weights - degrees, -np.inf)
    degrees[np.argsort(-nearest, kind="stable")[:rest]] += 1
    return degrees


def _draw_interactions(
    world: _World, degrees: NDArray[np.int64], rng: np.random.Generator, chunk: int
) -> Interactions:
    """Draw ``degrees[u]`` items for each user u, for users of some `chunk` interactions at a time."""
    from scipy.sparse import csr_matrix

    indptr = np.concatenate(([0], np.cumsum(degrees)))
    indices = np.empty(indptr[-1], np.int32)
    for start, stop in _chunks(indptr, chunk):
        keys = _draw_rows(world, np.arange(start, stop), degrees[start:stop], rng, chunk)
        indices[indptr[start] : indptr[stop]] = keys % world.n_items
    values = np.ones(len(indices), np.float32)
    shape = (len(degrees), world.n_items)
    return Interactions(csr_matrix((values, indices, indptr), shape=shape, copy=False))


def _chunks(indptr: NDArray[np.int64], chunk: int) -> Iterator[tuple[int, int]]:
    """Cut the rows into runs of at most `chunk` rows and interactions, at least one row each."""
    start, n_rows = 0, len(indptr) - 1
    while start < n_rows:
        stop = int(np.searchsorted(indptr, indptr[start] + chunk, side="right")) - 1
        stop = min(max(stop, start + 1), start + chunk)
        yield start, stop
        start = stop


def _draw_rows(
    world: _World,
    users: NDArray[np.int64],
    degrees: NDArray[np.int64],
    rng: np.random.Generator,
    chunk: int,
) -> NDArray[np.int64]:
    """Return ``row * n_items + item`` of the items that each user likes, ascending."""
    heavy = degrees * _HEAVY > world.n_items
    light = np.flatnonzero(~heavy & (degrees > 0))
    drawn = [_draw_light(world, users, degrees, light, rng)]
    whole, step = np.flatnonzero(heavy), max(1, chunk // world.n_items)
    for first in range(0, len(whole), step):
        rows = whole[first : first + step]
        drawn.append(_draw_heavy(world, users[rows], degrees[rows], rows, rng))
    return np.sort(np.concatenate(drawn))


def _draw_light(
    world: _World,
    users: NDArray[np.int64],
    degrees: NDArray[np.int64],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Propose items by popularity and keep those that are liked and new, until each row has enough."""
    complete, keys = [], np.empty(0, np.int64)
    lack, n_rounds = degrees[rows], 0
    while len(rows):
        owners = np.repeat(rows, 2 * lack + 4)  # a coin accepts about half
        if n_rounds < _TASTE_ROUNDS:
            items = world.popular_items(len(owners), rng)
            liked = world.likes(users[owners], items, rng)
            owners, items = owners[liked], items[liked]
        else:
            items = rng.integers(world.n_items, size=len(owners))
        keys = _first_of_each(
            np.concatenate((keys, owners * world.n_items + items)), degrees, world
        )
        lacking = degrees - np.bincount(keys // world.n_items, minlength=len(degrees))
        rows = rows[lacking[rows] > 0]
        lack, n_rounds = lacking[rows], n_rounds + 1
        done = lacking[keys // world.n_items] == 0
        complete.append(keys[done])
        keys = keys[~done]
    return np.concatenate([*complete, keys])


def _first_of_each(
    keys: NDArray[np.int64], degrees: NDArray[np.int64], world: _World
) -> NDArray[np.int64]:
    """Drop repetitions, and of each row what was drawn after it was complete."""
    distinct, drawn_at = np.unique(keys, return_index=True)
    owners = distinct // world.n_items
    order = np.lexsort((drawn_at, owners))
    rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
    return distinct[order[rank < degrees[owners]]]


def _draw_heavy(
    world: _World,
    users: NDArray[np.int64],
    degrees: NDArray[np.int64],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw without replacement from all items: the largest of log-probability + Gumbel noise."""
    with one_blas_thread():  # the same data on any machine
        score = world.users[:, users].T @ world.items
    logarithm = world.log_popularity() - np.logaddexp(0.0, -world.signal * score)
    order = np.argsort(-(logarithm + rng.gumbel(size=score.shape)), axis=1)
    chosen = np.arange(world.n_items) < degrees[:, None]
    return (rows[:, None] * world.n_items + order)[chosen]
