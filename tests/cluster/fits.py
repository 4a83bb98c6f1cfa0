"""Fits of small data, local ones and those of workers, and what they must have in common."""

import numpy as np

import tripletrec as tr
from contracts.support import interactions
from training.fits import negatives_of, weights_of
from tripletrec import losses, sampling
from tripletrec.cluster.engine import SerialEngine
from tripletrec.cluster.fitting import fit_with
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.sources import InteractionsSource
from tripletrec.models.fit_arguments import check_negatives

DATA = interactions(40, 300, 6000)  # of four user blocks
GIVEN, WEIGHTS = negatives_of(DATA), weights_of(DATA)
GRADED = tr.Interactions(DATA.tocsr().multiply(np.arange(300) % 4 + 1))

# Every two of loss or sampler, optimizer, weights and given negatives, with kernels other tests need too.
CASES = {
    "bpr, sgd": ({"optimizer": "sgd", "learning_rate": 0.3}, {}),
    "bpr, adagrad, given": ({"n_negatives": 2}, {"negatives": GIVEN}),
    "bpr, adam, weights, given": (
        {"optimizer": "adam"},
        {"sample_weight": WEIGHTS, "negatives": GIVEN},
    ),
    "hinge, adam, weights": (
        {"loss": "hinge", "optimizer": "adam"},
        {"sample_weight": WEIGHTS},
    ),
    "dynamic, adagrad, weights, given": (
        {"sampler": sampling.dynamic(3), "n_negatives": 2},
        {"sample_weight": WEIGHTS, "negatives": GIVEN},
    ),
    "k-os warp, sgd": ({"loss": losses.k_os_warp(2, 3, 0.5, 4), "optimizer": "sgd"}, {}),
    "graded, adam": ({"sampler": "graded", "optimizer": "adam"}, {"data": GRADED}),
}
ARRAYS = ("user_factors_", "item_factors_", "item_biases_", "item_counts_")


def model_of(**params):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **params})


def fit_serially(
    model, path, *, n_workers=2, n_threads=1, before=None, every=1, collect=True, **given
):
    """Fit with workers in this process; return the model and the engine."""
    engine = SerialEngine(n_workers, n_threads, before)
    data, negatives = given.get("data", DATA), given.get("negatives")
    source = InteractionsSource(data, given.get("sample_weight"), check_negatives(negatives, data))
    fit_with(engine, model, model._plan(), source, Folder(path), every=every, collect=collect)
    return model, engine


def interrupt_in_second_epoch(engine, worker, function, arguments):
    """Press Ctrl-C before the first task that learns in the second epoch."""
    if function.__name__ == "learn_tile" and arguments[1][0] == 2:
        raise KeyboardInterrupt


def fit_locally(model, data=DATA, **given):
    return model.fit(data, **given)


def records(model):
    return [{k: v for k, v in each.items() if k != "seconds"} for each in model.history_]


def assert_same(found, expected):
    """Bit by bit, and down to what is not a number."""
    for name in ARRAYS:
        ours, theirs = np.asarray(getattr(found, name)), getattr(expected, name)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), name
        assert ours.tobytes() == theirs.tobytes(), name
    assert records(found) == records(expected)
    assert found.companions_ == expected.companions_
    assert found.best_epoch_ == expected.best_epoch_
    assert vars(found).keys() == vars(expected).keys()
    assert (found.n_users_, found.n_items_) == expected._space().shape
