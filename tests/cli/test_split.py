"""``tripletrec split``."""

import errno

import pandas as pd
import pytest

import tripletrec as tr

COLUMNS = {"user": "user_id", "item": "item_id", "timestamp": "time"}


def parts_of(folder, ending="csv"):
    return {path.name.split(".")[0]: path for path in folder.glob(f"*.{ending}")}


def test_parts_are_those_of_time_split(shop, as_json, tmp_path):
    rows = as_json(
        "split", shop / "events.csv", "--test", "14D", "--valid", "7D", "-o", tmp_path / "p"
    )
    events = pd.read_csv(shop / "events.csv", parse_dates=["time"])
    split = tr.splits.time_split(events, "14D", "7D", **COLUMNS)
    parts = parts_of(tmp_path / "p")
    assert [row["part"] for row in rows] == ["train", "valid", "test"] and len(parts) == 3
    for row, whole in zip(rows, split, strict=True):
        frame = pd.read_csv(parts[row["part"]])
        assert list(frame.columns) == ["user", "item", "value", "time"]
        assert frame["user"].tolist() == whole.to_frame()["user"].tolist()
        assert frame["item"].tolist() == whole.to_frame()["item"].tolist()
        assert (row["interactions"], row["dropped"]) == (whole.nnz, whole.n_dropped)


@pytest.mark.parametrize("ending", ["parquet", "tsv.gz"])
def test_formats(ending, shop, command, tmp_path):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    folder = tmp_path / "p"
    assert command("split", shop / "events.csv", "--format", ending, "-o", folder)[0] == 0
    parts = parts_of(folder, ending)
    train = tr.Interactions.read(parts["train"], value="value", timestamp="time")
    assert len(parts) == 3 and train.timestamps.dtype.kind == "M"
    again = tmp_path / "q"  # of the format of the input
    assert command("split", parts["train"], "--valid", "none", "-o", again)[0] == 0
    assert sorted(path.name for path in again.iterdir()) == [f"test.{ending}", f"train.{ending}"]


def test_a_date_and_numbers(shop, as_json, tmp_path):
    rows = as_json("split", shop / "events.csv", "--test", "2024-02-20", "-o", tmp_path)
    times = pd.read_csv(tmp_path / "test.csv")["time"]
    assert times.min() >= "2024-02-20" and len(rows) == 3
    log = tmp_path / "log.csv"
    log.write_text("user,item,time\n" + "".join(f"{n % 3},{n % 4},{n}\n" for n in range(24)))
    as_json("split", log, "--test", "20", "--valid", "none", "-o", tmp_path / "p")
    assert pd.read_csv(tmp_path / "p" / "test.csv")["time"].min() == 20


@pytest.mark.parametrize("by", ["random", "last"])
def test_other_ways(by, shop, as_json, tmp_path):
    """No interaction is in two parts or lost."""
    size = [] if by == "last" else ["--test", "0.2"]
    as_json("split", shop / "events.csv", "--by", by, *size, "-o", tmp_path)
    parts = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("train", "valid", "test")]
    pairs = [pair for part in parts for pair in zip(part["user"], part["item"], strict=True)]
    data = tr.Interactions.read(shop / "events.csv", **COLUMNS)
    assert len(pairs) == len(set(pairs)) == data.nnz
    if by == "last":
        latest = data.to_frame().groupby("user")["timestamp"].max().astype(str)
        assert set(parts[2]["time"]) <= set(latest)


def test_low_values_are_left_out(tmp_path, as_json):
    log = tmp_path / "log.csv"
    rows = [f"{n % 5},{n % 7},{1 + n % 4},{n}\n" for n in range(35)]
    log.write_text("user,item,rating,time\n" + "".join(rows))
    told = as_json("split", log, "--min-value", "3", "-o", tmp_path / "p")
    for row in told:
        assert pd.read_csv(row["file"])["value"].min() >= 3
    assert 0 < sum(row["interactions"] for row in told) <= 20


RATINGS = """user,item,rating,time
a,x,5,1
a,y,5,2
b,x,1,1
b,y,5,9
c,x,4,1
c,y,1,2
a,z,5,3
c,z,1,8
d,x,5,1
d,y,5,2
d,z,2,9
e,z,4,1
"""


@pytest.mark.parametrize("by", ["time", "last", "random"])
def test_low_values_are_left_out_before_the_split(by, tmp_path, as_json):
    """The parts are those of a file without them."""
    low, high = tmp_path / "low.csv", tmp_path / "high.csv"
    low.write_text(RATINGS)
    lines = [line for line in RATINGS.splitlines() if line.split(",")[2] not in "12"]
    high.write_text("\n".join(lines))
    size = [] if by == "last" else ["--test", "0.3"]
    how = ["--by", by, *size, "--valid", "none", "-o"]
    told = as_json("split", low, *how, tmp_path / "p", "--min-value", "4")
    expected = as_json("split", high, *how, tmp_path / "q")
    for some, other in zip(told, expected, strict=True):
        assert [some[key] for key in ("interactions", "dropped")] == [
            other[key] for key in ("interactions", "dropped")
        ]
    train, test = (pd.read_csv(tmp_path / "p" / f"{name}.csv") for name in ("train", "test"))
    for name in ("train", "test"):
        part = f"{name}.csv"
        assert (tmp_path / "p" / part).read_bytes() == (tmp_path / "q" / part).read_bytes()
    if by != "random":
        assert set(test["user"]) <= set(train["user"])
        assert ["a", "z"] in test[["user", "item"]].to_numpy().tolist()


def test_values_that_are_added_up_are_not_judged_one_by_one(tmp_path, as_json, failed):
    log = tmp_path / "log.csv"
    low = "".join(f"a,x,1,{n}\n" for n in (1, 2, 3))
    log.write_text("user,item,rating,time\n" + low + "b,x,3,4\nb,y,1,5\na,y,3,6\nb,x,3,9\n")
    given = ["split", log, "--valid", "none", "--test", "0.3", "--min-value", "3", "-o", tmp_path]
    assert "has several events of a user and an item" in failed(*given)
    for more, has_pair in ((["--by", "random"], True), (["--duplicates", "max"], False)):
        as_json(*given, *more)
        parts = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("train", "test")]
        pairs = set(map(tuple, pd.concat(parts)[["user", "item"]].to_numpy().tolist()))
        assert (("a", "x") in pairs) == has_pair and ("b", "y") not in pairs


def test_low_values_and_what_is_missing(tmp_path, as_json, failed, refused):
    log = tmp_path / "log.csv"
    log.write_text(RATINGS + "f,x,,1\n,x,1,1\n")
    given = (
        "split",
        log,
        "--min-value",
        "4",
        "--test",
        "0.3",
        "--valid",
        "none",
        "-o",
        tmp_path / "p",
    )
    assert "--drop-missing leaves out such rows" in failed(*given)
    assert [each["dropped"] for each in as_json(*given, "--drop-missing")] == [2, 1]
    assert "has no values >= 9" in failed(
        "split", log, "--min-value", "9", "--drop-missing", "-o", tmp_path
    )
    assert "--min-value of what --duplicates count" in refused(*given, "--duplicates", "count")


def test_values_are_not_read_where_events_are_counted(tmp_path, as_json):
    log = tmp_path / "log.csv"
    log.write_text(RATINGS.replace(",5,", ",good,") + "a,x,,1\n")
    told = as_json("split", log, "--duplicates", "count", "--valid", "none", "-o", tmp_path / "p")
    assert told[0]["dropped"] == 0
    assert "a,x,2.0,1" in (tmp_path / "p" / "train.csv").read_text().splitlines()


def test_low_values_of_a_matrix(tmp_path, as_json):
    scipy = pytest.importorskip("scipy.sparse")
    path = tmp_path / "matrix.npz"
    scipy.save_npz(path, scipy.csr_array([[1, 2, 3], [3, 2, 1], [2, 2, 0]]))
    told = as_json("split", path, "--by", "random", "--min-value", "2", "-o", tmp_path)
    assert sum(row["interactions"] for row in told) == 6


def test_what_cannot_be_split(shop, refused, failed, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("user,item\n1,2\n2,3\n")
    message = failed("split", pairs, "-o", tmp_path / "p")
    assert "looks like that of the times" in message and "--by random; there are 'user'" in message
    for size in ("soon", "14X", "2024-13-45", "nan", "inf"):
        given = "split", shop / "events.csv", "-o", tmp_path
        assert "--test must be a share between 0 and 1" in refused(*given, "--test", size)
        assert "--valid must be a share" in refused(*given, "--valid", size)
    # Of times that are dates.
    assert "--test must be a share" not in failed(*given, "--test", "1.5")
    arguments = ["split", shop / "events.csv", "--by", "random", "-o", tmp_path]
    assert "--test must be a share" in refused(*arguments, "--test", "14D")
    assert "leave nothing" in refused(*arguments, "--test", "0.6", "--valid", "0.5")
    assert not (tmp_path / "p").exists() and not (tmp_path / "test.csv").exists()


def test_a_memory_map_is_named(failed, tmp_path):
    data = tr.Interactions.from_frame({"user": [1, 2], "item": [3, 4]})
    data.to_memory_map(tmp_path / "map")
    for by in ("time", "random", "last"):
        message = failed("split", tmp_path / "map", "--by", by, "-o", tmp_path / "p")
        assert "map' is a memory map, which is not split here: give the files" in message
    assert not (tmp_path / "p").exists()


def test_too_few_events_are_told_in_the_words_of_the_options(failed, command, tmp_path):
    path, folder = tmp_path / "5%.csv", tmp_path / "p"
    path.write_text("user,item,time\n1,2,1\n")
    given = "split", path, "-o", folder, "--by"
    assert "--test 0.1 leaves none of 1 interactions for training" in failed(*given, "random")
    assert "--by last needs a user with 2 items" in failed(*given, "last")
    path.write_text("user,item,time\n1,2,1\n1,3,2\n")
    message = "--test 0.1 and --valid 0.1 leave none of 2 interactions for training"
    assert message in failed(*given, "random")
    message = f"needs a user with 3 items, one of them to learn from: '{path}' has none, give --valid none"
    assert message in failed(*given, "last")
    assert not folder.exists()
    for by in ("random", "last"):
        assert command(*given, by, "--valid", "none")[0] == 0


def test_parts_of_another_split_are_named(shop, command, tmp_path):
    given = "split", shop / "events.csv", "-o", tmp_path
    assert "not of this split" not in command(*given)[2]
    before = (tmp_path / "valid.csv").read_bytes()
    said = command(*given, "--valid", "none")[2]
    assert f"not of this split, but left in '{tmp_path}': valid.csv\n" in said
    said = command(*given, "--format", "tsv")[2]
    assert f"but left in '{tmp_path}': train.csv, valid.csv, test.csv\n" in said
    assert (tmp_path / "valid.csv").read_bytes() == before
    assert command(*given, "--valid", "none", "--quiet")[2] == ""


def test_options_of_another_way_are_refused(shop, refused, tmp_path):
    given = "split", shop / "events.csv", "-o", tmp_path / "p", "--by"
    message = "--test has no size with --by last, got '0.9': leave it out"
    assert message in refused(*given, "last", "--test", "0.9", "--valid", "5D")
    assert "--valid has no size with --by last, got '5D'" in refused(
        *given, "last", "--valid", "5D"
    )
    for by in ("last", "time"):
        assert "--seed is for --by random, and nothing is drawn" in refused(
            *given, by, "--seed", "0"
        )
    assert not (tmp_path / "p").exists()


def test_ids_that_hold_ends_of_lines(tmp_path, as_json):
    log = tmp_path / "log.csv"
    with open(log, "w", newline="") as file:
        file.write("user,item\n" + "".join(f'"u{n % 3}\rx",i{n}\n' for n in range(12)))
    as_json(
        "split", log, "--by", "random", "--test", "0.3", "--valid", "none", "-o", tmp_path / "p"
    )
    train = tr.Interactions.read(tmp_path / "p" / "train.csv")
    assert train.user_ids.tolist() == ["u0\rx", "u1\rx", "u2\rx"] and train.nnz == 8


def test_dates_as_ids_are_the_same_texts_in_all_parts(tmp_path, as_json):
    pytest.importorskip("pyarrow")
    days = pd.to_datetime(["2024-01-01T00", "2024-01-01T12", "2024-01-01T00"] * 4)
    events = pd.DataFrame({"user": days, "item": [b"x", b"y", b"z"] * 4, "time": range(12)})
    events.to_parquet(tmp_path / "log.parquet")
    how = "--format", "csv", "--duplicates", "last", "--test", "10", "--valid", "none"
    as_json("split", tmp_path / "log.parquet", *how, "-o", tmp_path)
    for name in ("train", "test"):
        part = pd.read_csv(tmp_path / f"{name}.csv")
        assert set(part["user"]) == {"2024-01-01T00:00:00", "2024-01-01T12:00:00"}
        assert set(part["item"]) == ({"y", "z"} if name == "test" else {"x", "y", "z"})


def test_a_full_disk(shop, failed, tmp_path, monkeypatch):
    """The file is named, and neither parts nor folders that were made for them stay."""

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    folder = tmp_path / "p" / "q"
    message = failed("split", shop / "events.csv", "-o", folder)
    assert message.endswith(f"cannot write '{folder}/train.csv': No space left on device\n")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "p").mkdir()
    failed("split", shop / "events.csv", "-o", folder)
    assert [each.name for each in tmp_path.iterdir()] == ["p"] and not folder.exists()


def test_events_are_never_overwritten(shop, refused, tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes((shop / "events.csv").read_bytes())
    assert "is a file of events" in refused("split", path, "-o", tmp_path)
    assert path.read_bytes() == (shop / "events.csv").read_bytes()
