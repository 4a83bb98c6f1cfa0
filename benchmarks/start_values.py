"""What start values of factors take, beside NumPy's normal numbers, which they were before.

    python benchmarks/start_values.py                  # tables of 12 million interactions: 1 GB of memory
    python benchmarks/start_values.py --repeats 31
    python benchmarks/start_values.py --quick          # to see that it runs

Rows of users and items as large as for MovieLens-100K, and as for 300,000 users x 500,000 items, 64 factors,
with Adagrad's state beside them. Both fill the same tables in turn, chunks of 4,096 rows, NumPy's by a
stream for each; time is that of a thread on a core. Then the whole of `FactorTables.start`, with its zeros
and the optimizer's state, by the clock on the wall.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from machine import by_kernels, describe, load, n_cores
from peer_tables import markdown, ratio, save, spread
from tripletrec.optimizers import adagrad
from tripletrec.training.start_values import start_rows
from tripletrec.training.tables import FactorTables

SIZES = ((943, 1682), (300_000, 500_000))
N_FACTORS, CHUNK, SCALE = 64, 4096, 0.1
Fill = Callable[[np.ndarray, int, int], None]


def by_numpy(rows: np.ndarray, table: int, first: int) -> None:
    """Fill some rows as it was done before."""
    stream = np.random.PCG64(np.random.SeedSequence(0, spawn_key=(table, first)))
    drawn = np.random.Generator(stream).standard_normal((len(rows), N_FACTORS), np.float32)
    rows[:, 0] = drawn * np.float32(SCALE)


def by_counter(rows: np.ndarray, table: int, first: int) -> None:
    """Fill some rows as it is done now."""
    numbers = np.arange(first, first + len(rows))
    start_rows(numbers, rows, N_FACTORS, scale=SCALE, seed=0, table=table)


def fill(way: Fill, tables: FactorTables) -> float:
    """Return the nanoseconds a value of filling both tables."""
    started = time.thread_time()
    for number, table in enumerate((tables.users, tables.items)):
        for first in range(0, len(table), CHUNK):
            way(table[first : first + CHUNK], number, first)
    n_values = N_FACTORS * (len(tables.users) + len(tables.items))
    return 1e9 * (time.thread_time() - started) / n_values


def start(shape: tuple[int, int], n_jobs: int) -> tuple[FactorTables, float]:
    """Return new tables, and the seconds that they took."""
    started = time.perf_counter()
    tables = FactorTables.start(*shape, N_FACTORS, adagrad(), scale=SCALE, seed=0, n_jobs=n_jobs)
    return tables, time.perf_counter() - started


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="the small tables only, three times")
    options = parser.parse_args()
    before, rows, wholes = load(), [], []
    by_kernels()
    repeats = 3 if options.quick else options.repeats
    for shape in SIZES[:1] if options.quick else SIZES:
        tables, _ = start(shape, 1)  # compiles
        times: dict[Fill, list[float]] = {by_numpy: [], by_counter: []}
        for number in range(repeats):
            for way in list(times)[:: -1 if number % 2 else 1]:
                times[way].append(fill(way, tables))
        name = " + ".join(f"{n:,}" for n in shape)
        both = [spread(each) for each in times.values()]
        rows.append([name, *both, ratio(times[by_numpy], times[by_counter])])
        del tables
        for n_jobs in range(1, n_cores() + 1):
            seconds = [1e3 * start(shape, n_jobs)[1] for _ in range(repeats)]
            wholes.append([name, n_jobs, spread(seconds)])
    lines = [
        "## Start values: a thread's time, ns a value", "",
        *markdown(["rows", "NumPy's normals", "ours", "times as fast"], rows), "",
        "## Whole tables, with Adagrad's state: milliseconds", "",
        *markdown(["rows", "threads", "FactorTables.start"], wholes), "",
        *describe(), f"Load average before: {before}, after: {load()}.",
    ]  # fmt: skip
    print(*lines, f"\nresults: {save('start_values', lines)}", sep="\n")


if __name__ == "__main__":
    main()
