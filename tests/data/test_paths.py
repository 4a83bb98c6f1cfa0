"""Which files a path means, and which are refused."""

import os
from pathlib import Path

import pytest

from tripletrec.data.paths import find_files


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def found(root, path):
    files = find_files(path)
    return files.format, [each.relative_to(root).as_posix() for each in files.paths]


def test_a_folder_means_all_files_below_it(tmp_path):
    make(
        tmp_path, "b/day=2/1.parquet", "b/day=10/0.parquet", "b/0.PARQUET", "b/_SUCCESS",
        "b/.0.parquet.crc", "b/_delta_log/0.json", "b/.cache/x.csv",
    )  # fmt: skip
    expected = ["b/0.PARQUET", "b/day=10/0.parquet", "b/day=2/1.parquet"]
    for path in (tmp_path / "b", str(tmp_path / "b"), f"{tmp_path}/b/", f"{tmp_path}/*"):
        assert found(tmp_path, path) == ("parquet", expected)
    assert found(tmp_path, f"{tmp_path}/b/day=*") == ("parquet", expected[1:])
    assert found(tmp_path, f"{tmp_path}/**/1.*") == ("parquet", expected[2:])


@pytest.mark.parametrize(
    ("name", "format_"),
    [("a.csv", "csv"), ("a.CSV.GZ", "csv"), ("a.b.tsv", "tsv"), ("a.tsv.gz", "tsv"), ("a.npz", "npz"),
     ("part-0.snappy.parquet", "parquet")],
)  # fmt: skip
def test_formats(tmp_path, name, format_):
    make(tmp_path, name)
    assert found(tmp_path, tmp_path / name) == (format_, [name])


def test_what_exists_is_no_pattern(tmp_path):
    make(tmp_path, "a[1].csv", "a1.csv")
    assert found(tmp_path, tmp_path / "a[1].csv")[1] == ["a[1].csv"]


def test_what_cannot_be_read_gets_one_sentence(tmp_path):
    make(tmp_path, "a.csv", "b.parquet", "c.txt", "empty/_SUCCESS", "mixed/a.csv", "mixed/b.txt")
    cases = [
        (tmp_path, ValueError, "files of one format, but .*a.csv.*b.parquet.*pattern|files that end"),
        (f"{tmp_path}/[ab].*", ValueError, "files of one format, but .*a.csv' and .*b.parquet'"),
        (tmp_path / "c.txt", ValueError, r"files that end in .parquet, .*, got .*c.txt"),
        (tmp_path / "mixed", ValueError, "files that end in .*, got .*b.txt"),
        (tmp_path / "d.csv", FileNotFoundError, "there is no file or folder .*d.csv"),
        (f"{tmp_path}/*.tsv", FileNotFoundError, r"no file matches .*\*.tsv"),
        (tmp_path / "empty", FileNotFoundError, "the folder .*empty' has no file of the format"),
        ("", FileNotFoundError, "there is no file or folder ''$"),
        ("s3://logs/a.csv", FileNotFoundError, "no file or .* 's3://logs/a.csv'; .* from_frame"),
        (Path("s3://logs/*.csv"), FileNotFoundError, "no file matches 's3:/logs/.*'; .* from_frame"),
        ("C:/logs/a.csv", FileNotFoundError, "there is no file or folder 'C:/logs/a.csv'$"),
        ("a\0.csv", ValueError, "path must not hold the character NUL"),
        (None, TypeError, "path must be the path of a file or a folder, got None"),
        (["a.csv"], TypeError, "path must be the path"),
        (b"a.csv", TypeError, "path must be the path"),
    ]  # fmt: skip
    for path, error, message in cases:
        with pytest.raises(error, match=message) as info:
            find_files(path)
        assert "\n" not in str(info.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_nothing_waits_for_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(OSError, match="no regular file"):
        find_files(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to(Path("nowhere.csv"))
    with pytest.raises(OSError, match="no regular file"):
        find_files(tmp_path / "b.csv")
