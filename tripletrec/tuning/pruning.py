"""Fits that do worse than others did are ended early: `pruning_callback`; `tune` has it in every trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["pruning_callback"]

_STEPS = 20  # of a fit at which trials are compared, whatever their number of epochs


def pruning_callback(trial: Any) -> Callable[[Any, dict[str, Any]], bool]:
    """Return a callback for `fit` that ends a trial of Optuna which does worse than others did.

    At each twentieth of its epochs it reports the validation metric of the fit, under the number of the
    twentieth, so that trials of different `n_epochs` are compared, and raises ``optuna.TrialPruned``
    if the study's pruner says so. The study must maximise.

    Parameters
    ----------
    trial : optuna.Trial

    Returns
    -------
    callable
        For ``fit(X, validation=..., callbacks=...)`` of one model; `fit` raises ValueError without
        `validation`.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(60, 40, 500, random_state=3)
    >>> train, valid = tr.splits.train_test_split(data, random_state=0)
    >>> def objective(trial):
    ...     model = tr.MatrixFactorization(trial.suggest_int("n_factors", 4, 16), n_epochs=3)
    ...     model.fit(train, validation=valid, callbacks=tr.pruning_callback(trial))
    ...     return model.history_[-1]["validation_auc"]
    >>> import optuna  # doctest: +SKIP
    >>> optuna.create_study(direction="maximize").optimize(objective, n_trials=3)  # doctest: +SKIP
    """
    reported = n_epochs = 0

    def report(model: Any, record: dict[str, Any]) -> bool:
        nonlocal reported, n_epochs
        value = record.get(f"validation_{model.validation_metric}")
        if not n_epochs:  # once: some models look at all their data to tell
            n_epochs = model._settled_params()["n_epochs"]
        if value is None:
            if record["epoch"] == n_epochs:
                raise ValueError("pruning_callback needs the argument validation of fit")
            return False
        step = _STEPS * record["epoch"] // n_epochs
        if step > reported and not math.isnan(value):
            reported = step
            trial.report(value, step)
            if trial.should_prune():
                from optuna import TrialPruned

                raise TrialPruned(f"after {record['epoch']} epochs")
        return False

    return report
