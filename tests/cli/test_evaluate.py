"""``tripletrec evaluate``."""

import numpy as np
import pytest

import tripletrec as tr


@pytest.fixture(scope="module")
def known(shop):
    """The model, and what it is tested on."""
    model = tr.load(shop / "model.safetensors")
    columns = {"value": "value", "timestamp": "time"}
    test = tr.Interactions.read(
        shop / "parts/test.csv", **columns, like=model.seen_, unknown="drop"
    )
    return model, test


def test_a_test_of_nobody_who_is_known(shop, command, tmp_path):
    path = tmp_path / "others.csv"
    path.write_text("user,item,value,time\nnobody,nothing,1,2024-01-01\n")
    code, out, said = command("evaluate", shop / "model.safetensors", path)
    assert (code, out) == (1, "")
    assert said.splitlines()[-1].endswith(
        "others.csv' has no interaction: at least one positive is needed"
    )


@pytest.mark.filterwarnings("ignore:.*too and are left out")
def test_numbers_are_those_of_the_library_beside_popularity(shop, known, table, as_json):
    model, test = known
    mean = tr.evaluate(model, test, k=[3, 5]).mean
    arguments = ["evaluate", shop / "model.safetensors", shop / "parts/test.csv", "-k", "3", "5"]
    header, rows = table(*arguments)
    assert header == ["metric", "model", "low", "high", "popularity"]
    assert [row[0] for row in rows] == list(mean.index)
    told = as_json(*arguments)
    kinds = "users interactions dropped model interval popularity"
    assert list(told) == kinds.split()  # and no lists, which are not asked for
    fresh = test.tocsr().toarray().astype(bool) & ~model.seen_.tocsr().toarray().astype(bool)
    assert (told["interactions"], told["dropped"]) == (fresh.sum(), test.n_dropped)
    assert told["model"] == mean.to_dict()
    counts = np.bincount(model.seen_.indices, minlength=model.n_items_)
    popular = tr.evaluate(lambda rows: np.tile(counts, (len(rows), 1)), test, model.seen_, k=[3, 5])
    assert told["popularity"] == popular.mean.to_dict()
    assert told["users"] == len(popular.per_user)
    assert all(low <= told["model"][name] <= high for name, (low, high) in told["interval"].items())


def test_lists(shop, table, as_json):
    arguments = ["evaluate", shop / "model.safetensors", shop / "parts/test.csv", "--lists"]
    rows = table(*arguments)[1]
    coverage = as_json(*arguments)["lists"]["10"]["coverage"]
    assert dict(row[:2] for row in rows)["coverage@10"] == f"{coverage:.6g}"


def test_users_who_were_added_since(shop, known, as_json, tmp_path):
    model = tr.load(shop / "model.safetensors")
    items = model.item_ids_[:3].tolist()
    model.add_users(tr.Interactions.from_frame({"user": ["new"] * 3, "item": items}))
    model.save(tmp_path / "m.safetensors")
    alone = as_json("evaluate", shop / "model.safetensors", shop / "parts/test.csv")
    assert as_json("evaluate", tmp_path / "m.safetensors", shop / "parts/test.csv") == alone


def test_what_training_had_is_left_out_once_and_said(shop, command):
    arguments = ["evaluate", shop / "model.safetensors", shop / "parts/test.csv"]
    code, out, err = command(*arguments)
    assert (code, err.count("the training data too and are left out")) == (0, 1)
    code, other, err = command(*arguments, "--with-seen")
    assert "left out" not in err and other != out


def test_what_the_library_says_is_in_the_words_of_the_command(shop, known, command, tmp_path):
    path, test = tmp_path / "m", shop / "parts/test.csv"
    known[0].save(path, seen=False)
    advice = "--no-seen, so that nothing is left out: fit it without --no-seen, or give --with-seen"
    for arguments in (
        ["evaluate", path, test],
        ["compare", path, "--test", test],
        ["recommend", path],
    ):
        code, _, err = command(*arguments)
        assert code == 0 and err.count(advice) == 1 and "seen=" not in err
    known = ["compare", shop / "model.safetensors", "--test", shop / "parts/train.csv"]
    assert "what it has seen is left out: --with-seen counts it" in command(*known)[2]


def test_strangers_are_left_out_and_counted(shop, command, as_json, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text((shop / "parts/test.csv").read_text() + "nobody,nothing,1,2024-01-01\n")
    arguments = ["evaluate", shop / "model.safetensors", test]
    assert "1 events are left out, for training had no such" in command(*arguments)[2]
    assert as_json(*arguments)["dropped"] == 1


def test_what_cannot_be_evaluated(shop, failed, refused, tmp_path):
    test = shop / "parts/test.csv"
    assert "not a readable safetensors file" in failed("evaluate", test, test)
    assert "there is no file" in failed("evaluate", shop / "model.safetensors", tmp_path / "no.csv")
    assert "cannot read a model" in failed("evaluate", tmp_path / "no.safetensors", test)
    assert "holds all positives" in failed(
        "evaluate", shop / "model.safetensors", shop / "parts/train.csv"
    )
    assert "-k: must be an integer" in refused("evaluate", "m", "t", "-k", "0")
