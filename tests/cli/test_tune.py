"""``tripletrec tune``."""

import sys

import pytest

import tripletrec as tr

SMALL = ["--epochs", "2", "--factors", "4", "--trials", "3"]


def test_trials_and_the_best_model(shop, table, as_json, tmp_path):
    pytest.importorskip("optuna")
    path = tmp_path / "m.safetensors"
    arguments = [
        "tune", shop / "parts/train.csv", *SMALL, "--validation", shop / "parts/valid.csv",
        "--space", "learning_rate=0.01:0.5:log", "--space", "n_factors=2,4", "-o", path,
    ]  # fmt: skip
    header, rows = table(*arguments)
    assert header == ["number", "state", "value", "epochs", "seconds", "learning_rate", "n_factors"]
    told = as_json(*arguments)
    assert [str(each["n_factors"]) for each in told["trials"]] == [row[-1] for row in rows]
    assert told["trials"][0]["n_factors"] == 4  # what was asked for comes first
    assert tr.load(path).n_factors == told["best_params"]["n_factors"]
    assert sum(told["importance"].values()) == pytest.approx(1)


def test_neither_a_full_disk_nor_a_closed_pipe_loses_the_search(
    shop, command, tmp_path, monkeypatch
):
    pytest.importorskip("optuna")
    path, save = tmp_path / "m.safetensors", tr.MatrixFactorization.save
    arguments = [
        "tune",
        shop / "parts/train.csv",
        *SMALL[:-1],
        "1",
        "--space",
        "n_factors=4",
        "-o",
        path,
    ]

    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tr.MatrixFactorization, "save", full)
    code, printed, said = command(*arguments)
    assert code == 1 and "error: [Errno 28] No space" in said and "with n_factors=4" in said
    assert [line.split("\t")[-1] for line in printed.splitlines()] == ["n_factors", "4"]
    assert not path.exists()
    monkeypatch.setattr(tr.MatrixFactorization, "save", save)

    def closed(text):
        raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "write", closed)
        code, _, _ = command(*arguments)
    assert code == 0 and tr.load(path).n_factors == 4


@pytest.mark.thorough
def test_options_of_the_search_and_of_the_model(shop, as_json, tmp_path):
    pytest.importorskip("optuna")
    path = tmp_path / "m.safetensors"
    arguments = [
        "tune", shop / "parts/train.csv", *SMALL[:-1], "2", "--preset", "softmax", "--history", "0.5",
        "--metric", "recall@5", "--timeout", "600", "--storage", f"sqlite:///{tmp_path / 'trials.db'}",
        "--space", "learning_rate=0.05,0.1", "--refit", "train", "--seed", "1", "-o", path,
    ]  # fmt: skip
    told = as_json(*arguments)
    model = tr.load(path)
    assert (model.history, model.random_state) == (0.5, 1) and len(told["trials"]) == 2
    train = tr.Interactions.read(shop / "parts/train.csv")
    assert 0 < model.seen_.nnz < train.nnz  # not with what validates


def test_what_is_refused(shop, refused, tmp_path):
    arguments = ["tune", shop / "parts/train.csv", *SMALL, "-o", tmp_path / "m.safetensors"]
    assert "--metric must be one of" in refused(*arguments, "--metric", "magic")
    assert "--space must be NAME=VALUE" in refused(*arguments, "--space", "n_factors")
    assert "--storage must be a URL" in refused(*arguments, "--storage", "trials.db")
    assert "--timeout: must be a finite number > 0, got '0'" in refused(
        *arguments, "--timeout", "0"
    )
    pytest.importorskip("optuna")
    for space, message in (
        ("magic=1:2", "no parameter of MatrixFactorization"),
        ("n_factors=9:2", "must have low <= high"),
        ("n_factors=8,0", "n_factors must be an integer >= 1, got 0"),
        ("learning_rate=-1.0:1.0", "learning_rate must be a finite number > 0, got -1.0"),
        ("loss=bpr,magic", "loss must be one of"),
    ):
        assert message in refused(*arguments, "--space", space)
    assert "has no parameter to be tuned" in refused(
        *arguments[:2], *arguments[-2:], "--model", "popularity"
    )


def test_without_optuna_it_says_what_to_install(shop, failed, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    arguments = ["tune", shop / "parts/train.csv", *SMALL, "-o", tmp_path / "m.safetensors"]
    assert "pip install optuna" in failed(*arguments)
