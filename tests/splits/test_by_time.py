"""Splits by time: nothing later is learnt from, no event is lost, and what cannot be split says why."""

import copy
import datetime
import pickle
from fractions import Fraction
from math import ceil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splits.support import check_partition, entries, some_interactions
from tiers import examples
from tripletrec.data.interactions import Interactions
from tripletrec.datasets import make_events
from tripletrec.splits import leave_last_out, time_split
from tripletrec.splits.parts import is_share

DAY = 24 * 3600 * 10**9


def table_of(rng, n=60, n_times=40, n_users=8, n_items=7):
    """Events with ids as text, some of them at the same time, in any order."""
    return pd.DataFrame(
        {
            "user": [f"u{each}" for each in rng.integers(0, n_users, n)],
            "item": [f"i{each}" for each in rng.integers(0, n_items, n)],
            "timestamp": rng.integers(0, n_times, n),
            "value": rng.integers(1, 4, n).astype(float),
        }
    )


def naive_start(events, size, stop):
    """Of all times before a stop but the first, the one whose events are nearest in number to a share."""
    times = sorted(each for each in events["timestamp"] if each < stop)
    choices = sorted({each for each in times if each > times[0]}, reverse=True)
    wanted = ceil(size * len(events))
    return min(choices, key=lambda start: abs(sum(each >= start for each in times) - wanted))


def naive_part(events, start, stop, train=None):
    """Add up the events of some time; those of whom and what training has, and how many others there are."""
    inside = events[(events["timestamp"] >= start) & (events["timestamp"] < stop)]
    kept = inside
    if train is not None:
        known = inside["user"].isin(train["user"]) & inside["item"].isin(train["item"])
        kept = inside[known]
    groups = kept.groupby(["user", "item"]).agg({"value": "sum", "timestamp": "max"})
    return (
        [(*pair, row["value"], row["timestamp"]) for pair, row in groups.iterrows()],
        len(inside) - len(kept),
    )


@examples(40)
@given(st.integers(0, 2**32), st.floats(0.05, 0.5), st.none() | st.floats(0.05, 0.4))
def test_shares_equal_the_naive_twin(seed, share, valid_share):
    rng = np.random.default_rng(seed)
    events = table_of(rng)
    start = naive_start(events, share, np.inf)
    first = start if valid_share is None else naive_start(events, valid_share, start)
    split = time_split(events, share, valid_share, value="value")
    learnt = events[events["timestamp"] < first]
    bounds = [(start, np.inf)] if valid_share is None else [(first, start), (start, np.inf)]
    assert sorted(entries(split[0])) == naive_part(events, -1, first)[0]
    for part, name, (begin, stop) in zip(split[1:], split.dropped, bounds, strict=True):
        wanted, n_dropped = naive_part(events, begin, stop, learnt)
        assert sorted(entries(part)) == wanted
        assert part.n_dropped == split.dropped[name].n_events == n_dropped
        assert part.user_ids is split.train.user_ids and part.item_ids is split.train.item_ids
        lost = events[events["timestamp"].between(begin, stop, inclusive="left")]
        assert split.dropped[name].n_all == len(lost)
        assert split.dropped[name].users.tolist() == sorted(set(lost["user"]) - set(learnt["user"]))
        assert split.dropped[name].items.tolist() == sorted(set(lost["item"]) - set(learnt["item"]))
    assert split.train.user_ids.tolist() == sorted(set(learnt["user"]))
    assert split.train.item_ids.tolist() == sorted(set(learnt["item"]))


@given(st.integers(0, 2**32), st.floats(0.01, 0.6))
def test_sizes_are_exact_where_no_two_events_are_at_the_same_time(seed, share):
    rng = np.random.default_rng(seed)
    n = 50
    events = {
        "user": rng.integers(0, 3, n),
        "item": np.arange(n) % 2,
        "timestamp": rng.permutation(n),
    }
    split = time_split(events, share, share / 2)
    n_test, n_valid = ceil(share * n), ceil(share / 2 * n)
    assert split.dropped["test"].n_all == n_test
    assert split.dropped["valid"].n_all == n_valid
    assert split.train.timestamps.max() == n - n_test - n_valid - 1


@examples(40)
@given(st.integers(0, 2**32))
def test_the_order_of_the_rows_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    events = table_of(rng)
    before = events.copy()
    mixed = events.sample(frac=1, random_state=seed % 1000)
    for one, other in zip(
        time_split(events, 0.3, 0.2, value="value"),
        time_split(mixed, 0.3, 0.2, value="value"),
        strict=True,
    ):
        assert entries(one) == entries(other)
    pd.testing.assert_frame_equal(events, before)


def daily(n=30, zone=None):
    """One event on each of some days at noon, of two users and two items in turn."""
    times = pd.date_range("2024-03-01 12:00", periods=n, freq="D", tz=zone)
    return pd.DataFrame(
        {"user": np.arange(n) % 2, "item": np.arange(n) // 2 % 2, "timestamp": times}
    )


def numbers_of(split):
    return [part.n_all for part in split.dropped.values()]


@pytest.mark.parametrize(
    "period",
    [
        "14D",
        "14 days",
        " 336h",
        "P14D",
        datetime.timedelta(days=14),
        np.timedelta64(14, "D"),
        pd.Timedelta(days=14),
    ],
    ids=repr,
)
def test_a_period_is_as_many_days(period):
    split = time_split(daily(), period, "7D")
    assert numbers_of(split) == [7, 14]
    assert str(split.train.timestamps.max()).startswith("2024-03-09T12:00")


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize(
    "when",
    [
        "2024-03-15T12:00:00Z",
        "2024-03-15 12:00",
        "2024-03-15 14:00+02:00",
        datetime.datetime(2024, 3, 15, 12),
        datetime.datetime(2024, 3, 15, 12, tzinfo=datetime.UTC),
        np.datetime64("2024-03-15T12"),
        pd.Timestamp("2024-03-15 21:00", tz="Asia/Tokyo"),
        pd.Period("2024-03-15 12:00", "h"),
    ],
    ids=repr,
)
def test_a_date_is_the_first_of_the_test_part(when, zone):
    """Without a zone it is taken as UTC, in the table and in the argument."""
    events = daily(zone="UTC")
    events["timestamp"] = (
        events["timestamp"].dt.tz_convert(zone)
        if zone
        else events["timestamp"].dt.tz_localize(None)
    )
    split = time_split(events, when)
    assert str(split.train.timestamps.max()) == "2024-03-14T12:00:00.000000000"
    assert numbers_of(split) == [16]
    later = pd.Timestamp("2024-03-15 12:00") + pd.Timedelta(1, "ns")
    assert numbers_of(time_split(events, later)) == [15]


@pytest.mark.parametrize("day", ["2024-03-15", datetime.date(2024, 3, 15)])
def test_a_day_begins_at_midnight(day):
    assert numbers_of(time_split(daily(), day)) == [16]
    assert numbers_of(time_split(daily(), day, "7D")) == [7, 16]  # the 8th to the 14th
    assert numbers_of(time_split(daily(), day, "2024-03-10")) == [5, 16]
    assert numbers_of(time_split(daily(), day, 0.1)) == [3, 16]
    assert numbers_of(time_split(daily(), 0.1, day)) == [13, 3]
    assert numbers_of(time_split(daily(), "7D", day)) == [9, 7]


def test_a_month_is_a_date_too():
    assert numbers_of(time_split(daily(60), "2024-04")) == [29]


@pytest.mark.parametrize("kind", [int, float])
def test_numbers_are_times_where_the_times_are_numbers(kind):
    events = daily()
    events["timestamp"] = np.arange(30).astype(kind) - 3
    for number in (20, 20.0, np.int32(20), Fraction(20), 19.5):
        split = time_split(events, number)
        assert numbers_of(split) == [7] and split.train.timestamps.max() == 19
        assert numbers_of(time_split(events, number, 10)) == [10, 7]
    assert numbers_of(time_split(events, 1)) == [26] and numbers_of(time_split(events, 0)) == [27]
    assert numbers_of(time_split(events, 0.5)) == numbers_of(time_split(events, Fraction(1, 2)))


def test_times_at_the_ends_of_the_numbers():
    """Where one more, or a period, is beyond 64 bits."""
    ends = np.array([-(2**63), 0, 2**63 - 1])
    events = {"user": [1, 1, 1], "item": [1, 1, 1], "timestamp": ends}
    assert numbers_of(time_split(events, 0.3)) == [1]
    assert numbers_of(time_split(events, int(ends[2]), int(ends[1]))) == [1, 1]
    tiny = events | {"timestamp": [0.0, np.nextafter(0, 1), 1.7e308]}
    assert numbers_of(time_split(tiny, 0.3, 0.3)) == [1, 1]
    dates = np.array(["1700-01-01", "1900-01-01", "2262-01-01"], "M8[ns]")
    assert numbers_of(time_split(events | {"timestamp": dates}, "100000D")) == [1]
    with pytest.raises(ValueError, match="leaves nothing for training"):
        time_split(events | {"timestamp": dates}, "100000D", "106000D")


# ---------------------------------------------------------------- before duplicates are merged


def test_events_of_the_past_stay_in_training():
    """Ann buys tea every day. Masking merged interactions by time, she would never have bought any before."""
    events = pd.DataFrame(
        [
            ("ann", "tea", "2024-05-01"),
            ("ann", "tea", "2024-05-02"),
            ("ann", "tea", "2024-05-09"),
            ("bob", "tea", "2024-05-01"),
            ("bob", "jam", "2024-05-03"),
            ("ann", "jam", "2024-05-09"),
        ],
        columns=["user", "item", "timestamp"],
    ).assign(timestamp=lambda frame: pd.to_datetime(frame["timestamp"]))
    train, test = time_split(events, "2024-05-08")
    merged = Interactions.from_frame(events, timestamp="timestamp")
    masked = merged[merged.timestamps < np.datetime64("2024-05-08")]
    assert [entry[:3] for entry in entries(train)] == [
        ("ann", "tea", 2.0),
        ("bob", "jam", 1.0),
        ("bob", "tea", 1.0),
    ]
    assert [entry[:2] for entry in entries(masked)] == [("bob", "jam"), ("bob", "tea")]
    assert [entry[:3] for entry in entries(test)] == [("ann", "jam", 1.0), ("ann", "tea", 1.0)]


def test_a_shop_loses_no_training_positive():
    """As in the smallest version of the journey: every pair met before the cut is learnt from."""
    events = make_events(200, 60, 4000, n_days=60, random_state=7).events
    columns = {"user": "user_id", "item": "item_id", "timestamp": "time"}
    train, test = time_split(events, "14D", **columns)
    end = events["time"].max() - pd.Timedelta("14D")
    past = events[events["time"] <= end][["user_id", "item_id"]].drop_duplicates()
    assert len(train) == len(past)
    merged = Interactions.from_frame(events, **columns)
    masked = merged[merged.timestamps <= end.tz_convert(None).to_datetime64()]
    assert len(masked) < len(train)
    assert test.timestamps.min() > train.timestamps.max()


@pytest.mark.parametrize("duplicates", ["sum", "max", "last", "first", "count"])
def test_duplicates_are_merged_within_a_part(duplicates):
    events = {
        "user": ["a"] * 5,
        "item": ["x"] * 5,
        "value": [2.0, 3.0, 1.0, 5.0, 4.0],
        "timestamp": [1, 2, 3, 4, 5],
    }
    train, test = time_split(events, 4, value="value", duplicates=duplicates)
    values = {"sum": (6, 9), "max": (3, 5), "last": (1, 4), "first": (2, 5), "count": (3, 2)}
    assert (train.values[0], test.values[0]) == values[duplicates]
    assert (train.n_merged, test.n_merged) == (2, 1)


def test_merged_interactions_come_with_a_warning():
    events = {"user": [1, 1, 1, 2, 2], "item": [1, 1, 2, 1, 2], "timestamp": [1, 5, 2, 3, 4]}
    data = Interactions.from_frame(events, timestamp="timestamp")
    with pytest.warns(
        UserWarning, match="1 events were merged .* split the table of events"
    ) as seen:
        train, _ = time_split(data, 4)
    assert seen[0].filename == __file__ and len(seen) == 1
    assert len(train) == 2 < len(time_split(events, 4)[0])


def test_interactions_will_do():
    data = some_interactions(9, 12, seed=4)
    split = time_split(data, 0.3, 0.2)
    lost = sum(each.n_events for each in split.dropped.values())
    assert sum(map(len, split)) + lost == len(data)
    assert {entry for part in split for entry in entries(part)} <= set(entries(data))
    times = [part.timestamps for part in split]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min()


def test_interactions_without_ids_keep_their_numbers():
    data = Interactions.from_arrays([5, 2, 5, 9], [1, 3, 3, 1], timestamps=[1, 2, 3, 4])
    train, test = time_split(data, 3)
    assert train.user_ids.tolist() == [2, 5] and train.item_ids.tolist() == [1, 3]
    assert entries(test) == [(5, 3, 1.0, 3)] and (train.n_dropped, test.n_dropped) == (0, 1)
    assert split_error(data, 3.5).startswith(
        "the test part would be empty, as each of its 1 events"
    )


def split_error(events, *sizes, **options):
    with pytest.raises((ValueError, TypeError)) as caught:
        time_split(events, *sizes, **options)
    return str(caught.value)


# ---------------------------------------------------------------- what comes back


def test_a_split_is_a_tuple_that_tells_what_it_left_out():
    events = {
        "user": ["a", "b", "a", "b", "c", "a"],
        "item": [1, 2, 2, 1, 1, 3],
        "timestamp": [1, 2, 3, 4, 5, 6],
    }
    with pytest.warns(UserWarning, match="^test is small: 2 of 3 events are left out, for") as seen:
        split = time_split(events, 4, 3)
    assert seen[0].filename == __file__ and len(seen) == 1
    train, valid, test = split
    assert (split.train, split.valid, split.test) == (train, valid, test)
    assert split.dropped["test"].users.tolist() == ["c"]
    assert split.dropped["test"].items.tolist() == [3]
    assert split.dropped["valid"].n_events == 0
    assert (
        "2 items, 1 positives, user ids, item ids, timestamps): 2 of 3 events are "
        "left out, for the training part lacks 1 of their users and 1 of their items\n)"
        in repr(split)
    )
    for other in (pickle.loads(pickle.dumps(split)), copy.copy(split), copy.deepcopy(split)):
        assert repr(other) == repr(split) and [entries(each) for each in other] == [
            entries(each) for each in split
        ]
    assert time_split(events | {"user": list("ababba")}, 4).valid is None


@pytest.mark.parametrize("library", ["polars", "polars lazy", "pyarrow", "dict"])
def test_tables_of_all_kinds(library, rng):
    events = table_of(rng)
    events["timestamp"] = pd.to_datetime(events["timestamp"], unit="D", utc=True)
    wanted = time_split(events, "8D", "5D", value="value")
    if library == "dict":
        table = {name: list(column) for name, column in events.items()}
    else:
        module = pytest.importorskip(library.split()[0])
        if library == "pyarrow":
            table = module.Table.from_pandas(events)
        else:
            pytest.importorskip("pyarrow")
            table = module.from_pandas(events)
            table = table.lazy() if "lazy" in library else table
    for part, other in zip(time_split(table, "8D", "5D", value="value"), wanted, strict=True):
        assert entries(part) == entries(other) and part.n_dropped == other.n_dropped


@pytest.mark.parametrize("kind", [int, np.int8, "U", "M8[D]", object])
def test_ids_keep_their_kind(kind):
    events = {"user": [3, 1, 2, 1], "item": [1, 2, 2, 1], "timestamp": [1, 2, 3, 4]}
    ids = [(each,) for each in events["user"]] if kind is object else np.array(events["user"], kind)
    column = np.empty(4, object)
    column[:] = ids
    events["user"] = column if kind is object else ids
    train, test = time_split(events, 4)
    whole = Interactions.from_frame(events)
    assert train.user_ids.dtype == whole.user_ids.dtype
    assert train.user_ids.tolist() == whole.user_ids.tolist()
    assert entries(test)[0][1:] == (1, 1.0, 4)


# ---------------------------------------------------------------- what cannot be split


DATED = "a share between 0 and 1, a date, such as '2024-03-31', or a period, such as '14D', got "


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.1, 1.5, 10**400, np.nan, np.inf, 20240315])
def test_numbers_are_no_dates(value):
    assert split_error(daily(), value).startswith(f"test must be {DATED}")
    assert split_error(daily(), 0.5, value).startswith(f"valid must be {DATED}")


@pytest.mark.parametrize(
    "value",
    [
        "", "x", "now", "today", "12:00", "2024", "2024-13-01", "2024-03-01 is a Friday", "15/03/2024",
        "14", "14 parsecs", "14D 3", "1M", "9999999D", "0001-01-01", "9999-01-01", "١٤D",
        pd.NaT, np.datetime64("NaT", "s"), np.timedelta64("NaT", "s"), datetime.timedelta.max,
        datetime.date(1, 1, 1), datetime.timedelta(0), "-3D", "0D",
        True, None, [], [0.1], {}, object(), b"14D", 1j, Interactions, np.array([0.1, 0.2]),
    ],
    ids=lambda value: "object" if type(value) is object else repr(value),
)  # fmt: skip
def test_what_is_no_date_share_or_period(value):
    message = split_error(daily(), value)
    assert message.startswith(("test must be ", "test=")), message
    assert message.count("\n") == 0 and len(message) < 200


@pytest.mark.filterwarnings("error")
def test_a_duration_of_numpy_is_no_share():
    assert not is_share(np.timedelta64(1, "D")) and is_share(0.5)
    assert split_error(daily(), np.timedelta64(0, "D")).startswith("test must be ")


@pytest.mark.parametrize("value", ["14D", datetime.timedelta(1), np.timedelta64(1, "D")], ids=repr)
def test_periods_need_dates(value):
    events = daily().assign(timestamp=np.arange(30))
    assert "is a period of dates, but the timestamps are numbers" in split_error(events, value)
    assert split_error(events, "2024-03-15").startswith(
        "test must be a share between 0 and 1 or a num"
    )
    assert "or a number" in split_error(events, datetime.date(2024, 3, 15))
    for number in (2**63, np.nan, np.inf, "7"):
        assert split_error(events, number).startswith("test must be a share")


SPAN = "the events are from 2024-03-01T12:00:00 to 2024-03-30T12:00:00"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (("2024-04-01",), f"test='2024-04-01' leaves nothing to test: {SPAN}"),
        (("2024-03-30 12:00:00.000000001",), "leaves nothing to test"),
        (("2024-03-01 12:00",), f"test='2024-03-01 12:00' leaves nothing for training: {SPAN}"),
        (("1999-01-01",), "leaves nothing for training"),
        (("30D",), f"test='30D' leaves nothing for training: {SPAN}"),
        (("14D", "16D"), f"valid='16D' with test='14D' leaves nothing for training: {SPAN}"),
        (("14D", "2024-03-17"), f"valid='2024-03-17' with test='14D' leaves nothing for valid.*{SPAN}"),
        (("2024-03-05", "2024-03-05"), "leaves nothing for validation"),
        (("2024-03-05", "2024-03-04 13:00"), "leaves nothing for validation"),
        (("14D", 0.6), "valid=0.6 with test='14D' leaves nothing for training"),
        ((0.6, 0.5), "valid=0.5 with test=0.6 leaves nothing for training"),
        ((0.99,), "test=0.99 leaves nothing for training"),
        (("2024-03-02 12:00", 0.1), "valid=0.1 with test='2024-03-02 12:00' leaves nothing for training"),
    ],
)  # fmt: skip
def test_no_part_may_be_empty(sizes, message):
    with pytest.raises(ValueError, match=message):
        time_split(daily(), *sizes)


def test_events_that_are_all_at_one_time():
    events = {"user": [1, 2], "item": [1, 2], "timestamp": [5, 5]}
    assert split_error(events, 0.5) == (
        "test=0.5 leaves nothing for training: the events are from 5 to 5"
    )


def test_a_part_of_strangers():
    events = {"user": [1, 1, 2], "item": [1, 2, 1], "timestamp": [1, 2, 3]}
    assert split_error(events, 3) == (
        "the test part would be empty, as each of its 1 events is of a user or an item without events "
        "in the training part: choose another test"
    )
    assert split_error(events, 3, 2).startswith("the valid part would be empty")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("timestamp", ["2024-01-01", "2024-01-02", "2024-01-03"], "convert it with pandas.to_datetime"),
        ("timestamp", [1.0, np.nan, 2.0], "has a missing time at position 1"),
        ("timestamp", pd.to_datetime(["2024-01-01", None, "2024-01-02"]), "missing date at position 1"),
        ("timestamp", [1, datetime.date(2024, 1, 1), 2], "all numbers or all dates"),
        ("timestamp", [1, 2], "one per interaction"),
        ("user", ["a", None, "b"], "column 'user' has a missing id at position 1"),
        ("item", ["a", "a", None], "column 'item' has a missing id at position 2"),
    ],
)  # fmt: skip
def test_damaged_events(column, values, message):
    events = {"user": [1, 1, 1], "item": [1, 1, 1], "timestamp": [1, 2, 3]}
    assert message in split_error(events | {column: values}, 0.3)


def test_damaged_arguments():
    events = {"user": [1, 1, 1], "item": [1, 1, 1], "timestamp": [1, 2, 3], "value": [1, -1, 1]}
    data = Interactions.from_frame(events, timestamp="timestamp")
    assert "no column 'time'" in split_error(events, timestamp="time")
    assert "timestamp must be the name of a column, got None" in split_error(events, timestamp=None)
    assert "-1" in split_error(events, value="value")
    assert "duplicates must be one of" in split_error(events, duplicates="mean")
    assert split_error(events | {"value": [0, 1, 1]}, 2, value="value").startswith(
        "train has no inter"
    )
    assert split_error(events | {"value": [1, 1, 0]}, 3, value="value").startswith(
        "test has no inter"
    )
    assert "must be a DataFrame" in split_error(np.ones((2, 2)))
    assert "events must have timestamps" in split_error(Interactions(np.eye(2)))
    assert "got Interactions" in split_error(data, user="user_id")
    assert "got Interactions" in split_error(data, duplicates="count")
    assert "no interaction" in split_error(data[:0])
    assert "no rows" in split_error({name: [] for name in events})


# ---------------------------------------------------------------- the last ones of each user


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_last_out_equals_the_naive_twin(seed, n):
    data = some_interactions(seed=seed)
    expected = np.zeros(data.space.shape)
    for user in range(data.n_users):
        part = range(data.indptr[user], data.indptr[user + 1])
        by_time = sorted(part, key=lambda k: (data.timestamps[k], data.indices[k]))
        if len(by_time) > n:
            for k in by_time[-n:]:
                expected[user, data.indices[k]] = data.values[k]
    if not expected.any():
        return
    train, test = leave_last_out(data, n)
    check_partition(data, train, test)
    np.testing.assert_array_equal(test.tocsr().toarray(), expected)


def test_a_user_with_few_stays_in_training():
    data = Interactions.from_arrays([0, 1, 1], [0, 0, 1], timestamps=[9, 2, 1])
    train, test = leave_last_out(data)
    assert test.rows.tolist() == [1] and test.indices.tolist() == [0]
    assert train.rows.tolist() == [0, 1]


def test_as_many_as_asked_for_are_left():
    data = Interactions.from_arrays([0, 0, 1, 1, 1], [0, 1, 0, 1, 2], timestamps=[1, 2, 3, 4, 5])
    train, test = leave_last_out(data, min_left=2)
    assert test.rows.tolist() == [1] and len(train) == 4
    with pytest.raises(ValueError, match="no user has 4 interactions, of which 3 must be left"):
        leave_last_out(data, min_left=3)


@pytest.mark.parametrize(
    ("data", "n", "error", "message"),
    [
        (Interactions(np.ones((2, 2))), 1, ValueError, "interactions must have timestamps"),
        (some_interactions(), 99, ValueError, "n=99 leaves nothing to test"),
        (some_interactions(), 0, ValueError, "n must be an integer >= 1, got 0"),
        (some_interactions(), 1.0, TypeError, "n must be an integer"),
        (np.ones((2, 2)), 1, TypeError, "interactions must be Interactions, got ndarray"),
    ],
)
def test_bad_last_out(data, n, error, message):
    with pytest.raises(error, match=message):
        leave_last_out(data, n)


@pytest.mark.parametrize("split", [leave_last_out, lambda data: time_split(data, test=0.5)])
def test_indices_that_were_changed_are_never_followed(split, tmp_path):
    frame = {"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "timestamp": [1, 2, 3, 4]}
    Interactions.from_frame(frame, timestamp="timestamp").to_memory_map(tmp_path / "map")
    path = tmp_path / "map/indices.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"\xff" * 4)
    with pytest.raises(ValueError, match="a file that was changed: .* from 0 to 1, got -1"):
        split(Interactions.read(tmp_path / "map"))
