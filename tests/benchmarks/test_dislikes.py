"""The benchmark of given negatives runs, on a file of ratings."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr

SOURCE = Path(__file__).parents[2] / "benchmarks" / "dislikes.py"


@pytest.fixture
def dislikes():
    spec = importlib.util.spec_from_file_location("dislikes", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["dislikes"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["dislikes"]


def test_it_prints_a_row_for_each_share(dislikes, tmp_path, capsys, rng):
    pairs = rng.choice(30 * 20, 300, replace=False)
    ratings = {"userId": pairs // 20, "movieId": pairs % 20, "rating": rng.integers(1, 6, 300)}
    pd.DataFrame(ratings).to_csv(tmp_path / "ratings.csv", index=False)
    capsys.readouterr()
    dislikes.main(["--data", str(tmp_path / "ratings.csv"), "--shares", "0.5", "--cuts", "1"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert [row[13:].split()[0] for row in rows] == 3 * ["none", "0.5"]
    assert all(0.0 <= float(each) <= 1.0 for row in rows for each in row[13:].split()[1:])


def test_pairs_in_order(dislikes):
    class Model:
        def predict(self, users, items):
            return np.array([0.0, 1.0, 1.0, 2.0])[items]

    liked = tr.Interactions(np.array([[0, 0, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1]]))
    disliked = tr.Interactions(np.array([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]))
    assert dislikes.in_order(Model(), liked, disliked) == (3.5 / 4 + 0.0) / 2
