"""Layers: gradients against central differences, dropout against a twin, numbers that could overflow."""

import numpy as np
import pytest

from tripletrec.neural import Dense, Dropout, Normalize, ReLU, Softmax, Stack
from tripletrec.neural.layers import glorot_uniform, uniform

LAYERS = {
    "dense": lambda dense: dense(5, 3),
    "dense to one": lambda dense: dense(5, 1),
    "relu": lambda dense: ReLU(),
    "softmax": lambda dense: Softmax(),
    "normalize": lambda dense: Normalize(),
    "stack": lambda dense: Stack([dense(5, 4), ReLU(), dense(4, 3), Softmax()]),
    "empty stack": lambda dense: Stack([]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_against_central_differences(name, rng, dense, check_gradient):
    layer, x = LAYERS[name](dense), rng.normal(size=(7, 5))
    into = rng.normal(size=layer.forward(x).shape)  # dL/dy of L = Σ into * y

    def value():
        return (layer.infer(x) * into).sum()

    np.testing.assert_allclose(layer.forward(x), layer.infer(x))
    gradient = layer.backward(into)
    check_gradient(value, [x, *layer.parameters], [gradient, *layer.gradients])
    layer.forward(x)
    before = [each.copy() for each in layer.gradients]
    layer.backward(into)
    for once, twice in zip(before, layer.gradients, strict=True):
        np.testing.assert_allclose(2 * once, twice)  # backward adds


def test_dropout(rng):
    layer, x = Dropout(0.3, seed=5), np.ones((200, 100), np.float32)
    first, second = layer.forward(x), layer.forward(x)
    again = Dropout(0.3, seed=5)
    np.testing.assert_array_equal(again.forward(x), first)
    assert (first != second).any()
    for y in (first, second):
        assert set(np.unique(y)) == {np.float32(0.0), np.float32(1.0 / 0.7)}
        assert (y == 0).mean() == pytest.approx(0.3, abs=0.02)
        assert (y == 0).mean(axis=0).std() < 0.06  # no column, no row is special
        assert (y == 0).mean(axis=1).std() < 0.08
    g = rng.normal(size=x.shape).astype(np.float32)
    np.testing.assert_allclose(again.backward(g), g * first)
    np.testing.assert_array_equal(layer.infer(x), x)
    with pytest.raises(ValueError, match="rate"):
        Dropout(1.0)


def test_masks_of_different_calls_are_independent():
    layer, x = Dropout(0.5, seed=1), np.ones((64, 64), np.float32)
    masks = [layer.forward(x).ravel() > 0 for _ in range(40)]
    agreement = [np.mean(a == b) for a, b in zip(masks, masks[1:], strict=False)]
    assert np.abs(np.array(agreement) - 0.5).max() < 0.05


def test_softmax_and_normalize_are_safe():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(Softmax().infer(np.array([[1e4, 0.0]])), [[1.0, 0.0]])
        layer = Normalize()
        assert (layer.forward(np.zeros((1, 3))) == 0).all()
        assert (layer.backward(np.ones((1, 3))) == 0).all()


def naive_mask(rate, seed, n_calls, n):
    """Which of n units the call number `n_calls` of a layer keeps, in Python's integers."""
    key = (seed + 0x9E3779B97F4A7C15 * n_calls) % 2**64 >> 32
    kept = []
    for unit in range(n):
        z = unit ^ key
        z ^= z >> 16
        z = (z * 0x7FEB352D + key) % 2**32
        z ^= z >> 15
        z = z * 0x846CA68B % 2**32
        z ^= z >> 16
        kept.append(z >= int(rate * 2**32))
    return kept


def test_dropout_equals_a_twin(rng):
    rate, seed = rng.uniform(0.05, 0.95), int(rng.integers(2**63))
    layer, x = Dropout(rate, seed), rng.uniform(1, 2, (5, 40))
    for call in (1, 2, 3):
        expected = np.reshape(naive_mask(rate, seed, call, x.size), x.shape) * x / (1 - rate)
        np.testing.assert_allclose(layer.forward(x), expected)


def test_initial_weights(rng):
    for draw, limit in (
        (lambda: uniform(rng, (50, 40)), 0.05),
        (lambda: uniform(rng, (50, 40), 2.0), 2.0),
        (lambda: glorot_uniform(rng, (50, 40)), np.sqrt(6 / 90)),
        (lambda: Dense.start(rng, 50, 40).weights, np.sqrt(6 / 90)),
    ):
        values = draw()
        assert values.shape == (50, 40)
        assert values.dtype == np.float32
        assert 0.9 * limit < np.abs(values).max() <= np.float32(limit)
    assert not Dense.start(rng, 50, 40).bias.any()
