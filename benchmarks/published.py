"""Recall@20 and NDCG@20 on a published split, beside the published rows.

The folder holds `train.npz`, `valid.npz` and `test.npz`, SciPy CSR matrices of users x items with ones;
`valid` is either a part of `train` or apart from it. Every configuration of a small grid is fitted on
train without valid, with early stopping on NDCG@20 of valid; the best one and its number of epochs are
fitted anew on train and valid together, and looked at on test once.

    python benchmarks/published.py --data FOLDER --model softmax bpr
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import tripletrec as tr
from machine import compile_fits
from split_folder import PARTS, split_folder
from tripletrec import losses, part, sampling

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


@part
def _reduce_published_bsl(
    first, last, peak, mass, n_unknown, logits, weights, hits, slopes, parameters
):
    value, weight = 0.0, 0.0
    for p in range(first, last):
        if mass > 0.0:
            value += weights[p] * (parameters[0] * (peak + math.log(mass)) - logits[p])
        weight += weights[p]
        slopes[p] = -weights[p] if mass > 0.0 else 0.0
    return value, parameters[0] * weight / mass if mass > 0.0 else 0.0


def published_bsl(temperature: float, power: float) -> losses.ListLoss:
    """Return "BSL" as the code of its authors has it (github.com/junkangwu/BSL, `Pos_DROLoss`).

    That is ``-x / t + power * log(sum of exp(x_j / t))`` of each positive: all positives of a user pull
    alike, and the negatives push more than in a softmax. `losses.bsl` is the formula of the paper.
    """
    return losses.ListLoss(
        "bsl", losses.softmax().exponentiate, _reduce_published_bsl, temperature, (power,)
    )


_PLAIN = {"learning_rate": 0.01, "history": 0.0, "bias_l2": 0.0}
# What is chosen on validation; all else is as in `make`. The first of each stands for the model untuned.
GRIDS: dict[str, dict[str, dict[str, Any]]] = {
    "softmax": {
        "the preset": {},
        "8,192 candidates, all items alike": {"sampler": "unseen", "n_negatives": 8192},
    },
    "bsl": {
        "its companions": {"loss": "bsl"},
        "temperatures 0.1, 0.5": {"loss": losses.bsl(0.1, 0.5)},
    },
    "ccl": {
        "margin 0.8, weight 100": {"loss": losses.ccl(0.8, 100.0)},
        "margin 0.7, weight 100": {"loss": losses.ccl(0.7, 100.0)},
    },
    "bpr": {
        "hardest of 64": {"sampler": sampling.dynamic(64)},
        "hardest of 32": {"sampler": sampling.dynamic(32)},
    },
    "defaults": {"no argument": {}},
    "softmax, 128 factors": {"the preset": {"n_factors": 128}},
    "softmax, 256 factors": {"the preset": {"n_factors": 256}},
    "bsl, 128 factors": {"its companions": {"loss": "bsl", "n_factors": 128}},
    # The optimizer is ours: theirs is Adam on batches of 1,024 and 256 pairs, each with negatives of its own,
    # stopped by the test set (the best of 389 and of 43 epochs).
    "bsl, as published": {
        "temperature 0.08, power 1.22, 800 negatives, dropout 0.1": {
            "loss": published_bsl(0.08, 1.22),
            "sampler": "unseen",
            "n_negatives": 800,
            "dropout": 0.1,
            "item_bias": False,
            "user_l2": 0.0,
            "item_l2": 0.0,
            **_PLAIN,
        },
    },
    "ccl, as published": {
        "margin 0.9, weight 150, 800 negatives": {
            "loss": losses.ccl(0.9, 150.0),
            "sampler": "unseen",
            "n_negatives": 800,
            "item_bias": False,
            **_PLAIN,
        },
    },
}
EPOCHS = {
    "softmax": 40, "bsl": 40, "ccl": 40, "bpr": 40, "defaults": 30, "softmax, 128 factors": 40,
    "softmax, 256 factors": 40, "bsl, 128 factors": 40,
    "bsl, as published": 60, "ccl, as published": 60,
}  # fmt: skip
# Untuned all others take their own number of epochs, which goes by the data.
TUNED = {"bpr", "bsl, as published", "ccl, as published"}
METRICS = ("recall@20", "ndcg@20")


def read(folder: Path) -> tuple[tr.Interactions, tr.Interactions, tr.Interactions, tr.Interactions]:
    """Return what to fit on and validate on, and what to refit on and test on, all disjoint."""
    train, valid, test = (sp.csr_matrix(sp.load_npz(folder / f"{name}.npz")) for name in PARTS)
    for matrix in (train, valid, test):
        matrix.data[:] = 1
    first = train - train.multiply(valid)
    first.eliminate_zeros()
    whole = first + valid
    first, valid, whole, test = (tr.Interactions(each) for each in (first, valid, whole, test))
    return first, valid, whole, test


def popularity(folder: Path) -> str:
    """Return what share the 100 items with most training positives have of each part.

    Where a part is a random cut of the data, it is that of the part that is learnt from.
    """
    fit, valid, whole, test = (each.tocsr() for each in read(folder))
    shares = []
    for known, parts in ((fit, (fit, valid)), (whole, (whole, test))):
        first = np.argsort(-known.getnnz(axis=0), kind="stable")[:100]
        shares += [each[:, first].nnz / each.nnz for each in parts]
    return "share of the 100 most popular items: fit {:.4f}, valid {:.4f}; whole {:.4f}, test {:.4f}".format(
        *shares
    )


def make(
    name: str, label: str, options: argparse.Namespace, n_items: int
) -> tr.MatrixFactorization:
    """Return the model that a row of the table is about, in one of the configurations of its grid."""
    parameters = {"n_jobs": options.n_jobs, **GRIDS[name][label]}
    if "n_negatives" in parameters:
        parameters["n_negatives"] = min(parameters["n_negatives"], n_items)
    if options.epochs or not options.untuned or name in TUNED:
        parameters["n_epochs"] = options.epochs or EPOCHS[name]
    if name == "bpr":
        l2 = {"user_l2": 0.01, "item_l2": 0.01}
        of_bpr = {**l2, "learning_rate": 0.1, "schedule": "linear"}
        return tr.MatrixFactorization.preset("bpr", **of_bpr, **parameters)
    if name == "defaults":
        return tr.MatrixFactorization(**parameters)
    return tr.MatrixFactorization.preset("softmax", **parameters)


def look(
    name: str, label: str, fit: tr.Interactions, valid: tr.Interactions, options: argparse.Namespace
) -> tuple[float, int]:
    """Return the best NDCG@20 of one configuration on validation, and the epoch it stood at."""
    value, epochs = -1.0, 0

    def watch(model: tr.MatrixFactorization, record: dict[str, Any]) -> bool:
        nonlocal value, epochs
        epoch = record["epoch"]
        if epoch % options.every and epoch != model.n_epochs:
            return False
        mean = tr.evaluate(model, valid, fit, k=20, n_jobs=options.n_jobs).mean
        recall, ndcg = (float(mean[metric]) for metric in METRICS)
        print(f"  valid: {label}, epoch {epoch}: {recall:.4f} {ndcg:.4f}", flush=True)
        if ndcg > value:
            value, epochs = ndcg, epoch
        return epoch - epochs >= options.patience

    make(name, label, options, fit.n_items).fit(fit, callbacks=watch)
    return value, epochs


def choose(
    name: str, fit: tr.Interactions, valid: tr.Interactions, options: argparse.Namespace
) -> tuple[str, int]:
    """Return the label of the configuration that is best on validation, and its number of epochs."""
    labels = list(GRIDS[name])
    looks = {label: look(name, label, fit, valid, options) for label in labels}
    best = max(labels, key=lambda label: looks[label][0])
    return best, looks[best][1]


def run(name: str, options: argparse.Namespace) -> tuple[str, float, float, str]:
    """Choose, refit, test once; return a row of the table."""
    fit, valid, whole, test = read(options.data)
    compile_fits(make(name, next(iter(GRIDS[name])), options, whole.n_items).get_params(deep=False))
    started, busy = time.perf_counter(), time.process_time()
    label, epochs = next(iter(GRIDS[name])), None
    if not options.untuned:
        label, epochs = choose(name, fit, valid, options)
    chosen = time.perf_counter()
    # The schedule runs its course: epochs that were chosen within a longer one count with that one.
    final = make(name, label, options, whole.n_items)
    final.fit(whole, callbacks=lambda model, record: record["epoch"] == epochs)
    ended = time.perf_counter()
    cpu = time.process_time() - busy  # wall times say little where other work runs beside it
    mean = tr.evaluate(final, test, whole, k=20, n_jobs=options.n_jobs).mean
    recall, ndcg = (float(mean[metric]) for metric in METRICS)
    choice = "" if options.untuned else f"chosen in {chosen - started:.0f} s, "
    how = (
        f"{label}, {len(final.history_)} epochs; {choice}"
        f"fitted in {ended - chosen:.0f} s ({cpu:.0f} s of CPU in all)"
    )
    return f"tripletrec {name}", recall, ndcg, how


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the published rows and ours."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=split_folder, required=True)
    parser.add_argument("--model", nargs="+", choices=GRIDS, default=["softmax", "bpr"])
    parser.add_argument("--epochs", type=int, help="at most; default: as the model needs")
    parser.add_argument("--every", type=int, default=5, help="epochs between looks at valid")
    parser.add_argument("--patience", type=int, default=10, help="epochs without a better one")
    parser.add_argument(
        "--untuned",
        action="store_true",
        help="the first of the grid, without validation",
    )
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--popularity", action="store_true", help="of the parts; nothing is fitted")
    options = parser.parse_args(arguments)
    if options.popularity:
        print(popularity(options.data))
        return
    rows = [run(name, options) for name in options.model]
    shape = sp.load_npz(options.data / "train.npz").shape
    known = [(name, *numbers, "") for name, numbers in PUBLISHED.get(shape, {}).items()]
    print(f"\n{'model':<22} recall@20  ndcg@20")
    for name, recall, ndcg, how in sorted([*known, *rows], key=lambda row: row[1]):
        print(f"{name:<22} {recall:9.4f} {ndcg:8.4f}  {how}")


if __name__ == "__main__":
    main()
