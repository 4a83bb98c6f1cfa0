"""Towers without layers: many batches in one call are the same as one step after the other, bit by bit."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp

from tripletrec import losses, optimizers
from tripletrec.neural import FeatureEmbedding, Stack
from tripletrec.neural.bare_towers import BareTowers
from tripletrec.neural.networks import Towers
from tripletrec.neural.row_optimizer import RowOptimizer
from tripletrec.training.plan import L2

SIZE, RATES = 8, np.array([0.2, 0.1, 0.05])


def towers(tables, features):
    embeddings = [
        FeatureEmbedding(table, each) for table, each in zip(tables, features, strict=True)
    ]
    network = Towers(*embeddings, Stack([]), Stack([]), losses.BPR)
    return network, RowOptimizer(optimizers.adagrad(), 1.0, network.parameters)


@pytest.mark.parametrize(
    ("weighted", "l2"), [(False, L2()), (True, L2(0.1, 0.2))], ids=["plain", "weights and L2"]
)
def test_runs_are_steps(weighted, l2, rng):
    tables = [rng.normal(size=(n, 20)).astype(np.float32) for n in (11, 13)]
    features = [
        sp.csr_matrix(rng.random((n, len(table))) * (rng.random((n, len(table))) < 0.5))
        for n, table in zip((5, 9), tables, strict=True)
    ]
    n = 2 * SIZE + 3  # the last batch is smaller
    users, items = rng.integers(0, 5, n, np.int32), rng.integers(0, 9, (2, n), np.int32)
    weights = rng.random(n).astype(np.float32) if weighted else None

    network, moving = towers(tables, features)
    twin, twin_moving = towers(copy.deepcopy(tables), features)
    totals, twin_totals = np.zeros(3), np.zeros(3)
    run = BareTowers(network, losses.BPR, optimizers.adagrad(), moving, SIZE)
    for _ in range(2):
        run.run((users, *items, weights), RATES, l2, totals)
        for b, rate in enumerate(RATES.tolist()):
            part = slice(b * SIZE, (b + 1) * SIZE)
            some = None if weights is None else weights[part]
            twin.step(users[part], items[0][part], items[1][part], some, l2, twin_totals)
            twin_moving.learning_rate = rate
            twin_moving.update(twin.gradients, twin.touched, len(users[part]))
    np.testing.assert_array_equal(totals, twin_totals)
    for name, mine in moving.state().items():
        if not name.endswith((".2", ".3")):  # layers, of which there are none
            np.testing.assert_array_equal(mine, twin_moving.state()[name], err_msg=name)
    for mine, theirs in zip(network.parameters, twin.parameters, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not any(each.any() for each in network.gradients)
