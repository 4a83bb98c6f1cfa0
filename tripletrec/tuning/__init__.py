"""Parameters chosen on validation data, with Optuna of the extra ``tune``; models are in `models`."""

from tripletrec.tuning.pruning import pruning_callback
from tripletrec.tuning.result import Tuning
from tripletrec.tuning.search import tune
from tripletrec.tuning.spaces import default_space

__all__ = ["Tuning", "default_space", "pruning_callback", "tune"]
