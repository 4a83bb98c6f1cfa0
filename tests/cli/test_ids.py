"""Ids that were typed are those of the model, of whatever kind these are."""

import io
import sys
import uuid

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.cli import main
from tripletrec.cli.ids import typed_ids
from tripletrec.data.writing import id_text

KINDS = {
    "numbers": (np.arange(4) * 3, "9"),
    "texts": (["00", "1", "b", "c"], "00"),
    "nanoseconds": (
        np.arange("2024-01-30", "2024-02-03", dtype="M8[D]").astype("M8[ns]"),
        "2024-02-01T00:00:00",
    ),
    "dates": (np.datetime64("2024-01-30") + np.arange(4), "2024-02-01"),
    "uuids": ([uuid.UUID(int=n) for n in range(4)], "00000000-0000-0000-0000-000000000002"),
    "floats": (np.arange(4) / 4, "0.75"),
    "bytes": ([b"a", b"b", b"c", b"d"], "b"),
    "mixed": (["a", 2, "c", 4], "2"),
    "none": (None, "3"),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_ids_are_found_as_they_are_printed(kind):
    ids, text = KINDS[kind]
    known = tr.Interactions(np.eye(4), item_ids=ids)._items
    asked = typed_ids([text, "nothing", "007"], known)
    assert (known.find(asked) >= 0).tolist() == [True, False, False]
    whole = range(4) if ids is None else ids
    assert known.find(asked)[0] == [id_text(each) for each in whole].index(text)


@pytest.mark.parametrize("unit", ["D", "ns"])
def test_what_is_printed_can_be_typed(unit, small, tmp_path, capsys):
    dates = (np.datetime64("2024-01-01") + np.arange(small.n_items)).astype(f"M8[{unit}]")
    model = tr.MatrixFactorization(6, n_epochs=1).fit(
        tr.Interactions(small.tocsr(), item_ids=dates)
    )
    path = str(tmp_path / "m.safetensors")
    model.save(path)
    assert main(["similar", path, "2024-01-05", "-k", "1"]) == 0
    asked, printed = capsys.readouterr().out.splitlines()[1].split("\t")[:2]
    assert {asked[:8], printed[:8]} <= {"2024-01-", "2024-02-"} and asked == id_text(dates[4])
    assert main(["recommend", path, "--history", printed, "-k", "1"]) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fractional_ids_are_printed_in_full(dtype, tmp_path, table, as_json, command):
    """Also those that six digits would make one, and they are found however they are written."""
    ids = np.array([1000000.5, 1000001.5, 0.1], dtype)
    texts = [repr(each) for each in ids.tolist()]
    data = tr.Interactions(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]]), user_ids=ids, item_ids=ids)
    path, lists = tmp_path / "m.safetensors", tmp_path / "lists.csv"
    tr.EASE().fit(data).save(path)
    assert [row[:2] for row in table("recommend", path, "-k", "1")[1]] == [
        [texts[0], texts[2]], [texts[1], texts[0]], [texts[2], texts[1]],
    ]  # fmt: skip
    assert table("recommend", path, "--history", "1000000.5,0.1", "-k", "1")[1][0][0] == texts[1]
    assert dict(table("info", path)[1])["first_user"] == texts[0]
    assert command("recommend", path, "-k", "1", "-o", lists)[0] == 0
    for users in (lists, "typed"):
        if users == "typed":
            users = tmp_path / "users.txt"
            users.write_text("1.0000005e+06\n1000001.50\n.1\n1e300\nx\n")
        told = as_json("recommend", path, "--users", users, "-k", "1")
        assert [each["user"] for each in told] == ids.tolist()


DAYS = {
    "days": np.array(["2024-01-01", "2024-01-02"], "M8[D]"),
    "nanoseconds": np.array(["2024-01-01", "2024-01-02T12"], "M8[ns]"),
    "microseconds": np.array(["2024-01-01", "2024-01-02T12"], "M8[us]"),
    "bytes": [b"u1", b"u2"],
    "uuids": [uuid.UUID(int=n) for n in range(2)],
}


@pytest.mark.parametrize("ending", ["csv", "parquet", "txt"])
@pytest.mark.parametrize("kind", list(DAYS))
def test_lists_are_lists_of_who_to_ask_for(kind, ending, tmp_path, table, as_json, command):
    """Ids that are printed, and those in a file of lists, are found again."""
    if ending == "parquet":
        pytest.importorskip("pyarrow")
        if kind == "uuids":
            pytest.skip("of which Parquet has no type")
    data = tr.Interactions(np.array([[1, 0, 1], [1, 1, 0]]), user_ids=DAYS[kind])
    path, lists = tmp_path / "m.safetensors", tmp_path / f"lists.{ending}"
    tr.Popularity().fit(data).save(path)
    printed = table("recommend", path, "-k", "1")[1]
    texts = [id_text(each) for each in data.user_ids]
    assert [row[:2] for row in printed] == [[texts[0], "1"], [texts[1], "2"]]
    if ending == "txt":
        lists.write_text("\n".join(texts))
    else:
        assert command("recommend", path, "-k", "1", "-o", lists)[0] == 0
    told = as_json("recommend", path, "--users", lists, "-k", "1")
    assert [each["user"] for each in told] == texts
    assert as_json("info", path)["first_user"] == texts[0]


def test_dates_are_found_in_any_spelling(tmp_path, as_json, table):
    data = tr.Interactions(np.array([[1, 0, 1], [1, 1, 0]]).T, item_ids=DAYS["nanoseconds"])
    path, users = tmp_path / "m.safetensors", tmp_path / "items.txt"
    tr.EASE().fit(data).save(path)
    users.write_text("2024-01-02 12:00:00\n2024-01-01\nnow and then\n")
    told = as_json("recommend", path, "--candidates", users, "--with-seen", "-k", "3")
    assert sorted(told[0]["items"]) == ["2024-01-01T00:00:00", "2024-01-02T12:00:00"]
    listed = as_json("recommend", path, "--history", "2024-01-01", "-k", "1")
    assert (listed["history"], listed["items"]) == (
        ["2024-01-01T00:00:00"],
        ["2024-01-02T12:00:00"],
    )
    assert table("recommend", path, "--history", "2024-01-01", "-k", "1")[1][0][0] == (
        "2024-01-02T12:00:00"
    )


@pytest.mark.parametrize("standard_input", [False, True])
def test_only_newlines_end_lines(standard_input, tmp_path, as_json, monkeypatch):
    texts = [f"u{n}{odd}x" for n, odd in enumerate("\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e")]
    data = tr.Interactions.from_frame({"user": [*texts, "u"], "item": [*range(8), 0]})
    path, users = tmp_path / "m.safetensors", tmp_path / "users.txt"
    tr.Popularity().fit(data).save(path)
    content = "\r\n".join(texts) + "\n\nu"
    users.write_bytes(content.encode())
    monkeypatch.setattr(sys, "stdin", io.StringIO(content, newline=None))
    told = as_json("recommend", path, "--users", "-" if standard_input else users, "-k", "1")
    assert [each["user"] for each in told] == [*texts, "u"]
