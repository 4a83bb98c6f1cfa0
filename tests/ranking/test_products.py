"""Products in a fixed order: against NumPy, and bit by bit against themselves in another company."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tripletrec.ranking.products import Panels, Products
from tripletrec.ranking.rows import FactorRows

CLOSE = {np.float32: 1e-5, np.float64: 1e-13}


def factors(rng, n_users, n_items, n_factors, dtype):
    shapes = (n_users, n_factors), (n_items, n_factors), n_items
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_items", [1, 7, 8, 15, 16, 17, 100, 1683])
def test_equals_the_product(n_items, dtype, rng):
    for n_factors in (0, 1, 3, 4, 8, 9, 33, 300):
        U, V, b = factors(rng, 13, n_items, n_factors, dtype)
        rows = rng.integers(0, 13, rng.integers(1, 20))
        for bias in (None, b):
            found = Products(U, V, bias)(rows)
            expected = U[rows].astype(np.float64) @ V.T.astype(np.float64)
            expected = expected if bias is None else expected + bias
            assert found.dtype == dtype and found.shape == (len(rows), n_items)
            np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE[dtype] * (1 + n_factors))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_score_depends_on_its_user_and_item_alone(dtype, rng):
    """Neither on who else is scored, nor on the places of user and item, nor on the threads of BLAS."""
    for n_items, n_factors in ((5, 1), (101, 8), (333, 33), (1000, 64), (97, 301)):
        U, V, b = factors(rng, 50, n_items, n_factors, dtype)
        everyone = Products(U, V, b)(np.arange(50)).copy()
        users, items = rng.permutation(50), rng.permutation(n_items)
        with threadpool_limits(2, user_api="blas"):
            shuffled = Products(U, V[items], b[items])
            np.testing.assert_array_equal(shuffled(users), everyone[np.ix_(users, items)])
            for user in users[:7]:
                alone = Products(U, V, b)(np.array([user]))
                np.testing.assert_array_equal(alone[0], everyone[user])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_items_have_equal_scores(dtype, rng):
    U, V, b = factors(rng, 30, 1, 64, dtype)
    scores = Products(U, np.tile(V, (500, 1)), np.tile(b, 500))(np.arange(30))
    assert (scores == scores[:, :1]).all()


def test_arrays_of_any_layout(rng):
    U, V, b = factors(rng, 9, 21, 5, np.float32)
    expected = Products(U, V, b)(np.arange(9)).copy()
    for change in (np.asfortranarray, lambda array: np.repeat(array, 2, axis=0)[::2]):
        found = Products(*(change(each) for each in (U, V, b)))(np.arange(9))
        np.testing.assert_array_equal(found, expected)


def test_smaller_batches_reuse_the_memory(rng):
    U, V, _ = factors(rng, 40, 30, 4, np.float32)
    products = Products(U, V)
    first = products(np.arange(40))
    second = products(np.arange(3))
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, Products(U, V)(np.arange(3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_items", [1, 7, 95, 96, 97, 1683, 8193])
def test_what_is_laid_out_once_gives_the_same_bits(n_items, dtype, rng):
    for n_factors in (0, 1, 8, 33):
        U, V, b = factors(rng, 13, n_items, n_factors, dtype)
        panels = Panels(FactorRows(V, lambda rows: rows * dtype(0.5)))
        products = Products(FactorRows(U), panels, b)
        for rows in ([3], np.arange(7), np.arange(13)):
            expected = Products(U, V * dtype(0.5), b)(np.asarray(rows)).copy()
            np.testing.assert_array_equal(products(np.asarray(rows)), expected)
        assert panels.flat() is panels.flat()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_and_some_items_have_the_bits_that_they_have_among_all(dtype, rng):
    for n_factors in (0, 1, 3, 8, 64, 65, 130):
        U, V, b = factors(rng, 13, 300, n_factors, dtype)
        for scales in (None, rng.random(300).astype(dtype)):
            products = Products(U, V, b, scales=scales)
            everything = products(np.arange(13)).copy()
            rows, items = rng.integers(0, 13, 9000), rng.integers(0, 300, 9000)
            np.testing.assert_array_equal(products.pairs(rows, items), everything[rows, items])
            some = rng.permutation(300)[:101]
            found = products.restricted(some)(np.arange(13))
            np.testing.assert_array_equal(found, everything[:, some])
            sizes = rng.integers(0, 200, 13)
            bounds = np.append(0, np.cumsum(sizes))
            own = rng.integers(0, 300, bounds[-1])
            found = products.own(np.arange(13), own, bounds)
            for r in range(13):
                expected = everything[r, own[bounds[r] : bounds[r + 1]]]
                np.testing.assert_array_equal(found[r, : sizes[r]], expected)
                assert (found[r, sizes[r] :] == -np.inf).all()


def test_scales_leave_no_negative_zero():
    products = Products(-np.ones((1, 2)), np.ones((3, 2)), scales=np.array([0.0, 1.0, 0.5]))
    scores = products(np.zeros(1, int))
    assert scores.tolist() == [[0.0, -2.0, -1.0]] and not np.signbit(scores[0, 0])


def test_the_same_function_anew_has_memory_of_its_own(rng):
    U, V, b = factors(rng, 5, 30, 4, np.float32)
    products = Products(FactorRows(U), Panels(FactorRows(V)), b)
    twin = products.anew()
    first, second = products(np.arange(5)), twin(np.arange(5))
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, second)


def test_threads_lay_out_once(rng):
    V, taken = rng.normal(size=(20_000, 8)).astype(np.float32), []

    def transform(rows):
        taken.append(len(rows))
        return rows

    panels = Panels(FactorRows(V, transform))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: panels.flat(), range(32)))
    assert all(each is found[0] for each in found)
    assert sum(each for each in taken if each > 1) == len(V)
