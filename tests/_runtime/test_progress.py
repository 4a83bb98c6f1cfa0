"""The progress bar: where it is written, what it shows, that it is closed."""

import pytest

from contracts.support import run_python
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
