"""The examples run, on less than they are made for."""

import pytest

from contracts.support import run_python

SMALL = ["--users", "300", "--items", "120", "--events", "5000", "--epochs", "2"]


def run(name, *options):
    code = f"import runpy, sys; sys.argv[0] = 'x'; runpy.run_path('examples/{name}.py', run_name='__main__')"
    return run_python(code, *SMALL, *options)


@pytest.mark.thorough
def test_journey():
    assert "== New items" in run("journey")


@pytest.mark.thorough
def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    output = tmp_path / "pictures.png"
    assert "softmax" in run("pictures", "--output", output)
    assert output.read_bytes().startswith(b"\x89PNG")
