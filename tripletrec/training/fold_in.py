"""What learns new users of a factor model, for any loss; the two ways are in files of their own."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tripletrec.losses import ListLoss
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.fold_in_triplet import TripletFoldIn
from tripletrec.training.plan import FactorPlan

__all__ = ["FoldIn", "start_fold_in"]


class FoldIn(Protocol):
    """What learns rows of new users by frozen items; safe to be used by several threads."""

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> NDArray[np.float32]:
        """Return a row for each history."""
        ...


def start_fold_in(
    plan: FactorPlan,
    factors: NDArray[np.float32],
    biases: NDArray[np.float32],
    counts: NDArray[np.int64],
    temperature: float | None,
    *,
    only_used: bool = False,
) -> FoldIn:
    """Return what learns rows of new users of a factor model.

    Parameters
    ----------
    plan : FactorPlan
        Loss, scorer, sampler, number of negatives and L2 of users.
    factors, biases : float32 arrays of shape (n_items, n_factors) and (n_items,)
    counts : int64 array of shape (n_items,)
        Positives of each item in the training data.
    temperature : float or None
        Of a list-wise loss, as the model was trained with.
    only_used : bool, default False
        Whether only items that have a positive are negatives.

    Returns
    -------
    TripletFoldIn or ListwiseFoldIn
    """
    if not isinstance(plan.loss, ListLoss):
        return TripletFoldIn(plan, factors, biases, counts, only_used=only_used)
    # Here, because most models do without it.
    from tripletrec.training.fold_in_listwise import Descent, ListwiseFoldIn

    # From the mean of the history, which is most of such a user, the way is short.
    descent = Descent(n_steps=4) if plan.history > 0.0 else Descent()

    return ListwiseFoldIn(
        plan, factors, biases, temperature or 1.0, counts, only_used=only_used, descent=descent
    )
