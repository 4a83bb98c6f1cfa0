"""What the neural models share as estimators: fit, its checks, and what is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import (
    check_count,
    check_non_negative,
    check_positive,
    check_random_state,
)
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.losses import ListLoss, Loss, check_loss
from tripletrec.models.factorization import MatrixFactorization
from tripletrec.models.fit_arguments import (
    _check_callbacks,
    _check_negatives,
    _check_sample_weight,
    _with_share,
    check_list_sampling,
)
from tripletrec.models.recommender import Recommender
from tripletrec.neural.fit import NetworkTraining
from tripletrec.optimizers import check_optimizer
from tripletrec.rates import check_schedule
from tripletrec.sampling.samplers import check_sampler
from tripletrec.training.loop import Outcome, train
from tripletrec.training.plan import L2, NetworkPlan, Record

__all__ = ["TrainedModel"]


class TrainedModel(Recommender):
    """Base of the models that train a network in batches.

    A model says how a training starts (`_start`) and which arrays a fitted model consists of
    (`_fitted_arrays`); the rest is here.
    """

    history_: list[Record]
    best_epoch_: int

    def _start(
        self,
        plan: NetworkPlan,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
    ) -> NetworkTraining:
        raise NotImplementedError

    def _set_factors(self, arrays: tuple[NDArray[Any], ...]) -> None:
        raise NotImplementedError

    def _fit(
        self,
        X: Any,
        validation: Any,
        callbacks: Callable[..., Any] | Sequence[Callable[..., Any]] | None,
        sample_weight: Any,
        negatives: Any,
        start: Callable[..., NetworkTraining],
    ) -> Self:
        plan = self._plan()
        n_epochs = check_count(self.n_epochs, "n_epochs")
        patience = self._patience(validation)
        _check_callbacks(callbacks)
        data = as_interactions(X, "X")
        self._check_against(data, validation, "validation")
        weights = _check_sample_weight(sample_weight, data)
        if weights is not None and not weights.all():
            data, weights = data[weights > 0], weights[weights > 0]
        given = _check_negatives(negatives, data)
        if isinstance(plan.loss, ListLoss):
            check_list_sampling(plan.loss, plan.sampler, given)
        elif not plan.sampler.rule:
            plan = replace(plan, sampler=_with_share(plan.sampler, given))
        training = start(plan, data, weights, given)
        outcome = train(
            training,
            n_epochs,
            watch=self._watch(data, validation, callbacks),
            metric=f"validation_{self.validation_metric}" if validation is not None else None,
            patience=patience,
            verbose=check_count(self.verbose, "verbose", 0),
        )
        self._take(data, outcome.factors, outcome)
        if outcome.interrupt is not None:
            raise outcome.interrupt
        return self

    def _plan(self) -> NetworkPlan:
        loss = check_loss(self.loss)
        item_l2 = check_non_negative(self.item_l2, "item_l2")
        return NetworkPlan(
            loss=loss,
            optimizer=check_optimizer(self.optimizer),
            sampler=check_sampler(self.sampler, features=True),
            learning_rate=check_positive(self.learning_rate, "learning_rate"),
            batch_size=check_count(self.batch_size, "batch_size"),
            n_negatives=self._n_negatives(loss),
            layer_l2=check_non_negative(self.l2, "l2"),
            l2=L2(check_non_negative(self.user_l2, "user_l2"), item_l2, item_l2),
            seed=check_random_state(self.random_state),
            schedule=check_schedule(self.schedule),
            n_epochs=check_count(self.n_epochs, "n_epochs"),
        )

    def _n_negatives(self, loss: Loss | ListLoss) -> int:
        return check_count(self.n_negatives, "n_negatives")

    _patience: Any = MatrixFactorization._patience
    _check_against: Any = MatrixFactorization._check_against
    _watch: Any = MatrixFactorization._watch
    _describe: Any = MatrixFactorization._describe

    def _take(
        self, data: Interactions, factors: tuple[NDArray[Any], ...], outcome: Outcome | None = None
    ) -> Self:
        """Become the model that has these arrays."""
        self._describe(data)
        self._set_factors(factors)
        if outcome is not None:
            self.history_, self.best_epoch_ = outcome.history, outcome.kept_epoch
        return self

    def _check_arrays(self, shapes: dict[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            array = getattr(self, name)
            known = isinstance(array, np.ndarray)
            if not known or array.shape != shape or array.dtype != np.float32:
                found = f"{array.dtype} {array.shape}" if known else repr(array)
                raise ValueError(f"{name} must be float32 of shape {shape}, got {found}")
