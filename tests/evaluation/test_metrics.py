"""Graded gains of NDCG are scikit-learn's; all else is tested with `evaluate`, in `test_measuring`."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tiers import quick
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation import evaluate
from tripletrec.evaluation.metrics import mean_of, means_of

pytestmark = pytest.mark.filterwarnings("ignore:.* positives in test are", "ignore:the scores are")


@pytest.mark.parametrize("repeat", quick(range(10), 0))
@pytest.mark.parametrize("n_levels", [2, 5, 1000])
def test_graded_ndcg_is_that_of_scikit_learn(repeat, n_levels, rng):
    """Ties included, at any k, with excluded items, of linear and exponential gains."""
    n_users, n_items = 6, 12
    scores = rng.integers(0, n_levels, (n_users, n_items)).astype(float)
    grades = np.where(
        rng.random(scores.shape) < 0.4, rng.choice([0.5, 1, 2, 3, 5], scores.shape), 0
    )
    out = rng.random(scores.shape) < 0.2
    out[0], grades[0, 0] = False, 4
    for gains, worth in (("values", grades), ("exponential", 2.0**grades - 1)):
        found = evaluate(
            lambda users: scores[users], Interactions(grades), out, k=(1, 4, 12), gains=gains
        )
        for user, row in found.per_user.iterrows():
            kept = ~out[user]
            for k in (1, 4, 12):
                expected = ndcg_score(worth[user, kept][None], scores[user, kept][None], k=k)
                assert row[f"ndcg@{k}"] == pytest.approx(expected, rel=0, abs=1e-12)


def test_other_metrics_go_by_positives(rng):
    scores, grades = rng.random((5, 9)), rng.integers(0, 4, (5, 9))
    grades[0, 0] = 3
    one, *others = (
        evaluate(lambda users: scores[users], grades, k=3, gains=gains).mean
        for gains in ("binary", "values", "exponential")
    )
    for other in others:
        assert one.drop("ndcg@3").equals(other.drop("ndcg@3"))
    same = evaluate(lambda users: scores[users], grades > 0, k=3, gains="values").mean
    np.testing.assert_allclose(same, one, rtol=1e-12)


def test_gains_that_cannot_be():
    model = np.ones((2, 1)), np.ones((3, 1))
    for wrong in ("linear", None, 3, ["values"]):
        with pytest.raises(
            ValueError, match="gains must be one of 'binary', 'values', 'exponential'"
        ):
            evaluate(model, np.eye(2, 3), gains=wrong)
    with pytest.raises(
        ValueError, match="needs values of at most 1000, got 5000 in test: use gains="
    ):
        evaluate(model, 5000 * np.eye(2, 3), gains="exponential")


@pytest.mark.parametrize("n_groups", [1, 3, 400])
def test_means_of_groups_are_the_bits_of_their_means(n_groups, rng):
    group = np.sort(rng.integers(0, n_groups, 1000))
    values = np.where(rng.random(1000) < 0.3, np.nan, rng.random(1000))
    expected = [mean_of(values[group == n]) for n in range(n_groups + 1)]  # NaN of the empty last
    np.testing.assert_array_equal(means_of(values, group, n_groups + 1), expected)


def test_exponential_gains_of_small_values():
    """2^x - 1 is near x log 2: only ratios count in NDCG."""
    test, scores = np.array([[1e-16, 3e-16, 0.0]]), np.array([[3.0, 2.0, 1.0]])
    for scale in (1.0, 1e-14):
        found = evaluate((scores, np.eye(3)), test * scale, k=2, gains="exponential").mean["ndcg@2"]
        assert found == pytest.approx((1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)), rel=1e-6)
