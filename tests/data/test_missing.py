"""Rows that lack an id, a value or a time: refused and counted, or left out; the same from all tables."""

import decimal

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.interactions import Interactions
from tripletrec.splits import time_split

NAMES = {"value": "v", "timestamp": "t"}
ROWS = [  # what each lacks is None
    ("a", "x", 1.0, 5), ("b", None, 2.0, 6), (None, "y", 3.0, 7), ("b", "y", None, 8), ("c", "x", 2.0, None),
    ("b", "x", 4.0, 9), (None, None, None, None),
]  # fmt: skip
WHOLE = [each for each in ROWS if None not in each]


def frame_of(rows):
    columns = zip(*rows, strict=True)
    return pd.DataFrame(dict(zip(("user", "item", "v", "t"), map(list, columns), strict=True)))


def with_none(frame):
    return frame.astype(object).where(frame.notna(), None)


def in_polars(frame):
    return pytest.importorskip("polars").DataFrame(with_none(frame).to_dict("list"))


def in_arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame, preserve_index=False)


def in_strings_of_numpy(frame):
    strings = getattr(np.dtypes, "StringDType", None)
    if strings is None:
        pytest.skip("NumPy 1 has none")
    columns = {name: frame[name].to_numpy() for name in frame}
    texts = {name: with_none(frame)[name].to_numpy() for name in ("user", "item")}
    return columns | {name: each.astype(strings(na_object=None)) for name, each in texts.items()}


KINDS = {
    "strings of NumPy": in_strings_of_numpy,
    "objects": with_none,
    "floats": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "categories": lambda frame: frame.astype({"user": "category", "item": "category"}),
    "dates": lambda frame: frame.assign(t=pd.to_datetime(frame["t"], unit="s", utc=True)),
    "a dict": lambda frame: {name: frame[name].tolist() for name in frame},
    "polars": in_polars,
    "arrow": in_arrow,
}


def same(some, other):
    assert some.user_ids.tolist() == other.user_ids.tolist()
    assert some.item_ids.tolist() == other.item_ids.tolist()
    for name in ("rows", "indices", "values", "timestamps"):
        np.testing.assert_array_equal(getattr(some, name), getattr(other, name))


@pytest.mark.parametrize("kind", list(KINDS))
def test_they_are_left_out_and_counted(kind):
    table = KINDS[kind](frame_of(ROWS))
    data = Interactions.from_frame(table, **NAMES, missing="drop")
    expected = Interactions.from_frame(KINDS[kind](frame_of(WHOLE)), **NAMES)
    same(data, expected)
    assert data.n_dropped == len(ROWS) - len(WHOLE)
    with pytest.raises((ValueError, TypeError), match='missing="drop" leaves out such rows'):
        Interactions.from_frame(table, **NAMES)


def nanoseconds(kind, times):
    if kind == "pandas":
        return pd.array(times, "Int64")
    if kind == "polars":
        return pytest.importorskip("polars").Series(times)
    return pytest.importorskip("pyarrow").chunked_array([times])


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_whole_numbers_beside_missing_ones_stay_exact(kind):
    times = [1704067200000000001, None, 1704067200000000003]
    columns = {"user": ["a", "b", "c"], "item": ["x", "y", "z"], "t": nanoseconds(kind, times)}
    data = Interactions.from_frame(columns, timestamp="t", missing="drop")
    assert data.timestamps.tolist() == [times[0], times[2]]


LARGE = [2**60 + 1, 2**60 + 2, 2**60 + 3]
COLUMNS = {
    "int64": LARGE,
    "uint64": [each + 2**63 for each in LARGE],
    "int32": [1, 2, 3],
    "uint8": [1, 2, 3],
    "bool": [False, True, True],
}


def column_of(kind, dtype, elements):
    """A column of a type, with missing elements where there are None."""
    if kind == "polars":
        pl = pytest.importorskip("polars")
        types = {"int64": pl.Int64, "uint64": pl.UInt64, "int32": pl.Int32, "uint8": pl.UInt8}
        return pl.Series(elements, dtype=types.get(dtype, pl.Boolean))
    if kind == "pandas":
        names = {"bool": "boolean", "uint64": "UInt64", "uint8": "UInt8"}
        return pd.array(elements, names.get(dtype, dtype.title()))
    pa = pytest.importorskip("pyarrow")
    array = pa.array(elements, getattr(pa, "bool_" if dtype == "bool" else dtype)())
    return pa.chunked_array([array.dictionary_encode() if kind == "dictionary" else array])


@pytest.mark.parametrize("dtype", list(COLUMNS))
@pytest.mark.parametrize("kind", ["arrow", "dictionary", "polars", "pandas"])
def test_ids_beside_missing_ones_stay_what_they_are(kind, dtype):
    ids = COLUMNS[dtype]
    whole = Interactions.from_frame({"user": column_of(kind, dtype, ids), "item": ["x"] * 3})
    beside = column_of(kind, dtype, [ids[0], None, *ids[1:]])
    for frame in ({"user": beside, "item": ["x"] * 4}, {"item": beside, "user": ["x"] * 4}):
        data = Interactions.from_frame(frame, missing="drop")
        found = data.user_ids if "x" in data.item_ids else data.item_ids
        assert found.tolist() == sorted(set(ids)) and found.dtype == whole.user_ids.dtype
        with pytest.raises(ValueError, match="has a missing id at position 1, and 1 in all"):
            Interactions.from_frame(frame)


def test_decimals_and_numbers_in_a_dictionary_beside_missing_ones():
    pa, large = pytest.importorskip("pyarrow"), decimal.Decimal(2**60 + 1)
    columns = {"user": pa.array([large, None, large + 1]), "item": pa.array([1, 2, 3])}
    data = Interactions.from_frame(columns, missing="drop")
    assert data.user_ids.tolist() == [large, large + 1] and data.n_dropped == 1
    codes, numbers = pa.array([0, 1, 2]), pa.array([None, *LARGE[:2]])
    columns["user"] = pa.DictionaryArray.from_arrays(codes, numbers)  # one stands for none
    assert Interactions.from_frame(columns, missing="drop").user_ids.tolist() == LARGE[:2]


def test_values_and_time_splits_beside_missing_ones():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({
        "user": [*LARGE, None, *LARGE], "item": [1, 1, 1, 1, 1, 1, None], "t": range(7),
        "v": [2, 1, 3, 1, 4, 5, 1], "flag": [True, True, None, True, False, True, True],
    })  # fmt: skip
    data = Interactions.from_frame(table, value="v", missing="drop")
    assert data.user_ids.tolist() == LARGE and data.values.tolist() == [6, 6, 3]
    flags = Interactions.from_frame(table, value="flag", duplicates="max", missing="drop")
    assert flags.user_ids.tolist() == LARGE[:2] and flags.values.tolist() == [1, 1]
    train, test = time_split(table, 4, timestamp="t", missing="drop")
    assert train.user_ids.tolist() == LARGE and test.user_ids.tolist() == LARGE


@pytest.mark.parametrize("mapped", [False, True])
def test_ids_beside_missing_ones_in_parquet(mapped, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    users = [*LARGE[:2], None, LARGE[2], LARGE[0]]
    pq.write_table(pa.table({"user": users, "item": [1, 2, 3, 1, 2]}), tmp_path / "log.parquet")
    where = {"memory_map": tmp_path / "map"} if mapped else {}
    data = Interactions.read(tmp_path / "log.parquet", **where, missing="drop")
    assert data.user_ids.tolist() == LARGE and data.user_ids.dtype == np.int64
    assert data.tocsr().toarray().tolist() == [[1, 1], [0, 1], [1, 0]] and data.n_dropped == 1
    later = Interactions.read(tmp_path / "log.parquet", like=data, **where, missing="drop")
    assert later.rows.tolist() == data.rows.tolist()


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "parquet", "map"])
def test_files(ending, tmp_path):
    frame, path = frame_of(ROWS), tmp_path / f"log.{ending}"
    if ending in ("parquet", "map"):
        pytest.importorskip("pyarrow")
        path = tmp_path / "log.parquet"
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in ending else ",")
    folder = {"memory_map": tmp_path / "map"} if ending == "map" else {}
    data = Interactions.read(path, **NAMES, **folder, missing="drop")
    same(data, Interactions.from_frame(frame_of(WHOLE), **NAMES))
    assert data.n_dropped == len(ROWS) - len(WHOLE)
    with pytest.raises(ValueError, match='missing="drop" leaves out such rows'):
        Interactions.read(path, **NAMES)


def test_what_is_not_read_may_be_missing():
    frame = frame_of(ROWS)
    assert Interactions.from_frame(frame, missing="drop").n_dropped == 3
    counted = Interactions.from_frame(frame, value="v", duplicates="count", missing="drop")
    assert counted.n_dropped == 3 and counted.values.tolist() == [1, 1, 1, 1]


def test_unknown_ones_are_counted_too():
    like = Interactions.from_frame({"user": ["a"], "item": ["x"]})
    both = {"like": like, "unknown": "drop", "missing": "drop"}
    assert Interactions.from_frame(frame_of(ROWS), **NAMES, **both).n_dropped == 6
    with pytest.raises(ValueError, match=r"column 'user': unknown user id 'b'"):
        Interactions.from_frame(frame_of(ROWS), **NAMES, like=like, missing="drop")


def test_none_is_whole():
    nothing = {"user": [None, "a"], "item": ["x", None]}
    with pytest.raises(
        ValueError, match="all 2 rows of frame lack an id, a value or a time: at least"
    ):
        Interactions.from_frame(nothing, missing="drop")
    like = Interactions.from_frame({"user": ["a"], "item": ["x"]})
    with pytest.warns(
        UserWarning, match="all 2 rows of frame lack an id, a value or a time and are"
    ):
        assert Interactions.from_frame(nothing, like=like, missing="drop").n_dropped == 2


def test_splits_by_time():
    later = frame_of(WHOLE).assign(t=[25, 29])
    whole = pd.concat([frame_of(WHOLE), later])
    table = pd.concat([frame_of(ROWS), later])
    split = time_split(table, 0.5, value="v", timestamp="t", missing="drop")
    expected = time_split(whole, 0.5, value="v", timestamp="t")
    for some, other in zip(split, expected, strict=True):
        same(some, other)
    assert split.train.n_dropped == len(ROWS) - len(WHOLE)
    with pytest.raises(ValueError, match="missing must be 'raise' or 'drop', got 'skip'"):
        time_split(whole, 0.5, timestamp="t", missing="skip")
    with pytest.raises(ValueError, match="missing must be 'raise' or 'drop', got None"):
        Interactions.from_frame(whole, missing=None)
