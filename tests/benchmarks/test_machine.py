"""What is timed is what kernels do, in any version."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = """
from importlib import import_module
from machine import NUMPY_FIRST, by_kernels
by_kernels()
for name in NUMPY_FIRST:
    print(import_module("tripletrec.training." + name)._FIRST.covers(0))
"""


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import machine

    return machine


def test_all_that_numpy_does_first_is_known(machine):
    sources = (ROOT / "tripletrec").rglob("*.py")
    found = {
        file.stem for file in sources if re.search(r"^\w+ = FirstWork\(", file.read_text(), re.M)
    }
    assert found == set(machine.NUMPY_FIRST)


def test_nothing_is_left_to_numpy():
    code = f"import sys; sys.path.append({str(ROOT / 'benchmarks')!r})\n{ASK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 3


def test_versions_without_it_are_left_alone(machine, monkeypatch):
    monkeypatch.setattr(machine, "NUMPY_FIRST", ("no_such_module", "plan"))
    machine.by_kernels()
