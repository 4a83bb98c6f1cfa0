"""Functions for kernels that Numba lacks: vector width, prefetching, matrix products.

Here is what they do as plain Python; what they are compiled to is in `overloads`.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from tripletrec._runtime.blas import limit_newly_loaded

__all__ = [
    "TILE_BYTES",
    "TILE_ROWS",
    "blas_product",
    "multiply",
    "multiply_add",
    "multiply_row",
    "multiply_tile",
    "prefer_wide_vectors",
    "prefetch",
    "transpose_block",
]

# Of the 16 registers that processors with AVX2 have, 12 hold a tile of this size. Measured: with it the loop
# is as fast as OpenBLAS, or faster.
TILE_ROWS = 6
TILE_BYTES = 64


def prefer_wide_vectors() -> None:
    """Compile the kernel that calls this first for the widest vectors of the processor.

    By default LLVM uses half their width, because older processors slowed down at full width. A loop
    that does little else than arithmetic on rows of factors is a third faster at full width.

    It also tells LLVM that a product of vectors of 64-bit integers may have to wait for the former content of
    the register that it is written to. This holds for Intel's processors since Alder Lake, but LLVM knows it
    of a few of them only, by name, and virtual machines often give another name. Loops over random numbers
    take half the time with it.
    """


def prefetch(table: Any, row: int, n_bytes: int) -> None:
    """Ask the processor to load row number `row`, of `n_bytes`, of a flat table; it changes no result."""


@cache
def blas_product(dtype: Any) -> int:
    """Return the address of SciPy's ``sgemm`` or ``dgemm``, for `multiply`; `dtype`: float32 or float64."""
    from scipy.linalg import cython_blas  # here, because factor models and answers do without

    limit_newly_loaded()  # SciPy brings a BLAS of its own, perhaps while other models are trained

    capsule = cython_blas.__pyx_capi__[
        {"float32": "sgemm", "float64": "dgemm"}[np.dtype(dtype).name]
    ]
    kind = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)
    name = kind(("PyCapsule_GetName", ctypes.pythonapi))(capsule)
    kind = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    return int(kind(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, name))


def multiply(
    product: int, form: int, m: int, k: int, n: int, a: Any, at_a: int, b: Any, at_b: int,
    c: Any, at_c: int,
) -> None:  # fmt: skip
    """Multiply two matrices by BLAS, from a kernel; they lie row by row in flat arrays.

    Numba's own ``np.dot`` returns a new array and counts references to it, which a kernel does without.

    Parameters
    ----------
    product : int
        What `blas_product` returns for the arrays' dtype.
    form : {0, 1, 2}
        0: C = A B; 1: C += Aᵀ B; 2: C = A Bᵀ.
    m, k, n : int
        A is (m, k). B is (k, n) in form 0, (m, n) in form 1 and (n, k) in form 2; C is (m, n) in forms
        0 and 2, and (k, n) in form 1.
    a, at_a, b, at_b, c, at_c : one-dimensional array, int
        Where each matrix begins: at the element `at_a` of the array `a`, and so on. All of one dtype.
    """
    A = a[at_a : at_a + m * k].reshape(m, k)
    if form == 0:
        c[at_c : at_c + m * n] = (A @ b[at_b : at_b + k * n].reshape(k, n)).ravel()
    elif form == 1:
        c[at_c : at_c + k * n] += (A.T @ b[at_b : at_b + m * n].reshape(m, n)).ravel()
    else:
        c[at_c : at_c + m * n] = (A @ b[at_b : at_b + n * k].reshape(n, k).T).ravel()


def multiply_tile(
    left: Any, at_left: int, n_factors: int, panels: Any, at_panel: int, starts: Any, at_start: int,
    out: Any, at_out: int, stride: int,
) -> None:  # fmt: skip
    """Fill a tile of `TILE_ROWS` rows, of `TILE_BYTES` each, of a matrix product plus a row; from a kernel.

    ``out[r, c] = ((starts[c] + left[r, 0] panel[0, c]) + left[r, 1] panel[1, c]) + …``: added up in this
    order, for whatever tile, unlike in a product by BLAS.

    Parameters
    ----------
    left, at_left, n_factors : one-dimensional array, int, int
        Rows of `n_factors` numbers, one after the other from the element `at_left` on.
    panels, at_panel : one-dimensional array, int
        A panel is `n_factors` rows of a tile's width.
    starts, at_start : one-dimensional array, int
        What each column is added to: a row of a tile's width.
    out, at_out, stride : one-dimensional array, int, int
        Where the tile's first number goes, and from there to the number below it.
    """
    width = TILE_BYTES // panels.itemsize
    for r in range(TILE_ROWS):
        to, factors = at_out + r * stride, left[at_left + r * n_factors :]
        start = starts[at_start : at_start + width]
        out[to : to + width] = _row_of_tile(factors, n_factors, panels, at_panel, start)


def multiply_row(
    left: Any, at_left: int, n_factors: int, panels: Any, at_panel: int, starts: Any, at_start: int,
    out: Any, at_out: int,
) -> None:  # fmt: skip
    """Fill `TILE_ROWS` tiles side by side, of one row only; otherwise as `multiply_tile`.

    Parameters
    ----------
    left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out
        As of `multiply_tile`; the panels of the tiles lie one after the other, and so do their starts.
    """
    width = TILE_BYTES // panels.itemsize
    for p in range(TILE_ROWS):
        to, at = at_out + p * width, at_panel + p * n_factors * width
        start = starts[at_start + p * width : at_start + (p + 1) * width]
        out[to : to + width] = _row_of_tile(left[at_left:], n_factors, panels, at, start)


def _row_of_tile(factors: Any, n_factors: int, panels: Any, at: int, start: Any) -> Any:
    width = len(start)
    columns = panels[at : at + n_factors * width].reshape(n_factors, width)
    total = start.copy()
    for k in range(n_factors):
        total += factors[k] * columns[k]
    return total


def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded as `multiply_tile` rounds it; from a kernel."""
    return a * b + c


def transpose_block(source: Any, at_source: int, stride: int, panel: Any, at_panel: int) -> None:
    """Copy a square of half a tile's width into a panel for `multiply_tile`, transposed; from a kernel.

    Parameters
    ----------
    source, at_source, stride : one-dimensional array, int, int
        The square's first number, and from there to the number below it.
    panel, at_panel : one-dimensional array, int
        Where the square's first row goes; the others are a tile's width apart.
    """
    width = TILE_BYTES // panel.itemsize
    for j in range(width // 2):
        for k in range(width // 2):
            panel[at_panel + k * width + j] = source[at_source + j * stride + k]
