"""What the training loop of triplets reads and writes, as records; the loop is in `triplet_kernel`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import aligned
from tripletrec.training.plan import L2

__all__ = [
    "GROUP",
    "HyperParameters",
    "ItemRows",
    "Scratch",
    "Triplets",
    "UserRows",
    "group_scratch",
]

GROUP = 16  # the most triplets of a group: a vector of float32

Float32 = NDArray[np.float32]


class Triplets(NamedTuple):
    """The triplets of some strata, next to each other; items go by their positions (see `strata`).

    Parameters
    ----------
    pairs : int32 array of shape (n, 2)
        User and positive.
    negatives : int32 array of shape (n * n_negatives * n_candidates,)
        Triplet by triplet; < 0: none.
    weights : float32 array of shape (n,) or (0,)
        Empty where all weigh 1.
    """

    pairs: NDArray[np.int32]
    negatives: NDArray[np.int32]
    weights: Float32


class UserRows(NamedTuple):
    """What is learnt of users: a flat table of rows, and the step counts of each row."""

    table: Float32
    step_counts: Float32


class ItemRows(NamedTuple):
    """What is learnt of items: a flat table of rows, and by position each one's row, bias, step counts."""

    table: Float32
    row_at: NDArray[np.int32]
    biases: Float32
    step_counts: Float32


class HyperParameters(NamedTuple):
    """Numbers that the steps depend on, all of float32, and whether biases are learnt."""

    rate: np.float32
    l2: L2
    loss: tuple[np.float32, ...]
    optimizer: tuple[np.float32, ...]
    item_bias: bool


class Scratch(NamedTuple):
    """What is kept of the triplets of a group.

    Each array is flat: its quantity number k, from 0, begins at k * GROUP, which is called `_k` below. The
    compiler knows that arrays handed in do not overlap, and an array takes but one register for its address.
    """

    rows: NDArray[np.uint64]  # user, positions of the items, rows of the items
    differences: Float32  # of the biases
    weights: Float32
    slopes: Float32
    products: Float32  # of rows: u·i, u·j, u·u, i·i, j·j
    coefficients: Float32  # p and q of the gradients of s(u, i), s(u, j) by u, then by i and j
    rates: Float32  # step sizes of the user's row, the positive's, the negative's
    old: Float32  # the weights of one row


def group_scratch(width: int) -> Scratch:
    """Return scratch for rows of `width` factors, padding included."""
    floats = [np.zeros(n * GROUP, np.float32) for n in (1, 1, 1, 5, 8, 3)]
    return Scratch._make([np.zeros(5 * GROUP, np.uint64), *floats, aligned(width)])
