"""What parameters of `MLPMatcher` are where they are None, by the data or not; the model is in `mlp`."""

from __future__ import annotations

from tripletrec.data.interactions import Interactions
from tripletrec.models.companions import Sizes, percentile_rank_of, relative_rank
from tripletrec.sampling import dynamic

__all__ = ["MOST_EPOCHS", "SAMPLER", "epochs_for", "epochs_of"]

# Chosen on cuts of MovieLens, synthetic shops, packages and Gowalla: see docs/choosing.md.
SAMPLER = dynamic(4)
_EPOCHS, _LEAST_EPOCHS, MOST_EPOCHS = 15, 3, 30


def epochs_for(sizes: Sizes, rank: float) -> int:
    """Return for how many epochs a perceptron is trained.

    With q the `relative_rank` it is 15 for q from .2 to .3, 15 (.2 / q)^1.2 below, at most 30, and
    15 (.3 / q)^1.8 above, at least 3. A perceptron learns first what is popular. Where neighbours tell little
    more than that, it then learns its users by heart.

    Parameters
    ----------
    sizes : Sizes
    rank : float
        The percentile rank, see `tripletrec.models.percentile_rank`.
    """
    q = max(relative_rank(sizes, rank), 1e-9)
    wanted = _EPOCHS * ((0.3 / q) ** 1.8 if q > 0.3 else max(1.0, 0.2 / q) ** 1.2)
    return max(_LEAST_EPOCHS, min(MOST_EPOCHS, round(wanted)))


def epochs_of(data: Interactions) -> int:
    """Return for how many epochs a perceptron is trained on such data."""
    return epochs_for(Sizes.of(data), percentile_rank_of(data))
