"""The one `fit` of all models that learn in epochs, and what it asks of a model.

Checks of what `fit` is given are in `fit_arguments`, the loop over epochs in `tripletrec.training.loop`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_count, check_n_jobs, check_positive
from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.id_codecs import check_savable
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.evaluation import drop_known
from tripletrec.losses import ListLoss
from tripletrec.models.fit_arguments import (
    Callback,
    check_callbacks,
    check_learnt_from,
    check_patience,
    check_validation,
    has_negatives,
    settle_sampler,
)
from tripletrec.models.folds import check_features, check_order, whole
from tripletrec.models.learnt import check_array, check_ids_and_counts, check_sizes
from tripletrec.models.recommender import Recommender
from tripletrec.models.saved_state import OptimizerState
from tripletrec.models.validation import (
    Validation,
    Watch,
    check_validate_every,
    check_validation_users,
    epochs_between,
    sample_users,
)
from tripletrec.sampling import Sampler
from tripletrec.sampling.grades import has_grades
from tripletrec.training.plan import RECORD_NUMBERS, Plan, Record

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from tripletrec.models.checkpoints import CheckpointFile
    from tripletrec.training.loop import Outcome, Trainable

__all__ = ["Start", "TrainedModel", "width_of"]


class Start(NamedTuple):
    """A training that has not run yet, and the fitted attributes that it does not change."""

    training: Trainable
    attributes: Mapping[str, Any] = MappingProxyType({})


class _Inputs(NamedTuple):
    """What `fit` was given beside features, checked."""

    data: Interactions
    weights: NDArray[np.float32] | None
    given: Interactions | None
    held_out: Interactions | None


class TrainedModel(Recommender):
    """Base of the models that learn in epochs.

    A model says how its parameters make a plan (`_plan`), how a training starts (`_start`), which arrays
    of the training are which fitted attributes (`_set_factors`), and what shapes those have (`_shapes`).
    `_learnt` names the fitted attributes that are its own.
    """

    _learns_in_epochs = True
    _learnt: ClassVar[tuple[str, ...]] = ()
    early_stopping: int | None
    validation_metric: str
    validate_every: int | None
    validation_users: int | Literal["all"] | None
    random_state: Seed
    n_jobs: int | None
    verbose: int
    history_: list[Record]
    best_epoch_: int
    temperature_: float | None
    _optimizer_state: OptimizerState | None = None  # not known
    _user_features: csr_matrix | None = None  # encoded, for `partial_fit`; of models that have any
    _item_features: csr_matrix | None = None
    _draws_only_used_items = False  # as negatives: those that have a positive

    def _plan(self) -> Plan:
        """Check the parameters and return what the training depends on, data apart."""
        raise NotImplementedError

    def _plan_for(self, plan: Any, data: Interactions, given: Interactions | None) -> Any:
        """Return the plan with what was left open until the data are known."""
        return plan

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

    def _epoch_scores(self, plan: Any, data: Interactions) -> float:
        """Return how many scores of the model take about as long as an epoch; never looked at closely."""
        raise NotImplementedError

    def _is_cosine(self, plan: Any = None) -> bool:
        """Return whether scores are cosines: those of the plan, else those of the fitted model."""
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
        y: Any,
        validation: Any,
        callbacks: Callback | Sequence[Callback] | None,
        sample_weight: Any,
        negatives: Any,
        checkpoint: Any,
        **features: Any,
    ) -> Self:
        """Learn from scratch; until all is learnt the model stays as it was."""
        from tripletrec.training.loop import train  # here, because answers do without

        validation = check_validation(y, validation)
        file, removed_at_the_end = _open_checkpoint(checkpoint)
        plan = self._plan()
        patience = check_patience(self.early_stopping, self.validation_metric, validation)
        check_validate_every(self.validate_every)
        check_validation_users(self.validation_users)
        check_n_jobs(self.n_jobs)
        verbose = check_count(self.verbose, "verbose", 0)
        listeners = check_callbacks(callbacks)
        data = as_interactions(X, "X")
        check_savable(data.user_ids, "user_ids")
        check_savable(data.item_ids, "item_ids")
        data._check_not_empty("X")
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
            held_out._check_not_empty("validation")
        data, weights, given = check_learnt_from(data, sample_weight, negatives)
        if held_out is not None:
            held_out = drop_known(held_out, data, ("validation", "X"))
        inputs = _Inputs(data, weights, given, held_out)
        plan = self._plan_for(plan, data, given)
        plan, start, earlier = self._begin_or_resume(file, plan, inputs, **features)
        kept = {**start.attributes, "_of_matrix": not isinstance(X, Interactions)}
        start = start._replace(attributes=kept)
        with removed_at_the_end:
            outcome = train(
                start.training,
                plan.n_epochs,
                watch=self._watch(plan, inputs, listeners, start, earlier),
                metric=None if held_out is None else f"validation_{self.validation_metric}",
                patience=patience,
                verbose=verbose,
                first_epoch=1 if earlier is None else 1 + len(earlier.history),
                earlier=earlier,
                checkpoint=file,
            )
            self._become_learnt(start, outcome, data, given)
            if outcome.interrupt is not None:
                raise outcome.interrupt
        return self

    def _begin_or_resume(
        self, file: CheckpointFile | None, plan: Plan, inputs: _Inputs, **features: Any
    ) -> tuple[Plan, Start, Outcome | None]:
        """Start a training, or go on with that of a checkpoint; return what is known of its epochs, if any.

        Of the plan the seed may be that of the checkpoint.
        """
        data, weights, given, held_out = inputs
        if file is None:
            return plan, self._begin(plan, data, weights, given, **features), None
        from tripletrec.models.fingerprints import fingerprint

        plan = file.read(plan, self.random_state, into_memory=data.memory_map is None)
        start = self._begin(plan, data, weights, given, **features)
        of = fingerprint(
            self, plan, X=data, sample_weight=weights, negatives=given,
            validation=held_out,
            **({"values of X": data.values} if plan.sampler.by_value else {}),
            **start.training.features,
        )  # fmt: skip
        return plan, start, file.resume(start.training, of)

    def _watch(
        self,
        plan: Plan,
        inputs: _Inputs,
        listeners: list[Callback],
        start: Start,
        earlier: Outcome | None,
    ) -> Watch | None:
        """Return what validates the model and calls the callbacks after each epoch, if anything does."""
        data, held_out, validation = inputs.data, inputs.held_out, None
        if held_out is not None:
            most = check_validation_users(self.validation_users)
            scores = self._epoch_scores(start.training.plan, data)
            sample = sample_users(held_out, most, scores, plan.seed)
            every = check_validate_every(self.validate_every)
            if every is None:  # rarer only where there are too many users to choose oneself
                every = 1 if most != 0 or sample is held_out else epochs_between(sample, scores)
            validation = Validation(sample, self.validation_metric, every, plan.n_epochs)
        elif not listeners:
            return None
        history = [] if earlier is None else earlier.history
        return Watch(self, data, start.attributes, validation, listeners, history)

    def _begin(
        self,
        plan: Plan,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        **features: Any,
    ) -> Start:
        """Start a training of a complete plan; raise if its sampler and the given negatives do not match."""
        sampler = settle_sampler(plan, given, lambda: has_grades(data.indptr, data.values))
        if given is not None and not given.nnz:
            given = (
                None  # so that a day without dislikes gives the bits of a fit without the argument
            )
        start = self._start(replace(plan, sampler=sampler), data, weights, given, **features)
        # What new users are learnt with, by a model from a file too.
        temperature = None
        if isinstance(plan.loss, ListLoss):
            temperature = plan.loss.temperature or 1.0
        from tripletrec.training.triplet import count_items  # here, because loading does without

        counts = count_items(data.indices, data.n_items)
        return start._replace(
            attributes={
                **start.attributes, "item_counts_": counts, "temperature_": temperature,
            }
        )  # fmt: skip

    def _warn_if_nothing_was_to_be_learnt(
        self, sampler: Sampler, data: Interactions, given: Interactions | None
    ) -> None:
        # Of graded positives those of lower value are negatives, whatever else the user likes.
        used = data if sampler.by_value else given if sampler.share > 0.0 else None
        only_used = self._draws_only_used_items or sampler.alpha > 0.0
        if not has_negatives(data, used, only_used=only_used):
            some = "an item with a positive" if only_used else "an item"
            warn_user(
                f"the training loss has not moved: there is nothing to learn, for no user has {some} that is "
                "not a positive of that user, and so there are no negatives"
            )

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

    def _become_learnt(
        self, start: Start, outcome: Outcome, data: Interactions, given: Interactions | None
    ) -> None:
        """Become what a training has learnt, with its records and what later ones go on from."""
        training, plan = start.training, start.training.plan
        self._warn_if_nothing_was_to_be_learnt(plan.sampler, data, given)
        learnt = self._now()._take(data, outcome.factors, start.attributes)
        learnt.history_, learnt.best_epoch_ = outcome.history, outcome.kept_epoch
        learnt._optimizer_state = OptimizerState(plan.optimizer.name, dict(training.row_state()))
        self._become(vars(learnt))

    def _check_parameters(self) -> None:
        self._plan()
        check_patience(self.early_stopping, self.validation_metric, True)
        check_validate_every(self.validate_every)
        check_validation_users(self.validation_users)
        check_count(self.verbose, "verbose", 0)
        check_n_jobs(self.n_jobs)

    @classmethod
    def _learnt_names(cls) -> tuple[str, ...]:
        """Return the names of all attributes that `fit` sets."""
        return (
            "n_users_", "n_items_", "n_features_in_", "user_ids_", "item_ids_",
            "item_counts_", "temperature_", *cls._learnt, "history_", "best_epoch_",
        )  # fmt: skip

    def _check_learnt(self, look_through: bool = True) -> None:
        """Raise ValueError or TypeError unless all attributes are as `fit` leaves them.

        Arrays are looked through for NaN, infinity and equal ids only if that is asked for.
        """
        check_sizes(self)
        _check_records(self.history_, self.best_epoch_)
        for name, shape in self._shapes().items():
            check_array(name, getattr(self, name), shape, look_through)
        check_ids_and_counts(self, look_through)
        if self.temperature_ is not None:
            check_positive(self.temperature_, "temperature_")


def _open_checkpoint(
    checkpoint: Any,
) -> tuple[CheckpointFile | None, AbstractContextManager[None]]:
    """Return the file of a checkpoint, and the context that removes it at the end of a fit."""
    if checkpoint is None:
        return None, nullcontext()
    from tripletrec.models.checkpoints import check_checkpoint  # here, because most fits have none

    file = check_checkpoint(checkpoint)
    return file, file.removing()


def width_of(table: Any, name: str) -> int:
    """Return the length of the rows of a table, at least 1."""
    if not isinstance(table, np.ndarray) and hasattr(table, "__array__"):
        raise TypeError(
            f"{name} must be an array, got {shown(table)}: read it into memory first, "
            f"model.{name} = np.asarray(model.{name})"
        )
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[1] < 1:
        shape = getattr(table, "shape", None)
        raise ValueError(
            f"{name} must be a table with rows of one number or more, got shape {shape}"
        )
    return int(table.shape[1])


def _check_records(history: Any, best_epoch: Any) -> None:
    """Raise unless there is a record for each epoch, with numbers, and the best one is among them."""
    if not isinstance(history, list) or not history:
        raise ValueError(
            f"history_ must be a list of one dict for each epoch, got {shown(history)}"
        )
    for number, record in enumerate(history, 1):
        if not isinstance(record, dict) or record.get("epoch") != number:
            raise ValueError(f"history_ must hold a dict of epoch {number}, got {shown(record)}")
        for name, value in record.items():
            if name in RECORD_NUMBERS and not _is_number(value):
                raise ValueError(
                    f"{name} of epoch {number} in history_ must be a finite number, got {shown(value)}"
                )
        if "loss" not in record:
            raise ValueError(f"history_ must hold the loss of epoch {number}, got {shown(record)}")
    if check_count(best_epoch, "best_epoch_") > len(history):
        raise ValueError(f"best_epoch_ must be an epoch of {len(history)}, got {best_epoch}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
