"""Losses, scorers and optimizers: each part against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tripletrec import losses, optimizers, sampling, scorers

NAMES = list(losses.LOSSES)
numbers = st.floats(-30, 30, width=32)


@pytest.mark.parametrize("name", NAMES)
@given(x=numbers)
def test_value_and_slope_equal_the_definition(name, x):
    loss = losses.check_loss(name)
    value, slope = naive.LOSSES[name](x)
    x = np.float32(x)
    assert loss.value(x, loss.parameters) == pytest.approx(value, rel=1e-6, abs=1e-12)
    assert loss.slope(x, loss.parameters) == pytest.approx(slope, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@given(x=numbers)
def test_slope_is_the_derivative_of_the_value(name, x):
    loss = losses.check_loss(name)
    x, h = float(np.float32(x)), 1e-5
    if name == "hinge" and abs(x - 1.0) < 2 * h:
        return  # the corner
    # The definition is differentiated: the part itself has the steps of float32.
    difference = naive.LOSSES[name](x + h)[0] - naive.LOSSES[name](x - h)[0]
    slope = loss.slope(np.float32(x), loss.parameters)
    assert slope == pytest.approx(difference / (2 * h), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("x", [-1e4, 1e4])
def test_losses_do_not_overflow(name, x):
    loss = losses.check_loss(name)
    assert math.isfinite(loss.value(np.float32(x), loss.parameters))
    assert math.isfinite(loss.slope(np.float32(x), loss.parameters))


@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's, for the uncompiled part
@pytest.mark.parametrize("name", NAMES)
def test_losses_keep_nan(name):
    loss = losses.check_loss(name)
    assert math.isnan(loss.value(np.float32(math.nan), loss.parameters))


@given(margin=st.floats(0.125, 10, width=32), x=numbers)
def test_hinge_margin(margin, x):
    loss = losses.hinge(margin)
    assert loss.value(np.float32(x), loss.parameters) == pytest.approx(
        max(0.0, margin - x), rel=1e-6
    )


@pytest.mark.parametrize("name", list(scorers.SCORERS))
@given(seed=st.integers(0, 2**32 - 1))
def test_scorer_gradient_is_the_derivative_of_the_score(name, seed):
    scorer = scorers.check_scorer(name)
    a, b = np.random.default_rng(seed).normal(size=(2, 5))
    h = 1e-6
    p, q = scorer.coefficients(a @ b, a @ a, b @ b)
    score, by_user, by_item = naive.score_and_gradients(name, a, b)
    assert scorer.score(a @ b, a @ a, b @ b) == pytest.approx(score)
    p_item, q_item = scorer.coefficients(a @ b, b @ b, a @ a)
    for k in range(5):
        up, down = a.copy(), a.copy()
        up[k] += h
        down[k] -= h
        scores = [scorer.score(each @ b, each @ each, b @ b) for each in (up, down)]
        gradient = scorer.gradient(p, q, a[k], b[k])
        assert gradient == pytest.approx((scores[0] - scores[1]) / (2 * h), rel=1e-4, abs=1e-6)
        assert gradient == pytest.approx(by_user[k])
        assert scorer.gradient(p_item, q_item, b[k], a[k]) == pytest.approx(by_item[k])


def test_cosine_of_a_zero_row_is_zero_and_so_is_its_gradient():
    cosine = scorers.COSINE
    assert cosine.score(0.0, 0.0, 4.0) == 0.0
    assert cosine.coefficients(0.0, 0.0, 4.0) == (0.0, 0.0)
    rows = cosine.rows(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32))
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("name", list(optimizers.OPTIMIZERS))
@given(seed=st.integers(0, 2**32 - 1))
def test_optimizer_equals_its_naive_twin(name, seed):
    optimizer = optimizers.check_optimizer(name)
    gradients = np.random.default_rng(seed).normal(size=(6, 3))
    twin = naive.Row(np.ones(3), name, 0.1)
    table = np.ones((1, 1 + len(optimizer.state), 3))
    table[:, 1:] = np.reshape(optimizer.state, (-1, 1))
    step_counts, size, l2 = np.array([optimizer.step_counts]), np.float64(0.1), np.float64(0.03)
    for g in gradients:
        twin.update(g + l2 * twin.w)
        rate = optimizer.step(step_counts, 0, size, optimizer.parameters)
        for k in range(3):
            optimizer.update(table.reshape(-1), k, 3, g[k], l2, rate, optimizer.parameters)
    np.testing.assert_allclose(table[0, 0], twin.w, rtol=1e-9)


def test_clocks_of_adam_settle():
    optimizer = optimizers.adam(beta2=0.99)
    step_counts, parameters = (
        np.zeros((1, 2), np.float32),
        tuple(map(np.float32, optimizer.parameters)),
    )
    for _ in range(12_000):
        rate = optimizer.step(step_counts, 0, np.float32(0.1), parameters)
    # The sums of all powers of β: nothing is left to correct.
    np.testing.assert_allclose(step_counts, [[10.0, 100.0]], rtol=1e-5)
    np.testing.assert_allclose(rate, 0.1, rtol=1e-5)


def test_memories_of_adam_never_become_subnormal():
    optimizer, zero = optimizers.adam(beta1=0.5, beta2=0.5), np.float32(0.0)
    table, parameters = np.ones(3, np.float32), tuple(map(np.float32, optimizer.parameters))
    for _ in range(200):
        optimizer.update(table, 0, 1, zero, zero, np.float32(0.01), parameters)
        assert table[1] == 0 or table[1] >= np.finfo(np.float32).tiny
        assert table[2] >= np.finfo(np.float32).tiny
    assert table[1] == 0 and np.isfinite(table).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.hinge(0), "margin must be a finite number > 0, got 0"),
        (lambda: losses.hinge(math.inf), "margin must be a finite number > 0, got inf"),
        (lambda: optimizers.adagrad(-1.0), "initial must be a finite number > 0, got -1.0"),
        (lambda: optimizers.adam(beta1=1.0), "beta1 must be a number between 0 and 1"),
        (lambda: optimizers.adam(epsilon=0.0), "epsilon must be a finite number > 0"),
        (lambda: sampling.popularity(-0.5), "alpha must be a finite number >= 0, got -0.5"),
        (lambda: sampling.explicit(1.5), "share must be a number from 0 to 1, got 1.5"),
        (
            lambda: losses.check_loss("brp"),
            "loss must be one of 'bpr', 'sigmoid', 'hinge', 'softmax', 'bsl', 'ccl' or a Loss, got 'brp'",
        ),
        (lambda: scorers.check_scorer("dott"), "scorer must be one of 'dot', 'cosine'"),
        (lambda: optimizers.check_optimizer("ada"), "optimizer must be one of 'sgd', 'adagrad'"),
        (lambda: sampling.check_sampler("pop"), "sampler must be one of 'uniform', 'unseen'"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types():
    with pytest.raises(TypeError, match="margin must be a finite number > 0, got '1'"):
        losses.hinge("1")
    with pytest.raises(TypeError, match="loss must be one of .* got 3"):
        losses.check_loss(3)
