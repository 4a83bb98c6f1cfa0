"""How long the features of 200,000 items take to become numbers, column by column.

Four columns of categories (10 to 20,000 of them), two of numbers, one of dates, one of lists of up to six
tags and one of texts (titles of four words), made with a seed. Printed is the least of some runs of
`encode`, which happens in every `fit`, `encode_items` and `add_items`, and of `learn_encoding`, which `fit`
does before.

    python benchmarks/encode_features.py --rows 200000 --repeats 5
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tripletrec.data.features import align, encode, learn_encoding

CATEGORIES = {"country": 10, "category": 100, "brand": 2_000, "shop": 20_000}


def make_features(n_rows: int, seed: int = 0) -> pd.DataFrame:
    """Return a table with columns of every kind; one cell in twenty has no value."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name, n in CATEGORIES.items():
        n = min(n, max(1, n_rows // 10))  # values that rows share
        values = np.array([f"{name} {i}" for i in range(n)], object)[rng.integers(n, size=n_rows)]
        values[rng.random(n_rows) < 0.05] = None
        columns[name] = values
    columns["price"] = np.where(rng.random(n_rows) < 0.05, np.nan, np.exp(rng.normal(3, 1, n_rows)))
    columns["weight"] = rng.normal(size=n_rows)
    columns["launched"] = np.datetime64("2024-01-01") + rng.integers(1000, size=n_rows)
    tags = np.array([f"tag {i}" for i in range(500)], object)
    columns["tags"] = [
        tags[rng.integers(500, size=n)].tolist() for n in rng.integers(7, size=n_rows)
    ]
    words = np.array([f"word{i}" for i in range(5_000)], object)[
        rng.integers(5_000, size=(n_rows, 3))
    ]
    columns["title"] = [f"{' '.join(row)} no{i}" for i, row in enumerate(words)]
    return pd.DataFrame(columns)


def least(call: Callable[[], Any], repeats: int) -> float:
    """Return the seconds of the fastest of some calls, of one processor: others may be at work."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="time the encoding of features")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    frame = make_features(arguments.rows)
    rows = np.arange(len(frame))
    several = ["tags", "title"]
    single = [*CATEGORIES, "price", "weight"]
    parts = {
        "4 of categories, 2 of numbers": single,
        "the same and a list": [*single, "tags"],
        "all": list(frame),
        **{name: [name] for name in ("brand", "price", "launched", *several)},
    }
    print(
        f"{arguments.rows} rows, the least of {arguments.repeats} runs, in seconds of one processor"
    )
    print(f"{'columns':<32}{'learn':>8}{'encode':>8}")
    for label, names in parts.items():
        table = align(frame[names], None, np.ones(len(frame), bool), "features")
        encoding = learn_encoding(table, rows, "features")
        times = [
            least(call, arguments.repeats)
            for call in (
                lambda table=table: learn_encoding(table, rows, "features"),
                lambda table=table, encoding=encoding: encode(encoding, table, "features"),
            )
        ]
        print(f"{label:<32}{times[0]:>8.3f}{times[1]:>8.3f}")


if __name__ == "__main__":
    main()
