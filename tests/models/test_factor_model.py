"""Users who are a mix with their history, as fitted models answer for them."""

import copy

import numpy as np
import pytest

import tripletrec as tr
from contracts.histories import HistoriesContract
from contracts.support import assert_same, catalogue, interactions
from naive_history import mixed_user
from tiers import quick
from tripletrec import scorers

pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    settings = {"n_factors": 8, "n_epochs": 4, "history": 0.6, **overrides}
    return tr.MatrixFactorization.preset("softmax", **settings)


class TestNewUsersAreTheirHistory(HistoriesContract):
    def make(self, **overrides):
        return make(**{"n_factors": 6, "n_epochs": 3, **overrides})


@pytest.fixture(scope="module", params=quick(scorers.SCORERS, "cosine"))
def model(request):
    """A fitted model, never modified."""
    return make(scorer=request.param).fit(interactions(30, 40, 300))


def test_a_new_user_is_the_mean_of_its_items(model):
    """Where users are nothing else."""
    model = make(scorer=model.scorer, history=1.0).fit(interactions(30, 40, 300))
    cosine, history = model.scorer == "cosine", [3, 7, 12]
    V, b = model.item_factors_.astype(float), model.item_biases_.astype(float)
    row = mixed_user(None, V[history], 1.0, cosine)
    np.testing.assert_allclose(model.encode_histories(history)[0], row, atol=1e-6)
    units = V / np.linalg.norm(V, axis=1, keepdims=True) if cosine else V
    expected = units @ row + b
    ids, scores = model.recommend_history(history, k=37)
    np.testing.assert_allclose(scores, expected[ids], atol=1e-6)
    assert set(ids) == set(range(40)) - set(history)


def test_going_on_in_small_steps_hardly_moves_users(model, tmp_path):
    """Own rows are told from mixed ones; new users begin with what their history says."""
    model = copy.copy(model).set_params(learning_rate=1e-9)
    model.add_users(interactions(5, 40, 30))
    before = catalogue(model)
    model.save(tmp_path / "model", state=True)
    known = model.seen_
    np.testing.assert_allclose(catalogue(copy.copy(model).partial_fit(known)), before, atol=1e-5)
    again = tr.load(tmp_path / "model")
    np.testing.assert_array_equal(catalogue(again), before)
    assert_same(again.partial_fit(known, 2), copy.copy(model).partial_fit(known, 2))
    new = tr.Interactions.from_arrays([35, 35, 36], [1, 2, 3], shape=(37, 40))
    scores = catalogue(copy.copy(model).partial_fit(new))
    np.testing.assert_allclose(scores[:35], before, atol=1e-5)
    cosine, V = model.scorer == "cosine", model.item_factors_.astype(float)
    units = V / np.linalg.norm(V, axis=1, keepdims=True) if cosine else V
    rows = model.encode_histories([[1, 2], [3]]).astype(float)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) if cosine else rows
    np.testing.assert_allclose(scores[35:], rows @ units.T + model.item_biases_, atol=1e-5)


def test_validation_sees_the_users_as_they_will_be():
    data = interactions(30, 40, 300)
    held_out = tr.Interactions(interactions(30, 40, 200, seed=9).tocsr() > data.tocsr())
    seen = []
    model = make(validation_metric="ndcg@5", validation_users="all").fit(
        data, validation=held_out, callbacks=lambda view, _: seen.append(view.user_factors_.copy())
    )
    np.testing.assert_array_equal(seen[-1], model.user_factors_)
    expected = tr.evaluate(model, held_out, data, k=5).mean["ndcg@5"]
    assert model.history_[-1]["validation_ndcg@5"] == pytest.approx(expected)


def test_all_items_of_a_user_explain_with_one_weight(model):
    for user, share in ((4, 0.6), (30, 0.6)):
        if user == 30:
            model = copy.copy(model).add_users(
                tr.Interactions.from_arrays([0, 0], [3, 7], shape=(1, 40))
            )
        own = model.seen_.tocsr()[user].indices
        why = model.explain(user, 1, k=40)
        assert sorted(why.items) == own.tolist()
        assert sum(why.terms()) == pytest.approx(why.score, abs=1e-6)
        assert why.score == pytest.approx(float(model.predict(user, [1])[0]), abs=1e-6)
        q = model.item_vectors()[:, :-1].astype(float)
        products = q[why.items] @ q[1]
        weight = why.contributions / products
        np.testing.assert_allclose(weight, weight[0], rtol=1e-6)
        mean = q[own].mean(axis=0)
        length = np.linalg.norm(mean) if model.scorer == "cosine" else 1.0
        row = model.user_factors_[user]
        row = np.linalg.norm(row) if model.scorer == "cosine" else 1.0
        assert weight[0] == pytest.approx(share / (len(own) * length * row), rel=1e-4)


def test_bad_input():
    data = interactions(30, 40, 300)
    for params, kind, message in (
        ({"history": 1.1}, ValueError, "history must be a number from 0 to 1, got 1.1"),
        ({"history": -0.1}, ValueError, "history must be a number from 0 to 1, got -0.1"),
        ({"history": "all"}, TypeError, "history must be a number from 0 to 1, got 'all'"),
        ({"history_dropout": 1.0}, ValueError, "history_dropout must be a number from 0 to 1"),
        ({"loss": "bpr"}, ValueError, "history must be 0 with a loss of triplets, .* loss 'bpr'"),
    ):
        with pytest.raises(kind, match=f"^{message}"):
            make(**params).fit(data)
