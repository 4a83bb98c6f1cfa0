"""How much memory a fit takes and how long an epoch is, beside the formulas of docs/scale.md.

    python benchmarks/fit_memory.py --interactions 1e5 5e5 2e6
    python benchmarks/fit_memory.py --models triplets softmax --interactions 5e6

Fits with their defaults, 64 factors and no features: of triplets, of a list-wise loss, and of two towers, on
synthetic data with 40 interactions of each user and 24 of each item. Each fit runs in a process of its own,
twice, for the first one may compile. Memory is the highest resident memory of the fit less that before the
interactions were read; time is processor time of the second epoch, all threads together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp

import tripletrec as tr
from machine import by_kernels, describe, load
from peer_tables import markdown, save

HERE = Path(__file__).parent
FACTORS = 64
MODELS: dict[str, Any] = {
    "triplets": lambda **more: tr.MatrixFactorization(FACTORS, **more),
    "softmax": lambda **more: tr.MatrixFactorization(FACTORS, loss="softmax", **more),
    "towers": lambda **more: tr.TwoTower(FACTORS, **more),
}


def by_formula(name: str, data: Any) -> float:
    """Return the bytes of a fit, see docs/scale.md."""
    users, items, n, d = data.n_users, data.n_items, len(data), FACTORS
    if name == "triplets":
        return 8 * d * (users + items) + 12 * n + 24 * users + 44 * items
    if name == "towers":
        return 24 * d * (users + items) + 48 * n
    batch = max(8, min(256, users // 64))
    candidates = items if items <= 8192 else 4096
    pairs = int(np.sort(np.diff(data.indptr))[-batch:].sum())
    slots = min(items, candidates + pairs)
    of_batch = 4 * batch * candidates + 8 * d * slots + 44 * pairs
    return 12 * d * (users + items) + 8 * d * users + 12 * n + of_batch


def fit(name: str, path: str, n_jobs: int) -> None:
    """Print the peak memory, what the formula says, both in MB, and the seconds of an epoch."""
    sys.path.append(str(HERE / "adapters"))
    from worker import forget_peak, memory_mb

    by_kernels()
    MODELS[name](n_epochs=1).fit(tr.datasets.make_interactions(300, 200, 5_000, random_state=0))
    before = memory_mb(peak=False)
    data = tr.Interactions(sp.load_npz(path))
    forget_peak()
    clock: list[float] = []
    model = MODELS[name](n_epochs=2, n_jobs=n_jobs, random_state=0)
    model.fit(data, callbacks=lambda *_: clock.append(time.process_time()))
    print(memory_mb(peak=True) - before, by_formula(name, data) / 1e6, clock[1] - clock[0])


def measure(name: str, n: int, n_jobs: int) -> list[str]:
    """Return a row of the table."""
    data = tr.datasets.make_interactions(n // 40, n // 24, n, random_state=0)
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "data.npz")
        sp.save_npz(path, data.tocsr(), compressed=False)
        command = [sys.executable, __file__, "--threads", str(n_jobs), "--child", name, path]
        for _ in range(2):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    peak, formula, seconds = map(float, done.stdout.split())
    return [name, f"{n:,}", f"{peak:,.0f}", f"{formula:,.0f}", f"{seconds:.2f}"]


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description="memory and time of fits")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--interactions", type=float, nargs="+", default=[1e5, 5e5, 2e6])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        fit(*options.child, options.threads)
        return
    before, rows = load(), []
    for name in options.models:
        for n in map(int, options.interactions):
            rows.append(measure(name, n, options.threads))
            print(*rows[-1], sep=" | ", flush=True)
    header = ["model", "interactions", "peak memory, MB", "by the formula", "s of an epoch"]
    lines = [*describe(), f"load before: {before}", "", *markdown(header, rows)]
    print("", *lines, f"\nresults: {save('fit-memory', lines)}", sep="\n")


if __name__ == "__main__":
    main()
