"""What the parameters of TwoTower stand for: the loss, what it brings, and what goes by the data."""

import copy
import inspect
import re

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import assert_same, interactions
from tripletrec import sampling
from tripletrec.models.companions import Sizes
from tripletrec.models.percentile_rank import percentile_rank
from tripletrec.models.tower_plans import BY_LOSS, batch_size_for, loss_for, tower_epochs


def make(**overrides):
    return tr.TwoTower(**{"n_factors": 4, "n_epochs": 2, **overrides})


def test_the_docstring_has_the_same_numbers():
    """List-wise losses come first there, then those of triplets; of equal values there is one."""
    text = inspect.getdoc(tr.TwoTower)
    given = dict(re.findall(r"^(\w+) : .*, default (.*), by loss$", text, re.MULTILINE))
    l2 = re.search(r"^user_l2, item_l2 : .*, default (.*), by loss$", text, re.MULTILINE)[1]
    for name, (triplets, lists) in BY_LOSS.items():
        if name == "learning_rate":
            assert given[name] == f"{lists['adagrad']} or {triplets['adagrad']}"
            assert f'None: with "adam" {lists["adam"]} or {triplets["adam"]}.' in text
        elif name.endswith("_l2"):
            assert lists == 0.0 and re.search("0 both, or (.*) and (.*)", l2)[
                ["user_l2", "item_l2"].index(name) + 1
            ] == str(triplets)
        elif triplets == lists:
            assert re.search(rf'^{name} : .*, default "{lists}"$', text, re.MULTILINE)
        else:
            one, other = re.fullmatch("(?:2 to )?(.*) or (.*)", given[name]).groups()
            assert [eval(one), eval(other)] == [lists, triplets], name


@pytest.fixture(scope="module")
def pairs():
    return interactions(40, 30, 300)


@pytest.fixture(scope="module")
def dislikes(pairs):
    """Pairs that are no positives."""
    unknown = pairs.tocsr().toarray() == 0
    return tr.Interactions(1.0 * (unknown & (np.arange(30) % 5 == 0)))


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        (sampling.UNSEEN, "softmax"),
        (sampling.popularity(0.5), "softmax"),
        (sampling.explicit(0.0), "softmax"),
        (sampling.explicit(0.5), "softmax"),
        (sampling.dynamic(4), "bpr"),
        (sampling.semi_hard(4), "bpr"),
        (sampling.nearest(0.5), "bpr"),
    ],
    ids=str,
)
def test_only_losses_of_triplets_learn_from_chosen_negatives(sampler, name):
    assert loss_for(sampler).name == name


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({}, 0.04),
        ({"loss": "bpr"}, 0.1),
        ({"optimizer": "adam"}, 0.005),
        ({"optimizer": tr.optimizers.adam(beta1=0.8)}, 0.005),
        ({"loss": "bpr", "optimizer": "adam"}, 0.006),
        ({"loss": "bpr", "optimizer": "sgd"}, 0.1),
    ],
)
def test_the_rate_goes_by_loss_and_optimizer(pairs, settings, rate):
    model = make(**settings)
    assert model._settled_params()["learning_rate"] == rate
    assert_same(model.fit(pairs), make(learning_rate=rate, **settings).fit(pairs))


def test_the_loss_goes_by_the_sampler(pairs, dislikes):
    model = make()
    for name, settings, given in (  # what an earlier fit took plays no part
        ("softmax", {"sampler": "unseen"}, {}),
        ("bpr", {"sampler": "dynamic"}, {}),
        ("softmax", {"sampler": "unseen"}, {"negatives": dislikes}),
        ("bpr", {"sampler": "semi_hard"}, {}),
        ("softmax", {"sampler": "explicit"}, {"negatives": dislikes}),
    ):
        model.set_params(**settings).fit(pairs, **given)
        assert_same(model, make(loss=name, **settings).fit(pairs, **given))
        assert model.loss is None and model._last_loss().name == name
        assert (model.temperature_ is None) == (name == "bpr")


def test_later_epochs_stay_with_the_loss(pairs, tmp_path):
    new = interactions(45, 32, 60, seed=1)
    of_lists, of_triplets = make().fit(pairs), make(sampler="dynamic").fit(pairs)
    for model, name in ((of_lists, "softmax"), (of_triplets, "bpr")):
        named = copy.copy(model).set_params(loss=name).partial_fit(new)
        model.save(tmp_path / name, state=True)
        assert_same(tr.load(tmp_path / name).partial_fit(new), named)
        assert_same(copy.copy(model).partial_fit(new), named)
    of_triplets.set_params(sampler="unseen")  # it has learnt with bpr all the same
    assert "train_auc" in of_triplets.partial_fit(new).history_[-1]


def test_settled_parameters_are_those_of_the_fit(pairs):
    model = make()
    assert (model._settled_params()["loss"], model._settled_params()["batch_size"]) == (
        "softmax",
        512,
    )
    for sampler in ("unseen", "dynamic"):
        settled = model.set_params(sampler=sampler)._settled_params(pairs)
        assert settled["batch_size"] == 64 and settled["normalize"] is (sampler == "unseen")
        spelled = tr.TwoTower(**settled).fit(pairs)
        taken = tr.losses.softmax(spelled.temperature_)
        assert settled["loss"] == ("bpr" if sampler == "dynamic" else taken)
        assert_same(model.fit(pairs), spelled)
        assert model._settled_params() == settled


def test_small_data_have_small_batches():
    assert [batch_size_for(n) for n in (1, 4000, 6400, 32_768, 10**8)] == [64, 64, 100, 512, 512]
    data = interactions(300, 200, 9000)
    spelled = make(batch_size=batch_size_for(len(data))).fit(data)
    assert_same(make().fit(data), spelled)
    assert not np.array_equal(make(batch_size=512).fit(data).item_factors_, spelled.item_factors_)


@pytest.mark.parametrize(
    ("sizes", "n_epochs"),
    [
        (Sizes(900, 1700, 40_000), 3),
        (Sizes(670, 9000, 80_000), 24),
        (Sizes(140, 140, 490_000), 5),
        (Sizes(9000, 500, 56_000), 2),
        (Sizes(1, 1, 1), 2),
        (Sizes(0, 0, 0), 2),
    ],
)
def test_many_items_for_few_users_take_more_epochs(sizes, n_epochs):
    assert tower_epochs(sizes, 0.1) == n_epochs


def test_what_is_badly_told_takes_more_epochs():
    def of(rank, popularity=0.2):
        return tower_epochs(Sizes(9000, 500, 56_000, popularity), rank)

    assert [of(0.2 * q) for q in (0.01, 0.25, 0.35, 0.45, 2.0)] == [2, 2, 11, 20, 20]
    assert [of(0.01, popularity) for popularity in (0.5, 0.55, 0.6, 1.0)] == [2, 11, 20, 20]
    assert tower_epochs(Sizes(670, 9000, 80_000, 0.2), 0.2) == 24


def test_the_number_of_epochs_goes_by_users_and_items_with_positives(tmp_path):
    few = interactions(20, 400, 600)
    more = tr.Interactions(few.tocsr()[np.arange(30) % 20])
    wide = tr.Interactions(np.pad(few.tocsr().toarray(), ((0, 30), (0, 300))))
    for data in (few, wide):
        model = make(n_epochs=None)
        expected = tower_epochs(Sizes.of(data), percentile_rank(data.indptr, data.indices))
        assert model._settled_params()["n_epochs"] == 24
        assert model._settled_params(data)["n_epochs"] == expected > 2
        assert len(model.fit(data).history_) == expected
        assert model.n_epochs is None and model._settled_params()["n_epochs"] == expected
        model.save(tmp_path / "model", seen=False)
        spelled = make(n_epochs=expected, batch_size=batch_size_for(len(data))).fit(data)
        assert tr.load(tmp_path / "model")._settled_params() == {
            **spelled._settled_params(), "n_epochs": expected,
        }  # fmt: skip
    assert tower_epochs(Sizes.of(more), 0.01) < tower_epochs(Sizes.of(few), 0.01)
    named = make(n_epochs=None, loss="bpr").fit(few)
    assert len(named.history_) == 20
    given = make(n_epochs=1).fit(few)
    assert given._settled_params()["n_epochs"] == len(given.history_) == 1


def test_what_does_not_go_together_is_said(pairs):
    with pytest.raises(ValueError, match="history must be 0 with a loss of triplets.*'bpr'"):
        make(history=0.5, sampler="dynamic").fit(pairs)
    with pytest.raises(ValueError, match="takes negatives from the argument negatives"):
        make(sampler="explicit").fit(pairs)
    with pytest.raises((TypeError, ValueError), match="loss must be .* a Loss, got 3"):
        make(loss=3).fit(pairs)
