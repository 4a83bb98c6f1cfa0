"""Exactness of `top_k`: against sorting, in every order of ties, exclusions and candidates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tiers import examples
from tripletrec._runtime.arrays import read_only
from tripletrec.data.interactions import Interactions
from tripletrec.ranking.scores import BatchLimits, factor_scores
from tripletrec.ranking.top_k import _select, top_k


def expected(scores, rows, k, exclude, candidates):
    """The lists by sorting, padded with -1 and -inf where exclusions leave fewer items."""
    k = min(k, scores.shape[1] if candidates is None else len(set(candidates)))
    items, best = np.full((len(rows), k), -1), np.full((len(rows), k), -np.inf)
    for n, row in enumerate(rows):
        out = [] if exclude is None else np.flatnonzero(exclude[row])
        ranked = naive.ranking(scores[row].tolist(), out, candidates)
        ranked = [i for i in ranked if scores[row, i] > -np.inf][:k]
        items[n, : len(ranked)], best[n, : len(ranked)] = ranked, scores[row, ranked]
    return items, best


@examples(100)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 400),
    st.integers(1, 30),
    st.sampled_from([2, 5, 10**6]),
    st.booleans(),
    st.booleans(),
)
def test_equals_sorting(seed, dtype, n_items, k, n_levels, excluding, choosing):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, n_levels, (4, n_items)).astype(dtype)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[rng.random(scores.shape) < 0.02] = np.inf
    exclude = rng.random(scores.shape) < rng.random() if excluding else None
    if excluding:
        exclude[0, 0] = True
    candidates = rng.integers(0, n_items, rng.integers(0, 20)) if choosing else None
    rows = rng.integers(0, 4, 5)
    kept = scores.copy()
    items, best = top_k(
        lambda users: scores[users],
        rows,
        n_items,
        k,
        exclude=None if exclude is None else Interactions(exclude),
        candidates=candidates,
    )
    right_items, right_best = expected(scores, rows, k, exclude, candidates)
    np.testing.assert_array_equal(items, right_items)
    np.testing.assert_array_equal(best, right_best)
    assert items.dtype == np.int64
    assert best.dtype == dtype
    np.testing.assert_array_equal(scores, kept)


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.booleans(), st.sampled_from([1, 2]))
def test_candidates_of_each_row(seed, k, excluding, n_jobs):
    """As if each row were ranked alone, of factors and of any other function alike."""
    rng = np.random.default_rng(seed)
    n_items = int(rng.integers(1, 250))
    scores = rng.integers(0, 9, (4, n_items)).astype(np.float32)
    exclude = rng.random(scores.shape) < 0.3 if excluding else None
    if excluding:
        exclude[0, 0] = True
    rows = rng.integers(0, 4, 6)
    own = [rng.integers(0, n_items, rng.integers(0, 200)) for _ in rows]
    limits = BatchLimits(int(rng.integers(1, 5)), min_users=1, min_scores=1, min_shared=0)
    width = min(k, max(len(set(each.tolist())) for each in own))
    for score in (
        lambda users: scores[users],
        factor_scores(scores, np.eye(n_items, dtype=np.float32)),
    ):
        items, best = top_k(
            score, rows, n_items, k, candidates=own, n_jobs=n_jobs, limits=limits,
            exclude=None if exclude is None else Interactions(exclude),
        )  # fmt: skip
        assert items.shape == best.shape == (6, width)
        for n, row in enumerate(rows):
            right_items, right_best = expected(scores, [row], k, exclude, own[n].tolist())
            m = min(width, right_items.shape[1])
            np.testing.assert_array_equal(items[n, :m], right_items[0, :m])
            np.testing.assert_array_equal(best[n, :m], right_best[0, :m])
            assert (items[n, m:] == -1).all() and (best[n, m:] == -np.inf).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_candidates_have_the_scores_that_they_have_among_all(dtype, rng):
    U, V, b = (rng.normal(size=shape).astype(dtype) for shape in ((9, 33), (500, 33), 500))
    score, rows = factor_scores(U, V, b), np.arange(9)
    everything = score(rows).copy()
    some = rng.permutation(500)[:101]
    for candidates in (some, [some] * 9, [rng.permutation(some)[:40] for _ in rows]):
        items, best = top_k(score, rows, 500, 20, candidates=candidates)
        np.testing.assert_array_equal(best, np.take_along_axis(everything, items, 1))
    for candidates in ([], [[]] * 9, [np.empty(0, np.int64)] * 9):
        assert top_k(score, rows, 500, 20, candidates=candidates)[0].shape == (9, 0)


def test_a_nan_among_candidates_is_found():
    scores = np.ones((3, 30), np.float32)
    scores[1, 7] = np.nan
    top_k(lambda users: scores[users], [0, 1], 30, 2, candidates=[[7], [6, 8]])
    with pytest.raises(ValueError, match="scores of user 1 contain NaN"):
        top_k(lambda users: scores[users], [0, 1], 30, 2, candidates=[[6], [8, 7]])


@examples(30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([2, 3, -1]))
def test_batches_and_threads_change_nothing(seed, n_users, n_jobs):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, (7, 40)).astype(np.float32)
    one = top_k(lambda users: scores[users], np.arange(7), 40, 5, n_jobs=1)
    # A product with the identity is exact, and only the scores of factors are shared by threads.
    score_users = factor_scores(scores, np.eye(40, dtype=np.float32))
    limits = BatchLimits(n_users, min_users=1, min_scores=1, min_shared=0)
    other = top_k(score_users, np.arange(7), 40, 5, n_jobs=n_jobs, limits=limits)
    for array, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("order", [1, -1])
def test_sorted_scores_and_whole_catalogues(order):
    scores = np.arange(1000.0)[None, ::order]
    items, best = top_k(lambda users: scores[users], [0], 1000, 1000)
    np.testing.assert_array_equal(best[0], np.arange(1000.0)[::-1])
    np.testing.assert_array_equal(items[0], np.arange(1000)[::-order])


def test_the_compiled_loop_equals_plain_python():
    rng = np.random.default_rng(1)
    scores = read_only(rng.integers(0, 5, (2, 30)).astype(np.float32))
    bounds, excluded = read_only(np.array([0, 2, 3])), read_only(np.array([4, 9, 0], np.int32))
    candidates = read_only(np.arange(30))
    lists = [(np.full((2, 4), -np.inf, np.float32), np.full((2, 4), 99)) for _ in range(2)]
    for select, (best, items) in zip(
        (_select, getattr(_select, "py_func", _select)), lists, strict=True
    ):
        assert select(scores, candidates, bounds, excluded, np.arange(2), best, items) == -1
    for array, same in zip(*lists, strict=True):
        np.testing.assert_array_equal(array, same)


def test_no_rows_and_no_candidates():
    items, best = top_k(lambda users: np.empty((0, 3)), [], 3, 2)
    assert items.shape == best.shape == (0, 2)
    items, best = top_k(lambda users: np.ones((1, 3)), [0], 3, 2, candidates=[])
    assert items.shape == best.shape == (1, 0)


@pytest.mark.parametrize("k", [4, 2**40, 2**70])
def test_lists_are_as_long_as_there_are_candidates(k):
    def score(users):
        return np.tile([1.0, 3.0, 2.0], (len(users), 1))

    assert top_k(score, [0, 0], 3, k)[0].tolist() == [[1, 2, 0]] * 2
    assert top_k(score, [0], 3, k, candidates=[2, 0, 2])[0].tolist() == [[2, 0]]
    one = Interactions(np.array([[0, 1, 0]]))
    assert top_k(score, [0], 3, k, exclude=one)[0].tolist() == [[2, 0, -1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 63, 128, 299])
def test_a_nan_anywhere_is_found(dtype, place):
    scores = np.full((3, 300), np.inf, dtype)  # nothing else could still enter a list
    scores[1, place] = np.nan
    with pytest.raises(ValueError, match="scores of user 1 contain NaN"):
        top_k(lambda users: scores[users], [2, 1, 0], 300, 2, n_jobs=2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be an integer >= 1, got 0"),
        ({"k": 1.5}, TypeError, "k must be an integer >= 1, got 1.5"),
        ({"rows": [-1]}, ValueError, "rows must be >= 0, got -1"),
        ({"rows": [3], "exclude": Interactions(np.eye(3))}, ValueError, "rows must be < 3, got 3"),
        ({"candidates": [3]}, ValueError, "candidates must be < 3, got 3"),
        ({"candidates": [0.5]}, TypeError, "candidates must be integers"),
        ({"candidates": [[0], [1]]}, ValueError, "or one for each of the 1 users, got 2 lists"),
        ({"candidates": [[3]]}, ValueError, "candidates must be < 3, got 3"),
        ({"candidates": [["a"]]}, TypeError, "candidates must be integers"),
        ({"candidates": [[[1]]]}, ValueError, "candidates must be one-dimensional"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be None or an integer other than 0, got 0"),
        ({"score_users": lambda users: np.ones((1, 2))}, ValueError,
         r"scores of 1 users must have shape \(1, 3\), got \(1, 2\)"),
    ],
)  # fmt: skip
def test_bad_input(change, error, message):
    given = {"score_users": lambda users: np.ones((1, 3)), "rows": [0], "n_items": 3, "k": 2}
    with pytest.raises(error, match=message):
        top_k(**{**given, **change})


def test_a_function_that_can_score_some_items_alone_is_asked_for_no_others():
    class OfSome:
        def __init__(self, scores):
            self.restricted = lambda items: lambda rows: scores[np.ix_(rows, items)]
            self.own = factor_scores(scores, np.eye(scores.shape[1])).own

        def __call__(self, rows):
            raise AssertionError("all items are scored")

    score = OfSome(np.array([[1.0, 9, 5, 7], [3, 3, 2, 4]]))
    items, best = top_k(score, [1, 0], 4, 2, candidates=[3, 0, 2])
    assert items.tolist() == [[3, 0], [3, 2]] and best.tolist() == [[4, 3], [7, 5]]
    items, best = top_k(score, [1, 0], 4, 2, candidates=[[1], [0, 2]])
    assert items.tolist() == [[1, -1], [2, 0]] and best.tolist() == [[3, -np.inf], [5, 1]]
