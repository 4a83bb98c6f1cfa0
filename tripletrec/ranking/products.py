"""Products of factors, each number made in one order of additions.

BLAS adds in an order that depends on its number of threads, on the size of the product and on the place in
it. Here ``b[i] + Σ_k U[u, k] V[i, k]`` is added up in the order of k, wherever u and i stand and whoever
multiplies: the same bits for a user alone and among others, and equal scores for equal items.
"""

from __future__ import annotations

import copy
import threading
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.intrinsics import (
    TILE_BYTES,
    TILE_ROWS,
    multiply_add,
    multiply_row,
    multiply_tile,
    prefer_wide_vectors,
    transpose_block,
)
from tripletrec._runtime.jit import kernel, part
from tripletrec.ranking.plain import Budget, best_of_row, fused_sums
from tripletrec.ranking.rows import FactorRows

__all__ = ["Panels", "Products", "budget"]

budget = Budget()
"""Of all requests of this process."""

# Of items that are laid out for tiles at a time, measured: they stay in the second-level cache.
_PANEL_BYTES = 1 << 16
_PAIRS = 32  # whose rows stay in the first-level cache
_BLOCK = 1 << 13  # rows that are laid out at once, at most


@kernel(noalias=True)
def _multiply(left, n_rows, items, starts, whole, n_at_once, width, panels, corner, out):
    """Fill `out`, row by row, with ``left @ items.T + starts``.

    The `panels` hold all items, if they are `whole`; else they take `n_at_once` items at a time.
    """
    prefer_wide_vectors()
    n_items = out.shape[0] // n_rows
    n_factors = left.shape[0] // n_rows
    for first in range(0, n_items, n_at_once):
        last, base = min(n_items, first + n_at_once), first * n_factors
        if not whole:
            base = 0
            _lay_out(items, first, last, n_factors, width, panels, 0)
        n_whole = n_rows // TILE_ROWS * TILE_ROWS
        for r in range(0, n_whole, TILE_ROWS):
            for start in range(first, last, width):
                n, at = min(width, last - start), base + (start - first) * n_factors
                to, row = r * n_items + start, r * n_factors
                if n == width:
                    multiply_tile(left, row, n_factors, panels, at, starts, start, out, to, n_items)
                    continue
                multiply_tile(left, row, n_factors, panels, at, starts, start, corner, 0, width)
                for c in range(TILE_ROWS):
                    for i in range(n):
                        out[to + c * n_items + i] = corner[c * width + i]
        for r in range(n_whole, n_rows):
            for start in range(first, last, TILE_ROWS * width):
                n, at = min(TILE_ROWS * width, last - start), base + (start - first) * n_factors
                to, row = r * n_items + start, r * n_factors
                if n == TILE_ROWS * width:
                    multiply_row(left, row, n_factors, panels, at, starts, start, out, to)
                    continue
                multiply_row(left, row, n_factors, panels, at, starts, start, corner, 0)
                for i in range(n):
                    out[to + i] = corner[i]


@kernel(noalias=True)
def _multiply_own(left, items, starts, bounds, width, panels, corner, out):
    """Fill the beginning of each row of `out` with the scores of the row's own items."""
    prefer_wide_vectors()
    n_rows, group = bounds.shape[0] - 1, TILE_ROWS * width
    n_factors, stride = left.shape[0] // n_rows, out.shape[0] // n_rows
    for r in range(n_rows):
        for start in range(bounds[r], bounds[r + 1], group):
            n, to = min(group, bounds[r + 1] - start), r * stride + start - bounds[r]
            _lay_out(items, start, start + n, n_factors, width, panels, 0)
            multiply_row(left, r * n_factors, n_factors, panels, 0, starts, start, corner, 0)
            for i in range(n):
                out[to + i] = corner[i]


@kernel(noalias=True)
def _add_pairs(left, right, out):
    """Add the product of each pair of rows to `out`; a loop over k alone would be added up in vectors."""
    for first in range(0, out.shape[0], _PAIRS):
        last = min(out.shape[0], first + _PAIRS)
        for k in range(left.shape[1]):
            for n in range(first, last):
                out[n] = multiply_add(left[n, k], right[n, k], out[n])


@kernel(noalias=True)
def _fill_panels(items, n_items, width, panels, at):
    """Lay out items in whole panels, from the place `at` on."""
    _lay_out(items, 0, n_items, items.shape[0] // n_items, width, panels, at)


@part(fused=True)
def _lay_out(items, first, last, n_factors, width, panels, base):
    """Copy items first ... last - 1 into panels, transposed."""
    half = width // 2
    whole = n_factors // half * half
    for start in range(first, last, half):
        place = start - first
        at = base + place // width * width * n_factors + place % width
        n, n_blocks = min(half, last - start), 0
        if n == half:
            n_blocks = whole
        for k in range(0, n_blocks, half):
            transpose_block(items, start * n_factors + k, n_factors, panels, at + k * width)
        for i in range(n):
            for k in range(n_blocks, n_factors):
                panels[at + k * width + i] = items[(start + i) * n_factors + k]


class Panels:
    """All items, laid out for products once; a second copy of their factors.

    Parameters
    ----------
    rows : FactorRows
        Of the items; float32 or float64.
    """

    def __init__(self, rows: FactorRows) -> None:
        self.rows = rows
        self._lock = threading.Lock()
        self._flat: NDArray[Any] | None = None
        self._plain: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.rows.table)

    def flat(self) -> NDArray[Any]:
        """Return the panels, one after the other, whole groups of `TILE_ROWS`."""
        with self._lock:
            if self._flat is None:
                self._flat, self._plain = self._laid_out(), None
            return self._flat

    def plain(self) -> NDArray[Any]:
        """Return all rows, one after the other; a copy only where they are not the table's own."""
        with self._lock:
            plain = self._plain
            if plain is None:
                plain = self.rows.take(slice(None))
                if self._flat is None:
                    self._plain = plain
            return plain

    def _laid_out(self) -> NDArray[Any]:
        n, (n_factors, dtype) = len(self), _form(self.rows)
        width = TILE_BYTES // dtype.itemsize
        block = _BLOCK // (TILE_ROWS * width) * TILE_ROWS * width
        flat = np.empty(_padded(n, width) * n_factors, dtype)
        flat[n // width * width * n_factors :] = 0  # what lies beyond the last item
        for first in range(0, n if n_factors else 0, block):
            items = read_only(self.rows.take(slice(first, first + block)))
            _fill_panels(items.reshape(-1), len(items), width, flat, first * n_factors)
        return flat


class Products:
    """The function rows -> ``U[rows] @ V.T + b``, into memory that each thread reuses.

    Parameters
    ----------
    U : ndarray of shape (n_users, n_factors) or FactorRows
    V : ndarray of shape (n_items, n_factors) or Panels
        All arrays have one dtype, float32 or float64. An array is laid out anew by every call, which takes
        little memory; `Panels` once, which is faster for a few rows.
    b : ndarray of shape (n_items,), optional
    scales : ndarray of shape (n_items,), optional
        What the scores are multiplied by.
    """

    def __init__(
        self,
        U: NDArray[Any] | FactorRows,
        V: NDArray[Any] | Panels,
        b: NDArray[Any] | None = None,
        *,
        scales: NDArray[Any] | None = None,
    ) -> None:
        self._users = U if isinstance(U, FactorRows) else FactorRows(U)
        self._panels = V if isinstance(V, Panels) else None
        self._rows = V.rows if isinstance(V, Panels) else FactorRows(V)
        self.n_items, (self.n_factors, self._dtype) = len(V), _form(self._rows)
        width = TILE_BYTES // self._dtype.itemsize
        starts = np.zeros(_padded(self.n_items, width), self._dtype)
        if b is not None:
            starts[: self.n_items] = b
        self._starts, self._scales = read_only(starts), scales
        self._local = threading.local()

    def anew(self) -> Self:
        """Return the same function with memory of its own, which ends with it."""
        twin = copy.copy(self)
        twin._local = threading.local()
        return twin

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the products of some rows, which the next call in the same thread overwrites."""
        n_rows, n_items = len(rows), self.n_items
        out = self._memory(n_rows * n_items)
        if len(out):
            self._fill(rows, out)
        scores = out.reshape(n_rows, n_items)
        return scores if self._scales is None else _scaled(scores, self._scales)

    def restricted(self, items: NDArray[np.int64]) -> Products:
        """Return the function for some of the items only, which costs what these cost."""
        scales = None if self._scales is None else self._scales[items]
        return Products(self._users, self._rows.take(items), self._starts[items], scales=scales)

    def own(
        self, rows: NDArray[np.int64], items: NDArray[np.int64], bounds: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return the scores of each row's own items, filled up with -inf.

        Parameters
        ----------
        rows : int64 array of shape (n,)
        items : int64 array
        bounds : int64 array of shape (n + 1,)
            Row ``rows[r]`` has ``items[bounds[r] : bounds[r + 1]]``.

        Returns
        -------
        ndarray of shape (n, most items of a row)
        """
        sizes = np.diff(bounds)
        scores = np.full((len(rows), sizes.max(initial=0)), -np.inf, self._dtype)
        if scores.size:
            group = TILE_ROWS * TILE_BYTES // self._dtype.itemsize
            taken = read_only(self._rows.take(items)).reshape(-1)
            starts = np.zeros(len(items) + group, self._dtype)
            starts[: len(items)] = self._starts[items]
            left = read_only(self._left(rows)).reshape(-1)
            _multiply_own(
                left, taken, read_only(starts), read_only(bounds), group // TILE_ROWS,
                np.zeros(group * self.n_factors, self._dtype), np.empty(group, self._dtype),
                scores.reshape(-1),
            )  # fmt: skip
            if self._scales is not None:
                inside = np.arange(scores.shape[1]) < sizes[:, None]
                scores[inside] = _scaled(scores[inside], self._scales[items])
        return scores

    def pairs(self, rows: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[Any]:
        """Return the scores of pairs, the same bits as elsewhere.

        Parameters
        ----------
        rows, items : int64 arrays of shape (n,)
        """
        scores = np.empty(len(rows), self._dtype)
        for first in range(0, len(rows), _BLOCK):
            some = slice(first, first + _BLOCK)
            left, right = self._left(rows[some]), self._rows.take(items[some])
            starts = self._starts[items[some]]
            if self._dtype == np.float32 and budget.suffices(1, len(starts), 64 * self.n_factors):
                scores[some] = budget.spend(partial(fused_sums, left, right, starts))
                continue
            scores[some] = starts
            _add_pairs(read_only(left), read_only(right), scores[some])
        return scores if self._scales is None else _scaled(scores, self._scales[items])

    def best_in_numpy(
        self, row: int, k: int, left_out: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        """Return the best items of one row without a kernel, as `plain` does; None if it cannot.

        Parameters
        ----------
        row : int
        k : int
            1 ... n_items.
        left_out : int32 array
        """
        if self._dtype != np.float32:
            return None
        items = self._rows.take(slice(None)) if self._panels is None else self._panels.plain()
        left, starts = self._left(np.array([row]))[0], self._starts[: self.n_items]
        if self._scales is None:
            largest = max(items.max(initial=0.0), -items.min(initial=0.0))
            size = float(np.abs(starts).max()) + float(largest) * float(np.abs(left).sum())
        else:  # which are one over the lengths of the rows: no cosine exceeds 1
            size = float(np.sqrt(np.square(left).sum())) * 1.01
        if not size < 1e30:
            return None
        scores = items @ left
        scores += starts
        if self._scales is not None:
            scores *= self._scales
        scores[left_out] = -np.inf

        def exactly(some: NDArray[np.int64]) -> NDArray[Any]:
            sums = fused_sums(left, self._rows.take(some), starts[some])
            return sums if self._scales is None else _scaled(sums, self._scales[some])

        error = 2.2 * (self.n_factors + 3) * 2.0**-24 * size + 1e-36
        return best_of_row(scores, error, k, exactly)

    def _fill(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        left, width = self._left(rows), TILE_BYTES // self._dtype.itemsize
        whole = self._panels is not None
        n_panels = max(1, _PANEL_BYTES // (TILE_BYTES * (self.n_factors + 1)) // TILE_ROWS)
        n_at_once = n_panels * TILE_ROWS * width
        if self._panels is not None:
            items, panels = left.reshape(-1)[:0], self._panels.flat()
        else:
            items = read_only(self._rows.table).reshape(-1)
            panels = self._scratch(n_at_once * self.n_factors)
        corner = np.empty(TILE_ROWS * width, self._dtype)
        _multiply(
            read_only(left).reshape(-1), len(rows), read_only(items), self._starts, whole, n_at_once,
            width, panels, corner, out,
        )  # fmt: skip

    def _left(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return self._users.take(rows).astype(self._dtype, copy=False)

    def _memory(self, size: int) -> NDArray[Any]:
        memory: NDArray[Any] | None = getattr(self._local, "scores", None)
        if memory is None or size > len(memory):
            memory = self._local.scores = np.empty(size, self._dtype)
        return memory[:size]

    def _scratch(self, size: int) -> NDArray[Any]:
        # Tiles are computed whole: what lies beyond the last item goes nowhere, but is read.
        scratch: NDArray[Any] | None = getattr(self._local, "panels", None)
        if scratch is None:
            scratch = self._local.panels = np.zeros(size, self._dtype)
        return scratch


def _form(rows: FactorRows) -> tuple[int, np.dtype[Any]]:
    """Return the length of rows and their dtype."""
    first = rows.take(slice(0, 1))
    return first.shape[1], first.dtype


def _padded(n: int, width: int) -> int:
    """Return the number of items, rounded up to whole groups of panels."""
    group = TILE_ROWS * width
    return -(-n // group) * group


def _scaled(scores: NDArray[Any], scales: NDArray[Any]) -> NDArray[Any]:
    """Multiply scores, in place; what is zero is no negative zero."""
    scores *= scales
    scores += 0.0
    return scores
