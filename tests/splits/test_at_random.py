"""Random splits: a partition of the interactions, reproducible, never an empty part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splits.support import check_partition, entries, some_interactions
from tripletrec.data.interactions import Interactions
from tripletrec.splits import (
    leave_k_out,
    leave_last_out,
    time_split,
    train_test_split,
    user_split,
)

SEEDS = st.integers(0, 2**32)


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


def test_without_a_seed_too_the_same_split_comes_again():
    data = some_interactions(40, 40)
    for split in (train_test_split, leave_k_out):
        assert entries(split(data)[1]) == entries(split(data)[1])
        assert entries(split(data, random_state=None)[1]) != entries(
            split(data, random_state=None)[1]
        )


@given(SEEDS)
def test_the_order_of_the_rows_does_not_matter(seed):
    data = some_interactions(20, 9, seed=seed)
    mixed = np.random.default_rng(seed).permutation(len(data))
    again = Interactions.from_arrays(
        data.rows[mixed],
        data.indices[mixed],
        data.values[mixed],
        timestamps=data.timestamps[mixed],
        shape=data.space.shape,
        user_ids=data.user_ids,
    )
    for split in (train_test_split, leave_k_out, leave_last_out, user_split, time_split):
        for part, other in zip(split(data), split(again), strict=True):
            assert entries(part) == entries(other)


# ---------------------------------------------------------------- k of each user


@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
def test_k_of_each_user(seed, k, min_left):
    data = some_interactions(seed=seed)
    counts = np.diff(data.indptr)
    enough = counts >= k + min_left
    if not enough.any():
        return
    train, test = leave_k_out(data, k, min_left=min_left, random_state=seed)
    check_partition(data, train, test)
    assert np.diff(test.indptr).tolist() == np.where(enough, k, 0).tolist()
    again = leave_k_out(data, k, min_left=min_left, random_state=seed)[1]
    assert entries(again) == entries(test)


def test_each_interaction_is_left_out_as_often(rng):
    """Of five, one in five times: twelve standard deviations are no chance."""
    data = Interactions(np.ones((4000, 5)))
    train, test = leave_k_out(data, random_state=rng)
    counts = np.bincount(test.indices, minlength=5)
    assert (np.abs(counts - 800) < 12 * np.sqrt(4000 * 0.2 * 0.8)).all()
    assert len(train) == 16_000


def test_k_out_of_a_matrix():
    data = some_interactions()
    ones = leave_k_out(data.tocsr(), 2, random_state=5)[1]
    np.testing.assert_array_equal(ones.indices, leave_k_out(data, 2, random_state=5)[1].indices)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be an integer >= 1, got 0"),
        ({"k": 0.5}, TypeError, "k must be an integer >= 1, got 0.5"),
        ({"min_left": 0}, ValueError, "min_left must be an integer >= 1, got 0"),
        ({"k": 9}, ValueError, "k=9 leaves nothing to test: no user has 10 interactions"),
        ({"random_state": "x"}, TypeError, "random_state must be"),
    ],
)
def test_bad_k_out(options, error, message):
    with pytest.raises(error, match=message):
        leave_k_out(some_interactions(), **options)
