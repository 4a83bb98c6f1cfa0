"""The table layer: rows that occur twice, and the dense layer that it stands for."""

import numpy as np

from tripletrec.reference.keras import Embedding, embedding


def test_rows_that_occur_twice_add_up():
    rng = np.random.default_rng(2)
    rows, gradients = rng.integers(0, 4, 9), rng.normal(size=(9, 3))
    layer, expected = Embedding(rng.normal(size=(4, 3))), np.zeros((4, 3))
    np.add.at(expected, rows, gradients)
    layer.backward(rows, gradients)
    np.testing.assert_allclose(layer.gradients[0], expected)
    twin = np.zeros((4, 3))
    getattr(embedding._add_rows, "py_func", embedding._add_rows)(twin, rows, gradients)
    np.testing.assert_allclose(twin, expected)


def test_with_a_bias_it_is_a_dense_layer_on_one_hot_rows():
    rng = np.random.default_rng(3)
    weights, bias, rows = rng.normal(size=(4, 3)), rng.normal(size=3), np.array([2, 0, 2])
    layer, one_hot, gradients = Embedding(weights, bias), np.eye(4)[rows], rng.normal(size=(3, 3))
    np.testing.assert_allclose(layer.forward(rows), one_hot @ weights + bias)
    layer.backward(rows, gradients)
    np.testing.assert_allclose(layer.gradients[0], one_hot.T @ gradients)
    np.testing.assert_allclose(layer.gradients[1], gradients.sum(axis=0))
