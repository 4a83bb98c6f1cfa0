"""Products in a fixed order: against NumPy, and bit by bit against themselves in another company."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tripletrec.ranking.products import Products

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
