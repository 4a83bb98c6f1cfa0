"""What the models with a network share: their dense layers, and how weights are counted and seeds split."""

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.models.trained_network import count_weights, split_seed
from tripletrec.neural import Dense, Dropout, ReLU


def kinds(layers):
    return [type(layer) for layer in layers]


def test_dense_layers(rng):
    model = tr.MLPMatcher(dropout=0.25)
    layers = model._dense_layers([5, 4, 3], ReLU, rng, [1, 2])
    assert kinds(layers) == [Dropout, Dense, ReLU, Dropout, Dense]
    assert kinds(model._dense_layers([5, 4, 3], None, rng, [1, 2])) == [Dropout, Dense] * 2
    assert model._dense_layers([5], ReLU, rng) == []


def test_layers_for_what_was_learnt_have_no_dropout_and_no_weights():
    layers = tr.MLPMatcher(dropout=0.25)._dense_layers([5, 4, 3], ReLU, None)
    assert kinds(layers) == [Dense, ReLU, Dense]
    assert not any(each.any() for layer in layers for each in layer.parameters)


def test_count_weights():
    assert count_weights([5], "widths_") == 0
    assert count_weights([5, 4, 3], "widths_") == 6 * 4 + 5 * 3
    for wrong in ([], None):
        with pytest.raises(ValueError, match="widths_ must be a list of integers >= 1, got"):
            count_weights(wrong, "widths_")
    for wrong in ([5, 0], [5, 4.0], [5, "4"]):
        with pytest.raises((ValueError, TypeError), match="widths_ must be an integer >= 1, got"):
            count_weights(wrong, "widths_")


def test_split_seed():
    seeds = split_seed(3, 4)
    assert len(set(seeds)) == 4 and all(type(each) is int for each in seeds)
    assert split_seed(3, 2) == seeds[:2] != split_seed(4, 2)


@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize(
    "make",
    [
        lambda **given: tr.TwoTower(4, loss="bpr", batch_size=32, **given),
        lambda **given: tr.TwoTower(4, loss="bpr", user_layers=3, item_layers=3, **given),
        lambda **given: tr.TwoTower(4, **given),
        lambda **given: tr.MLPMatcher(4, 4, hidden=(4,), **given),
    ],
    ids=["triplets", "layers", "lists", "perceptron"],
)
def test_a_weight_counts_for_the_penalty_too(make, l2):
    """A weight of 2 is a positive that counts twice: half of the rate undoes it."""
    data = tr.datasets.make_interactions(30, 20, 200, random_state=0)
    settings = {"optimizer": "sgd", "n_epochs": 3, "user_l2": l2, "item_l2": l2, "random_state": 0}
    twice = make(learning_rate=0.02, **settings).fit(data, sample_weight=np.full(len(data), 2.0))
    once = make(learning_rate=0.04, **settings).fit(data)
    for name in ("user_factors_", "item_factors_"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name), atol=2e-5)
