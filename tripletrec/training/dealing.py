"""How users and items are dealt into blocks; which blocks are learnt together is in `strata`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.counter_random import below, derive, shuffle
from tripletrec._runtime.first_work import FirstWork
from tripletrec._runtime.jit import kernel, part
from tripletrec.training.strata import place_bits

__all__ = ["Partition", "deal"]

_FIRST = FirstWork(2**16)  # rows


class Partition(NamedTuple):
    """Users or items, dealt into blocks.

    Parameters
    ----------
    order : int32 array of shape (n_rows,)
        The rows, block by block.
    bounds : int64 array of shape (n_blocks + 1,)
        Where the blocks begin in `order`.
    block_of : int16 array of shape (n_rows,)
        Block of each row.
    position_of : int32 array of shape (n_rows,)
        Its block and, in the bits below, its place within the block; see `strata.Codes`.
    """

    order: NDArray[np.int32]
    bounds: NDArray[np.int64]
    block_of: NDArray[np.int16]
    position_of: NDArray[np.int32]


def deal(ranking: NDArray[np.int32], n_blocks: int, key: Any) -> Partition:
    """Deal rows at random into blocks that are alike in size and weight.

    Parameters
    ----------
    ranking : int32 array of shape (n_rows,)
        The rows by falling weight. Runs of it are shuffled and dealt out in turn, so every block gets its
        part of the heavy rows and of the light ones. A run, the last one too, is many times the number of
        blocks, so that rows of similar weight meet as often as others do.
    n_blocks : int
    key : uint64
        The stream of random numbers.
    """
    n, dealt = len(ranking), ranking.copy()
    shuffle_runs = _shuffle_first if _FIRST.covers(n) else _shuffle_runs
    shuffle_runs(dealt, 32 * n_blocks, key)
    place, block = np.divmod(np.arange(n, dtype=np.int32), np.int32(n_blocks))
    block_of, position_of = np.empty(n, np.int16), np.empty_like(ranking)
    block_of[dealt] = block
    position_of[dealt] = (block << place_bits(n, n_blocks)) | place
    sizes = np.bincount(block, minlength=n_blocks)
    order = np.concatenate([dealt[first::n_blocks] for first in range(n_blocks)])
    return Partition(order, np.append(0, sizes.cumsum()), block_of, position_of)


@part
def _n_runs(n_rows, run):
    """Return the number of runs; the last one has from one half to one and a half of what others have."""
    return max(1, (n_rows + run // 2) // run)


@kernel
def _shuffle_runs(rows, run, key):
    n_runs = _n_runs(rows.shape[0], run)
    for r in range(n_runs):
        first, last = r * run, (r + 1) * run if r < n_runs - 1 else rows.shape[0]
        shuffle(rows, first, last, derive(key, first))


def _shuffle_first(rows: NDArray[np.int32], run: int, key: Any) -> None:
    """Do what `_shuffle_runs` does, in Python: a swap follows upon another."""
    if len(rows) < 2:  # of an array of one element NumPy before 2.4 warns
        return
    at = np.arange(len(rows))
    first = np.minimum(at // run, _n_runs(len(rows), run) - 1) * run
    t = at - first
    other = first + below(derive(key, first), t, t + 1)
    shuffled = rows.tolist()
    for a, b in zip(at[::-1].tolist(), other[::-1].tolist(), strict=True):
        shuffled[a], shuffled[b] = shuffled[b], shuffled[a]
    rows[:] = shuffled
