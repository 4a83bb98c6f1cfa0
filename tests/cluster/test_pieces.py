"""Which pieces there are, in which order, and what is read of each; the rest is in test_shuffle."""

import pandas as pd
import pytest

from tripletrec.cluster import pieces
from tripletrec.cluster.pieces import FilePiece, name_of, pieces_of, read_piece

pytest.importorskip("pyarrow", reason="reads parquet")
pytest.importorskip("fsspec", reason="reads what is behind a URL")

NAMES = {"user": "user", "item": "item"}


@pytest.fixture
def folder(tmp_path):
    for name in ("b", "a", "c", "other"):
        frame = pd.DataFrame({"user": range(10), "x": 0, "item": range(10, 20)})
        frame.to_parquet(tmp_path / f"{name}.parquet", row_group_size=2)
    (tmp_path / "a.txt").write_text("no table")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "names"),
    [("", "a b c other"), ("/b.parquet", "b"), ("/?.par*", "a b c"), ("/*", "a b c other")],
)
def test_files_behind_a_url_are_read_by_name(folder, path, names):
    found = [each.path for each in pieces_of(f"file://{folder}{path}", NAMES)]
    assert found == [f"file://{folder}/{name}.parquet" for name in names.split()]


def test_a_piece_is_of_some_rows(folder, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", 3)
    path = str(folder / "a.parquet")
    found = pieces_of(path, NAMES)
    assert found == [FilePiece(path, groups) for groups in ((0, 1), (2, 3), (4,))]
    assert name_of(found[0], 0) == repr(path)
    assert name_of(found[1], 1) == f"{path!r}, from its row group 2 on"
    assert name_of("partition", 3) == "partition 3 of source"
    read = [read_piece(each, NAMES) for each in found]
    assert [list(each) for each in read] == [["user", "item"]] * 3
    assert [list(each["item"]) for each in read] == [[*range(10, 14)], [*range(14, 18)], [18, 19]]


@pytest.mark.parametrize("damaged", [False, True])
def test_files_are_closed(folder, damaged):
    if damaged:
        (folder / "a.parquet").write_bytes(b"PAR1 and no more")
    opened = pieces._Opened(str(folder / "a.parquet"))
    if damaged:
        with pytest.raises(ValueError, match="is damaged, or no parquet file"):
            opened.__enter__()
    else:
        with opened as file:
            assert file.metadata.num_rows == 10 and not opened._file.closed
    assert opened._file.closed
