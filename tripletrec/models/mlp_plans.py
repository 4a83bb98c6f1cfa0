"""What parameters of `MLPMatcher` are where they are None; the model is in `mlp`."""

from __future__ import annotations

import math

from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.models.companions import Sizes, percentile_rank_of, rate_of, relative_rank
from tripletrec.optimizers import Optimizer
from tripletrec.sampling import Sampler, dynamic

__all__ = ["BY_DATA", "LATE_SHARE", "RATES", "epochs_of", "mlp_epochs", "mlp_rate", "mlp_sampler"]

# Chosen on cuts of MovieLens, synthetic shops, packages and Gowalla: see docs/choosing-measured.md.
_EPOCHS, _LEAST_EPOCHS, _MOST_EPOCHS = 30, 6, 60
_LEAST_CANDIDATES, _MOST_CANDIDATES = 4, 6
# The steps of "adagrad" and "adam" do not grow with the slopes of a loss.
RATES = {
    "bpr": {"sgd": 0.15, "adagrad": 0.07, "adam": 0.002},
    "hinge": {"sgd": 0.08, "adagrad": 0.07, "adam": 0.002},
    "sigmoid": {"sgd": 0.5, "adagrad": 0.07, "adam": 0.002},
}

# Of the learning rate, in epochs that learn what is new: a perceptron that learns faster then puts new items
# above all others for everybody, and new users have worse lists than by their histories alone.
LATE_SHARE = 0.025

# What stands for them until the data are known.
BY_DATA = {"n_epochs": _MOST_EPOCHS, "sampler": dynamic(_MOST_CANDIDATES)}


def mlp_epochs(sizes: Sizes, rank: float) -> int:
    """Return for how many epochs a perceptron is trained.

    With q the `relative_rank` it is 30 for q from .2 to .3, 30 (.2 / q)^1.2 below, at most 60, and
    30 (.3 / q)^1.8 above, at least 6. A perceptron learns first what is popular. Where neighbours tell little
    more than that, it then learns its users by heart.

    Parameters
    ----------
    sizes : Sizes
    rank : float
        The percentile rank, see `tripletrec.models.percentile_rank`.
    """
    q = max(relative_rank(sizes, rank), 1e-9)
    wanted = _EPOCHS * ((0.3 / q) ** 1.8 if q > 0.3 else max(1.0, 0.2 / q) ** 1.2)
    return max(_LEAST_EPOCHS, min(_MOST_EPOCHS, round(wanted)))


def epochs_of(data: Interactions) -> int:
    """Return for how many epochs a perceptron is trained on such data."""
    return mlp_epochs(Sizes.of(data), percentile_rank_of(data))


def mlp_rate(loss: Loss | ListLoss, optimizer: Optimizer) -> float:
    """Return the learning rate; a loss of the user's own has that of "bpr", an optimizer that of "sgd"."""
    return rate_of(RATES.get(loss.name, RATES["bpr"]), optimizer, "sgd")


def mlp_sampler(n_items: int) -> Sampler:
    """Return the sampler for a catalogue: the hardest of √n_items / 4 candidates, from 4 to 6.

    The hardest of many of a small catalogue is one of the popular items, whoever the user. From 8 on a
    perceptron that has learnt nothing yet may never begin to learn.
    """
    wanted = round(math.sqrt(n_items) / 4)
    return dynamic(max(_LEAST_CANDIDATES, min(_MOST_CANDIDATES, wanted)))
