"""The comparison with published rows, on a tiny folder of the same format."""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr

SOURCE = Path(__file__).parents[2] / "benchmarks" / "published.py"


@pytest.fixture(scope="module")
def published():
    spec = importlib.util.spec_from_file_location("published", SOURCE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SOURCE.parent))
        spec.loader.exec_module(module)
    return module


def write(folder, valid_in_train):
    """Write a folder whose three matrices are disjoint, or with valid a part of train."""
    data = tr.datasets.make_interactions(40, 30, 400, random_state=None).tocsr().tocoo()
    part = np.random.default_rng().integers(4, size=data.nnz)
    chosen = {
        "train": part <= (1 if not valid_in_train else 2),
        "valid": part == 2,
        "test": part == 3,
    }
    for name, keep in chosen.items():
        ones = np.ones(keep.sum()), (data.row[keep], data.col[keep])
        sp.save_npz(folder / f"{name}.npz", sp.csr_matrix(ones, shape=data.shape))
    return {name: int(keep.sum()) for name, keep in chosen.items()}


@pytest.mark.parametrize("valid_in_train", [True, False])
def test_parts_are_disjoint(published, tmp_path, valid_in_train):
    sizes = write(tmp_path, valid_in_train)
    fit, valid, whole, test = published.read(tmp_path)
    assert fit.nnz + valid.nnz == whole.nnz
    assert (valid.nnz, test.nnz) == (sizes["valid"], sizes["test"])
    for one, other in ((fit, valid), (whole, test)):
        assert one.tocsr().multiply(other.tocsr()).nnz == 0
    assert (whole.values == 1).all()


def test_popularity_of_the_parts(published, tmp_path, capsys):
    write(tmp_path, valid_in_train=True)
    published.main(["--data", str(tmp_path), "--popularity"])
    # With 30 items the 100 most popular ones are all items.
    said = "fit 1.0000, valid 1.0000; whole 1.0000, test 1.0000"
    assert said in capsys.readouterr().out


def test_every_configuration_is_one_that_a_model_takes(published):
    options = argparse.Namespace(epochs=None, n_jobs=1, untuned=False)
    for name, grid in published.GRIDS.items():
        for label in grid:
            plan = published.make(name, label, options, 40_981)._plan()
            assert plan.loss.name == {"defaults": "bpr"}.get(name, name.split(",")[0])
            assert plan.n_epochs == published.EPOCHS[name]


def test_an_untuned_model_takes_its_own_epochs(published):
    options = argparse.Namespace(epochs=None, n_jobs=1, untuned=True)
    assert published.make("softmax", "the preset", options, 40_981).n_epochs is None
    label = next(iter(published.GRIDS["bsl, as published"]))
    assert published.make("bsl, as published", label, options, 40_981).n_epochs == 60


@pytest.mark.parametrize("untuned", [True, False])
def test_test_is_looked_at_once(published, tmp_path, capsys, monkeypatch, untuned):
    write(tmp_path, True)
    _, valid, _, test = published.read(tmp_path)
    looks, evaluate = [], tr.evaluate

    def noted(model, held_out, *arguments, **parameters):
        matrix = held_out.tocsr()
        looks.append([(matrix != each.tocsr()).nnz == 0 for each in (valid, test)])
        return evaluate(model, held_out, *arguments, **parameters)

    monkeypatch.setattr(tr, "evaluate", noted)
    grid = {"much": {"n_factors": 3}, "little": {"n_factors": 2}}
    monkeypatch.setitem(published.GRIDS, "bpr", grid)
    options = ["--data", str(tmp_path), "--epochs", "2", "--every", "1", "--n-jobs", "1"]
    published.main([*options, "--model", "bpr", *(["--untuned"] if untuned else [])])
    out = capsys.readouterr().out
    assert "tripletrec bpr " in out
    assert ("little, epoch 1" in out) != untuned
    assert [of_test for _, of_test in looks] == [False] * (0 if untuned else 4) + [True]
    assert all(of_valid for of_valid, _ in looks[:-1])


def test_the_best_configuration_and_epoch_win(published, tmp_path, monkeypatch):
    write(tmp_path, True)
    fit, valid, _, _ = published.read(tmp_path)
    values = {"low": (0.1, 3), "high": (0.3, 2), "between": (0.2, 1)}
    monkeypatch.setitem(published.GRIDS, "softmax", dict.fromkeys(values, {}))
    monkeypatch.setattr(published, "look", lambda name, label, *rest: values[label])
    options = argparse.Namespace()
    assert published.choose("softmax", fit, valid, options) == ("high", 2)


def test_published_rows_are_in_order(published):
    for rows in published.PUBLISHED.values():
        recalls = [recall for recall, _ in rows.values()]
        assert recalls == sorted(recalls)
        assert all(0 < ndcg < recall < 1 for recall, ndcg in rows.values())


def test_no_more_negatives_than_items(published):
    options = argparse.Namespace(epochs=None, n_jobs=1, untuned=False)
    for name, grid in published.GRIDS.items():
        for label in grid:
            n_negatives = published.make(name, label, options, 60).n_negatives
            assert n_negatives is None or n_negatives <= 60
