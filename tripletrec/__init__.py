"""Recommenders learnt from triplets, with hand-derived gradients and no deep-learning framework.

>>> import tripletrec as tr
>>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
>>> model = tr.MatrixFactorization(n_epochs=5).fit(data)
>>> tr.full_auc(model, data, exclude=None) > 0.6
True

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tripletrec import (
        cluster,
        datasets,
        losses,
        optimizers,
        plots,
        rates,
        reference,
        sampling,
        scorers,
        splits,
        tuning,
    )
    from tripletrec._runtime.jit import part
    from tripletrec.data.interactions import Interactions
    from tripletrec.evaluation import Comparison, Evaluation, compare, evaluate, full_auc
    from tripletrec.models.ease import EASE
    from tripletrec.models.factorization import MatrixFactorization
    from tripletrec.models.metric_scorers import metric_scorer
    from tripletrec.models.mlp import MLPMatcher
    from tripletrec.models.popularity import Popularity
    from tripletrec.models.saving import load
    from tripletrec.models.two_tower import TwoTower
    from tripletrec.report import write_report
    from tripletrec.tuning.pruning import pruning_callback
    from tripletrec.tuning.search import tune

    __version__: str

__all__ = [
    "EASE",
    "Comparison",
    "Evaluation",
    "Interactions",
    "MLPMatcher",
    "MatrixFactorization",
    "Popularity",
    "TwoTower",
    "__version__",
    "cluster",
    "compare",
    "datasets",
    "evaluate",
    "full_auc",
    "load",
    "losses",
    "metric_scorer",
    "optimizers",
    "part",
    "plots",
    "pruning_callback",
    "rates",
    "reference",
    "sampling",
    "scorers",
    "splits",
    "tune",
    "tuning",
    "write_report",
]

_HOME = {
    "Comparison": "evaluation",
    "EASE": "models.ease",
    "Evaluation": "evaluation",
    "Interactions": "data.interactions",
    "MLPMatcher": "models.mlp",
    "MatrixFactorization": "models.factorization",
    "Popularity": "models.popularity",
    "TwoTower": "models.two_tower",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "full_auc": "evaluation",
    "load": "models.saving",
    "metric_scorer": "models.metric_scorers",
    "part": "_runtime.jit",
    "write_report": "report",
    "pruning_callback": "tuning.pruning",
    "tune": "tuning.search",
}


def _load(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("tripletrec")
    elif name in _HOME:
        value = getattr(import_module(f"tripletrec.{_HOME[name]}"), name)
    elif name in __all__:
        value = import_module(f"tripletrec.{name}")
    else:
        raise AttributeError(f"module 'tripletrec' has no attribute {name!r}")
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # to a type checker it would mean that the package has any name
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted(__all__)
