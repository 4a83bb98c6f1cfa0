"""Training of one replica of a reference system, as its Keras script did it; recipes are in `systems`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._runtime.blas import one_blas_thread
from tripletrec.data.checks import check_positions
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation import full_auc
from tripletrec.neural.layers import glorot_uniform, uniform
from tripletrec.reference.keras import (
    Adagrad,
    Adam,
    DenseOptimizer,
    Embedding,
    TripletModel,
    train_epoch,
)
from tripletrec.reference.keras.deferred_adam import DeferredAdam
from tripletrec.reference.perceptron import PerceptronModel
from tripletrec.reference.systems import SYSTEMS, Recipe
from tripletrec.scorers import normalize_rows

if TYPE_CHECKING:
    from tripletrec.datasets import MovieLens

__all__ = ["Run", "Task", "build_model", "draw_negatives", "train_replica", "training_task"]


@dataclass(frozen=True)
class Task:
    """What a system is trained and measured on.

    Parameters
    ----------
    users, positives : int32 arrays of one length
        The positives to train on, by user.
    shape : (n_users, n_items)
        Sizes of the tables.
    test, exclude : Interactions, Interactions or None
        Positives to rank, and interactions to leave out of the ranking.
    low_items : int32 array
        The low ratings to draw negatives from, by user; empty unless the system uses them.
    low_bounds : int64 array, shape (n_users + 1,)
        The low ratings of user u are ``low_items[low_bounds[u]:low_bounds[u + 1]]``.
    """

    users: NDArray[np.int32]
    positives: NDArray[np.int32]
    shape: tuple[int, int]
    test: Interactions
    exclude: Interactions | None
    low_items: NDArray[np.int32]
    low_bounds: NDArray[np.int64]

    def auc(self, U: NDArray[np.floating], V: NDArray[np.floating], scorer: str) -> float:
        """Return the full AUC of two tables of factors.

        Parameters
        ----------
        U, V : float arrays of shape (n_users, n_factors) and (n_items, n_factors)
        scorer : {"dot", "cosine"}
        """
        factors = (normalize_rows(U)[0], normalize_rows(V)[0]) if scorer == "cosine" else (U, V)
        return full_auc(factors, self.test, exclude=self.exclude, n_jobs=1)


@dataclass
class Run:
    """Records of one training: lists have one entry per epoch.

    Parameters
    ----------
    auc_before : float
        AUC of the untrained model.
    auc : list of float
        Full AUC on the test positives, measured by the system's protocol.
    loss : list of float
        Mean training loss over the epoch.
    test_loss : list of float
        Mean loss of triplets of the test positives; empty unless the triplets are drawn once.
    seconds : list of float
        Time of the training, without the measurements.
    """

    auc_before: float = 0.5
    auc: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def training_task(recipe: Recipe, protocol: str, data: MovieLens, rng: np.random.Generator) -> Task:
    """Collect the positives, the test and, where `recipe` uses them, the low ratings.

    Parameters
    ----------
    recipe : Recipe
        Decides which ratings are positives.
    protocol : {"AUC-A", "AUC-B"}
        Decides what is left out of the ranking.
    data : MovieLens
        What `tripletrec.datasets.fetch_movielens_100k` returns.
    rng : numpy.random.Generator
        Chooses the ratings of 3 that top up the low ones.

    Examples
    --------
    >>> import numpy as np
    >>> import tripletrec as tr
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> rng = np.random.default_rng(0)
    >>> recipe = tr.reference.SYSTEMS["K1"].recipe
    >>> task = tr.reference.training_task(recipe, "AUC-A", data, rng)  # doctest: +SKIP
    >>> len(task.users)  # doctest: +SKIP
    49906
    """
    train, test = data.train, data.test
    low_items, low_bounds = np.empty(0, np.int32), np.zeros(train.n_users + 1, np.int64)
    if recipe.negatives.startswith("low"):
        train, test = (_rated_five(data, split) for split in ("train", "test"))
        low_items, low_bounds = _low_ratings(data, recipe.negatives == "low-own", rng)
        if recipe.negatives == "low-own":  # a user without low ratings has no negatives
            train = train[np.diff(low_bounds)[train.rows] > 0]
    exclude = known_and_first_item(data.train) if protocol == "AUC-B" else None
    return Task(train.rows, train.indices, train.space.shape, test, exclude, low_items, low_bounds)


def known_and_first_item(train: Interactions) -> Interactions:
    """Return the training positives and, for every user, item 0, which does not exist."""
    everyone = np.arange(train.n_users)
    users = np.concatenate([train.rows, everyone])
    items = np.concatenate([train.indices, np.zeros_like(everyone)])
    return Interactions.from_arrays(users, items, shape=train.space.shape)


def _ratings(data: MovieLens, split: str) -> list[NDArray[np.integer]]:
    """Return users, items and ratings of a split, by user and item."""
    frame = data.ratings[data.ratings["split"] == split].sort_values(["user", "item"])
    positions = (
        check_positions(frame[name], f"the column {name!r} of ratings", count)
        for name, count in zip(("user", "item"), data.train.space.shape, strict=True)
    )
    return [*positions, frame["rating"].to_numpy()]


def _rated_five(data: MovieLens, split: str) -> Interactions:
    users, items, ratings = _ratings(data, split)
    best = ratings == 5
    return Interactions.from_arrays(users[best], items[best], shape=data.train.space.shape)


def _low_ratings(
    data: MovieLens, by_user: bool, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the items of ratings of 1 and 2, by user, topped up with random ratings of 3.

    There are as many as ratings of 5, unless the ratings of 1 and 2 are more or those of 3 too few. They
    are counted for each user if `by_user`, else over all users.
    """
    users, items, ratings = _ratings(data, "train")
    group = users if by_user else np.zeros_like(users)
    n_groups = int(group.max()) + 1
    n_best, n_low = (
        np.bincount(group[chosen], minlength=n_groups) for chosen in (ratings == 5, ratings <= 2)
    )
    threes = rng.permutation(np.flatnonzero(ratings == 3))
    threes = threes[np.argsort(group[threes], kind="stable")]
    starts = np.searchsorted(group[threes], np.arange(n_groups))
    place = np.arange(len(threes)) - starts[group[threes]]  # 0, 1, 2, ... within the group
    topping = threes[place < (n_best - n_low)[group[threes]]]
    chosen = np.sort(np.concatenate([np.flatnonzero(ratings <= 2), topping]))
    bounds = np.searchsorted(users[chosen], np.arange(data.train.n_users + 1))
    return items[chosen].astype(np.int32), bounds.astype(np.int64)


def draw_negatives(
    recipe: Recipe, task: Task, rng: np.random.Generator, n: int | None = None
) -> NDArray[np.int32]:
    """Draw one negative for each positive, as ``recipe.negatives`` says.

    ============== ==================================================================
    fresh, once    uniform from ``recipe.first_item`` on; may be a positive
    low            the low ratings of all users in random order
    low-own        one of the user's own low ratings
    ============== ==================================================================

    Parameters
    ----------
    recipe, task : Recipe, Task
        A system's recipe, and what it is trained on.
    rng : numpy.random.Generator
        Source of all draws.
    n : int, optional
        Number of negatives; None: one per training positive.

    Examples
    --------
    >>> import numpy as np
    >>> import tripletrec as tr
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> rng = np.random.default_rng(0)
    >>> recipe = tr.reference.SYSTEMS["K1"].recipe
    >>> task = tr.reference.training_task(recipe, "AUC-A", data, rng)  # doctest: +SKIP
    >>> tr.reference.draw_negatives(recipe, task, rng).shape  # doctest: +SKIP
    (49906,)
    """
    n_positives = len(task.users) if n is None else n
    if recipe.negatives in ("fresh", "once"):
        return rng.integers(recipe.first_item, task.shape[1], n_positives, dtype=np.int32)
    if recipe.negatives == "low-own":
        start, stop = task.low_bounds[task.users], task.low_bounds[task.users + 1]
        return task.low_items[rng.integers(start, stop)]
    return rng.permutation(task.low_items)[:n_positives]


def build_model(
    recipe: Recipe, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[TripletModel | PerceptronModel, DenseOptimizer]:
    """Return the untrained model of a system and its optimizer.

    The items' bias of K2 is left out: positive and negative share it, so it cancels in every
    score difference and is never updated.
    """
    if recipe.scorer == "perceptron":
        return PerceptronModel(recipe, shape, rng), DeferredAdam(epsilon=recipe.epsilon)
    start = glorot_uniform if recipe.bias else uniform
    U, V = (start(rng, (n_rows, recipe.n_factors)) for n_rows in shape)
    bias = np.zeros(recipe.n_factors, np.float32) if recipe.bias else None
    model = TripletModel(Embedding(U, bias), Embedding(V), recipe.loss, recipe.scorer)
    if recipe.optimizer == "adam":
        return model, Adam(l2=recipe.l2, epsilon=recipe.epsilon)
    return model, Adagrad(0.1, initial=0.0, epsilon=1e-6, l2=recipe.l2)


def train_replica(
    system: str,
    data: MovieLens,
    n_epochs: int | None = None,
    random_state: int = 0,
    on_epoch: Callable[[Run], None] | None = None,
) -> Run:
    """Train a replica of a reference system and measure it after every epoch.

    Parameters
    ----------
    system : str
        Key of a system in `SYSTEMS` that has a recipe.
    data : MovieLens
        What `tripletrec.datasets.fetch_movielens_100k` returns.
    n_epochs : int, optional
        Passes over the positives; as many as in the table by default.
    random_state : int, default=0
        Seed of the initial weights, the negatives and the shuffles: the same seed gives the same bits.
    on_epoch : callable, optional
        Called with the run after every epoch.

    Returns
    -------
    Run
        AUC, losses and seconds by epoch.

    Raises
    ------
    ValueError
        If `system` is unknown or has no recipe, or `n_epochs` is less than 1.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> run = tr.reference.train_replica("K1", data, n_epochs=1)  # doctest: +SKIP
    >>> round(run.auc[0], 2)  # doctest: +SKIP
    0.83
    """
    recipe = _recipe(system)
    n_epochs = check_count(SYSTEMS[system].n_epochs if n_epochs is None else n_epochs, "n_epochs")
    rng = np.random.default_rng(random_state)
    task = training_task(recipe, SYSTEMS[system].protocol, data, rng)
    model, optimizer = build_model(recipe, task.shape, rng)
    test_triplets = _test_triplets(recipe, task, rng)
    run = Run(auc_before=_auc(task, model, recipe))
    negatives = draw_negatives(recipe, task, rng)
    for epoch in range(n_epochs):
        if epoch > 0 and recipe.negatives != "once":
            negatives = draw_negatives(recipe, task, rng)
        started = time.perf_counter()
        triplets = (task.users, task.positives, negatives)
        with one_blas_thread():
            run.loss.append(train_epoch(model, optimizer, triplets, recipe.batch_size, rng))
        run.seconds.append(time.perf_counter() - started)
        run.auc.append(_auc(task, model, recipe))
        if test_triplets and isinstance(model, TripletModel):
            run.test_loss.append(model.loss(*test_triplets))
        if on_epoch is not None:
            on_epoch(run)
    return run


def _auc(task: Task, model: TripletModel | PerceptronModel, recipe: Recipe) -> float:
    if isinstance(model, PerceptronModel):
        return full_auc(model.score_function(), task.test, exclude=task.exclude, n_jobs=1)
    return task.auc(model.users.table, model.items.table, recipe.scorer)


def _recipe(system: str) -> Recipe:
    trainable = [key for key, each in SYSTEMS.items() if each.recipe is not None]
    recipe = SYSTEMS[system].recipe if system in SYSTEMS else None
    if recipe is None:
        raise ValueError(f"system must be one of {', '.join(trainable)}, got {system!r}")
    return recipe


def _test_triplets(
    recipe: Recipe, task: Task, rng: np.random.Generator
) -> tuple[NDArray[np.int32], ...]:
    if recipe.negatives != "once":
        return ()
    test = task.test
    return test.rows, test.indices, draw_negatives(recipe, task, rng, test.nnz)
