"""Rank items that no training has seen: a fifth of them is held out, content baselines beside `TwoTower`.

All interactions of a random fifth of the items are taken away. The models learn from the rest, with the
features of the items, and then rank the held-out items for each user among themselves: NDCG@10 and the full
AUC, means over users, with the 95 % bootstrap interval over users.

popularity
    How often items with the same features were liked (an item of its own has no popularity left): the mean
    number of training positives of items, weighted by the eighth power of the cosine of features.
TF-IDF profile
    The cosine of an item's features with the user's profile, the mean of those of the items that the user
    liked; features weighted by their inverse document frequency.
ridge to users
    From features of items to all users at once: for each user a linear regression of liked or not, with the
    `alpha` that is best for items held out of the training part.
ridge to factors
    From features of items to the item vectors of `MatrixFactorization.preset("softmax")`.
LightFM
    The hybrid of item features and factors of users' and items' own, with WARP, if it can be imported.

MovieLens-100K has genres, year and words of the title of an item; a shop of `make_events` category, brand,
price and date of launch. `TwoTower` has the settings that its loss brings, which were chosen on
validation cuts of known items; .7 of history was chosen on items held out of the training part.

    python benchmarks/cold_items.py --seeds 3
    python benchmarks/cold_items.py --data shop --tune      # held out of the training part: no test is read
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import Ridge

import tripletrec as tr
from tripletrec.data.features import align, encode, learn_encoding
from tripletrec.reference.towers import feature_frames

SHARE = 0.2
ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
METRICS = ("ndcg@10", "auc")
Scores = Callable[[Any], np.ndarray]
ByAlpha = Callable[[float], Scores]
TOWERS: dict[str, dict[str, Any]] = {
    "TwoTower": {},
    "TwoTower, history .7": {"history": 0.7},
    "TwoTower, features alone": {"own_factors": False},
    "TwoTower, no history": {"history": 0.0},
    "TwoTower, bpr": {"loss": "bpr"},
}


class Shop(NamedTuple):
    """Positives, and tables of features whose index is the ids of users or items."""

    data: tr.Interactions
    users: Any
    items: Any


class Cut(NamedTuple):
    """Positives of known items, those of held-out ones, and which these are."""

    train: tr.Interactions
    test: tr.Interactions
    cold: np.ndarray


def movielens() -> Shop:
    """Return MovieLens-100K, both parts together."""
    data = tr.datasets.fetch_movielens_100k()
    together = data.train.tocsr() + data.test.tocsr()
    return Shop(tr.Interactions(together), *feature_frames(data))


def synthetic() -> Shop:
    """Return a shop of 3,000 users and 1,500 items."""
    tables = tr.datasets.make_events(3000, 1500, 100_000, random_state=0)
    data = tr.Interactions.from_frame(
        tables.events, user="user_id", item="item_id", duplicates="max"
    )
    return Shop(data, tables.users.set_index("user_id"), tables.items.set_index("item_id"))


def hold_out(data: tr.Interactions, seed: int) -> Cut:
    """Hold out a random share of the items that have an interaction."""
    used = np.unique(data.indices)
    cold = np.zeros(data.n_items, bool)
    cold[np.random.default_rng(seed).choice(used, int(SHARE * len(used)), replace=False)] = True
    of_cold = cold[data.indices]
    return Cut(data[~of_cold], data[of_cold], cold)


def measure(scores: Any, cut: Cut) -> tr.evaluation.Evaluation:
    """Evaluate among the held-out items: all others are left out."""
    candidates = np.flatnonzero(cut.cold)
    others = np.setdiff1d(np.arange(cut.train.n_items), candidates)
    out = others if cut.test.item_ids is None else cut.test.item_ids[others]
    return tr.evaluate(scores, cut.test, exclude=out, k=10)


def encoded(frame: Any, data: tr.Interactions) -> sp.csr_matrix:
    """Return the features of all items as `TwoTower` encodes them."""
    used = np.bincount(data.indices, minlength=data.n_items) > 0
    aligned = align(frame, data.item_ids, used, "item_features")
    return encode(learn_encoding(aligned, np.flatnonzero(used), "item_features"), aligned, "items")


def profile(features: sp.csr_matrix, cut: Cut) -> Scores:
    """Return the cosines of items with the profiles of users, weighted by TF-IDF."""
    present = sp.csr_matrix(abs(features))  # numbers are taken as they are, without a sign
    weigh = TfidfTransformer(norm="l2").fit(present[~cut.cold])
    rows = weigh.transform(present)
    tastes = sp.csr_matrix(cut.train.tocsr().astype(bool).astype(np.float64)) @ rows
    norms = np.sqrt(np.asarray(tastes.multiply(tastes).sum(axis=1)))
    tastes = sp.csr_matrix(tastes.multiply(1.0 / np.maximum(norms, 1e-12)))
    return lambda users: np.asarray((tastes[users] @ rows.T).todense(), np.float32)


def same_features(features: sp.csr_matrix, cut: Cut) -> Scores:
    """Return how popular known items with the same features are."""
    norms = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)))
    unit = np.asarray(features.multiply(1.0 / np.maximum(norms, 1e-12)).todense())
    counts = np.bincount(cut.train.indices, minlength=cut.train.n_items)
    likeness = np.maximum(unit @ unit[~cut.cold].T, 0.0) ** 8
    popularity = likeness @ counts[~cut.cold] / np.maximum(likeness.sum(axis=1), 1e-9)
    return lambda users: np.tile(popularity.astype(np.float32), (len(users), 1))


def ridge(features: sp.csr_matrix, cut: Cut) -> ByAlpha:
    """Return the scores of a regression from features of items to each of the users."""
    liked = cut.train.tocsr().astype(bool).astype(np.float32).toarray()
    known, rows = np.flatnonzero(liked.any(axis=0)), features.toarray()

    def scores(alpha: float) -> Scores:
        model = Ridge(alpha=alpha).fit(rows[known], liked[:, known].T)
        predicted = model.predict(rows).T.astype(np.float32)
        return lambda users: predicted[users]

    return scores


def ridge_to_factors(features: sp.csr_matrix, cut: Cut) -> ByAlpha:
    """Return the scores of item vectors that a regression predicts from features."""
    model = tr.MatrixFactorization.preset("softmax", n_epochs=30).fit(cut.train)
    vectors, of_users = model.item_vectors(), model.user_vectors()
    known, rows = np.unique(cut.train.indices), features.toarray()

    def scores(alpha: float) -> Scores:
        predicted = Ridge(alpha=alpha).fit(rows[known], vectors[known]).predict(rows)
        return lambda users: of_users[users] @ predicted.astype(np.float32).T

    return scores


def chosen(make: Callable[..., ByAlpha], features: sp.csr_matrix, train: tr.Interactions) -> float:
    """Return the `alpha` whose NDCG@10 is best for items held out of the training part."""
    inner = hold_out(train, 100)
    scores = make(features, inner)
    return max(ALPHAS, key=lambda alpha: measure(scores(alpha), inner).mean["ndcg@10"])


def lightfm(shop: Shop, cut: Cut, features: sp.csr_matrix) -> Scores | None:
    """Return the scores of LightFM's hybrid, features and own factors on both sides; None: not installed."""
    try:
        from lightfm import LightFM
    except ImportError:
        return None
    n_users, n_items = cut.train.space.shape
    items = sp.hstack([features, sp.identity(n_items)]).tocsr().astype(np.float32)
    model = LightFM(64, loss="warp", random_state=0)
    likes = cut.train.tocsr().copy()  # it wants to be able to write into what it reads
    model.fit(likes, item_features=items, epochs=30)
    item_biases, item_factors = model.get_item_representations(items)
    user_factors = model.get_user_representations()[1]
    return lambda users: np.asarray(user_factors[users] @ item_factors.T + item_biases, np.float32)


def run(shop: Shop, seed: int, tune: bool) -> dict[str, Any]:
    """Return the evaluation of each ranking for one choice of the held-out items."""
    cut = hold_out(shop.data, seed)
    if tune:
        cut = hold_out(cut.train, 100 + seed)
    features = encoded(shop.items, cut.train)
    found = {
        "popularity of the same features": measure(same_features(features, cut), cut),
        "TF-IDF profile of the user": measure(profile(features, cut), cut),
    }
    for name, make in (
        ("ridge to users", ridge),
        ("ridge to factors", ridge_to_factors),
    ):
        alpha = chosen(make, features, cut.train)
        found[name] = measure(make(features, cut)(alpha), cut)
    hybrid = lightfm(shop, cut, features)
    if hybrid is not None:
        found["LightFM, hybrid, WARP"] = measure(hybrid, cut)
    for name, parameters in TOWERS.items():
        model = tr.TwoTower(random_state=seed, **parameters)
        model.fit(cut.train, user_features=shop.users, item_features=shop.items)
        found[name] = measure(model, cut)
    return found


def interval(values: np.ndarray) -> str:
    """Return the mean and its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(1000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.4f} ({low:.4f}-{high:.4f})"


def main() -> None:
    """Print a row for each ranking: users of all choices together."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", choices=("movielens", "shop"), default="movielens")
    parser.add_argument("--tune", action="store_true", help="items held out of the training part")
    options = parser.parse_args()
    shop = movielens() if options.data == "movielens" else synthetic()
    runs = [run(shop, seed, options.tune) for seed in range(options.seeds)]
    print(f"{options.data}: among the {SHARE:.0%} of items held out, {options.seeds} choices")
    for name in runs[0]:
        cells = [
            interval(np.concatenate([each[name].per_user[metric].to_numpy() for each in runs]))
            for metric in METRICS
        ]
        print(f"    {name:<36}" + "   ".join(f"{cell:<24}" for cell in cells))


if __name__ == "__main__":
    main()
