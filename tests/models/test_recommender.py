"""What every fitted model answers with, tried on a table of scores; ties, ids, alignment."""

import copy
import functools
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import tripletrec as tr
from tiers import quick
from tripletrec.models.fitted import present
from tripletrec.models.recommender import Recommender
from tripletrec.ranking.rows import FactorRows


class Table(Recommender):
    """Scores that somebody wrote down: it was not trained, and knows nothing of that."""

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

    def _item_table(self):
        return FactorRows(self.rows)


def table(*rows):
    return Table(np.array(rows, np.float32)).fit()


def test_best_first_and_ties_by_the_lowest_item():
    model = table([1, 3, 3, 2], [0, 0, 0, 0])
    ids, scores = model.recommend([0, 1], k=3, exclude=None)
    assert ids.tolist() == [[1, 2, 3], [0, 1, 2]]
    assert scores.tolist() == [[3, 3, 2], [0, 0, 0]]
    assert model.recommend(0, k=2, exclude=None, candidates=[3, 0, 2])[0].tolist() == [2, 3]
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


def test_no_cosine_is_beyond_one():
    half = np.random.default_rng(0).normal(size=(25, 6)).astype(np.float32)
    rows = np.concatenate([half, half, -half])  # each has an equal and an opposite one
    model = Table(np.zeros((2, 75), np.float32), rows).fit()
    ids, cosines = model.similar_items(range(75), k=74)
    units = rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    naive = np.take_along_axis(units @ units.T, ids, axis=1)
    np.testing.assert_allclose(cosines, naive, atol=1e-6)
    assert (cosines.max(), cosines.min()) == (1.0, -1.0)
    _, filled_up = model.similar_items([0], candidates=[0, 25])
    assert filled_up[0, 1] == -np.inf


def test_full_auc_of_any_model():
    model = table([3, 2, 1], [1, 2, 3])
    assert model.score(np.array([[1, 0, 0], [1, 0, 0]]), exclude=None) == 0.5
    assert model.score(np.array([[1, 0, 0], [0, 0, 1]]), exclude=np.diag([0, 1, 0])[:2]) == 1.0


def test_ties_are_broken_by_the_lowest_item(seasoned):
    model = copy.deepcopy(seasoned)
    model.user_factors_[:] = 0
    model.item_biases_[:] = np.arange(40) % 2
    expected = [*range(1, 40, 2), *range(0, 40, 2)]
    for n_jobs in (1, 2):
        ids, _ = model.set_params(n_jobs=n_jobs).recommend(np.arange(30), k=40, exclude=None)
        assert ids.tolist() == [expected] * 30
    ids, _ = model.recommend(0, k=2, exclude=None, candidates=[6, 4, 2])
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
    expected, _ = model.recommend([1, 0], k=2, exclude=None)
    for users in (
        iter([1, 0]),
        (u for u in (1, 0)),
        {1: "a", 0: "b"}.keys(),
        np.array([1, 0], object),
    ):
        assert model.recommend(users, k=2, exclude=None)[0].tolist() == expected.tolist()
    for users in ({1, 0}, frozenset([1])):
        with pytest.raises(
            TypeError, match="user ids must be a sequence of ids, but a set has no order"
        ):
            model.recommend(users, k=2)
        with pytest.raises(TypeError, match="item ids must be .* a set has no order"):
            model.predict(0, users)
    for candidates in ({3, 0}, frozenset([0, 3]), iter([0, 3])):
        assert model.recommend(0, k=2, exclude=None, candidates=candidates)[0].tolist() == [3, 0]
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


# Answers are the same bits at any number of threads, ours and BLAS's, and whoever else is asked for.

N_USERS, N_ITEMS = 6000, 5000

MODELS = {
    "factors": lambda: tr.MatrixFactorization(n_factors=64, n_epochs=1, random_state=0),
    "perceptron": lambda: tr.MLPMatcher(16, 16, hidden=(32,), n_epochs=1, random_state=0),
    "deep perceptron": lambda: tr.MLPMatcher(8, 8, hidden=(16, 8), n_epochs=1, random_state=0),
    "towers": lambda: tr.TwoTower(
        n_factors=64, user_layers=(64,), item_layers=(64,), n_epochs=1, random_state=0
    ),
}


def interactions(seed):
    rng = np.random.default_rng(seed)
    users = np.concatenate((np.arange(N_USERS), rng.integers(0, N_USERS, 2000)))
    return tr.Interactions.from_arrays(
        users, rng.integers(0, N_ITEMS, len(users)), shape=(N_USERS, N_ITEMS)
    )


def answers(model, n_users):
    """Of many users at once, of few alone, and what evaluation makes of them: a digest of each."""
    test = interactions(2)
    if n_users < N_USERS:
        test = test[test.rows < n_users]
    together = model.recommend(np.arange(n_users), k=20)
    found = {
        "recommend": together,
        "similar items": model.similar_items(np.arange(0, N_ITEMS, 7), k=10),
        "similar users": model.similar_users(np.arange(0, N_USERS, 60), k=10),
        "predict": [model.predict(np.arange(300), np.arange(300))],
        "evaluate": [tr.evaluate(model, test, n_jobs=model.n_jobs).per_user.to_numpy()],
        "score": [np.array(model.score(test))],
    }
    for user in range(0, n_users, n_users // 20):
        for alone, whole in zip(model.recommend(user, k=20), together, strict=True):
            np.testing.assert_array_equal(alone, whole[user])
    return {
        name: hashlib.sha256(b"".join(each.tobytes() for each in arrays)).hexdigest()
        for name, arrays in found.items()
    }


@pytest.fixture(scope="module")
def fitted_of():
    """A function: the model of a name, and of how many users it is asked."""

    @functools.cache
    def fit(name):
        return MODELS[name]().fit(interactions(1)), N_USERS if name in (
            "factors",
            "towers",
        ) else 200

    return fit


@pytest.mark.parametrize("name", quick(MODELS, "perceptron"))
def test_any_number_of_threads(name, fitted_of):
    model, n_users = fitted_of(name)
    expected = answers(model.set_params(n_jobs=1), n_users)
    for n_blas, n_jobs in ((2, 1), (1, 2), (2, 2), (2, None)):
        with threadpool_limits(n_blas, user_api="blas"):
            assert answers(model.set_params(n_jobs=n_jobs), n_users) == expected, (n_blas, n_jobs)


@pytest.mark.thorough
def test_any_setting_of_the_environment(fitted_of, tmp_path):
    asked = []
    for name in MODELS:
        model, n_users = fitted_of(name)
        model.set_params(n_jobs=None).save(tmp_path / name)
        asked.append((str(tmp_path / name), n_users))
    code = (
        "import tripletrec as tr; from models.test_recommender import answers\n"
        f"for path, n_users in {asked!r}: print(answers(tr.load(path), n_users))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([os.path.dirname(os.path.dirname(__file__)), *sys.path]),
        },
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [str(answers(*fitted_of(name))) for name in MODELS]


@pytest.mark.parametrize("spread", [1.0, 1e-6, 0.0])
def test_a_user_alone_gets_the_list_of_a_batch(spread, rng):
    """Also where all items are nearly or exactly the same."""
    model = tr.MatrixFactorization()
    model.n_users_, model.n_items_, model.user_ids_, model.item_ids_ = 50, 999, None, None
    model.user_factors_ = rng.normal(size=(50, 33)).astype(np.float32)
    noise = spread * rng.normal(size=(999, 33))
    model.item_factors_ = (rng.normal(size=33) + noise).astype(np.float32)
    model.item_biases_ = np.full(999, 0.1, np.float32)
    ids, scores = model.recommend(np.arange(50), k=30, exclude=None)
    for user in range(50):
        alone = model.recommend(user, k=30, exclude=None)
        np.testing.assert_array_equal(alone[0], ids[user])
        np.testing.assert_array_equal(alone[1], scores[user])
    if spread == 0.0:
        assert (ids == np.arange(30)).all()
