"""Exactness of `full_auc` and `evaluate`: naive twins, scikit-learn, hand counts."""

import dataclasses
import math
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

import naive
from tiers import examples, quick
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation import check_metric, evaluate, full_auc, mean_metric
from tripletrec.ranking.ranks import MAX_SWEPT

CUTOFFS = (1, 3, 50)

# Random data overlap and tie; the tests of the two warnings below ask for them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.* positives in test are in", "ignore:the scores are"
)


def problem(seed, dtype=np.float64, n_levels=4, share=0.3):
    """Scores with many ties, and random test and excluded items, at least one left to test."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 7), rng.integers(2, 13)
    scores = rng.integers(0, n_levels, shape).astype(dtype)
    test, exclude = rng.random(shape) < share, rng.random(shape) < share
    u, i = rng.integers(shape[0]), rng.integers(shape[1])
    test[u, i], exclude[u, i] = True, False
    exclude[:, rng.integers(shape[1])] = ~test.any(axis=1)
    exclude[rng.integers(shape[0])] |= True
    exclude[u, i] = False
    return scores, test, exclude


def scored(scores):
    return lambda users: scores[users]


def expected(scores, test, exclude, cutoffs=CUTOFFS):
    rows = {
        user: naive.metrics(row.tolist(), np.flatnonzero(test[user]), out, cutoffs)
        for user, row in enumerate(scores)
        for out in [np.flatnonzero(exclude[user])]
        if (test[user] & ~exclude[user]).any()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def assert_close(frame, other):
    assert frame.index.tolist() == other.index.tolist()
    assert sorted(frame.columns) == sorted(other.columns)
    np.testing.assert_allclose(frame, other[frame.columns], rtol=0, atol=1e-12)


SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.float32, np.float64])


@examples(60)
@given(SEEDS, DTYPES, st.integers(1, 20))
def test_equals_the_naive_twin(seed, dtype, n_levels):
    scores, test, exclude = problem(seed, dtype, n_levels)
    right = expected(scores, test, exclude)
    result = evaluate(scored(scores), test, exclude, k=CUTOFFS)
    assert_close(result.per_user, right)
    np.testing.assert_allclose(result.mean, right.mean()[result.mean.index], atol=1e-12)
    if right["auc"].notna().any():
        assert full_auc(scored(scores), test, exclude) == result.mean["auc"]


@examples(60)
@given(SEEDS, DTYPES)
def test_auc_equals_scikit_learn(seed, dtype):
    scores, test, exclude = problem(seed, dtype)
    per_user = evaluate(scored(scores), test, exclude).per_user["auc"].dropna()
    for user, value in per_user.items():
        kept = ~exclude[user]
        right = roc_auc_score(test[user, kept], scores[user, kept])
        assert value == pytest.approx(right, rel=0, abs=1e-12)


@examples(40)
@given(SEEDS, DTYPES, st.integers(1, 20))
def test_ndcg_equals_scikit_learn_ties_included(seed, dtype, n_levels):
    scores, test, _ = problem(seed, dtype, n_levels)
    n_items = scores.shape[1]
    per_user = evaluate(scored(scores), test, k=(2, n_items)).per_user
    for user, row in per_user.iterrows():
        for k in (2, n_items):
            right = ndcg_score(test[user].astype(float)[None], scores[[user]], k=k)
            assert row[f"ndcg@{k}"] == pytest.approx(right, rel=0, abs=1e-12)


@examples(40)
@given(SEEDS, DTYPES)
def test_map_equals_scikit_learn_without_ties(seed, dtype):
    scores, test, _ = problem(seed)
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(scores.shape[1]), (len(scores), 1)), axis=1) - 3.0
    n_items = scores.shape[1]
    per_user = evaluate(scored(scores.astype(dtype)), test, k=n_items).per_user
    for user, row in per_user.iterrows():
        right = average_precision_score(test[user].astype(float), scores[user])
        assert row[f"map@{n_items}"] == pytest.approx(right, rel=0, abs=1e-12)


@examples(40)
@given(SEEDS)
def test_no_metric_depends_on_the_numbering_of_items(seed):
    scores, test, exclude = problem(seed)
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    one = evaluate(scored(scores), test, exclude, k=CUTOFFS).per_user
    other = evaluate(scored(scores[:, order]), test[:, order], exclude[:, order], k=CUTOFFS)
    pd.testing.assert_frame_equal(one, other.per_user, check_exact=True)


@examples(40)
@given(SEEDS, st.sampled_from([lambda x: 3 * x - 7, np.exp, lambda x: np.log(x / 9)]))
def test_only_the_order_of_the_scores_matters(seed, transform):
    scores, test, exclude = problem(seed)
    with np.errstate(divide="ignore"):
        changed = transform(scores)  # log(0) = -inf is a score like any other
    one = evaluate(scored(scores), test, exclude, k=CUTOFFS).per_user
    pd.testing.assert_frame_equal(
        one, evaluate(scored(changed), test, exclude, k=CUTOFFS).per_user, check_exact=True
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_users_with_many_positives(dtype):
    rng = np.random.default_rng(5)
    scores = rng.permuted(np.tile(np.arange(400), (3, 1)), axis=1).astype(dtype)
    test, exclude = rng.random((3, 400)) < [[0.02], [0.5], [0.6]], rng.random((3, 400)) < 0.2
    assert (test.sum(axis=1) > MAX_SWEPT).tolist() == [False, True, True]
    result = evaluate(scored(scores), test, exclude, k=(5, 250)).per_user
    assert_close(result, expected(scores, test, exclude, (5, 250)))


@examples(20)
@given(SEEDS, st.sampled_from([2, 3, -1]))
def test_the_number_of_threads_changes_no_bit(seed, n_jobs):
    scores, test, exclude = problem(seed)
    one, other = (
        evaluate((scores, np.eye(scores.shape[1])), test, exclude, k=CUTOFFS, n_jobs=n)
        for n in (1, n_jobs)
    )
    pd.testing.assert_frame_equal(one.per_user, other.per_user, check_exact=True)
    pd.testing.assert_series_equal(one.mean, other.mean, check_exact=True)


# Five items; positives b, d; ranking a > b = c > d > e.
HAND = np.array([[5.0, 4.0, 4.0, 2.0, 1.0]])
HAND_TEST = np.array([[0, 1, 0, 1, 0]])


def test_metrics_counted_by_hand():
    row = evaluate(scored(HAND), HAND_TEST, k=(1, 2, 4)).mean
    # b beats e, ties c, loses to a; d beats e, loses to a and c: 1.5 + 1 of 6 pairs.
    assert row["auc"] == full_auc(scored(HAND), HAND_TEST) == pytest.approx(2.5 / 6, abs=1e-15)
    # b stands second or third, d fourth.
    right = {
        "mrr": (1 / 2 + 1 / 3) / 2,
        "precision": [0, 1 / 4, 1 / 2],
        "recall": [0, 1 / 4, 1],
        "hit_rate": [0, 1 / 2, 1],
        "map": [0, (1 / 2) / 2 / 2, ((1 / 2 + 1 / 3) / 2 + 2 / 4) / 2],
    }
    b = 1 / math.log2(3), 1 / math.log2(4)
    ideal = 1 + 1 / math.log2(3)
    right["ndcg"] = [0, b[0] / 2 / ideal, (sum(b) / 2 + 1 / math.log2(5)) / ideal]
    assert row["mrr"] == pytest.approx(right.pop("mrr"), abs=1e-15)
    for name, values in right.items():
        found = row[[f"{name}@{k}" for k in (1, 2, 4)]].tolist()
        assert found == pytest.approx(values, abs=1e-15), name


def test_an_excluded_positive_is_neither_positive_nor_negative():
    without_b = full_auc(scored(HAND), HAND_TEST, np.array([[0, 1, 0, 0, 0]]))
    assert without_b == pytest.approx(1 / 3, abs=1e-15)  # d beats e, loses to a and c
    row = evaluate(scored(HAND), HAND_TEST, np.array([[1, 1, 0, 0, 0]]), k=2).mean
    assert row["auc"] == 1 / 2
    assert row["mrr"] == 1 / 2
    assert row["recall@2"] == 1


def test_which_users_are_evaluated():
    test = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    exclude = np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]])
    scores = np.tile([3.0, 2.0, 1.0], (4, 1))
    result = evaluate(scored(scores), test, exclude, k=1)
    assert result.per_user.index.tolist() == [0, 2]  # 1 has no positive, 3 none after exclusion
    assert result.per_user["auc"].tolist()[0] == 1
    assert np.isnan(result.per_user["auc"].tolist()[1])  # 2 has no negative
    assert result.per_user["precision@1"].tolist() == [1, 1]
    assert result.mean["auc"] == full_auc(scored(scores), test, exclude) == 1


def test_user_ids_index_the_result():
    for name in ("ann", "ann\udce9"):  # the latter is no UTF-8
        test = Interactions(HAND_TEST, user_ids=[name], item_ids=list("abcde"))
        per_user = evaluate(scored(HAND), test).per_user
        assert per_user.index.tolist() == [name]
        assert per_user.index.name == "user"


def test_columns_come_metric_by_metric():
    names = evaluate(scored(HAND), HAND_TEST, k=[20, 5]).mean.index.tolist()
    assert names[:4] == ["auc", "mrr", "precision@20", "precision@5"]
    assert names[-1] == "hit_rate@5"
    assert all(check_metric(name, "metric") in (1, 5, 20) for name in names)


def test_lengths_candidates_and_gains_by_position():
    test = np.array([[0, 3, 1, 0, 1]])
    given = evaluate(scored(HAND), test, None, (2, 1), [1, 2, 4], "values")
    named = evaluate(
        scored(HAND), test, exclude=None, k=(2, 1), candidates=[1, 2, 4], gains="values"
    )
    pd.testing.assert_frame_equal(given.per_user, named.per_user)
    by_default = evaluate(scored(HAND), test)
    assert (
        by_default.mean.index.tolist()
        == evaluate(scored(HAND), test, k=(10, 20)).mean.index.tolist()
    )
    assert by_default.lists.index.tolist() == [10, 20]


def test_the_result_is_frozen_and_says_what_it_holds():
    result = evaluate(scored(HAND), HAND_TEST, k=2)
    first, second, *_ = repr(result).splitlines()
    assert first == "Evaluation of 1 users"
    assert second.split() == ["auc", "0.416667"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.mean = None


class Estimator:
    """The least that a model of ours is."""

    def __init__(self, scores=None):
        if scores is not None:
            self.n_users_, self.n_items_ = scores.shape
            self.user_ids_ = self.item_ids_ = None
            self.scores = scores

    _seen = None

    def _score_function(self):
        return lambda rows: self.scores[rows]

    def _now(self):
        return self

    def _is_first(self, what):
        return True


class Duck:
    """It scores as a model of ours does, and is none."""

    n_users_ = n_items_ = 2

    def _score_function(self):
        return lambda rows: np.ones((len(rows), 2))


@pytest.fixture
def factors():
    rng = np.random.default_rng(8)
    U, V, b = (rng.integers(-3, 4, shape) for shape in ((5, 2), (9, 2), 9))
    return U, V, b, rng.random((5, 9)) < 0.4


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.float16])
def test_all_kinds_of_models_agree(factors, dtype):
    *arrays, test = factors
    U, V, b = (array.astype(dtype) for array in arrays)
    plain, biased = U @ V.T, U @ V.T + b
    for scores, models in ((plain, [(U, V)]), (biased, [(U, V, b), [U, V, b.tolist()]])):
        one = evaluate(scored(scores), test).per_user
        models += [Estimator(scores), scored(np.asfortranarray(scores)), scored(sealed(scores))]
        for model in models:
            pd.testing.assert_frame_equal(
                one, evaluate(model, test, None).per_user, check_exact=True
            )


def sealed(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def test_scores_are_compared_in_their_own_precision():
    scores = np.array([[1.0, 1.0 + 1e-12]])
    test = np.array([[0, 1]])
    assert full_auc(scored(scores), test) == 1
    assert full_auc(scored(scores.astype(np.float32)), test) == 0.5
    one = np.ones((1, 1))
    assert full_auc((one, scores.T), test) == 1
    assert full_auc((one.astype(np.float32), scores.T), test) == 1  # one float64 array suffices
    assert full_auc((one.astype(np.float32), scores.T.astype(np.float32)), test) == 0.5


def test_infinite_scores_have_their_place():
    scores = np.array([[-np.inf, np.inf, -np.inf, 0.0]])
    assert full_auc(scored(scores), np.array([[0, 1, 0, 0]])) == 1
    assert full_auc(scored(scores), np.array([[1, 0, 0, 0]])) == pytest.approx(1 / 6)


def test_nothing_handed_in_is_modified(factors):
    U, V, b, test = factors
    matrix = sp.csr_matrix(test.astype(float))
    scores, given = U @ V.T * 1.0, [U.copy(), V.copy(), b.copy(), matrix.copy()]
    kept = scores.copy()

    def model(users):
        users += 1  # its own copy
        return scores[users - 1]

    evaluate(model, matrix, matrix[::-1])
    evaluate((U, V, b), matrix)
    np.testing.assert_array_equal(scores, kept)
    for array, before in zip((U, V, b), given, strict=False):
        np.testing.assert_array_equal(array, before)
    assert (matrix != given[3]).nnz == 0


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ((np.ones((4, 2)), np.ones((3, 2))), ValueError,
         r"model scores 4 users x 3 items, but test has shape \(2, 3\)"),
        (Estimator(np.ones((2, 4))), ValueError, r"model scores 2 users x 4 items, but"),
        (Estimator(), NotFittedError, "model Estimator is not fitted yet: call fit first"),
        (Duck(), TypeError, r"model must be a fitted model, a tuple \(U, V\) or"),
        ((np.ones((2, 2)),), ValueError, r"model must be \(U, V\) or \(U, V, b\), got 1 arrays"),
        ((np.ones((2, 2)), np.ones((3, 1))), ValueError,
         r"same number of factors, got shapes \(2, 2\) and \(3, 1\)"),
        ((np.ones(2), np.ones((3, 1))), ValueError, r"U must be two-dimensional, got shape \(2,\)"),
        ((np.ones((2, 1)), np.ones(3)), ValueError, r"V must be two-dimensional, got shape \(3,\)"),
        ((np.ones((2, 1)), np.ones((3, 1)), np.ones((3, 1))), ValueError,
         r"b must have one bias per item: expected shape \(3,\), got \(3, 1\)"),
        ((np.ones((2, 1)), np.full((3, 1), np.nan)), ValueError, "V must be finite"),
        ((np.ones((2, 1)), np.ones((3, 1)), [0, np.inf, 0]), ValueError, "b must be finite"),
        ((np.ones((2, 1)) * 1j, np.ones((3, 1))), TypeError,
         "U must hold real numbers, got dtype complex128"),
        (lambda users: np.ones((len(users), 4)), ValueError,
         r"scores of 2 users must have shape \(2, 3\), got \(2, 4\)"),
        (lambda users: None, ValueError, r"scores of 2 users must have shape \(2, 3\), got \(\)"),
        (lambda users: np.full((2, 3), "a"), TypeError, "scores must be real numbers, got dtype"),
        (lambda users: np.where(users[:, None] == 1, np.nan, np.ones(3)), ValueError,
         "scores of user 1 contain NaN"),
        (None, TypeError, r"model must be a fitted model, a tuple .* or a function .* got None"),
        (Estimator, TypeError, "model must be a fitted model"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_evaluated(model, error, message):
    for measure in (full_auc, evaluate):
        with pytest.raises(error, match=message):
            measure(model, np.array([[1, 0, 0], [0, 1, 0]]))


@pytest.mark.parametrize("n_positives", [1, 150])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_first_user_with_a_nan_is_named(n_positives, n_jobs):
    scores, test = np.zeros((6, 200), np.float32), np.zeros((6, 200))
    test[1:, :n_positives] = 1
    scores[[3, 5], 7] = np.nan
    with pytest.raises(ValueError, match="scores of user 3 contain NaN"):
        full_auc(scored(scores), test, n_jobs=n_jobs)


def test_data_that_cannot_be_evaluated():
    model, test = scored(HAND), HAND_TEST
    with pytest.raises(ValueError, match="exclude holds all positives of test"):
        evaluate(model, test, test)
    with pytest.raises(ValueError, match="no user in test has a negative: AUC is undefined"):
        full_auc(model, np.ones((1, 5)))
    assert np.isnan(evaluate(model, np.ones((1, 5))).mean["auc"])
    with pytest.raises(
        ValueError, match="exclude must have the 1 users and 5 items of test, got 1 and 4"
    ):
        evaluate(model, test, np.ones((1, 4)))
    named = Interactions(test, item_ids=list("abcde"))
    with pytest.raises(
        ValueError, match="exclude must have the item ids of test, in the same order"
    ):
        evaluate(model, named, Interactions(test, item_ids=list("edcba")))
    estimator = Estimator(HAND)
    estimator.item_ids_ = np.array(list("abcdf"))
    with pytest.raises(
        ValueError, match="test must have the item ids of the model, in the same order"
    ):
        evaluate(estimator, named)


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "k must be an integer >= 1, got 0"),
        ((5, -1), ValueError, "k must be an integer >= 1, got -1"),
        ([], ValueError, "k must hold at least one integer >= 1, got none"),
        (2.5, TypeError, "k must be an integer >= 1, got 2.5"),
        ("10", TypeError, "k must be an integer >= 1, got '10'"),
        (True, TypeError, "k must be an integer >= 1, got True"),
    ],
)
def test_cutoffs_that_mean_nothing(k, error, message):
    with pytest.raises(error, match=message):
        evaluate(scored(HAND), HAND_TEST, k=k)


def test_cutoffs_may_be_numpy_integers():
    mean = evaluate(scored(HAND), HAND_TEST, k=np.array([2, 2, 7])).mean
    assert [name for name in mean.index if name.startswith("map")] == ["map@2", "map@7"]


@pytest.mark.parametrize("metric", ["auc", "recall@1", "ndcg@2"])
def test_one_metric_alone_is_that_of_all(metric):
    test = Interactions(HAND_TEST)
    every = evaluate(scored(HAND), test, k=(1, 2)).mean
    assert mean_metric(scored(HAND), test, None, metric, 1) == every[metric]
    assert metric == "auc" or every[metric] != every["auc"]


def test_metric_names():
    assert [check_metric(name, "m") for name in ("auc", "mrr", "map@12")] == [1, 1, 12]
    assert check_metric("map@2147483647", "m") == 2147483647
    for name in (
        "AUC",
        "ndcg",
        "ndcg@",
        "ndcg@0",
        "ndcg@05",
        "ndcg@-1",
        "auc@3",
        None,
        "ndcg@²",
        "map@2147483648",
        "map@" + "9" * 5000,
    ):
        with pytest.raises(ValueError, match=r"^m must be one of auc, mrr, precision@k.* got"):
            check_metric(name, "m")


def test_positives_that_are_excluded_are_counted():
    test = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    exclude = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    message = "2 of 5 positives in test are in exclude too and are left out; 1 users have none left"
    scores = np.tile(np.arange(4.0), (4, 1))
    for measure in (evaluate, full_auc):
        with pytest.warns(UserWarning, match=message) as caught:
            measure(scored(scores), test, exclude)
        assert [each.filename for each in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(scored(scores), test, 1 - test)


def test_constant_scores_get_what_chance_gives_and_a_warning():
    test = np.zeros((3, 10))
    test[:, 0] = 1
    message = "the scores are constant: each of the 3 users evaluated has one score for all"
    models = (
        lambda rows: np.full((len(rows), 10), 7.0),
        (np.full((3, 5), 0.1, np.float32), np.full((10, 5), 0.3, np.float32)),
    )
    for model in models:
        with pytest.warns(UserWarning, match=message) as caught:
            mean = evaluate(model, test, k=(1, 10)).mean
        assert [each.filename for each in caught] == [__file__]
        assert mean["auc"] == 0.5
        for name in ("precision@1", "recall@1", "ndcg@1", "map@1", "hit_rate@1"):
            assert mean[name] == pytest.approx(1 / 10, abs=1e-12), name
        assert mean["mrr"] == pytest.approx(sum(1 / n for n in range(1, 11)) / 10, abs=1e-12)
        with pytest.warns(UserWarning, match=message):
            assert full_auc(model, test) == 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = np.zeros((3, 10))
        scores[1, 4] = 1  # one user is enough
        evaluate(scored(scores), test)
        evaluate(scored(np.zeros((1, 1))), np.ones((1, 1)))


@pytest.mark.parametrize("k", [2**31, 2**70, 10**5000], ids=["2^31", "2^70", "10^5000"])
def test_cutoffs_beyond_any_number_of_items(k):
    with pytest.raises(ValueError, match=r"k must be an integer from 1 to 2147483647, got "):
        evaluate(scored(HAND), HAND_TEST, k=k)
    with pytest.raises(ValueError, match=r"k must be an integer from 1 to 2147483647, got "):
        evaluate(scored(HAND), HAND_TEST, k=[3, k])
    row = evaluate(scored(HAND), HAND_TEST, k=2**31 - 1).mean
    assert row["recall@2147483647"] == row["hit_rate@2147483647"] == 1


@pytest.mark.parametrize("measure", quick([full_auc, evaluate], evaluate))
def test_progress_is_shown_where_asked_for(measure, capfd):
    def slow(rows):
        time.sleep(1.2)
        return np.tile(np.arange(5.0), (len(rows), 1))

    test = np.eye(3, 5)
    measure(slow, test)
    assert capfd.readouterr() == ("", "")
    measure(slow, test, verbose=1)
    out, err = capfd.readouterr()
    assert out == "" and "evaluating" in err and "3/3" in err
    with pytest.raises((ValueError, TypeError), match="verbose"):
        measure(slow, test, verbose="yes")
