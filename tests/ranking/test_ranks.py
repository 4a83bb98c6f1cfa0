"""Counts behind the ranking metrics: equal to the naive twin's, however users are batched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tiers import examples
from tripletrec._runtime.arrays import read_only
from tripletrec.data.interactions import Interactions
from tripletrec.ranking import ranks
from tripletrec.ranking.ranks import MAX_SWEPT, RankedPositives, count_outranking, positives_of
from tripletrec.ranking.scores import BatchLimits, factor_scores


def laid_out(test, exclude):
    """The positives of two bool arrays, and what leaves them out."""
    nothing = np.zeros(len(test) + 1, np.int64), np.empty(0, np.int32)
    out = (
        (lambda data: (data.indptr, data.indices))(Interactions(exclude))
        if exclude.any()
        else nothing
    )
    data = Interactions(test & ~exclude)
    return positives_of(data.indptr, data.indices, *out)


def expected(scores, positives):
    rows = []
    for n, user in enumerate(positives.users):
        own = positives.items[positives.bounds[n] : positives.bounds[n + 1]]
        out = positives.out_items[positives.out_bounds[user] : positives.out_bounds[user + 1]]
        rows += naive.outranking(scores[user].tolist(), own.tolist(), out.tolist())
    return np.array(rows, np.int64).reshape(-1, 2).T


@examples(60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([0, 2, MAX_SWEPT]),
)
def test_equals_the_naive_twin(seed, dtype, n_users, n_jobs, max_swept):
    """With batches of any size, in any number of threads, by sweeping and by sorting."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 12), rng.integers(2, 13)
    scores = rng.integers(0, rng.integers(1, 20), shape).astype(dtype)
    test, exclude = rng.random(shape) < 0.4, rng.random(shape) < rng.choice([0.0, 0.3])
    test[rng.integers(shape[0]), rng.integers(shape[1])] = True
    positives = laid_out(test, exclude)
    # A product with the identity is exact, and only the scores of factors are shared by threads.
    score_users = factor_scores(scores, np.eye(shape[1], dtype=dtype))
    limits = BatchLimits(n_users, min_users=1, min_scores=1, min_shared=0)
    counts = count_outranking(
        score_users, shape[1], positives, n_jobs, limits=limits, max_swept=max_swept
    )
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected(scores, positives))


@examples(60)
@given(st.integers(0, 2**32 - 1))
def test_positives_of(seed):
    rng = np.random.default_rng(seed)
    test, exclude = rng.random((2, 6, 9)) < 0.4
    test[0, 0] = exclude[5, 8] = True
    positives, left = laid_out(test, exclude), test & ~exclude
    assert positives.users.tolist() == np.flatnonzero(left.any(axis=1)).tolist()
    for n, user in enumerate(positives.users):
        assert positives.batch(n, n + 1).items.tolist() == np.flatnonzero(left[user]).tolist()
        assert positives.excluded(n).tolist() == np.flatnonzero(exclude[user]).tolist()
    assert positives.bounds[-1] == len(positives.items) == left.sum()


def test_no_positive_is_left():
    test = np.eye(3, dtype=bool)
    counts = count_outranking(lambda users: np.ones((len(users), 3)), 3, laid_out(test, test), 1)
    assert counts.shape == (2, 0) and counts.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_longer_than_a_chunk(dtype, rng):
    """Ties with items of every chunk, infinities of both signs and the shorter chunk at the end."""
    shape = (4, 2 * ranks._CHUNK + 37)
    scores = rng.choice(np.array([-np.inf, -0.0, 0.0, 1e-40, 2.0, np.inf], dtype), shape)
    scores[:2] = rng.standard_normal((2, shape[1]))
    test, exclude = np.zeros(shape, bool), rng.random(shape) < 0.1
    test[:, rng.integers(0, shape[1], 9)] = True
    test[:, [0, ranks._CHUNK - 1, ranks._CHUNK, shape[1] - 1]] = True
    exclude[:, 0] = False
    positives = laid_out(test, exclude)
    counts = count_outranking(lambda users: scores[users], shape[1], positives, 1)
    np.testing.assert_array_equal(counts, expected(scores, positives))
    scores[2, rng.choice([0, ranks._CHUNK, shape[1] - 1])] = np.nan
    with pytest.raises(ValueError, match="scores of user 2 contain NaN"):
        count_outranking(lambda users: scores[users], shape[1], positives, 1)


@pytest.mark.parametrize("n_positives", [1, MAX_SWEPT + 22])
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("n_users", [1, 2, 512])
def test_the_first_user_with_a_nan_is_named(n_positives, n_jobs, n_users):
    factors, test = np.zeros((6, 200), np.float32), np.zeros((6, 200), bool)
    test[1:, :n_positives] = True
    factors[[3, 5], 7] = np.nan
    limits = BatchLimits(n_users, min_users=1, min_scores=1, min_shared=0)
    score_users = factor_scores(factors, np.eye(200, dtype=np.float32))
    with pytest.raises(ValueError, match="scores of user 3 contain NaN"):
        count_outranking(score_users, 200, laid_out(test, ~test), n_jobs, limits=limits)


def test_the_compiled_loops_equal_plain_python():
    rng = np.random.default_rng(2)
    for dtype, count in ((np.float32, np.int32), (np.float64, np.int64)):
        scores = read_only(rng.integers(0, 4, (2, 9)).astype(dtype))
        items, excluded = np.array([1, 4, 0, 2, 8], np.int32), np.array([3, 5, 1], np.int32)
        index = np.array([0, 1]), np.array([0, 2, 5]), items, np.array([0, 2, 3]), excluded
        positives = RankedPositives(*map(read_only, index))
        one, out_scores = read_only(np.ones(1, count)), np.empty(2, dtype)
        counts = np.full((2, 2, 5), -1, count)
        plain = getattr(ranks._sweep, "py_func", ranks._sweep)
        for sweep, found in zip((ranks._sweep, plain), counts, strict=True):
            assert sweep(scores, positives, MAX_SWEPT, one, out_scores, found) == -1
        np.testing.assert_array_equal(*counts)
