"""New users of `TwoTower`, learnt from their histories by vectors of items; parameters are in `two_tower`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec.models.tower_plans import PlannedTowers
from tripletrec.models.towers import infer_all, nobody
from tripletrec.neural.history import TowerMix, mix
from tripletrec.ranking.products import Products
from tripletrec.ranking.scores import ScoreUsers
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.sampling.samplers import UNSEEN
from tripletrec.scorers import COSINE, DOT, normalize_rows
from tripletrec.training.plan import FactorPlan

if TYPE_CHECKING:
    from tripletrec.training.fold_in import FoldIn

__all__ = ["MixFoldIn", "TowerHistories", "share_of_mix"]

_NOISY, _MILD = 0.2, 0.24  # temperatures between which nothing is learnt of a history
_LEAST_SHARE = 0.2


class _VectorFoldIn:
    """Learns vectors of users: what they differ by from that of nobody, or directions.

    Parameters
    ----------
    fold_in : FoldIn
        With a cosine or, without it, with biases that are the scores of nobody.
    nobody : float32 array of shape (n_outputs,)
        The vector of a user of whom nothing is known.
    cosine : bool
    """

    def __init__(self, fold_in: FoldIn, nobody: NDArray[np.float32], *, cosine: bool) -> None:
        self._fold_in, self._nobody, self._cosine = fold_in, nobody, cosine

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> NDArray[np.float32]:
        """Return a vector for each history; for an empty one that of nobody."""
        rows = self._fold_in.learn(histories, n_jobs)
        if not self._cosine:
            return rows + self._nobody
        rows = normalize_rows(rows)[0]
        rows[np.diff(histories.indptr) == 0] = self._nobody
        return rows


class MixFoldIn(NamedTuple):
    """Mixes vectors of new users with their histories, and with what the loss says of these.

    Parameters
    ----------
    nobody : float32 array of shape (n_outputs,)
    factors : float32 array of shape (n_items, n_outputs)
        What the item tower gives.
    how : TowerMix
        As users of training are mixed with their histories.
    fold_in : FoldIn or None
        Learns directions by the loss; None: there is nothing to learn.
    share : float
        Of the mix, the rest is that of the learnt direction.
    """

    nobody: NDArray[np.float32]
    factors: NDArray[np.float32]
    how: TowerMix
    fold_in: FoldIn | None = None
    share: float = 1.0

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> NDArray[np.float32]:
        """Return a vector for each history; for an empty one that of nobody."""
        vectors = np.tile(self.nobody, (len(histories.indptr) - 1, 1))
        return self.mix(vectors, histories, n_jobs)

    def mix(
        self, vectors: NDArray[np.float32], histories: ItemsOfUsers, n_jobs: int = 1
    ) -> NDArray[np.float32]:
        """Return the vectors of users of whom `vectors` is what features say."""
        mixed: NDArray[np.float32] = np.asarray(mix(vectors, self.factors, histories, self.how))
        if self.fold_in is None:
            return mixed
        learnt = normalize_rows(self.fold_in.learn(histories, n_jobs))[0]
        share = np.float32(self.share)
        rows: NDArray[np.float32] = normalize_rows(share * mixed + (1 - share) * learnt)[0]
        return rows


def share_of_mix(temperature: float) -> float:
    """Return how much of a new user is the mix of training, beside what the loss says of the history.

    It is (τ / .2)^6, from .2 to 1. The temperature τ says how well users can be told by what they did. Where
    they are, a direction that ranks their items first says more than a mean of these; where they are not, it
    follows every item. Above .24 it is (.24 / τ)^3: at such temperatures no item is followed far.
    """
    of_noise = min((temperature / _NOISY) ** 6, (_MILD / temperature) ** 3)
    return min(1.0, max(_LEAST_SHARE, of_noise))


class TowerHistories(PlannedTowers):
    """What `TwoTower` says of users that training has never seen and of whom no features are known."""

    def _fold_in_basis(self) -> tuple[Any, ...]:
        network = self._plan_with(0, self._last_loss())
        sampler = network.sampler
        plan = FactorPlan(
            loss=network.loss,
            scorer=COSINE if self._is_cosine() else DOT,
            optimizer=network.optimizer,
            sampler=UNSEEN if sampler.by_features else sampler,
            learning_rate=network.learning_rate,
            n_negatives=network.n_negatives,
            l2=network.l2,
            seed=0,
            n_factors=self.item_factors_.shape[1],
            item_bias=False,
            init_scale=1.0,
        )
        return (
            plan, self.item_factors_, self.item_counts_, self.temperature_, self._mix(),
            self.user_table_, self.user_weights_, self.item_biases_,
        )  # fmt: skip

    def _start_fold_in(self, *basis: Any) -> FoldIn:
        from tripletrec.training.fold_in import start_fold_in  # here, because most do without

        plan, factors, _, temperature, how, *_ = basis
        own, biases = self._vector_of_nobody(), basis[-1]
        share = share_of_mix(temperature) if how.units and temperature else 1.0
        if how.share > 0.0 and share == 1.0:
            return MixFoldIn(own, factors, how)
        if not self._is_cosine():
            biases = biases + np.einsum("nk,k->n", factors, own)
        fold_in = start_fold_in(
            plan, factors, biases, self._item_counts(), temperature, only_used=True
        )
        if how.share > 0.0:
            return MixFoldIn(own, factors, how, fold_in, share)
        return _VectorFoldIn(fold_in, own, cosine=self._is_cosine())

    def _vector_of_nobody(self) -> NDArray[np.float32]:
        """Return what the tower gives for a user without features and without factors of their own."""
        layer = nobody(self.user_encoding_, self.user_table_, self.user_widths_[0])
        vector: NDArray[np.float32] = infer_all(layer, self._learnt_stack("user"))[0]
        return vector

    def _scores_of(self, rows: NDArray[np.float32]) -> ScoreUsers:
        return Products(rows, self._panels(self._item_table(), "item"), self.item_biases_)

    def _with_rows(self, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        table = self.user_table_
        grown = {"user_factors_": np.concatenate([self.user_factors_, rows])}
        if len(table) > self._first_own_row("user"):
            own = self._own_rows(rows)
            if own is None:
                own = np.zeros((len(rows), table.shape[1]), np.float32)
            grown["user_table_"] = np.concatenate([table, own])
        return grown

    def _own_rows(self, vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return factors of users' own that lead to the vectors, or in their direction.

        None: layers lie between. Of a vector of length one, and of one that is mixed with a history, only the
        direction counts: factors in it are as long as those of others are in the middle.
        """
        table = self.user_table_
        if not len(self.user_widths_) == 1 == self.user_widths_[0] // table.shape[1]:
            return None
        if not self._is_cosine() and not self._mix().share:
            return vectors - self._vector_of_nobody()
        others = table[self._first_own_row("user") :]
        lengths = np.linalg.norm(others, axis=1)
        return normalize_rows(vectors)[0] * np.median(lengths)
