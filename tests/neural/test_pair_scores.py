"""Scores of the catalogue by a perceptron, against the perceptron on one pair at a time."""

import itertools

import numpy as np
import pytest

from tiers import quick
from tripletrec.neural import Dense, Dropout, ReLU, Stack
from tripletrec.neural.pair_scores import CatalogueScores, item_terms


@pytest.mark.parametrize("final_relu", [False, True])
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (6, 5, 4)], ids=str)
@pytest.mark.parametrize("limit", quick([1, 20, 256], 20))
def test_catalogue_equals_pair_by_pair(hidden, final_relu, limit, rng, dense):
    widths = [7, *hidden, 1]
    layers = []
    for n_inputs, n_outputs in zip(widths, widths[1:], strict=False):
        layers += [Dropout(0.5), dense(n_inputs, n_outputs), ReLU()]
    stack = Stack(layers if final_relu else layers[:-1])
    U, V = rng.normal(size=(5, 3)), rng.normal(size=(9, 4))
    score = CatalogueScores(stack, U, item_terms(stack, V), n_at_once=limit)
    scores = score(np.array([4, 0, 4]))
    for r, user in enumerate((4, 0, 4)):
        for item in range(9):
            pair = np.concatenate([U[user], V[item]])[None]
            assert scores[r, item] == pytest.approx(stack.infer(pair)[0, 0], abs=1e-9)
    some = score.restricted(np.array([1, 5, 8]))
    np.testing.assert_allclose(some(np.array([4, 0])), scores[:2, [1, 5, 8]], atol=1e-12)
    np.testing.assert_allclose(
        some.own(np.array([4, 0, 4]), np.array([2, 0, 1]), np.array([0, 1, 1, 3])),
        [[scores[0, 8], -np.inf], [-np.inf] * 2, scores[2, [1, 5]]],
        atol=1e-12,
    )


@pytest.mark.parametrize("hidden", [(), (32,), (64, 33, 8)], ids=str)
def test_a_pair_has_the_same_bits_wherever_it_is_asked_for(hidden, rng):
    widths = [16, *hidden, 1]
    layers = [Dense.start(rng, *pair) for pair in itertools.pairwise(widths)]
    stack = Stack([each for layer in layers for each in (layer, ReLU())][:-1])
    U, V = (rng.normal(size=(n, 8)).astype(np.float32) for n in (70, 90))
    score = CatalogueScores(stack, U, item_terms(stack, V))
    everybody = np.arange(70)
    whole = score(everybody).copy()
    for n in (1, 2, 5, 31, 64, 70):
        users, items = rng.integers(70, size=n), rng.integers(90, size=n)
        np.testing.assert_array_equal(score(users), whole[users])
        np.testing.assert_array_equal(score.pairs(users, items), whole[users, items])
        np.testing.assert_array_equal(score.restricted(items)(everybody), whole[:, items])
        own = score.own(users, items, np.arange(n + 1))
        np.testing.assert_array_equal(own[:, 0], whole[users, items])
    assert score.pairs(everybody[:0], everybody[:0]).shape == (0,)


def test_the_first_layer_must_be_dense():
    with pytest.raises(TypeError, match="the first layer must be dense, got <.*ReLU"):
        item_terms(Stack([ReLU()]), np.ones((3, 1)))
