"""What `tune` returns: the best model and a table of the trials; how they ran is in `search`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tripletrec.models.estimator import Estimator

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Model", "Tuning", "quiet", "table_of"]

Model = TypeVar("Model", bound=Estimator)

_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True, eq=False, repr=False)
class Tuning(Generic[Model]):
    """What `tune` returns.

    Attributes
    ----------
    best_model : estimator
        With the best parameters, fitted as `refit` says; without `refit`, not fitted.
    best_params : dict
        The parameters of the space that did best.
    best_value : float
        The metric that the model with these had on the validation data, before it was refitted.
    trials : pandas.DataFrame
        A row for each trial, by its number: ``state`` ("complete", "pruned", "failed" if it was interrupted
        or ended with an error, or "running" if its process was killed or still is at it), ``value`` (NaN
        unless complete), ``epochs`` (how many were run), ``seconds``, and a column for each parameter.
    study : optuna.Study
        For Optuna's own plots.
    """

    best_model: Model
    best_params: dict[str, Any]
    best_value: float
    trials: pd.DataFrame
    study: Any

    @property
    def importance(self) -> pd.Series:
        """How much of the metric's variance each parameter explains, in all 1; the largest first.

        By fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014). NaN where no variance is explained, as of fewer
        than two complete trials, or of trials that all have the same value.
        """
        import pandas as pd
        from optuna.importance import FanovaImportanceEvaluator

        with quiet():
            try:
                found = FanovaImportanceEvaluator(seed=0).evaluate(self.study)
            except (ValueError, RuntimeError):
                found = dict.fromkeys(self.best_params, 0.0)
        shares = pd.Series(found, name="importance", dtype=float)
        # NaN where all are 0, for which Optuna would give equal shares.
        return shares / shares.sum()

    def __repr__(self) -> str:
        states = self.trials["state"].value_counts()
        counted = ", ".join(f"{n} {state}" for state, n in states.items())
        best = f"{self.best_value:.4f} with {self.best_params}"
        return f"Tuning of {len(self.trials)} trials ({counted})\n{best}"


def table_of(study: Any) -> pd.DataFrame:
    """Return a table with a row for each trial of a study, by its number."""
    import pandas as pd

    rows = []
    for each in study.get_trials():
        if each.state.name == "WAITING":
            continue
        names = each.user_attrs.get("parameters", each.params)
        seconds = math.nan if each.duration is None else each.duration.total_seconds()
        rows.append(
            {
                "number": each.number,
                "state": _STATES[each.state.name],
                "value": each.value if each.state.name == "COMPLETE" else math.nan,
                "epochs": each.user_attrs.get("epochs"),
                "seconds": seconds,
                **names,
            }
        )
    return pd.DataFrame(rows).set_index("number")


@contextmanager
def quiet() -> Iterator[None]:
    """Let Optuna write no line for each trial, and leave its settings as they were."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)
