"""The model of K5's replica, a perceptron on the factors of user and item; its training is in `replica`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import identity

from tripletrec.losses import SIGMOID, hinge
from tripletrec.neural import Dense, Dropout, FeatureEmbedding, Layer, ReLU, Stack
from tripletrec.neural.layers import uniform
from tripletrec.neural.networks import PairPerceptron
from tripletrec.neural.pair_scores import CatalogueScores, item_terms
from tripletrec.reference.systems import Recipe
from tripletrec.training.plan import L2

__all__ = ["PerceptronModel"]

_LOSSES = {"hinge": hinge(), "sigmoid": SIGMOID}


class PerceptronModel:
    """A model for `train_epoch`: a perceptron of which every layer ends in a ReLU, even the last one.

    Parameters
    ----------
    recipe : Recipe
        With ``scorer="perceptron"``.
    shape : (n_users, n_items)
        Sizes of the two tables.
    rng : numpy.random.Generator
        Draws the initial weights and the seeds of the dropout layers.

    Attributes
    ----------
    parameters, gradients : list of arrays
    """

    def __init__(self, recipe: Recipe, shape: tuple[int, int], rng: np.random.Generator) -> None:
        users, items = (
            FeatureEmbedding(uniform(rng, (n, width)), identity(n, np.float32, format="csr"))
            for n, width in zip(shape, (recipe.n_factors, recipe.n_item_factors), strict=True)
        )
        widths = [recipe.n_factors + recipe.n_item_factors, *recipe.hidden, 1]
        layers: list[Layer] = []
        for n_inputs, n_outputs in zip(widths, widths[1:], strict=False):
            if recipe.dropout:
                layers.append(Dropout(recipe.dropout, int(rng.integers(2**63))))
            layers += [Dense.start(rng, n_inputs, n_outputs), ReLU()]
        self.network = PairPerceptron(users, items, Stack(layers), _LOSSES[recipe.loss])
        self.parameters, self.gradients = self.network.parameters, self.network.gradients

    def backward(self, users: Any, positives: Any, negatives: Any) -> float:
        """Add the gradient of the mean loss of a batch of triplets; return the loss."""
        totals = np.zeros(3)
        self.network.step(users, positives, negatives, None, L2(), totals)
        return float(totals[0] / totals[2])

    def rows_read(self, users: Any, positives: Any, negatives: Any) -> list[Any]:
        """Return for each parameter the rows that a batch reads; None: all."""
        return [users, np.concatenate([positives, negatives], dtype=np.int32), None]

    def score_function(self) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
        """Return the function rows -> scores of all items, without dropout."""
        trunk, users, items = self.network.trunk, self.network.users, self.network.items
        return CatalogueScores(trunk, users.table, item_terms(trunk, items.table))
