"""The examples run, on less than they are made for."""

import pytest

from contracts.support import run_python

SMALL = ["--users", "300", "--items", "120", "--events", "5000", "--epochs", "2"]


@pytest.mark.parametrize("name", ["journey"])
def test_example(name):
    code = f"import runpy, sys; sys.argv[0] = 'x'; runpy.run_path('examples/{name}.py', run_name='__main__')"
    printed = run_python(code, *SMALL)
    assert "== New items" in printed
