"""``tripletrec compare``."""

import os
import shutil

import pytest

import tripletrec as tr


@pytest.fixture(scope="module")
def other(shop):
    from tripletrec.cli import main

    path = shop / "other.model"
    assert not main(["fit", f"{shop}/parts/train.csv", "--epochs", "1", "-o", str(path), "--quiet"])
    return path


def test_models_stand_below_popularity(shop, other, table, as_json):
    arguments = ["compare", shop / "model.safetensors", other, "--test", shop / "parts/test.csv"]
    header, rows = table(*arguments, "--quiet")
    assert header[:5] == ["metric", "model", "mean", "low", "high"] and "p_value" in header
    assert [row[1] for row in rows[:3]] == ["popularity", "model.safetensors", "other.model"]
    told = as_json(*arguments)
    alone = as_json("evaluate", other, shop / "parts/test.csv")
    assert told["mean"]["other.model"] == alone["model"]
    assert told["mean"]["popularity"] == alone["popularity"]
    assert len(told["table"]) == len(rows)
    assert told["table"][0]["difference"] is None  # to itself


def test_models_of_one_name_are_told_apart(shop, table):
    model = shop / "model.safetensors"
    rows = table("compare", model, model, "--test", shop / "parts/test.csv")[1]
    assert [row[1] for row in rows[:3]] == ["popularity", f"{model}#1", f"{model}#2"]


def test_a_file_called_popularity_is_not_the_baseline(shop, as_json, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(shop / "model.safetensors", "popularity")
    test = shop / "parts/test.csv"
    told = as_json("compare", "popularity", "--test", test)["mean"]
    assert list(told) == ["popularity", os.path.join(".", "popularity")]
    alone = as_json("evaluate", "popularity", test)
    assert list(told.values()) == [alone["popularity"], alone["model"]]
    shutil.copy("popularity", "popularity#3")  # no name is that of two
    told = as_json("compare", "popularity", "popularity", "popularity#3", "--test", test)["mean"]
    assert len(told) == 4


def test_what_is_true_of_several_models_is_said_once(shop, command, tmp_path):
    first = shop / "model.safetensors"
    test = tr.Interactions.read(shop / "parts/test.csv", like=tr.load(first).seen_, unknown="drop")
    some = tr.Popularity().fit(tr.splits.train_test_split(test, 0.5, random_state=0)[0])
    models = [first, tmp_path / "a.model", tmp_path / "b.model"]
    for path in models[1:]:
        some.save(path)
    code, _, said = command("compare", *models, "--test", shop / "parts/test.csv", "--quiet")
    lines = [line for line in said.splitlines() if ".model" in line]
    assert code == 0 and len(lines) == 2  # of what they have seen, and of their users
    assert all(each.startswith("tripletrec: warning: a.model, b.model: ") for each in lines)


def test_models_of_other_items_are_refused(shop, failed, command, tmp_path):
    path = tmp_path / "m.safetensors"
    assert command("fit", shop / "parts/test.csv", "--epochs", "1", "-o", path)[0] == 0
    arguments = ["compare", shop / "model.safetensors", path, "--test", shop / "parts/test.csv"]
    assert "m.safetensors must know the same users and items as" in failed(*arguments)
