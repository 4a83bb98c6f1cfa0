"""Several interactions of one user with one item: what stands for them, and how many they were."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import naive_data
from tripletrec.data.interactions import Interactions

WAYS = ["sum", "max", "last", "first", "count"]
event = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(-2, 3))


def table(events, kind):
    users, items, values, times = map(list, zip(*events, strict=True))
    dates = np.array(times, "M8[D]")
    times = {"int": times, "float": [each + 0.5 for each in times], "date": dates, None: None}[kind]
    columns = {"user": users, "item": items, "value": values}
    return columns if times is None else columns | {"time": times}


@pytest.mark.parametrize("duplicates", WAYS)
@given(st.lists(event, min_size=1, max_size=40), st.sampled_from(["int", "float", "date", None]))
def test_equals_the_naive_twin(check_canonical, duplicates, events, kind):
    frame = table(events, kind)
    options = {"value": "value", "timestamp": None if kind is None else "time"}
    data = Interactions.from_frame(frame, **options, duplicates=duplicates)
    check_canonical(data)
    times = [None] * len(events) if kind is None else np.asarray(frame["time"]).tolist()
    twin = naive_data.merged(
        [(*each[:3], time) for each, time in zip(events, times, strict=True)], duplicates
    )
    pairs = zip(
        data.user_ids[data.rows].tolist(), data.item_ids[data.indices].tolist(), strict=True
    )
    assert list(pairs) == sorted(twin)
    assert data.values.tolist() == [twin[pair][0] for pair in sorted(twin)]
    if kind is not None:
        kept = data.timestamps.astype("M8[D]") if kind == "date" else data.timestamps
        assert kept.tolist() == [twin[pair][1] for pair in sorted(twin)]
    assert data.n_merged == len(events) - len({each[:2] for each in events})


def test_of_equal_times_the_order_of_the_rows_decides():
    frame = {"user": [0, 0, 0, 0], "item": [0, 0, 0, 0], "v": [1, 2, 3, 4], "t": [5, 7, 7, 5]}
    for way, value, time in (("last", 3, 7), ("first", 1, 5)):
        data = Interactions.from_frame(frame, value="v", timestamp="t", duplicates=way)
        assert data.values.tolist() == [value] and data.timestamps.tolist() == [time]
    assert Interactions.from_frame(frame, value="v", duplicates="last").values.tolist() == [4]


def test_what_was_taken_back_is_left_out():
    frame = {"user": [0, 0, 1], "item": [0, 0, 1], "v": [1, 0, 1], "t": [1, 2, 3]}
    data = Interactions.from_frame(frame, value="v", timestamp="t", duplicates="last")
    assert data.rows.tolist() == [1] and data.n_merged == 1 and data.n_users == 2
    everything = Interactions.from_frame(frame, value="v", duplicates="max")
    assert everything.values.tolist() == [1, 1]


def test_count_does_not_read_the_values():
    frame = pd.DataFrame({"user": ["a", "a", "b"], "item": [1, 1, 2], "v": [-1.0, np.nan, 0.0]})
    data = Interactions.from_frame(frame, value="v", duplicates="count")
    assert data.values.tolist() == [2, 1] and data.n_merged == 1
    assert Interactions.from_frame(frame, duplicates="count").values.tolist() == [2, 1]
    with pytest.raises(ValueError, match="frame has no column 'w'"):
        Interactions.from_frame(frame, value="w", duplicates="count")
    for way in ("sum", "last"):
        with pytest.raises(ValueError, match="must hold finite values >= 0"):
            Interactions.from_frame(frame, value="v", duplicates=way)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float64])
def test_values_of_all_types(dtype):
    frame = {"user": [0] * 3, "item": [0] * 3, "v": np.array([1, 0, 1], dtype)}
    found = [
        Interactions.from_frame(frame, value="v", duplicates=way).values.tolist() for way in WAYS
    ]
    assert found == [[2.0], [1.0], [1.0], [1.0], [3.0]]


@pytest.mark.parametrize("library", ["dict", "pandas", "objects", "polars", "pyarrow"])
def test_booleans_of_a_table_are_numbers(library, tmp_path):
    columns = {"user": ["a", "a", "a", "b"], "item": [1] * 4, "v": [True, True, False, True]}
    if library == "dict":
        frame = columns
    elif library in ("pandas", "objects"):
        frame = pd.DataFrame(columns).astype({"v": bool if library == "pandas" else object})
    else:
        module = pytest.importorskip(library)
        frame = (module.DataFrame if library == "polars" else module.table)(columns)
    assert Interactions.from_frame(frame, value="v").values.tolist() == [2, 1]
    if library == "pyarrow":
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(frame, tmp_path / "f.parquet")
        for more in ({}, {"memory_map": tmp_path / "map"}):
            data = Interactions.read(tmp_path / "f.parquet", value="v", **more)
            assert data.values.tolist() == [2, 1]
    assert Interactions.from_arrays([0, 0], [0, 0], columns["v"][:2]).values.tolist() == [2]


def test_what_was_dropped_is_not_merged():
    train = Interactions.from_frame({"user": ["a"], "item": [1]})
    later = {"user": ["a", "b", "b", "a"], "item": [1, 1, 1, 1]}
    data = Interactions.from_frame(later, like=train, unknown="drop", duplicates="count")
    assert (data.n_dropped, data.n_merged, data.values.tolist()) == (2, 1, [2.0])
    for part in (data[:1], data.T, train, Interactions.empty(data)):
        assert part.n_merged == 0
    assert pickle.loads(pickle.dumps(data)).n_merged == copy.copy(data).n_merged == 1


def test_entries_of_a_matrix_are_merged_too():
    matrix = sp.coo_matrix(([1, 2, 4], ([0, 0, 1], [1, 1, 0])))
    data = Interactions(matrix)
    assert data.values.tolist() == [3, 4] and data.n_merged == 1
    assert Interactions.from_arrays([0, 0, 0], [1, 1, 1]).n_merged == 2


@pytest.mark.parametrize("duplicates", ["mean", "SUM", None, 1, ["sum"], np.array(["sum"])])
def test_other_ways_get_one_sentence(duplicates):
    message = "duplicates must be one of 'sum', 'max', 'last', 'first', 'count', got"
    with pytest.raises(ValueError, match=message):
        Interactions.from_frame({"user": [1], "item": [1]}, duplicates=duplicates)
