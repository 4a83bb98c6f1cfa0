"""Popularity: the contract, window and half-life, what a list without taste cannot tell."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from contracts.baseline import BaselineContract
from contracts.support import assert_same


@pytest.mark.thorough
class TestContract(BaselineContract):
    kind = tr.Popularity
    other = {"window": None}
    cannot = {"decay": -1.0}
    table = "item_popularity_"
    compares_rows = False
    learns_checkerboard = False

    def test_repr(self):
        assert repr(tr.Popularity(decay="7D")) == "Popularity(decay='7D')"

    def test_save_replaces_an_older_file(self):
        """Nothing but times makes another model: see below."""

    def test_every_parameter_changes_something(self):
        """See below."""

    def test_load_runs_nothing_and_sets_nothing_strange(self, fitted, tmp_path):
        self.other = {"window": 3}
        super().test_load_runs_nothing_and_sets_nothing_strange(fitted, tmp_path)

    def test_explanations_add_up(self, fitted):
        why = fitted.explain(3, 4, k=3)
        assert why.bias == why.score == fitted.predict(3, 4)[0] and set(why.contributions) == {0.0}


def dated(days, items, users=None, unit="D"):
    """Events on some days."""
    users = np.arange(len(days)) if users is None else users
    times = np.datetime64("2024-03-01") + np.array(days) * np.timedelta64(1, unit)
    return tr.Interactions.from_frame(
        {"user": users, "item": items, "time": times}, timestamp="time"
    )


def test_it_counts_users():
    data = tr.Interactions.from_frame({"user": [1, 1, 2, 3, 3], "item": list("aabac")})
    model = tr.Popularity().fit(data)
    assert model.item_popularity_.tolist() == [2.0, 1.0, 1.0]
    assert model.item_counts_.tolist() == [2, 1, 1]
    ids, scores = model.recommend([1, 2], k=3, exclude=None)
    assert ids.tolist() == [["a", "b", "c"]] * 2 and scores.tolist() == [[2.0, 1.0, 1.0]] * 2
    assert model.recommend(1, k=3)[0].tolist() == ["b", "c"]
    rows = model.encode_histories([["a"], []])
    assert rows.dtype == np.float32 and rows.tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize(
    "window",
    ["14D", "2W", "336h", " 14 d", timedelta(14), np.timedelta64(2, "W"), pd.Timedelta("14D"), 14 * 86400,
     14 * 86400.0, np.int32(14 * 86400), "14 days", "P14D"],
    ids=str,
)  # fmt: skip
def test_a_window_is_so_long(window, tmp_path):
    """Daily dates: of 14 days 14 dates, the last one among them."""
    days = np.arange(30)
    data = dated(days, days)
    model = tr.Popularity(window=window).fit(data)
    assert model.item_popularity_.tolist() == [0.0] * 16 + [1.0] * 14
    assert model.item_counts_.tolist() == [1] * 30
    # Numbers are taken for seconds.
    numbers = tr.Interactions(data.tocsr(), timestamps=days * 86400)
    assert_same(
        tr.Popularity(window=window).fit(numbers), tr.Popularity(window=window).fit(
            tr.Interactions(data.tocsr(), timestamps=data.timestamps))
    )  # fmt: skip
    model.save(tmp_path / "model")
    again = tr.load(tmp_path / "model")
    assert again.window == model.window and again.item_popularity_[16] == 1.0


def test_a_half_life_halves():
    data = dated([0, 10, 20, 30], ["a", "b", "a", "c"])
    found = tr.Popularity(decay="10D").fit(data).item_popularity_
    np.testing.assert_allclose(found, [1 / 8 + 1 / 2, 1 / 4, 1.0])
    found = tr.Popularity(decay=864000, window=timedelta(30)).fit(data).item_popularity_
    np.testing.assert_allclose(found, [1 / 2, 1 / 4, 1.0])  # the first event is 30 days old
    assert tr.Popularity(decay=1e-3).fit(data).item_popularity_.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("name", ["window", "decay"])
@pytest.mark.parametrize(
    "wrong",
    [
        0,
        -1,
        "0D",
        "-3D",
        "soon",
        "14",
        "",
        timedelta(-1),
        np.timedelta64("NaT", "s"),
        np.nan,
        True,
        [14],
        {},
    ],
    ids=lambda each: type(each).__name__ + str(each)[:4],
)
def test_what_is_no_period(name, wrong):
    model = tr.Popularity(**{name: wrong})
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be a period > 0") as caught:
        model.fit(dated([0, 1], [0, 1]))
    assert "\n" not in str(caught.value)
    assert not hasattr(model, "n_users_")


@pytest.mark.parametrize("period", [np.timedelta64(2**60, "D"), timedelta.max])
def test_a_period_beyond_all_times_is_saved(period, tmp_path):
    model = tr.Popularity(decay=period).fit(dated([0, 10], ["a", "b"]))
    model.save(tmp_path / "model")
    seconds = period.total_seconds() if isinstance(period, timedelta) else 2.0**60 * 86400
    decay = tr.load(tmp_path / "model").decay
    assert (decay.total_seconds() if isinstance(decay, timedelta) else decay) == seconds


def test_periods_of_numpy_are_exact_in_every_unit():
    data = dated([0, 10], ["a", "b"])
    for period in (np.timedelta64(10, "D"), np.timedelta64(864 * 10**12, "ns")):
        assert tr.Popularity(decay=period).fit(data).item_popularity_.tolist() == [0.5, 1.0]
    for unit, expected in (("D", 1.0), ("as", 0.0)):  # which NumPy cannot convert to seconds
        model = tr.Popularity(decay=np.timedelta64(2**60, unit)).fit(data)
        assert model.item_popularity_.tolist() == [expected, 1.0]


@pytest.mark.parametrize("name", ["window", "decay"])
@pytest.mark.parametrize("unit", ["Y", "M"])
def test_periods_of_no_fixed_length(name, unit):
    model = tr.Popularity(**{name: np.timedelta64(1, unit)})
    with pytest.raises(ValueError, match=f"^{name} must have a unit of fixed length, .*'{unit}'"):
        model.fit(dated([0, 1], [0, 1]))


def test_periods_need_times(pairs):
    for params in ({"window": "14D"}, {"decay": 3}):
        (name,) = params
        with pytest.raises(ValueError, match=f"{name} needs the times of the inter.*no timestamps"):
            tr.Popularity(**params).fit(pairs)


def test_partial_fit_moves_the_window(tmp_path):
    old, new = dated([0, 1, 2], [0, 1, 2]), dated([3, 4], [0, 3], users=[7, 0])
    model = tr.Popularity(window="2D").fit(old)
    model.save(tmp_path / "model")
    assert model.item_popularity_.tolist() == [0.0, 1.0, 1.0]
    assert model.partial_fit(new).item_popularity_.tolist() == [1.0, 0.0, 0.0, 1.0]
    loaded = tr.load(tmp_path / "model")
    with pytest.raises(
        ValueError, match="needs the times of earlier events, which a file does not"
    ):
        loaded.partial_fit(new)
    assert loaded.set_params(window=None).partial_fit(new).item_popularity_.tolist() == [2, 1, 1, 1]


def test_a_model_that_does_not_know_what_it_has_seen_adds_up_counts(pairs, tmp_path):
    tr.Popularity().fit(pairs).save(tmp_path / "model", seen=False)
    model = tr.load(tmp_path / "model").partial_fit(pairs)
    counts = np.bincount(pairs.indices, minlength=40)
    assert model.item_popularity_.tolist() == (2 * counts).tolist()
    model.partial_fit(tr.Interactions.empty(pairs)).save(tmp_path / "model")
    model = tr.load(tmp_path / "model").partial_fit(pairs)
    assert model.item_counts_.tolist() == (3 * counts).tolist()
    assert model.seen_ is None
    with pytest.warns(UserWarning, match="does not know what it was trained on"):
        model.recommend(0)


def test_users_without_history_get_the_list_of_all():
    data = dated([0, 0, 9], ["a", "a", "b"], users=[1, 2, 3])
    more = tr.Interactions.from_frame({"user": [5], "item": ["a"]})
    with pytest.raises(ValueError, match="X must have timestamps that are dates, as those of ear"):
        tr.Popularity(window="1D").fit(data).add_users(more)
    more = {"user": [5], "item": ["a"], "day": [np.datetime64("2024-03-02")]}
    model = tr.Popularity(window="1D").fit(data).add_users(more, timestamp="day")
    assert model.recommend_history([], k=2)[0].tolist() == ["b", "a"]
    assert model.recommend(5, k=1)[0].tolist() == ["b"]


def test_added_users_keep_the_times(pairs):
    """Later events then find them: the model is what a fit on all would be."""
    old, new = dated([0, 1, 2], [0, 1, 2]), dated([3], [0], users=[1])
    added = {"user": [7], "item": [1], "day": [np.datetime64("2024-03-03")]}
    model = tr.Popularity(decay="2D").fit(old)
    before = dict(vars(model))
    for wrong in ({"user": [7], "item": [1]}, {**added, "day": [17.5]}):
        with pytest.raises(ValueError, match="X must have timestamps that are dates, as those"):
            model.add_users(wrong, timestamp="day" if "day" in wrong else None)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is each for name, each in before.items())
    model.add_users(tr.Interactions.from_arrays([], [], shape=(1, 3), user_ids=[9]))
    model.add_users(added, timestamp="day").partial_fit(tr.Interactions.empty(new)).partial_fit(new)
    every = tr.Popularity(decay="2D").fit(
        dated([0, 1, 2, 2, 3], [0, 1, 2, 1, 0], users=[0, 1, 2, 7, 1])
    )
    np.testing.assert_array_equal(model.item_popularity_, every.item_popularity_)
    model = tr.Popularity().fit(old).add_users({"user": [7], "item": [1]})
    assert model.seen_.timestamps is None
    with pytest.raises(
        ValueError, match="earlier events, which .*, nor a model that was given some"
    ):
        model.set_params(decay="2D").partial_fit(new)


def test_nothing_is_alike(pairs):
    model = tr.Popularity().fit(pairs)
    for similar in (model.similar_items, model.similar_users):
        with pytest.raises(TypeError, match="a Popularity has no similar .*: use another model"):
            similar(0)


def test_times_that_are_centuries_apart():
    """Their differences in nanoseconds are beyond int64."""
    times = np.array(["1700-01-01", "2200-01-01", "2200-01-02"], "M8[s]")
    X = tr.Interactions.from_arrays([0, 1, 2], [0, 1, 2], timestamps=times)
    assert tr.Popularity(window="14D").fit(X).item_popularity_.tolist() == [0.0, 1.0, 1.0]
    found = tr.Popularity(decay="14D").fit(X).item_popularity_
    np.testing.assert_allclose(found, [0.0, np.exp2(-1 / 14), 1.0], rtol=1e-6)
