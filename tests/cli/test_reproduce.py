"""The command ``tripletrec reproduce``: what it prints, writes and refuses."""

import json
import sys

import pytest

import tripletrec as tr
from tripletrec.cli import main


@pytest.fixture
def fetch(monkeypatch, tiny_movielens):
    """Give the tiny set for the real one, and count how often it was asked for."""
    calls = []

    def fetch_movielens_100k(data_home=None, *, verbose=False):
        calls.append(data_home)
        print("fetching ...") if verbose else None
        return tiny_movielens

    monkeypatch.setattr(tr.datasets, "fetch_movielens_100k", fetch_movielens_100k)
    return calls


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "--seeds", "0"], "--seeds must be an integer >= 1, got 0"),
        (["reproduce", "--seeds", "x"], "--seeds"),
        (["reproduce", "--systems", "K1,K7"], "--systems must be among K1, K2,"),
        (["reproduce", "--n-jobs", "0"], "n_jobs must be"),
        (["reproduce", "--surprise"], "unrecognized arguments: --surprise"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_fetched(arguments, message, capsys, fetch):
    assert message in refused(capsys, *arguments)
    assert fetch == []


def test_bad_plots_are_refused_before_anything_is_fetched(capsys, fetch, tmp_path):
    pytest.importorskip("matplotlib")
    assert "must end in one of" in refused(capsys, "reproduce", "--plot", str(tmp_path / "x.docx"))
    assert main(["reproduce", "--plot", str(tmp_path / "none" / "x.png")]) == 1
    assert "--plot must be in a folder" in capsys.readouterr().err
    assert fetch == []


@pytest.mark.parametrize(
    ("path", "message"),
    [("no/such/folder/x.json", "--json must be in a folder"), (".", "--json must be a file")],
)
def test_what_cannot_be_written_is_told_before_anything_is_fetched(path, message, capsys, fetch):
    """With the exit code of all commands that cannot write."""
    assert main(["reproduce", "--json", path]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err and printed.err.count("\n") == 1
    assert fetch == []


def test_plots_without_matplotlib_say_what_to_install(capsys, fetch, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = refused(capsys, "reproduce", "--plot", str(tmp_path / "x.png"))
    assert "pip install matplotlib" in message


def test_report_json_and_plot(capsys, fetch, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ["reproduce", "--systems", "K2,K1", "--seeds", "1", "--data-home", "somewhere"]
    files = {"--json": tmp_path / "r.json", "--plot": tmp_path / "r.png"}
    for option, path in files.items():
        path.write_text("old")
        arguments += [option, str(path)]
    assert main(arguments) == 0
    assert fetch == ["somewhere"]
    printed = capsys.readouterr()
    assert printed.out.startswith("The Keras reference systems")
    assert "25/25" in printed.err
    assert "fetching" in printed.err
    assert list(json.loads(files["--json"].read_text())["systems"]) == ["K1", "K2"]
    assert files["--plot"].read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "r.png"]


def test_json_in_place_of_the_report(capsys, fetch):
    assert main(["reproduce", "--systems", "K2", "--seeds", "1", "--quiet", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["systems"]) == ["K2"]


def test_quiet(capsys, fetch):
    assert main(["reproduce", "--systems", "K2", "--seeds", "1", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_systems_without_a_replica_are_listed(capsys, fetch):
    assert main(["reproduce", "--systems", "K6", "--quiet"]) == 0
    assert "no number published" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError("no source gives the data"), 1, "tripletrec: error: no source gives the data\n"),
        (KeyboardInterrupt(), 130, "tripletrec: interrupted\n"),
    ],
)
def test_no_data_and_ctrl_c(error, code, message, capsys, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(tr.datasets, "fetch_movielens_100k", fail)
    assert main(["reproduce"]) == code
    assert capsys.readouterr().err == message
