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


def test_times_are_told_in_full(table, as_json, tmp_path):
    (tmp_path / "log.csv").write_text("user,item,time\n1,2,1700000000.25\n2,3,1700000001.5\n")
    numbers = dict(table("describe", tmp_path / "log.csv")[1])
    assert (numbers["first"], numbers["last"]) == ("1700000000.25", "1700000001.5")
    assert as_json("describe", tmp_path / "log.csv")["first"] == 1700000000.25


def test_files_that_cannot_be(failed, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("user,item\n")
    (tmp_path / "notes.txt").write_text("user,item\n")
    (tmp_path / "folder").mkdir()
    assert "is empty" in failed("describe", tmp_path / "empty.csv")
    assert "has no rows" in failed("describe", tmp_path / "header.csv")
    assert "files that end in" in failed("describe", tmp_path / "notes.txt")
    assert "has no file" in failed("describe", tmp_path / "folder")
