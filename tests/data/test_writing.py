"""Tables as files: what is written is read again, whatever is in its texts."""

import csv
import errno
import gzip
import uuid
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.interactions import Interactions
from tripletrec.data.writing import appending, as_text, id_text, write_table

TEXTS = ["a\rb", "a\r\nb", "a\nb", 'a"b', "a,b", "a\tb", "a\u2028b", "\r", " a ", "ü"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".tsv.gz"])
def test_texts_come_back(ending, tmp_path):
    path = tmp_path / f"log{ending}"
    table = pd.DataFrame({"user": TEXTS, "item": 7, "value": np.float32(0.1)})
    with appending(path, ending) as append:
        append(table[:0])
        append(table[:3])
        append(table[3:])
    data = Interactions.read(path, value="value")
    assert data.user_ids.tolist() == sorted(TEXTS) and data.item_ids.tolist() == [7]
    assert set(data.values.tolist()) == {float(np.float32(0.1))}
    content = gzip.decompress(path.read_bytes()) if ending.endswith("gz") else path.read_bytes()
    assert content.count(b"user") == 1


def test_what_is_no_utf_8_is_written_as_it_is_printed(tmp_path):
    write_table(
        pd.DataFrame({"user": pd.Series(["b\udce9"], dtype=object)}), tmp_path / "a", ".csv", "a"
    )
    assert (tmp_path / "a").read_text() == "user\nb\\udce9\n"


def test_only_what_needs_quotes_has_them(tmp_path):
    path = tmp_path / "log.csv"
    write_table(pd.DataFrame({"user": ["a", "b,c"], "n": [1, 2.5]}), path, ".csv", path)
    assert path.read_bytes() == b'user,n\na,1.0\n"b,c",2.5\n'
    with open(path, newline="") as file:
        assert list(csv.reader(file))[2] == ["b,c", "2.5"]


@pytest.mark.parametrize(
    ("each", "text"),
    [
        (np.datetime64("2024-01-05"), "2024-01-05"),
        (np.datetime64("2024-01-05", "ns"), "2024-01-05T00:00:00"),
        (np.datetime64("2024-01-05T12:00:00.000000001", "ns"), "2024-01-05T12:00:00.000000001"),
        (np.datetime64("20240-01-05", "s"), "20240-01-05T00:00:00"),
        (np.timedelta64(5, "D"), "5 days"),
        (datetime(2024, 1, 5, tzinfo=UTC), "2024-01-05T00:00:00+00:00"),
        (date(2024, 1, 5), "2024-01-05"),
        (b"u\xfc1", "u\\xfc1"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (7, "7"),
    ],
    ids=str,
)
def test_ids_are_texts_in_one_way(each, text):
    assert id_text(each) == text


def test_dates_do_not_depend_on_each_other():
    dates = np.array(["2024-01-05", "2024-01-06T12:00"], "M8[ns]")
    assert as_text(dates).tolist() == ["2024-01-05T00:00:00", "2024-01-06T12:00:00"]
    assert as_text(dates[:1]).tolist() == as_text(dates).tolist()[:1]
    assert as_text(np.array([b"a", 7], object)).tolist() == ["a", "7"]
    numbers = np.arange(3)
    assert as_text(numbers) is numbers


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    path = tmp_path / "temporary.csv"
    with pytest.raises(OSError, match="cannot write 'log.csv': No space left on device") as info:
        write_table(pd.DataFrame({"user": [1]}), path, ".csv", "log.csv")
    assert info.value.errno == errno.ENOSPC


def test_ids_of_several_types_are_no_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"user": ["a", 7]})
    with pytest.raises(ValueError, match="ids must be of one type that Parquet has: write .csv"):
        write_table(table, tmp_path / "log.parquet", ".parquet", "log.parquet")
