"""Intervals cover what they say, p-values are uniform under no difference, both are SciPy's."""

import numpy as np
import pytest
from scipy import stats

from tiers import quick
from tripletrec.evaluation.resampling import bootstrap, effect_sizes, holm, sign_flip_test

# Means that an interval of users must hold: skewed, mostly zero, nearly normal.
DRAWS = {
    "exponential": (lambda rng, shape: rng.exponential(1.0, shape), 1.0),
    "hits": (lambda rng, shape: (rng.random(shape) < 0.2).astype(float), 0.2),
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
}


@pytest.mark.parametrize("kind", quick(DRAWS, "hits"))
def test_95_percent_intervals_cover_95_percent(kind, rng):
    """4,000 simulated tests of 300 users, one in each column."""
    draw, truth = DRAWS[kind]
    values = draw(rng, (300, 4000))
    found = bootstrap(values, 0.95, random_state=rng)
    covered = np.mean((found.low <= truth) & (truth <= found.high))
    assert 0.93 <= covered <= 0.97
    plain = bootstrap(values, 0.9, method="percentile", random_state=rng)
    covered = np.mean((plain.low <= truth) & (truth <= plain.high))
    assert 0.87 <= covered <= 0.93


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("level", [0.95, 0.6])
def test_intervals_are_those_of_scipy(method, level, rng):
    """The same draws of rows, so the same resampled means."""
    values = rng.exponential(1.0, (23, 4)) ** 2
    seed = int(rng.integers(2**31))
    found = bootstrap(values, level, 499, method, seed)
    for column in range(4):
        expected = stats.bootstrap(
            (values[:, column],), np.mean, confidence_level=level, n_resamples=499, method=method,
            random_state=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        assert found.low[column] == pytest.approx(expected.low, rel=1e-9)
        assert found.high[column] == pytest.approx(expected.high, rel=1e-9)


def test_blocks_of_resamples_change_nothing(rng):
    """More resamples than are in memory at once."""
    values = rng.exponential(1.0, (2000, 1))
    found = bootstrap(values, n_resamples=2500, method="percentile", random_state=5)
    draws = np.random.default_rng(5)
    means = [values[draws.integers(0, 2000, 2000), 0].mean() for _ in range(2500)]
    low, high = np.quantile(means, [0.025, 0.975])
    np.testing.assert_allclose([found.low[0], found.high[0]], [low, high], rtol=1e-9)


def test_the_unit_of_a_metric_with_few_values_means_nothing():
    """Many means of draws are equal to that of all, but for rounding, which the unit changes."""
    hits = np.random.default_rng(17).random((30, 1)) < 0.2
    units = np.array([1.0, 0.1, 1 / np.log2(3), 1e-6])
    found = bootstrap(hits * units, 0.95, 1000, "bca", 0)
    for ends in (found.low, found.high):
        np.testing.assert_allclose(ends / units, ends[0], rtol=1e-12)


def test_a_level_that_so_few_rows_cannot_tell():
    one_of_many = np.zeros((60, 1))
    one_of_many[0] = 1
    found = bootstrap(one_of_many, 1 - 1e-9, 1000, "bca", 0)
    assert found.low[0] == 0 < found.mean[0] < 0.05 <= found.high[0]


def test_what_is_not_defined_is_left_out(rng):
    whole = rng.random((40, 3))
    whole[::3, 1] = np.nan
    whole[:, 2] = np.nan
    found = bootstrap(whole, random_state=1)
    np.testing.assert_allclose(found.mean[:2], np.nanmean(whole[:, :2], axis=0))
    assert found.low[1] < found.mean[1] < found.high[1]
    assert np.isnan([each[2] for each in found]).all()
    # Of the same draws the mean over the defined ones.
    draws, means = np.random.default_rng(1), []
    for _ in range(1000):
        means.append(np.nanmean(whole[draws.integers(0, 40, 40), 1]))
    plain = bootstrap(whole, method="percentile", random_state=1)
    expected = np.quantile(means, [0.025, 0.975])
    np.testing.assert_allclose([plain.low[1], plain.high[1]], expected, rtol=1e-9)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_draws_of_none_that_is_defined_tell_nothing(method):
    values = np.array([[np.nan, 0.5], [1.0, np.nan], [np.nan, np.nan], [np.nan, 0.75]])
    found = bootstrap(values, method=method)
    assert (found.low[0], found.mean[0], found.high[0]) == (1.0, 1.0, 1.0)
    assert (found.low[1], found.mean[1], found.high[1]) == (0.5, 0.625, 0.75)


def test_columns_without_spread_and_few_rows():
    for method in ("bca", "percentile"):
        found = bootstrap(np.full((7, 2), 0.25), method=method)
        assert found.low.tolist() == found.mean.tolist() == found.high.tolist() == [0.25, 0.25]
        alone = bootstrap(np.array([[0.5]]), method=method)
        assert alone.low[0] == alone.high[0] == 0.5
    assert np.isnan(bootstrap(np.empty((0, 1))).mean).all()


def test_the_seed_decides_and_the_global_one_is_left_alone(rng):
    values = rng.random((30, 2))
    before = repr(np.random.get_state())
    one, two, three = (bootstrap(values, random_state=seed) for seed in (3, 3, 4))
    assert one.low.tolist() == two.low.tolist() != three.low.tolist()
    assert repr(np.random.get_state()) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"level": 95}, "level must be a number between 0 and 1"),
        ({"level": 1.0}, "level must be a number between 0 and 1"),
        ({"n_resamples": 0}, "n_resamples must be an integer >= 1, got 0"),
        ({"method": "basic"}, "method must be 'bca' or 'percentile', got 'basic'"),
        ({"random_state": -1}, "random_state must be from 0"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(np.ones((3, 1)), **wrong)


def test_p_values_are_uniform_where_nothing_differs(rng):
    """2,000 simulated comparisons of 60 users: by all quantiles, and at the usual level."""
    differences = rng.standard_t(4, (60, 2000))
    found = sign_flip_test(differences, 2000, rng)
    assert stats.kstest(found, "uniform").pvalue > 1e-6
    assert 0.03 <= np.mean(found <= 0.05) <= 0.07


@pytest.mark.parametrize("n", [2, 5, 9])
def test_all_ways_give_the_p_values_of_scipy(n, rng):
    """Ties included: whole numbers and zeros."""
    differences = np.column_stack(
        [rng.normal(0.3, 1, n), rng.integers(-2, 3, n), rng.integers(0, 2, n)]
    )
    found = sign_flip_test(differences, 1000)
    for column, value in zip(differences.T, found, strict=True):
        expected = stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
        ).pvalue
        assert value == pytest.approx(expected, rel=1e-12)


def test_random_ways_come_near_all_ways(rng):
    differences = rng.normal(0.4, 1, (12, 3))
    exact, drawn = sign_flip_test(differences, 4096), sign_flip_test(differences, 4095, rng)
    np.testing.assert_allclose(drawn, exact, atol=0.04)
    assert sign_flip_test(np.ones((200, 1)), 999).tolist() == [1 / 1000]


def test_no_difference_is_no_evidence():
    assert sign_flip_test(np.zeros((5, 1))).tolist() == [1.0]
    assert sign_flip_test(np.zeros((500, 2)), 50).tolist() == [1.0, 1.0]
    gaps = np.array([[1.0], [np.nan], [2.0], [3.0]])
    assert sign_flip_test(gaps).tolist() == [0.25]
    nowhere = np.column_stack([gaps, np.full((4, 1), np.nan)])
    for n_resamples in (1000, 10):
        assert np.isnan(sign_flip_test(nowhere, n_resamples)).tolist() == [False, True]


def test_holm():
    """By hand: sorted, each times how many are left, never falling, at most 1."""
    p = np.array([[0.01, 0.2], [0.04, 0.9], [0.03, 0.5], [0.005, 0.01]])
    np.testing.assert_allclose(holm(p)[:, 0], [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(p)[:, 1], [0.6, 1.0, 1.0, 0.04])
    assert holm(np.array([[0.3]])).tolist() == [[0.3]]
    p = np.array([[0.02, np.nan], [np.nan, np.nan], [0.03, 0.4]])  # as if there were no others
    np.testing.assert_allclose(holm(p), [[0.04, np.nan], [np.nan, np.nan], [0.04, 0.4]])


def test_effect_sizes(rng):
    d = rng.normal(0.2, 2.0, (50, 1))
    assert effect_sizes(d)[0] == pytest.approx(d.mean() / d.std(ddof=1))
    assert effect_sizes(np.zeros((4, 1))).tolist() == [0.0]
    for n in (3, 4):  # the mean of three is not quite -0.1
        assert effect_sizes(np.full((n, 1), -0.1)).tolist() == [-np.inf]
    gap = np.array([[1.0], [np.nan], [3.0]])
    assert effect_sizes(gap)[0] == pytest.approx(2 / np.sqrt(2))
