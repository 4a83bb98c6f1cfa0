"""The best configuration of `MLPMatcher` on MovieLens-100K, beside K5; K5's replica is in `perceptron`."""

from __future__ import annotations

import statistics
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tripletrec.evaluation import full_auc
from tripletrec.models.mlp import MLPMatcher
from tripletrec.reference.replica import known_and_first_item

if TYPE_CHECKING:
    from tripletrec.datasets import MovieLens

__all__ = ["BEST", "best_perceptron_section", "train_perceptron"]

# Chosen by hand in about twenty trials, on the validation data of benchmarks/tune_movielens.py.
BEST = MappingProxyType(
    {
        "n_user_factors": 64,
        "n_item_factors": 64,
        "hidden": (128,),
        "optimizer": "adagrad",
        "sampler": "unseen",
        "learning_rate": 0.2,
        "schedule": "constant",
        "batch_size": 256,
        "n_negatives": 4,
        "user_l2": 0.02,
        "item_l2": 0.005,
        "init_scale": 0.1,
        "n_epochs": 9,
    }
)
_GOAL = 0.9199  # K4, the best published


def train_perceptron(data: MovieLens, random_state: int = 0, **parameters: Any) -> dict[str, Any]:
    """Train an `MLPMatcher`; return "auc" (AUC-B) and "seconds", by epoch.

    Parameters
    ----------
    data : MovieLens
    random_state : int, default 0
    **parameters
        Parameters of `MLPMatcher` that replace those of `BEST`.
    """
    hidden = known_and_first_item(data.train)
    aucs: list[float] = []
    model = MLPMatcher(random_state=random_state, n_jobs=1, **{**BEST, **parameters}).fit(
        data.train,
        callbacks=lambda fitted, record: aucs.append(
            full_auc(fitted, data.test, exclude=hidden, n_jobs=1)
        ),
    )
    return {"auc": aucs, "seconds": [record["seconds"] for record in model.history_]}


def best_perceptron_section(data: MovieLens, seeds: int) -> dict[str, Any]:
    """Return the section on the best perceptron.

    Parameters
    ----------
    data : MovieLens
    seeds : int
        Number of trainings.
    """
    runs = [train_perceptron(data, seed) for seed in range(seeds)]
    last = [run["auc"][-1] for run in runs]
    mean, half_range = statistics.fmean(last), (max(last) - min(last)) / 2
    seconds = statistics.median(each for run in runs for each in run["seconds"])
    verdict = "reached" if mean >= _GOAL else "missed"
    text = (
        f"    AUC-B {mean:.4f} ±{half_range:.4f} after {BEST['n_epochs']} epochs of {seconds:.2f} s; "
        f"goal {_GOAL}: {verdict}"
    )
    rows = {"auc_by_seed": [run["auc"] for run in runs], "goal": _GOAL, "verdict": verdict}
    title = "K5's model at its best: MLPMatcher, -log sigmoid, Adagrad, chosen on validation data"
    return {"title": title, "text": text, "rows": rows, "parameters": dict(BEST)}
