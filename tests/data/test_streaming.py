"""Files larger than memory: the same interactions as in memory, the same sentences, nothing left behind."""

import os
import re
import signal
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from data.equality import same
from tiers import quick
from tripletrec.data.interactions import Interactions
from tripletrec.data.paths import find_files
from tripletrec.data.streaming import StreamSizes, stream_to_memory_map
from tripletrec.datasets import make_events

pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


def parquet(path, frame, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame)
    pq.write_table(table, path, **options)
    return path


def streamed(
    path, folder, sizes, like=None, unknown="raise", duplicates="sum", missing="raise", **names
):
    """What `Interactions.read` does with a memory map, in small pieces and runs."""
    names = {"user": "user", "item": "item", **names}
    known = None if like is None else (like._users, like._items)
    files = find_files(path)
    policy = unknown, duplicates, str(path), folder, sizes, missing
    stream_to_memory_map(files, names, known, *policy)
    return Interactions.read(folder)


def ids(rng, n):
    """Some ids of a random kind, most of them there several times."""
    numbers = rng.integers(max(n // 2, 1), size=n) * rng.integers(1, 2**40)
    kinds = [
        lambda: numbers - 5,
        lambda: (numbers % 100).astype(np.int8),
        lambda: numbers.astype(np.uint64) + np.uint64(2**63 - 3),
        lambda: numbers / 4,
        lambda: [f"u{each}" for each in numbers],
        lambda: ["ü" * (1 + each % 50) + "\0" * (each % 2) for each in numbers],
        lambda: pd.Categorical([f"{each}" for each in numbers % 7]),
        lambda: pd.to_datetime(numbers % 10**6, unit="s"),
        lambda: pd.to_datetime(numbers % 10**6, unit="s", utc=True),
        lambda: pd.to_datetime(numbers % 10**6, unit="s").date,
        lambda: [bytes([each % 256, 0]) for each in numbers],
    ]
    return kinds[rng.integers(len(kinds))]()


def values(rng, n):
    numbers = rng.integers(5, size=n)
    kinds = [numbers, numbers > 0, numbers / 3, numbers.astype(np.int8), np.float16(numbers)]
    return [np.ones(n), *kinds][rng.integers(len(kinds) + 1)]


def times(rng, n):
    numbers = rng.integers(9, size=n)
    dates = pd.to_datetime(numbers, unit="h")
    fractions = np.where(rng.random(n) < 0.9, numbers, numbers + 0.5)
    kinds = [numbers, numbers.astype(float), fractions, dates, dates.tz_localize("Asia/Tokyo")]
    return [*kinds, dates.date][rng.integers(len(kinds) + 1)]


def write_in_parts(folder, frame, rng):
    """Write a table to some files, some of them without rows, in groups of rows of any size."""
    cuts = np.sort(rng.integers(len(frame) + 1, size=rng.integers(4)))
    bounds = [0, *cuts, len(frame)]
    whole = pa.Table.from_pandas(frame)
    for number, (first, last) in enumerate(zip(bounds, bounds[1:], strict=False)):
        size = int(rng.integers(1, 9))
        part = whole.slice(first, last - first)
        parquet(folder / f"{number}.parquet", part, row_group_size=size)


@pytest.mark.parametrize("duplicates", ["sum", "max", "last", "first", "count"])
def test_the_same_as_in_memory(tmp_path, rng, duplicates, many):
    for number in range(many(12)):
        n = int(rng.integers(1, 40))
        frame = pd.DataFrame({"user": ids(rng, n), "item": ids(rng, n), "v": values(rng, n)})
        frame["t"] = times(rng, n)
        columns = {"value": "v", "timestamp": "t"}
        names = {role: each for role, each in columns.items() if rng.random() < 0.7}
        write_in_parts(tmp_path / f"{number}", frame, rng)
        sizes = StreamSizes(int(rng.integers(1, 20)), int(rng.integers(1, 20)))
        options = {**names, "duplicates": duplicates}
        whole = Interactions.read(tmp_path / f"{number}", **options)
        mapped = streamed(tmp_path / f"{number}", tmp_path / "map", sizes, **options)
        same(mapped, whole)
        later = pd.DataFrame({"user": frame["user"][: n // 2 + 1], "item": frame["item"][n // 3]})
        train = Interactions.from_frame(later)
        options |= {"like": train, "unknown": "drop"}
        whole = Interactions.read(tmp_path / f"{number}", **options)
        same(streamed(tmp_path / f"{number}", tmp_path / "map", sizes, **options), whole)


def test_what_users_call(tmp_path):
    events = make_events(60, 40, 900, random_state=0).events
    path = parquet(tmp_path / "log" / "a.parquet", events)
    names = {"user": "user_id", "item": "item_id", "value": "price", "timestamp": "time"}
    data = Interactions.read(str(path), **names, memory_map=str(tmp_path / "map"))
    same(data, Interactions.read(path, **names))
    same(Interactions.read(f"{tmp_path}/map"), data)
    assert data.memory_map == tmp_path / "map"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "map"]
    replaced = Interactions.read(path, user="user_id", item="event", memory_map=data.memory_map)
    assert replaced.n_items < 40 and len(data.rows) == len(data)  # what is open stays as it was


def test_names_of_folders_are_columns(tmp_path, rng):
    for number in range(5):
        n = int(rng.integers(1, 5))
        frame = pd.DataFrame({"item": rng.integers(5, size=n)})
        place = tmp_path / "log" / f"day=2024-01-0{number + 1}" / f"user={number % 3:02}"
        parquet(place / "a%20b=" / "0.parquet", frame)
    for names in (
        {"timestamp": "day"},
        {"item": "day"},
        {"item": "a%20b"},
        {"value": "user"},
        {"item": "user", "value": "user", "timestamp": "day"},
    ):
        whole = Interactions.read(tmp_path / "log", **names)
        same(streamed(tmp_path / "log", tmp_path / "map", StreamSizes(3, 3), **names), whole)


def test_decimals_of_a_piece_without_whole_rows(tmp_path):
    prices = pa.array([Decimal("1.5"), Decimal(2), None, None], pa.decimal128(9, 2))
    table = pa.table({"user": [1, 2, 3, 1], "item": [4, 5, 4, 5], "v": prices})
    path, names = parquet(tmp_path / "a.parquet", table), {"value": "v", "missing": "drop"}
    mapped = streamed(path, tmp_path / "map", StreamSizes(2, 2), **names)
    same(mapped, Interactions.read(path, **names))
    assert mapped.values.tolist() == [1.5, 2] and mapped.n_dropped == 2


NUMBERS = {"user": [3, 1, 3, 2, 1], "item": [1, 2, 1, 3, 3], "v": [1.0, 2, 3, 4, 5], "t": range(5)}
WRONG = {
    "user": [3, 1, 2, None, 2],
    "item": ["a", "b", None, "c", "a"],
    "v": [[1.0, 2, 3, -4, 5], [1, 2, np.inf, 3, 4], [1, 2, 3, np.nan, 4], ["a"] * 5, [3e38] * 5],
    "t": [["b"] * 5, [1, 2, 3, np.inf, 4], [1, 2, 3, None, 4], pd.to_datetime([0, 1, 2, None, 3])],
}


@pytest.mark.parametrize(
    "column, wrong",
    [("user", WRONG["user"]), ("item", WRONG["item"]), ("item", [1.5, 2.0, 3.5, None, 2.0]),
     *(("v", each) for each in WRONG["v"]), *(("t", each) for each in WRONG["t"])],
    ids=lambda each: str(list(each))[:30],
)  # fmt: skip
def test_wrong_rows_get_the_sentence_that_they_get_in_memory(tmp_path, column, wrong):
    path = parquet(tmp_path / "a.parquet", pd.DataFrame({**NUMBERS, column: wrong}))
    names = {"value": "v", "timestamp": "t"}
    if column == "v" and wrong == [3e38] * 5:
        parquet(path, pd.DataFrame({**NUMBERS, "v": wrong, "user": 2, "item": 3}))
    with pytest.raises((ValueError, TypeError)) as expected:
        Interactions.read(path, **names)
    with pytest.raises(type(expected.value)) as found:
        streamed(path, tmp_path / "map", StreamSizes(2, 2), **names)
    assert re.sub(r"in the first \d rows", "in all", str(found.value)) == str(expected.value)
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("n_at_once, counted", [(2, "2 in the first 4 rows"), (6, "3 in all")])
def test_wrong_rows_are_counted_as_far_as_they_were_read(tmp_path, n_at_once, counted):
    table = {"user": [1, 2, None, None, 3, None], "item": [1] * 6}
    path = parquet(tmp_path / "a.parquet", pa.table(table))
    with pytest.raises(ValueError, match=f"has a missing id at position 2, and {counted}: "):
        streamed(path, tmp_path / "map", StreamSizes(n_at_once, 2))


def test_other_files_get_the_sentence_that_they_get_in_memory(tmp_path):
    log = tmp_path / "log"
    good = pd.DataFrame(NUMBERS)
    parquet(log / "a.parquet", good)
    like = Interactions.from_frame({"user": [1, 2], "item": [1, 2]})
    cases = [
        ({"user": "uid"}, None),
        ({"like": like}, None),
        ({"unknown": "ask"}, None),
        ({}, good.assign(user="x")),
        ({}, good.drop(columns="item")),
        ({"timestamp": "t"}, good.assign(t="2024-01-01")),
        ({}, b"PAR1"),
        ({}, pd.DataFrame({"user": [], "item": []})),
    ]
    for options, other in cases:
        if isinstance(other, bytes):
            (log / "b.parquet").write_bytes(other)
        elif other is not None:
            if not len(other):
                (log / "a.parquet").unlink()
            parquet(log / "b.parquet", other)
        with pytest.raises((ValueError, TypeError)) as expected:
            Interactions.read(log, **options)
        with pytest.raises(type(expected.value)) as found:
            Interactions.read(log, **options, memory_map=tmp_path / "map")
        assert str(found.value) == str(expected.value)
        assert [each.name for each in tmp_path.iterdir()] == ["log"]


def test_all_rows_of_strangers_are_warned_of(tmp_path):
    path = parquet(tmp_path / "a.parquet", pd.DataFrame(NUMBERS))
    like = Interactions.from_frame({"user": ["1"], "item": ["2"]})
    options = {"like": like, "unknown": "drop", "timestamp": "t"}
    with pytest.warns(
        UserWarning, match="all 5 rows of '.*a.parquet' have an unknown user"
    ) as seen:
        data = Interactions.read(path, **options, memory_map=tmp_path / "map")
    assert seen[0].filename == __file__
    with pytest.warns(UserWarning):
        same(data, Interactions.read(path, **options))
    parquet(path, pd.DataFrame(NUMBERS)[:0])
    same(Interactions.read(path, **options, memory_map=tmp_path / "map"),
         Interactions.read(path, **options))  # fmt: skip


def test_folders_that_are_not_written(tmp_path):
    path = parquet(tmp_path / "log" / "a.parquet", pd.DataFrame(NUMBERS))
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("no backup")
    (tmp_path / "file").write_text("")
    for source, folder, message in (
        (path, other, "memory_map must be a new or an empty folder, got .*, which holds something"),
        (path, path.parent, "memory_map must be a new or an empty folder"),
        (path, tmp_path / "file", "memory_map must be a folder, got"),
        (path.parent, path.parent, "memory_map must lie outside of the folder that is read"),
        (path.parent, path.parent / "map", "memory_map must lie outside of the folder that is"),
        (path, "", "memory_map must be the path of a folder, got ''"),
        (path, "a\0b", "memory_map must be the path of a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            Interactions.read(source, memory_map=folder)
    with pytest.raises(TypeError, match="memory_map must be the path of a folder, got 3"):
        Interactions.read(path, memory_map=3)
    with pytest.raises(
        FileNotFoundError, match="memory_map must be in a folder that can be written"
    ):
        Interactions.read(path, memory_map=tmp_path / "no" / "map")
    assert (other / "thesis.txt").read_text() == "no backup"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "log", "other"]
    (tmp_path / "a.csv").write_text("user,item\n1,2\n")
    with pytest.raises(
        ValueError, match="memory_map needs files of the format parquet, got '.*csv'"
    ):
        Interactions.read(tmp_path / "a.csv", memory_map=tmp_path / "map")


def test_too_little_disk_is_told_before(tmp_path, monkeypatch):
    import shutil

    path = parquet(tmp_path / "a.parquet", pd.DataFrame(NUMBERS))
    asked = []

    def usage(folder):
        asked.append(folder)
        return shutil._ntuple_diskusage(10**6, 10**6, 39 if len(asked) == 1 else 90)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    sentence = "needs {} bytes of disk while it is written, and {} are free"
    with pytest.raises(ValueError, match=sentence.format("40", "39")):
        Interactions.read(path, memory_map=tmp_path / "map")
    with pytest.raises(OSError, match=sentence.format("[0-9,]+", "90")):
        Interactions.read(path, memory_map=tmp_path / "map")
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]


def test_files_that_change_meanwhile(tmp_path, monkeypatch):
    from tripletrec.data.memory_mapped import MapWriter

    frame = pd.DataFrame(NUMBERS)
    for other in (frame.assign(user=9), frame[:-1], pd.concat([frame, frame[:1]])):
        path = parquet(tmp_path / "a.parquet", frame)

        class Late(MapWriter):
            def __init__(self, *arguments, other=other, path=path):
                super().__init__(*arguments)
                parquet(path, other)

        monkeypatch.setattr("tripletrec.data.streaming.MapWriter", Late)
        with pytest.raises(ValueError, match="the files were changed while they were read"):
            Interactions.read(path, memory_map=tmp_path / "map")
        assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("number", quick(["SIGINT", "SIGKILL"], "SIGKILL"))
def test_an_interrupted_read_leaves_nothing(tmp_path, number):
    """After a kill, the next one tidies up."""
    path = parquet(tmp_path / "a.parquet", pd.DataFrame(NUMBERS))
    code = f"""if 1:
        import sys, time
        from tripletrec import Interactions
        from tripletrec.data import streaming
        class Slow(streaming.Spill):
            def runs(self):
                for run in super().runs():
                    print("now", flush=True)
                    time.sleep(60)
                    yield run
        streaming.Spill = Slow
        Interactions.read({str(path)!r}, memory_map={str(tmp_path / "map")!r})
        """
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout.readline() == b"now\n"
        assert len(list(tmp_path.iterdir())) == 2
        os.kill(process.pid, getattr(signal, number))
    left = [each.name for each in tmp_path.iterdir() if each.name != "a.parquet"]
    assert len(left) == (number == "SIGKILL") and all(each.startswith(".") for each in left)
    data = Interactions.read(path, memory_map=tmp_path / "map")
    assert len(data) == 4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.parquet", "map"]
