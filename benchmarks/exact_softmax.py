"""What an epoch of the exact softmax costs beside its three matrix products alone, one thread.

    python benchmarks/exact_softmax.py                  # some three minutes of one core
    python benchmarks/exact_softmax.py --quick          # seconds, smaller data
    python benchmarks/exact_softmax.py --candidates 4096   # the sampled softmax, as the preset has it

The data are synthetic, of the shape of Gowalla in the split of the LightGCN literature: 29,858 users x 40,981
items, 810,128 positives. The model is ``MatrixFactorization.preset("softmax", n_negatives="all")``. With n
users, m items (or candidates of a batch) and k factors every epoch needs three products of 2 n m k
floating-point operations each: scores, gradients of users, gradients of items. They are timed alone,
on arrays made before and with nothing in between,

cut
    into the batches of users and pieces of items that training cuts them into, whose scores stay in the
    cache from one product to the next;
uncut
    into the batches of users alone.

The three take turns. CPU is the time of the process on cores; it has only one thread. A ratio is that of
training to the products timed right after it. All figures are medians (least-most). Memory is the highest
resident memory while a fit is set up and learns for an epoch, less that before; kernels are compiled before.

Uses internals of training: `ListwiseTraining.batch_size` and `piece_size` say how it cuts users and items.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tripletrec as tr
from machine import by_kernels, describe, load
from peer_tables import markdown, ratio, save, spread
from tripletrec._runtime.blas import one_blas_thread

HERE = Path(__file__).parent
GOWALLA = (29_858, 40_981, 810_128)
SMALL = (3_000, 6_000, 60_000)
Samples = dict[str, dict[str, list[float]]]


class Products:
    """The matrix products of an epoch, and nothing else.

    Parameters
    ----------
    n_users, n_items, n_factors : int
    n_rows : int
        Users of a batch.
    piece : int
        Items of a piece.
    """

    def __init__(self, n_users: int, n_items: int, n_factors: int, n_rows: int, piece: int) -> None:
        random = np.random.default_rng(0)
        real = np.float32
        self._users = random.standard_normal((n_users, n_factors), real)
        self._items = random.standard_normal((n_items, n_factors), real)
        n_pieces = -(-n_items // piece)
        self._scores = np.zeros((n_pieces, n_rows, piece), real)
        self._by_users = np.zeros((n_pieces, n_rows, n_factors), real)
        self._by_items = np.zeros((n_items, n_factors), real)
        self._bounds = [(a, min(a + piece, n_items)) for a in range(0, n_items, piece)]

    def epoch(self) -> None:
        """Compute all three for every batch of users, in the order of training."""
        n_rows = self._scores.shape[1]
        for first in range(0, len(self._users), n_rows):
            users = self._users[first : first + n_rows]
            for c, (a, b) in enumerate(self._bounds):
                scores = self._scores[c, : len(users), : b - a]
                np.matmul(users, self._items[a:b].T, out=scores)
                np.matmul(scores, self._items[a:b], out=self._by_users[c, : len(users)])
            for c, (a, b) in enumerate(self._bounds):
                scores = self._scores[c, : len(users), : b - a]
                np.matmul(scores.T, users, out=self._by_items[a:b])


def begin(model: Any, data: tr.Interactions) -> Any:
    """Return the training that a fit would run."""
    plan = model._plan_for(model._plan(), data, None)
    return model._begin(plan, data, None, None).training


def start(
    shape: tuple[int, int, int], n_factors: int, n_negatives: int | str
) -> tuple[Any, float, float]:
    """Return a training after its first epoch, its peak memory, and that of its data, in MB."""
    sys.path.append(str(HERE / "adapters"))
    from worker import forget_peak, memory_mb

    model = tr.MatrixFactorization.preset(
        "softmax", n_factors=n_factors, n_negatives="all", n_jobs=1, random_state=0
    )
    if n_negatives != "all":
        model.set_params(n_negatives=20)
    tiny = tr.datasets.make_interactions(50, 40, 300, random_state=0)
    by_kernels()
    begin(model, tiny).run_epoch(1)  # compiles
    model.set_params(n_negatives=n_negatives)
    data = tr.datasets.make_interactions(*shape, random_state=0)
    before = memory_mb(peak=False)
    forget_peak()
    training = begin(model, data)
    training.run_epoch(1)
    of_data = sum(each.nbytes for each in (data.indptr, data.indices, data.values)) / 1e6
    return training, memory_mb(peak=True) - before, of_data


def alternate(calls: dict[str, Callable[[], Any]], repeats: int) -> Samples:
    """Return CPU and wall seconds of calls that take turns."""
    found: Samples = {name: {"CPU": [], "wall": []} for name in calls}
    with one_blas_thread():
        for _ in range(repeats):
            for name, call in calls.items():
                worked, started = time.process_time(), time.perf_counter()
                call()
                found[name]["CPU"].append(time.process_time() - worked)
                found[name]["wall"].append(time.perf_counter() - started)
                print(f"  {name}: {found[name]['CPU'][-1]:.2f} s of CPU", flush=True)
    return found


def report(
    shape: tuple[int, int, int], n_factors: int, repeats: int, n_candidates: int | None
) -> list[str]:
    """Return the table."""
    before = load()
    training, peak, of_data = start(shape, n_factors, n_candidates or "all")
    n_items = n_candidates or shape[1]
    n_users, n_rows = len(training._users_with_positives), training.batch_size
    sizes = (n_users, n_items, n_factors, n_rows)
    numbers = iter(range(2, repeats + 2))
    calls = {
        "training": lambda: training.run_epoch(next(numbers)),
        "products, cut": Products(*sizes, training.piece_size).epoch,
        "products, uncut": Products(*sizes, n_items).epoch,
    }
    found = alternate(calls, repeats)
    flops = 6e-9 * n_users * n_items * n_factors
    rows = []
    for name, mine in found.items():
        against = ["", ""]
        if name != "training":
            against = [ratio(found["training"][kind], mine[kind], 2) for kind in ("CPU", "wall")]
        speed = spread((flops / seconds for seconds in mine["CPU"]), 1)
        rows.append([name, spread(mine["CPU"]), spread(mine["wall"]), speed, *against])
    header = [
        "", "CPU, s", "wall, s", "Gflop/s (of the products)", "training takes x, CPU", "wall",
    ]  # fmt: skip
    scores = 4e-6 * n_rows * n_items
    title = "Exact softmax" if n_candidates is None else f"Softmax of {n_candidates:,} candidates"
    return [
        f"## {title}: {shape[0]:,} users x {shape[1]:,} items, {shape[2]:,} positives, "
        f"{n_factors} factors, 1 thread", "",
        f"{n_rows} users in a batch, {training.piece_size:,} items in a piece; {flops:,.0f} Gflop an epoch.",
        "", *markdown(header, rows), "",
        f"Peak memory of a fit: {peak:,.0f} MB above the data ({of_data:,.0f} MB), {scores:,.0f} MB of it "
        "for a batch of scores.", "",
        *describe(), f"Load average before the first run: {before}; {repeats} repetitions.",
    ]  # fmt: skip


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--candidates", type=int, help="of a batch; default: all items")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    shape = SMALL if options.quick else GOWALLA
    lines = report(shape, options.factors, options.repeats, options.candidates)
    print("", *lines, f"\nresults: {save('exact-softmax', lines)}", sep="\n")


if __name__ == "__main__":
    main()
