"""Users who are partly their history: against the naive twin, and gradients against central differences."""

import numpy as np
import pytest
import scipy.sparse as sp

import naive
import naive_towers
import tripletrec as tr
from tiers import quick
from tripletrec import sampling
from tripletrec.losses import listwise
from tripletrec.neural import Dense, FeatureEmbedding, Normalize, Stack
from tripletrec.neural.history import TowerMix, TrainingHistories, mix
from tripletrec.neural.listwise import ListwiseTowers
from tripletrec.neural.pairs import Slots
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.plan import L2

N_USERS, N_ITEMS, KEY = 6, 9, np.uint64(2**63 + 12345)


@pytest.fixture
def likes(rng):
    """Every user likes two items or more, apart from the last, who likes one."""
    likes = rng.random((N_USERS, N_ITEMS)) < 0.5
    likes[:, :2] = True
    likes[-1] = np.arange(N_ITEMS) == 1
    return likes


def histories_of(likes):
    data = tr.Interactions(likes)
    return ItemsOfUsers(data.indptr, data.indices)


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_user_is_mixed_with_the_mean_of_the_history(units, share, likes, rng):
    likes[0] = False  # has done nothing
    a = rng.normal(size=(N_USERS, 4)).astype(np.float32)
    v = rng.normal(size=(N_ITEMS, 4)).astype(np.float32)
    found = mix(a, v, histories_of(likes), TowerMix(share, 0.0, units))
    twin = [
        naive_towers.mix(a[u].tolist(), v.tolist(), np.flatnonzero(likes[u]), share, units)
        for u in range(N_USERS)
    ]
    np.testing.assert_allclose(found, twin, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_what_is_kept_of_histories_is_that_of_the_twin(dropout, likes, rng):
    histories = TrainingHistories(tr.Interactions(likes), TowerMix(0.5, dropout))
    slots = Slots(N_USERS, N_ITEMS)
    users = np.array([5, 1, 4, 1], np.int32)
    positives = np.array([1, 0, 0, 1], np.int32)  # slots of items 1 and 0
    pairs = slots.fill(users, positives, np.empty(0, np.int64))
    batch = histories.of_batch(KEY, pairs, slots)
    assert slots.of_items.tolist() == [1, 0] + [-1] * (N_ITEMS - 2)
    assert len(set(batch.further)) == len(batch.further) and not {0, 1} & set(batch.further)
    places = np.concatenate([[1, 0], batch.further])
    v = np.eye(N_ITEMS, dtype=np.float32)[places]
    p = batch.mix(np.zeros((3, N_ITEMS), np.float32), v)
    for r, user in enumerate([5, 1, 4]):
        kept = naive_towers.thinned(
            int(KEY), user, np.flatnonzero(likes[user]).tolist(),
            positives[users == user].tolist(), dropout,
        )  # fmt: skip
        assert np.flatnonzero(p[r]).tolist() == kept


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_of_a_long_history_a_sample_stays(dropout):
    data = tr.Interactions(np.arange(1, 6001) > np.array([[0], [4000]]))
    slots, users = Slots(2, 6000), np.array([0, 1], np.int32)
    pairs = slots.fill(users, np.array([7, 4007], np.int32), np.empty(0, np.int64))
    batch = TrainingHistories(data, TowerMix(0.5, dropout)).of_batch(KEY, pairs, slots)
    kept = [
        naive_towers.thinned(int(KEY), user, list(range(first, 6000)), [own], dropout)
        for user, first, own in ((0, 0, 7), (1, 4000, 4007))
    ]
    assert 800 < len(kept[0]) < 1250  # seven deviations of a sum of 6,000
    assert set(batch.further) | {7, 4007} == {*kept[0], *kept[1], 7, 4007}


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("dropout", quick([0.0, 0.4], 0.4))
def test_gradient_against_central_differences_of_the_twin(units, dropout, likes, rng):
    data, loss, share, l2 = tr.Interactions(likes), listwise.softmax(0.5), 0.6, L2(0.1, 0.2)

    def towers(dtype):
        embeddings = [
            FeatureEmbedding(table.astype(dtype), sp.identity(len(table), format="csr"))
            for table in tables
        ]
        last = [Normalize()] if units else []
        return *embeddings, *(Stack([Dense(each.astype(dtype)), *last]) for each in weights)

    tables = [rng.normal(size=(n, 3)) for n in (N_USERS, N_ITEMS)]
    weights = [rng.normal(size=(3, 4)), rng.normal(size=(3, 4))]
    network = ListwiseTowers(
        *towers(np.float32),
        loss,
        loss.temperature,
        data,
        sampling.UNSEEN,
        TowerMix(share, dropout, units),
    )
    network.item_biases[:] = rng.normal(size=(N_ITEMS, 1))
    users, items, user_tower, item_tower = towers(np.float64)
    biases = np.empty((N_ITEMS, 1))
    twins = [users.table, items.table, user_tower.flat, item_tower.flat, biases]
    for ours, twin in zip(network.parameters, twins, strict=True):
        twin[...] = ours
    pairs = rng.permutation(data.nnz)[: data.nnz // 2]
    batch = data.rows[pairs], data.indices[pairs]
    kept = [
        naive_towers.thinned(
            int(KEY),
            u,
            np.flatnonzero(likes[u]).tolist(),
            batch[1][batch[0] == u].tolist(),
            dropout,
        )
        for u in range(N_USERS)
    ]
    liked = [np.flatnonzero(row).tolist() for row in likes]
    shares = np.full(N_ITEMS, 1.0 / N_ITEMS)

    def value(penalised=True):
        A = user_tower.infer(users.forward(np.arange(N_USERS)))
        V = item_tower.infer(items.forward(np.arange(N_ITEMS)))
        P = np.array([naive_towers.mix(A[u], V, kept[u], share, units) for u in range(N_USERS)])
        penalty = l2.user * (users.table[batch[0]] ** 2).sum()
        penalty += l2.positive * (items.table[batch[1]] ** 2).sum()
        found = naive.in_batch_loss(
            P, V, biases[:, 0], batch[0].tolist(), batch[1].tolist(), [], [1.0] * len(pairs), liked,
            shares, loss, True,
        )  # fmt: skip
        return found + penalised * penalty / 2

    totals = np.zeros(2)
    network.step_on_batch(*batch, np.empty(0, np.int64), None, l2, totals, KEY)
    assert totals[0] == pytest.approx(value(penalised=False), rel=1e-3, abs=1e-3)
    for array, gradient in zip(twins, network.gradients, strict=True):
        np.testing.assert_allclose(gradient, naive.slopes(value, array), rtol=5e-3, atol=5e-5)
