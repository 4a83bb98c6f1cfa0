"""MLPMatcher: the contract, its parameters, its scores, what it learns."""

import copy
import pickle

import numpy as np
import pytest

import tripletrec as tr
from contracts.fit import FitContract
from contracts.histories import HistoriesContract
from contracts.lists import ListsContract
from contracts.parameters import ParametersContract
from contracts.recommend import RecommendContract
from contracts.saved import SavedContract, TamperedContract
from contracts.support import assert_same
from tripletrec.models import mlp

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    settings = {"n_user_factors": 4, "n_item_factors": 6, "hidden": (8,), "n_epochs": 3}
    return tr.MLPMatcher(**{**settings, **overrides})


class TestContract(FitContract, RecommendContract, HistoriesContract, SavedContract):
    learns_checkerboard = False

    def make(self, **overrides):
        return make(**overrides)


@pytest.mark.thorough
class TestContractOfAllModels(ParametersContract, ListsContract, TamperedContract):
    make = TestContract.make


CHANGES = {
    "n_user_factors": 3,
    "n_item_factors": 3,
    "hidden": (8, 4),
    "dropout": 0.5,
    "final_relu": True,
    "loss": "sigmoid",
    "optimizer": "adam",
    "sampler": "uniform",
    "learning_rate": 0.3,
    "n_epochs": 4,
    "batch_size": 16,
    "n_negatives": 2,
    "user_l2": 0.3,
    "item_l2": 0.3,
    "l2": 0.3,
    "init_scale": 0.3,
    "schedule": "cosine",
    "random_state": 1,
}


@pytest.fixture(scope="module")
def plain(pairs):
    return make().fit(pairs)


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_changes_something(pairs, plain, name):
    items, changed = np.arange(40), make(**{name: CHANGES[name]}).fit(pairs)
    assert not np.array_equal(plain.predict(0, items), changed.predict(0, items))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_user_factors": 0}, "n_user_factors must be an integer >= 1, got 0"),
        ({"n_item_factors": 1.5}, "n_item_factors must be an integer"),
        ({"hidden": (4, 0)}, "hidden must be an integer >= 1, got 0"),
        ({"hidden": "8"}, "hidden must be integers"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to 1"),
        ({"dropout": -0.1}, "dropout"),
        ({"final_relu": "yes"}, "final_relu must be True or False"),
        ({"loss": "warp"}, "loss"),
        ({"loss": "softmax"}, "loss of MLPMatcher must be a loss of triplets, got 'softmax'"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"sampler": "hard"}, "sampler must be one of .*'dynamic', 'semi_hard', 'nearest'"),
        ({"batch_size": 0}, "batch_size"),
        ({"l2": -1.0}, "l2"),
        ({"init_scale": 0.0}, "init_scale"),
        ({"early_stopping": 2}, "early_stopping needs validation data"),
    ],
    ids=str,
)
def test_bad_parameters_leave_the_model_as_it_was(pairs, settings, message):
    model = make().fit(pairs)
    before = model.predict(0, np.arange(40))
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_params(**settings).fit(pairs)
    model.set_params(final_relu=False)
    np.testing.assert_array_equal(model.predict(0, np.arange(40)), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "nearest"}, "sampler 'nearest' needs item features, which TwoTower has"),
        ({"loss": "ccl"}, "loss of MLPMatcher must be a loss of triplets, got 'ccl'"),
    ],
    ids=str,
)
def test_what_only_other_models_do_is_refused_before_data_are_read(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings).fit("no data")


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)], ids=str)
def test_it_learns_with_any_number_of_hidden_layers(hidden):
    data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    train, test = tr.splits.train_test_split(data, random_state=0)
    easy = {"sampler": "unseen", "learning_rate": 0.15}
    model = make(hidden=hidden, n_epochs=10, **easy).fit(train)
    assert model.score(test) > 0.6
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]
    assert len(model.layer_widths_) == 2 + len(hidden)


def test_users_without_positives_have_rows_of_zeros_and_no_others(pairs):
    matrix = pairs.tocsr().toarray()
    matrix[[3, 17]] = 0
    rows = make(n_epochs=1, learning_rate=1e-9).fit(tr.Interactions(matrix)).user_factors_
    assert np.flatnonzero(~rows.any(axis=1)).tolist() == [3, 17]
    assert (np.delete(rows, [3, 17], axis=0) != 0).all()


def test_the_sampler_where_none_is_given(pairs):
    hard = make(n_epochs=1).fit(pairs)
    assert_same(make(n_epochs=1, sampler=tr.sampling.dynamic(4)).fit(pairs), hard)
    unknown = np.argwhere(pairs.tocsr().toarray() == 0)[:5]
    dislikes = tr.Interactions.from_arrays(*unknown.T, shape=pairs.tocsr().shape)
    taught = make(n_epochs=1).fit(pairs, negatives=dislikes)
    named = make(n_epochs=1, sampler=tr.sampling.dynamic(4, 0.1))
    assert_same(named.fit(pairs, negatives=dislikes), taught)


def test_the_sampler_goes_by_all_items_when_learning_goes_on(pairs, monkeypatch):
    """Also by those that are new."""
    monkeypatch.setattr(mlp, "mlp_sampler", lambda n_items: tr.sampling.dynamic(2 + n_items % 7))
    new = tr.Interactions.from_arrays([0, 1], [0, 43], shape=(pairs.n_users, 44))
    left, named = make(n_epochs=1), make(n_epochs=1, sampler=tr.sampling.dynamic(2 + 40 % 7))
    left.fit(pairs), named.fit(pairs)
    named.set_params(sampler=tr.sampling.dynamic(2 + 44 % 7)).partial_fit(new)
    assert_same(left.partial_fit(new), named)


@pytest.mark.parametrize("hidden", [(8,), (8, 5)], ids=str)
def test_scores_of_candidates_are_those_of_all_items(pairs, hidden):
    model = make(hidden=hidden).fit(pairs)
    ids, scores = (each[[4, 0]] for each in model.recommend(k=40, exclude=None))
    some, own = [31, 2, 17], [[31, 2, 17], [5]]
    for candidates in (some, own):
        found = model.recommend([4, 0], k=3, exclude=None, candidates=candidates)
        for n in range(2):
            kept = np.isin(ids[n], candidates if candidates is some else own[n])
            m = int(kept.sum())
            assert found[0][n, :m].tolist() == ids[n][kept].tolist()
            np.testing.assert_array_equal(found[1][n, :m], scores[n][kept])


def test_histories_are_scored_by_the_model_as_it_is(pairs):
    """What is kept of the items is made again, and goes into no file."""
    model = make().fit(pairs)
    for change in (
        lambda: None,
        lambda: model.partial_fit(pairs),
        lambda: model.set_params(final_relu=True),
        lambda: setattr(model, "item_factors_", model.item_factors_[::-1].copy()),
        lambda: model.set_params(final_relu=False).fit(pairs),
    ):
        change()
        size = len(pickle.dumps(model))
        found = model.recommend_history([3, 7, 12], k=40)
        assert len(pickle.dumps(model)) == size
        for fresh in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            for mine, theirs in zip(found, fresh.recommend_history([3, 7, 12], k=40), strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_k5s_model_by_the_estimator(pairs):
    model = make(final_relu=True, loss="hinge", optimizer="adam", learning_rate=1e-3).fit(pairs)
    assert model.predict(np.arange(30), 3).min() >= 0.0
