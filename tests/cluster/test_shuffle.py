"""Events brought to blocks of users by many workers are what one machine reads, whatever the pieces are."""

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from cluster.here import Here
from tiers import quick
from tripletrec.cluster.events import EventsSource
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.pieces import pieces_of
from tripletrec.cluster.shuffle import deal_out, find_ids, rows_of, shuffle
from tripletrec.cluster.sources import InteractionsSource
from tripletrec.models.percentile_rank import percentile_rank
from tripletrec.training.dealing import deal

pytest.importorskip("pyarrow", reason="reads parquet")
pytest.importorskip("fsspec", reason="reads what is behind a URL")

NAMES = {"user": "user", "item": "item"}


def frame_of(rng, n, text=False, values=False):
    frame = pd.DataFrame({"user": rng.integers(5, 60, n), "item": rng.integers(0, 30, n)})
    if text:
        frame["user"] = "u" + frame["user"].astype(str)
    if values:
        frame["value"] = rng.integers(0, 4, n).astype(np.float64)
    return frame


def write(frame, folder, n_files):
    folder.mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), n_files)):
        frame.iloc[part].to_parquet(folder / f"{number}.parquet", row_group_size=40)
    return folder


def blocks_of(source, names, n_blocks=4, **options):
    """Shuffle a source, and return what was found and the rows of each block."""
    found = shuffle(pieces_of(source, names), names, Here(), **options)
    ranking = np.argsort(-found.user_counts, kind="stable").astype(np.int32)
    users = deal(ranking, n_blocks, np.uint64(3))
    return found, users, deal_out(found, users, Here(), lambda block, rows: (block, rows))


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("n_files", quick([1, 5], 5))
def test_blocks_hold_what_is_read_in_memory(text, n_files, rng, tmp_path):
    frame = frame_of(rng, 500, text, values=True)
    names = {**NAMES, "value": "value"}
    source = write(frame, tmp_path / "events", n_files)
    data = tr.Interactions.read(source, user="user", item="item", value="value")
    found, users, blocks = blocks_of(source, names)
    np.testing.assert_array_equal(found.users.values, data.user_ids)
    np.testing.assert_array_equal(found.items.values, data.item_ids)
    np.testing.assert_array_equal(found.user_counts, np.diff(data.indptr))
    np.testing.assert_array_equal(
        found.item_counts, np.bincount(data.indices, minlength=data.n_items)
    )
    assert found.n_merged == data.n_merged
    for block, rows in blocks:
        own = np.flatnonzero(users.block_of == block)
        np.testing.assert_array_equal(rows.users, own)
        for place, user in enumerate(own):
            mine = slice(*rows.indptr[place : place + 2])
            theirs = slice(*data.indptr[user : user + 2])
            np.testing.assert_array_equal(rows.indices[mine], data.indices[theirs])
            np.testing.assert_array_equal(rows.values[mine], data.values[theirs])


def test_neither_files_nor_their_order_matter(rng, tmp_path):
    frame = frame_of(rng, 400)
    shuffled = frame.sample(frac=1, random_state=1)
    results = [
        blocks_of(write(each, tmp_path / name, n_files), NAMES)[2]
        for name, each, n_files in (("a", frame, 1), ("b", shuffled, 7))
    ]
    for (_, one), (_, other) in zip(*results, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("duplicates", quick(["max", "last", "first", "count"], "max", "last"))
def test_duplicates_are_merged_as_in_memory(duplicates, rng, tmp_path):
    frame = frame_of(rng, 300, values=True)
    frame["time"] = rng.permutation(len(frame))
    names = {**NAMES, "value": "value", "timestamp": "time"}
    source = write(frame, tmp_path / "events", 3)
    data = tr.Interactions.read(
        source, user="user", item="item", value="value", timestamp="time", duplicates=duplicates
    )
    _, users, blocks = blocks_of(source, names, duplicates=duplicates)
    values = np.zeros(data.space.shape, np.float32)
    for _, rows in blocks:
        values[np.repeat(rows.users, np.diff(rows.indptr)), rows.indices] = rows.values
    np.testing.assert_array_equal(values, data.tocsr().toarray())


def test_a_dask_frame_is_a_source(rng, tmp_path):
    dask_frames = pytest.importorskip("dask.dataframe", reason="it is Dask's")
    frame = frame_of(rng, 300, text=True)
    partitions = dask_frames.from_pandas(frame, npartitions=4)
    pieces = [each.compute() for each in pieces_of(partitions, NAMES)]
    found = shuffle(pieces, NAMES, Here())
    data = tr.Interactions.from_frame(frame, user="user", item="item")
    np.testing.assert_array_equal(found.users.values, data.user_ids)
    np.testing.assert_array_equal(found.user_counts, np.diff(data.indptr))


def test_what_cannot_be_read_is_refused(rng, tmp_path):
    source = write(frame_of(rng, 100), tmp_path / "events", 2)
    with pytest.raises(ValueError, match="'shop'"):
        pieces_of(source, {"user": "shop", "item": "item"})
    with pytest.raises(
        TypeError, match="source must be a path or URL of parquet, a Dask DataFrame"
    ):
        pieces_of(3, NAMES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no file of the format"):
        pieces_of(tmp_path / "empty", NAMES)
    with pytest.raises(FileNotFoundError, match="has no file of the format .parquet"):
        pieces_of(f"file://{tmp_path}/empty", NAMES)
    frame_of(rng, 50, text=True).to_parquet(source / "9.parquet")
    with pytest.raises(TypeError, match="column 'user' must be of one type in all files, got"):
        pieces_of(source, NAMES)
    (source / "9.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"9.parquet' is damaged, or no parquet file"):
        pieces_of(source, NAMES)
    none = write(frame_of(rng, 0), tmp_path / "none", 1)
    with pytest.raises(ValueError, match="source has no rows"):
        shuffle(pieces_of(none, NAMES), NAMES, Here())


def test_partitions_of_several_types_are_refused(rng):
    pieces = [frame_of(rng, 50), frame_of(rng, 50, text=True)]
    with pytest.raises(TypeError, match="column 'user' must be of one type in all of source, got"):
        shuffle(pieces, NAMES, Here())


class Quiet(Here):
    """Tasks that may not raise: a worker would print where."""

    def submit(self, function, *arguments):
        try:
            return super().submit(function, *arguments)
        except Exception as error:
            pytest.fail(f"a task raised {error!r}")


def test_what_is_missing_is_said_without_what_a_cluster_does_not_have(tmp_path):
    frame = pd.DataFrame({"user": ["a", "b", None], "item": ["x", "y", "x"], "v": [1, 2, 3]})
    source = write(frame, tmp_path / "events", 1)
    with pytest.raises(ValueError, match="column 'user' has a missing id at position 2") as info:
        shuffle(pieces_of(source, NAMES), NAMES, Quiet())
    assert str(info.value).endswith(", and 1 in all: write source without such rows")
    with pytest.raises(TypeError, match="values of column 'item' must be numbers, got 'x'"):
        names = {"user": "v", "item": "item", "value": "item"}
        shuffle(pieces_of(source, names), names, Quiet())


@pytest.mark.parametrize(
    "value, what",
    [
        (np.nan, "the value nan at position 2, and 1 in all: write source without such rows"),
        (np.inf, "the value inf at position 2"),
        (-1.0, "the negative value -1.0 at position 2: what users dislike"),
        (1e300, "beyond float32 the value 1e+300 at position 2"),
    ],
)
def test_values_are_checked_in_the_first_reading(value, what, rng, tmp_path):
    """The sentence names the file, or the partition, and the column."""
    frame = frame_of(rng, 300, values=True).rename(columns={"value": "v"})
    frame.loc[152, "v"] = value
    names = {**NAMES, "value": "v"}
    path = write(frame, tmp_path / "events", 2) / "1.parquet"
    for pieces, where in (
        (pieces_of(path.parent, names), repr(str(path))),
        ([frame[:150], frame[150:]], "partition 1 of source"),
    ):
        with pytest.raises(ValueError) as info:
            shuffle(pieces, names, Quiet())
        said = f"{where}: column 'v' must hold finite values >= 0, got {what}"
        assert str(info.value).startswith(said)
        shuffle(pieces, names, Quiet(), duplicates="count")


def test_rows_of_some_users(rng, tmp_path):
    source = write(frame_of(rng, 400), tmp_path / "events", 3)
    data = tr.Interactions.read(source, user="user", item="item")
    found = shuffle(pieces_of(source, NAMES), NAMES, Here())
    for users in ([], [3], [0, 7, 8, 41], range(data.n_users)):
        indptr, indices = rows_of(found, np.array(users, np.int64), Here())
        rows = [indices[a:b].tolist() for a, b in zip(indptr[:-1], indptr[1:], strict=True)]
        assert rows == [data.indices[data.indptr[u] : data.indptr[u + 1]].tolist() for u in users]


def test_a_url_is_a_source(rng, tmp_path):
    source = write(frame_of(rng, 100), tmp_path / "events", 3)
    assert len(pieces_of(f"file://{source}", NAMES)) == len(pieces_of(source, NAMES))
    assert len(pieces_of(f"file://{source}/1.parquet", NAMES)) == 1


@pytest.mark.parametrize("how", quick(["plain", "weighted", "graded"], "plain", "graded"))
def test_blocks_are_written_as_those_of_interactions(how, rng, tmp_path):
    names = {**NAMES, "value": "value"}
    source = write(frame_of(rng, 400, values=True), tmp_path / "events", 3)
    data = tr.Interactions.read(source, user="user", item="item", value="value")
    weighted, graded = how == "weighted", how == "graded"
    folders = [Folder(tmp_path / name) for name in ("one", "other")]
    sources = [
        EventsSource(source, names, Here(), weighted=weighted),
        InteractionsSource(data, data.values if weighted else None),
    ]
    for folder, each in zip(folders, sources, strict=True):
        counts = each.count()[0].counts
        users = deal(np.argsort(-counts, kind="stable").astype(np.int32), 4, np.uint64(3))
        for first, last in zip(users.bounds[:-1], users.bounds[1:], strict=True):
            users.order[first:last].sort()
        rank = percentile_rank(data.indptr, data.indices)
        assert each.facts() == (None, weighted, True, rank)
        each.write_blocks(folder, users, graded=graded)
    assert folders[0].names("blocks") == folders[1].names("blocks")
    for name in folders[0].names("blocks"):
        mine, theirs = (each.read_arrays(f"blocks/{name}") for each in folders)
        mine.pop("values")
        assert mine.keys() == theirs.keys()
        for key, array in mine.items():
            np.testing.assert_array_equal(array, theirs[key], err_msg=key)


def entries_of(source, **options):
    return EventsSource(source, NAMES, Here(), **options).entries()["source"].tobytes()


def test_entries_tell_sources_apart(rng, tmp_path):
    """Also of files of one size, and behind a URL."""
    frame = frame_of(rng, 300)
    swapped = frame.copy()
    frame.loc[:1, ["user", "item"]] = [[5, 3], [59, 4]]
    swapped.loc[:1, ["user", "item"]] = [[5, 4], [59, 3]]
    a, b, c = (
        write(each, tmp_path / name, 2)
        for name, each in (("a", frame), ("b", swapped), ("c", frame[:260]))
    )
    entries = [entries_of(each) for each in (a, b, c, f"file://{b}", f"file://{c}")]
    entries += [entries_of(a, **each) for each in ({"duplicates": "max"}, {"weighted": True})]
    assert entries[1:3] == entries[3:5] and len(set(entries)) == 5
    with_values = EventsSource(
        write(frame.assign(value=2.0), tmp_path / "v", 1), {**NAMES, "value": "value"}, Here()
    )
    assert with_values.entries()["source"].tobytes() not in entries


@pytest.mark.parametrize("text", [False, True])
def test_entries_are_the_same_of_the_same_rows(text, rng, tmp_path):
    dask_frames = pytest.importorskip("dask.dataframe", reason="it is Dask's")
    frame = frame_of(rng, 300, text)
    if text:
        frame.loc[0, "user"] = "ü" * 20
    other = frame.sample(frac=1, random_state=2)
    sources = [
        write(frame, tmp_path / "a", 1),
        write(other, tmp_path / "b", 5),
        dask_frames.from_pandas(other, npartitions=3, sort=False),
    ]
    assert len({entries_of(each) for each in sources}) == 1
    other.iloc[7, 1] += 1
    assert entries_of(dask_frames.from_pandas(other, npartitions=3)) != entries_of(sources[0])


def test_ids_that_look_alike_are_told_apart():
    columns = [np.array([0, 1]).astype(kind) for kind in (np.int64, bool, np.float64, str)]
    columns.append(pd.Series(["\ud800", "b"], dtype=object))  # half a surrogate pair
    frames = [pd.DataFrame({"user": each, "item": [1, 0]}) for each in columns]
    assert len({find_ids([each], NAMES, Here()).digest for each in frames}) == len(frames)
