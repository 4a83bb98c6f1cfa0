"""Splits: a partition of the interactions, reproducible, never an empty part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

from tripletrec.data.interactions import Interactions
from tripletrec.splits import InteractionKFold, leave_last_out, train_test_split


def some_interactions(n_users=7, n_items=9, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 3, (n_users, n_items))
    dense[0, :2] = 1
    times = rng.integers(0, 50, np.count_nonzero(dense))
    return Interactions(dense, timestamps=times, user_ids=[f"u{n}" for n in range(n_users)])


def check_partition(data, train, test):
    assert train.space.shape == test.space.shape == data.space.shape
    assert train.user_rows("u1").tolist() == [1]
    assert len(train) + len(test) == len(data)
    assert ((train.tocsr() + test.tocsr()) != data.tocsr()).nnz == 0


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 0.9))
def test_random_share(seed, share):
    data = some_interactions(seed=seed)
    train, test = train_test_split(data, share, random_state=seed)
    check_partition(data, train, test)
    assert len(test) == np.ceil(share * len(data))
    again = train_test_split(data, share, random_state=seed)[1]
    np.testing.assert_array_equal(again.tocsr().toarray(), test.tocsr().toarray())


def test_share_as_a_number_and_other_inputs():
    data = some_interactions()
    assert len(train_test_split(data, 3)[1]) == 3
    train, test = train_test_split(data.tocsr(), random_state=np.random.default_rng(1))
    assert len(train) + len(test) == len(data)


def test_seeds_differ_and_none_touches_the_global_state():
    data = some_interactions(40, 40)
    parts = [train_test_split(data, random_state=seed)[1].indices for seed in (0, 1)]
    assert not np.array_equal(*parts)
    np.random.seed(3)  # noqa: NPY002 - the user's own state
    before = np.random.get_state()[1].copy()
    train_test_split(data)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "test_size must be an integer >= 1, got 0"),
        (0.0, ValueError, "test_size must be a number between 0 and 1"),
        (1.0, ValueError, "test_size must be a number between 0 and 1"),
        (np.nan, ValueError, "test_size must be"),
        ("half", TypeError, "test_size must be .*, got 'half'"),
        (10**6, ValueError, "test_size=1000000 of .* leaves none for training"),
        (0.9999, ValueError, "leaves none for training"),
    ],
)
def test_bad_share(size, error, message):
    with pytest.raises(error, match=message):
        train_test_split(some_interactions(), size)


# ---------------------------------------------------------------- the last ones


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_last_out_equals_the_naive_twin(seed, n):
    data = some_interactions(seed=seed)
    expected = np.zeros(data.space.shape)
    for user in range(data.n_users):
        part = range(data.indptr[user], data.indptr[user + 1])
        by_time = sorted(part, key=lambda k: (data.timestamps[k], data.indices[k]))
        if len(by_time) > n:
            for k in by_time[-n:]:
                expected[user, data.indices[k]] = data.values[k]
    if not expected.any():
        return
    train, test = leave_last_out(data, n)
    check_partition(data, train, test)
    np.testing.assert_array_equal(test.tocsr().toarray(), expected)


def test_a_user_with_few_stays_in_training():
    data = Interactions.from_arrays([0, 1, 1], [0, 0, 1], timestamps=[9, 2, 1])
    train, test = leave_last_out(data)
    assert test.rows.tolist() == [1] and test.indices.tolist() == [0]
    assert train.rows.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("data", "n", "error", "message"),
    [
        (Interactions(np.ones((2, 2))), 1, ValueError, "interactions must have timestamps"),
        (some_interactions(), 99, ValueError, "n=99 leaves nothing to test"),
        (some_interactions(), 0, ValueError, "n must be an integer >= 1, got 0"),
        (some_interactions(), 1.0, TypeError, "n must be an integer"),
        (np.ones((2, 2)), 1, TypeError, "interactions must be Interactions, got ndarray"),
    ],
)
def test_bad_last_out(data, n, error, message):
    with pytest.raises(error, match=message):
        leave_last_out(data, n)


# ---------------------------------------------------------------- folds


@settings(deadline=None)
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
