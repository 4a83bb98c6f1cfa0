"""Products of factors, each number made in one order of additions; what is done with them is not here.

BLAS adds in an order that depends on its number of threads, on the size of the product and on the place in
it. Here ``b[i] + Σ_k U[u, k] V[i, k]`` is added up in the order of k, wherever u and i stand and whoever
multiplies: the same bits for a user alone and among others, and equal scores for equal items.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.intrinsics import (
    TILE_BYTES,
    TILE_ROWS,
    multiply_row,
    multiply_tile,
    prefer_wide_vectors,
    transpose_block,
)
from tripletrec._runtime.jit import kernel, part

__all__ = ["Products"]

# Of items that are laid out for tiles at a time, measured: they stay in the second-level cache.
_PANEL_BYTES = 1 << 16


@kernel(noalias=True)
def _multiply(left, n_rows, items, biases, width, panels, corner, out):  # type: ignore[no-untyped-def]
    """Fill `out`, row by row, with ``left @ items.T + biases``; `panels` hold several tiles' items."""
    prefer_wide_vectors()
    n_items = biases.shape[0]
    n_factors = items.shape[0] // n_items
    panel_size = (n_factors + 1) * width
    n_at_once = panels.shape[0] // panel_size * width
    for first in range(0, n_items, n_at_once):
        last = min(n_items, first + n_at_once)
        _lay_out(items, biases, first, last, n_factors, width, panels)
        n_whole = n_rows // TILE_ROWS * TILE_ROWS
        for r in range(0, n_whole, TILE_ROWS):
            for start in range(first, last, width):
                n, at = min(width, last - start), (start - first) // width * panel_size
                if n == width:
                    to = r * n_items + start
                    multiply_tile(left, r * n_factors, n_factors, panels, at, out, to, n_items)
                    continue
                multiply_tile(left, r * n_factors, n_factors, panels, at, corner, 0, width)
                for row in range(TILE_ROWS):
                    for i in range(n):
                        out[(r + row) * n_items + start + i] = corner[row * width + i]
        for r in range(n_whole, n_rows):
            for start in range(first, last, TILE_ROWS * width):
                n, at = min(TILE_ROWS * width, last - start), (start - first) // width * panel_size
                to = r * n_items + start
                if n == TILE_ROWS * width:
                    multiply_row(left, r * n_factors, n_factors, panels, at, out, to)
                    continue
                multiply_row(left, r * n_factors, n_factors, panels, at, corner, 0)
                for i in range(n):
                    out[to + i] = corner[i]


@part(fused=True)
def _lay_out(items, biases, first, last, n_factors, width, panels):  # type: ignore[no-untyped-def]
    """Copy items first ... last - 1 and their biases into panels, transposed."""
    half, panel_size = width // 2, (n_factors + 1) * width
    whole = n_factors // half * half
    for start in range(first, last, half):
        at = (start - first) // width * panel_size + (start - first) % width
        n, n_blocks = min(half, last - start), 0
        if n == half:
            n_blocks = whole
        for k in range(0, n_blocks, half):
            transpose_block(items, start * n_factors + k, n_factors, panels, at + k * width)
        for i in range(n):
            for k in range(n_blocks, n_factors):
                panels[at + k * width + i] = items[(start + i) * n_factors + k]
            panels[at + n_factors * width + i] = biases[start + i]


class Products:
    """The function rows -> ``U[rows] @ V.T + b``, into memory that each thread reuses.

    Parameters
    ----------
    U, V : ndarray of shape (n_users, n_factors) and (n_items, n_factors)
        All arrays have one dtype, float32 or float64.
    b : ndarray of shape (n_items,), optional
    """

    def __init__(self, U: NDArray[Any], V: NDArray[Any], b: NDArray[Any] | None = None) -> None:
        self._users, self._items = U, read_only(V).reshape(-1)
        self._biases = read_only(np.zeros(len(V), V.dtype) if b is None else b)
        self._local = threading.local()

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the products of some rows, which the next call in the same thread overwrites."""
        n_rows, n_items = len(rows), len(self._biases)
        out, panels, corner = self._memory(n_rows)
        left = self._users[rows].astype(out.dtype, copy=False).reshape(-1)
        scores = out[: n_rows * n_items]
        width = TILE_BYTES // out.itemsize
        _multiply(left, n_rows, self._items, self._biases, width, panels, corner, scores)
        return scores.reshape(n_rows, n_items)

    def _memory(self, n_rows: int) -> tuple[NDArray[Any], ...]:
        memory: tuple[NDArray[Any], ...] | None = getattr(self._local, "memory", None)
        if memory is None or n_rows * len(self._biases) > len(memory[0]):
            n_factors, dtype = self._users.shape[1], self._items.dtype
            width = TILE_BYTES // dtype.itemsize
            n_panels = max(1, _PANEL_BYTES // (TILE_BYTES * (n_factors + 1)) // TILE_ROWS)
            # Tiles are computed whole: what lies beyond the last item goes nowhere.
            memory = (
                np.empty(n_rows * len(self._biases), dtype),
                np.zeros(n_panels * TILE_ROWS * width * (n_factors + 1), dtype),
                np.empty(TILE_ROWS * width, dtype),
            )
            self._local.memory = memory
        return memory
