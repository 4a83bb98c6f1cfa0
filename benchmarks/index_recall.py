"""How many of the exact 20 best items each approximate index finds, and how long it takes for a user.

    python benchmarks/index_recall.py --items 20000 200000

Factor models with 64 factors are trained on `datasets.make_interactions`; a library that is not installed is
passed over. Exact lists are those of `recommend`, for 1,000 users in one call.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tripletrec as tr
from machine import describe, load

K = 20


def searches(kind: str, index: Any) -> Callable[[Any], Any]:
    """Return what finds the rows of the K best items for vectors of users."""
    if kind == "usearch":
        return lambda vectors: np.asarray(index.search(vectors, K).keys).reshape(len(vectors), -1)
    if kind == "hnswlib":
        return lambda vectors: index.knn_query(vectors, k=K)[0]
    return lambda vectors: index.search(vectors, K)[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[20_000])
    parser.add_argument("--users", type=int, default=1_000)
    options = parser.parse_args()
    print(*describe(), f"load {load()}", sep="\n", file=sys.stderr)
    for n_items in options.items:
        data = tr.datasets.make_interactions(20_000, n_items, 20 * n_items, random_state=0)
        for preset in ("bpr", "softmax"):
            model = tr.MatrixFactorization.preset(preset, n_epochs=5).fit(data)
            users = np.arange(options.users)
            model.recommend(users, k=K, exclude=None)  # compiles
            started = time.perf_counter()
            exact, _ = model.recommend(users, k=K, exclude=None)
            took = (time.perf_counter() - started) / len(users)
            print(f"{n_items:,} items, {preset}: exact lists {1e3 * took:.2f} ms a user")
            vectors = model.user_vectors(users)
            for kind in ("usearch", "hnswlib", "faiss"):
                try:
                    index = model.to_index(kind)
                except ImportError as error:
                    print(f"  {error}")
                    continue
                search = searches(kind, index)
                started = time.perf_counter()
                found = np.stack([search(each[None])[0] for each in vectors])
                took = (time.perf_counter() - started) / len(users)
                shared = [
                    len({*a} & {*b}) for a, b in zip(exact.tolist(), found.tolist(), strict=True)
                ]
                print(f"  {kind:8} recall {np.mean(shared) / K:.4f}, {1e3 * took:.2f} ms a user")
    return 0


if __name__ == "__main__":
    sys.exit(main())
