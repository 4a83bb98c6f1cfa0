"""How parameters of a factor model make a plan, and a training of it; what is learnt is in `factor_model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import (
    check_count,
    check_flag,
    check_n_jobs,
    check_non_negative,
    check_positive,
    check_random_state,
)
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss, check_loss
from tripletrec.models.companions import (
    COMPANION_NAMES,
    PARTS,
    Sizes,
    check_companions,
    companions_of,
    epochs_for,
    has_open_temperature,
    most_epochs,
    percentile_rank_of,
    rate_for,
    resolve,
    sampler_for,
    temperature_for,
    user_l2_for,
    with_temperature,
)
from tripletrec.models.factor_model import FactorModel
from tripletrec.models.fit_arguments import (
    check_dropout,
    check_history,
    check_n_negatives,
    read_learnt_from,
)
from tripletrec.models.names import FactorLossName, FactorSamplerName
from tripletrec.models.trained import Start
from tripletrec.optimizers import check_optimizer
from tripletrec.rates import check_schedule
from tripletrec.sampling import UNSEEN, Sampler
from tripletrec.sampling.samplers import check_sampler
from tripletrec.scorers import SCORERS, check_scorer
from tripletrec.training.plan import L2, FactorPlan

if TYPE_CHECKING:
    from tripletrec.training.loop import Trainable

__all__ = ["PlannedFactorModel"]


class PlannedFactorModel(FactorModel):
    """Base of `MatrixFactorization`: all but its constructor and `fit`."""

    _learnt = ("user_factors_", "item_factors_", "item_biases_", "_companions")
    n_factors: int
    loss: FactorLossName | Loss | ListLoss
    sampler: FactorSamplerName | Sampler | None
    item_bias: bool
    n_negatives: int | Literal["all"] | None
    batch_size: int | None
    dropout: float
    history_dropout: float

    @property
    def companions_(self) -> dict[str, Any]:
        """What `fit` took for the parameters that go by the loss if they are None, by name: its companions.

        A model with ``**{**model.get_params(), **model.companions_}`` learns the same bits.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(800, 900, 10_000, random_state=0)
        >>> model = tr.MatrixFactorization(16, n_epochs=2).fit(data)
        >>> model.companions_["sampler"], model.companions_["optimizer"]
        ('unseen', 'adagrad')
        """
        taken = self._companions.items()
        return {name: value for name, value in taken if getattr(self, name) is None}

    def _settled_params(self, X: Any = None, **fit_params: Any) -> dict[str, Any]:
        loss, params = check_loss(self.loss, search=True), self.get_params()
        taken = self._companions
        if X is None:
            if isinstance(loss, ListLoss) and loss.temperature is None and taken:
                if self.temperature_ is not None and self._is_cosine():
                    params["loss"] = loss._replace(temperature=self.temperature_)
        else:
            data, _, given = read_learnt_from(X, **fit_params)
            # With any seed: a generator of the user draws none for it.
            plan = self._plan_for(self._plan_with(0), data, given)
            taken = plan.companions
            if plan.loss != loss:  # with the temperature that goes by the data
                params["loss"] = plan.loss
        return {**params, **_without_data(loss, self._settings(loss, taken))}

    def _plan(self) -> FactorPlan:
        return self._plan_with(check_random_state(self.random_state))

    def _plan_with(self, seed: int, chosen: Mapping[str, Any] = MappingProxyType({})) -> FactorPlan:
        loss = check_loss(self.loss, search=True)
        check_dropout(self.dropout)
        if self.batch_size is not None:
            check_count(self.batch_size, "batch_size")
        settings = self._settings(loss, chosen)
        # Complete, so that files are; in place of the user's own parts those of the loss.
        companions = {
            name: companions_of(loss)[name]
            if name in PARTS and getattr(self, name) is not None
            else value
            for name, value in settings.items()
        }
        of = _without_data(loss, settings)
        return FactorPlan(
            n_factors=check_count(self.n_factors, "n_factors"),
            loss=loss,
            scorer=check_scorer(of["scorer"]),
            optimizer=check_optimizer(of["optimizer"]),
            sampler=UNSEEN if of["sampler"] is None else check_sampler(of["sampler"]),
            learning_rate=check_positive(of["learning_rate"], "learning_rate"),
            l2=L2(
                user=check_non_negative(of["user_l2"], "user_l2"),
                positive=check_non_negative(of["item_l2"], "item_l2"),
                negative=check_non_negative(of["negative_l2"], "negative_l2"),
                bias=check_non_negative(of["bias_l2"], "bias_l2"),
            ),
            item_bias=check_flag(self.item_bias, "item_bias"),
            n_negatives=check_n_negatives(self.n_negatives, loss),
            init_scale=check_positive(of["init_scale"], "init_scale"),
            seed=seed,
            schedule=check_schedule(of["schedule"]),
            n_epochs=check_count(of["n_epochs"], "n_epochs"),
            history=check_history(of["history"], loss),
            history_dropout=check_dropout(self.history_dropout, "history_dropout"),
            companions=companions,
        )

    def _check_learnt(self, look_through: bool = True) -> None:
        super()._check_learnt(look_through)
        check_companions(self._companions, type(self))

    def _plan_again(self) -> FactorPlan:
        chosen = dict(self._companions)
        by_lists = isinstance(check_loss(self.loss, search=True), ListLoss)
        # What `fit` chose for the other kind of loss is of no use.
        if by_lists != (self.temperature_ is not None):
            chosen.pop("sampler", None)
        plan = self._plan_with(check_random_state(self.random_state), chosen)
        if "temperature" in self._left_open(plan):  # not by what is new alone
            plan = with_temperature(plan, self.temperature_)
        return plan

    def _later_plan(
        self, plan: FactorPlan, data: Interactions, given: Interactions | None
    ) -> FactorPlan:
        known = int(self.item_counts_.sum())
        # Ranking all data takes longer than an epoch: only at each power of two do they tell more.
        if (
            companions_of(plan.loss)["sampler"] is None
            and data.nnz.bit_length() > known.bit_length()
        ):
            plan = _taking(plan, "sampler", None)
        return self._plan_for(plan, data, given)

    def _settings(self, loss: Loss | ListLoss, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that losses have companions for; None is what goes by the data."""
        own = {name: getattr(self, name) for name in COMPANION_NAMES}
        if not isinstance(loss, ListLoss) and chosen:  # another loss than in `fit`, which has none
            chosen = {**chosen, "history": 0.0}
        return resolve(loss, {**chosen, **{k: v for k, v in own.items() if v is not None}})

    def _plan_for(self, plan: Any, data: Interactions, given: Interactions | None) -> FactorPlan:
        found: FactorPlan = plan
        if self._left_open(found):  # large data are not counted for nothing
            rank = cache(partial(percentile_rank_of, data))
            found = self._plan_for_sizes(found, Sizes.of(data), rank)
        return found

    def _plan_for_sizes(
        self, plan: FactorPlan, sizes: Sizes, rank: Callable[[], float]
    ) -> FactorPlan:
        """Return the plan with what goes by the data; `rank` returns their percentile rank."""
        found, left_open = plan, self._left_open(plan)
        if "n_epochs" in left_open:
            n = epochs_for(sizes, plan.loss)
            found = _taking(found, "n_epochs", n, n_epochs=n)
        if "sampler" in left_open:
            found = self._with_sampler(found, sampler_for(sizes, rank()))
        if "learning_rate" in left_open:
            rate = rate_for(plan.loss, rank())
            found = _taking(found, "learning_rate", rate, learning_rate=rate)
        if "user_l2" in left_open:
            user_l2 = user_l2_for(plan.loss, sizes, rank())
            found = _taking(found, "user_l2", user_l2, l2=found.l2._replace(user=user_l2))
        if "temperature" in left_open:
            found = with_temperature(found, temperature_for(sizes, rank()))
        return found

    def _left_open(self, plan: FactorPlan) -> set[str]:
        """Return which parameters go by the data and are not known yet; the user and the loss say nothing."""
        by_data = ("n_epochs", "learning_rate", "user_l2")
        found = {name for name in by_data if plan.companions[name] is None}
        if self.sampler is None and plan.companions["sampler"] is None:
            found.add("sampler")
        if has_open_temperature(plan, cosine=self._is_cosine(plan)):
            found.add("temperature")
        return found

    def _with_sampler(self, plan: FactorPlan, sampler: Sampler) -> FactorPlan:
        named = sampler.name if sampler == UNSEEN else sampler
        return _taking(plan, "sampler", named, sampler=sampler)

    def _start(
        self,
        plan: FactorPlan,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        **features: Any,
    ) -> Start:
        if isinstance(plan.loss, ListLoss):
            return self._start_listwise(plan, plan.loss, data, weights, given)
        n_jobs = check_n_jobs(self.n_jobs, self._work(plan, data))
        training: Trainable
        # Here, because answers do without.
        if data.memory_map is not None:
            from tripletrec.training.from_disk import start_mapped

            training = start_mapped(plan, data, weights, given, n_jobs)
        else:
            from tripletrec.training.triplet import TripletTraining

            training = TripletTraining(plan, data, weights, given, n_jobs)
        return Start(training, {"_companions": plan.companions})

    def _work(self, plan: FactorPlan, data: Interactions) -> float:
        """Return the multiply-adds of an epoch."""
        if isinstance(plan.loss, ListLoss):
            n_candidates = check_n_negatives(self.n_negatives, plan.loss, data.n_items)
            n_users = np.count_nonzero(np.diff(data.indptr))
            return 6.0 * plan.n_factors * n_users * (n_candidates or data.n_items)
        return (18.0 + 2.0 * plan.n_candidates) * plan.n_factors * plan.n_negatives * data.nnz

    def _epoch_scores(self, plan: FactorPlan, data: Interactions) -> float:
        return self._work(plan, data) / plan.n_factors

    def _start_listwise(
        self,
        plan: FactorPlan,
        loss: ListLoss,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
    ) -> Start:
        # Here, because most fits do without it.
        from tripletrec.training.listwise import ListwiseTraining

        if plan.scorer not in [make() for make in SCORERS.values()]:
            raise ValueError(
                f"loss {loss.name!r} works with the scorers {', '.join(map(repr, SCORERS))}, "
                f"got {plan.scorer.name!r}"
            )
        n_negatives = check_n_negatives(self.n_negatives, loss, data.n_items) or None
        n_users = np.count_nonzero(np.diff(data.indptr))
        # Items are updated once for each batch, so few users must make many batches.
        batch_size = max(8, min(256, int(n_users) // 64))
        if self.batch_size is not None:
            batch_size = self.batch_size
        training = ListwiseTraining(
            plan, data, weights, n_negatives, batch_size,
            check_dropout(self.dropout), check_n_jobs(self.n_jobs, self._work(plan, data)),
            given=given,
        )  # fmt: skip
        return Start(training, {"_companions": plan.companions})


def _without_data(loss: Loss | ListLoss, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with numbers in place of those that go by the data, as long as these are not known."""
    least: dict[str, Callable[[Loss | ListLoss], float]] = {
        "n_epochs": most_epochs, "learning_rate": rate_for, "user_l2": user_l2_for,
    }  # fmt: skip
    return dict(settings) | {name: of(loss) for name, of in least.items() if settings[name] is None}


def _taking(plan: FactorPlan, name: str, companion: Any, **fields: Any) -> FactorPlan:
    """Return the plan with other fields, and with what they stand for among its companions."""
    return replace(plan, companions={**plan.companions, name: companion}, **fields)
