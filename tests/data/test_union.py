"""Merging interactions: ids, order, places, values and times, against dictionaries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tripletrec as tr
from tripletrec.data.ids import Ids
from tripletrec.data.union import Merger, joined_times

KINDS = {
    "numbers": st.integers(-(2**62), 2**62),
    "texts": st.text("abc\u4e2d", max_size=3),
    "floats": st.floats(-1e6, 1e6),
    "mixed": st.one_of(st.integers(0, 9), st.text("ab", max_size=2)),
}


def events_of(ids):
    pairs = st.tuples(ids, st.integers(0, 6), st.integers(1, 9), st.integers(0, 99))
    return st.lists(pairs, min_size=1, max_size=12)


def as_interactions(events):
    users, items, values, times = zip(*events, strict=True)
    column = np.empty(len(users), object)
    column[:] = users
    frame = {"user": column, "item": items, "value": values, "time": times}
    in_order = list(dict.fromkeys(users))  # mixed ones cannot be sorted
    return tr.Interactions.from_frame(frame, value="value", timestamp="time", user_ids=in_order)


def as_dict(data):
    """Return value and time of each pair of ids."""
    users, items = data.user_ids[data.rows].tolist(), data.item_ids[data.indices].tolist()
    known = zip(data.values.tolist(), data.timestamps.tolist(), strict=True)
    return dict(zip(zip(users, items, strict=True), known, strict=True))


def ids_of(data):
    return Ids(data.user_ids, None, "user"), Ids(data.item_ids, None, "item")


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.data())
def test_it_equals_dictionaries(kind, content):
    old, new = (as_interactions(content.draw(events_of(KINDS[kind]))) for _ in range(2))
    try:
        merger = Merger(*ids_of(old), new)
    except (
        TypeError
    ) as error:  # of mixed ids, where the old ones are all numbers and the new ones texts
        assert kind == "mixed" and "as those of the model" in str(error)
        return
    merged = merger.merge(old, new)
    expected = as_dict(old)
    for pair, (value, time) in as_dict(new).items():
        before = expected.get(pair, (0.0, time))
        expected[pair] = before[0] + value, max(before[1], time)
    assert as_dict(merged.data) == expected
    for ours, theirs, rows, ids in (
        (merged.data.user_ids, old.user_ids, merger.user_rows, new.user_ids),
        (merged.data.item_ids, old.item_ids, merger.item_rows, new.item_ids),
    ):
        assert ours[: len(theirs)].tolist() == theirs.tolist()
        assert ours[rows].tolist() == ids.tolist()
        assert len(set(ours.tolist())) == len(ours) == len({*theirs.tolist(), *ids.tolist()})
    placed = merged.data.indices[merged.places]
    assert merged.data.item_ids[placed].tolist() == new.item_ids[new.indices].tolist()
    placed = merged.data.rows[merged.places]
    assert merged.data.user_ids[placed].tolist() == new.user_ids[new.rows].tolist()
    assert as_dict(merger.place(new)) == as_dict(new)
    assert as_dict(merger.merge(None, new).data) == as_dict(new)


def test_what_is_known_keeps_its_ids():
    data = tr.Interactions.from_frame({"user": ["a", "b"], "item": [1, 2]})
    known = ids_of(data)
    for X in (data, data[:0], data.tocsr()):
        merger = Merger(*known, X if isinstance(X, tr.Interactions) else tr.Interactions(X))
        assert (merger.users, merger.items) == known
        merged = merger.merge(data, X if isinstance(X, tr.Interactions) else tr.Interactions(X))
        assert merged.data.space.shape == (2, 2)


def test_old_ones_may_be_of_fewer_users_and_items():
    old = tr.Interactions(np.eye(2))
    merger = Merger(Ids(None, 3, "user"), Ids(None, 4, "item"), tr.Interactions(np.ones((3, 5))))
    assert merger.merge(old, old[:0]).data.space.shape == (3, 5)


def test_durations_of_two_units_go_together():
    old, new = (
        tr.Interactions.from_frame({"user": np.array([1, count], f"m8[{unit}]"), "item": [0, 0]})
        for unit, count in (("s", 2), ("ns", 10**9))
    )
    users = Merger(*ids_of(old), new).users
    assert users.values.tolist() == np.array([10**9, 2 * 10**9, 1], "m8[ns]").tolist()
    numbers = tr.Interactions.from_frame({"user": [1], "item": [0]})
    with pytest.raises(TypeError, match="user ids of X must be numbers, .*, got durations"):
        Merger(*ids_of(numbers), new)


def test_times_of_two_kinds_are_dropped():
    frame = {"user": ["a"], "item": [1], "time": [1]}
    old = tr.Interactions.from_frame(frame, timestamp="time")
    frame["time"] = np.array(["2024-01-01"], "M8[D]")
    new = tr.Interactions.from_frame(frame, timestamp="time")
    assert Merger(*ids_of(old), new).merge(old, new).data.timestamps is None


@pytest.mark.parametrize(
    ("known", "X", "kind", "message"),
    [
        (
            None,
            {"user": [5], "item": [0]},
            ValueError,
            "X must have no user ids, for the model numbers",
        ),
        (
            ["a", "b"],
            np.eye(3),
            ValueError,
            "X must have user ids, or exactly the 2 users of the model",
        ),
        (None, np.ones((2, 3)), ValueError, "X must have at least the 3 users of the model"),
        (
            ["a", "b"],
            {"user": [5], "item": [0]},
            TypeError,
            "user ids of X must be strings, .*numbers",
        ),
        (
            [1, 2],
            {"user": [b"a"], "item": [0]},
            TypeError,
            "user ids of X must be numbers, .*got bytes such as b'a'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(known, X, kind, message):
    users = Ids(known, 3 if known is None else None, "user")
    data = tr.Interactions.from_frame(X) if isinstance(X, dict) else tr.Interactions(X)
    with pytest.raises(kind, match=message):
        Merger(users, Ids(None, 3, "item"), data)


def test_a_sum_beyond_float32_is_named_by_its_ids():
    largest = [float(np.finfo(np.float32).max)]
    data = tr.Interactions.from_arrays([0], [0], largest, user_ids=["ann"], item_ids=["tea"])
    with pytest.raises(ValueError, match="sum of duplicates .* of user 'ann', item 'tea'"):
        Merger(*ids_of(data), data).merge(data, data)


def test_times_are_those_of_both():
    def one(time, n=1):
        return tr.Interactions.from_arrays(
            [0] * n, [0] * n, timestamps=time and [time] * n, shape=(1, 1)
        )

    day = np.datetime64("2024-03-01")
    assert joined_times(one(2), one(3.5)).tolist() == [2.0, 3.5]
    assert joined_times(one(day), one(day)).dtype == "M8[ns]"
    assert joined_times(one(2), one(None)) is joined_times(one(None), one(2)) is None
    assert joined_times(one(2), one(day)) is None
    assert joined_times(one(2), one(None, 0)).tolist() == [2]
