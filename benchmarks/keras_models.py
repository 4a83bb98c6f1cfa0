"""The reference systems K1-K5 as a Keras 3 user would write them: real layers, `compile`, `fit`.

Written for the benchmark that trains the original beside the replica of
`tripletrec.reference`. Keras is imported when a model is trained, on whichever backend
is installed and configured (``KERAS_BACKEND``).

The models follow the two public notebooks that published the numbers: "Recommendations in
Keras using triplet loss" (M. Kula, 2016: K1, K2) and "Triplet loss for implicit feedback
neural recommender systems" (O. Grisel and C. Ollion, 2018: K4, K5). The triplet loss is the
*output* of the model and the compiled loss passes its mean through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tripletrec.evaluation import full_auc
from tripletrec.neural import Dense, ReLU, Stack
from tripletrec.neural.pair_scores import CatalogueScores, item_terms
from tripletrec.reference import SYSTEMS, Recipe, Task, draw_negatives, training_task

__all__ = ["build_model", "train_keras"]


def _scorer(recipe: Recipe) -> Callable[[list[Any]], Any]:
    """Shared layers that score rows of factors of users and items, shape (batch, 1)."""
    import keras
    from keras import layers

    if recipe.scorer != "perceptron":
        return layers.Dot(axes=1, normalize=recipe.scorer == "cosine")
    steps: list[Any] = []
    for width in (*recipe.hidden, 1):
        steps += [layers.Dropout(recipe.dropout), layers.Dense(width, activation="relu")]
    trunk = keras.Sequential(steps, name="trunk")
    return lambda sides: trunk(layers.Concatenate()(sides))


def _triplet_output(recipe: Recipe, user: Any, positive: Any, negative: Any) -> Any:
    """Symbolic triplet loss, shape (batch, 1), of three rows of factors."""
    import keras
    from keras import ops

    score = _scorer(recipe)
    x = score([user, positive]) - score([user, negative])

    def loss(x: Any) -> Any:
        return ops.relu(1.0 - x) if recipe.loss == "hinge" else 1.0 - ops.sigmoid(x)

    return keras.layers.Lambda(loss, output_shape=(1,), name="triplet_loss")(x)


def _table(recipe: Recipe, n_rows: int, name: str, n_factors: int) -> Callable[[Any], Any]:
    """Shared layer that turns a row number, shape (batch, 1), into its factors."""
    import keras
    from keras import layers

    penalty = keras.regularizers.L2(recipe.l2) if recipe.l2 else None
    if not recipe.bias:
        lookup = layers.Embedding(n_rows, n_factors, embeddings_regularizer=penalty, name=name)
        return lambda rows: layers.Flatten()(lookup(rows))
    # K2 multiplies one-hot vectors by a dense layer; they are made batch by batch here,
    # because 50,000 x 1,683 of them, as in the notebook, take gigabytes.
    one_hot = layers.CategoryEncoding(num_tokens=n_rows, output_mode="one_hot")
    dense = layers.Dense(n_factors, name=name)
    return lambda rows: dense(one_hot(rows))


def build_model(recipe: Recipe, n_users: int, n_items: int) -> Any:
    """Compiled Keras model: (users, positives, negatives) -> triplet loss of each.

    Parameters
    ----------
    recipe : Recipe
        Hyper-parameters of a reference system.
    n_users, n_items : int
        Sizes of the two tables of factors.

    Returns
    -------
    keras.Model
        Its layers ``"users"`` and ``"items"`` hold the factors as their first weight.
    """
    import keras

    user, positive, negative = (
        keras.Input((1,), dtype="int32", name=name) for name in ("user", "positive", "negative")
    )
    users = _table(recipe, n_users, "users", recipe.n_factors)
    items = _table(recipe, n_items, "items", recipe.n_item_factors or recipe.n_factors)
    output = _triplet_output(recipe, users(user), items(positive), items(negative))
    model = keras.Model([user, positive, negative], output)
    if recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam()
    else:
        optimizer = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.0, epsilon=1e-6)
    # Handing several batches to the backend at once (steps_per_execution) brought nothing here.
    model.compile(loss=lambda target, output: output, optimizer=optimizer)
    return model


def _auc(model: Any, recipe: Recipe, task: Task) -> float:
    U, V = (np.asarray(model.get_layer(name).get_weights()[0]) for name in ("users", "items"))
    if recipe.scorer == "perceptron":
        weights = [np.array(each) for each in model.get_layer("trunk").get_weights()]
        layers: list[Any] = []
        for W, b in zip(weights[::2], weights[1::2], strict=True):
            layers += [Dense(W, b), ReLU()]
        trunk = Stack(layers)
        scores = CatalogueScores(trunk, U, item_terms(trunk, V))
        return full_auc(scores, task.test, task.exclude)
    return task.auc(U, V, recipe.scorer)


def train_keras(
    system: str,
    data: Any,
    n_epochs: int | None = None,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Train the real Keras model of a reference system.

    Parameters
    ----------
    system : str
        Key of the system: ``"K1"``, ``"K2"`` and its variants, ``"K3"``, ``"K4"`` or ``"K5"``.
    data : MovieLens
        What `tripletrec.datasets.fetch_movielens_100k` returns.
    n_epochs : int, optional
        Passes over the positives; as published by default.
    seed : int, default=0
        Seed of Keras (global, as Keras wants it) and of the negatives.

    Returns
    -------
    dict
        Lists with one entry per epoch: ``auc`` (by the system's protocol), ``loss`` (as Keras
        reports it: with the L2 penalty; K2's is 1 more than the replica's) and ``seconds`` (`fit`
        alone; the first includes compiling).
    """
    import keras

    recipe = SYSTEMS[system].recipe
    if recipe is None:
        raise ValueError(f"system {system!r} has no recipe yet")
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    task = training_task(recipe, SYSTEMS[system].protocol, data, rng)
    model = build_model(recipe, *task.shape)
    target = np.zeros((len(task.users), 1), dtype="float32")
    history: dict[str, list[float]] = {"auc": [], "loss": [], "seconds": []}
    negatives = draw_negatives(recipe, task, rng)
    for epoch in range(SYSTEMS[system].n_epochs if n_epochs is None else n_epochs):
        if epoch and recipe.negatives != "once":
            negatives = draw_negatives(recipe, task, rng)
        triplets = [column.reshape(-1, 1) for column in (task.users, task.positives, negatives)]
        started = time.perf_counter()
        report = model.fit(triplets, target, batch_size=recipe.batch_size, epochs=1, verbose=0)
        history["seconds"].append(time.perf_counter() - started)
        history["loss"].append(float(report.history["loss"][0]))
        history["auc"].append(_auc(model, recipe, task))
    return history


def build_towers(widths: tuple[int, int], n_columns: tuple[int, int], n_factors: int) -> Any:
    """Compiled Keras model of two towers on dense rows of features: the loss of each triplet.

    Parameters
    ----------
    widths : (int, int)
        Of the two dense layers of each tower.
    n_columns : (int, int)
        Columns of the features of users and of items, own factors included (one-hot).
    n_factors : int
        Outputs of the first, linear layer: the sum of the factors of the features.
    """
    import keras
    from keras import layers, ops

    def tower(n_inputs: int) -> Any:
        return keras.Sequential(
            [
                keras.Input((n_inputs,)),
                layers.Dense(n_factors, use_bias=False),
                layers.Dense(widths[0], activation="relu"),
                layers.Dense(widths[1]),
            ]
        )

    user, positive, negative = (
        keras.Input((n,)) for n in (n_columns[0], n_columns[1], n_columns[1])
    )
    users, items = tower(n_columns[0]), tower(n_columns[1])
    dot = layers.Dot(axes=1)
    anchor = users(user)
    x = dot([anchor, items(positive)]) - dot([anchor, items(negative)])
    output = layers.Lambda(lambda x: ops.softplus(-x), output_shape=(1,))(x)
    model = keras.Model([user, positive, negative], output)
    model.compile(loss=lambda target, output: output, optimizer=keras.optimizers.Adagrad(0.1))
    return model
