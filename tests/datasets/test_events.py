"""The synthetic shop: exactly as many events as asked for, tastes that models can find and that drift."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tripletrec as tr
from tiers import examples
from tripletrec.datasets import make_events


@examples(25)
@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(1, 300), st.integers(1, 40),
    st.floats(0, 1), st.integers(0, 2**40),
)  # fmt: skip
def test_exactly_as_many_events_of_known_users_and_items(n_users, n_items, n, n_days, drift, seed):
    shop = make_events(n_users, n_items, n, n_days=n_days, drift=drift, random_state=seed)
    events, users, items = shop
    assert (len(events), len(users), len(items)) == (n, n_users, n_items)
    assert users["user_id"].is_unique and items["item_id"].is_unique
    assert set(events["event"]) <= {"view", "cart", "buy"} and (events["price"] > 0).all()
    assert events["time"].is_monotonic_increasing and str(events["time"].dtype).endswith("UTC]")
    merged = events.merge(users, on="user_id").merge(items, on="item_id")
    assert len(merged) == n
    day = merged["time"].dt.floor("D")
    assert (merged["joined"] <= day).all() and (merged["launched"] <= day).all()
    assert events["time"].max() < pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(n_days, "D")


def test_same_seed_same_tables():
    one, two, other = (make_events(40, 30, 500, random_state=seed) for seed in (1, 1, 2))
    for first, second in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(first, second)
    assert not one.events.equals(other.events)


@pytest.mark.parametrize(
    "start", ["2019-02-27", np.datetime64("2019-02-27"), pd.Timestamp("2019-02-27")]
)
def test_another_first_day_moves_all_times(start):
    shop, moved = (
        make_events(40, 30, 500, start=day, random_state=1) for day in ("2024-01-01", start)
    )
    days = pd.Timestamp("2024-01-01") - pd.Timestamp("2019-02-27")
    for table, name in (("events", "time"), ("users", "joined"), ("items", "launched")):
        before, after = (getattr(each, table) for each in (shop, moved))
        assert (before[name] - after[name] == days).all()
        pd.testing.assert_frame_equal(after.drop(columns=name), before.drop(columns=name))


def test_ids_are_distinct_and_look_like_uuids():
    ids = make_events(500, 400, 10, random_state=0).users["user_id"]
    assert ids.str.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").all()


def test_one_attribute_in_twenty_is_missing(rng):
    users = make_events(20_000, 10, 10, random_state=rng).users
    for name in ("country", "age", "device"):
        # Six standard deviations.
        assert abs(users[name].isna().mean() - 0.05) < 6 * np.sqrt(0.05 * 0.95 / 20_000)
    assert users["joined"].notna().all()


def cosine_of_profiles(shop):
    """Cosine of what the categories of each user's first and last third of events are like."""
    events = shop.events.merge(shop.items, on="item_id").sort_values("time")
    third = pd.qcut(np.arange(len(events)), 3, labels=False)
    shares = [
        events[third == part].groupby(["user_id", "category"]).size().unstack(fill_value=0)
        for part in (0, 2)
    ]
    first, last = shares[0].align(shares[1], join="inner", fill_value=0)
    first, last = (
        part.sub(part.mean(axis=0)) for part in (first.astype(float), last.astype(float))
    )
    return (
        (first * last).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (last**2).sum(axis=1))
    ).mean()


def test_tastes_drift(rng):
    seed = int(rng.integers(2**31))
    still, moving = (make_events(60, 200, 30_000, drift=d, random_state=seed) for d in (0.0, 1.0))
    assert cosine_of_profiles(moving) < cosine_of_profiles(still) - 0.15


def test_models_find_the_taste(rng):
    shop = make_events(400, 200, 20_000, random_state=rng)
    data = tr.Interactions.from_frame(shop.events, user="user_id", item="item_id")
    train, test = tr.splits.train_test_split(data, 0.2, random_state=0)
    popularity = np.bincount(train.indices, minlength=train.n_items).astype(float)
    popular = tr.full_auc(lambda users: np.tile(popularity, (len(users), 1)), test, train)
    model = tr.MatrixFactorization(16, random_state=0).fit(train)
    assert tr.full_auc(model, test, train) > popular + 0.05


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"drift": 1.5}, "drift must be a number from 0 to 1, got 1.5"),
        ({"n_events": 0}, "n_events must be an integer >= 1, got 0"),
        ({"start": "soon"}, "start must be a date, got 'soon'"),
        ({"start": None}, "start must be a date, got None"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        make_events(**{"n_users": 20, "n_items": 10, "n_events": 50, **wrong})
