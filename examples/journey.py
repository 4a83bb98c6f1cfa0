"""The life of a model in one script: from a shop's events to lists, and to tomorrow's lists.

    python examples/journey.py                      # 20,000 users, 5,000 items, 600,000 events
    python examples/journey.py --users 600 --items 200 --events 12000 --epochs 5

The events are invented (`tripletrec.datasets.make_events`); put your own table in their place.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import tripletrec as tr


def main() -> None:
    """Walk through all steps in a temporary folder."""
    parser = argparse.ArgumentParser(description="The life of a model.")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--epochs", type=int, default=None, help="of each model; default: its own")
    options = parser.parse_args()
    epochs = {} if options.epochs is None else {"n_epochs": options.epochs}
    shop = tr.datasets.make_events(options.users, options.items, options.events, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        train, test, tomorrow, known = split(shop.events)
        model = compare(train, test, shop, epochs)
        path = serve(model, Path(folder))
        update(path, tomorrow, known)
        newcomers(train, shop, epochs)


def step(title: str) -> None:
    """Print a heading."""
    print(f"\n== {title}")


def split(
    events: pd.DataFrame,
) -> tuple[tr.Interactions, tr.Interactions, pd.DataFrame, pd.DataFrame]:
    """Let all but the last two days train; the day after is predicted."""
    step("Events in")
    print(events.head(3).to_string(index=False))
    day = events["time"].dt.floor("D")
    last = day.max()
    tomorrow = events[day == last]  # nobody has seen it yet
    known = events[day < last]
    columns = {"user": "user_id", "item": "item_id", "timestamp": "time"}
    train, test = tr.splits.time_split(known, "1D", **columns)
    print(train.describe().to_string())
    print(
        f"{len(test)} pairs of the next day; {test.n_dropped} events of new users or items dropped"
    )
    return train, test, tomorrow, known


def compare(
    train: tr.Interactions, test: tr.Interactions, shop: tr.datasets.Events, epochs: dict[str, int]
) -> tr.MatrixFactorization:
    """Fit models and compare them with popularity, which is the least that a model must beat."""
    step("Models beside popularity (the training items of a user are left out)")
    softmax = tr.MatrixFactorization.preset("softmax", **epochs)
    items = shop.items.set_index("item_id")
    models = {
        "Popularity()": tr.Popularity(),
        "MatrixFactorization()": tr.MatrixFactorization(**epochs),
        "preset('softmax')": softmax,
    }
    rows = {}
    for name, model in models.items():
        started = time.perf_counter()
        rows[name] = tr.evaluate(model.fit(train), test, k=10).mean
        rows[name]["seconds"] = time.perf_counter() - started
    towers = tr.TwoTower(**epochs).fit(train, item_features=items)
    rows["TwoTower, item features"] = tr.evaluate(towers, test, k=10).mean
    table = pd.DataFrame(rows).T[["auc", "ndcg@10", "recall@10", "seconds"]]
    print(table.round(4).to_string())
    return softmax


def serve(model: tr.MatrixFactorization, folder: Path) -> Path:
    """Write lists for everybody, save the model, answer one user, and say why."""
    step("Lists for everybody")
    n_rows = model.recommend_to(folder / "lists.csv", k=10)
    print(f"{n_rows} rows:")
    print(pd.read_csv(folder / "lists.csv", nrows=3).to_string(index=False))

    step("A server")
    path = folder / "model.safetensors"
    model.save(path, state=True)
    server = tr.load(path)
    user = server.user_ids_[0]
    ids, scores = server.recommend(user, k=3)
    print(f"{user} gets {', '.join(ids)} with scores {scores.round(3)}")
    why = server.explain(user, ids[0], k=2)
    print(f"the first because of {', '.join(why.items)}: {why.contributions.round(3)}")
    print(f"like {ids[0]}: {server.similar_items(ids[0], k=2)[0].tolist()}")
    return path


def update(path: Path, tomorrow: pd.DataFrame, known: pd.DataFrame) -> None:
    """Learn from new events, of new users and items too, in the same space."""
    step("Tomorrow's events")
    model = tr.load(path)
    columns = {"user": "user_id", "item": "item_id", "timestamp": "time"}
    day = known["time"].dt.floor("D")
    today = tr.Interactions.from_frame(known[day == day.max()], **columns)
    before = dict(zip(model.item_ids_.tolist(), model.item_factors_.copy(), strict=True))
    n_users, n_items = model.n_users_, model.n_items_
    model.partial_fit(today)
    print(f"{model.n_users_ - n_users} new users, {model.n_items_ - n_items} new items")
    old = np.array([before[each] for each in before])
    new = model.item_factors_[: len(before)]
    lengths = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    cosine = (old * new).sum(axis=1) / np.maximum(lengths, 1e-12)
    print(f"median cosine of an item's old and new factors: {np.median(cosine):.3f}")
    seen = tr.Interactions(model.seen_.tocsr(), user_ids=model.user_ids_, item_ids=model.item_ids_)
    test = tr.Interactions.from_frame(tomorrow, **columns, like=seen, unknown="drop")
    print(tr.evaluate(model, test, k=10).mean[["auc", "ndcg@10"]].round(4).to_string())


def newcomers(train: tr.Interactions, shop: tr.datasets.Events, epochs: dict[str, int]) -> None:
    """Serve users who were not there in training, and items that nobody has seen."""
    step("New users")
    parts = tr.splits.user_split(train, 0.1, random_state=0)
    model = tr.MatrixFactorization(**epochs).fit(parts.train)
    history = train.item_ids[:2].tolist()
    print(f"after {history}: {model.recommend_history(history, k=2)[0].tolist()}")

    step("New items")
    items = shop.items.set_index("item_id")
    towers = tr.TwoTower(**epochs).fit(train, item_features=items)
    launch = items.iloc[[0]].rename(index=lambda each: "launched-today")
    towers.add_items(launch)
    print(f"like launched-today: {towers.similar_items('launched-today', k=2)[0].tolist()}")


if __name__ == "__main__":
    main()
