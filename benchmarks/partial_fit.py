"""Learn from one more day of a shop: `partial_fit` beside a fit of everything, for several days.

For each day d a model learns from all events before d. Then it learns from the events of day d by
`partial_fit`, with the state of its optimizer and without it, as out of a file; and a new model is fitted on
both. All are asked for the events of day d + 1. The table has, for each model and way:

ndcg@10
    Of the events of the next day, known users and items, what the users had left out; the mean over days
    and its spread (the largest less the smallest).
cosine
    The median over the items of the cosine of an item's vector before and after.
seconds, share
    Of learning alone, and as a share of the fit of everything.

    python benchmarks/partial_fit.py                              # the last three days that can be tested
    python benchmarks/partial_fit.py --days 53 54 --models bpr    # the days that numbers were chosen on
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import tripletrec as tr
from machine import by_kernels

MODELS: dict[str, Callable[[], Any]] = {
    "bpr": tr.MatrixFactorization,
    "softmax": lambda: tr.MatrixFactorization.preset("softmax"),
    "two towers": tr.TwoTower,
}
N_DAYS = 60


def interactions(events: pd.DataFrame, like: tr.Interactions | None = None) -> tr.Interactions:
    """Return events as interactions; of the users and items of others, if they are given."""
    return tr.Interactions.from_frame(
        events, user="user_id", item="item_id", timestamp="time", like=like, unknown="drop"
    )


def ndcg(model: Any, events: pd.DataFrame) -> float:
    """Return NDCG@10 on the events of a day, of users and items that the model knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of those that users had before
        test = interactions(events, like=model.seen_)
        return float(tr.evaluate(model, test, exclude="seen", k=10).mean["ndcg@10"])


def cosine(before: Any, after: Any) -> float:
    """Return the median cosine of the vectors of an item in two models."""
    places = after._items().find(before.item_ids_) if after.item_ids_ is not None else slice(None)
    old, new = before.item_factors_, after.item_factors_[places]
    norms = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    return float(np.median((old * new).sum(axis=1) / np.maximum(norms, 1e-12)))


def copy_of(model: Any, *, state: bool) -> Any:
    """Return the model as it comes out of a file."""
    file = io.BytesIO()
    model.save(file, state=state)
    file.seek(0)
    return tr.load(file)


def measure(make: Callable[[], Any], past: Any, day: Any, next_day: Any, n_epochs: int) -> Any:
    """Yield the name of each way, its NDCG, cosine, seconds, and share of the time of a fit."""
    before = make().fit(interactions(past))
    started = time.perf_counter()
    anew = make().fit(interactions(pd.concat([past, day])))
    whole = time.perf_counter() - started
    yield "fit of everything", ndcg(anew, next_day), cosine(before, anew), whole, 1.0
    yield "not at all", ndcg(before, next_day), 1.0, 0.0, 0.0
    for name, state in (("partial_fit", True), ("partial_fit without state", False)):
        model, new = copy_of(before, state=state), interactions(day)
        started = time.perf_counter()
        model.partial_fit(new, n_epochs)
        seconds = time.perf_counter() - started
        yield name, ndcg(model, next_day), cosine(before, model), seconds, seconds / whole


def main() -> None:
    """Measure, and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, nargs="+", default=[N_DAYS - 4, N_DAYS - 3, N_DAYS - 2])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--n-epochs", type=int, default=1, help="of partial_fit")
    parser.add_argument("--size", type=int, nargs=3, default=[20_000, 5_000, 600_000])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    by_kernels()
    events = tr.datasets.make_events(*options.size, n_days=N_DAYS, random_state=options.seed).events
    of_day = (events["time"] - events["time"].min().floor("D")).dt.days
    for kind in options.models:
        # The first calls compile.
        first = MODELS[kind]().set_params(n_epochs=1).fit(interactions(events))
        for state in (True, False):
            copy_of(first, state=state).partial_fit(interactions(events[-1000:]), 1)
        found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for day in options.days:
            parts = events[of_day < day], events[of_day == day], events[of_day == day + 1]
            for name, *numbers in measure(MODELS[kind], *parts, options.n_epochs):
                found[name].append(tuple(numbers))
                print(f"{kind}, day {day}: {name}: {np.round(numbers, 4).tolist()}", flush=True)
        print(f"\n{kind}, mean (spread) over the days {options.days}")
        print(f"{'':27}{'ndcg@10':>17}{'cosine':>17}{'seconds':>9}{'share':>8}")
        for name, rows in found.items():
            mean, spread = np.mean(rows, axis=0), np.ptp(rows, axis=0)
            print(
                f"{name:27}{mean[0]:9.4f} ({spread[0]:.4f}){mean[1]:8.3f} ({spread[1]:5.3f}){mean[2]:9.2f}"
                f"{mean[3]:8.1%}"
            )
        print()


if __name__ == "__main__":
    main()
