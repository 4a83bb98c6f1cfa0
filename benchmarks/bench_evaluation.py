"""What exact evaluation and ranking cost: beside scikit-learn, and beside the bare BLAS product.

Nothing is asserted about time. Read the ratios within a group. The last group is of a size at which another
library's full AUC ("gauc") was reported to take 5,223 s after each epoch of 14 s (RUCAIBox/RecBole issue 2169).
The report does not give the data, so take it for what people put up with, not for a measured comparison.
"""

import numpy as np
import pytest
from scipy.sparse import random as random_matrix
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from tripletrec.data.interactions import Interactions
from tripletrec.evaluation import evaluate, full_auc
from tripletrec.ranking.scores import factor_scores
from tripletrec.ranking.top_k import top_k

N_USERS, N_ITEMS, N_FACTORS = 5_000, 20_000, 64
BLOCK = 419  # rows, as many as in a block of ours


def factors(n_users, n_items, n_factors):
    rng = np.random.default_rng(0)
    U = rng.standard_normal((n_users, n_factors), np.float32)
    return U, rng.standard_normal((n_items, n_factors), np.float32)


def positives(n_users, n_items, nnz, seed):
    rng = np.random.default_rng(seed)
    share = nnz / n_users / n_items
    return Interactions(random_matrix(n_users, n_items, share, format="csr", random_state=rng))


@pytest.fixture(scope="module")
def small():
    """Return (U, V) and 5,469 test positives of the size of MovieLens-100K."""
    return factors(944, 1683, 100), positives(944, 1683, 5_469, seed=1)


@pytest.fixture(scope="module")
def large():
    """Return (U, V), 5 and 10 test positives and 50 excluded items per user."""
    tests = {n: positives(N_USERS, N_ITEMS, n * N_USERS, seed=n) for n in (5, 10)}
    exclude = positives(N_USERS, N_ITEMS, 50 * N_USERS, seed=2)
    return factors(N_USERS, N_ITEMS, N_FACTORS), tests, exclude


def product(U, V):
    """Compute all scores, block by block into one buffer: what no exact evaluation can avoid."""
    buffer = np.empty((BLOCK, len(V)), U.dtype)
    for first in range(0, len(U), BLOCK):
        block = U[first : first + BLOCK]
        np.matmul(block, V.T, out=buffer[: len(block)])


def test_full_auc(benchmark, small):
    benchmark.group = "full AUC, 944 x 1,683, 100 factors"
    benchmark(full_auc, *small)


def test_full_auc_by_scikit_learn(benchmark, small):
    benchmark.group = "full AUC, 944 x 1,683, 100 factors"
    (U, V), test = small
    truth = test.tocsr().toarray() > 0

    def loop():
        users = np.flatnonzero(truth.any(axis=1))
        return np.mean([roc_auc_score(truth[user], U[user] @ V.T) for user in users])

    value = benchmark.pedantic(loop, rounds=2)
    assert value == pytest.approx(full_auc((U, V), test), abs=1e-4)  # float32 products differ


@pytest.fixture(params=[1, 2])
def n_jobs(request, benchmark):
    """As many of our threads as of BLAS: products alone and with the rest are to be compared."""
    benchmark.group = f"5,000 x 20,000, 64 factors, threads: {request.param}"
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


def test_product_alone(benchmark, large, n_jobs):
    benchmark(product, *large[0])


@pytest.mark.parametrize("n_positives", [5, 10])
def test_full_auc_of_a_large_matrix(benchmark, large, n_positives, n_jobs):
    model, tests, exclude = large
    benchmark(full_auc, model, tests[n_positives], exclude, n_jobs=n_jobs)


@pytest.mark.parametrize("n_positives", [5, 10])
def test_evaluate(benchmark, large, n_positives, n_jobs):
    model, tests, exclude = large
    benchmark(evaluate, model, tests[n_positives], exclude, k=(10, 20), n_jobs=n_jobs)


def test_full_auc_of_many_users(benchmark):
    """The size of Amazon-Books as it is usually cut: 52,643 users, 91,599 items, 603,378 test positives."""
    benchmark.group = "full AUC, 52,643 x 91,599, 64 factors"
    n_users, n_items = 52_643, 91_599
    model, test = factors(n_users, n_items, N_FACTORS), positives(n_users, n_items, 603_378, seed=3)
    exclude = positives(n_users, n_items, 2_380_730, seed=4)
    benchmark.pedantic(full_auc, (model, test, exclude), rounds=1, warmup_rounds=0)


def test_top_k(benchmark, large, n_jobs):
    (U, V), _, exclude = large
    rows = np.arange(N_USERS)
    benchmark(top_k, factor_scores(U, V), rows, N_ITEMS, 10, exclude=exclude, n_jobs=n_jobs)
