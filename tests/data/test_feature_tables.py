"""Tables of features of any library: the same columns, rows found by ids, what is said where they are not."""

import datetime
import decimal
import warnings

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.feature_tables import aligned_frame, as_frame, ids_of_rows, is_table
from tripletrec.data.features import align, encode, learn_encoding

IDS = np.array(["c", "a", "b", "d"])
ALL = np.ones(4, bool)
DAYS = [datetime.date(2020, 1, 1), datetime.date(2020, 2, 3), None, datetime.date(2020, 2, 1)]
PANDAS = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "text": ["u", "v", "u", None],
        "number": [1.5, 2.0, None, 4.0],
        "whole": pd.array([1, 5, None, 7], dtype="Int64"),
        "flag": [True, False, True, True],
        "several": [["x", "y"], ["y"], [], ["x"]],
        "date": DAYS,
        "time": pd.to_datetime(["2020-01-01 10:00", "2020-02-01 11:30", "2020-02-02 00:00", None]),
        "span": pd.to_timedelta([1, 2, None, 5], unit="D"),
        "price": [decimal.Decimal("1.5"), decimal.Decimal(2), None, decimal.Decimal(7)],
    }
)
PANDAS["time"] = PANDAS["time"].dt.tz_localize("Europe/Berlin")
DICT = {name: PANDAS[name].tolist() for name in PANDAS} | {
    "number": [1.5, 2.0, None, 4.0],
    "whole": [1, 5, None, 7],
}


class Partitioned:
    """A table with an index that pandas computes, as Dask's; without a way to compute it, as Modin's."""

    def __init__(self, frame, computes):
        self.frame, self.index, self.reset_index = frame, frame.index, frame.reset_index
        self.columns = frame.columns
        if computes:
            self.compute = lambda: frame

    def __getitem__(self, name):
        return self.frame[name].to_numpy()


class Relation:
    """What has names of columns and gives Arrow's stream, as a DuckDB relation; its columns are none."""

    def __init__(self, table):
        self.table, self.columns = table, table.column_names

    def __getitem__(self, name):
        return self

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def tables():
    """The same table in every form that can be had here, by name."""
    found = {
        "pandas": PANDAS,
        "index": PANDAS.set_index("id"),
        "shuffled": PANDAS.iloc[[3, 1, 0, 2]],
        "nullable": PANDAS.convert_dtypes(),
        "objects": PANDAS.astype(object),
        "dict": DICT,
        "arrays": {name: PANDAS[name].to_numpy() for name in PANDAS},
        "categories": PANDAS.astype({"text": "category"}),
        "computed": Partitioned(PANDAS.set_index("id"), computes=True),
        "partitioned": Partitioned(PANDAS.set_index("id"), computes=False),
    }
    try:
        import polars as pl
        import pyarrow as pa
        import pyarrow.dataset
    except ImportError:
        return found
    arrow = pa.Table.from_pandas(PANDAS, preserve_index=False)
    polars = pl.from_arrow(arrow)
    found |= {
        "arrow": arrow,
        "arrow with an index": pa.Table.from_pandas(PANDAS.set_index("id")),
        "batch": arrow.to_batches()[0],
        "relation": Relation(arrow),
        "dataset": pa.dataset.dataset(arrow),
        "dictionary": arrow.set_column(1, "text", arrow["text"].dictionary_encode()),
        "pandas on arrow": arrow.to_pandas(types_mapper=pd.ArrowDtype),
        "dict of arrow": {name: arrow[name] for name in arrow.column_names},
        "polars": polars,
        "lazy": polars.lazy(),
        "polars categories": polars.with_columns(pl.col("text").cast(pl.Categorical)),
        "dict of polars": {name: polars[name] for name in polars.columns},
    }
    return found


@pytest.mark.parametrize("computes", [True, False])
def test_rows_of_other_libraries_are_found_by_their_index(computes):
    frame = pd.DataFrame({"n": [20, 0, 10]}, index=[2, 0, 1])
    rows = aligned_frame(Partitioned(frame, computes), None, np.ones(3, bool), "f", None)
    assert rows["n"].tolist() == [0, 10, 20]


def test_what_can_be_read_only_once_is_no_table_of_features():
    pa = pytest.importorskip("pyarrow")
    reader = pa.table({"n": [1, 2]}).to_reader()
    message = "f must be a table, got a RecordBatchReader, which can be read only once: .* read_all"
    with pytest.raises(TypeError, match=message):
        align(reader, None, np.ones(2, bool), "f", "n")


@pytest.fixture(scope="module")
def expected():
    aligned = align(PANDAS, IDS, ALL, "f", "id")
    encoding = learn_encoding(aligned, np.arange(4), "f")
    return encoding, encode(encoding, aligned, "f").toarray()


TABLES = tables()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", TABLES)
def test_the_same_table_in_every_form_is_encoded_alike(form, expected):
    table, (encoding, rows) = TABLES[form], expected
    assert is_table(table)
    aligned = align(table, IDS, ALL, "f", "id")
    assert learn_encoding(aligned, np.arange(4), "f") == encoding
    np.testing.assert_array_equal(encode(encoding, aligned, "f").toarray(), rows)
    order = [1, 2, 0, 3] if form != "shuffled" else [3, 2, 1, 0]
    np.testing.assert_array_equal(encode(encoding, table, "f").toarray(), rows[order])


def test_rows_that_a_table_lacks_are_missing_and_columns_keep_their_kind():
    frame = pd.DataFrame({"id": [3, 1], "flag": [True, False], "n": [5, 7]})
    used = np.array([False, True, False, True])
    aligned = aligned_frame(frame, None, used, "f", "id")
    assert list(aligned) == ["flag", "n"] and aligned["n"].tolist()[1::2] == [7, 5]
    encoding = learn_encoding(aligned, np.flatnonzero(used), "f")
    assert [each["kind"] for each in encoding["columns"]] == ["flag", "number"]
    assert encode(encoding, aligned, "f").toarray().tolist() == [[0, 0], [0, 1], [0, 0], [1, -1]]


def test_whole_numbers_of_128_bits_are_numbers():
    polars = pytest.importorskip("polars")
    if not hasattr(polars, "Int128"):
        pytest.skip("an old polars")
    frame = polars.DataFrame({"a": [1, 5, 7]}, schema={"a": polars.Int128})
    assert as_frame(frame, "f")["a"].tolist() == [1, 5, 7]
    assert as_frame(frame, "f")["a"].dtype.kind == "i"


@pytest.mark.parametrize("dtype", [">i8", ">f4"])
def test_the_byte_order_of_a_table_means_nothing(dtype):
    keys = np.array([3, 1, 2], dtype)
    by_column = {"id": keys, "x": keys}, "id"
    by_index = pd.DataFrame({"x": keys}, index=pd.Index(keys)), None
    for frame, id in (by_column, by_index):
        found = aligned_frame(frame, np.array([1, 2, 3]), np.ones(3, bool), "user_features", id)
        assert found["x"].tolist() == [1, 2, 3]


def test_ids_that_are_rounded_in_a_table_are_refused():
    frame = pd.DataFrame({"id": [2.0**60, 7.0], "x": [1, 2]})
    ids = np.array([2**60 + 1, 7])
    with pytest.raises(
        ValueError, match=r"column 'id' of f must not be floats of 2\*\*53 or beyond"
    ):
        aligned_frame(frame, ids, np.ones(2, bool), "f", "id")


def test_a_missing_id_in_the_index_is_refused():
    table = pd.DataFrame({"a": [1, 2, 3]}, index=["x", None, "y"])
    with pytest.raises(ValueError, match="the index of f has a missing id at position 1"):
        aligned_frame(table, np.array(["x", "y"]), ALL[:2], "f", None)


def test_a_missing_date_is_named_as_a_date():
    days = np.array(["2024-01-05", "2024-01-06"], "M8[ns]")
    table = pd.DataFrame({"a": [1]}, index=days[:1])
    with pytest.raises(ValueError, match=r"the first is (np|numpy).datetime64\('2024-01-06"):
        aligned_frame(table, days, ALL[:2], "f", None)


@pytest.mark.parametrize("dtype", ["M8[D]", "m8[D]"])
def test_what_pandas_cannot_hold_is_told_with_its_column(dtype):
    with pytest.raises(
        ValueError, match="^column 'd' of T has a date or duration that pandas cannot"
    ):
        as_frame({"d": np.array([2**60], dtype)}, "T")


def test_a_table_without_an_index_is_in_order_where_there_are_no_ids():
    assert aligned_frame({"a": [1, 2]}, None, ALL[:2], "f", None)["a"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="f must have 4 rows, got 2, or a column of row numbers"):
        aligned_frame({"a": [1, 2]}, None, ALL, "f", None)


@pytest.mark.parametrize(
    ("table", "id", "message"),
    [
        (
            {"a": [1, 2, 3, 4]},
            None,
            "item_features has no index to find the ids of X in: name the column .* item_id='...'",
        ),
        (DICT, None, "name the column that holds them, item_id='id'"),
        (PANDAS, None, r"4 are missing from its index, .* 'c'; column 'id' holds .* item_id='id'"),
        (PANDAS, "sku", r"item_features has no column 'sku', its columns are \['id', 'text'"),
        (PANDAS[:3], "id", "1 are missing from its column 'id', the first is 'd'"),
        (PANDAS.iloc[[0, 1, 2, 3, 0]], "id", "one row per id, got 'a' twice in its column 'id'"),
        (PANDAS.assign(id=["a", None, "c", "d"]), "id", "'id' of item_features has a missing id at"),
        (pd.concat([PANDAS, PANDAS], axis=1), "id", "more than one column of the name 'id'"),
        ({"id": list("abcd"), "a": [1]}, "id", "columns of one length, got {'id': 4, 'a': 1}"),
        ({"id": list("abcd"), "a": "abcd"}, "id", "'a' of item_features must be a sequence of"),
        ({"id": list("abcd"), "a": {1, 2, 3, 4}}, "id", "but a set has no order"),
        ({"id": list("abcd"), "a": np.ones((4, 2))}, "id", r"one-dimensional, got shape \(4, 2\)"),
        ({"id": list("abcd"), ("a", "b"): [1] * 4}, "id", "strings for names, got .'a', 'b'."),
        (np.ones((4, 2)), "id", "item_id must be None, for item_features has no columns with names"),
    ],
)  # fmt: skip
def test_what_is_said_where_rows_cannot_be_found(table, id, message):
    with pytest.raises((ValueError, TypeError), match=message):
        align(table, IDS, ALL, "item_features", id)


def test_ids_of_rows():
    def listed(*arguments):
        found = ids_of_rows(*arguments)
        return found if found is None else found.tolist()

    assert listed(PANDAS, 4, "f", None) is None  # its index only counts
    assert listed(PANDAS, 4, "f", "id") == list("abcd")
    assert listed(PANDAS.set_index("id"), 4, "f", None) == list("abcd")
    assert listed(PANDAS.set_index("id"), 4, "f", "id") == list("abcd")
    assert listed(DICT, 4, "f", None) is None
    assert listed(DICT, 4, "f", "id") == list("abcd")
    assert listed(np.ones((2, 3)), 2, "f", None) is None
    assert listed(np.ones((2, 3)), 2, "f", [7, "x"]) == [7, "x"]
    with pytest.raises(ValueError, match="one id for each of the 2 rows of f, got 3"):
        ids_of_rows(np.ones((2, 3)), 2, "f", [1, 2, 3])
    with pytest.raises(
        ValueError, match="id must be the 2 ids, for f has no column of the name 'a'"
    ):
        ids_of_rows(np.ones((2, 3)), 2, "f", "a")


@pytest.mark.parametrize(
    "kind", [each for each in ("dict", "pandas", "arrow", "polars", "lazy") if each in TABLES]
)
def test_a_missing_column_of_ids_is_told_with_those_that_there_are(kind):
    message = r"f has no column 'sku', its columns are \['id', 'text', 'number'"
    with pytest.raises(ValueError, match=message):
        ids_of_rows(TABLES[kind], 4, "f", "sku")


def test_only_the_columns_that_are_needed_are_read():
    table = {"a": [1, 2], "b": {1, 2}}
    assert list(as_frame(table, "f", ["a"])) == ["a"]


def test_an_index_that_only_counts_beside_a_column_of_ids_is_warned_of():
    frame = pd.DataFrame({"id": [1, 2, 3, 4], "kind": ["a", "b", "a", "b"], "flag": [1, 2, 3, 3]})
    ids, used = np.array([1, 2, 3]), np.ones(3, bool)
    with pytest.warns(UserWarning, match="column 'id' holds ids, too: give item_id='id', or name"):
        found = aligned_frame(frame, ids, used, "item_features", None)
    assert found["kind"].tolist() == ["b", "a", "b"]
    for table, id in (
        (frame, "id"),
        (frame.set_index("id"), None),
        (frame.rename_axis("item"), None),
        (frame.drop(columns="id"), None),
        (frame.assign(id=range(4)), None),
        (frame.assign(id=pd.array(range(4), dtype="Int64")), None),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            aligned_frame(table, ids, used, "item_features", id)
