"""Graded preferences on MovieLens-100K: how much better a user's own items are ordered, and at what price.

    python benchmarks/graded.py                          # on the test part of `ua`: two minutes
    python benchmarks/graded.py --validation --shares 0 0.05 0.1 0.2 0.3 0.5

All ratings of the training part are positives, with their values 1 to 5; the model is `MatrixFactorization`
with bpr and the other defaults, its negatives drawn by `sampling.graded(share)`; share 0 is the plain model,
which is always fitted. For each user of the test part, ten ratings each:

tau
    Kendall's τ-b between the scores and the ratings of the user's own test items, where these differ.
NDCG@10
    Of the ranking without training items: with the rating as the gain, with a gain of 1 for ratings of 4 and
    5, and with a gain of 1 for all test items. The last counts an item rated 1 as a success, so a model that
    has learnt to put it below the others must lose there.

Means over users, and the 95 % interval of the mean difference to the plain model: bootstrap over users, of
means over the seeds. The default share was chosen with `--validation`, on ten ratings of each user cut from
the training part: the largest of those that lose nothing of any of the three.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy.stats import kendalltau

import tripletrec as tr

FIGURES = ("tau", "NDCG@10, rating", "NDCG@10, >= 4", "NDCG@10, all")
N_RESAMPLES = 2000


def parts(validation: bool) -> tuple[tr.Interactions, tr.Interactions]:
    """Return training and test ratings with their values."""
    movielens = tr.datasets.fetch_movielens_100k()
    ratings, held_out = movielens.ratings, movielens.ratings.split == "test"
    if validation:
        ratings = ratings[~held_out]
        order = np.random.default_rng(0).random(len(ratings))
        held_out = ratings.assign(order=order).groupby("user").order.rank() <= 10
    train, test = (
        tr.Interactions.from_arrays(
            each.user, each.item, each.rating.astype(float), shape=movielens.train.space.shape
        )
        for each in (ratings[~held_out], ratings[held_out])
    )
    return train, test


def ndcg(gains: Any, all_gains: Any) -> float:
    """Return the NDCG of a list with these gains, of a user whose items have `all_gains`."""
    discounts = 1.0 / np.log2(np.arange(2, 12))
    best = np.sort(all_gains)[::-1][:10]
    ideal = float(best @ discounts[: len(best)])
    return float(gains @ discounts[: len(gains)]) / ideal if ideal else np.nan


def of_users(model: tr.MatrixFactorization, test: tr.Interactions) -> Any:
    """Return the figures of each user of the test part, of shape (n_users, 4)."""
    users = np.flatnonzero(np.diff(test.indptr))
    lists, _ = model.recommend(users, k=10)
    rows = []
    for user, ranked in zip(users, lists, strict=True):
        own = slice(test.indptr[user], test.indptr[user + 1])
        items, values = test.indices[own], test.values[own]
        tau = np.nan
        if np.ptp(values) > 0:
            tau = kendalltau(model.predict([user] * len(items), items), values).statistic
        found = dict(zip(items.tolist(), values.tolist(), strict=True))
        gains = np.array([found.get(int(item), 0.0) for item in ranked])
        kinds = ((gains, values), (gains >= 4, values >= 4), (gains > 0, values > 0))
        rows.append([tau, *(ndcg(a.astype(float), b.astype(float)) for a, b in kinds)])
    return np.array(rows)


def interval(differences: Any) -> str:
    """Return the 95 % bootstrap interval of a mean over users."""
    known = differences[np.isfinite(differences)]
    places = np.random.default_rng(0).integers(0, len(known), (N_RESAMPLES, len(known)))
    low, high = np.percentile(known[places].mean(1), (2.5, 97.5))
    return f"{known.mean():+.4f} ({low:+.4f} to {high:+.4f})"


def main() -> None:
    """Print a row for each share."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.0, 0.05, 0.1])
    parser.add_argument("--loss", default="bpr")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validation", action="store_true")
    options = parser.parse_args()
    train, test = parts(options.validation)
    print(f"| share | {' | '.join(f'{each} | more' for each in FIGURES)} |\n|{'---|' * 9}")
    plain = None
    for share in dict.fromkeys([0.0, *options.shares]):  # the others are compared with the first
        sampler = tr.sampling.graded(share) if share else "unseen"
        models = (
            tr.MatrixFactorization(loss=options.loss, sampler=sampler, random_state=seed)
            for seed in range(options.seeds)
        )
        found = np.mean([of_users(model.fit(train), test) for model in models], axis=0)
        plain = found if plain is None else plain
        cells = [
            f"{np.nanmean(found[:, c]):.4f} | {'' if found is plain else interval(found[:, c] - plain[:, c])}"
            for c in range(len(FIGURES))
        ]
        print(f"| {share:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
