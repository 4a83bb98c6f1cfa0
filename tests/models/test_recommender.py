"""What every fitted model answers with, tried on a table of scores; ties, ids, alignment."""

import copy

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.models.recommender import Recommender, present


class Table(Recommender):
    """Scores that somebody wrote down."""

    def __init__(self, scores=None, rows=None):
        self.scores = scores
        self.rows = rows

    def fit(self, X=None, y=None):
        self.n_users_, self.n_items_ = self.scores.shape
        self.user_ids_, self.item_ids_ = None, None
        return self

    def _score_function(self):
        return lambda users: self.scores[users]

    def _score_pairs(self, users, items):
        return self.scores[users, items]

    def _item_rows(self):
        return self.rows


def table(*rows):
    return Table(np.array(rows, np.float32)).fit()


def test_best_first_and_ties_by_the_lowest_item():
    model = table([1, 3, 3, 2], [0, 0, 0, 0])
    ids, scores = model.recommend([0, 1], k=3)
    assert ids.tolist() == [[1, 2, 3], [0, 1, 2]]
    assert scores.tolist() == [[3, 3, 2], [0, 0, 0]]
    assert model.recommend(0, k=2, candidates=[3, 0, 2])[0].tolist() == [2, 3]
    assert model.recommend(0, k=2, exclude=np.array([[0, 1, 1, 0]] * 2))[0].tolist() == [3, 0]


def test_pairs_are_broadcast():
    model = table([1, 2, 3], [4, 5, 6])
    assert model.predict([0, 1], [2, 0]).tolist() == [3, 4]
    assert model.predict(1, [2, 0]).tolist() == [6, 4]
    assert model.predict([1, 0], 1).tolist() == [5, 2]


def test_similar_rows_by_their_cosines():
    rows = np.array([[1, 0], [2, 2], [0, 0], [3, 0.3], [-1, 0]], np.float32)
    model = Table(np.zeros((2, 5), np.float32), rows).fit()
    ids, cosines = model.similar_items(0, k=4)
    assert ids.tolist() == [3, 1, 2, 4]
    np.testing.assert_allclose(cosines, [1 / np.hypot(1, 0.1), np.sqrt(0.5), 0, -1], rtol=1e-6)


def test_full_auc_of_any_model():
    model = table([3, 2, 1], [1, 2, 3])
    assert model.score(np.array([[1, 0, 0], [1, 0, 0]])) == 0.5
    assert model.score(np.array([[1, 0, 0], [0, 0, 1]]), exclude=np.diag([0, 1, 0])[:2]) == 1.0


def test_ties_are_broken_by_the_lowest_item(seasoned):
    model = copy.deepcopy(seasoned)
    model.user_factors_[:] = 0
    model.item_biases_[:] = np.arange(40) % 2
    expected = [*range(1, 40, 2), *range(0, 40, 2)]
    for n_jobs in (1, 2):
        ids, _ = model.set_params(n_jobs=n_jobs).recommend(np.arange(30), k=40)
        assert ids.tolist() == [expected] * 30
    ids, _ = model.recommend(0, k=2, candidates=[6, 4, 2])
    assert ids.tolist() == [2, 4]


def test_ids_are_checked_once_for_a_fitted_model(pairs):
    data = tr.Interactions(pairs.tocsr(), user_ids=[f"u{n}" for n in range(30)])
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(data)
    assert model._users() is model._users()
    first = model._users()
    model.fit(tr.Interactions(pairs.tocsr(), user_ids=[f"v{n}" for n in range(30)]))
    assert model._users() is not first
    assert model.recommend("v3", k=2)[0].shape == (2,)


def test_present():
    rows, scores = np.array([[2, 0, -1]]), np.array([[3.0, 1.0, -np.inf]])
    ids = np.array(["a", "b", "c"])
    assert present(rows, scores, None, single=False)[0] is rows
    assert present(rows, scores, ids, single=False)[0].tolist() == [["c", "a", None]]
    found, left = present(rows, scores, ids, single=True)
    assert found.tolist() == ["c", "a"] and found.dtype == ids.dtype and left.tolist() == [3.0, 1.0]


def test_users_come_in_an_order_and_candidates_need_none():
    model = table([1, 3, 3, 2], [0, 0, 0, 0])
    expected, _ = model.recommend([1, 0], k=2)
    for users in (
        iter([1, 0]),
        (u for u in (1, 0)),
        {1: "a", 0: "b"}.keys(),
        np.array([1, 0], object),
    ):
        assert model.recommend(users, k=2)[0].tolist() == expected.tolist()
    for users in ({1, 0}, frozenset([1])):
        with pytest.raises(
            TypeError, match="user ids must be a sequence of ids, but a set has no order"
        ):
            model.recommend(users, k=2)
        with pytest.raises(TypeError, match="item ids must be .* a set has no order"):
            model.predict(0, users)
    for candidates in ({3, 0}, frozenset([0, 3]), iter([0, 3])):
        assert model.recommend(0, k=2, candidates=candidates)[0].tolist() == [3, 0]
    assert model.predict(iter([0, 0]), (i for i in (1, 3))).tolist() == [3, 2]


def test_masked_users_are_refused():
    with pytest.raises(ValueError, match="user ids must not be masked"):
        table([1, 2], [3, 4]).recommend(np.ma.array([0, 1], mask=[0, 1]))


def test_padded_dates_stay_dates():
    rows, scores = np.array([[1, -1], [0, 1]]), np.zeros((2, 2))
    for unit in ("ns", "D"):
        ids = np.array(["2020-01-01", "2021-01-01"], f"M8[{unit}]")
        found, _ = present(rows, scores, ids, single=False)
        assert found[0, 1] is None and found[0, 0] == ids[1] and found[1].tolist() == list(ids)
