"""``tripletrec compare``."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.cli.printing import plain


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


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are texts")
def test_a_name_that_is_no_text(shop, as_json, tmp_path):
    path = tmp_path / "m\udcff.st"
    shutil.copy(shop / "model.safetensors", path)
    told = as_json("compare", path, "--test", shop / "parts/test.csv")["mean"]
    assert list(told) == ["popularity", r"m\udcff.st"]


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
    lines = said.splitlines()
    assert code == 0 and len(lines) == 2  # of what they have seen, and of their users
    assert "; a.model, b.model: " in lines[0] and "trained on too and are left out" in lines[0]
    assert lines[1].startswith("tripletrec: warning: model.safetensors: evaluated on ")


@pytest.fixture
def of_other_training(shop, tmp_path):
    """Models of one space: of the training part, of some of the test too, and one that does not say."""
    model = tr.load(shop / "model.safetensors")
    test = tr.Interactions.read(
        shop / "parts/test.csv", value="value", timestamp="time", like=model.seen_, unknown="drop"
    )
    held = tr.splits.train_test_split(test, 0.7, random_state=0)[0]
    both = tr.Interactions.from_arrays(
        np.append(model.seen_.rows, held.rows),
        np.append(model.seen_.indices, held.indices),
        user_ids=model.user_ids_,
        item_ids=model.item_ids_,
    )
    more = tr.Popularity().fit(both)
    more.save(tmp_path / "more")
    model.save(tmp_path / "silent", seen=False)
    return {"model.safetensors": model, "more": more, "silent": tr.load(tmp_path / "silent")}, test


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_order_of_models_means_nothing(shop, of_other_training, command, tmp_path):
    """Each leaves out what it has seen itself, as `tripletrec.compare` has it."""
    models, test = of_other_training
    del models["silent"]
    paths = {name: tmp_path / name for name in models} | {
        "model.safetensors": shop / "model.safetensors"
    }
    wanted = {"popularity": models["more"], **models}
    table = tr.compare(wanted, test).table.reset_index()
    numbers = {
        (row.pop("metric"), row.pop("model")): row for row in plain(table.to_dict("records"))
    }
    for names in (list(models), list(models)[::-1]):
        told = command(
            "compare", *(paths[each] for each in names), "--test", shop / "parts/test.csv", "--json"
        )[1]
        rows = json.loads(told)["table"]
        assert {(row.pop("metric"), row.pop("model")): row for row in rows} == numbers


def test_a_model_that_does_not_say_what_it_has_seen(shop, of_other_training, command, tmp_path):
    """It has all of the test, whichever model comes first, and is named."""
    models, test = of_other_training
    mean = tr.evaluate(models["silent"], test, None, k=10).mean.to_dict()
    paths = [shop / "model.safetensors", tmp_path / "silent"]
    for files in (paths, paths[::-1]):
        code, told, said = command(
            "compare", *files, "--test", shop / "parts/test.csv", "--json", "--quiet"
        )
        assert code == 0 and "warning: silent: the model does not know" in said
        assert json.loads(told)["mean"]["silent"] == mean


@pytest.mark.parametrize("name", ["compare", "report"])
@pytest.mark.parametrize("word", ["user", "item"])
def test_ids_and_row_numbers_are_not_matched(name, word, shop, failed, tmp_path):
    if name == "report":
        pytest.importorskip("matplotlib", reason="needs matplotlib")
    seen = tr.load(shop / "model.safetensors").seen_
    ids = {"user_ids": seen.user_ids, "item_ids": seen.item_ids} | {f"{word}_ids": None}
    path, page = tmp_path / "rows.st", tmp_path / "page.html"
    tr.Popularity().fit(tr.Interactions(seen.tocsr(), **ids)).save(path)
    more = ["--test", shop / "parts/test.csv", *(["-o", page] if name == "report" else [])]
    for models in ([shop / "model.safetensors", path], [path, shop / "model.safetensors"]):
        message = f"model.safetensors has {word} ids and rows.st has none"
        assert message in failed(name, *models, *more) and not page.exists()


def test_models_of_other_items_are_refused(shop, failed, command, tmp_path):
    path = tmp_path / "m.safetensors"
    assert command("fit", shop / "parts/test.csv", "--epochs", "1", "-o", path)[0] == 0
    arguments = ["compare", shop / "model.safetensors", path, "--test", shop / "parts/test.csv"]
    assert "m.safetensors must know the same users and items as" in failed(*arguments)
