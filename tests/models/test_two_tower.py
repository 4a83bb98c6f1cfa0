"""TwoTower: the contract, features, unseen users and items, what it learns."""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.fit import FitContract
from contracts.histories import HistoriesContract
from contracts.lists import ListsContract
from contracts.parameters import ParametersContract
from contracts.recommend import RecommendContract
from contracts.saved import SavedContract, TamperedContract
from contracts.support import assert_same
from contracts.vectors import VectorsContract
from tiers import quick
from tripletrec import losses, rates, sampling
from tripletrec.data.features import encode
from tripletrec.models.tower_histories import share_of_mix

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    return tr.TwoTower(**{"n_factors": 6, "n_epochs": 3, **overrides})


class TestContract(
    FitContract, RecommendContract, HistoriesContract, SavedContract, VectorsContract
):
    def make(self, **overrides):
        return make(**overrides)


@pytest.mark.thorough
class TestContractOfAllModels(ParametersContract, ListsContract, TamperedContract):
    make = TestContract.make


@pytest.mark.thorough
class TestContractWithLayers(FitContract, SavedContract, TamperedContract):
    learns_checkerboard = False

    def make(self, **overrides):
        settings = {"user_layers": (5, 4), "item_layers": (4,), "normalize": True, "dropout": 0.2}
        return make(**{**settings, **overrides})


@pytest.mark.thorough
class TestNewUsersOfDirections(HistoriesContract):
    """Vectors of length one, of towers with layers, whose inputs are concatenated."""

    def make(self, **overrides):
        settings = {
            "normalize": True,
            "user_layers": (5,),
            "item_layers": (5,),
            "combine": "concatenation",
        }
        return tr.TwoTower(**{"n_factors": 4, "n_epochs": 2, **settings, **overrides})


class TestUsersWithHistory(HistoriesContract):
    """Users are mixed with the mean of what they did."""

    learns_checkerboard = False

    def make(self, **overrides):
        settings = {"loss": "softmax", "batch_size": 32, "history": 0.5, "item_layers": (4,)}
        return make(**{**settings, "n_factors": 4, "history_dropout": 0.3, **overrides})


@pytest.mark.thorough
class TestContractWithHistory(FitContract, SavedContract, TamperedContract):
    learns_checkerboard = False
    make = TestUsersWithHistory.make


@pytest.mark.thorough
class TestContractOfListLosses(FitContract):
    learns_checkerboard = False

    def make(self, **overrides):
        layers = {"user_layers": (4,), "item_layers": (4,)}
        return make(
            **{"loss": "softmax", "batch_size": 32, "n_negatives": 1, **layers, **overrides}
        )


# -------------------------------------------------------------------- features


@pytest.fixture(scope="module")
def tastes():
    """Users of two countries who like items of two kinds, with ids; what is liked is told by features."""
    rng = np.random.default_rng(0)
    n_users, n_items = 80, 60
    likes = (np.add.outer(np.arange(n_users), np.arange(n_items)) % 2 == 0) & (
        rng.random((n_users, n_items)) < 0.4
    )
    users = pd.DataFrame({"country": [f"c{u % 2}" for u in range(n_users)]})
    items = pd.DataFrame(
        {"kind": [f"k{i % 2}" for i in range(n_items)], "price": rng.random(n_items)}
    )
    users.index, items.index = [f"u{u}" for u in range(n_users)], [f"i{i}" for i in range(n_items)]
    data = tr.Interactions(sp.csr_matrix(likes), user_ids=users.index, item_ids=items.index)
    return data, users, items


@pytest.mark.parametrize(
    "settings",
    quick(
        [
            {},
            {"loss": None, "learning_rate": None},
            {"own_factors": False},
            {"combine": "concatenation", "user_layers": (8,), "item_layers": (8,)},
            {"user_layers": (8, 6), "item_layers": (6,), "activation": "linear"},
        ],
        {"combine": "concatenation", "user_layers": (8,), "item_layers": (8,)},
    ),
    ids=str,
)
def test_unseen_users_and_items_by_their_features(tastes, settings, tmp_path):
    data, users, items = tastes
    model = make(**{"n_epochs": 15, "learning_rate": 0.3, "loss": "bpr", **settings})
    model.fit(data, user_features=users, item_features=items).save(tmp_path / "model")
    new_users = pd.DataFrame({"country": ["c0", "c1"]})
    new_items = pd.DataFrame({"kind": ["k0", "k1"], "price": [0.5, 0.5], "more": ["is", "ignored"]})
    for each in (model, tr.load(tmp_path / "model")):
        scores = each.encode_users(new_users) @ each.encode_items(new_items).T
        assert scores[0, 0] > scores[0, 1] and scores[1, 1] > scores[1, 0]
        ids, best = each.recommend_unseen(new_users, k=5)
        assert ids.shape == best.shape == (2, 5)
        assert [{int(i[1:]) % 2 for i in row} for row in ids] == [{0}, {1}]
    other = "sum" if model.combine == "concatenation" else "concatenation"
    each.set_params(combine=other)  # for the next fit: it does not touch what was learnt
    np.testing.assert_array_equal(model.encode_users(new_users), each.encode_users(new_users))
    assert model.score(data, exclude=None) > 0.7


def test_without_own_factors_features_are_all(tastes):
    data, users, items = tastes
    model = make(own_factors=False, history=0.0)
    model.fit(data, user_features=users, item_features=items)
    np.testing.assert_allclose(model.encode_users(users), model.user_factors_, rtol=1e-5)
    np.testing.assert_allclose(model.encode_items(items), model.item_factors_, rtol=1e-5)
    with pytest.raises(ValueError, match="own_factors=False needs features"):
        make(own_factors=False).fit(data, user_features=users)


@pytest.mark.parametrize("settings", [{"loss": "bpr"}, {}, {"item_layers": (6,)}], ids=str)
def test_features_explain_what_they_can(tastes, settings):
    """What is left to the own factors of known users and items is what a regression leaves."""
    data, users, items = tastes
    model = make(**settings).fit(data, user_features=users, item_features=items)
    for word, features in (("user", users), ("item", items)):
        table = getattr(model, f"{word}_table_").astype(float)
        encoding = getattr(model, f"{word}_encoding_")
        known = encode(encoding, features, "features").toarray()
        known = np.column_stack([known, np.ones(len(known))])
        sums = known @ table[: known.shape[1]] + table[known.shape[1] :]
        gram = known.T @ known + 20.0 * np.eye(known.shape[1])
        explained = np.linalg.solve(gram, known.T @ (sums - sums.mean(axis=0)))
        explained[-1] += sums.mean(axis=0)
        np.testing.assert_allclose(table[: known.shape[1]], explained, atol=1e-3)
    if "item_layers" not in settings:
        vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True) ** model._is_cosine()
        np.testing.assert_allclose(model.item_factors_, vectors, atol=1e-5)


def test_items_without_interactions_are_scored_by_features(tastes):
    data, users, items = tastes
    matrix = data.tocsr().tolil()
    matrix[:, :6] = 0
    known = tr.Interactions(matrix.tocsr(), user_ids=data.user_ids, item_ids=data.item_ids)
    model = make(n_epochs=15, learning_rate=0.3)
    model.fit(known, user_features=users, item_features=items)
    np.testing.assert_allclose(
        model.encode_items(items.iloc[:6]), model.item_factors_[:6], rtol=1e-5
    )
    features = model.encode_items(items)  # of known items, too, but without their own factors
    assert np.abs(features[6:] - model.item_factors_[6:]).max() > 0.01
    cold = tr.Interactions(data.tocsr().multiply(np.arange(60) < 6).tocsr())
    others = np.ones(data.space.shape)
    others[:, :6] = 0
    model_scores = model.user_factors_ @ model.item_factors_.T
    assert tr.full_auc(lambda rows: model_scores[rows], cold, others) > 0.8


def test_matrices_and_frames_agree_on_flags(tastes):
    data, users, items = tastes
    flags = (np.arange(60)[:, None] % 2 == np.arange(2)).astype(float)
    plain = tr.Interactions(data.tocsr())
    one = make().fit(plain, item_features=flags)
    assert_same(make().fit(plain, item_features=sp.coo_array(flags)), one)
    stored = sp.csr_matrix((flags.ravel(), np.tile([0, 1], 60), 2 * np.arange(61)))
    assert stored.nnz == 120  # the zeros too
    settings = {"loss": "bpr", "l2": 0.1}
    found = [
        make(**settings).fit(plain, item_features=each).item_factors_ for each in (flags, stored)
    ]
    np.testing.assert_array_equal(*found)
    frame = pd.DataFrame(flags, columns=["a", "b"])
    two = make().fit(plain, item_features=frame)
    np.testing.assert_array_equal(two.item_factors_, one.item_factors_)


def test_bad_features(tastes):
    data, users, items = tastes
    for features, message in (
        ({"item_features": items.drop(index="i3")}, "missing from its index, the first is 'i3'"),
        ({"item_features": np.ones((3, 2))}, "item_features must have 60 rows, got 3"),
        ({"user_features": np.full((80, 2), np.nan)}, "user_features must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            make().fit(data, **features)
    model = make().fit(data, user_features=users)
    with pytest.raises(ValueError, match="lacks the columns 'country'"):
        model.encode_users(items)
    with pytest.raises(ValueError, match="was fitted without item_features"):
        model.encode_items(items)
    with pytest.raises(tr_not_fitted()):
        make().encode_users(users)


def tr_not_fitted():
    from sklearn.exceptions import NotFittedError

    return NotFittedError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_factors": 0}, "n_factors"),
        ({"user_layers": (3,)}, "must end in the same width, got 3 and 6"),
        ({"user_layers": (0,)}, "user_layers"),
        ({"combine": "product"}, "combine must be one of"),
        ({"activation": "tanh"}, "activation must be one of 'relu', 'linear', got 'tanh'"),
        ({"dropout": 1.0}, "dropout"),
        ({"loss": "warp"}, "loss"),
        ({"batch_size": 0}, "batch_size"),
        ({"init_scale": 0.0}, "init_scale"),
        ({"n_negatives": 0, "loss": "bpr"}, "n_negatives must be an integer >= 1, got 0"),
        ({"schedule": "step"}, "schedule must be one of"),
    ],
    ids=str,
)
def test_bad_parameters(pairs, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(**settings).fit(pairs)


CHANGES = {
    "n_factors": 5,
    "own_factors": False,
    "combine": "concatenation",
    "normalize": True,
    "loss": "hinge",
    "optimizer": "adam",
    "sampler": "uniform",
    "learning_rate": 0.3,
    "batch_size": 16,
    "n_negatives": 2,
    "user_l2": 0.3,
    "item_l2": 0.3,
    "init_scale": 0.2,
    "schedule": "cosine",
    "user_layers": (7, 4),
    "item_layers": (7, 4),
    "activation": "linear",
    "dropout": 0.5,
    "l2": 0.3,
}


def scores_with(tastes, **settings):
    data, users, items = tastes
    model = make(**{"loss": "bpr", "user_layers": (5, 4), "item_layers": (5, 4), **settings})
    model.fit(data, user_features=users, item_features=items)
    return model.user_factors_ @ model.item_factors_.T


@pytest.fixture(scope="module")
def plain_scores(tastes):
    return scores_with(tastes)


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_changes_something(tastes, plain_scores, name):
    assert not np.array_equal(scores_with(tastes, **{name: CHANGES[name]}), plain_scores)


def test_the_nearest_negatives_need_features(small):
    rng = np.random.default_rng(0)
    items = rng.integers(0, 2, (small.n_items, 4)).astype(np.float32)
    model = tr.TwoTower(sampler=sampling.nearest(1.0), n_epochs=2)
    assert model.fit(small, item_features=items).history_[-1]["n_triplets"] == small.nnz
    with pytest.raises(ValueError, match="needs features"):
        model.fit(small)


@pytest.mark.parametrize("n_given", [0, 1])
def test_nearest_negatives_are_items_that_somebody_has(small, n_given):
    """Nobody has item 0, which is nearest to all others: its feature stays as it started."""
    likes = small.tocsr().toarray() > 0
    likes[:, 0], likes[0, 1], n = False, False, likes.shape[1]
    features = np.hstack([np.diag([0.01] + [1.0] * (n - 1)), np.ones((n, 1))])
    options = {"item_features": features, "negatives": tr.Interactions.from_arrays(
        [0] * n_given, [1] * n_given, shape=likes.shape)}  # fmt: skip
    tables = [
        make(own_factors=False, sampler=sampling.nearest(1.0), loss="bpr", n_epochs=n_epochs)
        .fit(likes, user_features=np.eye(len(likes)), **options)
        .item_table_
        for n_epochs in (1, 2)
    ]
    assert np.flatnonzero((tables[0] == tables[1]).all(axis=1)).tolist() == [0]


# -------------------------------------------------------------------- list-wise losses


def make_listwise(**overrides):
    return make(**{"n_factors": 8, "n_epochs": 4, "loss": "softmax", **overrides})


@pytest.fixture(scope="module")
def batches():
    return tr.datasets.make_interactions(200, 100, 3000, random_state=0)


@pytest.fixture(scope="module")
def plain_listwise(batches):
    return make_listwise(n_negatives=20).fit(batches)


@pytest.mark.parametrize(
    "change",
    [
        {"n_negatives": 0},
        {"batch_size": 32},
        {"loss": losses.softmax(0.5)},
        {"sampler": "popularity"},
        {"sampler": "uniform"},
        {"normalize": False},
        {"history": 0.9},
        {"history_dropout": 0.9},
        {"user_l2": 0.3},
        {"item_l2": 0.3},
        {"schedule": rates.cosine(warmup=0.1)},
    ],
    ids="-".join,
)
def test_every_parameter_of_list_wise_fits_changes_something(batches, plain_listwise, change):
    changed = make_listwise(**{"n_negatives": 20, **change}).fit(batches)
    assert not np.array_equal(changed.item_factors_, plain_listwise.item_factors_)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_negatives": -1}, "n_negatives must be an integer >= 0, got -1"),
        ({"n_negatives": 101}, r"n_negatives must be at most the number of items with .* got 101"),
        ({"n_negatives": "all"}, "n_negatives must be an integer >= 0, got 'all'"),
        ({"sampler": "dynamic"}, "learns from all its candidates: sampler 'dynamic'"),
        ({"sampler": "nearest"}, "learns from all its candidates"),
        ({"sampler": "explicit"}, "from the argument negatives of fit, which is missing"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
    ],
    ids=str,
)
def test_bad_parameters_of_list_wise_fits(batches, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_listwise(**settings).fit(batches)


def test_list_wise_fits_learn_from_given_negatives(batches):
    """They are ranked lower, the more so, the larger the share is."""
    rng = np.random.default_rng(0)
    others = tr.Interactions(
        1.0 * ((batches.tocsr().toarray() == 0) & (rng.random((200, 100)) < 0.1))
    )
    found = []
    for share in (0.0, 0.1, 0.5):
        model = make_listwise(sampler=sampling.explicit(share)).fit(batches, negatives=others)
        found.append(model.predict(others.rows, others.indices).mean())
    assert found[0] > found[1] > found[2]
    plain = make_listwise().fit(batches, negatives=others[:0])
    assert_same(plain, make_listwise().fit(batches))


def test_given_negatives_of_items_that_nobody_has_take_nothing_from_the_others(batches):
    """List-wise they are no candidates, of which a warning tells; weights of the others stay as they are."""
    likes, rng = batches.tocsr().toarray() > 0, np.random.default_rng(0)
    likes[:, 90:] = False
    unknown, settings = ~likes & (rng.random(likes.shape) < 0.1), {"n_negatives": 20}
    known = unknown & (np.arange(100) < 90)
    n, n_left_out = int(unknown.sum()), int((unknown & ~known).sum())
    expected = make_listwise(**settings).fit(likes, negatives=known)
    with pytest.warns(UserWarning, match=f"{n_left_out} of {n} negatives are not .*nobody has"):
        found = make_listwise(**settings).fit(likes, negatives=unknown)
    assert_same(found, expected)
    alone = unknown & ~known
    with pytest.warns(UserWarning, match=f"{n_left_out} of {n_left_out} negatives are not"):
        found = make_listwise(**settings).fit(likes, negatives=alone)
    assert_same(found, make_listwise(**settings).fit(likes))
    with pytest.warns(UserWarning, match="negatives are not learnt from") as said:
        found.partial_fit(likes, negatives=alone)
    assert len(said) == 1


@pytest.fixture(scope="module")
def mixed(batches):
    """A model whose users are partly their history, with features of users; new ones are the mix alone."""
    users = {"country": ["x", "y"] * 100}
    model = make_listwise(history=0.6, loss=losses.softmax(0.22))
    return model.fit(batches, user_features=users)


def test_a_list_wise_loss_brings_its_settings(batches):
    given = {
        "normalize": True, "history": 0.5, "optimizer": "adagrad", "learning_rate": 0.04,
        "n_epochs": 13, "batch_size": 64, "user_l2": 0.0, "item_l2": 0.0, "init_scale": 0.1,
        "schedule": "constant",
    }  # fmt: skip
    model = tr.TwoTower(8, loss="softmax")
    assert all(model.get_params()[name] is None for name in given)
    spelled = tr.TwoTower(8, loss="softmax", **given).fit(batches)
    np.testing.assert_array_equal(model.fit(batches).user_factors_, spelled.user_factors_)
    assert all(model.get_params()[name] is None for name in given)


def test_users_never_seen_are_mixed_with_their_histories(mixed, batches):
    """Nothing is learnt: without features the vector is that of nobody, with them that of the features."""
    history = batches.indices[: batches.indptr[1]].tolist()
    mean = mixed.item_factors_[history].astype(float).mean(axis=0)
    unit = mean / np.linalg.norm(mean)
    features = {"country": ["y"]}
    alone = mixed.encode_users(features)[0]
    z = 0.4 * alone + 0.6 * unit
    found = mixed.encode_users(features, histories=[history])[0]
    np.testing.assert_allclose(found, z / np.linalg.norm(z), rtol=1e-4, atol=1e-5)
    ids, _ = mixed.recommend_unseen(features, k=90, histories=[history])
    assert not set(ids[0].tolist()) & set(history)
    learnt = mixed.encode_histories([history, []])
    assert learnt[0] @ unit > alone @ unit - 1e-6 and abs(np.linalg.norm(learnt[0]) - 1) < 1e-5


def test_histories_of_users_never_seen_must_fit(mixed, batches):
    with pytest.raises(ValueError, match="one for each of the 2 rows of user_features, got 1"):
        mixed.encode_users({"country": ["x", "y"]}, histories=[[1, 2]])
    plain = make_listwise(history=0.0).fit(batches, user_features={"country": ["x", "y"] * 100})
    with pytest.raises(ValueError, match="histories must be None, .* fitted without history"):
        plain.encode_users({"country": ["x"]}, histories=[[1, 2]])


def test_losses_of_triplets_have_no_history(batches):
    with pytest.raises(ValueError, match="history must be 0 with a loss of triplets.* got 0.5"):
        make(history=0.5, loss="bpr").fit(batches)


def test_partial_fit_needs_what_users_did_before(mixed, batches, tmp_path):
    mixed.save(tmp_path / "model", seen=False, state=True)
    with pytest.raises(ValueError, match="history or own_factors needs what was seen before"):
        tr.load(tmp_path / "model").partial_fit(batches)


def test_partial_fit_goes_on_with_all_that_users_did(mixed, batches):
    model = copy.deepcopy(mixed).partial_fit(
        tr.Interactions.from_arrays([0], [7], shape=(200, 100))
    )
    assert len(model.history_) == len(mixed.history_) + 1
    cosines = (model.user_factors_ * mixed.user_factors_).sum(axis=1)
    assert np.median(cosines) > 0.9


@pytest.fixture(scope="module")
def sharp(batches):
    """A model whose users are well told by what they did, as far as its temperature says."""
    users = {"country": ["x", "y"] * 100}
    return make_listwise(loss=losses.softmax(0.16)).fit(batches, user_features=users)


def test_the_lower_the_temperature_the_more_is_learnt_of_histories():
    assert [share_of_mix(each) for each in (0.01, 0.2, 0.24, 0.9)] == [0.2, 1.0, 1.0, 0.2]
    assert share_of_mix(0.3) == pytest.approx(0.8**3)
    assert share_of_mix(0.16) == pytest.approx(0.8**6)


def test_users_never_seen_are_mixed_with_what_the_loss_says(sharp):
    """A mix of the mix of training and of a direction that a model without history would learn."""
    histories = [[3, 7, 12, 30, 31], [0, 8, 44, 61, 70, 71, 90], []]
    alone = copy.copy(sharp).set_params(history=0.0)
    learnt = unit(alone.encode_histories(histories[:2]).astype(float))
    means = unit(np.array([sharp.item_factors_[each].mean(axis=0) for each in histories[:2]]))
    nobody = sharp.encode_histories([[]])[0].astype(float)
    share, features = 0.8**6, {"country": ["x", "y", "x"]}
    for given, vectors in (
        (nobody[None], sharp.encode_histories(histories)),
        (sharp.encode_users(features), sharp.encode_users(features, histories=histories)),
    ):
        expected = share * unit(0.5 * given[:2] + 0.5 * means) + (1 - share) * learnt
        np.testing.assert_allclose(vectors[:2], unit(expected), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(vectors[2], given[-1] if len(given) > 1 else nobody, atol=1e-5)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_biases_of_items_are_learnt_by_lists(tmp_path):
    """They are part of the score, follow popularity, and are 0 of items that training has not seen."""
    likes = np.zeros((40, 12), bool)
    likes[:, 0], likes[::2, 1], likes[1::2, 2], likes[::8, 3] = True, True, True, True
    likes[np.arange(40), 4 + np.arange(40) % 7] = True  # nobody has the last item
    features = np.eye(12, dtype=np.float32)
    model = tr.TwoTower(8, n_epochs=20, history=0.0).fit(likes, item_features=features)
    biases = model.item_biases_
    assert biases.shape == (12,) and biases.dtype == np.float32 and biases[11] == 0.0
    assert biases[0] > biases[1] > biases[3] and biases[2] > biases[4:11].max()
    scores = model.user_factors_ @ model.item_factors_.T + biases
    np.testing.assert_allclose(model.predict(7, np.arange(12)), scores[7], atol=1e-6)
    U, V = model.user_vectors(), model.item_vectors()
    np.testing.assert_allclose(U @ V.T, scores, atol=1e-6)
    assert model.explain(7, 0).bias == pytest.approx(float(biases[0]))
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(tr.load(tmp_path / "model").item_biases_, biases)

    grown = copy.copy(model).add_items(features[:2])
    np.testing.assert_array_equal(grown.item_biases_, [*biases, 0, 0])
    assert grown.predict(7, [0, 12])[0] > grown.predict(7, [0, 12])[1]
    model.partial_fit(likes & (np.arange(40) < 4)[:, None], n_epochs=1)
    assert 0 < np.abs(model.item_biases_[:11] - biases[:11]).max() < 0.5 * np.abs(biases).max()
    of_triplets = tr.TwoTower(8, loss="bpr", n_epochs=1).fit(likes)
    np.testing.assert_array_equal(of_triplets.item_biases_, np.zeros(12, np.float32))


@pytest.mark.parametrize(("first", "then"), [("softmax", "bpr"), ("bpr", "softmax")])
def test_later_epochs_may_be_of_another_kind_of_loss(batches, first, then):
    model = tr.TwoTower(4, loss=first, n_epochs=1).fit(batches)
    before = model.item_factors_.copy()
    model.set_params(loss=then).partial_fit(batches)
    assert model.item_biases_.any() == (then == "softmax")
    assert np.isfinite(model.item_factors_).all()
    assert not np.array_equal(model.item_factors_, before)
