import os
import re
from typing import NamedTuple

import numpy as np
import pytest

from tripletrec._runtime.intrinsics import (
    blas_product,
    multiply,
    prefer_wide_vectors,
    prefetch,
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
def test_hints_reach_the_compiler():
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
