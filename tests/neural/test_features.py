"""Factors of features: sums of rows against products of matrices, gradients against central differences."""

import numpy as np
import pytest
import scipy.sparse as sp

from tripletrec.neural import FeatureEmbedding


def features(rng, n=6, n_columns=8):
    return sp.random(n, n_columns, 0.4, format="csr", random_state=rng) + sp.csr_matrix(
        (np.ones(n), (np.arange(n), np.arange(n))), shape=(n, n_columns)
    )


@pytest.mark.parametrize("concatenate", [False, True])
def test_feature_embedding(concatenate, rng, check_gradient):
    matrix, table = features(rng).tocsr(), rng.normal(size=(8, 3))
    groups = np.array([0, 0, 1, 1, 1, 2, 2, 2])
    layer = FeatureEmbedding(table, matrix, groups if concatenate else None)
    rows, dense_rows = rng.integers(0, 6, 9), matrix.toarray()
    parts = [groups == g for g in range(3)] if concatenate else [groups >= 0]
    expected = np.concatenate([dense_rows[rows][:, p] @ table[p] for p in parts], axis=1)
    np.testing.assert_allclose(layer.forward(rows), expected)
    assert layer.width == expected.shape[1]
    into = rng.normal(size=expected.shape)
    layer.backward(rows, into)
    check_gradient(lambda: (layer.forward(rows) * into).sum(), [table], layer.gradients)
    assert set(layer.touched) == set(np.flatnonzero(dense_rows[rows].any(axis=0)))
    before = layer.gradient.copy()
    layer.backward(rows, np.zeros_like(into), 0.5)
    times = (dense_rows[rows] != 0).sum(axis=0)[:, None]
    np.testing.assert_allclose(layer.gradient - before, 0.5 * times * table)


def test_what_leads_out_of_the_tables_is_refused(rng):
    matrix, table = features(rng).tocsr(), rng.normal(size=(8, 3))
    layer = FeatureEmbedding(table, matrix)
    for rows in ([6], [-1, 0], [0, 10**6]):
        with pytest.raises(ValueError, match="rows must be from 0 to 5, got"):
            layer.forward(np.array(rows))
        with pytest.raises(ValueError, match="rows must be from 0 to 5, got"):
            layer.backward(np.array(rows), np.ones((len(rows), 3)))
    with pytest.raises(ValueError, match=r"row_gradients must have shape \(2, 3\), got \(1, 3\)"):
        layer.backward(np.array([0, 1]), np.ones((1, 3)))
    with pytest.raises(ValueError, match="table must have a row for each of the 8 columns"):
        FeatureEmbedding(table[:7], matrix)
    for groups in (np.zeros(7, int), -np.ones(8, int), np.zeros((8, 1), int)):
        with pytest.raises(ValueError, match="groups must be"):
            FeatureEmbedding(table, matrix, groups)
    with pytest.raises(TypeError, match="matrix must be a CSR matrix, got coo_matrix"):
        FeatureEmbedding(table, sp.coo_matrix(matrix))
    matrix.indices = matrix.indices + 8
    with pytest.raises(ValueError, match="matrix.indices must be < 8"):
        FeatureEmbedding(table, matrix)
