"""Candidates and samples: what `evaluate` gives on them is what it gives where all else is excluded."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import tripletrec as tr
from tiers import quick
from tripletrec.evaluation import evaluate, full_auc
from tripletrec.ranking.scores import LIMITS

pytestmark = pytest.mark.filterwarnings("ignore:.* positives in test are", "ignore:the scores are")
CUTOFFS = (1, 3, 20)


def problem(rng, n_users=9, n_items=14):
    """Factors of whole numbers, many of whose scores are equal, test and excluded items."""
    U = rng.integers(-2, 3, (n_users, 3)).astype(np.float32)
    V = rng.integers(-2, 3, (n_items, 3)).astype(np.float32)
    test, out = rng.random((2, n_users, n_items)) < 0.3
    return (U, V), test, out


def both(model):
    """The factors, and a function that scores alike."""
    U, V = model
    return model, lambda users: U[users] @ V.T


def same(one, other):
    pd.testing.assert_frame_equal(one.per_user, other.per_user, check_exact=True)


@pytest.mark.parametrize("repeat", quick(range(5), 0))
def test_candidates_for_all_users(repeat, rng):
    model, test, out = problem(rng)
    chosen = rng.choice(14, 6, replace=False)
    test[0], test[0, chosen[0]], out[0] = False, True, False
    others = ~np.isin(np.arange(14), chosen)
    right = evaluate(model, test, out | others, k=CUTOFFS)
    for each in both(model):
        for given in (chosen, chosen.tolist(), set(chosen.tolist()), [*chosen, chosen[0]]):
            same(evaluate(each, test, out, k=CUTOFFS, candidates=given), right)


@pytest.mark.parametrize("repeat", quick(range(5), 0))
def test_candidates_of_each_user(repeat, rng):
    model, test, out = problem(rng)
    own = rng.random(test.shape) < 0.6
    own[1] = False
    test[0], test[0, 3], own[0, 3], out[0] = False, True, True, False
    right = evaluate(model, test, out | ~own, k=CUTOFFS)
    lists = [rng.permutation(np.flatnonzero(row)) for row in own]
    forms = [
        lists,
        [set(row.tolist()) for row in lists],
        own,
        sp.csr_array(own),
        tr.Interactions(own),
    ]
    for each in both(model):
        for given in forms:
            same(evaluate(each, test, out, k=CUTOFFS, candidates=given), right)
    table = np.array([rng.choice(14, 5, replace=False) for _ in range(9)])
    table[0, 0] = 3
    marked = np.zeros_like(own)
    np.put_along_axis(marked, table, True, axis=1)
    same(
        evaluate(model, test, out, k=CUTOFFS, candidates=table),
        evaluate(model, test, out | ~marked, k=CUTOFFS),
    )


def test_infinite_scores_are_not_taken_for_what_fills_up():
    scores = np.array([[-np.inf, 1.0, 0.0, -np.inf], [0.0, 1.0, 2.0, 3.0]])
    test = np.array([[1, 0, 0, 0], [0, 1, 0, 0]])
    found = evaluate(lambda rows: scores[rows], test, None, candidates=[[0, 1], [0, 1, 2, 3]])
    assert found.per_user["auc"].tolist() == pytest.approx([0.0, 1 / 3])
    found = evaluate(lambda rows: scores[rows], test, None, candidates=[[0, 3], [0, 1]])
    assert found.per_user["auc"].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("own", [False, True])
def test_functions_that_score_all_items_get_no_more_users_for_few_candidates(own, rng):
    U, V = (rng.integers(-9, 9, (n, 4)).astype(np.float32) for n in (600, 3000))
    test, asked = np.eye(600, 3000, dtype=bool), []

    def score(rows):
        asked.append(len(rows))
        return U[rows] @ V.T

    candidates = [[u, u + 1, 3] for u in range(600)] if own else np.arange(600)
    found = evaluate(score, test, k=CUTOFFS, candidates=candidates)
    same(found, evaluate((U, V), test, k=CUTOFFS, candidates=candidates))
    assert max(asked) <= LIMITS.batch_size(3000) < 600


def test_positives_that_are_no_candidates_are_left_out_and_counted():
    test = np.array([[1, 1, 0], [0, 0, 1]])
    with pytest.warns(
        UserWarning,
        match="^2 of 3 positives in test are not among the candidates and are left out; 1 users have",
    ):
        found = evaluate(lambda rows: np.tile([3.0, 2, 1], (len(rows), 1)), test, candidates=[1])
    assert found.per_user.index.tolist() == [0]
    with pytest.raises(
        ValueError, match="no user can be evaluated: no positive of test is among the"
    ):
        evaluate(lambda rows: np.ones((len(rows), 3)), test, candidates=[[2], [0]])


@pytest.mark.parametrize(
    "options", [{}, {"candidates": np.arange(1, 11)}, {"own": True}, {"sampled": 4}]
)
def test_ids_left_out_for_all_are_as_pairs_of_all(options, rng):
    (U, V), test, out = problem(rng)
    test[0, 3], test[1, 5], out[:2], out[2, 0] = True, True, False, True
    if "own" in options:
        own = rng.random(test.shape) < 0.8
        own[0, 3] = True
        options = {"candidates": [np.flatnonzero(row) for row in own]}
    ids, gone = [12, 2, 5], np.isin(np.arange(14), [2, 5, 12])
    fitted = tr.Popularity().fit(tr.Interactions(out))
    for model, exclude, pairs in (
        *((each, ids, (out & False) | gone) for each in both((U, V))),
        (fitted, ("seen", ids), out | gone),
    ):
        with pytest.warns(UserWarning, match="positives in test are in exclude too"):
            found = evaluate(model, test, exclude, k=CUTOFFS, **options)
        right = evaluate(model, test, pairs, k=CUTOFFS, **options)
        same(found, right)
        for name in ("coverage", "gini"):
            np.testing.assert_array_equal(found.lists[name], right.lists[name])
    with pytest.raises(ValueError, match="exclude holds all positives of test"):
        evaluate((U, V), test, np.arange(14), **options)


def test_a_fitted_model_and_ids():
    frame = {"user": list("aabbcc"), "item": ["x", "y", "x", "z", "y", "z"]}
    train = tr.Interactions.from_frame(frame)
    model = tr.MatrixFactorization(n_factors=3, n_epochs=3).fit(train)
    test = tr.Interactions.from_frame(
        {"user": ["a", "b", "c"], "item": ["z", "y", "x"]}, like=train
    )
    found = evaluate(model, test, candidates=["z", "y"])
    assert found.per_user.index.tolist() == ["a", "b"] and found.per_user["hit_rate@10"].all()
    with pytest.raises(
        ValueError, match="unknown item id 'w'.*; 1 of the 1 candidates are unknown"
    ):
        evaluate(model, test, candidates=["w"])
    with pytest.raises(ValueError, match="one for each of the 3 users of test, got 2 of which"):
        evaluate(model, test, candidates=[["x"], ["y"]])
    with pytest.raises(ValueError, match="candidates must have the 3 users and 3 items of test"):
        evaluate(model, test, candidates=np.ones((3, 4), bool))
    for of_each in ({"u": ["x"]}, pd.DataFrame({"x": [1]})):
        with pytest.raises(TypeError, match="candidates must be .* each of the 3 users of test"):
            evaluate(model, test, candidates=of_each)


def test_a_sample_of_all_is_no_sample(rng):
    model, test, out = problem(rng)
    test[0, 3], out[0] = True, False
    whole = evaluate(model, test, out, k=CUTOFFS)
    for n in (14, 1000):
        same(evaluate(model, test, out, k=CUTOFFS, sampled=n), whole)


def test_a_sample_has_positives_and_so_many_others(rng):
    """Drawn from what is neither, all with the same probability, others for each user."""
    n_users, n_items = 400, 30
    test, out = np.zeros((2, n_users, n_items), bool)
    test[:, :2], out[:, 2:10] = True, True
    seen = np.zeros(n_items)

    class Scorer:
        """Told of no candidates, it is asked for all scores; what is counted tells which were drawn."""

        def __call__(self, rows):
            return np.tile(np.arange(n_items, dtype=float), (len(rows), 1))

    found = evaluate(Scorer(), test, out, k=6, sampled=4, random_state=int(rng.integers(2**31)))
    assert found.sampled == 4
    # The positives score lowest: two of six candidates, on the last places.
    assert found.per_user["auc"].eq(0.0).all() and found.per_user["recall@6"].eq(1.0).all()
    some = np.arange(4, n_items, 3)
    for item in some:
        scores = np.zeros(n_items)
        scores[item] = 1.0
        scores[:2] = 0.5
        each = evaluate(  # how often the positives are outranked by it
            lambda rows, scores=scores: np.tile(scores, (len(rows), 1)),
            test, out, sampled=4, random_state=3,
        )  # fmt: skip
        seen[item] = (each.per_user["mrr"] < 0.9).mean()
    assert not seen[:10].any()
    np.testing.assert_allclose(seen[some[some >= 10]], 4 / 20, atol=0.1)


def test_a_sample_is_seeded_and_says_that_it_is_biased(rng):
    model, test, out = problem(rng, 60, 80)
    one, two, three = (evaluate(model, test, out, sampled=5, random_state=s) for s in (1, 1, 2))
    same(one, two)
    assert not one.per_user.equals(three.per_user)
    assert "ranked against up to 5 sampled items each: biased" in repr(one)
    assert one.mean["ndcg@10"] > evaluate(model, test, out).mean["ndcg@10"]
    for wrong, kind in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(kind, match=f"sampled must be an integer >= 1, got {wrong}"):
            evaluate(model, test, out, sampled=wrong)
    with pytest.raises(ValueError, match="sampled must be None where candidates are given"):
        evaluate(model, test, out, sampled=5, candidates=[1])


def test_auc_has_no_candidates_of_its_own(rng):
    model, test, out = problem(rng)
    test[0, 3], out[0] = True, False
    assert full_auc(model, test, out) == evaluate(model, test, out).mean["auc"]


@pytest.mark.parametrize("make", [tr.EASE, lambda: tr.MLPMatcher(4, 6, (8,), n_epochs=1)])
def test_models_that_score_some_items_alone(make, rng):
    train, test = rng.random((2, 9, 14)) < 0.3
    train[:, 0], test[:, 0] = False, True
    train[:, 1] = True  # lists of users without training data are those of all others
    model = make().fit(train)
    scores = np.array([model.predict(user, np.arange(14)) for user in range(9)])
    if isinstance(model, tr.MLPMatcher):  # whose pairs are scored by other products
        ids, best = model.recommend(k=14, exclude=None)
        np.put_along_axis(scores, ids, best, axis=1)
    own = [[0, *(np.flatnonzero(row) + 1)] for row in rng.random((9, 13)) < 0.3]
    for candidates in ([0, 5, 2, 9], own):
        right = evaluate(lambda users: scores[users], test, train, candidates=candidates)
        same(evaluate(model, test, candidates=candidates), right)
