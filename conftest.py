"""The options of pytest that are ours: ``--thorough``, ``--hostile`` and ``--benchmark``.

Without ``--thorough`` the tests that are marked `thorough` are left out: what costs much and checks in more
combinations, or more often, what a quick test checks once; Hypothesis and the fuzzers in ``tests/hostile/``
then try a tenth of their examples. A test that is asked for by its name (``file.py::name``) is run anyhow.
``--hostile N`` lets the fuzzers try N times as many inputs as ``--thorough`` does. With ``--benchmark`` the
suites in ``benchmarks/`` are run and nothing else; without it they are never run. Nothing here judges a
time: results go to a JSON file.
"""

from __future__ import annotations

import gc
import os
import platform
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

SUITES = Path(__file__).parent / "benchmarks"
PACKAGES = (
    "tripletrec", "numpy", "numba", "llvmlite", "scipy", "pandas", "scikit-learn",
    "pytest-benchmark", "keras", "jax", "tensorflow", "torch",
)  # fmt: skip


# Images of containers tell Python to keep no bytecode. Here that would compile the package and the tests
# again in each worker, and in each of the processes that tests start.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False


def pytest_addoption(parser):
    parser.addoption(
        "--thorough", action="store_true", help="run all tests, also those that take long"
    )
    parser.addoption(
        "--benchmark", action="store_true", help="run the suites in benchmarks/, and only those"
    )
    parser.addoption(
        "--hostile", type=int, default=0, metavar="N",
        help="let the fuzzers in tests/hostile/ try N times as many inputs as with --thorough",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before pytest-benchmark reads its options
def pytest_configure(config):
    if not config.getoption("--benchmark"):
        return
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--benchmark times one thing after the other: leave -n away")
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("--benchmark needs pytest-benchmark: pip install '.[test]'")
    config.addinivalue_line("python_files", "bench_*.py")
    if config.args_source is not config.ArgsSource.ARGS:
        config.args = [str(SUITES)]
    option = config.option
    chosen = option.benchmark_json
    if chosen and not Path(chosen).parent.is_dir():
        raise pytest.UsageError(
            f"--benchmark-json {chosen}: there is no folder {Path(chosen).parent}"
        )
    if not chosen and not option.collectonly:
        folder = SUITES / "results"
        folder.mkdir(exist_ok=True)
        option.benchmark_json = str(folder / f"{datetime.now():%Y%m%d-%H%M%S}.json")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Modules and tests stay to the end: the collector of garbage need not look through them, nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(config, items):
    """Suites with --benchmark and tests without it, whatever paths are given; thorough tests if asked for."""
    wanted = config.getoption("--benchmark")
    kept = [item for item in items if (SUITES in item.path.parents) == wanted]
    named = any("::" in each for each in config.invocation_params.args)
    if not (config.getoption("--thorough") or named or "thorough" in config.option.markexpr):
        kept = [item for item in kept if item.get_closest_marker("thorough") is None]
    if len(kept) < len(items):
        chosen = {id(item) for item in kept}
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in chosen])
        items[:] = kept


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Workers of xdist report a passed test once: sending two reports more takes longer than most tests do.

    What failed or was skipped is reported as ever, and so is a setup or a teardown that took long.
    """
    if not hasattr(item.config, "workerinput"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    passed = all(each.passed for each in reports)
    for each in reports:
        if each.when == "call" or each.duration > 0.01 or not passed:
            item.ihook.pytest_runtest_logreport(report=each)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info.pop("node", None)  # the name of the machine stays private
    machine_info["cores"] = _cores()
    machine_info["load"] = os.getloadavg() if hasattr(os, "getloadavg") else None
    machine_info["platform"] = platform.platform()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config, benchmarks, output_json):
    output_json["packages"] = {name: found for name in PACKAGES if (found := _version(name))}


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    if not config.getoption("--benchmark"):
        return
    written = config.option.benchmark_json
    if written and Path(written).exists():
        terminalreporter.write_line(f"results: {config.option.benchmark_json}")


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
