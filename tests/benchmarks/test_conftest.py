"""`pytest --benchmark`: what suites import is found, and a results file is named only if there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, search=ROOT):
    """Return the exit code and what pytest says."""
    command = [sys.executable, "-m", "pytest", "--benchmark", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(search), str(ROOT)])},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.thorough
def test_suites_find_the_modules_beside_them(tmp_path):
    (tmp_path / "say.py").write_text(
        "def pytest_collection_finish():\n"
        "    from importlib.util import find_spec\n"
        "    print(find_spec('keras_models').origin)\n"
    )
    code, said = run("-p", "say", "--collect-only", "benchmarks/bench_training.py", search=tmp_path)
    assert code == 0 and "test_loss[bpr]" in said
    assert str(ROOT / "benchmarks" / "keras_models.py") in said


@pytest.mark.thorough
def test_results_are_named_only_where_there_are_some(tmp_path):
    code, said = run("benchmarks/bench_training.py", "-k", "nomatch")
    assert code == 5 and "results:" not in said
    code, said = run("benchmarks/bench_training.py", "--benchmark-json", tmp_path / "no" / "x.json")
    assert code == 4 and f"there is no folder {tmp_path / 'no'}" in said
