"""Lists for everybody, streamed to a file: seconds, rows and the memory that it takes above the model.

    python benchmarks/recommend_all.py                     # 1,000,000 users x 20 of 20,000 items, to Parquet
    python benchmarks/recommend_all.py --ending .csv.gz --users 100000

Factors are random: lists take as long as those of a fitted model. Each user has 20 items that are left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import tripletrec as tr
from tripletrec.data.csr import CsrRows
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions

N_SEEN, N_FACTORS = 20, 64


class Memory:
    """The most memory of this process, in bytes, looked at a hundred times a second."""

    def __enter__(self) -> Memory:
        self.first = self.most = resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.most = max(self.most, resident())


def resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def made_model(n_users: int, n_items: int) -> tr.MatrixFactorization:
    """Return a model as if fitted, with ids like UUIDs."""
    rng = np.random.default_rng(0)
    users, items = (
        np.array([f"{word}-{n:030d}" for n in range(size)])
        for word, size in (("user", n_users), ("item", n_items))
    )
    step = n_items // N_SEEN
    first = rng.integers(0, step, n_users, dtype=np.int32)
    seen = (first[:, None] + np.arange(N_SEEN, dtype=np.int32) * step).ravel()
    bounds = np.arange(n_users + 1) * N_SEEN
    rows = CsrRows((n_users, n_items), bounds, seen, np.ones(len(seen), np.float32), None)
    model = tr.MatrixFactorization(N_FACTORS)
    model.n_users_, model.n_items_, model.user_ids_, model.item_ids_ = (
        n_users, n_items, users, items,
    )  # fmt: skip
    model.user_factors_ = rng.standard_normal((n_users, N_FACTORS), np.float32)
    model.item_factors_ = rng.standard_normal((n_items, N_FACTORS), np.float32)
    model.item_biases_ = rng.standard_normal(n_items, np.float32)
    model.seen_ = Interactions._of_rows(
        rows, Ids(users, n_users, "user"), Ids(items, n_items, "item")
    )
    return model


def main() -> None:
    """Write lists of all users and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--ending", default=".parquet", choices=[".parquet", ".csv", ".csv.gz"])
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--verbose", action="store_true", help="a progress bar")
    options = parser.parse_args()
    model = made_model(options.users, options.items).set_params(verbose=int(options.verbose))
    with tempfile.TemporaryDirectory() as folder:
        model.recommend_to(Path(folder, f"first{options.ending}"), model.user_ids_[:100])
        path = Path(folder, f"lists{options.ending}")
        started = time.perf_counter()
        with Memory() as memory:
            n_rows = model.recommend_to(path, k=options.k, batch_size=options.batch_size)
        seconds = time.perf_counter() - started
        size = path.stat().st_size
    print(
        f"{options.users:,} users x {options.k} of {options.items:,} items to {options.ending}: "
        f"{n_rows:,} rows, "
        f"{size / 1e6:.0f} MB, {seconds:.1f} s; memory at most {(memory.most - memory.first) / 1e6:.0f} MB "
        f"above the {memory.first / 1e6:.0f} MB of the process with the model"
    )


if __name__ == "__main__":
    main()
