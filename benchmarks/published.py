"""Recall@20 and NDCG@20 on a published split, beside the published rows.

The folder holds `train.npz`, `valid.npz` and `test.npz`, SciPy CSR matrices of users x items with ones;
`valid` is either a part of `train` or apart from it. Every configuration of a small grid is fitted on
train without valid, with early stopping on NDCG@20 of valid; the best one and its number of epochs are
fitted anew on train and valid together, and looked at on test once.

    python benchmarks/published.py --data FOLDER --model softmax bpr
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scipy.sparse as sp

import tripletrec as tr
from tripletrec import losses

PUBLISHED: dict[tuple[int, int], dict[str, tuple[float, float]]] = {
    # Gowalla in the split of the LightGCN literature, told by its shape.
    (29_858, 40_981): {
        "MF-BPR": (0.1627, 0.1378),
        "MF + softmax": (0.1759, 0.1395),
        "EASE": (0.1765, 0.1467),
        "LightGCN": (0.1830, 0.1554),
        "MF + CCL": (0.1837, 0.1493),
        "GF-CF": (0.1849, 0.1518),
        "UltraGCN": (0.1862, 0.1580),
        "SimpleX": (0.1872, 0.1557),
        "MF + BSL": (0.1882, 0.1584),
        "LightGCN + BSL": (0.1892, 0.1590),
    }
}
# What is chosen on validation; all else is the preset. The first of each is the preset's own.
GRIDS: dict[str, dict[str, list[Any]]] = {
    "softmax": {"loss": [losses.softmax(t) for t in (None, 0.12)]},
    "bsl": {"loss": [losses.bsl(0.1, t) for t in (0.1, 0.2, 0.4)]},
    "ccl": {"loss": [losses.ccl(m, w) for m, w in ((0.4, 100.0), (0.6, 300.0))]},
    "bpr": {"n_negatives": [5, 20], "user_l2": [0.003, 0.01]},
}
EPOCHS = {"softmax": 60, "bsl": 60, "ccl": 60, "bpr": 60}
METRICS = ("recall@20", "ndcg@20")


def read(folder: Path) -> tuple[tr.Interactions, tr.Interactions, tr.Interactions, tr.Interactions]:
    """Return what to fit on and validate on, and what to refit on and test on, all disjoint."""
    train, valid, test = (
        sp.csr_matrix(sp.load_npz(folder / f"{name}.npz")) for name in ("train", "valid", "test")
    )
    for matrix in (train, valid, test):
        matrix.data[:] = 1
    first = train - train.multiply(valid)
    first.eliminate_zeros()
    whole = first + valid
    first, valid, whole, test = (tr.Interactions(each) for each in (first, valid, whole, test))
    return first, valid, whole, test


def make(name: str, **parameters: Any) -> tr.MatrixFactorization:
    """Return the model that a row of the table is about."""
    if name == "bpr":
        return tr.MatrixFactorization.preset("bpr", **{"item_l2": 0.003, **parameters})
    return tr.MatrixFactorization.preset("softmax", **{"loss": name, **parameters})


def configurations(name: str) -> Iterator[dict[str, Any]]:
    """Return all points of a grid."""
    grid = GRIDS[name]
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def choose(
    name: str, fit: tr.Interactions, valid: tr.Interactions, options: argparse.Namespace
) -> tuple[dict[str, Any], int]:
    """Return the best configuration on validation and its number of epochs."""
    best: tuple[float, dict[str, Any], int] | None = None
    for parameters in [{}] if options.untuned else configurations(name):
        model = make(
            name, n_epochs=options.epochs or EPOCHS[name], n_jobs=options.n_jobs, **parameters
        )
        value, epochs = -1.0, 0

        def watch(model: tr.MatrixFactorization, record: dict[str, Any]) -> bool:
            nonlocal value, epochs
            last = record["epoch"] == model.n_epochs
            if record["epoch"] % options.every and not last:
                return False
            now = tr.evaluate(model, valid, fit, k=20, n_jobs=options.n_jobs).mean["ndcg@20"]
            if now > value:
                value, epochs = float(now), record["epoch"]
            return record["epoch"] - epochs >= options.patience

        model.fit(fit, callbacks=watch)
        print(f"  valid {shown(parameters)} ndcg@20 {value:.4f} at epoch {epochs}", flush=True)
        if best is None or value > best[0]:
            best = value, parameters, epochs
    if best is None:
        raise ValueError(f"the grid of {name} is empty")
    return best[1], best[2]


def shown(parameters: dict[str, Any]) -> str:
    """Return parameters as a short text."""
    parts = {
        key: (each.name, each.temperature, *each.parameters)
        if isinstance(each, losses.ListLoss)
        else each
        for key, each in parameters.items()
    }
    return ", ".join(f"{key}={value}" for key, value in parts.items()) or "the preset"


def run(name: str, options: argparse.Namespace) -> tuple[str, float, float, str]:
    """Choose, refit, test once; return a row of the table."""
    fit, valid, whole, test = read(options.data)
    started = time.perf_counter()
    parameters, epochs = choose(name, fit, valid, options)
    chosen = time.perf_counter()
    # The schedule runs its course: epochs that were chosen within a longer one count with that one.
    final = make(name, n_epochs=options.epochs or EPOCHS[name], n_jobs=options.n_jobs, **parameters)
    final.fit(whole, callbacks=lambda model, record: record["epoch"] == epochs)
    ended = time.perf_counter()
    mean = tr.evaluate(final, test, whole, k=20, n_jobs=options.n_jobs).mean
    recall, ndcg = (float(mean[metric]) for metric in METRICS)
    how = (
        f"{shown(parameters)}, {epochs} epochs; chosen in {chosen - started:.0f} s, "
        f"fitted in {ended - chosen:.0f} s"
    )
    return f"tripletrec {name}", recall, ndcg, how


def main() -> None:
    """Print the published rows and ours."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", nargs="+", choices=GRIDS, default=["softmax", "bpr"])
    parser.add_argument("--epochs", type=int, help="at most; default: as the model needs")
    parser.add_argument("--every", type=int, default=5, help="epochs between looks at valid")
    parser.add_argument("--patience", type=int, default=10, help="epochs without a better one")
    parser.add_argument("--untuned", action="store_true", help="the preset alone, no grid")
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args()
    rows = [run(name, options) for name in options.model]
    shape = sp.load_npz(options.data / "train.npz").shape
    known = [(name, *numbers, "") for name, numbers in PUBLISHED.get(shape, {}).items()]
    print(f"\n{'model':<22} recall@20  ndcg@20")
    for name, recall, ndcg, how in sorted([*known, *rows], key=lambda row: row[1]):
        print(f"{name:<22} {recall:9.4f} {ndcg:8.4f}  {how}")


if __name__ == "__main__":
    main()
