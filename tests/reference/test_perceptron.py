"""K5's model: a perceptron that ends in a ReLU."""

import numpy as np

from tripletrec.reference import SYSTEMS
from tripletrec.reference.perceptron import PerceptronModel


def test_k5_ends_in_a_relu_and_scores_the_catalogue(tiny_movielens):
    shape = tiny_movielens.train.space.shape
    model = PerceptronModel(SYSTEMS["K5"].recipe, shape, np.random.default_rng(0))
    widths = [layer.weights.shape for layer in model.network.trunk.dense]
    assert widths == [(96, 128), (128, 1)]
    rows, items = np.arange(5), np.arange(shape[1])
    scores = model.score_function()(rows)
    assert scores.min() >= 0.0
    for row in rows:
        pairs = model.network.scores(np.full(len(items), row), items)
        np.testing.assert_allclose(scores[row], pairs, rtol=1e-4, atol=1e-6)
