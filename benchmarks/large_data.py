"""Writes events to parquet, as many as the disk holds, in little memory.

    python benchmarks/large_data.py --out FOLDER                              # 10 million events
    python benchmarks/large_data.py --interactions 100000000 --users 2000000 --items 500000 --out FOLDER

Who likes what is drawn as `make_interactions` does, from popularity times taste, and who acts when by a power
law of activity; users come mixed, as in a log, and a user may come with an item again. The columns are
`user` and `item`, whole numbers, and `timestamp`, rising seconds. The same arguments give the same files. 100
million events take two or three minutes, 1.1 GB of disk and less than 1 GB of memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CHUNK = 1 << 20  # events drawn at once, each from a random stream of its own
N_FACTORS, SIGNAL = 8, 4.0
USER_EXPONENT, ITEM_EXPONENT = 0.5, 0.8
BEGIN, SPAN = 1_700_000_000, 365 * 86_400  # seconds


class World(NamedTuple):
    """Who is active, what is popular, and who has which taste."""

    users: Any  # (n_users, N_FACTORS)
    items: Any
    user_of_rank: Any
    item_of_rank: Any


def make_world(n_users: int, n_items: int, seed: int) -> World:
    rng = np.random.default_rng([seed, 0])
    users, items = (
        rng.standard_normal((n, N_FACTORS), dtype=np.float32) * np.float32(N_FACTORS**-0.25)
        for n in (n_users, n_items)
    )
    return World(users, items, rng.permutation(n_users), rng.permutation(n_items))


def by_power_law(n: int, of_rank: Any, exponent: float, rng: np.random.Generator) -> Any:
    """Draw by inverting the integral of the law."""
    power = 1.0 - exponent
    rank = (1.0 + rng.random(n) * ((len(of_rank) + 1.0) ** power - 1.0)) ** (1.0 / power)
    return of_rank[np.minimum(rank.astype(np.int64), len(of_rank)) - 1]


def draw(world: World, n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw events: each user is offered popular items until one is to his taste."""
    users = by_power_law(n, world.user_of_rank, USER_EXPONENT, rng)
    items = np.empty(n, np.int64)
    open_ = np.arange(n)
    while len(open_):
        offered = by_power_law(len(open_), world.item_of_rank, ITEM_EXPONENT, rng)
        score = np.einsum("ij,ij->i", world.users[users[open_]], world.items[offered])
        coin = rng.random(len(open_), dtype=np.float32)
        liked = coin * (1.0 + np.exp(np.minimum(-SIGNAL * score, 80.0))) < 1.0
        items[open_[liked]] = offered[liked]
        open_ = open_[~liked]
    return users, items


def chunks(
    n: int, n_users: int, n_items: int, seed: int
) -> Iterator[tuple[int, tuple[Any, Any, Any]]]:
    """Yield the first row of each chunk, and its users, items and times."""
    world = make_world(n_users, n_items, seed)
    for number, first in enumerate(range(0, n, CHUNK), 1):
        last = min(n, first + CHUNK)
        times = BEGIN + np.arange(first, last) * SPAN // n
        yield first, (*draw(world, last - first, np.random.default_rng([seed, number])), times)


def write(
    folder: Path, n: int, n_users: int, n_items: int, seed: int = 0, n_files: int = 10
) -> None:
    """Write events to some files of about equal length."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty")
    # Numbers without order have no use for a dictionary of their own.
    options = {"use_dictionary": False, "compression": "snappy"}
    schema = pa.schema([(name, pa.int64()) for name in ("user", "item", "timestamp")])
    writer, current = None, -1
    for first, columns in chunks(n, n_users, n_items, seed):
        number = first * n_files // n
        if number != current:
            if writer is not None:
                writer.close()
            path = folder / f"part-{number:05}.parquet"
            writer, current = parquet.ParquetWriter(path, schema, **options), number
        writer.write_table(pa.table(list(columns), schema=schema))
    if writer is not None:
        writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    began = time.perf_counter()
    write(
        options.out, options.interactions, options.users, options.items, options.seed, options.files
    )
    n_bytes = sum(each.stat().st_size for each in options.out.iterdir())
    print(f"{time.perf_counter() - began:.1f} s, {n_bytes / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
