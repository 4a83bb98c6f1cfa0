"""What a result holds: intervals of its metrics, lists that are made when asked for, pickles."""

import pickle

import numpy as np
import pytest
from scipy import stats

import tripletrec as tr
from tripletrec.evaluation import evaluate


@pytest.fixture(scope="module")
def result(small):
    train, test = tr.splits.train_test_split(small, random_state=0)
    return evaluate(tr.Popularity().fit(train), test, k=(5, 10))


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_are_those_of_scipy(result, method):
    found = result.interval(0.9, n_resamples=300, method=method, random_state=7)
    assert found.index.tolist() == result.mean.index.tolist()
    np.testing.assert_array_equal(found["mean"], result.mean)
    for name in ("auc", "recall@5", "mrr"):
        expected = stats.bootstrap(
            (result.per_user[name],), np.mean, confidence_level=0.9, n_resamples=300, method=method,
            random_state=np.random.default_rng(7),
        ).confidence_interval  # fmt: skip
        assert found.loc[name, "low"] == pytest.approx(expected.low, rel=1e-9)
        assert found.loc[name, "high"] == pytest.approx(expected.high, rel=1e-9)


def test_intervals_are_wider_the_surer(result):
    narrow, wide = result.interval(0.5), result.interval(0.99)
    assert (wide["low"] < narrow["low"]).all() and (narrow["high"] < wide["high"]).all()
    assert result.interval().equals(result.interval(0.95, random_state=0))
    with pytest.raises(ValueError, match="level must be a number between 0 and 1"):
        result.interval(95)
    with pytest.raises(ValueError, match="method must be 'bca' or 'percentile', got 'normal'"):
        result.interval(method="normal")


def test_pickles_hold_no_model(small):
    train, test = tr.splits.train_test_split(small, random_state=0)
    result = evaluate(tr.Popularity().fit(train), test)
    again = pickle.loads(pickle.dumps(result))
    assert again.mean.equals(result.mean) and again.interval().equals(result.interval())
    with pytest.raises(
        ValueError, match="lists were not asked for before this evaluation was pickled"
    ):
        again.lists  # noqa: B018
    lists = result.lists
    lists["coverage"] = 0.0  # a copy
    again = pickle.loads(pickle.dumps(result))
    assert again.lists.equals(result.lists) and result.lists["coverage"].all()


def test_lists_are_of_the_model_as_it_was(small):
    train, test = tr.splits.train_test_split(small, random_state=0)
    model = tr.MatrixFactorization(n_factors=3, n_epochs=1).fit(train)
    expected, result = evaluate(model, test).lists, evaluate(model, test)
    model.set_params(n_epochs=9).fit(train)
    assert result.lists.equals(expected)
