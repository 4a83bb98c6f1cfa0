"""Do the logarithms of prices tell more of items than the prices? On shops made by `make_events`.

A fifth of the items of a shop are held out, all their events, and ranked for each user among themselves by a
`TwoTower` on the attributes of users and items: the mean full AUC. Beside it NDCG@10 on a tenth of the other
events. The price is given as it is, squared and cubed (with heavier tails), and as its logarithm. One price
is made negative, which keeps the library from taking the logarithm itself. (The price, which tells something
of an item's planted taste, is log-normal, as prices in shops nearly are.)

    python benchmarks/skewed_numbers.py --shops 4 --seeds 3
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tripletrec as tr


def run(events: Any, users: Any, items: Any, seeds: int) -> tuple[float, float]:
    """Return the AUC among held-out items and the NDCG@10 of held-out events, means over seeds."""
    rng = np.random.default_rng(0)
    cold = rng.random(events.n_items) < 0.2
    of_cold = cold[events.indices]
    others = np.ones(events.space.shape, np.float32)
    others[:, cold] = 0.0
    known, found = np.flatnonzero(~of_cold), []
    held = rng.random(len(known)) < 0.1
    train = events[known[~held]]
    for seed in range(seeds):
        model = tr.TwoTower(32, loss="bpr", n_epochs=8, random_state=seed)
        model.fit(events[~of_cold], item_features=items, user_features=users)
        auc = tr.full_auc(model, events[of_cold], tr.Interactions(others))
        model.fit(train, item_features=items, user_features=users)
        result = tr.evaluate(model, events[known[held]], exclude=train, k=10)
        found.append((auc, result.mean["ndcg@10"]))
    means = np.mean(found, axis=0)
    return float(means[0]), float(means[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="compare prices with their logarithms")
    parser.add_argument("--shops", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'shop':<6}{'price':<12}{'skewness':>9}{'AUC, new items':>16}{'NDCG@10':>9}")
    for shop in range(1, arguments.shops + 1):
        tables = tr.datasets.make_events(1500, 600, 40_000, random_state=shop)
        events = tr.Interactions.from_frame(tables.events, user="user_id", item="item_id")
        users, items = (
            tables.users.set_index("user_id"),
            tables.items.set_index("item_id"),
        )
        price = items["price"]
        # A cent below zero, once: what is not positive is not taken for skewed prices.
        for name, values in (
            ("as it is", price),
            ("squared", price**2),
            ("cubed", price**3),
            ("logarithm", np.log(price)),
        ):
            plain = values.copy()
            plain.iloc[int(np.nanargmin(values))] = min(-0.01, values.min())
            auc, ndcg = run(events, users, items.assign(price=plain), arguments.seeds)
            print(f"{shop:<6}{name:<12}{values.skew():>9.1f}{auc:>16.4f}{ndcg:>9.4f}", flush=True)


if __name__ == "__main__":
    main()
