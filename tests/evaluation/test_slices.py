"""Groups of users are their means; of groups of items only the positives count, in the rankings of all."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from tripletrec.evaluation import evaluate

pytestmark = pytest.mark.filterwarnings("ignore:.* positives in test are", "ignore:the scores are")


def problem(rng):
    scores = rng.integers(0, 6, (12, 15)).astype(float)
    test, out = rng.random((2, 12, 15)) < 0.3
    test[0, 0], out[0] = True, False
    return (lambda users: scores[users]), test, out, scores


def test_groups_of_users_are_means(rng):
    model, test, out, _ = problem(rng)
    groups = rng.choice(["new", "heavy", "some"], 12)
    found = evaluate(model, test, out, k=3, by=groups)
    expected = found.per_user.groupby(groups[found.per_user.index]).mean()
    np.testing.assert_allclose(found.by[expected.columns].loc[expected.index], expected)
    assert found.by["n_users"].sum() == len(found.per_user)
    series = pd.Series(groups, name="kind").iloc[::-1].rename_axis("user")  # in any order
    again = evaluate(model, test, out, k=3, by=series).by
    assert again.index.name == "kind" and again.index.tolist() == found.by.index.tolist()
    np.testing.assert_array_equal(again, found.by)
    assert evaluate(model, test, out).by is None


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_groups_in_columns_of_other_libraries(rng, library):
    module = pytest.importorskip(library)
    model, test, out, _ = problem(rng)
    for names in ["abc", [date(2020, 1, day) for day in (1, 2, 3)]]:
        groups = [*(*names,) * 3, names[0], names[0], None]
        column = (module.Series if library == "polars" else module.array)(groups)
        expected = evaluate(model, test, out, k=3, by=groups).by
        assert expected.index.tolist() == list(names)
        pd.testing.assert_frame_equal(evaluate(model, test, out, k=3, by=column).by, expected)


@pytest.mark.parametrize("computes", [True, False])
def test_groups_of_a_series_of_another_library_go_by_its_index(computes):
    class Series:
        """As Dask's, which pandas computes, or as Modin's."""

        ndim, index, name = 1, pd.Index([2, 0, 1], name="user"), "kind"
        reset_index = None

        def __iter__(self):
            return iter(["c", "a", "b"])

    series = Series()
    if computes:
        series.compute = lambda: pd.Series(list(series), series.index, name=series.name)
    scores = np.array([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
    found = evaluate(lambda rows: scores[rows], np.eye(3), by=series).by
    assert found["auc"].to_dict() == {"a": 1, "b": 0.5, "c": 0} and found.index.name == "kind"


def test_groups_of_items_count_their_positives_alone(rng):
    """Against the definition: hits of the group in the lists of all, other positives no negatives."""
    scores = np.array([rng.permutation(15) for _ in range(12)], float)
    test, out = rng.random((2, 12, 15)) < 0.3
    test[0, 0], out[0] = True, False
    groups = np.arange(15) % 3
    found = evaluate(lambda users: scores[users], test, out, k=4, by=groups)
    for group in range(3):
        rows = []
        for user in range(12):
            ranked = [i for i in np.argsort(-scores[user]) if not out[user, i]]
            own = [i for i in ranked if test[user, i] and groups[i] == group]
            if not own:
                continue
            hits = [rank for rank, i in enumerate(ranked[:4]) if i in own]
            negatives = [i for i in ranked if not test[user, i]]
            wins = [scores[user, i] > scores[user, j] for i in own for j in negatives]
            ideal = sum(1 / np.log2(rank + 2) for rank in range(min(4, len(own))))
            rows.append(
                {
                    "auc": np.mean(wins) if wins else np.nan,
                    "mrr": 1 / (1 + ranked.index(own[0])),
                    "precision@4": len(hits) / 4,
                    "recall@4": len(hits) / len(own),
                    "ndcg@4": sum(1 / np.log2(rank + 2) for rank in hits) / ideal,
                    "hit_rate@4": float(bool(hits)),
                }
            )
        if rows:
            expected = pd.DataFrame(rows)
            assert found.by.loc[group, "n_users"] == len(rows)
            np.testing.assert_allclose(found.by.loc[group, expected.columns], expected.mean())


def test_a_group_of_its_own_for_each_user(rng):
    model, test, out, _ = problem(rng)
    found = evaluate(model, test, out, k=3, by=[f"user {n:02}" for n in range(12)])
    assert found.by.index.tolist() == [f"user {n:02}" for n in found.per_user.index]
    assert (found.by.pop("n_users") == 1).all()
    np.testing.assert_array_equal(found.by, found.per_user)


@pytest.mark.parametrize("gains", ["binary", "values"])
def test_groups_of_items_do_not_depend_on_each_other(gains, rng):
    """Many together give the bits of each alone, also where one has nothing that is ranked."""
    model, test, out, _ = problem(rng)
    test = test * rng.integers(1, 4, test.shape)
    test[:, 4] = 0
    found = evaluate(model, test, out, k=(1, 3), gains=gains, by=np.arange(15) // 2 * 2).by
    for group in found.index:
        alone = {int(group): "a", int(group) + 1: "a"} if group < 14 else {14: "a"}
        alone = pd.Series(alone).rename_axis("item")
        again = evaluate(model, test, out, k=(1, 3), gains=gains, by=alone).by
        np.testing.assert_array_equal(found.loc[[group]], again)
    nothing = evaluate(model, test, out, by=pd.Series({4: "a"}).rename_axis("item")).by
    assert len(nothing) == 0 and nothing.columns.tolist()[:2] == ["n_users", "auc"]


def test_one_group_of_all_items_is_the_whole(rng):
    model, test, out, _ = problem(rng)
    for gains in ("binary", "values"):
        found = evaluate(model, test, out, k=3, by=["all"] * 15, gains=gains)
        np.testing.assert_allclose(found.by.loc["all"].drop("n_users"), found.mean, rtol=1e-12)


def test_series_over_ids_and_ids_without_a_group():
    train = tr.Interactions.from_frame({"user": list("aabbc"), "item": [7, 9, 7, 5, 9]})
    test = tr.Interactions.from_frame({"user": list("abc"), "item": [5, 9, 7]}, like=train)
    model = tr.Popularity().fit(train)
    users = pd.Series({"c": "new", "a": "old", "nobody": "old"})
    found = evaluate(model, test, by=users).by
    assert found["n_users"].to_dict() == {"new": 1, "old": 1}
    kinds = pd.Series(["x", None, "y"], index=pd.Index([5, 7, 9], name="sku"))
    assert evaluate(model, test, by=kinds).by["n_users"].to_dict() == {"x": 1, "y": 1}
    assert evaluate(model, test, by={9: 1.5}).by.index.tolist() == [1.5]
    ages = pd.cut(pd.Series({"a": 20, "b": 30, "c": 70}), [0, 25, 65, 99])
    assert len(evaluate(model, test, by=ages).by) == 3


def test_keys_that_may_be_users_and_items_say_which():
    """As many as there are items, or users, tells nothing: row numbers are both."""
    model, test = (lambda rows: np.tile(np.arange(3.0), (len(rows), 1))), np.eye(3)[[1, 2, 0, 0, 1]]
    for n in (2, 3):
        some = dict.fromkeys(range(n), "vip")
        for by in (some, pd.Series(some)):
            with pytest.raises(ValueError, match="by must say whether it groups users or items"):
                evaluate(model, test, by=by)
        users = evaluate(model, test, by=pd.Series(some).rename_axis("user")).by
        assert users["n_users"].to_dict() == {"vip": n}
        items = evaluate(model, test, by=pd.Series(some).rename_axis("item")).by
        assert items["n_users"].to_dict() == {"vip": 4 if n == 2 else 5}
    assert evaluate(model, test, by={0: "a", 4: "b"}).by["n_users"].to_dict() == {"a": 1, "b": 1}
    wide = test.T  # of 3 users and 5 items
    found = evaluate(lambda rows: np.ones((len(rows), 5)), wide, by={4: "b", 1: "a", 0: "a"}).by
    assert found.index.name == "item group" and found["n_users"].to_dict() == {"a": 2, "b": 1}


def test_what_groups_cannot_be():
    test = np.eye(3)[[1, 2, 0]]

    def model(rows):
        raise AssertionError("nothing is ranked before that is known")

    for wrong in (np.arange(4), 3, "user", np.ones((3, 3)), pd.Series({"a": 1})):
        with pytest.raises(
            ValueError, match="by must be a Series over the user or item ids of test"
        ):
            evaluate(model, test, by=wrong)
    with pytest.raises(ValueError, match="by must say whether it groups users or items"):
        evaluate(model, test, by=np.arange(3))


def test_the_name_of_an_index_says_what_is_grouped():
    model, test = (lambda rows: np.eye(3)[rows]), np.eye(3)[[1, 2, 0]]
    named = pd.Series([1, 2, 2], index=pd.RangeIndex(3, name="item"))
    assert evaluate(model, test, by=named).by["n_users"].to_dict() == {1: 1, 2: 2}
