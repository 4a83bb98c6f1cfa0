"""What a fit takes as formulas: memory, disk, network and time, by the size of data and cluster.

    python benchmarks/scale_model.py                 # the tables of docs/scale-measured.md
    python benchmarks/scale_model.py --check         # what the formulas say beside what was counted

With U users, I items, N positives, d factors, an optimizer that keeps s numbers for each factor and t step
counts for each row (SGD 0 and 0, Adagrad 1 and 0, Adam 2 and 1), and W workers:

    row      r = 4 * 16 * ceil(d / 16) * (1 + s) bytes, padded to cache lines
    item     b = r + 4 * (1 + s) + 4 * t + 4: its row, bias and their state, step counts, row number
    memory   (U + I) * (r + 4t) + 4 * I * (1 + s) + N * (4 + v + c) + 8 * U; a value takes v = 4 bytes, a
             stored triplet c = 4 or 8
    disk     r + 80 bytes of memory for each item, 40 for each user, and two of P parts of 8 N and of users'
             rows: one is read while another is learnt from
    network  with P parts of the users, a power of two and at least 2 W: P / 2 - 1 rounds in which items
             change their worker, some or all of them, and one deal of the items in two epochs

`--check` runs small fits on workers within one process, which counts what a network would carry, and
compares. Time is that of the triplets, measured on one machine (`scaling.py`), or of the network, whichever
is longer, for both go on at the same time; and a millisecond for each task of the scheduler.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import NamedTuple

from machine import describe
from peer_tables import markdown, save

TASK = 1e-3  # seconds of the scheduler
GIGABIT = 1e9 / 8


class Size(NamedTuple):
    """Users, items and positives."""

    users: int
    items: int
    positives: int


class Model(NamedTuple):
    """Factors, and what the optimizer keeps of each factor and of each row."""

    n_factors: int = 64
    n_state: int = 0
    n_step_counts: int = 0

    @property
    def row(self) -> int:
        """Bytes of a row of factors and its state."""
        return 4 * 16 * -(-self.n_factors // 16) * (1 + self.n_state)

    @property
    def item(self) -> int:
        """Bytes of an item on the network."""
        return self.row + 4 * (1 + self.n_state) + 4 * self.n_step_counts + 4


SGD = Model()
SIZES = {
    "10⁸": Size(2_000_000, 500_000, 10**8),
    "10⁹": Size(20_000_000, 2_000_000, 10**9),
    "10¹⁰": Size(200_000_000, 10_000_000, 10**10),
}


def n_lanes(size: Size) -> int:
    """Return the user blocks of data of this size, where there are items enough."""
    from tripletrec.training.strata import most_lanes

    return most_lanes(size.positives)


def memory(size: Size, model: Model = SGD, value: int = 4) -> float:
    """Return the bytes of a fit in memory."""
    code = 4 if size.users // n_lanes(size) < 2**19 else 8
    counts = 4 * model.n_step_counts
    rows = (size.users + size.items) * (model.row + counts) + 4 * size.items * (1 + model.n_state)
    deals = 16 * size.users + 40 * size.items
    return rows + size.positives * (4 + value + code) + 8 * size.users + deals


def from_disk(size: Size, n_parts: int, users_too: bool, model: Model = SGD) -> float:
    """Return the bytes in memory of a fit from disk in so many parts, the rows of users on disk or not."""
    users, parts = size.users * model.row, size.positives * 8
    if users_too:
        users, parts = 0, parts + users
    return size.items * (model.row + 80) + size.users * 40 + users + 2 * parts / n_parts


def on_disk(size: Size, users_too: bool, model: Model = SGD) -> float:
    """Return the bytes of files that a fit from disk makes, beside those of the interactions."""
    factors = 4 * model.n_factors + users_too * model.row
    return size.positives * 8 + size.users * factors


def n_parts(size: Size, workers: int) -> int:
    """Return into how many parts the users are cut for workers of one thread each."""
    return min(n_lanes(size), 1 << (2 * workers - 1).bit_length())


def homes(parts: int, workers: int) -> list[int]:
    """Return the worker of each part."""
    return [part * workers // parts for part in range(parts)]


def carried(size: Size, workers: int, parts: int, model: Model = SGD) -> tuple[float, float]:
    """Return the bytes that all workers send in an epoch for its tiles, and for a deal of the items.

    Part a has items a XOR k in round k. Who had them before sends them, unless it has both parts.
    """
    home, n_moves = homes(parts, workers), 0
    for turn in range(1, parts):
        for part in range(parts):
            n_moves += home[part] != home[part ^ turn ^ (turn - 1)]
    each = size.items / parts * model.item
    # In a new deal an item comes to any group.
    dealt = size.items * model.item * (1 - 1 / workers)
    return n_moves * each, dealt


def seconds(
    size: Size, workers: int, gigabits: float, per_triplet: float, model: Model = SGD
) -> float:
    """Return the seconds of an epoch, with workers of one thread each."""
    parts = n_parts(size, workers)
    tiles, dealt = carried(size, workers, parts, model)
    network = (tiles + dealt / 2) / workers / (gigabits * GIGABIT)
    learning = size.positives * per_triplet / min(workers, parts)
    return max(learning, network) + TASK * parts * (parts + 3)


def check() -> list[list[str]]:
    """Return what small fits carry from worker to worker, counted and by the formulas."""
    import tripletrec as tr
    from tripletrec.cluster.engine import SerialEngine
    from tripletrec.cluster.fitting import fit_with
    from tripletrec.cluster.folders import Folder
    from tripletrec.cluster.sources import InteractionsSource

    rows = []
    kinds = {"sgd": Model(32), "adagrad": Model(32, 1), "adam": Model(32, 2, 1)}
    size = Size(3_000, 6_000, 60_000)
    data = tr.datasets.make_interactions(*size, random_state=0)
    for name, model in kinds.items():
        for workers in (1, 2, 4, 8):
            estimator = tr.MatrixFactorization(
                32, loss="hinge", sampler="unseen", optimizer=name, learning_rate=0.01, n_epochs=3,
                schedule="constant",
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as path:
                engine = SerialEngine(workers)
                source = InteractionsSource(data)
                fit_with(engine, estimator, estimator._plan(), source, Folder(path), every=3)
                found = engine.carried
            parts = min(16, 1 << (2 * workers - 1).bit_length())
            # Between epochs items go from where the last round left them to where the next one begins.
            tiles, dealt = carried(size, workers, parts, model)
            home = homes(parts, workers)
            begins = sum(home[part] != home[part ^ (parts - 1)] for part in range(parts))
            tiles = 3 * tiles + begins * size.items / parts * model.item  # epoch 2; 3 is dealt anew
            counted = [found.get(each, 0) for each in ("learn_tile", "cut_items", "join_items")]
            rows.append(
                [
                    name, workers, parts, f"{counted[0]:,}", f"{tiles:,.0f}",
                    f"{counted[1] + counted[2]:,}", f"{dealt:,.0f}",
                ]
            )  # fmt: skip
    return rows


def tables(per_triplet: float) -> list[str]:
    """Return the tables of memory and of time."""
    lines = []
    rows = [
        [
            name, f"{size.users:,}", f"{size.items:,}", n_lanes(size), f"{memory(size) / 1e9:.1f}",
            f"{memory(size, Model(64, 1)) / 1e9:.1f}",
            *(f"{from_disk(size, 16, users_too) / 1e9:.1f}" for users_too in (False, True)),
            f"{on_disk(size, True) / 1e9:.1f}",
        ]
        for name, size in SIZES.items()
    ]  # fmt: skip
    header = [
        "N", "users", "items", "threads", "GB", "Adagrad", "disk", "users, too", "files",
    ]  # fmt: skip
    lines += [*markdown(header, rows), ""]
    workers = (1, 2, 4, 8, 16, 32, 64)
    for gigabits in (1, 10):
        rows = [
            [name, *(f"{seconds(size, w, gigabits, per_triplet):,.0f}" for w in workers)]
            for name, size in SIZES.items()
        ]
        header = [f"seconds, {gigabits} Gb/s; workers:", *map(str, workers)]
        lines += [*markdown(header, rows), ""]
    rows = []
    for name, size in SIZES.items():
        each = []
        for w in workers[1:]:
            tiles, dealt = carried(size, w, n_parts(size, w))
            each.append(f"{(tiles + dealt / 2) / w / 1e9:.2f}")
        rows.append([name, *each])
    header = ["GB sent by a worker; workers:", *map(str, workers[1:])]
    return [*lines, *markdown(header, rows), ""]


def main() -> None:
    """Print the tables, or the check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--nanoseconds", type=float, default=250, help="of a triplet, one thread")
    options = parser.parse_args()
    if options.check:
        header = [
            "optimizer", "workers", "parts", "tiles, counted", "by formula", "deals, counted", "by formula",
        ]  # fmt: skip
        lines = markdown(header, check())
    else:
        lines = tables(options.nanoseconds * 1e-9)
    print(*lines, sep="\n")
    print(f"results: {save('scale_model', [*lines, *describe()])}")


if __name__ == "__main__":
    main()
