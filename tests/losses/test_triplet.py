"""Losses of triplets: value and slope against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tripletrec import losses

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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.hinge(0), "margin must be a finite number > 0, got 0"),
        (lambda: losses.hinge(math.inf), "margin must be a finite number > 0, got inf"),
        (
            lambda: losses.check_loss("brp"),
            "loss must be one of 'bpr', 'sigmoid', .* 'k-os warp', .* 'ccl' or a Loss, got 'brp'",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.warp(0), ValueError, "margin must be a finite number > 0, got 0"),
        (
            lambda: losses.warp(max_sampled=0),
            ValueError,
            "max_sampled must be an integer >= 1, got 0",
        ),
        (
            lambda: losses.warp(1.0, 1001),
            ValueError,
            "max_sampled must be an integer from 1 to 1000",
        ),
        (lambda: losses.k_os_warp(6, 5), ValueError, "k must be an integer from 1 to 5, got 6"),
        (lambda: losses.k_os_warp(n=1001), ValueError, "^n must be an integer from 1 to 1000"),
        (lambda: losses.k_os_warp(n=2.5), TypeError, "n must be an integer >= 1, got 2.5"),
        (
            lambda: losses.check_loss("warp"),
            ValueError,
            "loss 'warp' searches .* it is for MatrixFact",
        ),
        (
            lambda: losses.check_loss(losses.warp()._replace(name="w", weigh=3), True),
            TypeError,
            "loss 'w': weigh must be a function .* got 3",
        ),
        (
            lambda: losses.check_loss(losses.k_os_warp()._replace(name="w", k=11), True),
            ValueError,
            "loss 'w': k must be an integer from 1 to 10, got 11",
        ),
        (
            lambda: losses.check_loss(losses.BPR._replace(name="b", max_sampled=3)),
            ValueError,
            "loss 'b': max_sampled must be an integer from 1 to 1, got 3",
        ),
    ],
)
def test_wrong_searches(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", losses.SEARCHING_LOSSES)
def test_weights_are_logarithms_of_the_rank(name):
    loss = losses.check_loss(name, search=True)
    expected = [math.log(max(1, 25 // tries)) for tries in range(1, 11)]
    np.testing.assert_allclose(loss.weights(26), expected)
    assert loss.weights(1) == [0.0] * 10 and losses.BPR.weights(26) == []


def test_wrong_types():
    with pytest.raises(TypeError, match="margin must be a finite number > 0, got '1'"):
        losses.hinge("1")
    with pytest.raises(TypeError, match="loss must be one of .* got 3"):
        losses.check_loss(3)
