"""Choose a configuration for MovieLens-100K on validation data cut from the training set.

Random search: ten random training ratings of each user are held out (as the test set holds out ten),
models are fitted on the rest, and every tenth epoch AUC-A and AUC-B are measured on the held-out
positives. The test set is never read. The best rows are what `tripletrec.reference.BEST` holds.

    python benchmarks/tune_movielens.py --trials 40 --sample-weight users
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

import tripletrec as tr

SPACE: dict[str, list[Any]] = {
    "n_factors": [32, 64, 96, 128, 192],
    "learning_rate": [0.03, 0.05, 0.07, 0.1],
    "user_l2": [0.02, 0.03, 0.04, 0.06, 0.08],
    "item_l2": [0.002, 0.003, 0.005, 0.01],
    "negative_l2": [0.003, 0.005, 0.01, 0.02],
    "n_negatives": [1, 2, 3, 4],
    "init_scale": [0.01, 0.02, 0.05],
}
N_HELD_OUT = 10  # ratings of each user


def validation_cut(seed: int) -> tuple[tr.Interactions, tr.Interactions]:
    """Return training and validation positives, both cut from the training ratings."""
    movielens = tr.datasets.fetch_movielens_100k()
    ratings = movielens.ratings[movielens.ratings.split == "train"]
    order = np.random.default_rng(seed).random(len(ratings))
    place = ratings.assign(order=order).groupby("user").order.rank()
    liked = ratings.rating >= 4
    parts = (ratings[liked & (place > N_HELD_OUT)], ratings[liked & (place <= N_HELD_OUT)])
    train, held_out = (
        tr.Interactions.from_arrays(each.user, each.item, shape=movielens.train.space.shape)
        for each in parts
    )
    return train, held_out


def without_padding(train: tr.Interactions) -> tr.Interactions:
    """Return what AUC-B leaves out: the training positives and the empty item 0."""
    matrix = train.tocsr().tolil()
    matrix[:, 0] = 1
    return tr.Interactions(matrix)


def try_once(
    parameters: dict[str, Any],
    train: tr.Interactions,
    held_out: tr.Interactions,
    n_epochs: int,
    sample_weight: str | None = None,
) -> list[dict[str, Any]]:
    """Return AUC-A and AUC-B of one configuration, every tenth epoch."""
    rows: list[dict[str, Any]] = []
    hidden = without_padding(train)

    def measure(model: tr.MatrixFactorization, record: dict[str, Any]) -> None:
        if record["epoch"] % 10 == 0:
            a, b = tr.full_auc(model, held_out, exclude=None), tr.full_auc(model, held_out, hidden)
            rows.append({"auc_a": a, "auc_b": b, "n_epochs": record["epoch"], **parameters})

    parameters = {"sampler": "unseen", **parameters}
    tr.MatrixFactorization(n_epochs=n_epochs, **parameters).fit(
        train, callbacks=measure, sample_weight=sample_weight
    )
    return rows


def shown(row: dict[str, Any]) -> str:
    """Return a row as JSON, with four decimals."""
    return json.dumps({name: round(x, 4) if isinstance(x, float) else x for name, x in row.items()})


def main() -> None:
    """Search and print the best configurations."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample-weight", choices=["users"], help="default: all weigh 1")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    train, held_out = validation_cut(options.seed)
    rows: list[dict[str, Any]] = []
    for _ in range(options.trials):
        parameters = {name: random.choice(values).item() for name, values in SPACE.items()}
        rows += try_once(parameters, train, held_out, options.epochs, options.sample_weight)
    for metric in ("auc_a", "auc_b"):
        print(f"best by {metric}:")
        for row in sorted(rows, key=lambda each: -each[metric])[:8]:
            print("  ", shown(row))


if __name__ == "__main__":
    main()
