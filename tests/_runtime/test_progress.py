"""The progress bar: where it is written, what it shows, that it is closed."""

import io
import threading

import numpy as np
import pytest

from contracts.support import run_python
from tripletrec._runtime.jit import kernel
from tripletrec._runtime.progress import Progress


def test_it_is_on_standard_error_and_closed_after_an_error(capfd):
    with pytest.raises(KeyError), Progress(5, "work", "piece", shown=True, done=1) as progress:
        progress.advance(loss=0.51239, what="me")
        progress.advance(2)
        raise KeyError
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith("\n")
    for text in ("work", "4/5", "loss=0.5124", "what=me"):
        assert text in err


def test_nothing_is_shown_or_imported_unless_asked(capfd):
    with Progress(5, "work", "piece", shown=False) as progress:
        progress.advance(loss=0.5)
    assert capfd.readouterr() == ("", "")
    code = """
import sys
from tripletrec._runtime.progress import Progress
with Progress(5, "work", "piece", shown=False) as progress:
    progress.advance()
print("tqdm" in sys.modules)
"""
    assert run_python(code).split() == ["False"]


def test_a_process_without_standard_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with Progress(2, "work", "piece", shown=True) as progress:
        progress.advance(loss=0.5)


class Broken(io.StringIO):
    """A pipe that nobody reads, or a full disk, from some write on."""

    def __init__(self, error, n_taken):
        super().__init__()
        self.error, self.left = error, n_taken

    def write(self, text):
        self.flush()
        self.left -= 1

    def flush(self):
        if self.left <= 0:
            raise self.error


@pytest.mark.parametrize("n_taken", [0, 3])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "no space"), ValueError("closed")]
)
def test_a_bar_that_cannot_be_written_loses_no_work(error, n_taken, monkeypatch):
    monkeypatch.setattr("sys.stderr", Broken(error, n_taken))
    with Progress(3, "work", "piece", shown=True) as progress:
        progress.advance(loss=0.5)
        thread = threading.Thread(target=progress.advance, daemon=True)
        thread.start()
        thread.join(60.0)
        assert not thread.is_alive()  # no lock was left behind
        progress.advance()


@pytest.mark.parametrize(("module", "seconds"), [("ipykernel.iostream", 0.1), ("io", 10.0)])
@pytest.mark.parametrize("delay", [0.0, 10.0])
def test_it_moves_where_someone_looks_at_it_and_seldom_in_a_file(
    module, seconds, delay, monkeypatch
):
    """A stream of a notebook says that it is no terminal."""
    given = []
    monkeypatch.setattr("sys.stderr", type("OutStream", (io.StringIO,), {"__module__": module})())
    monkeypatch.setattr("tqdm.auto.tqdm", lambda **options: given.append(options["mininterval"]))
    Progress(3, "work", "piece", shown=True, delay=delay)
    assert given == [seconds]


def test_standard_error_that_is_closed(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    with Progress(2, "work", "piece", shown=True) as progress:
        progress.advance(loss=0.5)


def add_one(x):
    x[0] += 1.0


def test_it_says_that_code_is_compiled_unless_it_is_on_disk(monkeypatch, tmp_path, capfd):
    """Until something is done; the second kernel is another one of the same code, as in a second process."""
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    x = np.zeros(1)
    for compiling in (True, False):
        with Progress(2, "work", "piece", shown=True) as progress:
            kernel(add_one)(x)
            assert ("work (compiling):" in capfd.readouterr().err) == compiling
            progress.advance(2)
        assert "work: 100%" in capfd.readouterr().err
    assert x[0] == 2.0


def test_a_bar_that_is_closed_or_not_yet_shown_says_nothing(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    with Progress(1, "work", "piece", shown=True):
        pass
    capfd.readouterr()
    with Progress(1, "late", "piece", shown=True, delay=60.0):
        kernel(add_one)(np.zeros(1))
    assert capfd.readouterr() == ("", "")
