"""K6, two towers on features: the model of the question, and models that learn; the layers are in `neural`.

The mistake has three parts, any one of which is enough to keep the loss where it is:

1. ``dot(anchor, transpose(positive))`` of two batches is a batch x batch matrix: every user is scored
   with the positives of all others. On average these scores are no higher than those with the
   others' negatives, so that there is nothing to learn from most of the matrix.
2. Both towers end in a softmax. The product of two distributions over 64 outputs lies between 0
   and 1 and at first near 1/64. So a difference of scores x is close to 0 and 1 - σ(x) close to ½; it
   can never fall below 1 - σ(1) = 0.27.
3. The negative is the disliked item with the nearest genres. Often it has *the same* genres as the
   positive; then x = 0 whatever the weights are.

The corrected models compare a user's own positive and negative, have linear outputs, and draw negatives
at random among unseen items.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.blas import one_blas_thread
from tripletrec.data.features import align, encode, groups_of, learn_encoding
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation import full_auc
from tripletrec.models.two_tower import TwoTower
from tripletrec.neural import Dense, Dropout, FeatureEmbedding, ReLU, Softmax, Stack
from tripletrec.neural.layers import uniform
from tripletrec.neural.nearest import nearest_negatives
from tripletrec.reference.keras import Adam, train_epoch
from tripletrec.reference.keras.triplet_model import sigmoid
from tripletrec.reference.replica import known_and_first_item
from tripletrec.training.health import is_stuck

if TYPE_CHECKING:
    from pandas import DataFrame

    from tripletrec.datasets import MovieLens

__all__ = ["CORRECTED", "MistakenTowers", "feature_frames", "towers_section", "train_mistake"]

_N_OUTPUTS = 64
_N_EPOCHS = 5  # of the mistake: enough to see that nothing happens
_LOW = 2  # ratings up to it are dislikes

# Chosen on the validation data of benchmarks/tune_movielens.py.
CORRECTED: dict[str, dict[str, Any]] = {
    "features alone": {
        "loss": "bpr",
        "own_factors": False,
        "user_layers": (64, 32),
        "item_layers": (128, 32),
        "n_epochs": 15,
    },
    "features and own factors": {
        "loss": "bpr",
        "user_l2": 0.02,
        "item_l2": 0.01,
        "n_epochs": 15,
    },
}


class MistakenTowers:
    """The towers of the question: softmax outputs, scores of every user with every item of the batch.

    Parameters
    ----------
    users, items : FeatureEmbedding
        The first layers of the two towers.
    rng : numpy.random.Generator
        Draws the initial weights and the seed of the dropout.

    Attributes
    ----------
    parameters, gradients : list of arrays
        Those of all layers.
    """

    def __init__(
        self, users: FeatureEmbedding, items: FeatureEmbedding, rng: np.random.Generator
    ) -> None:
        self.users, self.items = users, items
        self.user_tower = Stack([Dense.start(rng, users.width, _N_OUTPUTS), Softmax()])
        self.item_tower = Stack(
            [
                Dense.start(rng, items.width, 64),
                ReLU(),
                Dense.start(rng, 64, 32),
                ReLU(),
                Dropout(0.5, int(rng.integers(2**63))),
                Dense.start(rng, 32, _N_OUTPUTS),
                Softmax(),
            ]
        )
        parts = (users, items, self.user_tower, self.item_tower)
        self.parameters = [each for part in parts for each in part.parameters]
        self.gradients = [each for part in parts for each in part.gradients]

    def backward(self, users: Any, positives: Any, negatives: Any) -> float:
        """Add the gradient of the mean of 1 - σ over the batch x batch matrix; return that mean."""
        items = np.concatenate([positives, negatives])
        a = self.user_tower.forward(self.users.forward(users))
        p, q = np.split(self.item_tower.forward(self.items.forward(items)), 2)
        values, slopes = sigmoid(a @ (p - q).T)  # every user against every other user's items
        slopes /= slopes.size
        into = slopes.T @ a
        self.users.backward(users, self.user_tower.backward(slopes @ (p - q)))
        self.items.backward(items, self.item_tower.backward(np.concatenate([into, -into])))
        return float(values.mean())

    def vectors(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the outputs of the towers for all users and for all items."""
        sides = ((self.users, self.user_tower), (self.items, self.item_tower))
        U, V = (tower.infer(layer.forward(np.arange(layer.n_rows))) for layer, tower in sides)
        return U, V


def feature_frames(data: MovieLens) -> tuple[DataFrame, DataFrame]:
    """Return the features of users and items that the corrected models use.

    Users: age, gender, occupation, first digit of the zip code. Items: the 18 genres, the year of
    release as a category, and the words of the title.
    """
    users = data.user_features[["age", "gender", "occupation"]].copy()
    users["region"] = data.user_features["zip_code"].str[:1]
    items = data.item_features.drop(columns=["title", "release_year"])
    items["year"] = data.item_features["release_year"].astype("string")
    titles = data.item_features["title"].str.lower().str.split("(").str[0]
    items["words"] = [re.findall(r"[a-z']{3,}", title) for title in titles]
    return users, items


def train_mistake(
    data: MovieLens, random_state: int = 0, n_epochs: int = _N_EPOCHS
) -> dict[str, list[float]]:
    """Train the model of the question.

    Parameters
    ----------
    data : MovieLens
    random_state : int, default 0
    n_epochs : int, default 5

    Returns
    -------
    dict
        "loss" and "auc" (AUC-B), lists by epoch, and "warned", a list of the epochs after which `fit`
        of a user's model, had it ended there, would have warned that the loss does not fall.
    """
    rng = np.random.default_rng(random_state)
    positives, negatives = _nearest_dislikes(data)
    model = MistakenTowers(*_three_features(data, rng), rng)
    optimizer, hidden = Adam(), known_and_first_item(data.train)
    found: dict[str, list[float]] = {"loss": [], "auc": [], "warned": []}
    columns = (positives.rows, positives.indices, negatives)
    for number in range(1, n_epochs + 1):
        with one_blas_thread():
            found["loss"].append(train_epoch(model, optimizer, columns, 64, rng))
        found["auc"].append(full_auc(model.vectors(), data.test, exclude=hidden, n_jobs=1))
        if is_stuck([{"loss": each} for each in found["loss"]]):
            found["warned"].append(number)
    return found


def _three_features(
    data: MovieLens, rng: np.random.Generator
) -> tuple[FeatureEmbedding, FeatureEmbedding]:
    """Return layers on gender, occupation and decade of age, concatenated, and on genres, summed."""
    users = data.user_features[["gender", "occupation"]].copy()
    users["age"] = (data.user_features["age"] // 10).astype("string")
    genres = data.item_features.drop(columns=["title", "release_year"])
    layers = []
    for frame, n in ((users, data.train.n_users), (genres, data.train.n_items)):
        aligned = align(frame, None, np.zeros(n, bool), "features")
        encoding = learn_encoding(aligned, np.arange(1, n), "features")
        table = uniform(rng, (encoding["n_columns"], 32))
        matrix = encode(encoding, aligned, "features")
        layers.append(FeatureEmbedding(table, matrix, groups_of(encoding)))
    return layers[0], layers[1]


def _nearest_dislikes(data: MovieLens) -> tuple[Interactions, NDArray[np.int32]]:
    """Return the positives of users with dislikes, and each one's nearest dislike by genres."""
    ratings = data.ratings[(data.ratings["split"] == "train") & (data.ratings["rating"] <= _LOW)]
    dislikes = Interactions.from_arrays(
        ratings["user"], ratings["item"], shape=data.train.space.shape
    )
    genres = np.zeros((data.train.n_items, 18))
    genres[data.item_features.index] = data.item_features.drop(columns=["title", "release_year"])
    nearest = nearest_negatives(data.train, genres, dislikes)
    has = np.diff(dislikes.indptr)[data.train.rows] > 0
    return data.train[has], nearest[has]


def train_corrected(data: MovieLens, kind: str, random_state: int = 0) -> dict[str, list[float]]:
    """Train one of `CORRECTED`; return "loss" and "auc" (AUC-B), lists by epoch."""
    hidden = known_and_first_item(data.train)
    users, items = feature_frames(data)
    aucs: list[float] = []
    model = TwoTower(random_state=random_state, n_jobs=1, **CORRECTED[kind]).fit(
        data.train,
        user_features=users,
        item_features=items,
        callbacks=lambda fitted, record: aucs.append(
            full_auc(fitted, data.test, exclude=hidden, n_jobs=1)
        ),
    )
    return {"loss": [record["loss"] for record in model.history_], "auc": aucs}


def towers_section(data: MovieLens, seeds: int) -> dict[str, Any]:
    """Return the section on K6: the loss of the question, which does not fall, beside losses that do.

    Parameters
    ----------
    data : MovieLens
    seeds : int
        Number of trainings of each model.
    """
    trainers: dict[str, Callable[[int], dict[str, list[float]]]] = {
        "as asked": lambda seed: train_mistake(data, seed),
        **{
            kind: lambda seed, kind=kind: train_corrected(data, kind, seed)  # type: ignore[misc]
            for kind in CORRECTED
        },
    }
    rows, lines = {}, [f"    {'':<26}training loss in epochs 1 ... 5{'':<12}AUC-B after the last"]
    for name, trainer in trainers.items():
        runs = [trainer(seed) for seed in range(seeds)]
        rows[name] = {
            key: np.mean([run[key] for run in runs], axis=0).tolist() for key in ("loss", "auc")
        }
        losses = " ".join(f"{loss:.4f}" for loss in rows[name]["loss"][:5])
        n_epochs = len(rows[name]["auc"])
        lines.append(f"    {name:<26}{losses:<43}{rows[name]['auc'][-1]:.4f} ({n_epochs} epochs)")
        if name == "as asked":
            warned = ", ".join("/".join(map(str, run["warned"])) or "never" for run in runs)
            lines.append(f"    {'':<26}the check in fit would have warned after epoch {warned}")
    lines.append("    Why the first never learns: docs/why-the-loss-never-went-down.md.")
    title = 'K6: two towers on features, "the loss never goes down", and what was wrong'
    return {"title": title, "text": "\n".join(lines), "rows": rows}
