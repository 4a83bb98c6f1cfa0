"""The command as a whole: from a table to lists, help, exit codes, and how it ends."""

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tripletrec as tr
from tiers import quick_rows
from tripletrec.cli import main
from tripletrec.cli.command import build_parser

COMMANDS = [
    "describe", "split", "fit", "evaluate", "compare", "recommend", "similar", "report", "info", "tune",
    "reproduce",
]  # fmt: skip


def test_from_a_table_to_lists(shop, tmp_path, command, monkeypatch):
    """The five lines of the README, as they stand there; the file that it makes up is another one here."""
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    block = readme.partition("## From the shell")[2].split("```")[1]
    lines = [line for line in block.splitlines() if line.startswith("tripletrec ")]
    assert [line.split()[1] for line in lines] == [
        "describe", "split", "fit", "evaluate", "recommend"
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.csv").write_bytes((shop / "events.csv").read_bytes())
    for line in lines:
        code, out, err = command(*shlex.split(line)[1:])
        assert code == 0, err
        assert "error" not in err
        assert out or "recommend" in line
    model = tr.load("model.safetensors")
    lists = (tmp_path / "lists.csv").read_text().splitlines()
    assert lists[0] == "user,item,rank,score"
    assert len(lists) == 1 + len(model.recommend(k=20, output="pandas"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name, capsys):
    with pytest.raises(SystemExit) as exit:
        main([name, "--help"])
    assert exit.value.code == 0
    assert f"example:\n  tripletrec {name}" in capsys.readouterr().out


def test_all_commands_are_in_the_help():
    words = build_parser().format_help().split()
    assert set(COMMANDS) <= set(words)


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"tripletrec {tr.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a command: describe, split"),
        (["train"], "invalid choice: 'train'"),
        (["describe"], "required: events"),
        (["describe", "x.csv", "--surprise"], "unrecognized arguments: --surprise"),
    ],
)
def test_what_is_no_command(arguments, message, refused):
    assert message in refused(*arguments)


def options_with_values():
    """Each option of each command that does not take any text: (command, option)."""
    (commands,) = (each for each in build_parser()._actions if isinstance(each.choices, dict))
    assert set(commands.choices) == set(COMMANDS)
    for name, parser in commands.choices.items():
        for action in parser._actions:
            if action.option_strings and (action.type not in (None, Path) or action.choices):
                yield name, action.option_strings[0]


OPTIONS = list(options_with_values())


@pytest.mark.parametrize(("name", "option"), quick_rows(OPTIONS, *OPTIONS[::2]))
def test_no_option_takes_nonsense(name, option, refused, shop, tmp_path, monkeypatch):
    """Usage errors are told before the work, whatever the data."""
    monkeypatch.chdir(tmp_path)
    model, data = shop / "model.safetensors", shop / "parts" / "test.csv"
    positional = {
        "describe": [data], "split": [data, "-o", "p"], "fit": [data, "-o", "m"], "evaluate": [model, data],
        "compare": [model, "--test", data], "recommend": [model], "similar": [model, "x"], "info": [model],
        "report": [model, "--test", data, "-o", "r.html"], "tune": [data, "-o", "m"], "reproduce": [],
    }  # fmt: skip
    values = ["x", "nan", "1e999"]
    if option not in (  # a number of these may be 0, or no number is wanted
        "--history",
        "--min-value",
        "--seed",
        "--by",
        "--format",
        "--refit",
        "--model",
        "--duplicates",
    ):
        values += ["0"] if option == "--jobs" else ["0", "-1"]
    for value in values:
        message = refused(
            name, *positional[name], f"{option}={value}" if "--" in option else option + value
        )
        assert message.startswith(f"tripletrec {name}: error: ")
    assert not list(tmp_path.iterdir())


def test_errors_are_one_sentence_and_debug_shows_where(failed, tmp_path):
    missing = tmp_path / "missing.csv"
    assert "there is no file or folder" in failed("describe", missing)
    with pytest.raises(FileNotFoundError):
        main(["describe", str(missing), "--debug"])


def test_ctrl_c(shop, command, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tr.MatrixFactorization, "fit", interrupted)
    code, out, err = command(
        "fit", shop / "parts/train.csv", "-o", shop / "other.safetensors", "--quiet"
    )
    assert (code, out, err) == (130, "", "tripletrec: interrupted\n")
    assert not (shop / "other.safetensors").exists()


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [(KeyboardInterrupt, 130, "interrupted"), (ValueError, 1, "error: gone")],
)
def test_notes_of_an_error_are_said(kind, code, text, shop, command, monkeypatch):
    def failing(*arguments, **options):
        error = kind("gone")
        error.add_note("the best until then\nwas 3")
        raise error

    monkeypatch.setattr(tr.MatrixFactorization, "fit", failing)
    ended = command("fit", shop / "parts/train.csv", "-o", shop / "other.safetensors", "--quiet")
    assert ended == (code, "", f"tripletrec: {text}\ntripletrec: note: the best until then was 3\n")


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", r"\xfc\u20ac"), ("latin-1", r"ü\u20ac"), ("utf-8", "ü€")]
)
def test_what_standard_output_cannot_take_is_escaped(encoding, shown, monkeypatch, tmp_path):
    data = tr.Interactions.from_frame({"user": ["a", "b"], "item": ["ü€", "a"]})
    tr.Popularity().fit(data).save(tmp_path / "m")
    for more in ([], ["--json"]):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["recommend", str(tmp_path / "m"), "-k", "1", "--quiet", *more]) == 0
        assert stdout.errors == "strict"
        text = stdout.buffer.getvalue().decode(encoding)
        if more:
            assert json.loads(text)[1]["items"] == ["ü€"]
        else:
            assert text.splitlines()[2].split("\t")[1] == shown


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are texts")
def test_a_file_whose_name_is_no_text(shop, monkeypatch, tmp_path):
    stdout = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdout", stdout)
    path = tmp_path / "m\udcff"
    fit = ["fit", str(shop / "parts/train.csv"), "--epochs", "1", "-o", str(path), "--quiet"]
    assert main([*fit, "--json"]) == 0
    assert json.loads(stdout.buffer.getvalue())["file"] == str(path)


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [Terminal, io.TextIOWrapper])
def test_no_id_steers_a_terminal(kind, monkeypatch, tmp_path, capsys):
    """What is handed on, to a file or a pipe, stays as it is."""
    items = ["red \x1b[31m", "a\u202eb\x9b\u2066", "a\tb\nü"]
    data = tr.Interactions.from_frame({"user": [1, 2, 3], "item": items})
    tr.Popularity().fit(data).save(tmp_path / "m")
    monkeypatch.setattr(sys, "stdout", stdout := kind(io.BytesIO(), "utf-8", newline="\n"))
    assert main(["recommend", str(tmp_path / "m"), "-k", "3", "--with-seen", "--quiet"]) == 0
    text = stdout.buffer.getvalue().decode()
    shown = ["red \\x1b[31m", r"a\u202eb\x9b\u2066", "a\tb\nü"] if kind is Terminal else items
    assert all(each in text for each in shown) and text.count("\t") == 3 + 9 * 3 + 3


def test_no_name_of_a_file_steers_a_terminal(failed, tmp_path):
    path = tmp_path / "m\x1b[31m"
    path.write_bytes(b"nothing")
    for arguments in (["info", path], ["info", f"{path}2"], ["fit", path, "-o", tmp_path / "m"]):
        assert "\x1b" not in (said := failed(*arguments)) and r"m\x1b[31m" in said


class ClosedPipe:
    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError

    def fileno(self):
        raise ValueError

    def isatty(self):
        return False


def test_a_broken_pipe_is_silent(shop, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", ClosedPipe())
    assert main(["recommend", str(shop / "model.safetensors"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


class FullDisk(ClosedPipe):
    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        self.write("")


@pytest.mark.parametrize("broken", [ClosedPipe, FullDisk])
def test_a_standard_error_that_takes_nothing_loses_no_work(broken, shop, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stderr", broken())
    train, path, parts = shop / "parts/train.csv", tmp_path / "m.safetensors", tmp_path / "parts"
    assert main(["fit", str(train), "--epochs", "1", "-o", str(path)]) == 0
    assert tr.load(path).history_[-1]["epoch"] == 1
    assert main(["split", str(shop / "events.csv"), "--test", "14D", "-o", str(parts)]) == 0
    assert (parts / "test.csv").read_bytes() == (shop / "parts/test.csv").read_bytes()
    assert main(["fit", "nothing.csv", "-o", str(path)]) == 1


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize("fails_at", ["write", "flush"])
def test_a_standard_output_that_takes_nothing_is_named(fails_at, more, shop, monkeypatch, capsys):
    stdout = FullDisk()
    if fails_at == "flush":
        monkeypatch.setattr(stdout, "write", len, raising=False)
        monkeypatch.setattr(stdout, "flush", lambda: FullDisk.write(stdout, ""))
    monkeypatch.setattr(sys, "stdout", stdout)
    for name in ("recommend", "info"):
        assert main([name, str(shop / "model.safetensors"), "--quiet", *more]) == 1
        assert capsys.readouterr().err == (
            "tripletrec: error: cannot write to standard output: No space left on device\n"
        )


def test_a_process_without_standard_output(shop, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    for more in ([], ["--json"]):
        assert main(["describe", str(shop / "events.csv"), "--quiet", *more]) == 0
        assert main(["recommend", str(shop / "model.safetensors"), "--quiet", *more]) == 0
    assert capsys.readouterr().err == ""


LIGHT = """
import sys
from tripletrec.cli import main
code = main(["info", sys.argv[1]])
print(code, *sys.modules, file=sys.stderr)
"""


@pytest.mark.thorough
def test_info_is_light(shop):
    """As a process of its own; what help imports is in test_package."""
    process = [sys.executable, "-c", LIGHT, str(shop / "model.safetensors")]
    done = subprocess.run(process, capture_output=True, encoding="utf-8", check=True)
    code, *modules = done.stderr.split()
    assert code == "0"
    assert not {"numba", "pandas", "scipy", "sklearn", "tqdm", "matplotlib"} & set(modules)


def test_the_package_can_be_run(shop):
    process = [sys.executable, "-m", "tripletrec", "similar", shop / "model.safetensors", "nothing"]
    done = subprocess.run(process, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tripletrec: error: unknown item id 'nothing'")
