"""Tests that take minutes are run when they are asked for: ``pytest -m slow_cluster tests/cluster``."""

import pytest

from tripletrec.cluster import driver
from tripletrec.cluster.store import commit_epoch


def pytest_collection_modifyitems(config, items):
    if "slow_cluster" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("slow_cluster"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: pytest -m slow_cluster"))


@pytest.fixture
def commits(monkeypatch):
    """The numbers of the epochs that drivers keep from here on."""
    numbers = []

    def note(folder, committed):
        numbers.append(committed.number)
        commit_epoch(folder, committed)

    monkeypatch.setattr(driver, "commit_epoch", note)
    return numbers
