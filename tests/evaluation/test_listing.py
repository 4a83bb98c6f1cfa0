"""All lists together, counted by hand and from what `recommend` gives."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import tripletrec as tr
from tripletrec.evaluation import evaluate
from tripletrec.evaluation.listing import gini, head_of

pytestmark = pytest.mark.filterwarnings("ignore:.* positives in test are", "ignore:the scores are")


def test_counted_by_hand():
    train = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]])
    scores = np.array([[0.0, 3, 2, 1], [0, 0, 1, 2], [0, 0, 0, 1], [0, 1, 3, 2]])
    test = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    found = evaluate(lambda rows: scores[rows], test, tr.Interactions(train), k=(1, 2)).lists
    # Lists of the three users with positives: 1 2, 3 2, 3; of popularity: 1 2, 2 3, 3.
    assert found.index.tolist() == [1, 2] and found.index.name == "k"
    first, second = found.loc[1], found.loc[2]
    assert first["coverage"] == 2 / 4 and second["coverage"] == 3 / 4
    assert first["gini"] == pytest.approx(gini(np.array([0, 1, 0, 2])))
    surprise = -np.log2(np.array([4, 2, 1, 1]) / 4)
    assert first["novelty"] == pytest.approx(np.mean(surprise[[1, 3, 3]]))
    assert second["novelty"] == pytest.approx(np.mean([1.5, 2.0, 2.0]))
    # 6 of 7 interactions are with items 0 and 1.
    assert first["long_tail"] == pytest.approx(2 / 3)
    assert second["long_tail"] == pytest.approx(np.mean([1 / 2, 1, 1]))
    assert first["popularity_overlap"] == pytest.approx(2 / 3)
    assert second["popularity_overlap"] == 1.0


def test_users_who_were_added_count():
    new = tr.Interactions(np.array([[0, 1, 0, 1], [1, 0, 0, 1]]))
    model = tr.Popularity().fit(np.array([[1, 1, 0, 0], [1, 0, 0, 0]])).add_users(new)
    test = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    row = evaluate(model, test, k=1).lists.loc[1]
    # Of the four users 3, 2, 0 and 2 have the items; lists are 2, 1, 0, 1, and of what is popular 3, 1, 0, 1.
    assert row["novelty"] == pytest.approx(np.mean([2.0, 1.0, -np.log2(3 / 4), 1.0]))
    assert row["long_tail"] == 1 / 4
    assert row["popularity_overlap"] == 3 / 4


@pytest.mark.parametrize("with_seen", [False, True])
@pytest.mark.parametrize("kind", [tr.Interactions, np.asarray, csr_matrix, np.ndarray.tolist])
def test_factors_go_by_any_matrix_that_is_excluded(kind, with_seen):
    train = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]])
    exclude = ("seen", kind(train)) if with_seen else kind(train)
    factors = np.ones((4, 1)), np.array([[4.0], [3.0], [2.0], [1.0]])
    test = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    found = evaluate(factors, test, exclude, k=1).lists
    assert found.loc[1, "novelty"] == pytest.approx(np.mean([1.0, 2.0, 2.0]))  # of items 1, 2, 3
    models = {"one": factors, "other": factors}
    compared = tr.compare(models, test, exclude, k=1, n_resamples=10, n_permutations=10)
    assert compared.results["other"].lists.equals(found)


@pytest.mark.parametrize("candidates", [None, range(25)], ids=["all", "some"])
def test_they_are_the_lists_of_recommend(candidates, small):
    train, test = tr.splits.train_test_split(small, random_state=0)
    model = tr.MatrixFactorization(n_factors=4, n_epochs=3).fit(train)
    result = evaluate(model, test, k=(3, 10), candidates=candidates)
    users = result.per_user.index.to_numpy()
    popular = tr.Popularity().fit(train)
    surprise = -np.log2(np.maximum(model.item_counts_, 1) / 60)
    tail = ~head_of(model.item_counts_)
    n = 40 if candidates is None else 25
    for k in (3, 10):
        lists, most = (
            [row[row >= 0] for row in each.recommend(users, k=k, candidates=candidates)[0]]
            for each in (model, popular)
        )
        row, times = result.lists.loc[k], np.bincount(np.concatenate(lists), minlength=n)
        assert row["coverage"] == np.mean(times > 0)
        assert row["gini"] == pytest.approx(gini(times))
        shared = [np.isin(a, b).mean() for a, b in zip(lists, most, strict=True) if len(a)]
        assert row["popularity_overlap"] == pytest.approx(np.mean(shared))
        for name, values in (("novelty", surprise), ("long_tail", tail)):
            expected = np.mean([values[each].mean() for each in lists if len(each)])
            assert row[name] == pytest.approx(expected)


def test_popularity_recommends_what_is_popular(small):
    train, test = tr.splits.train_test_split(small, random_state=0)
    row = evaluate(tr.Popularity().fit(train), test, k=5).lists.loc[5]
    other = evaluate(
        tr.MatrixFactorization(n_factors=4, n_epochs=9).fit(train), test, k=5
    ).lists.loc[5]
    assert row["popularity_overlap"] == 1.0 > other["popularity_overlap"]
    assert row["novelty"] < other["novelty"] and row["coverage"] <= other["coverage"]


def test_gini():
    assert gini(np.array([2, 2, 2])) == 0.0
    assert gini(np.array([0, 0, 0, 9])) == 0.75
    x = np.array([5.0, 1, 0, 3])
    pairs = np.abs(np.subtract.outer(x, x)).sum() / (2 * 4**2 * x.mean())
    assert gini(x) == pytest.approx(pairs)
    assert np.isnan(gini(np.zeros(3)))


def test_the_short_head_has_80_percent():
    assert head_of(np.array([1, 8, 1])).tolist() == [False, True, False]
    assert head_of(np.array([2, 7, 1])).tolist() == [True, True, False]
    assert head_of(np.zeros(2, np.int64)).tolist() == [False, False]
