"""The comparison of items that come later with a full refit, on a tiny shop."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import tripletrec as tr

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def new_items(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("new_items", FOLDER / "new_items.py")
    module = importlib.util.module_from_spec(spec)
    known = set(sys.modules)
    spec.loader.exec_module(module)
    yield module
    for name in {"fold_in", "history"} - known:
        sys.modules.pop(name, None)


def test_parts_share_nothing_and_new_items_have_few(new_items):
    whole = tr.datasets.make_interactions(80, 40, 1200, random_state=None).tocsr()
    learn, find, n_known = new_items.cut(whole, 3, 0)
    assert not learn.multiply(find).nnz and 0 < n_known <= 40
    sizes, all_sizes = (
        np.bincount(learn.indices, minlength=40),
        np.bincount(find.indices, minlength=40),
    )
    assert sizes[n_known:].max(initial=0) <= 3
    assert sorted((sizes + all_sizes)[:n_known]) == sorted(
        np.bincount(whole.indices, minlength=40)[
            np.random.default_rng(0).random(40) >= new_items.SHARE
        ]
    )


@pytest.mark.thorough
def test_it_prints_a_row_for_each_model(new_items, capsys):
    new_items.main(["--data", "shop:80,40,1500", "--models", "bpr", "--cuts", "1"])
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row[1] == "bpr" and float(row[4]) > 0 and float(row[7]) > 0
