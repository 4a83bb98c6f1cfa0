"""Five pictures of models in one figure: learning curves, comparison, users, popularity, map of the items.

    python examples/pictures.py --output pictures.png

The events are invented (`tripletrec.datasets.make_events`). Needs Matplotlib.
"""

from __future__ import annotations

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import tripletrec as tr
from tripletrec import plots


def main() -> None:
    """Fit two models beside popularity, and draw what there is to see of them."""
    parser = argparse.ArgumentParser(description="Pictures of models.")
    parser.add_argument("--users", type=int, default=3_000)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", default="pictures.png")
    options = parser.parse_args()
    shop = tr.datasets.make_events(options.users, options.items, options.events, random_state=0)
    columns = {"user": "user_id", "item": "item_id", "timestamp": "time"}
    train, test = tr.splits.time_split(shop.events, "7D", **columns)
    first, valid = tr.splits.train_test_split(train, 0.1, random_state=0)
    given = {"n_epochs": options.epochs, "validation_metric": "ndcg@10", "validate_every": 1}
    models = {
        "bpr": tr.MatrixFactorization(**given),
        "softmax": tr.MatrixFactorization.preset("softmax", **given),
    }
    for model in models.values():
        model.fit(first, validation=valid)
    popular = tr.Popularity().fit(first)
    evaluated = {
        name: tr.evaluate(model, test, k=10)
        for name, model in {"popularity": popular, **models}.items()
    }
    compared = tr.compare(evaluated, test)
    print(compared.mean[["auc", "ndcg@10", "recall@10"]].round(3).to_string())

    figure, axes = plt.subplots(2, 3, figsize=(16, 9), layout="constrained")
    plots.learning_curves(models, ax=axes[0, 0])
    plots.comparison(compared, "ndcg@10", ax=axes[0, 1])
    plots.per_user(evaluated, "auc", ax=axes[0, 2])
    plots.popularity(popular, ax=axes[1, 0])
    plots.popularity(models["softmax"], ax=axes[1, 1])
    category = shop.items.set_index("item_id")["category"].fillna("no category")
    plots.item_map(models["softmax"], names=category[train.item_ids].tolist(), ax=axes[1, 2])
    titles = (
        "while learning",
        "beside popularity",
        "of how many users",
        "popularity",
        "softmax",
        "items",
    )
    for ax, title in zip(axes.flat, titles, strict=True):
        drawn = ax.get_title(loc="left")
        ax.set_title(f"{title}: {drawn}" if drawn else title, loc="left")
    figure.savefig(options.output, dpi=80)
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
