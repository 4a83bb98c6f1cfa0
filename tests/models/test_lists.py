"""Lists as tables and files: ids of all kinds, progress; what they hold is in the contract of lists."""

import csv
import datetime
import sys
import time
import uuid

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.data.ids import Ids
from tripletrec.models.lists import Lists

IDS = {
    "short texts": ["a", "b,\n\"c'", "ü\0x"],
    "a long text": ["a", "b" * 100_000, "c"],
    "bytes": [b"a", b"b", b"c"],
    "int8": np.array([5, -3, 2], np.int8),
    "floats": [0.5, -1.0, 2.0],
    "dates": np.array(["2020-01-01", "2021-01-01", "1960-02-03"], "M8[D]"),
    "hours": np.array(["2020-01-01T05", "2021-01-01T06", "1960-02-03T07"], "M8[h]"),
    "nanoseconds": np.array(["2020-01-01", "2021-01-01", "1960-02-03"], "M8[ns]"),
    "hours that passed": np.array([5, 24, -7], "m8[h]"),
    "mixed": ["a", 3, 0.5],
    "UUIDs": [uuid.UUID(int=n) for n in (3, 1, 2)],
}


def lists_of(ids, **options):
    ids = Ids(ids, 3, "item").values
    items = np.array([[2, 0], [1, -1], [0, 1]])
    scores = np.array([[3, 2], [1, -np.inf], [7, 6]], np.float32)
    options = {"batch_size": 2, "verbose": False} | options
    return Lists(
        np.arange(3), 2, lambda places: (items[places], scores[places]), ids, ids, **options
    )


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_ids_keep_their_types(kind, output):
    pytest.importorskip(output)
    from tripletrec.models.lists import frame_of

    lists = lists_of(IDS[kind])
    table = frame_of(lists, output)
    expected = lists.item_ids
    if expected.dtype.kind in "mM":
        expected = expected.astype(f"{expected.dtype.kind}8[us]")

    def plain(each):
        if isinstance(each, datetime.date) and not isinstance(each, datetime.datetime):
            return datetime.datetime(each.year, each.month, each.day)
        return each

    wanted = [plain(each) for each in expected[[2, 0, 1, 0, 1]].tolist()]
    assert [plain(each) for each in table["item"].to_list()] == wanted
    assert table["user"].to_list()[0] == table["user"].to_list()[1]
    assert table["rank"].to_list() == [1, 2, 1, 1, 2]
    assert table["score"].to_list() == [3, 2, 1, 7, 6]
    if kind == "int8":
        assert str(table["item"].dtype).lower() == "int8"
    if kind == "hours that passed":
        assert str(table["item"].dtype).startswith(("Duration", "timedelta64"))


def test_no_date_is_cut_to_microseconds(tmp_path):
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    from tripletrec.models.lists import frame_of, write_lists

    lists = lists_of(np.array([7, 8, 9], "M8[ps]"))
    assert frame_of(lists, "polars")["item"].to_list() == list(lists.item_ids[[2, 0, 1, 0, 1]])
    with pytest.raises(ValueError, match=r"write .csv \(microseconds cannot hold .*\[ps\]"):
        write_lists(lists, tmp_path / "lists.parquet")


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        ([b"a", b"b", b"c"], ["c", "a", "b", "a", "b"]),
        (["a\rx", "b", "c"], ["c", "a\rx", "b", "a\rx", "b"]),
        (["a\udce9", "b", "c"], ["c", r"a\udce9", "b", r"a\udce9", "b"]),
        (IDS["hours"], [f"{day}:00:00" for day in np.array(IDS["hours"], str)[[2, 0, 1, 0, 1]]]),
    ],
    ids=["bytes", "ends of lines", "no UTF-8", "hours"],
)
def test_delimited_text_of_ids_that_need_care(ids, texts, tmp_path):
    from tripletrec.models.lists import write_lists

    assert write_lists(lists_of(ids), tmp_path / "lists.csv") == 5
    with open(tmp_path / "lists.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["user", "item", "rank", "score"]
    assert [row[1] for row in rows] == texts and [row[3] for row in rows] == [
        "3.0", "2.0", "1.0", "7.0", "6.0"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", IDS)
def test_parquet_of_ids_of_any_one_type(kind, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from tripletrec.models.lists import write_lists

    lists, path = lists_of(IDS[kind]), tmp_path / "lists.parquet"
    if kind == "mixed":
        with pytest.raises(ValueError, match="ids must be of one type that Parquet has"):
            write_lists(lists, path)
        assert not list(tmp_path.iterdir())
        return
    try:
        assert write_lists(lists, path) == 5
    except ValueError as error:  # where this version of pyarrow has no type for them
        assert kind == "UUIDs" and "Parquet" in str(error)
        return
    table = parquet.read_table(path).to_pydict()
    assert table["rank"] == [1, 2, 1, 1, 2] and len(set(table["item"])) == 3


def test_a_table_of_nobody_and_of_nothing():
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(np.eye(4))
    for options in ({"users": []}, {"candidates": []}):
        table = model.recommend(output="pandas", **options)
        assert len(table) == 0 and list(table.columns) == ["user", "item", "rank", "score"]


def test_what_is_not_installed_is_said(monkeypatch, tmp_path):
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(np.eye(4))
    for name in ("polars", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="polars, which is not installed: pip install polars"):
        model.recommend(output="polars")
    with pytest.raises(ImportError, match="needs pyarrow: pip install pyarrow"):
        model.recommend_to(tmp_path / "lists.parquet")
    assert not list(tmp_path.iterdir())


def test_progress_is_shown_of_what_takes_long(capfd):
    def rank(places):
        time.sleep(seconds)
        return np.zeros((len(places), 2), np.int64), np.zeros((len(places), 2), np.float32)

    options = {"batch_size": 1, "verbose": True}
    seconds = 0.0
    lists = Lists(np.arange(3), 2, rank, None, None, **options)
    assert lists.all()[0].shape == (3, 2)
    assert capfd.readouterr() == ("", "")  # it was over at once
    seconds = 0.6
    lists.all()
    out, err = capfd.readouterr()
    assert out == "" and "recommending" in err and "3/3" in err


def test_an_interrupted_file_stays_as_it_was(tmp_path):
    from tripletrec.models.lists import write_lists

    path = tmp_path / "lists.csv"
    write_lists(lists_of(None), path)
    before = path.read_bytes()

    def rank(places):
        if places[0]:
            raise KeyboardInterrupt
        return np.zeros((len(places), 2), np.int64), np.zeros((len(places), 2), np.float32)

    lists = Lists(np.arange(3), 2, rank, None, None, batch_size=1, verbose=False)
    with pytest.raises(KeyboardInterrupt):
        write_lists(lists, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("width", "n_at_once"), [(0, 3000), (10, 3000), (1000, 524), (2**20, 1)])
def test_a_block_has_half_a_million_items(width, n_at_once):
    asked = []

    def rank(places):
        asked.append(len(places))
        return np.empty((len(places), 0), np.int64), np.empty((len(places), 0), np.float32)

    lists = Lists(np.arange(3000), width, rank, None, None, batch_size=None, verbose=False)
    next(lists.blocks())
    assert asked == [n_at_once]
