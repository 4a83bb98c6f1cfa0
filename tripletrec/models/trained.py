"""The one `fit` of all models that learn in epochs, and what it asks of a model.

Checks of what `fit` is given are in `fit_arguments`, the loop over epochs in `tripletrec.training.loop`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.evaluation import check_metric, evaluate
from tripletrec.models.fit_arguments import (
    check_callbacks,
    check_negatives,
    check_patience,
    check_sample_weight,
    check_sampling,
)
from tripletrec.models.folds import check_features, check_order, whole
from tripletrec.models.recommender import Recommender
from tripletrec.training.loop import Trainable, train
from tripletrec.training.plan import Plan, Record

__all__ = ["Start", "TrainedModel"]


class Start(NamedTuple):
    """A training that has not run yet, and the fitted attributes that it does not change."""

    training: Trainable
    attributes: Mapping[str, Any] = MappingProxyType({})


class TrainedModel(Recommender):
    """Base of the models that learn in epochs.

    A model says how its parameters make a plan (`_plan`), how a training starts (`_start`), which arrays
    of the training are which fitted attributes (`_set_factors`), and what shapes those have (`_shapes`).
    """

    early_stopping: int | None
    validation_metric: str
    n_jobs: int | None
    verbose: int
    history_: list[Record]
    best_epoch_: int
    seen_: Interactions

    def _plan(self) -> Plan:
        """Check the parameters and return what the training depends on, data apart."""
        raise NotImplementedError

    def _start(
        self,
        plan: Any,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        **features: Any,
    ) -> Start:
        """Return a training of the plan, which `_plan` made; `features` are those that `fit` was given."""
        raise NotImplementedError

    def _set_factors(self, arrays: tuple[NDArray[Any], ...]) -> None:
        """Set the fitted attributes that are learnt."""
        raise NotImplementedError

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape that each float32 array of a fitted model must have; raise if there is none."""
        raise NotImplementedError

    def _fit(
        self,
        X: Any,
        validation: Any,
        callbacks: Callable[..., Any] | Sequence[Callable[..., Any]] | None,
        sample_weight: Any,
        negatives: Any,
        **features: Any,
    ) -> Self:
        """Learn from scratch; until all is learnt the model stays as it was."""
        plan = self._plan()
        patience = check_patience(self.early_stopping, self.validation_metric, validation)
        verbose = check_count(self.verbose, "verbose", 0)
        listeners = check_callbacks(callbacks)
        data = as_interactions(X, "X")
        validation, sample_weight, negatives = (
            whole(side, X, data.space, name)
            for name, side in (
                ("validation", validation),
                ("sample_weight", sample_weight),
                ("negatives", negatives),
            )
        )
        check_order(sample_weight, X)
        for name, each in features.items():
            n = data.n_users if name == "user_features" else data.n_items
            check_features(each, X, n, name)
        held_out = None
        if validation is not None:
            held_out = as_interactions(validation, "validation", data.space)
        weights = check_sample_weight(sample_weight, data)
        if weights is not None and not weights.all():
            data, weights = data[weights > 0], weights[weights > 0]
        training, attributes = self._begin(plan, data, weights, negatives, **features)
        outcome = train(
            training,
            plan.n_epochs,
            watch=self._watch(data, held_out, listeners, attributes),
            metric=None if held_out is None else f"validation_{self.validation_metric}",
            patience=patience,
            verbose=verbose,
        )
        self._take(data, outcome.factors, attributes)
        self._of_matrix = not isinstance(X, Interactions)
        self.history_, self.best_epoch_ = outcome.history, outcome.kept_epoch
        if outcome.interrupt is not None:
            raise outcome.interrupt
        return self

    def _begin(
        self,
        plan: Plan,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        negatives: Any,
        **features: Any,
    ) -> Start:
        """Check the given negatives and start a training of the plan."""
        given = check_negatives(negatives, data)
        sampler = check_sampling(plan.loss, plan.sampler, given)
        return self._start(replace(plan, sampler=sampler), data, weights, given, **features)

    def _watch(
        self,
        data: Interactions,
        held_out: Interactions | None,
        listeners: list[Callable[..., Any]],
        attributes: Mapping[str, Any],
    ) -> Callable[[Record, tuple[NDArray[Any], ...]], bool] | None:
        """Return the function that validates the model and calls the callbacks after each epoch, if any."""
        if held_out is None and not listeners:
            return None
        metric = self.validation_metric
        history: list[Record] = []

        def watch(record: Record, arrays: tuple[NDArray[Any], ...]) -> bool:
            view = copy.copy(self)._take(data, arrays, attributes)
            history.append(record)
            view.history_ = history
            if held_out is not None:
                k = check_metric(metric, "validation_metric")
                result = evaluate(view, held_out, data, k=k, n_jobs=self.n_jobs)
                value = float(result.mean[metric])
                if math.isnan(value):
                    raise ValueError(
                        f"validation has no user with a negative: {metric} is undefined"
                    )
                record[f"validation_{metric}"] = value
            return any([listener(view, record) is True for listener in listeners])

        return watch

    def _take(
        self,
        data: Interactions,
        arrays: tuple[NDArray[Any], ...],
        attributes: Mapping[str, Any],
    ) -> Self:
        """Become the model that has learnt these arrays from these interactions."""
        self.n_users_, self.n_items_ = data.n_users, data.n_items
        self.n_features_in_ = data.n_items
        self.user_ids_, self.item_ids_ = data.user_ids, data.item_ids
        self.seen_ = data
        self._set_factors(arrays)
        for name, value in attributes.items():
            setattr(self, name, value)
        return self

    def _check_loaded(self) -> None:
        """Raise unless a model read from a file is as `fit` leaves one."""
        for name, shape in self._shapes().items():
            array = getattr(self, name)
            known = isinstance(array, np.ndarray)
            if not known or array.shape != shape or array.dtype != np.float32:
                found = f"{array.dtype} {array.shape}" if known else repr(array)
                raise ValueError(f"{name} must be float32 of shape {shape}, got {found}")
        self._users(), self._items()  # checks the ids
