"""Items that come later: NDCG of `partial_fit` beside that of a full refit.

A tenth of the items is left out of the training data at first, and then learnt from by one epoch of
`partial_fit`, with at most 10 of the positives of each: new items have few. The refit is fitted on both.
Lists are of all items that are not in training; the table has NDCG@20 of what is to be found among new items,
among the others, and of all, each the mean over cuts, and the last as a share of the refit's, with its
standard error.

    python benchmarks/new_items.py --data movielens ratings:RATINGS.csv tags:Packages.xz shop:2000,1000,60000
    python benchmarks/new_items.py --data FOLDER --users 2000 --models bpr softmax --cuts 4

Data are named as for `benchmarks/history.py`; test sets are not read.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

import tripletrec as tr
from fold_in import MODELS
from history import data_name, read

SHARE = 0.1  # of the items: those that come later
PARTS = ("new", "others", "all")


def cut(matrix: sp.csr_matrix, most: int, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix, int]:
    """Return what to learn from and what to find, new items last, and how many are known at first."""
    train, find = tr.splits.train_test_split(tr.Interactions(matrix), 0.2, random_state=seed)
    random = np.random.default_rng(seed)
    is_new = random.random(matrix.shape[1]) < SHARE
    order = np.argsort(is_new, kind="stable")
    n_known = int((~is_new).sum())
    learn = train.tocsr()[:, order].tocsc()
    for item in range(n_known, learn.shape[1]):
        first, last = learn.indptr[item], learn.indptr[item + 1]
        if last - first > most:
            learn.data[first + random.permutation(last - first)[most:]] = 0
    learn.eliminate_zeros()
    return learn.tocsr(), find.tocsr()[:, order], n_known


def columns(matrix: sp.csr_matrix, kept: np.ndarray) -> tr.Interactions:
    """Return a matrix of the same shape that has only some of the columns."""
    some = sp.csr_matrix(matrix @ sp.diags_array(kept.astype(np.float64)))
    some.eliminate_zeros()
    return tr.Interactions(some)


def numbers(model: Any, learn: sp.csr_matrix, find: sp.csr_matrix, n_known: int) -> list[float]:
    """Return NDCG@20 of new items, of the others, and of all."""
    is_new = np.arange(find.shape[1]) >= n_known
    seen = tr.Interactions(learn)
    return [
        float(tr.evaluate(model, columns(find, kept), seen, k=20).mean["ndcg@20"])
        for kept in (is_new, ~is_new, is_new | ~is_new)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a line for each data set and model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", type=data_name, default=["movielens"])
    parser.add_argument("--users", type=int, help="of FOLDER, at random; all")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--most", type=int, default=10, help="positives of a new item")
    parser.add_argument("--cuts", type=int, default=2)
    parser.add_argument("--n-epochs", type=int, default=1, help="of partial_fit")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of users and items that a cut leaves without positives
    print(f"{'':30}{'refit':^27}{'partial_fit':^27}")
    print(f"{'data, model':30}{''.join(f'{name:>9}' for name in PARTS * 2)}   share")
    for name in options.data:
        matrix = sp.csr_matrix(sum(part.tocsr() for part in read(name, options.users, 0)))
        matrix.data[:] = 1
        matrix = matrix[:, np.bincount(matrix.indices, minlength=matrix.shape[1]) > 1]
        for kind in options.models:
            found = []
            for seed in range(options.cuts):
                learn, find, n_known = cut(matrix, options.most, seed)
                refit = MODELS[kind]().fit(tr.Interactions(learn))
                model = MODELS[kind]().fit(tr.Interactions(learn[:, :n_known]))
                later = columns(learn, np.arange(learn.shape[1]) >= n_known)
                model.partial_fit(later, options.n_epochs)
                found.append([numbers(each, learn, find, n_known) for each in (refit, model)])
            ratios = [after[2] / whole[2] for whole, after in found]
            error = np.std(ratios, ddof=1) / len(ratios) ** 0.5 if len(ratios) > 1 else np.nan
            line = "".join(f"{value:9.4f}" for value in np.mean(found, axis=0).ravel())
            print(
                f"{name[-18:]:19}{kind:11}{line}   {np.mean(ratios):.3f} ± {error:.3f}", flush=True
            )


if __name__ == "__main__":
    main()
