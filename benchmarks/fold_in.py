"""Users that training has never seen: NDCG@10 of rows learnt from histories beside that of a full refit.

A tenth of the users is held out. Of each, 80 % of the items are the history and the others are to be found,
among all items but the history. The model is fitted without these users and learns them from their
histories; the refit is fitted on the histories as well. For the column "rows alone" the refit learns these
users from their histories, too, as if it had not seen them: what is left of the difference is that its items
were learnt from more users. For "partial_fit" the model learns from these users and all others for one more
epoch. Users are dealt into ten groups at random: numbers in docstrings were chosen on users of the groups 1
to 9, so that group 0 is the one to report.

    python benchmarks/fold_in.py
    python benchmarks/fold_in.py --data FOLDER --epochs 20

    python benchmarks/fold_in.py --model two_tower --groups 0 1 2 --data shop:2000,1000,60000

A folder holds `train.npz`, a SciPy CSR matrix of users x items. Other data are named as for
`benchmarks/history.py`; without a name it is MovieLens-100K.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import tripletrec as tr
from history import data_name
from history import read as read_parts

MODELS: dict[str, Callable[..., Any]] = {
    "bpr": tr.MatrixFactorization,
    "softmax": lambda **options: tr.MatrixFactorization.preset("softmax", **options),
    "two_tower": tr.TwoTower,
    "mlp": tr.MLPMatcher,
}
LEAST = 5  # items of a user who is held out
ALONE = 100  # users asked for one by one


def read(name: str | None) -> sp.csr_matrix:
    """Return the positives of a data set, without users who have none."""
    if name is None:
        data = tr.datasets.fetch_movielens_100k()
        matrix = sp.csr_matrix(data.train.tocsr() + data.test.tocsr())
    elif Path(name).is_dir():
        matrix = sp.csr_matrix(sp.load_npz(Path(name, "train.npz")))
    else:
        matrix = sp.csr_matrix(sum(part.tocsr() for part in read_parts(name, None, 0)))
    matrix.data[:] = 1
    return matrix[np.diff(matrix.indptr) > 0]


def split(matrix: sp.csr_matrix, group: int) -> tuple[sp.csr_matrix, sp.csr_matrix, sp.csr_matrix]:
    """Return the rows of all other users, and the histories of a group and what is to be found of it."""
    order = np.random.default_rng(0).permutation(matrix.shape[0])
    held = np.sort(order[len(order) * group // 10 : len(order) * (group + 1) // 10])
    rest = matrix[np.setdiff1d(order, held)]
    held = held[np.diff(matrix.indptr)[held] >= LEAST]
    own, random = matrix[held].tocoo(), np.random.default_rng(group)
    # The first fifth of each user's items in random order.
    order = np.lexsort((random.random(own.nnz), own.row))
    sizes = np.bincount(own.row)
    place = np.arange(own.nnz) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    asked = np.empty(own.nnz, bool)
    asked[order] = place < np.maximum(1, np.round(0.2 * np.repeat(sizes, sizes)))
    parts = []
    for part in (~asked, asked):
        entries = (own.data[part], (own.row[part], own.col[part]))
        parts.append(sp.csr_matrix(entries, shape=own.shape))
    return rest, *parts


def behind(n_rest: int, part: sp.csr_matrix) -> tr.Interactions:
    """Return the rows of the held-out users, who come after `n_rest` others."""
    return tr.Interactions(sp.vstack([sp.csr_matrix((n_rest, part.shape[1])), part]).tocsr())


def ndcg(model: Any, n_rest: int, known: sp.csr_matrix, asked: sp.csr_matrix) -> np.ndarray:
    """Return NDCG@10 of each held-out user, who come after `n_rest` others in the model."""
    test, exclude = behind(n_rest, asked), behind(n_rest, known)
    return tr.evaluate(model, test, exclude, k=10).per_user["ndcg@10"].to_numpy()


def milliseconds(model: Any, histories: Any) -> float:
    """Return how long recommending takes."""
    started = time.perf_counter()
    model.recommend_history(histories, k=10)
    return 1e3 * (time.perf_counter() - started)


def run(name: str, matrix: sp.csr_matrix, options: argparse.Namespace) -> str:
    """Return a row of the table."""
    given = {"n_jobs": options.n_jobs}
    if options.epochs:
        given["n_epochs"] = options.epochs
    folded, refitted, relearnt, continued, batch, alone = [], [], [], [], [], []
    for group in options.groups:
        rest, history, asked = split(matrix, group)
        model = MODELS[name](**given).fit(tr.Interactions(rest))
        refit = MODELS[name](**given).fit(tr.Interactions(sp.vstack([rest, history]).tocsr()))
        lists = np.split(history.indices, history.indptr[1:-1])
        milliseconds(model, lists)  # warms up
        batch.append(milliseconds(model, lists) / len(lists))
        alone += [milliseconds(model, one) for one in lists[:ALONE]]
        later = copy.copy(model).partial_fit(behind(rest.shape[0], history))
        continued.append(ndcg(later, rest.shape[0], history, asked))
        model.add_users(tr.Interactions(history))
        folded.append(ndcg(model, rest.shape[0], history, asked))
        refitted.append(ndcg(refit, rest.shape[0], history, asked))
        refit.add_users(tr.Interactions(history))  # once more, as if it had not seen them
        relearnt.append(ndcg(refit, rest.shape[0] + history.shape[0], history, asked))
    old = np.concatenate(refitted)
    found = (folded, relearnt, continued)
    ratios = "   ".join(ratio(np.concatenate(each), old) for each in found)
    return (
        f"{name:<10} {len(old):>5} {old.mean():7.4f} {np.concatenate(folded).mean():8.4f}   {ratios} "
        f"{np.mean(batch):11.3f} {np.median(alone):8.3f}"
    )


def ratio(new: np.ndarray, old: np.ndarray) -> str:
    """Return the ratio of two means over the same users, with its standard error."""
    error = (new - old).std(ddof=1) / math.sqrt(len(new)) / old.mean()
    return f"{new.mean() / old.mean():.3f} ± {error:.3f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--data", type=partial(data_name, parts=("train",)),
        help="folder of train.npz, or a name; default: MovieLens-100K",
    )  # fmt: skip
    parser.add_argument(
        "--model", nargs="+", choices=MODELS, default=["bpr", "softmax", "two_tower"]
    )
    parser.add_argument("--groups", nargs="+", type=int, choices=range(10), default=[0])
    parser.add_argument("--epochs", type=int, help="default: as the model has")
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args(arguments)
    matrix = read(options.data)
    print("                   NDCG@10     learnt / refit ± error" + " " * 29 + "ms a user")
    print(
        "model      users   refit   learnt   all of it       rows alone      partial_fit     "
        "in batches    alone"
    )
    for name in options.model:
        print(run(name, matrix, options), flush=True)


if __name__ == "__main__":
    main()
