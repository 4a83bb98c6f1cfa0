"""Tables of other libraries: the same interactions whatever gives them, or one sentence."""

import datetime
import subprocess
import sys
import uuid
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.foreign import dictionary_chunks, dictionary_of, in_memory
from tripletrec.data.interactions import Interactions

COLUMNS = {
    "user": ["u2", "u1", "u2", "u2"],
    "item": ["x", "y", "y", "x"],
    "weight": [1.0, 2.0, 3.0, 4.0],
    "time": pd.date_range("2024-01-05", periods=4, tz="Europe/Berlin").as_unit("us"),
    "more": ["a", "b", "c", "d"],
}
ALL = {"value": "weight", "timestamp": "time"}


class Stream:
    """What gives Arrow's stream and nothing else, as a DuckDB relation or a table of Ibis."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Batch:
    def __init__(self, batch):
        self.batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self.batch.__arrow_c_array__(requested_schema)


class Foreign:
    """A table of a library that can only turn it into another."""

    def __init__(self, way, table):
        setattr(self, way, lambda: table)

    columns = property(lambda self: pytest.fail("asked for its columns"))


def table(pa):
    return pa.table(dict(COLUMNS))


def dataset(pa):
    return pytest.importorskip("pyarrow.dataset").dataset(table(pa))


def views(pa):
    try:
        return table(pa).set_column(0, "user", table(pa)["user"].cast(pa.string_view()))
    except (pa.ArrowNotImplementedError, AttributeError):
        pytest.skip("this pyarrow has none")


ARROW = {
    "Table": table,
    "stream": lambda pa: Stream(table(pa)),
    "reader": lambda pa: table(pa).to_reader(max_chunksize=3),
    "batches": lambda pa: table(pa).to_batches(max_chunksize=1),
    "iterator of batches": lambda pa: iter(table(pa).to_batches(max_chunksize=1)),
    "tables": lambda pa: (table(pa)[:1], Stream(table(pa)[1:])),
    "batch": lambda pa: table(pa).combine_chunks().to_batches()[0],
    "foreign batch": lambda pa: Batch(table(pa).combine_chunks().to_batches()[0]),
    "parts of different types": lambda pa: [
        table(pa)[:2].set_column(0, "user", table(pa)["user"][:2].cast(pa.large_string())),
        table(pa)[2:].set_column(2, "weight", table(pa)["weight"][2:].cast(pa.int32())),
    ],
    "dataset": lambda pa: dataset(pa),
    "scanner": lambda pa: dataset(pa).scanner(),
    "to_arrow": lambda pa: Foreign("to_arrow", table(pa)),
    "string views": lambda pa: views(pa),
    "dictionaries in chunks": lambda pa: pa.concat_tables([
        table(pa)[start : start + 2].set_column(
            0, "user", table(pa)["user"][start : start + 2].dictionary_encode()
        )
        for start in (0, 2)
    ]),
}  # fmt: skip


def check(frame):
    data = Interactions.from_frame(frame, **ALL)
    assert data.user_ids.tolist() == ["u1", "u2"] and data.item_ids.tolist() == ["x", "y"]
    assert data.user_ids.dtype.kind == data.item_ids.dtype.kind == "U"
    np.testing.assert_array_equal(data.tocsr().toarray(), [[0, 2], [5, 3]])
    expected = np.array(["2024-01-05T23", "2024-01-07T23", "2024-01-06T23"], "M8[ns]")
    np.testing.assert_array_equal(data.timestamps, expected)
    assert data.n_merged == 1


@pytest.mark.parametrize("kind", ARROW)
def test_whatever_gives_arrow(kind):
    check(ARROW[kind](pytest.importorskip("pyarrow")))


@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy polars", "lazy pandas", "Table"])
def test_wrapped_by_narwhals(kind):
    narwhals = pytest.importorskip("narwhals")
    frame = pd.DataFrame(COLUMNS)
    if "polars" in kind:
        frame = pytest.importorskip("polars").DataFrame({**COLUMNS, "time": list(COLUMNS["time"])})
    elif kind == "Table":
        frame = table(pytest.importorskip("pyarrow"))
    frame = narwhals.from_native(frame)
    check(frame.lazy() if "lazy" in kind else frame)


@pytest.mark.parametrize("way", ["to_pandas", "toPandas", "compute"])
def test_ways_to_pandas(way):
    check(Foreign(way, pd.DataFrame(COLUMNS)))


def test_only_the_named_columns_are_read():
    pa = pytest.importorskip("pyarrow")
    assert in_memory(Stream(table(pa)), ["item", "user"]).column_names == ["user", "item"]
    assert in_memory(dataset(pa), ["item", "user", "user"]).column_names == ["item", "user"]
    for frame in (Stream(table(pa)), dataset(pa)):
        with pytest.raises(
            ValueError, match="frame has no column 'User': its columns are .*'user'"
        ):
            Interactions.from_frame(frame, user="User")
    twice = pa.Table.from_arrays([pa.array([1])] * 3, names=["user", "user", "item"])
    for frame in (twice, Stream(twice), [twice]):
        with pytest.raises(ValueError, match="frame has 2 columns of the name 'user'"):
            Interactions.from_frame(frame)
    lazy = pytest.importorskip("polars").LazyFrame({"user": [1], "item": [2], "more": [3]})
    with pytest.raises(
        ValueError, match=r"no column 'User': its columns are \['user', 'item', 'more'"
    ):
        Interactions.from_frame(lazy, user="User")


def test_a_dictionary_may_hold_more_than_the_rows():
    pa = pytest.importorskip("pyarrow")
    for texts, codes in ((["z", "a", "b", "a"], [1, 2, 3]), (["a", "b"], [0, 1, 0])):
        column = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(texts))
        data = Interactions.from_frame(pa.table({"user": column, "item": [1, 1, 1]}))
        assert data.user_ids.tolist() == ["a", "b"] and data.values.tolist() == [2, 1]


IDS_OF_POLARS = {
    "Object": [uuid.UUID(int=1), uuid.UUID(int=2)],
    "Categorical": ["a", "b"],
    "Date": [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)],
    "Datetime": [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2)],
    "Time": [datetime.time(1), datetime.time(2)],
    "Duration": [datetime.timedelta(1), datetime.timedelta(2)],
}


@pytest.mark.parametrize("dtype", IDS_OF_POLARS)
def test_ids_of_polars(dtype):
    pl, (first, second) = pytest.importorskip("polars"), IDS_OF_POLARS[dtype]
    column = pl.Series([second, first, second], dtype=getattr(pl, dtype))
    data = Interactions.from_frame(pl.DataFrame({"user": column, "item": [1, 1, 1]}))
    assert data.user_ids.tolist() == [first, second] and data.values.tolist() == [1, 2]


class Old:
    """A column of an early polars: its stream is of what the texts are stored as."""

    dtype = "Categorical"

    def __init__(self, texts):
        self.to_arrow = lambda: texts

    def __arrow_c_stream__(self, requested_schema=None):
        raise OSError("Expected 0 buffers for imported type null, ArrowArray struct has 1")


def test_texts_of_an_early_polars_are_read_by_its_own_method():
    pa = pytest.importorskip("pyarrow")
    found = dictionary_of(Old(pa.array(["b", None, "b"])), "user")
    assert found.codes.tolist() == [0, -1, 0] and found.ids.tolist() == ["b"]
    objects = Old(None)
    objects.to_arrow, objects.dtype = lambda: pytest.fail("some versions abort here"), "Object"
    assert dictionary_of(objects, "user") is None


def test_texts_that_an_early_pyarrow_cannot_convert_are_no_dictionary():
    pa = pytest.importorskip("pyarrow", "16")

    class Column:
        type = pa.string_view()

        def cast(self, to):
            raise pa.ArrowNotImplementedError("Unsupported cast from string_view to large_string")

    old = SimpleNamespace(
        ChunkedArray=Column,
        types=pa.types,
        large_string=pa.large_string,
        ArrowNotImplementedError=pa.ArrowNotImplementedError,
    )
    assert dictionary_chunks(Column(), old) is None


def test_missing_texts_are_found():
    pa = pytest.importorskip("pyarrow")
    null = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None]))
    for column in (pa.array(["a", None]), pa.array(["a", None]).dictionary_encode(), null):
        with pytest.raises(ValueError, match="column 'user' has a missing id at position 1"):
            Interactions.from_frame(pa.table({"user": column, "item": [1, 2]}))


def test_texts_of_another_encoding_get_one_sentence():
    pa = pytest.importorskip("pyarrow")
    column = pa.array([b"a", b"\xff"]).view(pa.string())
    with pytest.raises(ValueError, match="column 'user' has texts that are not encoded as UTF-8"):
        Interactions.from_frame(pa.table({"user": column, "item": [1, 2]}))


def test_unknown_texts_are_named():
    pa = pytest.importorskip("pyarrow")
    train = Interactions.from_frame({"user": ["a"], "item": [1]})
    later = pa.table({"user": ["a", "b", "c"], "item": [1, 1, 1]})
    with pytest.raises(ValueError, match="column 'user': unknown user id 'b'.* 2 here"):
        Interactions.from_frame(later, like=train)
    assert Interactions.from_frame(later, like=train, unknown="drop").n_dropped == 2


def test_no_rows():
    pa = pytest.importorskip("pyarrow")
    train = Interactions.from_frame({"user": ["a"], "item": [1]})
    schema = pa.schema({"user": pa.string(), "item": pa.int64()})
    for frame in (schema.empty_table(), pa.table([pa.chunked_array([], f.type) for f in schema],
                                                 schema=schema)):  # fmt: skip
        assert len(Interactions.from_frame(frame, like=train)) == 0
        with pytest.raises(ValueError, match="frame has no rows"):
            Interactions.from_frame(frame)


@pytest.mark.parametrize("frame", [[], (), [1], ["ab"], [[1, 2]], object(), iter([]), 5, "events"])
def test_what_is_no_table_gets_one_sentence(frame):
    with pytest.raises(TypeError, match="frame must be a DataFrame or a dict of columns"):
        Interactions.from_frame(frame)


def test_parts_that_do_not_fit_together():
    pa = pytest.importorskip("pyarrow")
    parts = [pa.table({"user": ["a"], "item": [1]}), pa.table({"user": [1], "item": [1]})]
    with pytest.raises(TypeError, match="the tables of frame do not fit together"):
        Interactions.from_frame(parts)


@pytest.mark.thorough
def test_without_pyarrow_one_sentence_says_what_to_install():
    code = """if 1:
        import sys
        sys.modules["pyarrow"] = None
        from tripletrec import Interactions
        class Stream:
            def __arrow_c_stream__(self, requested_schema=None): pass
        try:
            Interactions.from_frame(Stream())
        except ImportError as error:
            print(error)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ("a table of the type Stream needs pyarrow: pip install pyarrow\n")


def test_a_column_is_no_table():
    pa = pytest.importorskip("pyarrow")
    series = pytest.importorskip("polars").Series(["a"])
    array = pa.array(["a"])
    for frame in (series, array, [array], pa.chunked_array([array])):
        with pytest.raises(TypeError, match="frame must be a (table with a row for|DataFrame or)"):
            Interactions.from_frame(frame)
