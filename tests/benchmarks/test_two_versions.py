"""The turns, the processes and the tables of `benchmarks/two_versions.py`; no time is looked at."""

from argparse import Namespace
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
STUB = """
full_auc = None

class MatrixFactorization:
    def __init__(self, **settings):
        pass

    def fit(self, data):
        return self

class datasets:
    @staticmethod
    def make_interactions(*sizes, random_state):
        return None
"""


@pytest.fixture
def two_versions(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import two_versions

    return two_versions


@pytest.fixture
def versions(two_versions, tmp_path):
    """Two checkouts of next to nothing."""
    roots = {name: tmp_path / name for name in ("before", "after")}
    for root in roots.values():
        (root / "tripletrec").mkdir(parents=True)
        (root / "tripletrec" / "__init__.py").write_text(STUB, "utf-8")
    options = Namespace(**roots, quick=True, repeats=2, gowalla=None)
    return two_versions.Versions(options, tmp_path)


def test_versions_take_turns(two_versions):
    turns = [two_versions.turn(number) for number in range(3)]
    assert turns == [("before", "after"), ("after", "before"), ("before", "after")]


@pytest.mark.thorough
def test_each_version_is_a_process_of_its_own_checkout(two_versions, versions):
    samples = versions.new_processes("later")
    assert list(samples) == [
        "first fit of a later process",
        "first fit of a later process, with all of its process",
    ]
    for mine in samples.values():
        assert [len(mine[version]) for version in ("before", "after")] == [2, 2]
    versions.roots["after"] = versions.roots["before"].parent  # no version there
    with pytest.raises(two_versions.PeerError, match="^after "):
        versions.new_processes("later")


@pytest.mark.thorough
def test_processes_that_go_on_running(versions):
    samples = versions.in_turn("first")
    assert list(samples) == ["fit"] and len(samples["fit"]["after"]) == 2


def test_ratios_are_those_of_pairs(two_versions):
    sample = two_versions.Sample
    before = [sample(4.0, 2.0), sample(9.0, 3.0)]
    after = [sample(2.0, 2.0), sample(3.0, 2.0)]
    lines = two_versions.table({"fit": {"before": before, "after": after}})
    assert lines[-1].startswith("| fit | 6.500 (4.000-9.000) | 2.500 (2.000-3.000) |")
    assert lines[-1].endswith("| 2.500 (2.000-3.000) | 1.250 (1.000-1.500) | 2 |")
