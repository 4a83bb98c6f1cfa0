"""What the training loop of triplets reads and writes, as records; the loop is in `triplet_kernel`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import aligned
from tripletrec.losses import Loss
from tripletrec.training.plan import L2

__all__ = [
    "GROUP",
    "N_TOTALS",
    "GroupScratch",
    "HyperParameters",
    "ItemRows",
    "Search",
    "Triplets",
    "UserRows",
    "group_scratch",
    "search_of",
]

GROUP = 16  # the most triplets of a group: a vector of float32
N_TOTALS = (
    5  # of a stratum: sums of loss, right order and weights, triplets, those that led to a step
)

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
    others : int32 array of shape (n * (n_positives - 1),)
        Where a loss compares several positives of a user: which triplets have the others.
    """

    pairs: NDArray[np.int32]
    negatives: NDArray[np.int32]
    weights: Float32
    others: NDArray[np.int32] = np.empty(0, np.int32)


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


class Search(NamedTuple):
    """How a loss searches for its negatives, see `tripletrec.losses.warp`.

    Parameters
    ----------
    weights : float32 array of shape (max_sampled,)
        Weight of a triplet whose negative was found after 1, 2, … tries.
    n_positives : int
        Positives that are compared for each triplet.
    k : int
        The k-th best of them is the positive.
    """

    weights: Float32
    n_positives: int
    k: int


class HyperParameters(NamedTuple):
    """Numbers that the steps depend on, all of float32, whether biases are learnt, and the search, if any."""

    rate: np.float32
    l2: L2
    loss: tuple[np.float32, ...]
    optimizer: tuple[np.float32, ...]
    item_bias: bool
    search: Search | None = None


class GroupScratch(NamedTuple):
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
    rank_weights: Float32  # that multiply the slopes, where negatives are searched for
    best_scores: Float32  # of the positives that are compared, falling
    best: NDArray[np.int64]  # the triplets that have them


def group_scratch(width: int, n_positives: int = 1) -> GroupScratch:
    """Return scratch for rows of `width` factors, padding included, and positives that are compared."""
    floats = [np.zeros(n * GROUP, np.float32) for n in (1, 1, 1, 5, 8, 3)]
    floats += [aligned(width), np.zeros(GROUP, np.float32), np.zeros(n_positives, np.float32)]
    rows, best = np.zeros(5 * GROUP, np.uint64), np.zeros(n_positives, np.int64)
    return GroupScratch._make([rows, *floats, best])


def search_of(loss: Loss, n_items: int) -> Search | None:
    """Return how a loss searches among so many items; None if it does not."""
    if not loss.searches:
        return None
    return Search(np.array(loss.weights(n_items), np.float32), loss.n_positives, loss.k)
