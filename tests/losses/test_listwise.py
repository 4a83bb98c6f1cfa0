"""List-wise losses as functions: their two steps against their definitions, at the limits of float32."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tripletrec import losses

CASES = {
    "softmax": losses.softmax(0.4),
    "bsl": losses.bsl(0.3, 0.5),
    "ccl": losses.ccl(-0.2, 3.0),
}


def exponentiate(loss, row, biases, importance):
    row = np.array(row, np.float32)
    biases, importance = np.array(biases, np.float32), np.array(importance, np.float32)
    scale = np.float32(1 / loss.temperature)
    peak, mass = loss.exponentiate(row, biases, importance, scale, loss.parameters)
    return row, float(peak), float(mass)


def reduce(loss, peak, mass, logits, weights, n_unknown=10, hits=None):
    logits, weights = np.array(logits, float), np.array(weights, float)
    slopes = np.full(len(logits), np.nan)
    hits = np.zeros(len(logits)) if hits is None else np.array(hits, float)
    value, factor = loss.reduce(
        0, len(logits), peak, mass, n_unknown, logits, weights, hits, slopes, loss.parameters
    )
    return value, factor, slopes


scores = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30)


@hypothesis.given(scores)
def test_exponentiated_scores(row):
    got, peak, mass = exponentiate(losses.softmax(1.0), row, [0.5] * len(row), [2.0] * len(row))
    x = np.array(row) + 0.5
    assert peak == pytest.approx(x.max(), rel=1e-6)
    expected = 2 * np.exp(x - x.max())
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-30)
    assert mass == pytest.approx(expected.sum(), rel=1e-5)


@hypothesis.given(scores, scores, st.sampled_from(["softmax", "bsl"]))
def test_a_shift_of_all_scores_changes_nothing(positives, others, name):
    """So the derivatives by all of a user's scores add up to zero."""
    row, peak, mass = exponentiate(
        losses.LIST_LOSSES[name](0.1), others, [0] * len(others), [1] * len(others)
    )
    logits = np.array(positives) / 0.1
    value, factor, slopes = reduce(
        losses.LIST_LOSSES[name](0.1), peak, mass, logits, [1] * len(logits)
    )
    assert np.isfinite([value, factor, *slopes]).all() and (slopes <= 0).all()
    assert factor * mass == pytest.approx(-slopes.sum(), rel=1e-6, abs=1e-9)
    shifted = reduce(losses.LIST_LOSSES[name](0.1), peak + 7, mass, logits + 7, [1] * len(logits))
    assert shifted[0] == pytest.approx(value, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(shifted[2], slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("temperature", [1e-3, 1e-8, 1e-30])
def test_no_temperature_overflows(temperature):
    for loss in (losses.softmax(temperature), losses.bsl(temperature, 2 * temperature)):
        row, peak, mass = exponentiate(loss, [-1.0, 0.5, 1.0], [0.0] * 3, [1.0] * 3)
        assert np.isfinite(row).all() and mass == pytest.approx(1.0)
        value, factor, slopes = reduce(
            loss, peak, mass, [-1 / temperature, 1 / temperature], [1, 1]
        )
        assert np.isfinite([value, factor, *slopes]).all()


def test_hinge_of_ccl():
    loss = losses.ccl(margin=0.25)
    row, peak, mass = exponentiate(loss, [0.0, 0.5, 1.0], [0.25, 0.0, 0.0], [1.0, 2.0, 4.0])
    assert row.tolist() == [0.0, 2.0, 4.0] and peak == 0.0
    assert mass == 2.0 * (0.5 - 0.25) + 4.0 * (1.0 - 0.25)


def test_all_candidates_masked():
    for name in ("softmax", "bsl"):
        row, peak, mass = exponentiate(
            losses.LIST_LOSSES[name](0.1), [-np.inf] * 4, [0] * 4, [1] * 4
        )
        assert not row.any() and mass == 0
        value, factor, slopes = reduce(
            losses.LIST_LOSSES[name](0.1), peak, mass, [1.0, 2.0], [1, 1]
        )
        assert value == factor == 0 and not slopes.any()
    row, _, mass = exponentiate(losses.ccl(), [-np.inf] * 4, [0] * 4, [1] * 4)
    assert not row.any() and mass == 0


def test_a_user_without_positives_costs_nothing():
    for loss in CASES.values():
        value, factor, _ = reduce(loss, 0.0, 5.0, [], [])
        assert value == factor == 0


def test_nan_is_not_lost():
    for loss in CASES.values():
        _, peak, mass = exponentiate(loss, [0.0, np.nan, 1.0], [0] * 3, [1] * 3)
        value, *_ = reduce(loss, peak, mass, [0.5], [1])
        assert math.isnan(value)


def test_positives_of_bsl_at_an_infinite_temperature_count_alike():
    """With an infinite positive temperature: the mean of the positives' scores."""
    value, _, slopes = reduce(losses.bsl(1.0, 1e9), 0.0, 5.0, [0.3, 0.9, -2.0], [1, 1, 1])
    assert value == pytest.approx(3 * math.log(5.0) - (0.3 + 0.9 - 2.0), abs=1e-5)
    np.testing.assert_allclose(slopes, -1.0, rtol=1e-6)


def test_temperatures_of_bsl():
    assert losses.bsl(0.2) == losses.bsl(0.2, 2.0)
    assert losses.bsl()._replace(temperature=0.3) == losses.bsl(0.3, 3.0)
    for loss in (losses.bsl(), losses.bsl(0.5, 1.0)):
        assert eval(repr(loss), {"losses": losses}) == loss


def test_wrong_parameters_of_losses():
    for make_loss, name in [
        (losses.softmax, "temperature"), (losses.bsl, "temperature"),
        (lambda t: losses.bsl(0.1, t), "positive_temperature"),
    ]:  # fmt: skip
        for value in (0, -0.1, -1e-9, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"^{name} must be a finite number > 0, got"):
                make_loss(value)
        with pytest.raises(TypeError, match=f"^{name} must be"):
            make_loss("0.1")
    with pytest.raises(ValueError, match="positive_temperature needs a temperature"):
        losses.bsl(positive_temperature=1.0)
    with pytest.raises(ValueError, match="negative_weight must be a finite number >= 0, got -1"):
        losses.ccl(0.5, -1)
    with pytest.raises(ValueError, match="margin must be a finite number, got nan"):
        losses.ccl(math.nan)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_bad_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number > 0"):
        losses.softmax(temperature)
    with pytest.raises(ValueError, match="loss 'mine': temperature must be a finite number > 0"):
        losses.check_loss(losses.softmax()._replace(name="mine", temperature=temperature))
