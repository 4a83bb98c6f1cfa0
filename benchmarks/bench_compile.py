"""What a new process pays: importing the package, and a first fit without and with cached kernels.

Whole processes are timed, since that is what a user waits for. Nothing is asserted about time.
"""

import os
import statistics
import subprocess
import sys
import time

import pytest

FIT = """
import time
import numpy as np
import tripletrec as tr
rng = np.random.default_rng(3)
data = tr.Interactions((rng.random((60, 40)) < 0.3).astype(np.float32))
model = tr.MatrixFactorization(n_epochs=1, n_jobs=1, loss={loss!r})
start = time.perf_counter()
model.fit(data)
print(time.perf_counter() - start)
"""
IMPORTS = ("numpy", "tripletrec", "tripletrec.models.factorization")
N_TURNS = 11


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout


def fit(folder, loss="bpr"):
    return float(run(FIT.format(loss=loss), NUMBA_CACHE_DIR=str(folder)))


@pytest.mark.parametrize("state", ["nothing cached", "another loss cached", "all cached"])
def test_first_fit(benchmark, tmp_path_factory, state):
    """One epoch in a new process; `extra_info` has the fit alone, without the imports."""
    benchmark.group = "python -c 'import, 1 epoch': first fit of a process"
    fits = []

    def prepare():
        folder = tmp_path_factory.mktemp("cache")
        if state != "nothing cached":
            fit(folder, "bpr" if state == "all cached" else "hinge")
        return (folder,), {}

    benchmark.pedantic(lambda folder: fits.append(fit(folder)), setup=prepare, rounds=2)
    benchmark.extra_info["fit_seconds"] = statistics.median(fits)


@pytest.fixture(scope="module")
def medians(show):
    """Median seconds of ``python -c "import ..."``, taken in turn: a busy machine slows all."""
    found = {name: [] for name in IMPORTS}
    for _ in range(N_TURNS):
        for name in IMPORTS:
            start = time.perf_counter()
            run(f"import {name}")
            found[name].append(time.perf_counter() - start)
    found = {name: statistics.median(seconds) for name, seconds in found.items()}
    for name, seconds in found.items():
        ratio = seconds / found["numpy"]
        show(f"python -c 'import {name}': {seconds * 1e3:.0f} ms, {ratio:.2f} times that of numpy")
    return found


@pytest.mark.parametrize("name", IMPORTS)
def test_import(benchmark, medians, name):
    benchmark.group = "python -c 'import ...'"
    benchmark.extra_info["median_in_turn"] = medians[name]
    benchmark.extra_info["times_numpy"] = medians[name] / medians["numpy"]
    benchmark.pedantic(run, (f"import {name}",), rounds=5)
