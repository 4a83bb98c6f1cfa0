"""What early stopping costs a fit, and what validating on a sample of users changes.

    python benchmarks/early_stopping.py                  # some minutes
    python benchmarks/early_stopping.py --quick          # seconds, smaller data

The data are those of `datasets.make_events`: 20,000 users, 5,000 items and 600,000 events, a fifth of them
held out for validation and another for the test. Early stopping never stops here (its patience is as long
as the fit), so that fits with and without it run the same epochs, in turn. "share" is that of validation in
the fit's time; "test" is the test metric of the epoch that was kept.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import tripletrec as tr
from machine import by_kernels, describe, load
from peer_tables import spread

METRIC = "ndcg@10"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller data")
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(*describe(), f"load {load()}", sep="\n", file=sys.stderr)
    by_kernels()
    sizes = (2_000, 1_000, 40_000) if options.quick else (20_000, 5_000, 600_000)
    events = tr.datasets.make_events(*sizes, random_state=0).events
    data = tr.Interactions.from_frame(events, user="user_id", item="item_id")
    rest, test = tr.splits.train_test_split(data, 0.2, random_state=0)
    train, held_out = tr.splits.train_test_split(rest, 0.25, random_state=1)
    for learning_rate in (0.1, 0.3):
        plain = {"n_epochs": options.epochs, "learning_rate": learning_rate}
        stopping = {**plain, "early_stopping": options.epochs, "validation_metric": METRIC}
        kinds = {
            "without": (plain, {}),
            "by default": (stopping, {"validation": held_out}),
            "every epoch": ({**stopping, "validate_every": 1}, {"validation": held_out}),
            "all users": ({**stopping, "validation_users": "all"}, {"validation": held_out}),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        kept = {}
        for repeat in range(options.repeats + 1):
            for kind, (params, given) in kinds.items():
                started = time.perf_counter()
                model = tr.MatrixFactorization(**params).fit(train, **given)
                if repeat:  # the first one compiles
                    seconds[kind].append(time.perf_counter() - started)
                kept[kind] = model
        print(f"learning_rate={learning_rate}, {options.epochs} epochs")
        for kind, model in kept.items():
            share = 1 - np.median(seconds["without"]) / np.median(seconds[kind])
            value = tr.evaluate(model, test, rest).mean[METRIC]
            print(
                f"  {kind:18} {spread(seconds[kind])} s, share {share:.0%}, "
                f"epoch {model.best_epoch_}, test {METRIC} {value:.4f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
