"""Scorers and row normalisation: gradients against derivatives, compiled parts against NumPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tripletrec import scorers
from tripletrec._runtime.jit import kernel


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


@kernel
def normalize_all(rows, inverses, gradients):
    for r in range(rows.shape[0]):
        inverses[r] = scorers.normalize_row(rows[r])
        scorers.normalize_row_backward(gradients[r], rows[r], inverses[r])


@pytest.mark.parametrize("compiled", [False, True])
def test_normalized_rows(compiled, rng):
    """The parts, compiled or not, give what NumPy gives for all rows at once; and that is the definition."""
    rows, gradients = rng.normal(size=(2, 6, 5)).astype(np.float32)
    rows[1], rows[2] = 0.0, 1e-7  # no direction
    units, inverses = scorers.normalize_rows(rows)
    by_rows = scorers.normalize_rows_backward(units, inverses, gradients)
    assert units.dtype == inverses.dtype == by_rows.dtype == np.float32
    found = rows.copy(), np.zeros(6, np.float32), gradients.copy()
    (normalize_all if compiled else getattr(normalize_all, "py_func", normalize_all))(*found)
    for got, expected in zip(found, (units, inverses[:, 0], by_rows), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    for r in (0, 3, 4, 5):
        norm = np.linalg.norm(rows[r].astype(float))
        np.testing.assert_allclose(units[r], rows[r] / norm, rtol=1e-5)
        assert inverses[r, 0] == pytest.approx(1 / norm, rel=1e-5)
    assert not units[1:3].any() and not inverses[1:3].any() and not by_rows[1:3].any()


def test_gradient_through_normalization_is_the_derivative(rng):
    rows, gradients = rng.normal(size=(2, 4, 3))
    units, inverses = scorers.normalize_rows(rows)
    by_rows = scorers.normalize_rows_backward(units, inverses, gradients)
    found = naive.slopes(lambda: (scorers.normalize_rows(rows)[0] * gradients).sum(), rows)
    np.testing.assert_allclose(by_rows, found, rtol=1e-5, atol=1e-7)


@given(exponent=st.floats(-14, -10))
def test_all_agree_on_which_rows_have_a_direction(exponent):
    square = 10.0**exponent
    has = scorers.inverse_norm(square) > 0.0
    assert has == (square >= 1e-12)
    assert has == (scorers.normalize_rows(np.array([[math.sqrt(square)]]))[1][0, 0] > 0.0) or (
        square == pytest.approx(1e-12)
    )
    assert has == (scorers.COSINE.score(0.5, square, 1.0) != 0.0)


def test_wrong_names():
    with pytest.raises(ValueError, match="scorer must be one of 'dot', 'cosine'"):
        scorers.check_scorer("dott")
