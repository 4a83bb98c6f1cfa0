"""Mini-batch training: optimizers, the table layer, batch gradients, epochs."""

import numpy as np
import pytest

import naive
import tripletrec.losses
from tripletrec.neural.layers import glorot_uniform, uniform
from tripletrec.reference.keras import (
    SGD,
    Adagrad,
    Adam,
    Embedding,
    TripletModel,
    embedding,
    optimizers,
    train_epoch,
)
from tripletrec.reference.keras.triplet_model import LOSSES

RULES = {
    "sgd": (lambda: SGD(0.1, l2=0.01), naive.sgd_step, [], (0.1, 0.01)),
    "adagrad": (
        lambda: Adagrad(0.1, initial=0.2, epsilon=1e-3, l2=0.01),
        naive.adagrad_step,
        [0.2],
        (0.1, 0.01, 1e-3),
    ),
    "adam": (
        lambda: Adam(0.1, beta1=0.8, beta2=0.95, epsilon=1e-3, l2=0.01),
        naive.adam_step,
        [0.0, 0.0],
        (0.1, 0.01, 0.8, 0.95, 1e-3),
    ),
}


def table(rng, *shape, dtype=np.float64):
    return rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_a_step_is_the_rule_for_every_weight(name, dtype, tolerance):
    rng = np.random.default_rng(0)
    build, rule, state, scalars = RULES[name]
    optimizer = build()
    weights = [table(rng, 3, 5, dtype=dtype), table(rng, 4, dtype=dtype)]
    expected = [[(float(w), list(state)) for w in each.ravel()] for each in weights]
    for t in range(1, 6):
        gradients = [table(rng, *each.shape, dtype=dtype) for each in weights]
        gradients[0][1] = 0.0  # dense: a row without gradient moves on
        for states, each in zip(expected, gradients, strict=True):
            for k, g in enumerate(each.ravel()):
                states[k] = rule(states[k][0], float(g), states[k][1], t, *scalars)
        optimizer.update(weights, gradients)
        assert all((each == 0.0).all() for each in gradients)
    for each, states in zip(weights, expected, strict=True):
        np.testing.assert_allclose(each.ravel(), [w for w, _ in states], rtol=tolerance, atol=1e-6)


def test_adam_moves_rows_that_the_batch_did_not_touch():
    weights, gradient = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    optimizer = Adam()
    optimizer.update([weights], [gradient])
    before = weights.copy()
    gradient[0] = 1.0
    optimizer.update([weights], [gradient])
    assert (weights[1] < before[1]).all()
    np.testing.assert_allclose(before, -1e-3, rtol=1e-4)  # the first step is the learning rate


def test_adams_means_do_not_sink_into_subnormal_numbers():
    weights, gradient, optimizer = np.zeros(8, np.float32), np.ones(8, np.float32), Adam()
    for _ in range(1000):  # 0.9 ** 1000 is 1e-46
        optimizer.update([weights], [gradient])
    mean = optimizer._state[0][0]
    assert (mean == 0.0).all()


@pytest.mark.parametrize("name", ["_sgd_step", "_adagrad_step", "_adam_step"])
def test_compiled_steps_equal_their_python(name):
    rng = np.random.default_rng(1)
    compiled = getattr(optimizers, name)
    n_state = {"_sgd_step": 0, "_adagrad_step": 1, "_adam_step": 2}[name]
    arrays = [rng.random(17, dtype=np.float32) for _ in range(2 + n_state)]
    scalars = [np.float32(s) for s in (0.1, 0.02, 0.9, 0.99, 1e-3)]
    scalars = scalars[: 2 + {0: 0, 1: 1, 2: 3}[n_state]]
    twins = [each.copy() for each in arrays]
    compiled(*arrays, *scalars)
    getattr(compiled, "py_func", compiled)(*twins, *scalars)
    for each, twin in zip(arrays, twins, strict=True):
        np.testing.assert_allclose(each, twin, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Adam(0.0), "learning_rate must be a finite number > 0, got 0.0"),
        (lambda: Adam(beta1=1.0), "beta1"),
        (lambda: Adam(epsilon=-1.0), "epsilon"),
        (lambda: Adagrad(initial=-0.1), "initial"),
        (lambda: SGD(l2=float("nan")), "l2"),
    ],
)
def test_optimizers_refuse_what_makes_no_sense(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_rows_that_occur_twice_add_up():
    rng = np.random.default_rng(2)
    rows, gradients = rng.integers(0, 4, 9), table(rng, 9, 3)
    layer, expected = Embedding(table(rng, 4, 3)), np.zeros((4, 3))
    np.add.at(expected, rows, gradients)
    layer.backward(rows, gradients)
    np.testing.assert_allclose(layer.gradients[0], expected)
    twin = np.zeros((4, 3))
    getattr(embedding._add_rows, "py_func", embedding._add_rows)(twin, rows, gradients)
    np.testing.assert_allclose(twin, expected)


def test_with_a_bias_it_is_a_dense_layer_on_one_hot_rows():
    rng = np.random.default_rng(3)
    weights, bias, rows = table(rng, 4, 3), table(rng, 3), np.array([2, 0, 2])
    layer, one_hot, gradients = Embedding(weights, bias), np.eye(4)[rows], table(rng, 3, 3)
    np.testing.assert_allclose(layer.forward(rows), one_hot @ weights + bias)
    layer.backward(rows, gradients)
    np.testing.assert_allclose(layer.gradients[0], one_hot.T @ gradients)
    np.testing.assert_allclose(layer.gradients[1], gradients.sum(axis=0))


def test_starts_lie_within_their_limits():
    rng = np.random.default_rng(4)
    assert 0.04 < np.abs(uniform(rng, (50, 20))).max() <= 0.05
    limit = (6.0 / 70.0) ** 0.5
    assert 0.9 * limit < np.abs(glorot_uniform(rng, (50, 20))).max() <= limit


def triplet_model(rng, loss, scorer, bias=False):
    users = Embedding(table(rng, 5, 4), table(rng, 4) if bias else None)
    return TripletModel(users, Embedding(table(rng, 6, 4)), loss, scorer)


def batch(rng, n=12):
    return rng.integers(0, 5, n), rng.integers(0, 6, n), rng.integers(0, 6, n)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("scorer", "bias"), [("dot", False), ("dot", True), ("cosine", False)])
def test_batch_loss_and_gradient(loss, scorer, bias):
    rng = np.random.default_rng(6)
    model, triplets = triplet_model(rng, loss, scorer, bias), batch(rng)
    shift = model.users.bias if bias else 0.0
    U, V = model.users.table, model.items.table
    expected = naive.mean_loss(list(zip(*triplets, strict=True)), U, V, loss, scorer, shift)
    assert model.loss(*triplets) == pytest.approx(expected, abs=1e-12)
    assert model.backward(*triplets) == pytest.approx(expected, abs=1e-12)
    for weights, gradient in zip(model.parameters, model.gradients, strict=True):
        for k in np.ndindex(weights.shape):
            start = weights[k]
            sides = []
            for weights[k] in (start + 1e-6, start - 1e-6):
                sides.append(model.loss(*triplets))
            weights[k] = start
            assert gradient[k] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7)


def test_losses_are_those_of_the_factor_models():
    x = np.linspace(-4.0, 4.0, 17)
    for name, loss in (
        ("sigmoid", tripletrec.losses.SIGMOID),
        ("hinge", tripletrec.losses.hinge()),
    ):
        values, slopes = LOSSES[name](x)
        np.testing.assert_allclose(values, [loss.value(each, loss.parameters) for each in x])
        np.testing.assert_allclose(slopes, [loss.slope(each, loss.parameters) for each in x])
    np.testing.assert_allclose(LOSSES["negative_sigmoid"](x)[0], LOSSES["sigmoid"](x)[0] - 1.0)


def test_losses_do_not_overflow():
    with np.errstate(over="raise", invalid="raise"):
        for loss in LOSSES.values():
            values, slopes = loss(np.array([-1e4, 1e4], np.float32))
            assert np.isfinite(values).all()
            assert np.isfinite(slopes).all()


def test_cosine_is_safe_at_a_zero_row():
    rng = np.random.default_rng(7)
    model = triplet_model(rng, "hinge", "cosine")
    model.users.table[0], model.items.table[1] = 0.0, 0.0
    with np.errstate(all="raise"):
        loss = model.backward(np.array([0, 1]), np.array([1, 1]), np.array([2, 3]))
    assert np.isfinite(loss)
    assert all(np.isfinite(each).all() for each in model.gradients)
    assert (model.gradients[0][0] == 0.0).all()


class Recorder:
    def __init__(self, losses):
        self.parameters, self.gradients = [np.zeros(1)], [np.zeros(1)]
        self.seen, self.losses = [], iter(losses)

    def backward(self, a, b):
        self.seen.append(np.stack([a, b]))
        return next(self.losses)


def test_an_epoch_shows_each_example_once_and_means_over_examples():
    model, optimizer = Recorder([1.0, 2.0, 6.0]), SGD()
    columns = (np.arange(10), np.arange(10) + 100)
    mean = train_epoch(model, optimizer, columns, 4, np.random.default_rng(8))
    assert [each.shape[1] for each in model.seen] == [4, 4, 2]
    assert mean == pytest.approx((4 * 1.0 + 4 * 2.0 + 2 * 6.0) / 10)
    a, b = np.concatenate(model.seen, axis=1)
    assert sorted(a) == list(range(10))
    assert (a != np.arange(10)).any()
    assert (b == a + 100).all()
    assert optimizer.n_steps == 3


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(FloatingPointError, match="learning_rate"):
        model = Recorder([float("nan")])
        train_epoch(model, SGD(), (np.arange(2),) * 2, 4, np.random.default_rng(9))
