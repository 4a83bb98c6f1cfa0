"""Batches of scores: who is scored with whom, in which thread, and what happens on an error."""

import time
from functools import partial

import numpy as np
import pytest

from tripletrec.ranking.scores import LIMITS, BatchLimits, factor_scores, map_batches, refuse_nan

SMALL = BatchLimits(16, min_users=16, min_scores=1, min_shared=0)


def test_batches_of_few_and_of_many_items():
    """512 users, unless those were too many scores, or so few that the fixed cost counted."""
    sizes = [LIMITS.batch_size(n) for n in (100, 4000, 20_000, 1_000_000)]
    assert sizes == [10_485, 512, 419, 16]


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 9])
@pytest.mark.parametrize("shared", [True, False])
def test_batches_cover_all_rows_in_order(shared, n_jobs, rng):
    """With the scores of their own rows, whichever thread makes them."""
    U, V, b = rng.normal(size=(120, 3)), rng.normal(size=(7, 3)), rng.normal(size=7)
    rows = rng.permutation(100)
    function = factor_scores(U, V, b)
    if not shared:
        function = partial(lambda function, rows: function(rows), function)

    def keep(first, last, scores):
        assert not scores.flags.writeable
        return first, last, scores.copy()

    batches = map_batches(keep, function, rows, 7, n_jobs, SMALL)
    assert [first for first, _, _ in batches] == list(range(0, 100, 16))
    assert [last for _, last, _ in batches] == [*range(16, 100, 16), 100]
    scores = np.concatenate([each for _, _, each in batches])
    np.testing.assert_allclose(scores, U[rows] @ V.T + b)
    with pytest.raises(ZeroDivisionError):
        map_batches(lambda *_: 1 // 0, function, rows, 7, n_jobs, SMALL)


def test_batches_are_scored_where_there_are_no_threads(no_threads):
    function = factor_scores(np.ones((50, 3)), np.ones((7, 3)), np.zeros(7))
    with no_threads():
        batches = map_batches(lambda *batch: batch[:2], function, np.arange(50), 7, 2, SMALL)
    assert batches == [(0, 16), (16, 32), (32, 48), (48, 50)]


def test_never_more_than_a_batch_of_scores():
    sizes = []

    def score(users):
        sizes.append(len(users))
        return np.zeros((len(users), 10))

    limits = BatchLimits(min_users=2, min_scores=1, max_scores=50, min_shared=0)
    assert map_batches(lambda *batch: batch[:2], score, np.arange(12), 10, 2, limits) == [
        (0, 5), (5, 10), (10, 12)
    ]  # fmt: skip
    assert sizes == [5, 5, 2]


@pytest.mark.parametrize("n_jobs", [1, 2, 9])
def test_no_thread_is_left_without_a_batch(n_jobs):
    """Unless there are fewer scores than it takes to start threads, or batches would be very small."""
    function = factor_scores(np.ones((100, 3), np.float32), np.ones((7, 3), np.float32))
    for n_rows, min_shared, expected in (
        (100, 0, [1, 2, 7]),
        (100, 701, [1] * 3),
        (16, 0, [1] * 3),
    ):
        limits = BatchLimits(512, min_users=16, min_scores=1, min_shared=min_shared)
        rows = np.arange(n_rows)
        found = map_batches(lambda *batch: batch[:2], function, rows, 7, n_jobs, limits)
        assert len(found) == expected[[1, 2, 9].index(n_jobs)]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_leaves_the_other_batches(error):
    begun = []

    def task(first, last, scores):
        begun.append(first)
        if first == 0:
            raise error
        time.sleep(0.01)

    function = factor_scores(np.ones((16_000, 1)), np.ones((2, 1)))
    with pytest.raises(error):
        map_batches(task, function, np.arange(16_000), 2, 2, SMALL)
    assert len(begun) < 1000


def test_a_nan_is_refused_with_its_user():
    refuse_nan(np.array([7, 3]), -1)
    with pytest.raises(ValueError, match="scores of user 3 contain NaN"):
        refuse_nan(np.array([7, 3]), 1)
