"""``tripletrec info``."""

import tripletrec as tr


def test_what_a_file_holds(shop, table, as_json, command):
    path = shop / "model.safetensors"
    model = tr.load(path)
    header, rows = table("info", path)
    told = as_json("info", path)
    assert header == ["name", "value"]
    assert dict(rows)["model"] == told["model"] == "MatrixFactorization"
    assert told["bytes"] == path.stat().st_size
    assert (told["users"], told["interactions"]) == (model.n_users_, model.seen_.nnz)
    assert told["parameters"]["n_factors"] == int(dict(rows)["parameter n_factors"]) == 6
    assert told["parameters"].keys() == model.get_params().keys()


def test_parts_are_named_and_what_was_not_saved_is_unknown(shop, as_json, command, tmp_path):
    path = tmp_path / "m.safetensors"
    arguments = ["--preset", "softmax", "--epochs", "1", "--no-seen", "-o", path]
    assert command("fit", shop / "parts/train.csv", *arguments)[0] == 0
    told = as_json("info", path)
    assert told["parameters"]["optimizer"] == "adam"
    assert told["interactions"] is None


def test_no_model(shop, failed):
    assert "not a readable safetensors file" in failed("info", shop / "events.csv")
    assert "cannot read a model" in failed("info", shop)
