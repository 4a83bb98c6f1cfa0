"""Batches of scores: who is scored with whom, in which thread, and what happens on an error."""

import time
from functools import partial

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tripletrec.ranking.scores import LIMITS, BatchLimits, factor_scores, map_batches, refuse_nan

SMALL = BatchLimits(16, min_users=16, min_scores=1, min_shared=0)


def blas_threads():
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


def test_batches_of_few_and_of_many_items():
    """512 users, unless those were too many scores, or so few that the fixed cost counted."""
    sizes = [LIMITS.batch_size(n) for n in (100, 4000, 20_000, 1_000_000)]
    assert sizes == [10_485, 512, 419, 16]


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 9])
@pytest.mark.parametrize("shared", [True, False])
def test_batches_cover_all_rows_in_order(shared, n_jobs, rng):
    """With the scores of their own rows, whichever thread makes them; BLAS is let alone afterwards."""
    U, V, b = rng.normal(size=(120, 3)), rng.normal(size=(7, 3)), rng.normal(size=7)
    rows, before = rng.permutation(100), blas_threads()
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
    assert blas_threads() == before


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


@pytest.mark.parametrize(("limits", "limited"), [(LIMITS, False), (SMALL, True)])
def test_one_batch_leaves_blas_alone(limits, limited):
    """To limit its threads takes longer than to rank for a user."""
    function = factor_scores(np.ones((40, 3), np.float32), np.ones((7, 3), np.float32))
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        found = map_batches(lambda *_: blas_threads(), function, np.arange(40), 7, 4, limits)
    assert len(found) == (3 if limited else 1)
    for threads in found:
        assert threads == ([1] * len(before) if limited else before)


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
