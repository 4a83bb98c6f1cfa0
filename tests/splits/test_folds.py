"""Folds: each interaction is tested on once, or in the order of time, and scikit-learn can use them."""

import copy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score

from splits.support import some_interactions
from tripletrec.data.interactions import Interactions
from tripletrec.splits import InteractionKFold, TimeFolds


@given(st.integers(2, 8), st.integers(0, 2**32))
def test_folds_are_a_partition(n_splits, seed):
    data = some_interactions(seed=seed)
    folds = InteractionKFold(n_splits, random_state=seed)
    tests = []
    for train, test in folds.split(data):
        assert not set(train) & set(test) and len(train) + len(test) == len(data)
        tests.append(test)
    assert sorted(np.concatenate(tests)) == list(range(len(data)))
    assert max(map(len, tests)) - min(map(len, tests)) <= 1
    assert len(tests) == folds.get_n_splits() == n_splits
    for again, test in zip(folds.split(data), tests, strict=True):
        np.testing.assert_array_equal(again[1], test)


def test_folds_without_a_seed_differ_but_not_from_call_to_call():
    data = some_interactions(40, 40)
    for state in (None, np.random.default_rng(1), np.random.RandomState(1)):
        one, other = (InteractionKFold(2, random_state=state) for _ in range(2))
        first, again, different = (next(each.split(data))[1] for each in (one, one, other))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, different)
    with pytest.raises(TypeError, match="random_state must be None, an integer"):
        InteractionKFold(random_state="x")


class Popularity(BaseEstimator):
    """Scores each item by its number of users, to a power."""

    def __init__(self, power=1.0):
        self.power = power

    def fit(self, X, y=None):
        assert isinstance(X, Interactions)
        self.n_seen_ = len(X)
        self.scores_ = np.bincount(X.indices, minlength=X.n_items) ** self.power
        return self

    def score(self, X, y=None):
        assert isinstance(X, Interactions) and X.user_ids is not None
        return float(self.scores_[X.indices].mean() * np.sign(self.power))


def test_grid_search_over_interactions():
    data = some_interactions()
    cv = InteractionKFold(3, random_state=0)
    search = GridSearchCV(Popularity(), {"power": [-1.0, 1.0]}, cv=cv, error_score="raise")
    search.fit(data)
    assert search.best_params_ == {"power": 1.0}
    assert search.best_estimator_.n_seen_ == len(data)
    assert len(cross_val_score(Popularity(), data, cv=cv, error_score="raise")) == 3
    assert repr(cv) == "InteractionKFold(n_splits=3, random_state=0)"


def test_bad_folds():
    with pytest.raises(ValueError, match="n_splits must be an integer >= 2, got 1"):
        InteractionKFold(1)
    with pytest.raises(TypeError, match="n_splits must be an integer"):
        InteractionKFold(2.5)
    with pytest.raises(ValueError, match="n_splits=5 is more than the 4 interactions"):
        next(InteractionKFold(5).split(Interactions(np.ones((2, 2)))))
    with pytest.raises(TypeError, match="X must be Interactions, got csr_matrix"):
        next(InteractionKFold(2).split(some_interactions().tocsr()))


# ---------------------------------------------------------------- in the order of time


@given(st.integers(2, 8), st.integers(0, 2**32))
def test_folds_in_time_are_those_of_scikit_learn(n_splits, seed):
    """Where no two interactions are at the same time."""
    rng = np.random.default_rng(seed)
    data = some_interactions(seed=seed)
    times = rng.choice(1000, len(data), replace=False)
    data = Interactions(data.tocsr(), timestamps=times)
    if len(data) <= n_splits:
        return
    order = np.argsort(times)
    ours = list(TimeFolds(n_splits).split(data))
    theirs = list(TimeSeriesSplit(n_splits).split(order))
    assert len(ours) == TimeFolds(n_splits).get_n_splits() == n_splits
    for (train, test), (earlier, later) in zip(ours, theirs, strict=True):
        assert train.tolist() == sorted(order[earlier]) and test.tolist() == sorted(order[later])


@given(
    st.integers(2, 4), st.integers(0, 2**32), st.none() | st.floats(0.05, 0.2), st.integers(3, 60)
)
def test_folds_in_time_part_no_moment(n_splits, seed, share, n_times):
    data = some_interactions(12, 12, seed=seed, n_times=n_times)
    times = data.timestamps
    try:
        folds = list(TimeFolds(n_splits, test=share).split(data))
    except ValueError as error:
        assert "leaves fold 1 no training interaction" in str(error)
        assert len(set(times.tolist())) <= n_splits + 1 or (share or 0) * n_splits > 0.5
        return
    for train, test in folds:
        assert times[train].max() < times[test].min()
        assert len(train) == (times < times[test].min()).sum()
    tests = np.concatenate([test for _, test in folds])
    assert len(set(tests)) == len(tests)
    assert sorted(tests) == np.flatnonzero(times >= times[tests].min()).tolist()
    assert all(
        times[one].max() < times[other].min()
        for (_, one), (_, other) in zip(folds, folds[1:], strict=False)
    )


def dated(n=40, n_users=5):
    """An interaction on each of some days at noon."""
    times = pd.date_range("2024-01-01 12:00", periods=n, freq="D", tz="Europe/Berlin")
    return Interactions.from_arrays(
        np.arange(n) % n_users, np.arange(n) // n_users, timestamps=times
    )


def test_folds_of_weeks():
    data = dated()
    day = (data.timestamps - data.timestamps.min()) // np.timedelta64(1, "D")
    cv = TimeFolds(3, test="7D", gap=pd.Timedelta("2D"), max_train="14D")
    found = [(sorted(day[train]), sorted(day[test])) for train, test in cv.split(data)]
    assert found == [
        (list(range(start - 16, start - 2)), list(range(start, start + 7)))
        for start in (19, 26, 33)
    ]
    assert repr(cv) == (
        "TimeFolds(n_splits=3, test='7D', gap=Timedelta('2 days 00:00:00'), max_train='14D')"
    )


@pytest.mark.parametrize("kind", [int, float])
def test_folds_of_numbers(kind):
    times = np.arange(40).astype(kind)
    data = Interactions.from_arrays(np.arange(40) % 5, np.arange(40) // 5, timestamps=times)
    cv = TimeFolds(2, test=10, gap=kind(5), max_train=0.25)
    times = data.timestamps
    found = [(sorted(times[train]), sorted(times[test])) for train, test in cv.split(data)]
    assert found == [
        (list(range(5, 15)), list(range(20, 30))),
        (list(range(15, 25)), list(range(30, 40))),
    ]


def test_searches_over_folds_in_time():
    data = some_interactions(20, 20, n_times=1000)
    cv = TimeFolds(3)
    search = GridSearchCV(Popularity(), {"power": [-1.0, 1.0]}, cv=cv, error_score="raise")
    assert search.fit(data).best_params_ == {"power": 1.0}
    assert len(cross_val_score(Popularity(), data, cv=copy.deepcopy(cv), error_score="raise")) == 3
    for (train, test), (again, other) in zip(cv.split(data), cv.split(data), strict=True):
        assert train.tolist() == again.tolist() and test.tolist() == other.tolist()
    assert repr(cv) == "TimeFolds(n_splits=3)"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_splits": 1}, ValueError, "n_splits must be an integer >= 2, got 1"),
        ({"n_splits": 60}, ValueError, "leaves fold 1 no training interaction: X has 40, from 2024-01-01"),
        ({"test": "8D"}, ValueError, r"TimeFolds\(n_splits=5, test='8D'\) leaves fold 1 no training"),
        ({"test": 0.2}, ValueError, "leaves fold 1 no training"),
        ({"test": "12h"}, ValueError, "leaves fold 2 no test interaction"),
        ({"gap": "30D"}, ValueError, "leaves fold 1 no training"),
        ({"max_train": "1ns"}, ValueError, "leaves fold 1 no training"),
        ({"test": 7}, ValueError, "test must be a share between 0 and 1 or a period, such as '14D', got 7"),
        ({"test": "2024-01-31"}, ValueError, "test must be .*, got '2024-01-31'"),
        ({"gap": "7"}, ValueError, "gap must be a share between 0 and 1 or a period, such as '14D', got '7'"),
        ({"gap": np.timedelta64(7)}, ValueError, "gap must be a share between 0 and 1 or a period"),
        ({"gap": "0D"}, ValueError, "gap must be longer than no time at all, got '0D'"),
        ({"max_train": True}, ValueError, "max_train must be a share"),
        ({"test": pd.NaT}, ValueError, "test must be a share .*, got NaT"),
    ],
)  # fmt: skip
def test_bad_folds_in_time(options, error, message):
    with pytest.raises(error, match=message):
        next(TimeFolds(**options).split(dated()))


def test_folds_in_time_need_times():
    with pytest.raises(ValueError, match="X must have timestamps"):
        next(TimeFolds().split(Interactions(np.eye(9))))
    with pytest.raises(TypeError, match="X must be Interactions, got ndarray"):
        next(TimeFolds().split(np.eye(9)))
    with pytest.raises(ValueError, match="X has no interaction"):
        next(TimeFolds().split(dated()[:0]))
    numbers = some_interactions()
    for wrong, error in (("7D", TypeError), (0, ValueError), (-1, ValueError), (True, TypeError)):
        with pytest.raises(error, match="^test"):
            next(TimeFolds(test=wrong).split(numbers))
