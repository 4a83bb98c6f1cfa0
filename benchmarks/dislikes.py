"""What given negatives are worth: liked above disliked items, and the price in lists of what is liked.

    python benchmarks/dislikes.py
    python benchmarks/dislikes.py --data ratings.csv --models mlp "two towers"

Ratings of 4 and more are positives, of 2 and less given negatives: of the training part of MovieLens-100K, or
of a file with the columns of MovieLens' `ratings.csv`. A fifth of the positives and half of the negatives are
held out. Shares are those of the model's own sampler; "none" is a fit without given negatives. The figures
are means over the cuts of NDCG@10 and full AUC among all items, and of the share of pairs of a held-out
positive and a held-out negative of one user that are in the right order, a mean over users.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import tripletrec as tr
from tripletrec.tuning import default_space

MODELS: dict[str, Any] = {
    "bpr": tr.MatrixFactorization,
    "softmax": partial(tr.MatrixFactorization, loss="softmax"),
    "two towers": tr.TwoTower,
    "mlp": tr.MLPMatcher,
}
LIKED, DISLIKED = 4.0, 2.0


def read(path: str | None) -> tuple[tr.Interactions, tr.Interactions]:
    """Return positives and given negatives."""
    if path is None:
        ratings = tr.datasets.fetch_movielens_100k().ratings
        ratings = ratings[ratings["split"] == "train"]
    else:
        ratings = pd.read_csv(path).rename(columns={"userId": "user", "movieId": "item"})
    users, items = (pd.factorize(ratings[name])[0] for name in ("user", "item"))
    value, shape = ratings["rating"].to_numpy(), (users.max() + 1, items.max() + 1)
    kinds = (value >= LIKED, value <= DISLIKED)
    liked, disliked = (
        tr.Interactions.from_arrays(users[kind], items[kind], shape=shape) for kind in kinds
    )
    return liked, disliked


def in_order(model: Any, liked: tr.Interactions, disliked: tr.Interactions) -> float:
    """Return the share of pairs of a user's positive and negative that are in the right order."""
    found = []
    for user in np.flatnonzero((np.diff(liked.indptr) > 0) & (np.diff(disliked.indptr) > 0)):
        rows = [
            each.indices[each.indptr[user] : each.indptr[user + 1]] for each in (liked, disliked)
        ]
        is_liked = np.repeat([1, 0], [len(each) for each in rows])
        found.append(roc_auc_score(is_liked, model.predict([user], np.concatenate(rows))))
    return float(np.mean(found))


def with_share(sampler: str | tr.sampling.Sampler, share: float) -> tr.sampling.Sampler:
    """Return a sampler with a share of given negatives."""
    if isinstance(sampler, str):  # "unseen", or what a list-wise loss draws its candidates by
        return tr.sampling.explicit(share)
    return sampler._replace(share=share)


def figures(name: str, liked: Any, disliked: Any, share: float | None, seed: int) -> list[float]:
    """Return the figures of one model on one cut."""
    train, test = tr.splits.train_test_split(liked, 0.2, random_state=seed)
    given, others = tr.splits.train_test_split(disliked, 0.5, random_state=seed)
    settings: dict[str, Any] = {}
    if share is not None:
        of_triplets = default_space(MODELS[name](), train).get("sampler", ["unseen"])
        settings["sampler"] = with_share(of_triplets[0], share)
    model = MODELS[name](random_state=seed, **settings)
    model.fit(train, negatives=None if share is None else given)
    mean = tr.evaluate(model, test, train, k=10).mean
    return [mean["ndcg@10"], mean["auc"], in_order(model, test, others)]


def rows(options: argparse.Namespace) -> Iterator[str]:
    """Yield a line for each model and share."""
    liked, disliked = read(options.data)
    for name in options.models:
        for share in (None, *options.shares):
            cuts = [figures(name, liked, disliked, share, seed) for seed in range(options.cuts)]
            cells = (f"{mean:8.4f}" for mean in np.mean(cuts, axis=0))
            yield f"{name:<12} {'none' if share is None else share:>5} " + " ".join(cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", help="a file of ratings; default: MovieLens-100K")
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=["bpr", "softmax", "two towers"]
    )
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.1, 0.25, 0.5])
    parser.add_argument("--cuts", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.data and not Path(options.data).is_file():
        parser.error(f"--data must be a file, got {options.data}")
    print(f"{'model':<12} {'share':>5}  NDCG@10      AUC in order")
    for row in rows(options):
        print(row, flush=True)


if __name__ == "__main__":
    main()
