"""Tests that take minutes are run when they are asked for: ``pytest -m slow_cluster tests/cluster``."""

import pytest


def pytest_collection_modifyitems(config, items):
    if "slow_cluster" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("slow_cluster"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: pytest -m slow_cluster"))
