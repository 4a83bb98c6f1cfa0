"""What splits share: checks, and leaving out some interactions of each user."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_count, check_random_state, check_share, is_number
from tripletrec.data.interactions import Interactions

__all__ = [
    "count_of",
    "generator",
    "is_share",
    "leave_out",
    "require_interactions",
    "times_of",
]


def generator(random_state: Seed) -> np.random.Generator:
    """Return the source of a split's random numbers."""
    return np.random.default_rng(check_random_state(random_state))


def require_interactions(data: Any, name: str) -> None:
    """Raise unless these are Interactions."""
    if not isinstance(data, Interactions):
        raise TypeError(
            f"{name} must be Interactions, got {type(data).__name__}: wrap it in Interactions(...)"
        )


def times_of(data: Interactions, name: str, why: str) -> NDArray[Any]:
    """Return the timestamps, or say why they are needed."""
    if data.timestamps is None:
        raise ValueError(f"{name} must have timestamps: {why}")
    data._check_still_inside(name)
    return data.timestamps


def is_share(value: Any) -> bool:
    """Tell whether this is a number between 0 and 1, both excluded."""
    return is_number(value) and 0 < value < 1


def count_of(size: Any, n: int, name: str) -> int:
    """Return how many of `n` a share stands for, rounded up, or the number itself."""
    if isinstance(size, Integral):
        return check_count(size, name)
    return int(np.ceil(check_share(size, name) * n))


def leave_out(
    data: Interactions, order: NDArray[np.int64], n: int, min_left: int, name: str
) -> tuple[Interactions, Interactions]:
    """Split off some interactions of each user who has enough of them.

    Parameters
    ----------
    data : Interactions
    order : int64 ndarray
        Their positions, user by user as in `data`; of each user the last `n` are split off.
    n, min_left : int
        A user with fewer than ``n + min_left`` keeps all.
    name : str
        What error messages call `n`.
    """
    rows, indptr = data.rows, data.indptr
    # `order` sorts within the rows only: position p still belongs to rows[p].
    n_from_here = indptr[1:][rows] - np.arange(len(rows))
    held_out = order[(n_from_here <= n) & (np.diff(indptr)[rows] >= n + min_left)]
    if len(held_out) == 0:
        raise ValueError(
            f"{name}={n} leaves nothing to test: no user has {n + min_left} interactions, of which "
            f"{min_left} must be left"
        )
    kept = np.ones(len(rows), bool)
    kept[held_out] = False
    return data[kept], data[~kept]
