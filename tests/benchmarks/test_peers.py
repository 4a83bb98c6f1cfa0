"""The arithmetic and the processes behind the benchmarks; no time is looked at."""

import argparse
import math
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """A process with a library made up here."""
    import peer_process

    (tmp_path / "with_stub.py").write_text(
        "import os\n"
        "def start():\n"
        "    print('a library that talks')\n"
        "    return 'stub 1'\n"
        "def convert(matrix):\n"
        "    return matrix\n"
        "def fit(data, n_factors, n_epochs, n_threads):\n"
        "    if n_epochs == 0:\n"
        "        raise ValueError('no epochs\\nand more')\n"
        "    if n_epochs < 0:\n"
        "        os._exit(3)\n"
        "def full_auc(U, V, train, test, n_threads):\n"
        "    return lambda: 0.25\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(peer_process.PEERS, "stub", peer_process.Peer("with_stub", None, "stub"))
    with peer_process.Worker("stub", sys.executable, 1) as process:
        yield process


def test_triplets_per_second_with_and_without_set_up():
    from peer_tables import per_second

    included, excluded = per_second(1000, n_epochs=5, long=3.0, short=1.0, convert=2.0)
    assert included == pytest.approx(1000.0)
    assert excluded == pytest.approx(2000.0)
    assert math.isnan(per_second(1000, 5, long=1.0, short=1.0, convert=0.0)[1])


def test_spread_is_the_median_and_the_range():
    from peer_tables import spread

    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00-3.00)"
    assert spread([1234.5], 1) == "1,234.5"
    assert spread([math.nan]) == spread([]) == "-"


def test_ratios_are_those_of_neighbouring_runs():
    from peer_tables import ratio

    assert ratio([2.0, 9.0, 8.0], [1.0, 3.0, 1.0]) == "3.0 (2.0-8.0)"
    assert ratio([2.0, math.nan], [1.0, 3.0]) == "2.0"
    assert ratio([], []) == "-"


def test_markdown_table():
    from peer_tables import markdown

    assert markdown(["", "x"], [["a", 1]]) == ["|  | x |", "| --- | ---: |", "| a | 1 |"]


def test_worker_answers_and_reports_errors(worker, tmp_path):
    from scipy.sparse import eye, save_npz

    import peer_process

    assert worker.ask("start")["versions"] == "stub 1"
    save_npz(tmp_path / "train.npz", eye(5, format="csr"))
    assert worker.ask("load", path=str(tmp_path / "train.npz"))["nnz"] == 5
    settings = {"n_factors": 4, "n_threads": 1}
    assert worker.ask("fit", n_epochs=1, **settings)["seconds"] >= 0
    assert worker.ask("memory")["peak"] > 0
    with pytest.raises(peer_process.PeerError, match="fit failed .ValueError: no epochs.$"):
        worker.ask("fit", n_epochs=0, **settings)
    assert worker.ask("fit", n_epochs=1, **settings)["seconds"] >= 0  # it goes on after an error
    with pytest.raises(peer_process.PeerError, match="its process ended in fit"):
        worker.ask("fit", n_epochs=-1, **settings)


def test_library_that_does_not_install_is_one_sentence(tmp_path):
    import peer_process

    with pytest.raises(peer_process.PeerError, match="^lightfm is left out: it does not install"):
        peer_process.python_of("lightfm", tmp_path, run=lambda *command: "no such distribution")


def test_tables_of_peers():
    import peer_tables

    mine = {
        "import": 0.1,
        "convert": 0.0,
        "first": 0.5,
        "above": 10.0,
        "peak": 100.0,
        "included": [4.0, 6.0],
        "excluded": [8.0, 8.0],
        "cpu": [250.0, 260.0],
    }
    theirs = mine | {"included": [2.0, 2.0], "excluded": [2.0, math.nan]}
    table = peer_tables.training_table({("tripletrec", 1): mine, ("implicit", 1): theirs})
    assert "| 2.5 (2.0-3.0) | 4.0 |" in table[-1]
    alone = peer_tables.training_table({("implicit", 1): theirs})  # ours has failed
    assert alone[-1].startswith("| implicit, 1 thread | 2.00 (2.00-2.00) | 2.00 |  |")
    double = mine | {"included": [8.0, 12.0]}
    (line,) = peer_tables.thread_lines({("tripletrec", 1): mine, ("tripletrec", 2): double})
    assert "2 threads are 2.00 (2.00-2.00) times as fast as 1" in line


@pytest.mark.thorough
def test_roofline_counts_and_stages():
    import roofline
    import tripletrec as tr
    from stages import Fit

    assert roofline.counted(64) == (1564, 872)
    data = tr.datasets.make_interactions(50, 40, 300, random_state=0)
    fit = Fit(data, 16, "adam")
    assert fit.table_bytes == 4 * (16 * 90 + 40)
    assert fit.state_bytes >= 2 * fit.table_bytes
    epoch = fit.epoch()
    assert epoch["whole"] == pytest.approx(sum(epoch[s] for s in ("prepare", "draw", "update")))


def test_sizes_of_the_scaling_figure():
    import scaling

    assert scaling.sizes(1e6) == [100_000, 200_000, 500_000, 1_000_000]
    assert scaling.sizes(1.2e7)[-2:] == [10_000_000, 12_000_000]
    assert scaling.sizes(1e5) == [100_000]


def test_what_was_measured_before_ctrl_c_is_kept(tmp_path):
    import peers

    options = argparse.Namespace(python=[], peers=[], repeats=3, envs=tmp_path)
    comparison = peers.Comparison(options, tmp_path)
    samples = {"quick": {"seconds": []}, "slow": {"seconds": []}}

    def measure(key, worker):
        if key == "slow":
            raise KeyboardInterrupt
        samples[key]["seconds"].append(1.0)

    comparison.repeat(dict.fromkeys(samples), measure, samples)
    assert comparison.stopped and samples == {"quick": {"seconds": [1.0]}}
