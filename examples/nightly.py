"""A nightly job: learn from the day's events, check that lists are no worse, write them for all, save.

    python examples/nightly.py model.safetensors today.parquet lists.parquet

The model was saved with `state=True`, the events have the columns user_id, item_id and time. A server that
reads the model's file meanwhile (`examples/service.py`) finds the old one or the new one, and never a part.
If the new model ranks clearly worse than yesterday's, both files stay as they were and the exit code is 1.
"""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

import tripletrec as tr

COLUMNS = {"user": "user_id", "item": "item_id", "timestamp": "time"}
METRIC = "ndcg@10"
LEAST = 0.9  # of yesterday's number: smaller differences may be chance in a single evening


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description="Learn from a day.")
    parser.add_argument("model", help="yesterday's, which today's takes the place of")
    parser.add_argument("events", help="of the day, .parquet or .csv")
    parser.add_argument("lists", help="to write, .parquet or .csv")
    parser.add_argument("--k", type=int, default=10, help="length of a list (default: 10)")
    options = parser.parse_args()
    events = read(options.events)
    yesterday, today = tr.load(options.model), tr.load(options.model)
    evening = events["time"].quantile(0.75)
    early, late = events[events["time"] < evening], events[events["time"] >= evening]
    today.partial_fit(tr.Interactions.from_frame(early, **COLUMNS))
    before, after = measure(yesterday, today, early, late)
    print(f"{METRIC} in the evening: yesterday's model {before:.4f}, today's {after:.4f}")
    if not after >= LEAST * before:
        print("today's model is worse and is not saved")
        return 1
    today.partial_fit(tr.Interactions.from_frame(late, **COLUMNS))
    n_rows = today.recommend_to(options.lists, k=options.k)
    today.save(options.model, state=True)  # last: until here the night may be run again
    print(f"{today.n_users_} users, {today.n_items_} items, {n_rows} rows of lists")
    return 0


def read(path: str) -> pd.DataFrame:
    """Return a table of events."""
    table = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
    return table.assign(time=pd.to_datetime(table["time"]))


def measure(
    yesterday: Any, today: Any, early: pd.DataFrame, late: pd.DataFrame
) -> tuple[float, float]:
    """Return what two models make of the late events: of the same pairs and items, those both know.

    What a user had until then is left out for both; only today's model has learnt from the early events.
    """
    shared = {"like": yesterday.seen_, "unknown": "drop"}
    test = tr.Interactions.from_frame(late, **COLUMNS, **shared)
    had = tr.Interactions.from_frame(early, **COLUMNS, **shared)
    pairs = test.to_frame()[["user", "item"]]
    again = tr.Interactions.from_frame(pairs, user="user", item="item", like=today.seen_)
    before = tr.evaluate(yesterday, test, k=10, exclude=("seen", had))
    after = tr.evaluate(today, again, k=10, candidates=yesterday.item_ids_)
    return before.mean[METRIC], after.mean[METRIC]


if __name__ == "__main__":
    raise SystemExit(main())
