"""What tests of the command share: a folder with events, their parts and a model, and how they run it."""

import json

import pytest

import tripletrec as tr
from tripletrec.cli import main


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A folder with events.csv, parts/ and model.safetensors; never modified."""
    folder = tmp_path_factory.mktemp("shop")
    shop = tr.datasets.make_events(40, 30, 600, n_days=60, random_state=0)
    shop.events.to_csv(folder / "events.csv", index=False)
    shop.items.to_csv(folder / "items.csv", index=False)
    parts, model = str(folder / "parts"), str(folder / "model.safetensors")
    assert main(["split", str(folder / "events.csv"), "--test", "14D", "-o", parts, "--quiet"]) == 0
    fit = ["fit", f"{parts}/train.csv", "--epochs", "2", "--factors", "6", "-o", model, "--quiet"]
    assert main(fit) == 0
    return folder


@pytest.fixture
def command(capsys):
    """Run the command: (code, what it prints, what it says)."""

    def run(*arguments):
        code = main([str(each) for each in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def table(command):
    """Run the command and return the header and the rows that it prints."""

    def run(*arguments):
        code, out, err = command(*arguments)
        assert code == 0, err
        header, *rows = [line.split("\t") for line in out.splitlines()]
        assert all(len(row) == len(header) for row in rows)
        return header, rows

    return run


@pytest.fixture
def as_json(command):
    """Run the command with --json and return what it prints."""

    def run(*arguments):
        code, out, err = command(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def failed(command):
    """Run the command, which fails on its data: what it says, one sentence."""

    def run(*arguments):
        code, out, err = command(*arguments, "--quiet")
        assert (code, out) == (1, "")
        assert err.startswith("tripletrec: error: ")
        assert err.count("\n") == 1
        return err

    return run


@pytest.fixture
def refused(capsys):
    """Run the command, which is not typed as it must be: what it says, one sentence."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit:
            main([str(each) for each in arguments])
        printed = capsys.readouterr()
        assert (exit.value.code, printed.out) == (2, "")
        assert printed.err.count("\n") == 1
        return printed.err

    return run
