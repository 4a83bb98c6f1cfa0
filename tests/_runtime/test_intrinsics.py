"""Products of small matrices as BLAS and NumPy give them, the same bits in any tile, hints."""

import os
import re
from typing import NamedTuple

import numpy as np
import pytest

from tripletrec._runtime.intrinsics import (
    TILE_BYTES,
    TILE_ROWS,
    blas_product,
    multiply,
    multiply_row,
    multiply_tile,
    prefer_wide_vectors,
    prefetch,
    transpose_block,
)
from tripletrec._runtime.jit import kernel


@kernel
def _multiply(product, form, m, k, n, a, at_a, b, at_b, c, at_c):
    multiply(product, form, m, k, n, a, at_a, b, at_b, c, at_c)


@pytest.mark.parametrize("multiplied", [multiply, _multiply], ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 4, 5), (7, 1, 2), (2, 9, 1), (33, 17, 65)])
def test_multiply_is_the_product(sizes, form, dtype, multiplied):
    m, k, n = sizes
    random = np.random.default_rng(m * 100 + k * 10 + n)
    a, b, c = (
        random.normal(size=size).astype(dtype) for size in (5 + m * k, 7 + 65 * 33, 11 + 65 * 33)
    )
    shape_of_b = [(k, n), (m, n), (n, k)][form]
    A = a[5 : 5 + m * k].reshape(m, k)
    B = b[7 : 7 + shape_of_b[0] * shape_of_b[1]].reshape(shape_of_b)
    expected, size = c.copy(), [m * n, k * n, m * n][form]
    product = [
        A @ B if form == 0 else None,
        A.T @ B if form == 1 else None,
        A @ B.T if form == 2 else None,
    ]
    expected[11 : 11 + size] = product[form].ravel() + (form == 1) * c[11 : 11 + size]
    multiplied(blas_product(np.dtype(dtype)), form, m, k, n, a, 5, b, 7, c, 11)
    close = {np.float32: 1e-4, np.float64: 1e-12}[dtype]
    np.testing.assert_allclose(c, expected, rtol=close, atol=close)
    np.testing.assert_array_equal(c[:11], expected[:11])
    np.testing.assert_array_equal(c[11 + size :], expected[11 + size :])


def test_blas_product_knows_two_dtypes():
    assert blas_product(np.float32) != blas_product(np.float64)
    with pytest.raises(KeyError, match="int64"):
        blas_product(np.int64)


@kernel
def _multiply_tile(
    left, at_left, n_factors, panel, at_panel, starts, at_start, out, at_out, stride
):
    multiply_tile(left, at_left, n_factors, panel, at_panel, starts, at_start, out, at_out, stride)


@pytest.mark.parametrize("multiplied", [multiply_tile, _multiply_tile], ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_factors", [0, 1, 5, 64])
def test_multiply_tile_fills_a_tile_only(n_factors, dtype, multiplied, rng):
    width = TILE_BYTES // np.dtype(dtype).itemsize
    left = rng.normal(size=3 + TILE_ROWS * n_factors).astype(dtype)
    panel = rng.normal(size=5 + n_factors * width).astype(dtype)
    starts = rng.normal(size=7 + width).astype(dtype)
    out = rng.normal(size=(TILE_ROWS + 2, width + 9)).astype(dtype)
    expected = out.copy()
    rows, columns = left[3:].reshape(TILE_ROWS, n_factors), panel[5:].reshape(-1, width)
    expected[1 : 1 + TILE_ROWS, 2 : 2 + width] = starts[7:] + rows @ columns
    multiplied(left, 3, n_factors, panel, 5, starts, 7, out.reshape(-1), (width + 9) + 2, width + 9)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@kernel
def _multiply_row(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out):
    multiply_row(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out)


@pytest.mark.parametrize("multiplied", [multiply_row, _multiply_row], ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_factors", [0, 1, 5, 64])
def test_multiply_row_gives_the_bits_of_a_tile(n_factors, dtype, multiplied, rng):
    width = TILE_BYTES // np.dtype(dtype).itemsize
    left = rng.normal(size=3 + TILE_ROWS * n_factors).astype(dtype)
    panels = rng.normal(size=5 + TILE_ROWS * n_factors * width).astype(dtype)
    starts = rng.normal(size=7 + TILE_ROWS * width).astype(dtype)
    out = np.zeros(2 + TILE_ROWS * width + 3, dtype)
    multiplied(left, 3, n_factors, panels, 5, starts, 7, out, 2)
    tile = _multiply_tile if multiplied is _multiply_row else multiply_tile
    expected, piece = np.zeros_like(out), np.zeros((TILE_ROWS, width), dtype)
    for p in range(TILE_ROWS):
        at, start = 5 + p * n_factors * width, 7 + p * width
        tile(left, 3, n_factors, panels, at, starts, start, piece.reshape(-1), 0, width)
        expected[2 + p * width : 2 + (p + 1) * width] = piece[0]
    np.testing.assert_array_equal(out, expected)


@kernel
def _transpose_block(source, at_source, stride, panel, at_panel):
    transpose_block(source, at_source, stride, panel, at_panel)


@pytest.mark.parametrize("moved", [transpose_block, _transpose_block], ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transpose_block_fills_half_the_width(dtype, moved):
    width = TILE_BYTES // np.dtype(dtype).itemsize
    half = width // 2
    source = np.arange(3 + half * 20, dtype=dtype)
    panel = np.full((half + 2, width), -1, dtype)
    expected = panel.copy()
    expected[1 : 1 + half, 1 : 1 + half] = source[3:].reshape(half, 20)[:, :half].T
    moved(source, 3, 20, panel.reshape(-1), width + 1)
    np.testing.assert_array_equal(panel, expected)


def _work(table, n_bytes, total):
    prefer_wide_vectors()
    n_rows = table.shape[0] // 16
    for row in range(n_rows):
        prefetch(table, (row + 5) * 1000, n_bytes)  # beyond the end as well: a hint is no access
        for k in range(16):
            total[0] += table[row * 16 + k]


def test_hints_to_the_processor_change_no_result():
    table, found, expected = np.arange(160.0), np.zeros(1), np.zeros(1)
    _work(table, 128, expected)
    compiled = kernel(_work)
    compiled(table, 128, found)
    assert found[0] == expected[0] == table.sum()


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="looks at compiled code")
def test_hints_reach_the_compiler(compiled_anew):
    def work(table, total):
        prefer_wide_vectors()
        prefetch(table, 3, 128)
        total[0] = table[0]

    compiled = kernel(work)
    compiled(np.ones(64), np.zeros(1))
    (text,) = compiled.inspect_llvm().values()
    assert re.search(r'"prefer-vector-width"="512"', text)
    assert "llvm.prefetch" in text


class Pair(NamedTuple):
    numbers: np.ndarray
    sums: np.ndarray


@kernel(noalias=True)
def _sum_up(arrays):
    prefer_wide_vectors()
    pair = Pair(*arrays)
    for t in range(pair.numbers.shape[0]):
        pair.sums[t] = pair.numbers[t] + (pair.sums[t - 1] if t > 0 else 0.0)


@pytest.mark.parametrize("compiled", [True, False])
def test_what_is_written_to_a_record_made_in_the_kernel_is_written(compiled):
    """Numba would leave it out if the call for wide vectors were inlined as an overload."""
    pair = Pair(np.arange(5.0), np.zeros(5))
    (_sum_up if compiled else getattr(_sum_up, "py_func", _sum_up))(tuple(pair))
    np.testing.assert_array_equal(pair.sums, [0, 1, 3, 6, 10])
