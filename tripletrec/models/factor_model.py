"""What factors say: scores, vectors, what to learn on from, rows of new users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.interactions import Interactions
from tripletrec.models.continuing import ContinuedModel
from tripletrec.models.trained import width_of
from tripletrec.models.vectors import BiasedFactors
from tripletrec.ranking.products import Products
from tripletrec.ranking.rows import FactorRows
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.scorers import COSINE, Scorer, check_scorer, normalize_rows
from tripletrec.training.plan import FactorPlan, Factors

if TYPE_CHECKING:
    from tripletrec.ranking.scores import ScoreUsers
    from tripletrec.training.fold_in import FoldIn

__all__ = ["FactorModel"]


class FactorModel(BiasedFactors, ContinuedModel):
    """Base of models whose score is that of a row of factors and another, plus the item's bias."""

    scorer: str | Scorer | None
    _companions: Mapping[str, Any] = MappingProxyType({})  # none where factors were set by hand
    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]
    item_biases_: NDArray[np.float32]
    # New items begin with what their users say: more would put them above the others. Chosen on training data
    # of MovieLens-100K, 671 users, 2,000 of Gowalla, tags and a shop, a tenth of the items left out at first.
    _weight_of_new_items = 2.0

    def _plan_with(self, seed: int, chosen: Mapping[str, Any] = MappingProxyType({})) -> FactorPlan:
        raise NotImplementedError

    def _set_factors(self, arrays: tuple[NDArray[Any], ...]) -> None:
        self.user_factors_, self.item_factors_, self.item_biases_ = arrays

    def _learnt_parameters(self) -> Factors:
        return Factors(self.user_factors_, self.item_factors_, self.item_biases_)

    def _training_parameters(self, data: Interactions) -> Factors:
        plan, learnt = self._plan_with(0, self._companions), self._learnt_parameters()
        if data.n_items > self.n_items_:
            learnt = self._begin_items(learnt, plan, data)
        new, items = self._new_histories(data)
        seen = self._seen if plan.history > 0.0 else None
        if seen is None and not len(new):
            return learnt
        users = self._begin_users(learnt.user_factors, data.n_users, new, items)
        if seen is None:
            return learnt._replace(user_factors=users)
        from tripletrec.training.histories import own_rows  # here, because most do without

        fold_in = self._start_history_fold_in(plan)
        history = np.zeros_like(users)
        known = ItemsOfUsers(seen.indptr, seen.indices)
        history[: seen.n_users] = fold_in.learn(known, self._fold_in_jobs(known))
        history[new] = fold_in.learn(items, self._fold_in_jobs(items))
        return learnt._replace(user_factors=own_rows(users, history, plan))

    def _begin_items(self, learnt: Factors, plan: FactorPlan, data: Interactions) -> Factors:
        """Return factors and biases of all items, of new ones what their users say.

        The direction of a row is learnt as that of a new user, from the users' rows in place of the items'.
        Its length and the bias are what those of known items are that have as many users, by lines over
        ln(1 + n): from few users, lengths would be learnt that put the item above all others.
        """
        from tripletrec.training.fold_in import start_fold_in  # here, because most do without

        counts, users = self._users_of_new_items(data)
        of_users = np.diff(data.indptr)[: self.n_users_]
        plan, no_biases = replace(plan, history=0.0), np.zeros(self.n_users_, np.float32)
        fold_in = start_fold_in(plan, learnt.user_factors, no_biases, of_users, self.temperature_)
        units, _ = normalize_rows(fold_in.learn(users, self._fold_in_jobs(users)))
        _, *items = learnt
        lengths, biases = (
            _by_count(self._item_counts(), each, counts)
            for each in (np.linalg.norm(learnt.item_factors, axis=1), learnt.item_biases)
        )
        rows = units * lengths[:, None], biases
        both = (np.concatenate(each) for each in zip(items, rows, strict=True))
        return Factors(learnt.user_factors, *both)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        n_factors = width_of(self.user_factors_, "user_factors_")
        return {
            "user_factors_": (self.n_users_, n_factors),
            "item_factors_": (self.n_items_, n_factors),
            "item_biases_": (self.n_items_,),
        }

    def _is_cosine(self, plan: FactorPlan | None = None) -> bool:
        return (self._scorer() if plan is None else plan.scorer) == COSINE

    def _scorer(self) -> Scorer:
        """Return the scorer: the user's, or that with which the factors were learnt."""
        if self.scorer is not None:
            return check_scorer(self.scorer)
        return check_scorer((self._companions or self._settled_params())["scorer"])

    def _fold_in_basis(self) -> tuple[Any, ...]:
        plan = self._plan_with(0, self._companions)
        return plan, self.item_factors_, self.item_biases_, self.item_counts_, self.temperature_

    def _start_fold_in(self, *basis: Any) -> FoldIn:
        from tripletrec.training.fold_in import start_fold_in  # here, because most do without

        plan, factors, biases, _, temperature = basis
        if plan.history == 1.0:
            return self._start_history_fold_in(plan)
        fold_in = start_fold_in(plan, factors, biases, self._item_counts(), temperature)
        if plan.history == 0.0:
            return fold_in
        from tripletrec.training.histories import MixedFoldIn

        return MixedFoldIn(plan, fold_in, factors)

    def _start_history_fold_in(self, plan: FactorPlan) -> FoldIn:
        from tripletrec.training.histories import HistoryFoldIn

        return HistoryFoldIn(plan, self.item_factors_)

    def _scores_of(self, rows: NDArray[np.float32]) -> ScoreUsers:
        units = self._scorer().rows(rows)
        return Products(units, self._panels(self._item_table(), "item"), self.item_biases_)

    def _with_rows(self, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {"user_factors_": np.concatenate([self.user_factors_, rows])}

    def _user_table(self) -> FactorRows:
        return FactorRows(self.user_factors_, self._scorer().rows)

    def _item_table(self) -> FactorRows:
        return FactorRows(self.item_factors_, self._scorer().rows)

    def _history_weights(self, user: int, Q: NDArray[np.float64]) -> NDArray[np.float64] | None:
        history = self._plan_with(0, self._companions).history
        if history == 0.0 or not len(Q):
            return None
        length = float(len(Q))
        if self._is_cosine():  # the vector is that of the mix, divided by its length
            row = self.user_factors_[user].astype(np.float64)
            length = float(np.linalg.norm(Q.sum(axis=0)) * np.linalg.norm(row))
        return np.full(len(Q), history / length if length else 0.0)


def _by_count(
    known: NDArray[np.int64], values: NDArray[np.float32], counts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the values at `counts` of the line of least squares through `values` over ln(1 + known).

    None is beyond the least and the greatest of the values.
    """
    x = np.log1p(known)
    slope = np.cov(x, values, bias=True)[0, 1] / x.var() if np.ptp(x) else 0.0
    line = values.mean() + slope * (np.log1p(counts) - x.mean())
    return np.clip(line, values.min(), values.max()).astype(np.float32)
