"""``tripletrec recommend``."""

import io
import sys

import pandas as pd
import pytest

import tripletrec as tr
from tripletrec.cli import main


@pytest.fixture(scope="module")
def model(shop):
    return tr.load(shop / "model.safetensors")


def test_lists_for_all(shop, model, table, as_json):
    header, rows = table("recommend", shop / "model.safetensors", "-k", "3")
    wanted = model.recommend(k=3, output="pandas")
    assert header == list(wanted.columns)
    for place, name in enumerate(["user", "item", "rank"]):
        assert [row[place] for row in rows] == wanted[name].astype(str).tolist()
    told = as_json("recommend", shop / "model.safetensors", "-k", "3")
    assert [each["user"] for each in told] == model.user_ids_.tolist()
    assert told[5]["items"] == model.recommend(told[5]["user"], k=3)[0].tolist()


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet"])
def test_files(ending, shop, model, command, as_json, tmp_path):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"lists.{ending}"
    for more in ([], ["--history", ",".join(model.item_ids_[:2])]):
        code, out, err = command(
            "recommend", shop / "model.safetensors", "-k", "4", "-o", path, *more
        )
        assert (code, out) == (0, "") and f"are in {path}" in err
        read = pd.read_parquet if ending == "parquet" else pd.read_csv
        lists = read(path, **({"sep": "\t"} if ending == "tsv" else {}))
        assert list(lists.columns)[-3:] == ["item", "rank", "score"]
        assert len(lists) == (4 if more else 4 * model.n_users_)
        told = as_json("recommend", shop / "model.safetensors", "-k", "4", "-o", path, *more)
        assert told == {"users": len(lists) // 4, "rows": len(lists), "file": str(path)}


def test_users_of_a_file(shop, model, command, as_json, tmp_path):
    known = model.user_ids_[[3, 1]].tolist()
    lines, table = tmp_path / "users.txt", tmp_path / "users.csv"
    lines.write_text("\n".join([known[0], "nobody", known[1], known[0]]) + "\n")
    table.write_text(
        "segment,customer_id\n" + "".join(f"x,{each}\n" for each in [*known, "nobody"])
    )
    for path in (lines, table):
        told = as_json("recommend", shop / "model.safetensors", "--users", path)
        assert [each["user"] for each in told] == known
        err = command("recommend", shop / "model.safetensors", "--users", path)[2]
        assert "1 of 3 users are unknown to the model and left out" in err


def test_users_of_standard_input(shop, model, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{model.user_ids_[2]}\n"))
    assert main(["recommend", str(shop / "model.safetensors"), "--users", "-", "-k", "1"]) == 0
    assert capsys.readouterr().out.count("\n") == 2


def test_history(shop, model, table, as_json, command):
    history = model.item_ids_[[4, 2]].tolist()
    header, rows = table("recommend", shop / "model.safetensors", "--history", ",".join(history))
    assert header == ["item", "rank", "score"]
    assert [row[0] for row in rows] == model.recommend_history(history)[0].tolist()
    arguments = ["recommend", shop / "model.safetensors", "--history", f"{history[0]},nothing"]
    assert as_json(*arguments)["history"] == history[:1]
    assert "1 of 2 items are unknown" in command(*arguments)[2]


def test_candidates_and_items_left_out(shop, model, as_json, tmp_path):
    some, out = tmp_path / "some.txt", tmp_path / "out.txt"
    some.write_text("\n".join(model.item_ids_[:6]))
    out.write_text("\n".join(model.item_ids_[:2]))
    arguments = ["--candidates", some, "--exclude", out, "--with-seen"]
    told = as_json("recommend", shop / "model.safetensors", *arguments)
    assert {frozenset(each["items"]) for each in told} == {frozenset(model.item_ids_[2:6])}


def test_ids_that_are_numbers(as_json, tmp_path, command):
    log, path = tmp_path / "log.csv", tmp_path / "m.safetensors"
    log.write_text("user,item\n1,10\n1,20\n2,10\n2,30\n3,20\n")
    assert command("fit", log, "--epochs", "1", "--factors", "6", "-o", path)[0] == 0
    (tmp_path / "users.txt").write_text("\ufeff2\n007\n", "utf-8")
    assert as_json("recommend", path, "--users", tmp_path / "users.txt")[0]["user"] == 2
    assert as_json("recommend", path, "--history", "10,20")["history"] == [10, 20]
    assert as_json("similar", path, "10", "-k", "1")[0]["item"] == 10


def test_what_is_refused(shop, refused, failed, tmp_path):
    model = shop / "model.safetensors"
    assert "-k: must be an integer >= 1, got '0'" in refused("recommend", model, "-k", "0")
    assert "not allowed with" in refused("recommend", model, "--users", "u", "--history", "a")
    assert "--history must be ids" in refused("recommend", model, "--history", ",")
    assert "must not be a file that is read" in refused("recommend", model, "-o", model)
    for whose in ([], ["--history", "a"]):
        path = tmp_path / "lists.xlsx"
        assert "-o must end in" in refused("recommend", model, "-o", path, *whose)
    assert "--user is a column of --users" in refused("recommend", model, "--user", "u")
    assert "--item is a column of" in refused("recommend", model, "--item", "i")
    assert "-o must be in a folder" in failed("recommend", model, "-o", tmp_path / "no" / "l.csv")
    users = tmp_path / "users.txt"
    users.write_text("nobody\n")
    assert "knows none of the 1 users" in failed("recommend", model, "--users", users)
    users.write_text("\n")
    assert "must have an id in each line" in failed("recommend", model, "--users", users)
    table = tmp_path / "users.csv"
    table.write_text("user\n")
    assert "has no rows: at least one id" in failed("recommend", model, "--users", table)
    users.write_bytes(b"\xff\xfe")
    assert "must be text in UTF-8" in failed("recommend", model, "--users", users)
    assert "No such file" in failed("recommend", model, "--users", tmp_path / "none.txt")
