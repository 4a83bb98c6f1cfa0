"""What intervals and p-values cost: 100,000 users, 1,000 resamples, all metrics at once, and a comparison.

python benchmarks/intervals.py
python benchmarks/intervals.py --users 20000 --resamples 9999 --repeats 3

Medians of the repeats, in seconds; nothing is trained. The numbers of users are made up, with the spread that metrics
have: mostly zero, some in steps, AUC nearly continuous and not defined for one user in a hundred.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

import tripletrec as tr
from tripletrec.evaluation.resampling import sign_flip_test

METRICS = ["auc", "mrr"] + [
    f"{name}@{k}" for name in ("precision", "recall", "ndcg", "map", "hit_rate") for k in (10, 20)
]


def evaluation(n_users: int, seed: int) -> tr.Evaluation:
    """Return numbers of so many users as `evaluate` does."""
    rng = np.random.default_rng(seed)
    hits = rng.random(n_users) < 0.4
    columns = {name: np.where(hits, rng.beta(2, 5, n_users), 0.0) for name in METRICS}
    columns["auc"] = np.where(rng.random(n_users) < 0.01, np.nan, rng.beta(9, 1, n_users))
    per_user = pd.DataFrame(columns)
    return tr.Evaluation(per_user.mean(), per_user)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def main() -> None:
    """Print a row for each thing that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    one, other = (evaluation(options.users, seed) for seed in (0, 1))
    n, differences = options.resamples, (one.per_user - other.per_user).to_numpy()
    one.interval(n_resamples=10)  # what is imported on first use
    calls: dict[str, Callable[[], object]] = {
        "intervals, BCa": lambda: one.interval(n_resamples=n),
        "intervals, percentile": lambda: one.interval(n_resamples=n, method="percentile"),
        "p-values": lambda: sign_flip_test(differences, n),
        "compare, two models": lambda: tr.compare(
            {"a": one, "b": other}, np.eye(2), n_resamples=n, n_permutations=n
        ),
    }
    print(f"{options.users:,} users, {len(METRICS)} metrics, {n:,} resamples or permutations\n")
    print("| | seconds |\n|---|---:|")
    for name, call in calls.items():
        print(f"| {name} | {seconds(call, options.repeats):.2f} |", flush=True)


if __name__ == "__main__":
    main()
