"""What the parameters of `MLPMatcher` are where they are None."""

import inspect

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import assert_same
from tripletrec.models.companions import Sizes
from tripletrec.models.mlp_plans import epochs_of, mlp_epochs, mlp_rate, mlp_sampler

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    return tr.MLPMatcher(2, 2, (3,), **overrides)


def shop(n_users, n_items, n_events):
    events = tr.datasets.make_events(n_users, n_items, n_events, random_state=0).events
    return tr.Interactions.from_frame(events, user="user_id", item="item_id")


def test_the_docstring_has_the_same_rates():
    def rate(loss, optimizer="sgd"):
        return mlp_rate(tr.losses.check_loss(loss), tr.optimizers.check_optimizer(optimizer))

    expected = (
        f'Step size. None: {rate("bpr")} with "sgd" (with the loss "hinge" {rate("hinge")}, "sigmoid" '
        f'{rate("sigmoid")}) or an optimizer of your own, {rate("bpr", "adagrad")} with "adagrad", '
        f'{rate("bpr", "adam")} with "adam".'
    )
    assert expected in " ".join(inspect.getdoc(tr.MLPMatcher).split())
    for optimizer in ("adagrad", "adam"):
        assert rate("bpr", optimizer) == rate("hinge", optimizer) == rate("sigmoid", optimizer)


@pytest.mark.parametrize(
    ("rank", "popularity", "n_epochs"),
    [
        (0.01, 0.2, 60),  # neighbours know what users like
        (0.03, 0.2, 42),
        (0.04, 0.2, 30),
        (0.06, 0.2, 30),
        (0.1, 0.2, 12),
        (0.2, 0.2, 6),  # they know what is popular
        (0.5, 0.0, 6),
        (0.5, 0.75, 7),
        (1e-6, 0.5, 60),
        (0.5, 0.9, 60),  # nothing is popular
    ],
)
def test_the_less_is_to_be_learnt_the_fewer_epochs(rank, popularity, n_epochs):
    assert mlp_epochs(Sizes(9, 9, 9, popularity), rank) == n_epochs


@pytest.mark.parametrize(
    ("n_items", "n_candidates"), [(1, 4), (300, 4), (400, 5), (500, 6), (1_000_000, 6)]
)
def test_the_more_items_the_more_candidates(n_items, n_candidates):
    assert mlp_sampler(n_items) == tr.sampling.dynamic(n_candidates)


def test_the_sampler_goes_by_the_catalogue(pairs, tmp_path):
    wide = pairs.tocsr()
    wide.resize(pairs.n_users, 600)  # most items without a positive
    for data, n_candidates in ((pairs, 4), (tr.Interactions(wide), 6)):
        sampler = tr.sampling.dynamic(n_candidates)
        model, named = make(n_epochs=2), make(n_epochs=2, sampler=sampler)
        assert model._settled_params(data)["sampler"] == sampler
        assert_same(model.fit(data), named.fit(data))
        assert model.sampler is None and model._settled_params()["sampler"] == sampler
        histories = [[0, 3], [5]]
        learnt, expected = (x.recommend_history(histories, k=5) for x in (model, named))
        np.testing.assert_array_equal(learnt[1], expected[1])
        assert_same(model.partial_fit(data), named.partial_fit(data))
        model.save(tmp_path / "model", seen=False)
        assert tr.load(tmp_path / "model")._settled_params()["sampler"] == sampler


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({}, 0.15),
        ({"loss": "hinge"}, 0.08),
        ({"loss": "sigmoid"}, 0.5),
        ({"loss": "hinge", "optimizer": "adagrad"}, 0.07),
        ({"optimizer": "adam"}, 0.002),
        ({"optimizer": tr.optimizers.SGD._replace(name="mine")}, 0.15),
    ],
)
def test_the_rate_goes_by_loss_and_optimizer(pairs, settings, rate):
    model, named = make(n_epochs=2, **settings), make(n_epochs=2, learning_rate=rate, **settings)
    assert model._settled_params()["learning_rate"] == rate
    assert_same(model.fit(pairs), named.fit(pairs))
    assert_same(model.partial_fit(pairs), named.partial_fit(pairs))


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_later_epochs_learn_slowly(pairs, schedule):
    model = make(schedule=schedule, n_epochs=2, learning_rate=0.2).fit(pairs)
    plan = model._late_plan(1)
    assert plan.rate_at(0.0) == plan.rate_at(2.5) == pytest.approx(0.005)


def test_without_state_later_epochs_by_sgd_are_the_same(pairs, tmp_path):
    model = make(n_epochs=2).fit(pairs)
    model.save(tmp_path / "model")
    assert_same(tr.load(tmp_path / "model").partial_fit(pairs), model.partial_fit(pairs))


def test_epochs_go_by_the_data(pairs, tmp_path):
    few, many = shop(2000, 150, 8000), shop(300, 100, 8000)
    assert 6 <= epochs_of(few) < epochs_of(many) <= 60
    for data in (few, pairs):
        model, n_epochs = make(), epochs_of(data)
        assert model._settled_params(data)["n_epochs"] == n_epochs
        assert model._settled_params()["n_epochs"] == 60  # at most
        spelled = make(n_epochs=n_epochs).fit(data)
        assert_same(model.fit(data), spelled)
        assert len(model.history_) == n_epochs and model.n_epochs is None
        assert model._settled_params() == spelled._settled_params()
        model.save(tmp_path / "model", seen=False)
        assert tr.load(tmp_path / "model")._settled_params()["n_epochs"] == n_epochs


def test_later_epochs_are_those_of_the_number_spelled_out(pairs, tmp_path):
    new = tr.Interactions(np.eye(pairs.n_users, pairs.n_items, dtype=np.float32))
    spelled = make(schedule="linear", n_epochs=epochs_of(pairs)).fit(pairs)
    model = make(schedule="linear").fit(pairs, checkpoint=tmp_path / "checkpoint")
    assert_same(model, spelled)
    assert_same(model.partial_fit(new), spelled.partial_fit(new))
