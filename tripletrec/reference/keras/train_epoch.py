"""One epoch of mini-batch training, as Keras does it: shuffle, cut, one step per batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tripletrec.reference.keras.deferred_adam import DeferredAdam
from tripletrec.reference.keras.optimizers import DenseOptimizer

__all__ = ["Model", "train_epoch"]


class Model(Protocol):
    """What `train_epoch` needs of a model."""

    parameters: list[NDArray[Any]]
    gradients: list[NDArray[Any]]

    @property
    def backward(self) -> Callable[..., float]:
        """Add the gradient of a batch's mean loss to ``gradients`` and return that loss."""


def train_epoch(
    model: Model,
    optimizer: DenseOptimizer,
    columns: Sequence[NDArray[Any]],
    batch_size: int,
    rng: np.random.Generator,
) -> float:
    """Train a model on every example once.

    Parameters
    ----------
    model : Model
        For instance a `TripletModel`; trained in place.
    optimizer : DenseOptimizer
        Moves all of the model's parameters after each batch. `DeferredAdam` needs a model that says
        which rows of its parameters a batch reads, ``model.rows_read(*batch)``.
    columns : sequence of arrays of one length
        The examples, for triplets ``(users, positives, negatives)``.
    batch_size : int
        Examples per step; the last batch may be smaller.
    rng : numpy.random.Generator
        Shuffles the examples.

    Returns
    -------
    float
        Mean loss of the examples, each at the weights before the step of its batch, as Keras prints it.

    Raises
    ------
    FloatingPointError
        If the loss is NaN or infinite at the end of the epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.reference.keras import SGD, Embedding, TripletModel
    >>> users, items = Embedding(np.ones((1, 2))), Embedding(np.array([[2.0, 0.0], [0.0, 1.0]]))
    >>> model = TripletModel(users, items, "hinge")
    >>> liked_the_second = np.array([0]), np.array([1]), np.array([0])
    >>> rng = np.random.default_rng(0)
    >>> [round(train_epoch(model, SGD(0.1), liked_the_second, 1, rng), 2) for _ in range(2)]
    [2.0, 1.12]
    """
    n_examples = len(columns[0])
    order = rng.permutation(n_examples)
    shuffled = [column[order] for column in columns]
    total = 0.0
    parameters, gradients = model.parameters, model.gradients
    for start in range(0, n_examples, batch_size):
        batch = [column[start : start + batch_size] for column in shuffled]
        if isinstance(optimizer, DeferredAdam):
            rows = model.rows_read(*batch)  # type: ignore[attr-defined]
            optimizer.catch_up(parameters, rows)
            total += model.backward(*batch) * len(batch[0])
            optimizer.update(parameters, gradients, rows)
        else:
            total += model.backward(*batch) * len(batch[0])
            optimizer.update(parameters, gradients)
    if isinstance(optimizer, DeferredAdam):
        optimizer.settle(parameters)
    if not math.isfinite(total):
        raise FloatingPointError("the loss is not finite: try a smaller learning_rate")
    return total / n_examples
