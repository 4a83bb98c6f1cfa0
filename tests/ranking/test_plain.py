"""Lists and sums in NumPy: bit for bit those of the kernels, for numbers of any kind."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiers import examples
from tripletrec.ranking import plain
from tripletrec.ranking.products import Panels, Products
from tripletrec.ranking.rows import FactorRows
from tripletrec.ranking.scores import factor_scores
from tripletrec.ranking.top_k import top_k

FUSED = pytest.mark.skipif(
    not plain.is_fused(), reason="kernels round twice here, or it is not known"
)


def numbers(rng, shape, kind):
    """Numbers that are rounded in every way: of few bits, so that sums lie in the middle, or of any size."""
    if kind == "normal":
        return rng.normal(size=shape).astype(np.float32)
    if kind == "few bits":
        steps = 2.0 ** -rng.integers(0, 30, shape)
        return (rng.integers(-3, 4, shape) * steps).astype(np.float32)
    if kind == "middle":  # where a product ends just below half a step of the sum
        near_one = rng.choice([1.0, 1.0 + 2.0**-23, 1.0 - 2.0**-23, 1.0 - 2.0**-24], shape)
        return (near_one * 2.0 ** -rng.choice([0, 0, 12, 23, 24], shape)).astype(np.float32)
    exponents = rng.integers(-149, 20, shape) if kind == "tiny" else rng.integers(-60, 60, shape)
    with np.errstate(under="ignore"):
        return (rng.normal(size=shape) * 2.0**exponents).astype(np.float32)


KINDS = st.sampled_from(["normal", "few bits", "middle", "tiny", "any size"])


@FUSED
@examples(100)
@given(st.integers(0, 2**32 - 1), st.integers(0, 70), KINDS, KINDS, KINDS)
@example(0, 64, "middle", "middle", "middle")
def test_sums_have_the_bits_of_a_kernel(seed, n_factors, left, right, start):
    rng = np.random.default_rng(seed)
    n_rows, n_items = 7, 300
    U, V = numbers(rng, (n_rows, n_factors), left), numbers(rng, (n_items, n_factors), right)
    b = numbers(rng, n_items, start)
    expected = Products(U, V, b)(np.arange(n_rows))
    for row in range(n_rows):
        np.testing.assert_array_equal(plain.fused_sums(U[row], V, b), expected[row])
    rows, items = rng.integers(0, n_rows, 100), rng.integers(0, n_items, 100)
    found = plain.fused_sums(U[rows], V[items], b[items])
    np.testing.assert_array_equal(found, expected[rows, items])


@FUSED
def test_the_middle_between_two_numbers_is_met():
    """Else the test above would not have tried what is rounded twice."""
    left = np.array([2.0**-24 * (1.0 + 2.0**-23)], np.float32)
    right = np.array([[1.0 - 2.0**-23]], np.float32)
    start = np.array([1.0 + 2.0**-23], np.float32)
    # The product is 2**-24 - 2**-70, a bit less than half of a step of the sum.
    twice = (np.float64(left[0]) * np.float64(right[0, 0]) + np.float64(start[0])).astype(
        np.float32
    )
    found = plain.fused_sums(left, right, start)
    assert found[0] == start[0] != twice
    np.testing.assert_array_equal(found, Products(left[None], right, start)(np.zeros(1, int))[0])


@FUSED
@examples(100)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    KINDS,
    st.integers(1, 60),
    st.booleans(),
    st.booleans(),
)
def test_lists_are_those_of_the_kernels(seed, n_factors, kind, k, scaled, excluding):
    rng = np.random.default_rng(seed)
    n_items = int(rng.integers(1, 400))
    k = min(k, n_items)
    U, V = numbers(rng, (5, n_factors), "normal"), numbers(rng, (n_items, n_factors), kind)
    V[rng.integers(0, n_items, n_items // 2)] = V[0]  # ties
    scales = None
    if scaled:
        lengths = np.sqrt(np.square(V, dtype=np.float64).sum(1))
        scales = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-6).astype(
            np.float32
        )
        U /= np.sqrt(np.square(U).sum(1))[:, None]
    b = None if scaled else numbers(rng, n_items, kind)
    products = Products(FactorRows(U), Panels(FactorRows(V)), b, scales=scales)
    out = np.unique(rng.integers(0, n_items, n_items // 3 if excluding else 0)).astype(np.int32)
    for row in range(5):
        found = products.best_in_numpy(row, k, out)
        if found is None:
            continue
        exclude = (np.array([0, len(out)]), out)
        items, best = top_k(products, [row], n_items, k, exclude=exclude)
        m = int((items[0] >= 0).sum())
        np.testing.assert_array_equal(found[0], items[0, :m])
        np.testing.assert_array_equal(found[1], best[0, :m])


def test_too_many_near_the_last_are_left_to_the_kernels(rng):
    scores = np.zeros(10_000, np.float32)
    assert plain.best_of_row(scores, 0.0, 5, lambda items: scores[items]) is None
    scores[:4000] = 1
    items, best = plain.best_of_row(scores, 0.1, 5, lambda items: scores[items])
    assert items.tolist() == [0, 1, 2, 3, 4] and best.tolist() == [1.0] * 5


def test_numbers_beyond_all_sense_are_left_to_the_kernels():
    V = np.ones((5, 2), np.float32)
    for wrong in (np.nan, np.inf, 1e35):
        V[3, 1] = wrong
        products = factor_scores(np.ones((1, 2), np.float32), V)
        assert products.best_in_numpy(0, 2, np.empty(0, np.int32)) is None
    products = factor_scores(np.ones((1, 2)), np.ones((5, 2)))  # float64
    assert products.best_in_numpy(0, 2, np.empty(0, np.int32)) is None


def test_settings_of_numba_leave_it_to_the_kernels(monkeypatch):
    for name in ("NUMBA_DISABLE_JIT", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert not plain.is_fused()


def test_a_budget_ends():
    budget = plain.Budget(patience=0.0)
    assert not budget.suffices(1, 10, 10)
    assert plain.Budget().spend(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        plain.Budget().spend(lambda: 1 // 0)


CHOOSE = """
import sys
import numpy as np
from tripletrec.ranking.top_k import top_k
def cases(seed):
    rng = np.random.default_rng(seed)
    for dtype in (np.float32, np.float64):
        for n_items, k in ((1, 1), (40, 7), (300, 300)):
            scores = rng.integers(-9, 9, (3, n_items)).astype(dtype) / 8  # ties
            scores[rng.random(scores.shape) < 0.1] = -np.inf
            scores[0, rng.integers(n_items)] = np.inf
            out = np.arange(0, n_items, 3, dtype=np.int32)
            exclude = np.arange(4) * len(out), np.tile(out, 3)
            for chosen in (None, np.arange(0, n_items, 2)):
                for left_out in (None, exclude):
                    yield scores, (n_items, k), {"exclude": left_out, "candidates": chosen}
def lists(seed):
    for scores, sizes, options in cases(seed):
        yield top_k(lambda rows: scores[rows], [2, 0, 1], *sizes, **options)
seed = int(sys.argv[1])
light = list(lists(seed))
assert "numba" not in sys.modules
import tripletrec._runtime.compiler
for some, others in zip(light, lists(seed), strict=True):
    for a, b in zip(some, others, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
"""


@pytest.mark.thorough
def test_scores_of_any_function_are_chosen_from_as_the_kernels_do(rng):
    """In a process that has not loaded the compiler, and then in the same with it."""
    command = [sys.executable, "-c", CHOOSE, str(rng.integers(2**31))]
    subprocess.run(command, check=True, timeout=120)
