"""The commands in benchmarks/: each runs at its smallest, and refuses in one sentence what it cannot do.

Left out: what has a test of its own (compare_settings, dislikes, fold_in, history, house, new_items, peers,
published, two_versions); what takes too long at its smallest (cold_items, defaults, digests, exact_softmax,
early_stopping, graded, index_recall, intervals, large_data, movielens_auc, partial_fit, read_large,
recommend_all, roofline, samplers, scale_model, scaling, serving, skewed_numbers, warp); and what needs other
libraries or data (feature_epochs, package_data, tuning).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tripletrec as tr

ROOT = Path(__file__).parents[2]
SMALLEST = {
    "checkpoint": "--quick --epochs 2 --repeats 1",
    "encode_features": "--rows 2000 --repeats 1",
    "fit_memory": "--models softmax --interactions 3e3 --threads 1",
    "read_events": "--rows 2000 --users 500 --items 100",
    "start_values": "--quick",
}
REFUSED = {
    "checkpoint": ("--epochs 1", "--epochs must be at least 2"),
    "compare_settings": ("--data nowhere x=1", "nowhere has no train.npz and no valid.npz"),
    "defaults": ("--data gowalla", "--data gowalla needs --gowalla FOLDER"),
    "dislikes": ("--data nowhere", "--data must be a file"),
    "fold_in": ("--data nowhere", "must be a folder with train.npz; nowhere has no train.npz"),
    "history": ("--data shop:1,2", "must be shop:USERS,ITEMS,EVENTS"),
    "new_items": ("--data tags:nowhere", "there is no file nowhere"),
    "peers": ("--data nowhere", "nowhere has no train.npz and no test.npz"),
    "published": ("--data nowhere", "nowhere has no train.npz and no valid.npz and no test.npz"),
    "scaling": ("--plot nowhere/x.png", "there is no folder nowhere"),
    "tuning": ("--models nope", "invalid choice: 'nope'"),
}


def run(script, arguments, folder):
    """Return the exit code of a command, and what it says."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), *arguments.split()],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def module(monkeypatch):
    """A function that imports a module of benchmarks/."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return __import__


@pytest.mark.thorough
@pytest.mark.parametrize("script", SMALLEST)
def test_it_runs(script, tmp_path):
    code, said = run(script, SMALLEST[script], tmp_path)
    assert code == 0, said
    assert "nan" not in said and "inf " not in said


@pytest.mark.thorough
@pytest.mark.parametrize("script", REFUSED)
def test_it_is_refused_in_a_sentence(script, tmp_path):
    arguments, sentence = REFUSED[script]
    code, said = run(script, arguments, tmp_path)
    assert code == 2 and sentence in said and "Traceback" not in said


@pytest.mark.thorough
def test_interpreters_of_peers_are_looked_for_first(tmp_path):
    code, said = run("peers", "--python implicit=/nonexistent", tmp_path)
    assert code == 2 and "--python implicit=/nonexistent: there is no such interpreter" in said


@pytest.mark.thorough
def test_a_fit_under_a_limit_of_memory_keeps_its_options(tmp_path):
    sizes = "--interactions 3000 --users 200 --items 60 --factors 4 --epochs 2 --threads 1"
    folder = f"--folder {tmp_path / 'kept'}"
    code, said = run("out_of_core", f"{folder} {sizes} --only parquet map", tmp_path)
    assert code == 0, said
    code, said = run("out_of_core", f"{folder} {sizes} --loss hinge", tmp_path)
    assert code == 2 and "was measured with other options: give --loss bpr, or another" in said
    (tmp_path / "kept" / "parquet" / "more").touch()
    code, said = run("out_of_core", f"{folder} {sizes} --only parquet", tmp_path)
    assert code == 0 and not (tmp_path / "kept" / "parquet" / "more").exists(), said
    code, said = run("out_of_core", f"{folder} {sizes} --only disk --limit 1e6", tmp_path)
    assert code == 2 and "give --limit 2000000000.0, or another --folder" in said


def test_rows_of_the_search_are_printed(module):
    row = {"auc_a": 0.123456, "n_epochs": 10, "sampler": "unseen"}
    shown = module("tune_movielens").shown(row)
    assert shown == '{"auc_a": 0.1235, "n_epochs": 10, "sampler": "unseen"}'


@pytest.mark.thorough
def test_shares_are_compared_with_the_plain_model(module, monkeypatch, capsys, tiny_movielens):
    graded, fitted = module("graded"), []

    class Model:
        def __init__(self, sampler, **settings):
            fitted.append(sampler)

        def fit(self, train):
            return self

    monkeypatch.setattr(tr.datasets, "fetch_movielens_100k", lambda: tiny_movielens)
    monkeypatch.setattr(tr, "MatrixFactorization", Model)
    monkeypatch.setattr(graded, "of_users", lambda model, test: graded.np.full((20, 4), 1.0))
    monkeypatch.setattr(sys, "argv", ["graded.py", "--shares", "0.05", "--seeds", "1"])
    graded.main()
    assert fitted == ["unseen", tr.sampling.graded(0.05)]
    plain, other = capsys.readouterr().out.splitlines()[2:]
    assert plain == "| 0 |" + " 1.0000 |  |" * 4
    assert other.startswith("| 0.05 | 1.0000 | +0.0000")


@pytest.mark.thorough
def test_each_number_of_threads_has_its_line(module, monkeypatch, tmp_path):
    from matplotlib.axes import Axes

    scaling, labels = module("scaling"), []
    rows = [
        {"n": n, "n_jobs": n_jobs, "epoch": 50.0 / n_jobs, "memory": 3.0, "needed": 2.0}
        for n in (10**5, 10**6)
        for n_jobs in (1, 2, 4, 8)
    ]
    monkeypatch.setattr(Axes, "annotate", lambda self, label, *at, **style: labels.append(label))
    scaling.draw(rows, tmp_path / "x.png", "bpr")
    threads = {"1 thread", "2 threads", "4 threads", "8 threads"}
    assert set(labels) == {*threads, "highest", "needed"}
