"""The comparison with and without histories, on a tiny folder of the same format."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr

SOURCE = Path(__file__).parents[2] / "benchmarks" / "history.py"


@pytest.fixture(scope="module")
def history():
    spec = importlib.util.spec_from_file_location("history", SOURCE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SOURCE.parent))
        spec.loader.exec_module(module)
    return module


@pytest.mark.thorough
def test_it_prints_a_line_for_each_configuration(history, tmp_path, capsys):
    data = tr.datasets.make_interactions(40, 30, 500, random_state=0).tocsr()
    valid = data.copy()
    valid.data[::4] = 0
    valid.eliminate_zeros()
    for name, matrix in (("train", data), ("valid", data - valid)):
        sp.save_npz(tmp_path / f"{name}.npz", matrix)
    train, held = history.read(str(tmp_path), None, 0)
    assert train.nnz + held.nnz == data.nnz
    assert not train.tocsr().multiply(held.tocsr()).nnz
    few, held = history.read(str(tmp_path), 10, 0)
    assert (few.n_users, few.n_items) == (held.n_users, held.n_items)
    assert few.n_users == 10 and np.bincount(few.indices).all()
    options = ["--history", "0", "0.5", "--epochs", "1", "2", "--biases", "0.5"]
    history.main(["--data", str(tmp_path), *options, "--set", "bias_l2=0.1"])
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.startswith(f"{tmp_path}: 40 users, 30 items")
    assert len(lines) == 4 and "history 0.5, n_epochs 2, bias_l2 0.1" in lines[3]
    assert all("× 1: 0." in each and "× 0.5: 0." in each for each in lines)


def test_ratings_of_movielens_are_read(history, tmp_path):
    path = tmp_path / "ratings.csv"
    rows = [f"{1 + n // 10},{31 + n % 10},2.5,1260759144" for n in range(50)]
    path.write_text("\n".join(["userId,movieId,rating,timestamp", *rows]))
    train, valid = history.read(f"ratings:{path}", None, 0)
    assert (train.n_users, train.n_items, train.nnz, valid.nnz) == (5, 10, 40, 10)
