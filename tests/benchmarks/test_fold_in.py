"""The comparison of new users with a full refit, on a tiny folder of the same format."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr

SOURCE = Path(__file__).parents[2] / "benchmarks" / "fold_in.py"


@pytest.fixture(scope="module")
def fold_in():
    spec = importlib.util.spec_from_file_location("fold_in", SOURCE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SOURCE.parent))
        spec.loader.exec_module(module)
    return module


def test_parts_make_up_the_whole(fold_in):
    matrix = tr.datasets.make_interactions(60, 30, 700, random_state=None).tocsr()
    matrix = matrix[np.diff(matrix.indptr) >= fold_in.LEAST]
    for group in range(10):
        rest, history, asked = fold_in.split(matrix, group)
        assert not history.multiply(asked).nnz
        whole = sp.vstack([rest, history + asked]).tocsr()
        assert whole.nnz == matrix.nnz
        assert sorted(map(tuple, whole.toarray())) == sorted(map(tuple, matrix.toarray()))
        sizes = np.diff((history + asked).indptr)
        np.testing.assert_array_equal(np.diff(asked.indptr), np.maximum(1, np.round(0.2 * sizes)))


@pytest.mark.thorough
def test_it_prints_a_row_for_each_model(fold_in, tmp_path, capsys):
    data = tr.datasets.make_interactions(60, 30, 900, random_state=0)
    sp.save_npz(tmp_path / "train.npz", data.tocsr())
    fold_in.main(["--data", str(tmp_path), "--epochs", "2", "--model", "bpr", "--groups", "0", "1"])
    header, names, row = capsys.readouterr().out.splitlines()
    assert row.startswith("bpr") and float(row.split()[4]) > 0
