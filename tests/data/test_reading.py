"""Files of parquet and of matrices: the same interactions as of the table, or one sentence."""

import subprocess
import sys
import uuid
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tripletrec.data.interactions import Interactions
from tripletrec.datasets import make_events

NAMES = {"user": "user_id", "item": "item_id"}
DATES = {**NAMES, "value": "price", "timestamp": "time"}


@pytest.fixture(scope="module")
def events():
    return make_events(60, 40, 900, random_state=0).events


def same(some, others):
    assert some.space.shape == others.space.shape and some.n_merged == others.n_merged
    for name in ("user_ids", "item_ids", "indptr", "indices", "values", "timestamps"):
        np.testing.assert_array_equal(getattr(some, name), getattr(others, name))
        assert getattr(some, name).dtype == getattr(others, name).dtype


def parquet(path, frame, **options):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame)
    pq.write_table(table, path, **options)
    return path


@pytest.mark.parametrize(
    "options",
    [{}, {"row_group_size": 100}, {"use_dictionary": False}, {"compression": "gzip", "version": "1.0"},
     {"row_group_size": 50, "dictionary_pagesize_limit": 100}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("duplicates", ["sum", "last", "count"])
def test_one_file(tmp_path, events, options, duplicates):
    path = parquet(tmp_path / "events.parquet", events, **options)
    table = Interactions.from_frame(events, **DATES, duplicates=duplicates)
    same(Interactions.read(path, **DATES, duplicates=duplicates), table)
    same(Interactions.read(str(path), **DATES, duplicates=duplicates), table)


def test_files_of_different_writers(tmp_path, events):
    """Categories, long texts, other units, files without rows, columns in another order."""
    pa = pytest.importorskip("pyarrow")
    cuts = [events[start : start + 225] for start in range(0, 900, 225)]
    parquet(tmp_path / "0.parquet", cuts[0])
    parquet(tmp_path / "1.parquet", cuts[1].astype({"user_id": "category"})[::-1][::-1])
    long = pa.Table.from_pandas(cuts[2]).select(["price", "time", "item_id", "user_id"])
    parquet(
        tmp_path / "2.parquet",
        long.set_column(3, "user_id", long["user_id"].cast(pa.large_string())),
    )
    parquet(tmp_path / "3.parquet", cuts[3].assign(time=cuts[3]["time"].dt.as_unit("ns")))
    parquet(tmp_path / "4.parquet", events[:0])
    parquet(tmp_path / "5.parquet", pd.DataFrame({name: [] for name in events}, dtype=object))
    table = Interactions.from_frame(events, **DATES)
    for path in (tmp_path, f"{tmp_path}/*.parquet"):
        same(Interactions.read(path, **DATES), table)


def test_names_of_folders_are_columns(tmp_path, events):
    events = events[events["time"] < events["time"].min() + pd.Timedelta("8D")]
    for number, (day, part) in enumerate(events.groupby(events["time"].dt.strftime("%Y-%m-%d"))):
        place = tmp_path / "log" / f"day={day}" / f"shard={number % 3:02}" / "0.parquet"
        parquet(place, part.drop(columns="time"))
    data = Interactions.read(tmp_path / "log", **NAMES, timestamp="day", duplicates="last")
    table = events.assign(time=events["time"].dt.floor("D"))
    same(data, Interactions.from_frame(table, **NAMES, timestamp="time", duplicates="last"))
    shards = Interactions.read(tmp_path / "log", user="shard", item="item_id", value="price")
    assert shards.user_ids.tolist() == ["00", "01", "02"]
    one = Interactions.read(f"{tmp_path}/log/day=*/shard=00", item="item_id", user="shard",
                            value="shard")  # fmt: skip
    assert one.user_ids.tolist() == ["00"] and len(one) == 0
    with pytest.raises(ValueError, match="values of column 'day' must be numbers"):
        Interactions.read(tmp_path / "log", **NAMES, value="day")
    with pytest.raises(
        ValueError, match="0.parquet' has no column 'hour': its columns are .*'day'"
    ):
        Interactions.read(tmp_path / "log", **NAMES, timestamp="hour")
    late = 1_700_000_000_000_000_001
    parquet(tmp_path / "late" / f"time={late}" / "0.parquet", events[:3].drop(columns="time"))
    whole = Interactions.read(tmp_path / "late", **NAMES, timestamp="time")
    assert set(whole.timestamps.tolist()) == {late}
    parquet(tmp_path / "log" / "day=__HIVE_DEFAULT_PARTITION__" / "1.parquet", events[:3])
    with pytest.raises(ValueError, match="column 'day' has a missing value: there is a folder"):
        Interactions.read(tmp_path / "log", **NAMES, timestamp="day")
    parquet(tmp_path / "log" / "2.parquet", events.assign(day=1))
    with pytest.raises(
        ValueError, match="column 'day' must be in all files or in the names of all"
    ):
        Interactions.read(tmp_path / "log", **NAMES, timestamp="day")


@pytest.mark.parametrize(
    "ids",
    [[3, 1, 2], ["b", "a", "007"], [2.5, 1.0, 3.0], [True, False, True], [b"b", b"a\0", b""],
     pd.to_datetime(["2024-01-03", "2024-01-01", "2024-01-02"]), np.array([2**63, 1, 2], np.uint64),
     pd.Categorical([5, 3, 5], categories=[9, 5, 3]), pd.Categorical(["z", "y", "z"])],
    ids=lambda ids: str(ids)[:20],
)  # fmt: skip
def test_ids_keep_their_type(tmp_path, ids):
    frame = pd.DataFrame({"user": ids, "item": [1, 2, 3]})
    data = Interactions.read(parquet(tmp_path / "a.parquet", frame))
    table = Interactions.from_frame(frame)
    assert data.user_ids.tolist() == table.user_ids.tolist()
    assert data.user_ids.dtype.kind == table.user_ids.dtype.kind
    np.testing.assert_array_equal(data.tocsr().toarray(), table.tocsr().toarray())


def test_like_and_unknown(tmp_path, events):
    train = Interactions.from_frame(events[:300], **NAMES)
    path = parquet(tmp_path / "a.parquet", events[300:])
    data = Interactions.read(path, **DATES, like=train, unknown="drop")
    table = Interactions.from_frame(events[300:], **DATES, like=train, unknown="drop")
    same(data, table)
    assert data.n_dropped == table.n_dropped > 0 and data.user_ids is train.user_ids
    with pytest.raises(ValueError, match="column '.*_id': unknown (user|item) id '.*unknown="):
        Interactions.read(path, **DATES, like=train)


def test_only_the_named_columns_are_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    n = 20_000
    table = pa.table({"user": ["a"] * n, "item": ["b"] * n, "heavy": ["x" * 999] * n})
    path = parquet(tmp_path / "a.parquet", table, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    heavy = content.index(b"x" * 999)
    content[heavy : heavy + 999_000] = b"\xff" * 999_000  # what is not read does not matter
    path.write_bytes(content)
    assert Interactions.read(path).n_merged == n - 1


def test_other_parquet_files_get_one_sentence(tmp_path, events):
    path = parquet(tmp_path / "a.parquet", events)
    whole = path.read_bytes()
    for damaged in (
        b"",
        b"PAR1",
        whole[:200],
        whole[:-9],
        whole[:500] + b"\xff" * 900 + whole[1400:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="a.parquet' is damaged, or no parquet file"):
            Interactions.read(path, **DATES)
    parquet(path, events)
    parquet(tmp_path / "b.parquet", events.assign(user_id=range(900)))
    with pytest.raises(TypeError, match="column 'user_id' must be of one type in all files, got"):
        Interactions.read(tmp_path, **NAMES)
    parquet(tmp_path / "b.parquet", events.drop(columns="user_id"))
    with pytest.raises(ValueError, match="b.parquet' has no column 'user_id': its columns are"):
        Interactions.read(tmp_path, **NAMES)
    with pytest.raises(TypeError, match="values of column 'user_id' must be numbers, got '"):
        Interactions.read(path, user="event", item="item_id", value="user_id")


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"")
    code = f"""if 1:
        import sys
        sys.modules["pyarrow"] = None
        from tripletrec import Interactions
        try:
            Interactions.read({str(tmp_path / "a.parquet")!r})
        except ImportError as error:
            print(error)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ("a file of the format parquet needs pyarrow: pip install pyarrow\n")


@pytest.mark.parametrize("format_", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_matrices(tmp_path, format_, kind):
    dense = np.array([[0, 2, 0], [0, 0, 0], [3, 0, 1]])
    sp.save_npz(tmp_path / "x.npz", kind(dense).asformat(format_))
    data = Interactions.read(tmp_path / "x.npz")
    np.testing.assert_array_equal(data.tocsr().toarray(), dense)
    assert data.user_ids is None and data.item_ids is None
    train = Interactions(np.eye(3), user_ids=["a", "b", "c"])
    like = Interactions.read(tmp_path / "x.npz", like=train)
    assert like.user_ids is train.user_ids and len(like) == 3


def test_entries_of_matrices_are_merged(tmp_path):
    sp.save_npz(
        tmp_path / "x.npz", sp.coo_matrix(([1, 5, 2], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    )
    data = Interactions.read(tmp_path / "x.npz", duplicates="max")
    assert data.values.tolist() == [5, 2] and data.n_merged == 1
    counted = Interactions.read(tmp_path / "x.npz", duplicates="count")
    assert counted.values.tolist() == [2, 1]


def test_other_matrices_get_one_sentence(tmp_path):
    path = tmp_path / "x.npz"
    sp.save_npz(path, sp.csr_matrix(np.eye(2)))
    whole = path.read_bytes()
    for options in ({"value": "v"}, {"timestamp": "t"}, {"user": "user_id"}):
        with pytest.raises(ValueError, match="a .npz file holds a matrix without columns"):
            Interactions.read(path, **options)
    with pytest.raises(ValueError, match="must have the 3 users and 3 items of like, got"):
        Interactions.read(path, like=Interactions(np.eye(3)))
    sp.save_npz(tmp_path / "y.npz", sp.csr_matrix(np.eye(2)))
    with pytest.raises(ValueError, match="path must lead to one .npz file"):
        Interactions.read(tmp_path)
    np.savez(path, a=np.eye(2))
    contents = [
        path.read_bytes(),
        b"",
        b"PK",
        whole[:-30],
        whole[:100] + b"\xff" * 60 + whole[160:],
    ]
    encrypted = bytearray(whole)
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # where the flags of a member are
        encrypted[encrypted.index(mark) + place] |= 1
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format.npy", b"\x93NUMPY\1\0\2\0((")
    contents += [bytes(encrypted), path.read_bytes()]
    np.savez(path, format=np.array(["csr"], object), x=np.array([uuid.UUID(int=1)], object))
    for content in [path.read_bytes(), *contents]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.npz' is damaged, or no matrix|must "):
            Interactions.read(path)


@pytest.mark.parametrize("ending", ["csv", "parquet", "map"])
def test_values_are_not_read_where_events_are_counted(ending, tmp_path):
    """Whatever they are, in whichever file; but their column must be there."""
    for number, values in enumerate(([True, False], [3, 4], ["x", None])):
        frame = pd.DataFrame({"user": [1, 2], "item": [number, 1], "v": values})
        path = tmp_path / "log" / f"{number}.{ending}"
        path.parent.mkdir(exist_ok=True)
        if ending == "csv":
            frame.to_csv(path, index=False)
        else:
            parquet(path.with_suffix(".parquet"), frame)
    where = {"memory_map": tmp_path / "map"} if ending == "map" else {}
    data = Interactions.read(tmp_path / "log", value="v", duplicates="count", **where)
    assert data.tocsr().toarray().tolist() == [[1, 1, 1], [0, 3, 0]]
    with pytest.raises(ValueError, match="has no column 'w': its columns are"):
        Interactions.read(tmp_path / "log", value="w", duplicates="count", **where)
