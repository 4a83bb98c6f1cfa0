"""``tripletrec describe``."""

import tripletrec as tr


def test_it_is_what_interactions_say(shop, table, as_json):
    data = tr.Interactions.read(
        shop / "events.csv", user="user_id", item="item_id", timestamp="time"
    )
    header, rows = table("describe", shop / "events.csv")
    assert header == ["name", "value"]
    assert [name for name, _ in rows] == list(data.describe().index)
    told = as_json("describe", shop / "events.csv")
    assert told["interactions"] == data.nnz == int(dict(rows)["interactions"])
    assert told["last"] == data.describe()["last"].isoformat()


def test_files_that_cannot_be(failed, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("user,item\n")
    (tmp_path / "notes.txt").write_text("user,item\n")
    (tmp_path / "folder").mkdir()
    assert "is empty" in failed("describe", tmp_path / "empty.csv")
    assert "has no rows" in failed("describe", tmp_path / "header.csv")
    assert "files that end in" in failed("describe", tmp_path / "notes.txt")
    assert "has no file" in failed("describe", tmp_path / "folder")
