"""Keras 3: the model K1 of `benchmarks/keras_models.py` (100 factors, Adam), on JAX if it is there."""

import os
import statistics
import sys
from importlib.util import find_spec
from pathlib import Path


def start():
    if find_spec("jax") is not None:
        os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    backend = keras.backend.backend()
    return f"keras {keras.__version__} on {backend} {__import__(backend).__version__}"


def reach(target, seed):
    """Sum the seconds of `model.fit` up to the epoch that reaches the target.

    The first epoch compiles the model: the median of the others stands for it.
    """
    sys.path.append(str(Path(__file__).parents[1]))
    import tripletrec as tr
    from keras_models import train_keras

    run = train_keras("K1", tr.datasets.fetch_movielens_100k(), n_epochs=24, seed=seed)
    reached = [epoch for epoch, auc in enumerate(run["auc"], 1) if auc >= target]
    epochs = reached[0] if reached else len(run["auc"])
    first = statistics.median(run["seconds"][1:])
    return {
        "seconds": first + sum(run["seconds"][1:epochs]),
        "epochs": epochs,
        "value": run["auc"][epochs - 1],
        "reached": bool(reached),
        "cold": sum(run["seconds"][:epochs]),
    }
