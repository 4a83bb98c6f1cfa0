"""What the libraries are trained on and evaluate; used by `peers.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import tripletrec as tr

__all__ = ["auc_data", "training_data"]


def training_data(name: str, quick: bool) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """Return training and test positives: float32 CSR with ones."""
    if name == "ml100k":
        movielens = tr.datasets.fetch_movielens_100k()
        return tuple(ones(each.tocsr()) for each in (movielens.train, movielens.test))
    if name == "synthetic":
        share = 10 if quick else 1
        sizes = (300_000 // share, 500_000 // share, 12_000_000 // share)
        return ones(tr.datasets.make_interactions(*sizes, random_state=0).tocsr()), None
    return tuple(ones(sp.load_npz(Path(name) / f"{part}.npz")) for part in ("train", "test"))


def ones(matrix: Any) -> sp.csr_matrix:
    """Return a CSR matrix with a float32 1 for each positive and 32-bit indices."""
    matrix = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def auc_data(name: str, quick: bool) -> tuple[str, dict[str, Any]]:
    """Return a title, and random factors with the test positives to be ranked."""
    rng, n_factors = np.random.default_rng(0), 64
    if name == "synthetic":
        n_users, n_items = (5_000, 20_000) if quick else (50_000, 20_000)
        rows = np.repeat(np.arange(n_users), 5)
        pairs = rows, rng.integers(n_items, size=len(rows))
        test = ones(sp.coo_matrix((np.ones(len(rows)), pairs), (n_users, n_items)))
        train = sp.csr_matrix(test.shape, dtype=np.float32)
    else:
        train, test = training_data(name, quick)
        n_factors = 100 if name == "ml100k" else 64
    U, V = (rng.standard_normal((n, n_factors), np.float32) for n in test.shape)
    n_users, n_items = test.shape
    title = (
        f"Full AUC: {n_users:,} users x {n_items:,} items, {test.nnz:,} test positives, "
        f"{n_factors} factors"
    )
    return title, {"users": U, "items": V, "train": train, "test": test}
