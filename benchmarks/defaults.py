"""What the defaults, the other losses and popularity are worth on data of several shapes.

    python benchmarks/defaults.py                            # MovieLens-100K and synthetic shops: minutes
    python benchmarks/defaults.py --gowalla FOLDER           # and Gowalla, as `published.py` reads it
    python benchmarks/defaults.py --data movielens tiny --models unseen "dynamic(2)" "dynamic(4)"
    python benchmarks/defaults.py --data large --models defaults   # 12 million positives; not run else
    python benchmarks/defaults.py --quick                    # two epochs on the smallest: to see that it runs

Everything is learnt from and measured on cuts of training data; no test set is read. Held out are ten ratings
of each user of MovieLens-100K (as by `tune_movielens.py`), of Gowalla the part that comes with it, and of the
others a random fifth. "easy" has any unseen negatives, a rate of .1 and less L2 than the defaults. Figures
are means over the cuts; known positives are left out of the ranking.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tripletrec as tr
from machine import by_kernels, describe, load
from peer_tables import markdown, save
from published import read
from split_folder import split_folder
from tune_movielens import validation_cut, without_padding

# Train, held out, left out of the ranking.
Cut = tuple[tr.Interactions, tr.Interactions, tr.Interactions]
SHOPS = {  # users, items, events, cuts
    "small, dense": (300, 100, 8_000, 3),
    "medium": (1_000, 500, 20_000, 2),
    "large catalogue": (2_000, 8_000, 40_000, 1),
    "few users": (100, 4_000, 8_000, 4),
    "few items": (4_000, 60, 30_000, 1),
    "tiny": (50, 40, 500, 6),
}
EASY = {
    "sampler": "unseen", "learning_rate": 0.1, "n_epochs": 30, "user_l2": 0.03, "item_l2": 0.01,
    "schedule": "constant",
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "easy": EASY,
    "defaults": {},
    "hinge": {"loss": "hinge"},
    "sigmoid": {"loss": "sigmoid"},
    "cosine": {"scorer": "cosine", "loss": "hinge"},
    "softmax": {"loss": "softmax"},
    "bsl": {"loss": "bsl"},
    "ccl": {"loss": "ccl"},
}
CANDIDATES: dict[str, dict[str, Any]] = {
    "unseen": {"sampler": "unseen"},
    **{f"dynamic({c})": {"sampler": tr.sampling.dynamic(c)} for c in (2, 4, 8, 16, 32, 64)},
}


def shop_cut(shape: tuple[int, int, int], seed: int) -> Cut:
    """Return a cut of a synthetic shop."""
    events = tr.datasets.make_events(*shape, random_state=seed).events
    data = tr.Interactions.from_frame(events, user="user_id", item="item_id", duplicates="count")
    train, held_out = tr.splits.train_test_split(data, 0.2, random_state=seed)
    return train, held_out, train


def movielens_cut(seed: int) -> Cut:
    """Return a cut of the training ratings of MovieLens-100K."""
    train, held_out = validation_cut(seed)
    return train, held_out, without_padding(train)


def gowalla_cut(folder: Path, seed: int) -> Cut:
    """Return the cut that comes with the data."""
    train, held_out, _, _ = read(folder)
    return train, held_out, train


def large_cut(seed: int) -> Cut:
    """Return a cut of large synthetic data, of which a few users are looked at."""
    data = tr.datasets.make_interactions(300_000, 500_000, 12_000_000, random_state=seed)
    train, held_out = tr.splits.train_test_split(data, 0.1, random_state=seed)
    users = np.random.default_rng(seed).permutation(data.n_users)[:2_000]
    return train, held_out[np.isin(held_out.rows, users)], train


def cuts(options: argparse.Namespace) -> Iterator[tuple[str, int, Callable[[int], Cut]]]:
    """Yield the name of each data set, the number of its cuts, and what cuts it."""
    if options.quick:
        yield "tiny", 1, partial(shop_cut, SHOPS["tiny"][:3])
        return
    if not options.data or "movielens" in options.data:
        yield "movielens", 3, movielens_cut
    for name, (*shape, n_cuts) in SHOPS.items():
        if not options.data or name in options.data:
            yield name, n_cuts, partial(shop_cut, tuple(shape))
    if options.data and "large" in options.data:
        yield "large", 1, large_cut
    if options.gowalla:
        yield "gowalla", 1, partial(gowalla_cut, options.gowalla)


def figures(model: Any, held_out: tr.Interactions, hidden: tr.Interactions) -> list[float]:
    """Return NDCG@10, Recall@20 and full AUC."""
    mean = tr.evaluate(model, held_out, hidden, k=(10, 20)).mean
    return [float(mean[name]) for name in ("ndcg@10", "recall@20", "auc")]


def popularity(train: tr.Interactions) -> Any:
    """Return factors that rank by the number of positives."""
    counts = np.bincount(train.indices, minlength=train.n_items).astype(float)
    return np.ones((train.n_users, 1)), counts[:, None]


def row(name: str, several: list[Cut], options: argparse.Namespace) -> list[Any]:
    """Return a row of the table: a model's means over the cuts, and its seconds."""
    found, seconds = [], []
    for seed, (train, held_out, hidden) in enumerate(several):
        if name == "popularity":
            model = popularity(train)
        else:
            settings = {
                "random_state": seed,
                "n_jobs": options.n_jobs,
                **(MODELS | CANDIDATES)[name],
            }
            if options.quick:
                settings["n_epochs"] = 2
            if not seconds:  # compiles, and is not counted
                tr.MatrixFactorization(**settings | {"n_epochs": 1}).fit(train)
            model = tr.MatrixFactorization(**settings).fit(train)
            seconds.append(sum(record["seconds"] for record in model.history_))
        found.append(figures(model, held_out, hidden))
    means = [f"{statistics.fmean(column):.4f}" for column in zip(*found, strict=True)]
    line = [name, *means, f"{statistics.fmean(seconds):.1f}" if seconds else ""]
    print("  " + " ".join(line), flush=True)
    return line


def main() -> None:
    """Print and write a table for each data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=["movielens", *SHOPS, "large", "gowalla"])
    parser.add_argument("--models", nargs="+", choices=MODELS | CANDIDATES, default=list(MODELS))
    parser.add_argument("--gowalla", type=split_folder, help="the folder of published.py")
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    by_kernels()
    if "gowalla" in (options.data or []) and not options.gowalla:
        parser.error("--data gowalla needs --gowalla FOLDER, the folder of published.py")
    before, lines = load(), []
    for name, n_cuts, cut in cuts(options):
        several = [cut(seed) for seed in range(n_cuts)]
        train = several[0][0]
        title = f"{name}: {train.n_users:,} users, {train.n_items:,} items, {train.nnz:,} positives"
        print(title, flush=True)
        rows = [row(each, several, options) for each in ("popularity", *options.models)]
        header = ["model", "NDCG@10", "Recall@20", "AUC", "seconds"]
        lines += [f"## {title}, cuts: {n_cuts}", "", *markdown(header, rows), ""]
    lines += [*describe(), f"Load average before the first run: {before}."]
    print("", *lines, f"\nresults: {save('defaults', lines)}", sep="\n")


if __name__ == "__main__":
    main()
