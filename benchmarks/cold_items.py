"""Rank items that no training has seen: 20 % of the items of MovieLens-100K are held out.

All interactions of a random fifth of the items are taken away. A `TwoTower` learns from the rest, with
the features of the items (genres, year, words of the title), and then ranks the held-out items for
each user among themselves: the mean full AUC over users, .5 being chance. Beside it two baselines:

popularity
    How often items of the same genres were liked (an item of its own has no popularity left), that is
    the mean number of training positives of the items that have the most genres in common.
genre average
    The cosine of the item's genres and the mean genres of what the user liked.

    python benchmarks/cold_items.py --seeds 3
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np

import tripletrec as tr
from tripletrec.reference.towers import feature_frames

SHARE = 0.2
MODELS: dict[str, dict[str, Any]] = {
    "TwoTower, features and own factors": {"n_epochs": 10},
    "TwoTower, features alone": {"own_factors": False, "n_epochs": 10},
}


def hold_out(data: Any, seed: int) -> tuple[tr.Interactions, tr.Interactions, np.ndarray]:
    """Return the positives of known items, those of the held-out items, and which these are."""
    together = data.train.tocsr() + data.test.tocsr()
    rng = np.random.default_rng(seed)
    items = np.arange(1, data.train.n_items)
    cold = np.zeros(data.train.n_items, bool)
    cold[rng.choice(items, int(SHARE * len(items)), replace=False)] = True
    whole = tr.Interactions(together)
    of_cold = cold[whole.indices]
    return whole[~of_cold], whole[of_cold], cold


def auc(scores: Any, test: tr.Interactions, cold: np.ndarray) -> float:
    """Return the mean AUC over users among the held-out items: all others are left out."""
    others = np.zeros(test.space.shape, np.float32)
    others[:, ~cold] = 1.0
    return tr.full_auc(scores, test, tr.Interactions(others))


def baselines(
    train: tr.Interactions, test: tr.Interactions, genres: np.ndarray, cold: np.ndarray
) -> dict[str, float]:
    """Return the AUC of the two baselines."""
    unit = genres / np.maximum(np.linalg.norm(genres, axis=1, keepdims=True), 1e-9)
    counts = np.bincount(train.indices, minlength=train.n_items)
    likeness = (unit @ unit[~cold].T) ** 8  # nearly only those of the same genres
    popularity = likeness @ counts[~cold] / np.maximum(likeness.sum(axis=1), 1e-9)
    taste = train.tocsr() @ unit
    return {
        "popularity of the same genres": auc(
            lambda rows: np.tile(popularity, (len(rows), 1)), test, cold
        ),
        "genre average of the user": auc(lambda rows: taste[rows] @ unit.T, test, cold),
    }


def run(data: Any, seed: int) -> dict[str, float]:
    """Return the AUC of all rankings for one choice of the held-out items."""
    train, test, cold = hold_out(data, seed)
    users, items = feature_frames(data)
    genres = np.zeros((train.n_items, 18))
    genres[items.index] = items.drop(columns=["year", "words"])
    found = baselines(train, test, genres, cold)
    for name, parameters in MODELS.items():
        model = tr.TwoTower(random_state=seed, **parameters)
        model.fit(train, user_features=users, item_features=items)
        found[name] = auc(model, test, cold)
    return found


def main() -> None:
    """Print the mean over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = tr.datasets.fetch_movielens_100k()
    runs = [run(data, seed) for seed in range(options.seeds)]
    print(
        f"AUC among the {SHARE:.0%} of items held out, mean of {options.seeds} choices (chance: .5)"
    )
    for name in runs[0]:
        values = [each[name] for each in runs]
        print(
            f"    {name:<36}{statistics.fmean(values):.4f}  ({min(values):.4f}-{max(values):.4f})"
        )


if __name__ == "__main__":
    main()
