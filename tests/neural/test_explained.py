"""What features explain: the regression against its normal equations, the division against its sums."""

import numpy as np
import pytest
import scipy.sparse as sp

from tripletrec.neural import FeatureEmbedding
from tripletrec.neural.explained import alpha_for, divide, ridge


def normal_equations(matrix, targets, alpha):
    dense = matrix.toarray().astype(float)
    gram = dense.T @ dense + alpha * np.eye(dense.shape[1])
    return np.linalg.solve(gram, dense.T @ targets)


def test_the_penalty_grows_with_the_rows():
    assert [alpha_for(n) for n in (1, 500, 1000, 1250, 10**6)] == [20.0, 20.0, 40.0, 50.0, 50.0]


def test_ridge_solves_the_normal_equations(rng):
    for n, n_columns, alpha in (
        (40, 9, 1.0),
        (400, 9, 20.0),
        (7, 30, 50.0),
        (1, 1, 0.1),
        (0, 3, 1.0),
    ):
        matrix = sp.random(n, n_columns, 0.4, format="csr", random_state=rng)
        targets = rng.normal(size=(n, 5)) * [1.0, 10.0, 1e-6, 0.0, 1.0]
        expected = normal_equations(matrix, targets, alpha)
        largest = np.abs(expected).max(axis=0, initial=0.0)
        assert (np.abs(ridge(matrix, targets, alpha) - expected) <= 1e-3 * largest).all()


def test_the_sums_stay_and_features_explain_them(rng):
    n, n_features = 30, 6
    seen = np.flatnonzero(rng.random(n) < 0.8)
    own = sp.csr_matrix((np.ones(len(seen)), (seen, seen)), (n, n))
    known = sp.hstack(
        [sp.random(n, n_features, 0.5, format="csr", random_state=rng), np.ones((n, 1))]
    )
    matrix = sp.hstack([known, own], "csr")
    layer = FeatureEmbedding(rng.normal(size=(matrix.shape[1], 19)), matrix)
    sums = layer.forward(seen)
    divided = layer.with_table(divide(layer.arrays, n_features + 1))
    np.testing.assert_allclose(divided.forward(seen), sums, atol=1e-12)
    explained = normal_equations(known.tocsr()[seen], sums - sums.mean(axis=0), 20.0)
    explained[-1] += sums.mean(axis=0)
    np.testing.assert_allclose(divided.table[: n_features + 1], explained, atol=1e-3)
    unseen = np.setdiff1d(np.arange(n), seen)
    np.testing.assert_allclose(
        divided.forward(unseen), (known.tocsr()[unseen] @ divided.table[: n_features + 1])
    )
    assert not divided.table[n_features + 1 + unseen].any()
    again = divide(divided.arrays, n_features + 1)
    np.testing.assert_allclose(again, divided.table, atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_what_has_diverged_is_left_as_it_is():
    layer = FeatureEmbedding(np.array([[1.0], [np.inf], [np.nan]]), sp.csr_matrix(np.ones((1, 3))))
    np.testing.assert_array_equal(divide(layer.arrays, 2), layer.table)
