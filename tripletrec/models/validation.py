"""Validation during a fit: after which epochs and on which users; metrics are in `evaluation`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, is_flag
from tripletrec._runtime.messages import shown
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation import mean_metric
from tripletrec.training.plan import Record

__all__ = [
    "Validation",
    "Watch",
    "check_validate_every",
    "check_validation_users",
    "epochs_between",
    "sample_users",
]

_SHARE = 0.075  # of the time of an epoch that the ranking of users may take on average, roughly
_ALWAYS = 1_600_000  # scores of all users, a few milliseconds: never worth a sample
_FEWEST = 250  # users of a sample: fewer tell little


class Validation(NamedTuple):
    """On what and how a model is validated while it learns.

    Parameters
    ----------
    held_out : Interactions
        Positives of the users that are asked for.
    metric : str
    every : int
        Epochs from one validation to the next.
    last : int
        Number of the last epoch, which is always validated.
    """

    held_out: Interactions
    metric: str
    every: int
    last: int

    def note(self, model: Any, record: Record, data: Interactions) -> None:
        """Add the metric of a model to the record of its epoch.

        Raises
        ------
        ValueError
            If no user has a negative, so that the metric is undefined.
        """
        value = mean_metric(model, self.held_out, data, self.metric, model.n_jobs)
        if math.isnan(value):
            raise ValueError(f"validation has no user with a negative: {self.metric} is undefined")
        record[f"validation_{self.metric}"] = value

    def is_due(self, epoch: int) -> bool:
        """Tell whether the model is validated after an epoch."""
        return epoch % self.every == 0 or epoch == self.last


class Watch:
    """Validates a model and calls the callbacks after each epoch.

    Parameters
    ----------
    model : estimator
        The one that is being fitted; it stays as it is.
    data : Interactions
        What it learns from.
    attributes : mapping
        Fitted attributes that are not learnt in epochs.
    validation : Validation or None
    listeners : list of callable
    history : list of dict
        Records of epochs before the first one.
    """

    def __init__(
        self,
        model: Any,
        data: Interactions,
        attributes: Mapping[str, Any],
        validation: Validation | None,
        listeners: list[Callable[..., Any]],
        history: list[Record],
    ) -> None:
        self._model, self._data, self._attributes = model, data, attributes
        self._validation, self._listeners, self._history = validation, listeners, history[:]

    def looks_at(self, epoch: int) -> bool:
        """Tell whether the model is looked at after an epoch."""
        validation = self._validation
        return bool(self._listeners) or (validation is not None and validation.is_due(epoch))

    def __call__(self, record: Record, arrays: tuple[NDArray[Any], ...]) -> bool:
        """Take the record of an epoch and what is learnt; return whether a callback says stop."""
        self._history.append(record)
        if not self.looks_at(record["epoch"]):
            return False
        validation = self._validation
        is_due = validation is not None and validation.is_due(record["epoch"])
        # Views, so that a callback cannot reshape what the kernels learn.
        views = tuple(each.view() for each in arrays)
        view = copy.copy(self._model)._take(self._data, views, self._attributes)
        view.history_, view.best_epoch_ = self._history, record["epoch"]
        vars(view).pop("_optimizer_state", None)  # that of an earlier fit
        if validation is not None and is_due:
            validation.note(view, record, self._data)
        stop = any([_says_stop(listener(view, record)) for listener in self._listeners])
        if validation is not None and stop and not is_due:
            validation.note(view, record, self._data)
        return stop


def _says_stop(answer: Any) -> bool:
    """Return whether a callback has answered True; of what is no truth value nothing is made."""
    return is_flag(answer) and bool(answer)


def check_validate_every(validate_every: Any) -> int | None:
    """Return after how many epochs a model is validated; None: as often as pays."""
    return None if validate_every is None else check_count(validate_every, "validate_every")


def check_validation_users(validation_users: Any) -> int | None:
    """Return how many users to validate on at most, 0: as many as pay; None: all.

    Parameters
    ----------
    validation_users : int, "all" or None
    """
    if validation_users is None:
        return 0
    if isinstance(validation_users, str):
        if validation_users != "all":
            raise ValueError(
                "validation_users must be None, 'all' or an integer >= 1, got "
                f"{shown(validation_users)}"
            )
        return None
    return check_count(validation_users, "validation_users")


def sample_users(
    held_out: Interactions, most: int | None, epoch_scores: float, seed: int
) -> Interactions:
    """Return the positives of a random sample of users, or of all.

    Parameters
    ----------
    held_out : Interactions
    most : int or None
        Users in the sample; 0: as many as can be ranked in a share of the time of an epoch, see
        `epoch_scores`; None: all.
    epoch_scores : float
        How many scores take about as long as an epoch.
    seed : int
    """
    if most is None:
        return held_out
    users = np.flatnonzero(np.diff(held_out.indptr))
    if not most:
        if len(users) * held_out.n_items <= _ALWAYS:
            return held_out
        most = max(_FEWEST, int(_SHARE * epoch_scores / held_out.n_items))
    if len(users) <= most:
        return held_out
    chosen = np.zeros(held_out.n_users, bool)
    chosen[np.random.default_rng((seed, most)).choice(users, most, replace=False)] = True
    return held_out[chosen[held_out.rows]]


def epochs_between(held_out: Interactions, epoch_scores: float) -> int:
    """Return after how many epochs to validate on a sample, so that it takes its share of the time.

    Parameters
    ----------
    held_out : Interactions
        Of the users in the sample.
    epoch_scores : float
        How many scores take about as long as an epoch.
    """
    scores = np.count_nonzero(np.diff(held_out.indptr)) * held_out.n_items
    return max(1, math.ceil(scores / max(1.0, _SHARE * epoch_scores)))
