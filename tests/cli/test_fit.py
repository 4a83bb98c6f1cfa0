"""``tripletrec fit``."""

import os
import shutil

import numpy as np
import pytest

import tripletrec as tr

SMALL = ["--epochs", "2", "--factors", "4"]


def test_the_model_is_that_of_the_library(shop, as_json, tmp_path):
    path = tmp_path / "m.safetensors"
    train = shop / "parts/train.csv"
    told = as_json("fit", train, *SMALL, "--seed", "3", "--set", "learning_rate=0.05", "-o", path)
    data = tr.Interactions.read(train, value="value", timestamp="time")
    model = tr.MatrixFactorization(4, n_epochs=2, random_state=3, learning_rate=0.05).fit(data)
    loaded = tr.load(path)
    np.testing.assert_array_equal(loaded.item_factors_, model.item_factors_)
    assert loaded.verbose == 0 and loaded.seen_.nnz == data.nnz
    assert told["loss"] == model.history_[-1]["loss"]
    assert (told["users"], told["epochs"]) == (data.n_users, 2)


def test_validation_and_early_stopping(shop, as_json, tmp_path):
    path, columns = tmp_path / "m.safetensors", {"value": "value", "timestamp": "time"}
    arguments = ["--validation", shop / "parts/valid.csv", "--early-stopping", "1"]
    told = as_json(
        "fit", shop / "parts/train.csv", *SMALL, *arguments, "--metric", "ndcg@10",
        "--set", "validate_every=1", "-o", path,
    )  # fmt: skip
    train = tr.Interactions.read(shop / "parts/train.csv", **columns)
    valid = tr.Interactions.read(shop / "parts/valid.csv", **columns, like=train, unknown="drop")
    given = {"early_stopping": 1, "validation_metric": "ndcg@10", "validate_every": 1}
    model = tr.MatrixFactorization(4, n_epochs=2, random_state=0, **given)
    model.fit(train, validation=valid)
    best = model.history_[model.best_epoch_ - 1]
    assert told["validation_ndcg@10"] == best["validation_ndcg@10"]
    assert given.items() <= tr.load(path).get_params().items()


@pytest.mark.parametrize("name", ["fit", "tune"])
def test_what_validation_has_of_training_is_said_of_the_files(name, shop, command, tmp_path):
    if name == "tune":
        pytest.importorskip("optuna")
    train = shop / "parts/train.csv"
    header, *lines = train.read_text().splitlines(keepends=True)
    held_out = tmp_path / "held_out.csv"
    valid = (shop / "parts/valid.csv").read_text().splitlines(keepends=True)[1:]
    held_out.write_text("".join([header, *lines[:2], *valid]))
    of = {"fit": ["--epochs", "1"], "tune": ["--trials", "1", "--space", "n_epochs=1,2"]}[name]
    arguments = [train, "--validation", held_out, "-o", tmp_path / "m.model", *of, "--quiet"]
    code, _, said = command(name, *arguments)
    assert code == 0 and said.count("\n") == 1
    assert f"positives in {held_out} are in {train} too and are left out" in said


def test_negatives_are_learnt_from_whatever_their_values(shop, as_json, command, tmp_path):
    train = shop / "parts/train.csv"
    data = tr.Interactions.read(train, value="value", timestamp="time")
    likes = data.filter(min_value=1.0)
    known = likes.tocsr().toarray() > 0
    pairs = np.argwhere(~known)[:: known.size // 50]
    dislikes = tmp_path / "dislikes.csv"
    rows = [f"{likes.user_ids[u]},{likes.item_ids[i]},0.1" for u, i in pairs.tolist()]
    dislikes.write_text("\n".join(["user,item,value", *rows, "nobody,nothing,0.1"]) + "\n")
    path = tmp_path / "m.safetensors"
    options = [*SMALL, "--min-value", "1", "--negatives", dislikes, "-o", path]
    as_json("fit", train, *options)
    given = tr.Interactions.from_arrays(
        *pairs.T, shape=known.shape, user_ids=likes.user_ids, item_ids=likes.item_ids
    )
    model = tr.MatrixFactorization(4, n_epochs=2, random_state=0).fit(likes, negatives=given)
    np.testing.assert_array_equal(tr.load(path).item_factors_, model.item_factors_)
    plain = tr.MatrixFactorization(4, n_epochs=2, random_state=0).fit(likes)
    assert not np.array_equal(plain.item_factors_, model.item_factors_)
    code, _, said = command("fit", train, *SMALL, "--negatives", train, "-o", path)
    assert code == 1 and "negatives must not be positives too" in said
    dislikes.write_text("user,item\nnobody,nothing\n")
    code, _, said = command("fit", train, *SMALL, "--negatives", dislikes, "-o", path)
    assert code == 1 and "dislikes.csv" in said.splitlines()[-1]


def test_progress_is_on_stderr_unless_quiet(shop, command, tmp_path):
    arguments = ["fit", shop / "parts/train.csv", *SMALL, "-o", tmp_path / "m.safetensors"]
    code, out, err = command(*arguments)
    assert code == 0 and "2/2" in err and out.startswith("name\tvalue\n")
    assert command(*arguments, "--quiet")[2] == ""


def test_presets_losses_and_settings(shop, as_json, tmp_path):
    path = tmp_path / "m.safetensors"
    train = shop / "parts/train.csv"
    as_json("fit", train, "--preset", "softmax", *SMALL, "--set", "n_negatives=all", "-o", path)
    model = tr.load(path)
    assert (model.loss, model.n_negatives) == ("softmax", "all")
    assert model.companions_["scorer"] == "cosine"


@pytest.mark.thorough
def test_each_option_is_of_the_kind_that_the_model_takes(shop, as_json, tmp_path):
    """Those of parameters that the other tests do not give."""
    path, checkpoint, train = tmp_path / "m.model", tmp_path / "c.model", shop / "parts/train.csv"
    options = ["--preset", "softmax", *SMALL, "--history", "0.5", "--jobs", "1", "--checkpoint"]
    as_json("fit", train, *options, checkpoint, "-o", path)
    assert (tr.load(path).history, tr.load(path).n_jobs) == (0.5, 1)
    assert not checkpoint.exists()  # for the fit is complete
    as_json("fit", train, "--loss", "hinge", *SMALL, "--no-seen", "-o", path)
    assert tr.load(path).loss == "hinge" and tr.load(path).seen_ is None


def test_features(shop, as_json, tmp_path):
    path = tmp_path / "m.safetensors"
    features = ["--model", "two-tower", "--item-features", shop / "items.csv"]
    told = as_json("fit", shop / "parts/train.csv", *SMALL, *features, "-o", path)
    assert told["model"] == "TwoTower"
    assert tr.load(path).item_encoding_["n_columns"] > 0


@pytest.mark.thorough
def test_features_of_users(shop, as_json, tmp_path):
    path, users = tmp_path / "m.safetensors", tmp_path / "users.csv"
    ids = tr.Interactions.read(shop / "parts/train.csv").user_ids
    users.write_text("user_id,age\n" + "".join(f"{each},{n}\n" for n, each in enumerate(ids)))
    features = ["--model", "two-tower", "--user-features", users, "--history", "0.2"]
    as_json("fit", shop / "parts/train.csv", *SMALL, "--loss", "softmax", *features, "-o", path)
    assert tr.load(path).user_encoding_["n_columns"] > 0 and tr.load(path).history == 0.2


def test_features_of_numbers_that_are_texts(as_json, tmp_path):
    (tmp_path / "log.csv").write_text("user,item\na,007\nb,12\nb,007\na,3\n")
    (tmp_path / "items.csv").write_text("item,kind\n007,x\n12,y\n3,x\n")
    features = ["--model", "two-tower", "--item-features", tmp_path / "items.csv"]
    path = tmp_path / "m.safetensors"
    assert as_json("fit", tmp_path / "log.csv", *SMALL, *features, "-o", path)["items"] == 3


@pytest.mark.parametrize("name", ["popularity", "ease"])
def test_models_without_epochs(name, shop, as_json, command, tmp_path):
    path = tmp_path / "m.safetensors"
    validation = ["--validation", shop / "parts/valid.csv"]
    told = as_json("fit", shop / "parts/train.csv", "--model", name, *validation, "-o", path)
    assert told["model"].lower() == name and "epochs" not in told
    measured = as_json("evaluate", path, shop / "parts/test.csv")
    assert (measured["model"] == measured["popularity"]) == (name == "popularity")
    assert command("recommend", path, "-k", "1")[0] == command("info", path)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "magic"], "preset must be 'bpr' or 'softmax'"),
        (["--model", "mlp", "--preset", "softmax"], "the model mlp has none"),
        (["--model", "magic"], "invalid choice"),
        (["--loss", "magic"], "loss must be one of"),
        (["--epochs", "0"], "--epochs: must be an integer >= 1, got '0'"),
        (["--model", "ease", "--epochs", "2"], "the model ease has no parameter 'n_epochs'"),
        (["--model", "ease", "--weighted"], "--weighted: the model ease has no use for it"),
        (
            ["--model", "popularity", "--negatives", "x.csv"],
            "--negatives: the model popularity has no use",
        ),
        (["--set", "magic=1"], "has no parameter 'magic'"),
        (["--set", "n_factors"], "--set must be NAME=VALUE"),
        (["--set", "learning_rate=-1"], "learning_rate must be"),
        (["--jobs", "0"], "n_jobs must be"),
        (["--early-stopping", "2"], "--early-stopping needs --validation"),
        (["--metric", "mrr"], "--metric needs --validation"),
        (["--seed", "-1"], "--seed: must be from 0 to 2**63 - 1, got '-1'"),
        (["--history", "items"], "--history: must be a number from 0 to 1, got 'items'"),
        (["--history", "1.5"], "--history: must be a number from 0 to 1, got '1.5'"),
        (["--history", "0.5"], "history must be 0 with a loss of triplets"),
        (["--min-value", "nan"], "--min-value: must be a finite number, got 'nan'"),
        (["--item-features", "x.csv"], "--item-features needs --model two-tower"),
        (["--metric", "magic", "--early-stopping", "2"], "validation_metric must be"),
    ],
)
def test_what_is_not_typed_as_it_must_be(arguments, message, shop, refused, tmp_path):
    path = tmp_path / "m.safetensors"
    assert message in refused("fit", shop / "parts/train.csv", *arguments, "-o", path, "--quiet")
    assert not path.exists()


@pytest.mark.parametrize("events", ["", "*.csv", "**/*.csv"])
@pytest.mark.parametrize("option", ["-o", "--checkpoint"])
def test_no_file_of_a_folder_or_pattern_is_replaced(events, option, shop, refused, tmp_path):
    inside = tmp_path / "events" / "a.csv"
    inside.parent.mkdir()
    shutil.copy(shop / "parts/train.csv", inside)
    before = inside.read_bytes()
    outputs = {"-o": tmp_path / "m.safetensors", option: inside}
    words = [word for pair in outputs.items() for word in pair]
    train = inside.parent / events
    assert f"{option} must not be a file that is read" in refused("fit", train, *words)
    other = ["fit", shop / "parts/train.csv", "--validation", train]
    assert f"{option} must not be a file that is read" in refused(*other, *words)
    assert inside.read_bytes() == before


def test_where_the_model_cannot_go(shop, failed, refused, tmp_path):
    train = shop / "parts/train.csv"
    assert "-o must be in a folder" in failed("fit", train, "-o", tmp_path / "none" / "m")
    assert "-o must be a file" in failed("fit", train, "-o", tmp_path)
    before = train.read_bytes()
    assert "must not be a file that is read" in refused("fit", train, "-o", train)
    assert train.read_bytes() == before
    old = tmp_path / "old.safetensors"
    old.write_text("old")
    old.chmod(0o400)
    if not os.access(old, os.W_OK):  # root may write it
        assert "can be written" in failed("fit", train, "-o", old)
        assert old.read_text() == "old"


def test_an_old_model_stays_if_the_fit_fails(shop, failed, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_text("old")
    train = shop / "parts/train.csv"
    assert "holds all positives" in failed("fit", train, "--validation", train, "-o", path)
    assert path.read_text() == "old"
