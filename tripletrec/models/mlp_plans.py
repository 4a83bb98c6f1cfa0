"""What parameters of `MLPMatcher` are where they are None, by the data or not; the model is in `mlp`."""

from __future__ import annotations

from tripletrec.data.interactions import Interactions
from tripletrec.models.companions import percentile_rank_of
from tripletrec.sampling import dynamic

__all__ = ["MOST_EPOCHS", "SAMPLER", "epochs_for", "epochs_of"]

# Chosen on cuts of MovieLens, synthetic shops, packages and Gowalla: see docs/choosing.md.
SAMPLER = dynamic(4)
_EPOCHS, _LEAST_EPOCHS, MOST_EPOCHS = 15, 3, 30


def epochs_for(rank: float, popularity: float) -> int:
    """Return for how many epochs a perceptron is trained.

    With q = r / p, where r is the percentile rank and p that of popularity, it is 15 for q from .2 to .3,
    15 (.2 / q)^1.2 below, at most 30, and 15 (.3 / q)^1.8 above, at least 3. A perceptron learns first what
    is popular. Where neighbours tell little more than that, it then learns its users by heart. Where p is
    above .8 it is 30: popularity is no help there at all.

    Parameters
    ----------
    rank, popularity : float
        See `tripletrec.models.percentile_rank`.
    """
    if popularity > 0.8:
        return MOST_EPOCHS
    q = rank / max(popularity, 1e-9)
    wanted = _EPOCHS * ((0.3 / q) ** 1.8 if q > 0.3 else max(1.0, 0.2 / q) ** 1.2)
    return max(_LEAST_EPOCHS, min(MOST_EPOCHS, round(wanted)))


def epochs_of(data: Interactions) -> int:
    """Return for how many epochs a perceptron is trained on such data."""
    # Here, because answers do without.
    from tripletrec.models.percentile_rank import popularity_rank
    from tripletrec.training.triplet import count_items

    counts = count_items(data.indices, data.n_items)
    return epochs_for(percentile_rank_of(data), popularity_rank(counts))
