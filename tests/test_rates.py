"""Learning-rate schedules: their shapes, and that training follows them."""

import hypothesis
import pytest
from hypothesis import strategies as st

import tripletrec as tr
from contracts.support import assert_same, interactions
from tripletrec import rates


def test_shapes_of_schedules():
    for name, middle in (("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)):
        schedule = rates.check_schedule(name)
        assert schedule.factor(0.0) == 1.0
        assert schedule.factor(0.5) == pytest.approx(middle)
        assert schedule.factor(1.0) == pytest.approx(1.0 if name == "constant" else 0.0)
        warm = rates.SCHEDULES[name](0.2)
        assert warm.factor(0.05) == pytest.approx(0.25) and warm.factor(0.2) == pytest.approx(1.0)
        assert warm.factor(1.0) == pytest.approx(schedule.factor(1.0))


@hypothesis.given(st.floats(0, 1), st.floats(0, 0.99), st.sampled_from(list(rates.SCHEDULES)))
def test_schedules_stay_between_zero_and_one(done, warmup, name):
    assert 0.0 <= rates.SCHEDULES[name](warmup).factor(done) <= 1.0 + 1e-12


def test_schedule_of_triplets():
    """Epochs at rates of their own are epochs of models with that rate."""
    data = interactions(30, 40, 300)
    plain = tr.MatrixFactorization(n_factors=3, n_epochs=1, learning_rate=0.05).fit(data)
    half = tr.MatrixFactorization(n_factors=3, n_epochs=1, learning_rate=0.1, schedule="linear")
    assert_same(half.fit(data), plain)
    with pytest.raises(ValueError, match="warmup must be a number from 0 to 1"):
        rates.cosine(1.0)
