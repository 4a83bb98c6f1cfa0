"""Unseen users and items of TwoTower: vectors by features alone, ids in columns, new items for good."""

import copy
import threading

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import assert_same, catalogue
from tiers import quick

N_USERS, N_ITEMS = 40, 30


def interactions(kind="str"):
    """Users and items of two kinds, even and odd, who like their own; with ids of a kind."""
    rng = np.random.default_rng(1)
    likes = (np.add.outer(np.arange(N_USERS), np.arange(N_ITEMS)) % 2 == 0) & (
        rng.random((N_USERS, N_ITEMS)) < 0.5
    )
    ids = {"user_ids": [f"u{u}" for u in range(N_USERS)], "item_ids": item_ids(N_ITEMS, kind)}
    return tr.Interactions(sp.csr_matrix(likes), **({} if kind == "none" else ids))


def item_ids(n, kind, first=0):
    numbers = range(first, first + n)
    return {
        "none": None,
        "str": [f"sku-{i}" for i in numbers],
        "int": [1000 + 3 * i for i in numbers],
        "date": [np.datetime64("2024-01-01") + i for i in numbers],
        "mixed": [i if i % 2 else f"i{i}" for i in numbers],
    }[kind]


def item_table(n, kind="str", first=0):
    ids = item_ids(n, kind, first)
    kinds = [f"k{i % 2}" for i in range(first, first + n)]
    columns = {"kind": kinds, "price": [float(i % 7) for i in range(n)]}
    return columns if ids is None else {"sku": ids} | columns


def fitted(kind="str", **settings):
    settings = {"n_factors": 6, "n_epochs": 8, "learning_rate": 0.3} | settings
    data, options = interactions(kind), {}
    if kind != "none":
        options["item_id"] = "sku"
    if settings.get("own_factors") is False:
        kinds = [f"k{u % 2}" for u in range(N_USERS)]
        options["user_features"] = pd.DataFrame({"kind": kinds}, index=data.user_ids)
    return tr.TwoTower(**settings).fit(data, item_features=item_table(N_ITEMS, kind), **options)


@pytest.fixture(scope="module")
def base():
    """A model with ids, never modified."""
    return fitted()


@pytest.fixture
def model(base):
    """The same, to be modified."""
    again = copy.deepcopy(base)
    again.seen_ = base.seen_
    return again


def test_ids_in_a_column_or_the_index_are_the_same(base):
    data, table = interactions(), item_table(N_ITEMS)
    frame = pd.DataFrame(table)
    shuffled = frame.sample(frac=1.0, random_state=0)
    for features, id in (
        (frame, "sku"),
        (shuffled, "sku"),
        (frame.set_index("sku"), None),
        (shuffled.set_index("sku"), "sku"),
    ):
        again = tr.TwoTower(**base.get_params()).fit(data, item_features=features, item_id=id)
        assert_same(again, base)


def test_polars_and_arrow_are_the_same(base):
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    table = item_table(N_ITEMS)
    users = {"id": interactions().user_ids.tolist(), "age": list(range(N_USERS))}
    model = tr.TwoTower(**base.get_params()).fit(
        interactions(), user_features=users, user_id="id", item_features=table, item_id="sku"
    )
    for kind in (pl.DataFrame, lambda each: pl.DataFrame(each).lazy(), pa.table):
        again = tr.TwoTower(**base.get_params()).fit(
            interactions(),
            user_features=kind(users),
            user_id="id",
            item_features=kind(table),
            item_id="sku",
        )
        assert_same(again, model)
        np.testing.assert_array_equal(
            again.encode_items(kind(table), id="sku"), base_vectors(model, table)
        )
        np.testing.assert_array_equal(
            again.recommend_unseen(kind(users), k=3, id="id")[0],
            model.recommend_unseen(users, k=3)[0],
        )
        again.add_items(kind(item_table(3, first=N_ITEMS)), id="sku")
        assert again.recommend("u1", candidates=["sku-30"])[0].tolist() == ["sku-30"]


def base_vectors(model, table):
    return model.encode_items({name: each for name, each in table.items() if name != "sku"})


def test_a_column_of_ids_must_be_there_and_belong_to_something(base):
    with pytest.raises(ValueError, match="item_id names a column of item_features, which is None"):
        tr.TwoTower().fit(interactions(), item_id="sku")
    for answer in (base.encode_items, base.add_items):
        with pytest.raises(ValueError, match="item_features has no column 'id', its columns are"):
            answer(pd.DataFrame(item_table(2, first=50)), id="id")
    told_by_features = fitted(own_factors=False)
    for answer in (told_by_features.encode_users, told_by_features.recommend_unseen):
        with pytest.raises(ValueError, match="user_features has no column 'id', its columns are"):
            answer(pd.DataFrame({"kind": ["k0"]}), id="id")
    with pytest.raises(ValueError, match="item_features has no index .* item_id='sku'"):
        tr.TwoTower().fit(interactions(), item_features=item_table(N_ITEMS))
    frame = pd.DataFrame(item_table(N_ITEMS))
    with pytest.raises(
        ValueError, match="missing from its index, .*'sku' holds them: give item_id="
    ):
        tr.TwoTower().fit(interactions(), item_features=frame)


def test_titles_are_features_and_columns_of_ids_are_not(base):
    frame = pd.DataFrame(item_table(N_ITEMS)).assign(code=[f"x{i}" for i in range(N_ITEMS)])
    with pytest.raises(
        ValueError, match="column 'code' of item_features must hold values that rows"
    ):
        tr.TwoTower().fit(interactions(), item_features=frame, item_id="sku")
    words = ["The red", "The blue", "A red", "A blue", "The green"]
    frame["code"] = [f"{words[i % 5]} {i}" for i in range(N_ITEMS)]
    model = tr.TwoTower(n_epochs=2).fit(interactions(), item_features=frame, item_id="sku")
    new = pd.DataFrame({"kind": ["k0"] * 3, "price": 1.0, "code": ["Red?", "RED!", "green"]})
    vectors = model.encode_items(new)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()


# -------------------------------------------------------------------- new items


@pytest.mark.parametrize("kind", quick(["none", "str", "int", "date", "mixed"], "none", "mixed"))
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"own_factors": False},
        {"combine": "concatenation", "user_layers": (5,), "item_layers": (5,), "normalize": True},
    ],
    ids=str,
)
def test_new_items_join_the_catalogue(kind, settings, tmp_path):
    model = fitted(kind, **settings)
    scores, vectors, seen = catalogue_of(model), model.item_factors_.copy(), model.seen_
    table = item_table(5, kind, N_ITEMS)
    fresh = model.encode_items(table)
    assert model.add_items(table, id=None if kind == "none" else "sku") is model

    assert model.n_items_ == model.n_features_in_ == N_ITEMS + 5
    assert model.item_factors_[:N_ITEMS].tobytes() == vectors.tobytes()
    assert model.item_factors_[N_ITEMS:].tobytes() == fresh.tobytes()
    known = np.arange(N_ITEMS + 5) if kind == "none" else model.item_ids_
    if kind != "none":
        assert list(model.item_ids_[:N_ITEMS]) == list(seen.item_ids)
        assert list(model.item_ids_[N_ITEMS:]) == list(item_ids(5, kind, N_ITEMS))
    assert model.seen_.space == model._space()
    assert np.shares_memory(model.seen_.indices, seen.indices) and seen.n_items == N_ITEMS

    user = model.user_ids_[0] if model.user_ids_ is not None else 0
    np.testing.assert_allclose(catalogue_of(model)[:, :N_ITEMS], scores, rtol=1e-5, atol=1e-6)
    new = [known[N_ITEMS + n] for n in range(5)]
    ids, _ = model.recommend(user, k=99, exclude=None)
    assert len(ids) == N_ITEMS + 5 and set(new) <= set(ids.tolist() if kind != "date" else ids)
    ids, _ = model.recommend(user, k=3, candidates=new)
    assert len(ids) == 3 and set(ids) <= set(new)
    assert model.similar_items(new[0], k=N_ITEMS + 4)[0].shape == (N_ITEMS + 4,)
    assert np.isfinite(model.predict(user, new)).all()
    test = tr.Interactions(
        sp.csr_matrix(([1.0], ([0], [N_ITEMS])), model.seen_.space.shape),
        user_ids=model.user_ids_, item_ids=model.item_ids_,
    )  # fmt: skip
    assert 0 <= model.score(test) <= 1
    assert 0 <= tr.evaluate(model, test, exclude=model.seen_).mean["auc"] <= 1

    model.save(tmp_path / "model")
    again = tr.load(tmp_path / "model")
    assert_same(again, model)
    np.testing.assert_array_equal(
        again.recommend(user, k=9, exclude=None)[0], model.recommend(user, k=9, exclude=None)[0]
    )
    again.add_items(item_table(2, kind, N_ITEMS + 5), id=None if kind == "none" else "sku")
    assert again.n_items_ == N_ITEMS + 7


def catalogue_of(model):
    numbered = tr.TwoTower(**model.get_params())
    vars(numbered).update(vars(model) | {"user_ids_": None, "item_ids_": None})
    return catalogue(numbered)


def test_new_items_of_a_kind_are_liked_by_those_who_like_it(model):
    model.add_items(item_table(2, first=N_ITEMS), id="sku")
    for user, liked in (("u0", "sku-30"), ("u1", "sku-31")):
        assert model.recommend(user, k=1, candidates=["sku-30", "sku-31"])[0].tolist() == [liked]
    similar = model.similar_items("sku-31", k=3)[0]
    assert all(int(each[4:]) % 2 for each in similar)


def test_ids_of_new_items_may_be_given_beside_a_table_or_a_matrix(model):
    table = item_table(2, first=N_ITEMS)
    frame = pd.DataFrame(table)
    alike = [tr.TwoTower(**model.get_params()) for _ in range(3)]
    for each, (features, id) in zip(
        alike,
        (
            (frame.set_index("sku"), None),
            (frame.drop(columns="sku"), table["sku"]),
            (frame, pd.Index(table["sku"])),
        ),
        strict=True,
    ):
        vars(each).update(vars(model))
        each.add_items(features, id=id)
        assert each.item_ids_.tolist()[-2:] == ["sku-30", "sku-31"]
    flags = np.eye(N_ITEMS, 3)
    towers = tr.TwoTower(n_factors=4, n_epochs=1).fit(interactions(), item_features=flags)
    with pytest.raises(ValueError, match=r"must say the ids of the new items, .*: give id=\[...\]"):
        towers.add_items(np.eye(2, 3))
    towers.add_items(np.eye(2, 3), id=["x", "y"])
    assert towers.similar_items("x", k=1)[0].shape == (1,)


def test_no_new_items_change_nothing(model, base):
    assert model.add_items({"sku": [], "kind": [], "price": []}, id="sku") is model
    assert_same(model, base)


@pytest.mark.parametrize(
    ("features", "id", "message"),
    [
        (item_table(3, first=N_ITEMS - 1), "sku", "new items only: 1 of 3 ids .* first is 'sku-29'"),
        ({"sku": ["x", "x"], "kind": ["k0"] * 2, "price": [1, 2]}, "sku", "be unique, got 'x' twice"),
        ({"sku": ["x", None], "kind": ["k0"] * 2, "price": [1, 2]}, "sku", "missing id at position 1"),
        (item_table(3, first=50), None, "must say the ids of the new items, .*: give id='sku'"),
        (pd.DataFrame(item_table(3, first=50)), None, "give id='sku'"),
        (pd.DataFrame(item_table(3, "none")), None, "give id='...', the name of their column"),
        (item_table(3, first=50), [1, 2, 3], "must be strings, as those of the model, got numbers such as 1"),
        (item_table(3, first=50), ["a", "b"], "id must have one id for each of the 3 rows .* got 2"),
        (item_table(3, first=50), [["a"], "b", "c"], "must be hashable"),
        ({"sku": ["x"], "kind": ["k0"]}, "sku", "item_features lacks the columns 'price'"),
        ({"sku": ["x"], "kind": ["k0"], "price": [np.inf]}, "sku", "must be finite, got infinity"),
        ({"sku": ["x"], "kind": [3], "price": [1.0]}, "sku", "must hold strings, as in fit, got 3"),
        ({"sku": ["x"], "kind": ["k0"], "price": [1e38]}, "sku", None),
        (np.ones((2, 3)), ["a", "b"], "must be a DataFrame or another table, as in fit"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_new_items_leave_the_model_as_it_was(model, base, features, id, message):
    if message is not None:
        with pytest.raises((ValueError, TypeError), match=message):
            model.add_items(features, id=id)
        assert_same(model, base)
        assert model.seen_ is base.seen_
        return
    model.item_table_ = model.item_table_ * np.float32(1e30)
    with pytest.raises(ValueError, match="finite vectors in float32, those of row 0 are not"):
        model.add_items(features, id=id)
    assert model.n_items_ == N_ITEMS


def test_numbered_items_get_the_next_numbers():
    model = fitted("none")
    frame = pd.DataFrame(item_table(2, "none"))
    model.add_items(frame)
    model.add_items(frame.set_axis([32, 33]))
    model.add_items(frame, id=[34, 35])
    assert model.n_items_ == 36 and model.item_ids_ is None
    with pytest.raises(
        ValueError, match="must be the next row numbers, 36 ... 37, .* got 50: give no"
    ):
        model.add_items(frame.set_axis([50, 51]))
    assert model.n_items_ == 36


def test_a_model_without_features_of_items_takes_no_new_items():
    model = tr.TwoTower(n_factors=4, n_epochs=1).fit(interactions())
    with pytest.raises(ValueError, match="the model was fitted without item_features"):
        model.add_items(item_table(1, first=50), id="sku")


def test_an_unfitted_model_takes_no_new_items():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        tr.TwoTower().add_items(item_table(1), id="sku")


def test_a_second_fit_forgets_the_new_items(model, base):
    model.add_items(item_table(5, first=N_ITEMS), id="sku")
    model.fit(interactions(), item_features=item_table(N_ITEMS), item_id="sku")
    assert_same(model, base)


def test_a_model_without_its_training_data_takes_new_items(model):
    model.seen_ = None
    assert model.add_items(item_table(1, first=N_ITEMS + 5), id="sku").seen_ is None
    del model.seen_
    assert model.add_items(item_table(2, first=N_ITEMS), id="sku").n_items_ == N_ITEMS + 3


def test_readers_find_all_of_the_attributes_or_none_changed(model):
    """What is read in one step, as `vars` is copied, belongs together."""
    wrong, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            now = dict(vars(model))
            sizes = {
                now["n_items_"], len(now["item_ids_"]), len(now["item_factors_"]),
                now["seen_"].n_items, now["n_features_in_"],
            }  # fmt: skip
            if len(sizes) > 1:
                wrong.append(sizes)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(20):
        model.add_items(item_table(3, first=N_ITEMS + 3 * n), id="sku")
    stop.set()
    reader.join()
    assert not wrong and model.n_items_ == N_ITEMS + 60


def test_candidates_of_unseen_users():
    model = fitted(own_factors=False)
    users = {"kind": ["k0", "k1"]}
    shared = ["sku-1", "sku-5", "sku-2"]
    ids, _ = model.recommend_unseen(users, k=9, candidates=shared)
    assert [sorted(each) for each in ids.tolist()] == [sorted(shared)] * 2
    own = [["sku-3"], ["sku-4", "sku-8"]]
    ids, scores = model.recommend_unseen(users, k=9, candidates=own)
    assert ids[0].tolist() == ["sku-3", None] and sorted(ids[1].tolist()) == own[1]
    assert scores[0, 1] == -np.inf
    with pytest.raises(ValueError, match="one for each of the 2 users"):
        model.recommend_unseen(users, candidates=[["sku-3"]])
    with pytest.raises(ValueError, match="k must be an integer >= 1, got 0"):
        model.recommend_unseen(users, k=0)


def test_unseen_rows_have_the_same_bits_alone_and_among_others(rng):
    layers = {"user_layers": (16, 8), "item_layers": (16, 8)}
    model = fitted(own_factors=False, **layers)
    kinds, prices = [f"k{u}" for u in rng.integers(0, 3, 90)], rng.normal(size=90)
    users, items = {"kind": kinds}, {"kind": kinds, "price": prices}
    vectors, ids = model.encode_items(items), [f"new-{i}" for i in range(90)]
    of_users, (_, scores) = model.encode_users(users), model.recommend_unseen(users, k=5)
    copies = [copy.deepcopy(model), copy.deepcopy(model).add_items(items, id=ids)]
    for i in range(0, 90, 7):
        user = {"kind": kinds[i : i + 1]}
        item = user | {"price": prices[i : i + 1]}
        np.testing.assert_array_equal(model.encode_users(user)[0], of_users[i])
        np.testing.assert_array_equal(model.recommend_unseen(user, k=5)[1][0], scores[i])
        np.testing.assert_array_equal(model.encode_items(item)[0], vectors[i])
        copies[0].add_items(item, id=ids[i : i + 1])
        for each in copies:
            row = each.item_ids_.tolist().index(ids[i])
            np.testing.assert_array_equal(each.item_factors_[row], vectors[i])


def test_lists_belong_to_one_catalogue_while_items_come():
    """A reader gets the catalogue from before or after, never numbers of one in the ids of another."""
    model, users = fitted(own_factors=False), {"kind": ["k0", "k1"]}
    wrong, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                model.recommend_unseen(users, k=200)
                model.recommend(k=200)
            except Exception as error:
                wrong.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(10):
        model.add_items(item_table(3, first=N_ITEMS + 3 * n), id="sku")
    stop.set()
    reader.join()
    assert not wrong, wrong[0]


@pytest.mark.parametrize("combine", ["sum", "concatenation"])
def test_what_no_row_of_training_has_says_nothing(combine):
    data = tr.datasets.make_interactions(20, 12, 60, random_state=0)
    features = {"user_features": np.ones((20, 1))}
    model = tr.TwoTower(
        n_factors=4,
        n_epochs=1,
        user_layers=(3,),
        item_layers=(3,),
        own_factors=False,
        combine=combine,
    )
    items = pd.DataFrame({"kind": list("abc") * 4, "tax": [0.19] * 12, "stock": [np.nan] * 12})
    model.fit(data, item_features=items, **features)
    new = items.assign(tax=1e6, stock=np.arange(12.0))
    np.testing.assert_array_equal(model.encode_items(new), model.item_factors_)
    assert not model.item_table_[3].any()  # that of an unknown kind
    matrix = np.eye(12, 4, -1)
    model.fit(data, item_features=matrix * [1, 1, 1, 0], **features)
    matrix[:, 3] = 7.0
    np.testing.assert_array_equal(model.encode_items(matrix), model.item_factors_)
