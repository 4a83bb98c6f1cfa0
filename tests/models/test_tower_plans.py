"""What the parameters of TwoTower stand for: the loss, what it brings, and what goes by the data."""

import copy

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import assert_same, interactions
from tripletrec import sampling
from tripletrec.models.tower_plans import batch_size_for, loss_for


def make(**overrides):
    return tr.TwoTower(**{"n_factors": 4, "n_epochs": 2, **overrides})


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
        (sampling.explicit(0.5), "bpr"),
        (sampling.dynamic(4), "bpr"),
        (sampling.semi_hard(4), "bpr"),
        (sampling.nearest(0.5), "bpr"),
    ],
    ids=str,
)
def test_only_losses_of_triplets_learn_from_chosen_negatives(sampler, name):
    assert loss_for(sampler, has_given=False).name == name
    assert loss_for(sampler, has_given=True).name == "bpr"


def test_the_loss_goes_by_negatives_and_sampler(pairs, dislikes):
    for name, settings, given in (
        ("softmax", {}, {}),
        ("softmax", {}, {"negatives": dislikes[:0]}),
        ("bpr", {}, {"negatives": dislikes}),
        ("bpr", {"sampler": "dynamic"}, {}),
    ):
        model, named = make(**settings), make(loss=name, **settings)
        for _ in range(2):  # what an earlier fit took plays no part
            model.fit(pairs, **given)
            assert_same(model, named.fit(pairs, **given))
            assert model.loss is None and model._last_loss().name == name
            assert (model.temperature_ is None) == (name == "bpr")
            model.fit(pairs, **({} if name == "bpr" else {"negatives": dislikes}))


def test_later_epochs_stay_with_the_loss(pairs, dislikes, tmp_path):
    new = interactions(45, 32, 60, seed=1)
    of_lists, of_triplets = make().fit(pairs), make().fit(pairs, negatives=dislikes)
    for model, name in ((of_lists, "softmax"), (of_triplets, "bpr")):
        named = copy.copy(model).set_params(loss=name).partial_fit(new)
        model.save(tmp_path / name, state=True)
        assert_same(tr.load(tmp_path / name).partial_fit(new), named)
        assert_same(copy.copy(model).partial_fit(new), named)
    unlike = tr.Interactions(1.0 * (new.tocsr().toarray() + _padded(pairs, new) == 0))
    with pytest.raises(ValueError, match="takes no given negatives.*use a loss of triplets"):
        of_lists.partial_fit(new, negatives=unlike)
    assert len(of_triplets.partial_fit(new, negatives=unlike).history_) == 3


def _padded(old, new):
    rows = np.zeros(new.space.shape)
    rows[: old.n_users, : old.n_items] = old.tocsr().toarray()
    return rows


def test_settled_parameters_are_those_of_the_fit(pairs, dislikes):
    model = make()
    assert (model._settled_params()["loss"], model._settled_params()["batch_size"]) == (
        "softmax",
        512,
    )
    for given in ({}, {"negatives": dislikes}):
        settled = model._settled_params(pairs, **given)
        assert settled["loss"] == ("bpr" if given else "softmax")
        assert settled["batch_size"] == 64 and settled["normalize"] is (not given)
        spelled = tr.TwoTower(**settled).fit(pairs, **given)
        assert_same(model.fit(pairs, **given), spelled)
        assert model._settled_params() == settled


def test_small_data_have_small_batches():
    assert [batch_size_for(n) for n in (1, 4000, 6400, 32_768, 10**8)] == [64, 64, 100, 512, 512]
    data = interactions(300, 200, 9000)
    spelled = make(batch_size=batch_size_for(len(data))).fit(data)
    assert_same(make().fit(data), spelled)
    assert not np.array_equal(make(batch_size=512).fit(data).item_factors_, spelled.item_factors_)


def test_what_does_not_go_together_is_said(pairs, dislikes):
    with pytest.raises(ValueError, match="history must be 0 with a loss of triplets.*'bpr'"):
        make(history=0.5).fit(pairs, negatives=dislikes)
    with pytest.raises(ValueError, match="takes negatives from the argument negatives"):
        make(sampler="explicit").fit(pairs)
    with pytest.raises((TypeError, ValueError), match="loss must be .* a Loss, got 3"):
        make(loss=3).fit(pairs)
