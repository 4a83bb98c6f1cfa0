r"""How near the training loop is to what the processor could do at best: one thread, data within the cache.

    python benchmarks/roofline.py

Counted on paper, for one triplet (u, i, j) of bpr with SGD, dot scores, item biases, k factors, float32:

bytes
    Rows of u, i and j are read and written: 2 * 3 * 4k. Two biases: 2 * 2 * 4. Three row numbers: 3 * 4.
    Reading a row again that was just read is free (registers or the first cache). With k = 64: 1,564.
flops
    One product U . (V_i - V_j): 3k. Steps, with h the rate times the slope and d = 1 - rate times L2, two
    numbers: U = d U - h (V_i - V_j) is 4k, V_i = d V_i - h U is 3k, V_j likewise. Together 13k; the slope,
    the loss (an exponential, a logarithm) and the biases are taken as 40. With k = 64: 872.

Measured here, by loops compiled in the same way (with vectors as wide as the compiler chooses):
bandwidth in the manner of STREAM (copy: c = a; triad: a = b + s c; bytes named in the loop, no more) and of
an update in place (a = s a), with arrays beyond all caches, as large together as the tables of factors,
and within the first cache; and the peak of fused multiply-adds (Horner's rule within the first cache).

The roof is the larger of bytes / bandwidth (the best of the three loops, arrays of the size of the tables)
and flops / peak; the share reached is roof / time of the training loop alone, which is called with all
negatives drawn. What preparing and drawing cost besides is printed as well. Seconds are those of the
thread on a core, so that waiting for a busy core does not count.

After SGD, in the same repetitions, come the other optimizers: Adagrad reads and writes one number more for
each factor, Adam two, and both take a root and divide. `scaling.py --optimizer` has tables beyond the caches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

import tripletrec as tr
from machine import cache_bytes, describe, load
from peer_tables import markdown, ratio, save, spread
from stages import Fit
from tripletrec._runtime.jit import kernel

OPTIMIZERS = ("sgd", "adagrad", "adam")
MOST_BYTES = 2**30  # of the arrays beyond the caches, all three together


@kernel
def copy(n_times, a, b, c, s):
    """Move 8 bytes for each element."""
    for _ in range(n_times):
        for k in range(a.shape[0]):
            c[k] = a[k]


@kernel
def triad(n_times, a, b, c, s):
    """Move 12 bytes for each element."""
    for _ in range(n_times):
        for k in range(a.shape[0]):
            a[k] = b[k] + s * c[k]


@kernel
def update(n_times, a, b, c, s):
    """Move 8 bytes for each element, as the steps of training do: read, change, write back."""
    for _ in range(n_times):
        for k in range(a.shape[0]):
            a[k] = s * a[k]


@kernel
def horner(n_times, a, b, c, s):
    """Do 16 fused multiply-adds, 32 flops, for each element, in two independent chains."""
    for _ in range(n_times):
        for k in range(a.shape[0]):
            x, p, q = b[k], a[k], c[k]
            for _ in range(4):  # with x = s = 1/2 both approach 1
                p, q = s + x * p, s + x * q
                p, q = x + s * p, x + s * q
            a[k], c[k] = p, q


LOOPS = {"copy": (copy, 8), "triad": (triad, 12), "update": (update, 8)}


def rate(loop: Callable[..., None], per_element: int, n_bytes: int, seconds: float) -> float:
    """Return how many 1e9 (bytes or flops) a second a loop does, over three arrays of `n_bytes` together."""
    size = max(64, n_bytes // 12)
    a, b, c = (np.full(size, 0.5, np.float32) for _ in range(3))
    s, n_times = np.float32(0.5), 1
    while True:
        started = time.thread_time()
        loop(n_times, a, b, c, s)
        taken = time.thread_time() - started
        a[:] = 0.5  # before repeated halving makes it denormal, which is slow
        if taken >= seconds or n_times * per_element * size > 1e12:
            return n_times * per_element * size / taken / 1e9
        n_times = int(n_times * min(10.0, 1.2 * seconds / max(taken, 1e-7))) + 1


def counted(n_factors: int) -> tuple[int, int]:
    """Return bytes and flops of a triplet, as the docstring counts them."""
    return 24 * n_factors + 28, 13 * n_factors + 40


def measure(options: argparse.Namespace) -> tuple[dict[str, dict[str, list[float]]], list[Fit]]:
    """Return samples of all rates and of the stages, taken in turn, and what was trained."""
    data = tr.datasets.fetch_movielens_100k().train
    fits = [Fit(data, options.factors, optimizer) for optimizer in OPTIMIZERS]
    caches = cache_bytes()
    far = 4 * max(caches.values(), default=2**25)
    sizes = {
        "beyond the caches": min(far, MOST_BYTES),
        "size of the tables": fits[0].table_bytes,
        "first cache": caches.get(1, 32 * 1024) // 2,
    }
    groups = (*sizes, "peak", *OPTIMIZERS)
    found: dict[str, dict[str, list[float]]] = {where: {} for where in groups}
    for repeat in range(options.repeats + 1):
        taken = {(where, name): rate(each, per_element, size, options.seconds)
                 for where, size in sizes.items() for name, (each, per_element) in LOOPS.items()}  # fmt: skip
        taken["peak", "fma"] = rate(horner, 32, sizes["first cache"], options.seconds)
        for optimizer, fit in zip(OPTIMIZERS, fits, strict=True):
            epochs = [fit.epoch() for _ in range(options.epochs)]
            for stage in epochs[0]:
                taken[optimizer, stage] = statistics.median(each[stage] for each in epochs)
        if repeat:  # the first one compiled
            for (where, name), value in taken.items():
                found[where].setdefault(name, []).append(value)
    return found, fits


def optimizer_rows(
    found: dict[str, dict[str, list[float]]], fits: list[Fit]
) -> Iterator[list[str]]:
    """Yield a row for each optimizer: what it keeps, and nanoseconds beside those of SGD."""
    for optimizer, fit in zip(OPTIMIZERS, fits, strict=True):
        mine, sgd = found[optimizer], found["sgd"]
        against = ["", ""]
        if optimizer != "sgd":
            against = [ratio(mine[stage], sgd[stage], 2) for stage in ("update", "whole")]
        times = (spread(mine[stage], 1) for stage in ("update", "whole"))
        yield [optimizer, f"{fit.state_bytes / 1024:,.0f}", *times, *against]


def report(options: argparse.Namespace) -> list[str]:
    """Return the tables."""
    started = load()
    found, fits = measure(options)
    n_bytes, n_flops = counted(options.factors)
    places = [where for where in found if where not in ("peak", *OPTIMIZERS)]
    rows = [[where, *(spread(found[where][name], 1) for name in LOOPS)] for where in places]
    best = [max(each) for each in zip(*found["size of the tables"].values(), strict=True)]
    moving = [n_bytes / each for each in best]
    computing = [n_flops / each for each in found["peak"]["fma"]]
    roof = [max(pair) for pair in zip(moving, computing, strict=True)]
    share = [100 * a / b for a, b in zip(roof, found["sgd"]["update"], strict=True)]
    stages = found["sgd"]
    return [
        f"## Roofline: bpr, SGD, {options.factors} factors, MovieLens-100K, 1 thread", "",
        f"Tables of factors: {fits[0].table_bytes / 1024:,.0f} KiB.", "",
        *markdown(["GB/s, arrays", *LOOPS], rows), "",
        f"Peak of fused multiply-adds: {spread(found['peak']['fma'], 1)} Gflop/s.", "",
        *markdown(
            ["a triplet", "counted", "ns at best"],
            [["bytes", f"{n_bytes:,}", spread(moving, 1)],
             ["flops", f"{n_flops:,}", spread(computing, 1)]],
        ), "",
        *markdown(["ns per triplet, measured", *stages], [["", *(spread(v, 1) for v in stages.values())]]),
        "", f"The training loop alone reaches {spread(share, 0)} % of the roof "
        f"({'bytes' if statistics.median(moving) >= statistics.median(computing) else 'flops'}).", "",
        *markdown(
            ["optimizer", "keeps, KiB", "ns per triplet, update", "whole", "times SGD, update", "whole"],
            optimizer_rows(found, fits),
        ), "",
        *describe(), f"Load average before the first run: {started}; {options.repeats} repetitions.",
    ]  # fmt: skip


def main() -> None:
    """Print and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20, help="in each repetition")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each measured loop")
    lines = report(parser.parse_args())
    print(*lines, f"\nresults: {save('roofline', lines)}", sep="\n")


if __name__ == "__main__":
    main()
