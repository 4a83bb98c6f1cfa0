"""A stratum by itself: cut out of the tables, learnt in arrays of its own, put back."""

import itertools

import numpy as np
import pytest

from contracts.support import interactions
from training.fits import assert_same_tables, negatives_of, run, start, weights_of
from tripletrec import losses, optimizers, sampling
from tripletrec.training.stratum import cut_out, learn_strata, make_workspace, put_back
from tripletrec.training.triplet_records import N_TOTALS

CASES = {
    "unseen": {},
    "uniform": {"sampler": "uniform", "n_negatives": 2},
    "popularity": {"sampler": "popularity"},
    "dynamic": {"sampler": sampling.dynamic(3), "n_negatives": 2, "scorer": "cosine"},
    "weights": {"weights": weights_of},
    "k-os warp": {"loss": losses.k_os_warp(2, 3, 0.5, 4), "weights": weights_of},
    "given": {"given": negatives_of, "n_negatives": 2},
    "given, weights": {"given": negatives_of, "weights": weights_of},
}


@pytest.fixture(scope="module")
def data():
    """Half of all pairs, so that verified draws are refused, and some users' rest is listed."""
    return interactions(40, 300, 6000)


def learn_apart(training, number, rng):
    """Run an epoch stratum by stratum, each in arrays of its own, those of a round in any order."""
    epoch, loop = training.epoch(number), training.loop
    weighted = len(epoch.contents.stored.weights) > 0
    totals = np.zeros((len(epoch.contents.buckets.numbers), N_TOTALS))
    for runs in training.rounds:
        assert all(last - first == 1 for first, last in runs)  # else one depends on the one before
        apart = []
        for s, _ in runs:
            positions = training.positions_of(s)
            apart.append((s, positions, cut_out(s, epoch, positions)))
        for place in rng.permutation(len(apart)):
            s, positions, own = apart[place]
            longest = int(own.contents.buckets.bounds[1])
            workspace = make_workspace(loop, longest, weighted=weighted)
            learn_strata(0, 1, loop, own, workspace, totals[s : s + 1])
            put_back(s, epoch, positions, own)
    return totals.sum(0)


# A kernel of its own would be compiled for each of these.
LEFT_OUT = {("dynamic", "adagrad"), ("k-os warp", "sgd")}


@pytest.mark.parametrize(
    ("case", "optimizer"), sorted({*itertools.product(CASES, optimizers.OPTIMIZERS)} - LEFT_OUT)
)
def test_strata_learnt_apart_are_the_epoch(case, optimizer, data, rng):
    options = {
        name: each(data) if name in ("weights", "given") else each
        for name, each in CASES[case].items()
    }
    whole, apart = (start(data, optimizer=optimizer, n_jobs=99, **options) for _ in range(2))
    assert len(whole.rounds) > 1 and len(whole.rounds[0]) > 1
    for number in (1, 2, 3):
        record = run(whole, [number])[0]
        loss, right, mass, count, _ = learn_apart(apart, number, rng)
        assert record["n_triplets"] == count
        assert record["loss"] == pytest.approx(loss / mass, rel=1e-12)
        assert record["train_auc"] == pytest.approx(right / mass, rel=1e-12)
        assert_same_tables(apart, whole)


def test_what_is_cut_out_holds_nothing_else(data):
    training = start(data, n_jobs=99, optimizer="adam")
    epoch = training.epoch(1)
    n_triplets = 0
    for s in range(len(training.strata.item_block)):
        positions = training.positions_of(s)
        own = cut_out(s, epoch, positions)
        n_users, n_items = len(own.users.step_counts), len(positions)
        assert n_users in (10, 40 // training.strata.n_user_blocks)
        assert own.users.table.size == n_users * 3 * 16 and own.items.table.size == n_items * 3 * 16
        assert own.items.biases.size == 3 * n_items
        assert own.contents.known.indptr[-1] == len(own.contents.stored.codes)
        arrays = [*own.users, *own.items, *own.contents.buckets, *own.contents.stored]
        whole = [*epoch.users, *epoch.items, *epoch.contents.buckets, *epoch.contents.stored]
        assert not any(np.shares_memory(a, b) for a in arrays for b in whole)
        n_triplets += len(own.contents.stored.codes)
    assert n_triplets == data.nnz
