"""The triplet model of two tables: batch losses and their gradients."""

import numpy as np
import pytest

import naive
import tripletrec.losses
from tripletrec.reference.keras import Embedding, TripletModel
from tripletrec.reference.keras.triplet_model import LOSSES


def triplet_model(rng, loss, scorer, bias=False):
    users = Embedding(rng.normal(size=(5, 4)), rng.normal(size=4) if bias else None)
    return TripletModel(users, Embedding(rng.normal(size=(6, 4))), loss, scorer)


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
