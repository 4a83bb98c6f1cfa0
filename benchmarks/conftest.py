"""Shared by the suites: MovieLens-100K if it can be had, and lines for the end of the report."""

import sys
from pathlib import Path

import pytest

import tripletrec as tr

# Suites import what lies beside them; with pytest's import mode "importlib" their folder is on no path.
sys.path.append(str(Path(__file__).parent))

_LINES = pytest.StashKey[list]()


@pytest.fixture(scope="session")
def show(pytestconfig):
    """Function that keeps a line to be printed after all results."""
    return pytestconfig.stash.setdefault(_LINES, []).append


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash.get(_LINES, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def movielens():
    """MovieLens-100K, from the cache or else from the network."""
    try:
        return tr.datasets.fetch_movielens_100k()
    except OSError as error:
        pytest.skip(f"MovieLens-100K cannot be fetched: {error}")
