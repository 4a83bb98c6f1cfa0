"""Companions of losses: what is taken where nothing was given, that it is kept, and that it learns."""

import inspect
import re
from itertools import product, zip_longest

import numpy as np
import pytest
from sklearn.base import clone

import tripletrec as tr
from contracts.support import assert_same, catalogue, change_at, rewrite
from tiers import quick, quick_rows
from tripletrec import losses, optimizers, sampling
from tripletrec.models.companions import (
    COMPANION_NAMES,
    COMPANIONS,
    MOST_CANDIDATES,
    Sizes,
    companions_of,
    epochs_for,
    most_epochs,
    rate_for,
    relative_rank,
    resolve,
    sampler_for,
    temperature_for,
    user_l2_for,
)
from tripletrec.models.percentile_rank import percentile_rank, popularity_rank

pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")

ALL = {**losses.LOSSES, **losses.LIST_LOSSES}


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 2, **overrides})


@pytest.fixture(scope="module")
def wide():
    """Ten users of a kind have the same five items: neighbours tell all, and negatives are hard."""
    users = np.repeat(np.arange(400), 5)
    return tr.Interactions.from_arrays(users, 5 * (users % 40) + np.tile(np.arange(5), 400))


def test_every_row_has_all_names():
    assert {"bpr", "softmax"} < COMPANIONS.keys() <= {*ALL, *losses.SEARCHING_LOSSES}
    assert all(row.keys() == COMPANION_NAMES for row in COMPANIONS.values())
    defaults = tr.MatrixFactorization().get_params()
    assert all(defaults[name] is None for name in COMPANION_NAMES)


def companions_as_documented():
    """Yield loss, parameter and the text of each cell of the table in `MatrixFactorization`."""
    lines = inspect.getdoc(tr.MatrixFactorization).splitlines()
    top, middle, bottom = (at for at, line in enumerate(lines) if line.startswith("===="))
    bounds = [slice(*each.span()) for each in re.finditer("=+", lines[top])]
    header, *rows = (
        [line[each].strip() for each in bounds]
        for line in [lines[top + 1], *lines[middle + 1 : bottom]]
    )
    for name, *cells in rows:
        for losses_of, cell in zip(header[1:], cells, strict=True):
            for kinds, text in zip_longest(losses_of.split("; "), cell.split("; ")):
                for loss in re.findall('"(.+?)"', kinds):
                    yield loss, name, text or cell


def documented_value(loss, name):
    """Return what the table says of a companion: a value, or the least and the most of it."""
    row = COMPANIONS[loss]
    value, by_data = row[name], row["sampler"] is None
    if name == "learning_rate":
        value = value[optimizers.check_optimizer(row["optimizer"]).name]
        return (value, 2 * value) if by_data else value
    if name == "n_epochs":
        return (20, most_epochs(losses.check_loss(loss))) if value is None else value
    return (value, 4 * value) if by_data and name == "user_l2" else value


@pytest.mark.parametrize("loss", ALL)
def test_an_optimizer_of_ones_own_has_the_rate_of_the_companion(loss):
    own, row = optimizers.SGD._replace(name="mine"), COMPANIONS[loss]
    rate = row["learning_rate"][optimizers.check_optimizer(row["optimizer"]).name]
    assert resolve(losses.check_loss(loss), {"optimizer": own})["learning_rate"] == rate


def test_the_docstring_has_the_same_numbers():
    parts, found = {"adagrad": optimizers.adagrad, "adam": optimizers.adam}, set()
    for loss, name, text in companions_as_documented():
        found.add((loss, name))
        value = documented_value(loss, name)
        if text == "as item_l2":
            assert (name, value) == ("negative_l2", None)
        elif isinstance(value, tuple) and name != "optimizer":
            assert [eval(each) for each in text.split(" to ")] == pytest.approx(value), (loss, name)
        else:
            assert eval(text, parts) == value, (loss, name)
    assert found == {*product(COMPANIONS, COMPANION_NAMES - {"sampler"})}


def test_the_docstring_has_the_rates_of_other_optimizers():
    bpr, hinge, sigmoid, warp, lists = (
        COMPANIONS[loss]["learning_rate"] for loss in ("bpr", "hinge", "sigmoid", "warp", "softmax")
    )
    expected = (
        f'{bpr["adam"]} for "adam" ("hinge": {hinge["adam"]}) and {bpr["sgd"]} for "sgd" ("hinge": '
        f'{hinge["sgd"]}, "sigmoid": {sigmoid["sgd"]}, "warp" and "k-os warp": {warp["sgd"]}); '
        f'with list-wise losses {lists["adam"]} for "adam", '
        f'{lists["adagrad"]} for "adagrad" and {lists["sgd"]} for "sgd".'
    )
    assert expected in " ".join(inspect.getdoc(tr.MatrixFactorization).split())


@pytest.mark.parametrize(
    ("loss", "scorer"),
    quick_rows([*product(("warp", "k-os warp"), ("dot", "cosine"))], ("warp", "cosine")),
)
def test_searching_losses_learn_by_plain_steps(loss, scorer):
    data = tr.datasets.make_interactions(200, 100, 3000, random_state=4)
    for sampler in ("unseen", "uniform", "popularity"):
        parts = {"loss": loss, "scorer": scorer, "optimizer": "sgd", "sampler": sampler}
        model = tr.MatrixFactorization(16, random_state=4, **parts).fit(data)
        assert model.score(data, exclude=None) > 0.6
        assert model.companions_["learning_rate"] == COMPANIONS[loss]["learning_rate"]["sgd"]


@pytest.mark.parametrize("loss", quick(ALL, "bpr", "softmax"))
def test_spelled_out_they_give_the_same_bits(loss, wide):
    model = make(loss=loss).fit(wide)
    assert model.companions_.keys() == COMPANION_NAMES - {"n_epochs"}
    assert None not in model.companions_.values()
    settled = model._settled_params()
    assert {**settled, **model.companions_} == settled
    spelled_out = make(loss=loss, **model.companions_)
    assert_same(spelled_out.fit(wide), model)
    assert spelled_out.companions_ == {}
    copy = clone(model)
    assert copy.get_params() == make(loss=loss).get_params()
    assert copy.companions_ == {}


def test_a_loss_of_ones_own_is_trained_as_a_built_in_one():
    mine = losses.BPR._replace(name="mine")
    assert companions_of(mine) == COMPANIONS["bpr"]
    assert companions_of(losses.softmax(0.3)._replace(name="mine")) == COMPANIONS["softmax"]
    assert companions_of(losses.hinge(0.3)) == COMPANIONS["hinge"]


def test_what_is_given_wins(pairs):
    given = {
        "scorer": "dot", "optimizer": "adagrad", "learning_rate": 0.3, "user_l2": 0, "history": 0.0,
    }  # fmt: skip
    model = make(loss="softmax", **given).fit(pairs)
    assert not given.keys() & model.companions_.keys()
    assert model.companions_["item_l2"] == COMPANIONS["softmax"]["item_l2"]
    expected = model.user_factors_ @ model.item_factors_.T + model.item_biases_
    # A sum is rounded in proportion to its terms, which may cancel.
    terms = np.abs(model.user_factors_) @ np.abs(model.item_factors_.T) + np.abs(model.item_biases_)
    assert (np.abs(catalogue(model) - expected) <= 1e-5 * terms).all()
    assert make(item_l2=0.7).fit(pairs).companions_["negative_l2"] == 0.7


@pytest.mark.parametrize("name", ["bpr", "softmax"])
def test_a_preset_is_its_loss(name):
    preset = tr.MatrixFactorization.preset(name, n_factors=5)
    assert preset.get_params() == tr.MatrixFactorization(5, loss=name).get_params()


def test_sampler_by_the_data():
    def of(n_users, n_items, rank):
        return sampler_for(Sizes(n_users, n_items, 10 * n_users), rank)

    assert of(90, 8100, 0.1) == of(90_000, 8100, 0.1) == sampling.dynamic(5)  # 90 / 90 · 10^.7
    assert of(900, 8100, 0.01) == sampling.dynamic(25)
    assert of(900, 32_400, 0.1) == sampling.dynamic(10)
    assert of(900, 8100, 0.001) == of(9, 2 * 10**6, 0.1) == sampling.dynamic(MOST_CANDIDATES)
    assert of(900, 8100, 0.5) == sampling.dynamic(2)
    assert of(9000, 9, 0.1) == of(900, 4900, 0.5) == sampling.UNSEEN


def test_rate_by_the_data(wide):
    loss = losses.LOSSES["bpr"]()
    least = rate_for(loss)
    assert least == rate_for(loss, 0.5) == rate_for(loss, 0.01)
    assert rate_for(loss, 0.005) == pytest.approx(least * 2**0.5)
    assert rate_for(loss, 1e-9) == 2 * least
    model = make().fit(wide)
    rate = model.companions_["learning_rate"]
    assert rate == rate_for(loss, percentile_rank(wide.indptr, wide.indices)) > least
    assert model.partial_fit(wide[:3]).companions_["learning_rate"] == rate
    few = tr.Interactions.from_arrays([0, 1], [7, 4], shape=(wide.n_users, wide.n_items))
    for given in ({"sampler": "unseen"}, {"optimizer": "adagrad"}):
        assert make(**given).fit(wide).companions_["learning_rate"] == least
    assert make().fit(wide, negatives=few).companions_["learning_rate"] == rate


def test_temperature_by_the_data():
    dense, sparse = Sizes(1000, 1000, 100_000), Sizes(1000, 1000, 1000)
    assert temperature_for(dense, 0.01) == pytest.approx(1.12 * 0.1 ** (1 / 9) / np.log(100) ** 0.9)
    assert (
        temperature_for(sparse, 0.01) < temperature_for(dense, 0.01) < temperature_for(dense, 0.03)
    )
    # What is told badly is noise, however badly it is told; more so, where popularity tells as much.
    nothing = sparse._replace(popularity=0.86)
    assert temperature_for(nothing, 0.1) == temperature_for(nothing, 0.5)
    for popularity, times in ((0.5, 1.0), (0.25, 0.4 / 0.22), (0.12, 3.0), (0.0, 3.0)):
        expected = pytest.approx(times * temperature_for(nothing, 0.1))
        assert temperature_for(sparse._replace(popularity=popularity), 0.1) == expected
    for sizes in (dense, sparse, Sizes(1, 1, 1), Sizes(10**9, 10**9, 10**9), Sizes(0, 0, 0, 0.0)):
        for rank in (1e-7, 1e-3, 0.5):
            assert 0.0 < temperature_for(sizes, rank) <= 3 * 0.35


def test_relative_rank():
    assert relative_rank(Sizes(9, 9, 9, 0.4), 0.1) == pytest.approx(0.25)
    assert relative_rank(Sizes(9, 9, 9, 0.86), 0.1) == 0.0  # popularity is no help at all
    assert relative_rank(Sizes(9, 9, 9, 0.0), 0.1) > 1.0


def test_l2_of_users_by_the_data(pairs, wide):
    loss = losses.LOSSES["bpr"]()
    least = user_l2_for(loss)
    sizes = Sizes(9, 9, 9)
    assert least == COMPANIONS["bpr"]["user_l2"] == user_l2_for(loss, sizes, 0.05)
    assert user_l2_for(loss, sizes, 0.14) == pytest.approx(2 * least)
    assert user_l2_for(loss, sizes, 0.4) == 4 * least
    assert user_l2_for(loss, sizes._replace(popularity=0.86), 0.4) == least
    rank = percentile_rank(pairs.indptr, pairs.indices)
    model = make().fit(pairs)
    taken = model.companions_["user_l2"]
    assert taken == user_l2_for(loss, Sizes.of(pairs), rank)
    assert taken > least == make().fit(wide).companions_["user_l2"]
    assert_same(make(user_l2=taken).fit(pairs), model)
    assert not np.array_equal(make(user_l2=least).fit(pairs).user_factors_, model.user_factors_)
    assert model.partial_fit(pairs[:3]).companions_["user_l2"] == taken
    for given in ({"sampler": "unseen"}, {"optimizer": "sgd"}):
        assert make(**given).fit(pairs).companions_["user_l2"] == least
    for given in ({"optimizer": "adam"}, {"optimizer": "adagrad"}):
        other = make(**given).fit(pairs)
        assert other.companions_["user_l2"] == taken
        assert_same(make(user_l2=taken, **given).fit(pairs), other)
    assert "user_l2" not in make(user_l2=0.1).fit(pairs).companions_


@pytest.mark.parametrize("name", ["softmax", "bsl"])
def test_the_temperature_of_a_fit(name, wide, pairs, rng):
    expected = temperature_for(Sizes.of(wide), percentile_rank(wide.indptr, wide.indices))
    model = make(loss=name).fit(wide)
    assert model.temperature_ == expected
    given = make(loss=losses.LIST_LOSSES[name](expected)).fit(wide)
    assert_same(given, model)
    assert make(loss=name, scorer="dot").fit(pairs).temperature_ == 1.0
    towers = tr.TwoTower(6, loss=name, n_epochs=1).fit(wide)
    assert towers.temperature_ == 0.75 * expected
    noise = tr.Interactions.from_arrays(rng.integers(0, 400, 3000), rng.integers(0, 200, 3000))
    for each in (model, towers):  # biases are in its units
        temperature = each.temperature_
        each.partial_fit(noise, n_epochs=1)
        assert each.temperature_ == temperature
        assert each.fit(each.seen_).temperature_ > temperature


def test_sizes_leave_out_what_has_no_positive():
    data = tr.Interactions.from_arrays([0, 0, 3], [1, 4, 1], shape=(6, 7))
    assert Sizes.of(data) == Sizes(2, 2, 3, popularity_rank(np.array([2, 1])))


@pytest.mark.parametrize(
    ("sizes", "of_triplets", "of_lists"),
    [
        (Sizes(1000, 50, 3000), 20, 20),  # dense, and 60 of an item
        (Sizes(300, 1000, 60_000), 20, 20),
        (Sizes(4000, 4000, 96_000), 20, 20),
        (Sizes(4000, 2000, 6_000), 40, 60),  # 3 of an item
        (Sizes(400, 2000, 3_000), 45, 60),
        (Sizes(10_000, 200, 1_400), 30, 57),  # 7 of an item, and less than 1 of 1,000 pairs
        (Sizes(10_000, 2000, 40_000), 26, 26),  # 2 of 1,000 pairs
        (Sizes(100, 90, 1200), 20, 30),  # dense, but 13 of an item
        (Sizes(100, 100, 900), 20, 44),
    ],
)
def test_dense_data_are_learnt_in_fewer_epochs(sizes, of_triplets, of_lists):
    softmax, bpr = tr.losses.check_loss("softmax"), tr.losses.check_loss("bpr")
    assert epochs_for(sizes, softmax) == of_lists
    assert epochs_for(sizes, bpr) == of_triplets
    assert (most_epochs(softmax), most_epochs(bpr)) == (60, 45)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_fits_go_by_the_data(pairs, loss):
    model = make(loss=loss, n_factors=2, n_epochs=None).fit(pairs)
    expected = epochs_for(Sizes.of(pairs), tr.losses.check_loss(loss))
    assert model.companions_["n_epochs"] == len(model.history_) == expected
    given = make(loss=loss, n_factors=2, n_epochs=3).fit(pairs)
    assert len(given.history_) == 3 and "n_epochs" not in given.companions_


def test_given_negatives_and_weights(wide):
    hard = make().fit(wide).companions_["sampler"]
    assert hard.name == "dynamic"
    dislikes = tr.Interactions.from_arrays([0, 3], [5, 9], shape=(wide.n_users, wide.n_items))
    model = make().fit(wide, negatives=dislikes)
    assert model.companions_["sampler"] == hard
    rate = model.companions_["learning_rate"]
    for sampler in (hard, hard._replace(share=0.1)):
        named = make(sampler=sampler, learning_rate=rate)
        assert_same(named.fit(wide, negatives=dislikes), model)
    none = tr.Interactions.empty(like=wide)
    assert_same(make().fit(wide, negatives=none), make().fit(wide))
    weights = np.arange(len(wide)) % 3
    weighted = make().fit(wide, sample_weight=weights)
    chosen = {name: weighted.companions_[name] for name in ("sampler", "learning_rate")}
    spelled_out = make(**chosen)
    assert_same(spelled_out.fit(wide, sample_weight=weights), weighted)
    assert_same(make().fit(wide[weights > 0], sample_weight=weights[weights > 0]), weighted)


@pytest.mark.thorough
def test_a_fitted_model_keeps_them(pairs, tmp_path):
    model = make(loss="softmax").fit(pairs)
    before = catalogue(model)
    assert before.max() - model.item_biases_.max() <= 1.0  # cosines
    model.set_params(loss="bpr")
    np.testing.assert_array_equal(catalogue(model), before)
    model.save(tmp_path / "model")
    loaded = tr.load(tmp_path / "model")
    assert loaded.companions_ == model.companions_
    assert loaded.get_params() == model.get_params() and loaded.scorer is None
    np.testing.assert_array_equal(catalogue(loaded), before)
    again = model.partial_fit(tr.Interactions.empty(like=pairs))
    assert again.companions_["scorer"] == "cosine"
    assert model.fit(pairs).companions_["scorer"] == "dot"


def test_what_is_added_tells_more(wide):
    few = tr.Interactions.from_arrays(np.arange(9), np.arange(9))
    model = make(n_factors=2, n_epochs=1).fit(few)
    assert model.companions_["sampler"] == "unseen"
    model.partial_fit(wide)
    assert model.companions_["sampler"].name == "dynamic"


@pytest.mark.parametrize(("first", "then"), [("bpr", "softmax"), ("softmax", "bpr")])
def test_a_loss_of_the_other_kind_has_a_sampler_of_its_own(wide, first, then):
    model = make(n_factors=2, n_epochs=1, loss=first).fit(wide)
    model.set_params(loss=then).partial_fit(tr.Interactions.empty(like=wide))
    assert model.companions_["sampler"] == make(loss=then).fit(wide).companions_["sampler"]


@pytest.mark.parametrize("kind", [tr.MatrixFactorization, tr.TwoTower, tr.MLPMatcher])
def test_data_are_ranked_once_in_a_fit_and_not_when_it_goes_on(wide, monkeypatch, kind):
    ranked = []

    def rank(*data):
        ranked.append(data)
        return percentile_rank(*data)

    monkeypatch.setattr("tripletrec.models.percentile_rank.percentile_rank", rank)
    model = kind(2).fit(wide)
    assert len(ranked) == 1
    model.partial_fit(tr.Interactions.empty(like=wide))
    assert len(ranked) == 1


@pytest.mark.parametrize(
    ("route", "value"),
    [
        ([], 3),
        ([], {"n_jobs": 2}),
        (["scorer"], "delete"),
        (["n_epochs"], None),
        (["scorer"], "of mine"),
        (["learning_rate"], -1),
        (["sampler"], {"own": "mine"}),
        (["optimizer"], 5),
    ],
    ids=str,
)
def test_a_file_that_was_tampered_with(route, value, pairs, tmp_path):
    make().fit(pairs).save(tmp_path / "model")

    def change(description, arrays):
        change_at(description, ["fitted", "_companions", "json", *route], value)

    rewrite(tmp_path / "model", change)
    with pytest.raises(ValueError, match="does not hold a model of this tripletrec: "):
        tr.load(tmp_path / "model")


# -------------------------------------------------------------------- what the defaults learn


def planted(rng, n_users, n_items, n_each):
    """Users who like items of their own group, popular and less popular ones."""
    n_groups = 4
    popularity = 1.0 / (1.0 + np.arange(n_items) // n_groups)
    rows = []
    for user in range(n_users):
        weights = popularity * np.where(np.arange(n_items) % n_groups == user % n_groups, 1.0, 0.03)
        rows.append(rng.choice(n_items, n_each, replace=False, p=weights / weights.sum()))
    users = np.repeat(np.arange(n_users), n_each)
    return tr.Interactions.from_arrays(users, np.concatenate(rows), shape=(n_users, n_items))


@pytest.mark.parametrize("loss", quick(["bpr", "hinge", "sigmoid", "softmax"], "bpr", "softmax"))
@pytest.mark.parametrize(
    "shape",
    quick([(60, 120, 8), (600, 80, 7), (80, 800, 25), (800, 900, 10)], (80, 800, 25)),
    ids=lambda shape: "x".join(map(str, shape)),
)
def test_defaults_are_better_than_popularity(loss, shape, rng):
    data = planted(rng, *shape)
    train, test = tr.splits.train_test_split(data, 0.25, random_state=int(rng.integers(1000)))
    model = tr.MatrixFactorization(16, loss=loss).fit(train)
    counts = np.bincount(train.indices, minlength=train.n_items).astype(float)
    popular = (np.ones((train.n_users, 1)), counts[:, None])
    of_model, of_popular = (tr.evaluate(each, test, train, k=10).mean for each in (model, popular))
    assert of_model["ndcg@10"] > 1.2 * of_popular["ndcg@10"]
    assert of_model["auc"] > of_popular["auc"]


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize(
    "shape", quick([(1, 1), (5, 1), (1, 2), (40, 2), (3, 50)], (1, 1), (3, 50)), ids=str
)
def test_the_smallest_data(loss, shape, rng):
    some = rng.random(shape) < 0.5
    some[0, 0] = True
    model = tr.MatrixFactorization(4, loss=loss, n_epochs=3).fit(some.astype(float))
    assert np.isfinite(catalogue(model)).all()
    assert model.recommend(0, k=2, exclude=None)[0].shape == (min(2, shape[1]),)
