"""Scorers: gradients against the derivative of the score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tripletrec import scorers


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


def test_wrong_names():
    with pytest.raises(ValueError, match="scorer must be one of 'dot', 'cosine'"):
        scorers.check_scorer("dott")
