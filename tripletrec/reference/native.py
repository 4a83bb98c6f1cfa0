"""The reference models in the library's own training, its defaults and its best; replicas are in `replica`.

Every hyper-parameter here was chosen on validation data cut from the training set (ten ratings of each
user, as many as the test set holds out): ``python benchmarks/tune_movielens.py``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tripletrec.evaluation import full_auc
from tripletrec.models.factorization import MatrixFactorization
from tripletrec.reference.replica import known_and_first_item

if TYPE_CHECKING:
    from tripletrec.datasets import MovieLens

__all__ = ["NATIVE", "SECTIONS", "Native", "train_native"]


class Native(NamedTuple):
    """A configuration of `MatrixFactorization`.

    Parameters
    ----------
    title : str
        One line of description.
    protocol : {"AUC-A", "AUC-B"}
        How its AUC is measured.
    parameters : mapping
        Arguments of `MatrixFactorization`.
    n_epochs : int
        Passes over the positives.
    goal : float
        AUC that it should reach.
    sample_weight : {"users", None}, default None
        As of `MatrixFactorization.fit`.
    """

    title: str
    protocol: str
    parameters: Mapping[str, Any]
    n_epochs: int
    goal: float
    sample_weight: str | None = None


# Spelled out: the defaults of `MatrixFactorization` may change, these may not.
_PLAIN = {
    "loss": "bpr", "scorer": "dot", "optimizer": "adagrad", "sampler": "unseen", "learning_rate": 0.1,
    "user_l2": 0.03, "item_l2": 0.01, "bias_l2": 0.0, "init_scale": 0.02, "schedule": "constant",
}  # fmt: skip
_COSINE = {
    **_PLAIN,
    "n_factors": 64,
    "scorer": "cosine",
    "loss": "hinge",
    "user_l2": 0.0,
    "item_l2": 0.0,
}
# With weights by users one configuration is best for both.
_BEST = {
    **_PLAIN,
    "n_factors": 192,
    "learning_rate": 0.03,
    "user_l2": 0.04,
    "item_l2": 0.005,
    "negative_l2": 0.005,
    "n_negatives": 2,
    "init_scale": 0.01,
}

NATIVE = MappingProxyType(
    {
        "K1": Native(
            "K1's model with -log sigmoid: dot, 100 factors",
            "AUC-A",
            {**_PLAIN, "n_factors": 100},
            10,
            0.9154,
        ),
        "K1-sigmoid": Native(
            "K1's model with its 1 - sigmoid: dot, 100 factors",
            "AUC-A",
            {
                **_PLAIN,
                "n_factors": 100,
                "loss": "sigmoid",
                "learning_rate": 0.2,
                "user_l2": 0.003,
                "item_l2": 0.001,
            },
            10,
            0.9154,
        ),
        "K4": Native(
            "K4's model: cosine and item bias, margin 1, 64 factors",
            "AUC-B",
            {**_COSINE, "learning_rate": 0.04},
            15,
            0.9199,
        ),
        "defaults-A": Native("MatrixFactorization(n_epochs=10)", "AUC-A", {}, 10, 0.9154),
        "defaults-B": Native("MatrixFactorization(n_epochs=15)", "AUC-B", {}, 15, 0.9199),
        "best-A": Native("best for AUC-A", "AUC-A", _BEST, 60, 0.9245, "users"),
        "best-B": Native("best for AUC-B", "AUC-B", _BEST, 60, 0.9415, "users"),
    }
)


def train_native(
    key: str, data: MovieLens, random_state: int = 0, *, n_jobs: int | None = None
) -> dict[str, Any]:
    """Train one of `NATIVE` and measure it on the test set after every epoch.

    Parameters
    ----------
    key : str
        One of `NATIVE`.
    data : MovieLens
        What `tripletrec.datasets.fetch_movielens_100k` returns.
    random_state : int, default 0
    n_jobs : int, optional
        Number of threads; no result depends on it.

    Returns
    -------
    dict
        "auc" and "seconds" (of the training alone), lists by epoch.

    Examples
    --------
    >>> import tripletrec as tr
    >>> from tripletrec.reference import train_native
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> train_native("K1", data)["auc"][-1] > 0.9154  # doctest: +SKIP
    True
    """
    native = NATIVE[key]
    hidden = known_and_first_item(data.train) if native.protocol == "AUC-B" else None
    aucs: list[float] = []

    def measure(model: MatrixFactorization, record: dict[str, Any]) -> None:
        aucs.append(full_auc(model, data.test, exclude=hidden, n_jobs=n_jobs))

    model = MatrixFactorization(
        n_epochs=native.n_epochs, random_state=random_state, n_jobs=n_jobs, **native.parameters
    ).fit(data.train, callbacks=measure, sample_weight=native.sample_weight)
    return {"auc": aucs, "seconds": [record["seconds"] for record in model.history_]}


def _section(title: str, keys: list[str], data: MovieLens, seeds: int) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    lines = []
    for key in keys:
        native = NATIVE[key]
        # One thread, because the replicas are trained in the others meanwhile.
        runs = [train_native(key, data, seed, n_jobs=1) for seed in range(seeds)]
        last = [run["auc"][-1] for run in runs]
        mean, half_range = statistics.fmean(last), (max(last) - min(last)) / 2
        seconds = statistics.median(each for run in runs for each in run["seconds"])
        verdict = "reached" if mean >= native.goal else "missed"
        rows[key] = {
            "title": native.title,
            "protocol": native.protocol,
            "parameters": dict(native.parameters),
            "n_epochs": native.n_epochs,
            "auc": [statistics.fmean(each) for each in zip(*(r["auc"] for r in runs), strict=True)],
            "auc_by_seed": [run["auc"] for run in runs],
            "goal": native.goal,
            "verdict": verdict,
            "seconds_per_epoch": seconds,
        }
        lines.append(
            f"    {native.title:<52} {native.protocol} {_short(mean)} ±{_short(half_range)} after "
            f"{native.n_epochs} epochs of {1000 * seconds:.0f} ms; goal {_short(native.goal)}: {verdict}"
        )
    return {"title": title, "text": "\n".join(lines), "rows": rows}


def _short(value: float) -> str:
    return f"{value:.4f}".replace("0.", ".", 1)


def same_models_section(data: MovieLens, seeds: int) -> dict[str, Any]:
    """Return the section on the reference models, trained by the library's own kernel."""
    title = "The same models with the library's own kernel (Adagrad, unseen negatives)"
    return _section(title, ["K1", "K1-sigmoid", "K4"], data, seeds)


def defaults_section(data: MovieLens, seeds: int) -> dict[str, Any]:
    """Return the section on the defaults of `MatrixFactorization`."""
    return _section(
        "The defaults of MatrixFactorization", ["defaults-A", "defaults-B"], data, seeds
    )


def best_section(data: MovieLens, seeds: int) -> dict[str, Any]:
    """Return the section on the best configurations that validation data chose."""
    title = "Best own configurations, chosen on validation data cut from the training set"
    return _section(title, ["best-A", "best-B"], data, seeds)


SECTIONS: tuple[Callable[[MovieLens, int], dict[str, Any]], ...] = (
    same_models_section,
    defaults_section,
    best_section,
)
