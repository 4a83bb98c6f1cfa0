"""Matrix factorization: fits of a few epochs, by loss, optimizer, scorer, sampler, factors and threads.

All kernels are compiled before: a first fit of the same data, in which nothing is left to NumPy.
``extra_info`` in the JSON file has the median time of an epoch by the model's own clock, and triplets per
second. Nothing is asserted about time: read the ratios within a group.
"""

import statistics

import pytest

import tripletrec as tr
from machine import by_kernels

N_EPOCHS = 5
SMALL = "5 epochs of 50,000 positives, 64 factors, 1 thread"


@pytest.fixture(scope="module")
def small():
    """As many users, items and positives as MovieLens-100K has."""
    return tr.datasets.make_interactions(943, 1682, 50_000, random_state=0)


@pytest.fixture(scope="module")
def large():
    return tr.datasets.make_interactions(20_000, 10_000, 1_000_000, random_state=0)


def fit(benchmark, group, data, rounds=5, **settings):
    """Time whole fits after a first one that compiles."""
    model = tr.MatrixFactorization(**{"n_epochs": N_EPOCHS, "n_jobs": 1} | settings)
    by_kernels()
    model.fit(data)
    benchmark.group = group
    benchmark.pedantic(model.fit, (data,), rounds=rounds)
    epoch = statistics.median(record["seconds"] for record in model.history_)
    benchmark.extra_info["epoch_seconds"] = epoch
    benchmark.extra_info["triplets_per_second"] = model.history_[-1]["n_triplets"] / epoch
    return model


@pytest.mark.parametrize("loss", tr.losses.LOSSES)
def test_loss(benchmark, small, loss):
    fit(benchmark, f"{SMALL}: losses", small, loss=loss)


@pytest.mark.parametrize("optimizer", tr.optimizers.OPTIMIZERS)
def test_optimizer(benchmark, small, optimizer):
    step = {"adam": 0.01}.get(optimizer, 0.05)
    fit(benchmark, f"{SMALL}: optimizers", small, optimizer=optimizer, learning_rate=step)


@pytest.mark.parametrize("scorer", tr.scorers.SCORERS)
def test_scorer(benchmark, small, scorer):
    fit(benchmark, f"{SMALL}: scorers", small, scorer=scorer)


@pytest.mark.parametrize("sampler", ["unseen", "uniform", "popularity"])
def test_sampler(benchmark, small, sampler):
    fit(benchmark, f"{SMALL}: samplers", small, sampler=sampler)


@pytest.mark.parametrize("n_factors", [16, 64, 128])
def test_factors(benchmark, small, n_factors):
    fit(benchmark, "5 epochs of 50,000 positives, 1 thread: factors", small, n_factors=n_factors)


@pytest.mark.parametrize("n_jobs", [1, 2, None])
def test_threads(benchmark, large, n_jobs):
    group = "3 epochs of 1,000,000 positives, 64 factors: threads"
    fit(benchmark, group, large, rounds=2, n_jobs=n_jobs, n_epochs=3)


@pytest.mark.parametrize("n_jobs", [1, 2, None])
def test_movielens(benchmark, movielens, n_jobs):
    group = "5 epochs of MovieLens-100K, 49,906 positives, 64 factors: threads"
    fit(benchmark, group, movielens.train, n_jobs=n_jobs)


def test_defaults(benchmark, movielens, show):
    model = fit(
        benchmark, "MovieLens-100K, all defaults", movielens.train, 3, n_epochs=30, n_jobs=None
    )
    auc = tr.full_auc(model, movielens.test, exclude=movielens.train)
    benchmark.extra_info["full_auc"] = auc
    show(f"MovieLens-100K, all defaults, 30 epochs: full AUC {auc:.4f} (training items left out)")
