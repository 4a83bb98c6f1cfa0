"""partial_fit: its contract for each model, what is learnt from, features; ids are in `data/test_merging`."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.continuing import ContinuingContract, tomorrow
from contracts.support import assert_same, catalogue, interactions, learnt, rewrite
from tiers import quick, quick_rows
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.fold_in import start_fold_in

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


class TestFactorization(ContinuingContract):
    def make(self, **overrides):
        return tr.MatrixFactorization(**{"n_factors": 8, "n_epochs": 4, **overrides})


@pytest.mark.thorough
class TestListLoss(ContinuingContract):
    def make(self, **overrides):
        settings = {"n_factors": 8, "n_epochs": 4, "history": 0.0, **overrides}
        return tr.MatrixFactorization.preset("softmax", **settings)


class TestUsersWithHistory(ContinuingContract):
    other_optimizer = "adagrad"

    def make(self, **overrides):
        settings = {"n_factors": 8, "n_epochs": 4, "history": 0.6, **overrides}
        return tr.MatrixFactorization.preset("softmax", **settings)

    @pytest.mark.thorough  # by kernels of its own
    def test_parameters_that_shape_what_is_learnt(self, of_today, today):
        super().test_parameters_that_shape_what_is_learnt(of_today, today)


class TestTwoTower(ContinuingContract):
    other_optimizer = "adam"

    def make(self, **overrides):
        settings = {"n_factors": 6, "user_layers": 5, "item_layers": 5, "n_epochs": 4}
        return tr.TwoTower(**{"loss": "bpr", **settings, **overrides})

    def test_a_file_without_what_was_seen_learns_from_x_alone(self, of_today, rng, tmp_path):
        """It cannot: users would lose what they did before, or factors of their own."""
        of_today.save(tmp_path / "a", seen=False)
        model = tr.load(tmp_path / "a")
        before = learnt(model)
        with pytest.raises(ValueError, match="history or own_factors needs what was seen before"):
            model.partial_fit(tomorrow(rng))
        assert learnt(model) == before


@pytest.mark.thorough
class TestTwoTowerWithHistory(TestTwoTower):
    other_optimizer = "sgd"

    def make(self, **overrides):
        return tr.TwoTower(**{"n_factors": 6, "n_epochs": 4, **overrides})


@pytest.mark.thorough
class TestMLPMatcher(ContinuingContract):
    def make(self, **overrides):
        settings = {"n_user_factors": 4, "n_item_factors": 6, "hidden": (8,), "n_epochs": 4}
        return tr.MLPMatcher(**{**settings, "optimizer": "adagrad", **overrides})


@pytest.fixture(scope="module")
def shop():
    """Return the tables of a small shop, and the days of its events; never modified."""
    shop = tr.datasets.make_events(80, 60, 3000, n_days=10, random_state=3)
    days = (shop.events["time"] - shop.events["time"].min().floor("D")).dt.days
    return shop, days.to_numpy()


def of_days(shop, days, wanted):
    names = {"user": "user_id", "item": "item_id", "timestamp": "time"}
    return tr.Interactions.from_frame(shop.events[np.isin(days, wanted)], **names)


class TestFeatures:
    def fit(self, shop, days, **settings):
        users, items = shop.users.set_index("user_id"), shop.items.set_index("item_id")
        past = of_days(shop, days, range(8))
        model = tr.TwoTower(6, n_epochs=2, **settings)
        columns = ["country", "age"]
        model.fit(
            past, user_features=users.loc[past.user_ids, columns],
            item_features=items.loc[past.item_ids, ["category", "price"]],
        )  # fmt: skip
        return model, users[columns], items[["category", "price"]]

    @pytest.mark.parametrize(
        "settings",
        quick(
            [{}, {"own_factors": False}, {"combine": "concatenation", "user_layers": 4, "item_layers": 4}],
            {},
        ),
    )  # fmt: skip
    def test_those_of_new_rows_are_enough(self, shop, settings, tmp_path):
        shop, days = shop
        model, users, items = self.fit(shop, days, **settings)
        new = of_days(shop, days, [8, 9])
        only_new = [
            table.loc[[each for each in ids if each not in set(known)]]
            for table, ids, known in (
                (users, new.user_ids, model.user_ids_), (items, new.item_ids, model.item_ids_),
            )
        ]  # fmt: skip
        assert all(map(len, only_new))
        model.save(tmp_path / "with", state=True)
        model.save(tmp_path / "without")
        some = copy.copy(model).partial_fit(
            new, user_features=only_new[0], item_features=only_new[1]
        )
        every = copy.copy(model).partial_fit(new, user_features=users, item_features=items)
        assert_same(some, every)
        assert some.item_encoding_ == model.item_encoding_
        loaded = tr.load(tmp_path / "with")
        loaded.partial_fit(new, user_features=only_new[0], item_features=only_new[1])
        assert_same(loaded, some)
        lean = tr.load(tmp_path / "without")
        with pytest.raises(ValueError, match="partial_fit needs user_features of all users"):
            lean.partial_fit(new)
        with pytest.raises(ValueError, match="item_features must have a row for every id"):
            lean.partial_fit(new, user_features=users, item_features=only_new[1])
        lean.partial_fit(new, user_features=users, item_features=items)
        np.testing.assert_array_equal(lean.item_ids_, some.item_ids_)
        again = copy.copy(some).partial_fit(new)
        assert len(again.history_) == len(some.history_) + 1

    def test_ids_may_be_in_columns(self, shop):
        shop, days = shop
        model, *features = self.fit(shop, days)
        new = of_days(shop, days, [8, 9])
        users, items = (each.sample(frac=1, random_state=0).reset_index() for each in features)
        found = copy.copy(model).partial_fit(
            new, user_features=users, user_id="user_id", item_features=items, item_id="item_id"
        )
        expected = copy.copy(model).partial_fit(
            new, user_features=features[0], item_features=features[1]
        )
        assert_same(found, expected)
        for name in ("user_id", "item_id"):
            with pytest.raises(ValueError, match=f"{name[:4]}_features has no column 'sku'"):
                model.partial_fit(
                    new, user_features=users, item_features=items,
                    **{"user_id": "user_id", "item_id": "item_id", name: "sku"},
                )  # fmt: skip

    def test_all_keep_features_where_what_was_seen_is_not_known(self, shop, tmp_path):
        shop, days = shop
        model, users, items = self.fit(shop, days, own_factors=False, history=0.0)
        new = of_days(shop, days, [9])[:20]
        own = users.loc[new.user_ids]
        before = catalogue(model)
        for state, every in ((True, {"user_features": own}), (False, {"user_features": users})):
            model.save(tmp_path / "a", seen=False, state=state)
            again = tr.load(tmp_path / "a")
            if not state:
                with pytest.raises(ValueError, match="user_features must have a row for every id"):
                    again.partial_fit(new, user_features=own, item_features=items)
            # By small steps: those of an optimizer without state are large at first.
            again.set_params(learning_rate=0.003).partial_fit(new, item_features=items, **every)
            now = catalogue(again)[: len(before), : before.shape[1]]
            assert np.corrcoef(before.ravel(), now.ravel())[0, 1] > 0.99

    def test_items_that_were_added_are_known(self, shop):
        shop, days = shop
        model, users, items = self.fit(shop, days)
        new = of_days(shop, days, [8, 9])
        added = items.loc[[each for each in new.item_ids if each not in set(model.item_ids_)]]
        expected = copy.copy(model).partial_fit(new, user_features=users, item_features=items)
        model.add_items(added).partial_fit(new, user_features=users)
        assert len(added) and model.item_ids_.tolist() == expected.item_ids_.tolist()
        assert (model._item_features != expected._item_features).nnz == 0

    def test_a_matrix_has_the_rows_of_x(self):
        old, new = interactions(20, 15, 90), interactions(23, 15, 40, seed=1)
        ids = np.arange(23) * 2
        X = tr.Interactions(old.tocsr(), user_ids=ids[:20])
        Y = tr.Interactions(new.tocsr()[::-1], user_ids=ids[::-1])
        features = np.random.default_rng(0).random((23, 4)).astype(np.float32)
        model = tr.TwoTower(4, n_epochs=1).fit(X, user_features=features[:20])
        given = features[::-1].copy()
        known = np.isin(Y.user_ids, X.user_ids)
        given[known] = 7.0  # passed over
        model.partial_fit(Y, user_features=given)
        rows = model._user_features.toarray()
        np.testing.assert_array_equal(rows[:20], features[:20])
        np.testing.assert_array_equal(rows[20:], features[::-1][~known])

    def test_what_is_missing_or_too_much_is_said(self, shop):
        shop, days = shop
        model, users, items = self.fit(shop, days)
        new = of_days(shop, days, [8, 9])
        with pytest.raises(ValueError, match="needs user_features of the users that are new in X"):
            model.partial_fit(new, item_features=items)
        with pytest.raises(ValueError, match="lacks the columns 'age'"):
            model.partial_fit(new, user_features=users[["country"]], item_features=items)
        plain = tr.TwoTower(4, n_epochs=1).fit(of_days(shop, days, range(8)))
        with pytest.raises(
            ValueError, match="user_features must be None, for the model was fitted without"
        ):
            plain.partial_fit(new, user_features=users)


@pytest.mark.parametrize(
    ("sampler", "weight"),
    quick_rows([("unseen", "values"), (tr.sampling.graded(0.9), None)], ("unseen", "values")),
)
def test_a_file_with_state_knows_the_values(sampler, weight, tmp_path):
    X, Y = interactions(30, 20, 200), interactions(30, 20, 60, seed=1)
    rated = tr.Interactions(X.tocsr().multiply(np.arange(20) % 5 + 1).tocsr())
    model = tr.MatrixFactorization(8, n_epochs=4, sampler=sampler)
    model.fit(rated, sample_weight=weight).save(tmp_path / "model", state=True)
    loaded = tr.load(tmp_path / "model").partial_fit(Y, sample_weight=weight)
    assert_same(loaded, model.partial_fit(Y, sample_weight=weight))
    np.testing.assert_array_equal(loaded.seen_.values, model.seen_.values)


@pytest.mark.parametrize(
    ("n_each", "of_known", "of_new_items"),
    [(3, 5.0, 2.0), (4, 5.0, 2.0), (10, 3.0, 2.0), (40, 1.5, 1.5)],
)
def test_what_a_new_positive_weighs(n_each, of_known, of_new_items):
    """With SGD a bias learns in proportion to the weight of the item's positives: here half of their sum."""
    liked = np.arange(40) % 2
    old = tr.Interactions.from_arrays(np.arange(40), liked, shape=(40, 4))
    parts = {"optimizer": "sgd", "sampler": tr.sampling.explicit(1.0), "learning_rate": 1e-4}
    dislikes = tr.Interactions.from_arrays(np.arange(40), np.full(40, 3), shape=(40, 4))
    model = tr.MatrixFactorization(4, n_epochs=2, **parts).fit(old, negatives=dislikes)
    users = np.repeat(np.arange(n_each), 2)
    items = np.tile([2, 4], n_each)  # which is known, though nobody had it, and which is new
    today = tr.Interactions.from_arrays(users, items, shape=(40, 5))
    dislikes = tr.Interactions.from_arrays(np.arange(40), np.full(40, 3), shape=(40, 5))
    still = copy.copy(model).set_params(learning_rate=1e-12).partial_fit(today, negatives=dislikes)
    model.partial_fit(today, negatives=dislikes)
    learnt = (model.item_biases_ - still.item_biases_) / 0.5e-4
    np.testing.assert_allclose(learnt[[0, 1]], 20, rtol=0.02)
    np.testing.assert_allclose(learnt[[2, 4]] / n_each, [of_known, of_new_items], rtol=0.02)


def test_all_weigh_alike_if_all_are_new():
    old = tr.Interactions.from_arrays(np.arange(40), np.arange(40) % 2, shape=(40, 6))
    first = tr.MatrixFactorization(4, n_epochs=2).fit(old)
    ones = copy.copy(first).partial_fit(old, sample_weight=np.ones(40))
    assert_same(copy.copy(first).partial_fit(old), ones)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_of_a_schedule_that_ends_at_zero_is_not_zero(schedule):
    data = interactions(30, 20, 200)
    model = tr.MatrixFactorization(4, n_epochs=3, schedule=schedule).fit(data)
    before = model.user_factors_.copy()
    assert not np.array_equal(model.partial_fit(data).user_factors_, before)


def test_after_early_stopping_the_history_goes_on():
    data = interactions(40, 30, 300)
    model = tr.MatrixFactorization(4, n_epochs=30, early_stopping=2)
    model.fit(data[::2], validation=data[1::2])
    n = len(model.history_)
    model.partial_fit(data)
    assert len(model.history_) == model.best_epoch_ == n + 1


@pytest.mark.parametrize(
    "settings",
    quick(
        [
            {},
            {"loss": "softmax", "history": 0.0},
            {"loss": "softmax", "history": 0.6},
            {"loss": "softmax", "history": 1.0},
            {"loss": "softmax", "history": 0.5, "scorer": "dot"},
        ],
        {},
        {"loss": "softmax", "history": 0.6},
    ),
    ids=str,
)
def test_users_without_a_row_begin_with_what_their_history_says(settings):
    old = interactions(30, 20, 200).tocsr().toarray()
    old[7] = 0
    model = tr.MatrixFactorization(n_factors=8, n_epochs=3, **settings).fit(old)
    today, known = np.zeros((33, 22)), {7: [0, 9], 30: [1, 4, 7], 32: [2, 3]}
    for user, items in known.items():
        today[user, items] = 1
    today[31, 21] = 1  # of whom nothing is known that the model knows
    expected, before = model.encode_histories(list(known.values())), model.user_factors_.copy()
    model.set_params(learning_rate=1e-9).partial_fit(today)
    np.testing.assert_allclose(model.user_factors_[list(known)], expected, atol=1e-6)
    others = np.setdiff1d(np.arange(30), list(known))
    np.testing.assert_allclose(model.user_factors_[others], before[others], atol=1e-5)
    assert model.user_factors_[31].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: tr.MatrixFactorization(n_factors=8, n_epochs=3),
        lambda: tr.MLPMatcher(n_user_factors=4, n_item_factors=6, hidden=(8,), n_epochs=4),
    ],
    ids=["factors", "perceptron"],
)
def test_items_that_are_new_say_nothing_of_where_a_user_begins(make):
    old = interactions(30, 20, 200).tocsr()
    model = make().fit(old)
    expected = model.encode_histories([[3, 5]])
    today = sp.csr_matrix((np.ones(3), ([30, 30, 30], [3, 5, 20])), (31, 21))
    model.set_params(learning_rate=1e-9).partial_fit(today)
    np.testing.assert_allclose(model.user_factors_[30:], expected, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    quick([{}, {"loss": "softmax", "history": 0.0}, {"loss": "softmax", "history": 1.0}], {}),
    ids=str,
)
def test_new_items_begin_with_what_their_users_say(settings):
    old = interactions(30, 20, 200)
    model = tr.MatrixFactorization(n_factors=8, n_epochs=3, **settings).fit(old)
    known, counts = {20: [0, 9], 21: [1, 4, 7]}, np.bincount(old.indices, minlength=20)
    today = np.zeros((32, 24))
    for item, users in known.items():
        today[users, item] = 1
    today[30, [2, 20, 23]] = today[31, 23] = 1  # item 22 has nobody, and 23 only users who are new
    # Users and items with their parts exchanged: what a model of these users as items would learn.
    of_users = np.bincount(np.r_[old.rows, np.concatenate(list(known.values()))], minlength=30)
    plan = replace(model._plan_with(0, model._companions), history=0.0)
    users = ItemsOfUsers(np.array([0, 2, 5]), np.array([0, 9, 1, 4, 7], np.int32))
    fold_in = start_fold_in(
        plan, model.user_factors_, np.zeros(30, np.float32), of_users, model.temperature_
    )
    expected = fold_in.learn(users)
    lengths, biases = np.linalg.norm(model.item_factors_, axis=1), model.item_biases_.copy()

    def at(values, count):
        line = np.polyval(np.polyfit(np.log1p(counts), values, 1), np.log1p(count))
        return np.clip(line, values.min(), values.max())

    before = model.item_factors_.copy()
    model.set_params(learning_rate=1e-9).partial_fit(today)
    rows = model.item_factors_
    np.testing.assert_allclose(rows[:20], before, atol=1e-5)
    np.testing.assert_allclose(
        rows[20:22], expected * (at(lengths, [3, 3]) / np.linalg.norm(expected, axis=1))[:, None],
        atol=1e-5,
    )  # fmt: skip
    np.testing.assert_allclose(model.item_biases_[20:], at(biases, [3, 3, 0, 2]), atol=1e-5)
    assert rows[22].any() and rows[23].any()


def test_lines_over_counts_that_are_all_alike():
    """They have no slope: new items are like the mean."""
    old = sp.csr_matrix(np.tile(np.eye(4), (3, 1)))
    model = tr.MatrixFactorization(4, n_epochs=2).fit(old)
    mean = model.item_biases_.mean()
    today = sp.csr_matrix((np.ones(2), ([0, 1], [4, 4])), (12, 5))
    model.set_params(learning_rate=1e-9).partial_fit(today)
    assert model.item_biases_[4] == pytest.approx(mean, abs=1e-6)


def test_new_items_are_found_and_not_above_all_others():
    """Two tastes, and a new item of each: who has the one taste is told of the new item of that taste."""
    taste = np.arange(60) % 2
    has = (taste[:, None] == np.arange(20) % 2) & (np.random.default_rng(0).random((60, 20)) < 0.6)
    new = np.zeros((60, 22))
    new[:8, 20], new[:8, 21] = taste[:8] == 0, taste[:8] == 1
    for loss in ("bpr", "softmax"):
        model = tr.MatrixFactorization(8, loss=loss, random_state=0).fit(has)
        model.partial_fit(new)
        scores = model.predict(np.repeat(np.arange(8, 60), 2), np.tile([20, 21], 52)).reshape(52, 2)
        assert (np.argmax(scores, axis=1) == taste[8:]).mean() > 0.8
        every = model.predict(np.repeat(np.arange(60), 22), np.tile(np.arange(22), 60))
        best = every.reshape(60, 22).argmax(axis=1)
        assert np.isin(best, [20, 21]).mean() < 0.5


@pytest.mark.parametrize("settings", quick([{}, {"history": 0.0}, {"loss": "bpr"}], {}), ids=str)
def test_own_factors_of_new_users_begin_with_what_their_history_says(settings):
    model = tr.TwoTower(8, n_epochs=3, **settings).fit(interactions(30, 20, 200))
    others = model.user_table_[-30:].copy()
    today = np.zeros((33, 22))
    today[30, [1, 4, 7]] = today[32, [2, 3]] = today[31, 21] = 1  # item 21 is new
    expected = model.encode_histories([[1, 4, 7], [], [2, 3]])
    model.set_params(learning_rate=1e-9).partial_fit(today)
    own = model.user_table_[-33:]
    np.testing.assert_allclose(own[:30], others, atol=1e-5)
    if settings.get("loss") == "bpr":  # a vector is what is own and that of nobody
        np.testing.assert_allclose(model.user_factors_[30:], expected, atol=1e-5)
        return
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    expected *= np.median(np.linalg.norm(others, axis=1)) / lengths
    np.testing.assert_allclose(own[30:], expected, atol=1e-5)


def test_new_users_of_towers_take_steps_as_long_as_others():
    """Adagrad's first step from a fresh state is as long as the rate, whatever was known before."""
    data = interactions(40, 20, 300)
    model = tr.TwoTower(8, loss="bpr", optimizer="adagrad", n_epochs=3).fit(data)
    begun = model.encode_histories([[1, 4, 7]])
    today = np.zeros((41, 20))
    today[40, [1, 4, 7]] = 1
    before = model.user_factors_.copy()
    model.partial_fit(today)
    moved = np.linalg.norm(model.user_factors_[40:] - begun)
    assert moved < 3 * np.linalg.norm(model.user_factors_[:40] - before, axis=1).max()


def test_behind_layers_new_users_begin_as_in_any_training():
    model = tr.TwoTower(8, user_layers=6, item_layers=6, n_epochs=2).fit(interactions(30, 20, 200))
    today = sp.csr_matrix((np.ones(2), ([30, 30], [1, 4])), (31, 20))
    model.set_params(learning_rate=1e-9).partial_fit(today)
    assert model.user_table_[-1].any()


def test_a_cold_user_of_a_list_loss_learns_when_events_come():
    old = interactions(30, 20, 200).tocsr().tolil()
    old[7] = 0
    model = tr.MatrixFactorization.preset("softmax", n_factors=4, n_epochs=3).fit(old.tocsr())
    assert not model.user_factors_[7].any()
    model.partial_fit(interactions(30, 20, 200))
    assert model.user_factors_[7].any()


@pytest.mark.parametrize(
    "name", quick(["state.0", "state.1", "state.2", "step_counts.0"], "state.0", "step_counts.0")
)
def test_files_whose_state_is_damaged_are_refused(name, tmp_path):
    tr.MatrixFactorization(4, n_epochs=1).fit(interactions(9, 8, 30)).save(
        tmp_path / "a", state=True
    )
    array = f"optimizer.{name}"

    def change(how):
        model_path = tmp_path / "b"
        model_path.write_bytes((tmp_path / "a").read_bytes())
        rewrite(model_path, how)
        return model_path

    def wrong(value):
        return lambda _, tensors: tensors.update({array: value(tensors[array])})

    for how in (
        lambda _, tensors: tensors.pop(array) is None or None,
        wrong(lambda x: x.astype(np.float64)),
        wrong(lambda x: np.concatenate([x] * 2)),
        wrong(lambda x: x[0]),
        lambda description, _: description.update(state={"optimizer": 3, "features": []}),
        lambda description, _: description.update(state={"optimizer": "sgd", "features": ["x"]}),
        lambda description, _: description.update(state=None),
        lambda description, _: description.update(state=[1]),
    ):
        with pytest.raises(ValueError, match="does not hold a model of this tripletrec"):
            tr.load(change(how))


def test_state_is_a_few_bytes_a_row(tmp_path):
    model = tr.MatrixFactorization(16, n_epochs=1).fit(interactions(300, 200, 900))
    model.save(tmp_path / "a")
    model.save(tmp_path / "b", state=True)
    assert (tmp_path / "b").stat().st_size - (tmp_path / "a").stat().st_size < 8 * 500 + 1000


def test_a_new_user_of_one_event_learns():
    model = tr.MatrixFactorization(8, n_epochs=3).fit(interactions(30, 20, 200))
    model.partial_fit(sp.csr_matrix((np.ones(1), ([30], [3])), (31, 20)), 2)
    assert model.user_factors_[30].any() and np.isfinite(model.user_factors_).all()
