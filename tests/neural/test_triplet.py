"""Fits of networks by triplet losses: which triplets an epoch consists of, and which negatives are hard."""

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from tripletrec import losses, optimizers, sampling
from tripletrec.neural import Dense, FeatureEmbedding, Stack
from tripletrec.neural.networks import Towers
from tripletrec.neural.triplet import NetworkTripletTraining
from tripletrec.training.plan import L2, NetworkPlan

N_USERS, N_ITEMS = 6, 8


class Recorder:
    """A network that learns nothing and keeps what each step gets."""

    stacks = ()

    def __init__(self):
        self.parameters = [np.zeros((1, 1), np.float32)]
        self.gradients, self.touched = [np.zeros((1, 1), np.float32)], [None]
        self.batches = []

    def step(self, users, positives, negatives, weights, l2, totals):
        self.batches.append((users, positives, negatives, weights, l2))
        totals += (2.0 * len(users), 0.5 * len(users), len(users))

    def scores(self, users, items):
        return -np.asarray(items, float)

    def columns(self):
        return [np.concatenate(each) for each in list(zip(*self.batches, strict=True))[:3]]


@pytest.fixture
def likes():
    """User 0 likes everything, every other user four items."""
    matrix = np.zeros((N_USERS, N_ITEMS), bool)
    for user in range(1, N_USERS):
        matrix[user, (user + np.array([0, 1, 3, 6])) % N_ITEMS] = True
    matrix[0] = True
    return matrix


def training_of(likes, weights=None, given=None, nearest=None, network=None, **changes):
    settings = {
        "loss": losses.BPR, "optimizer": optimizers.SGD, "sampler": sampling.UNSEEN, "seed": 3,
        "learning_rate": 0.1, "n_negatives": 2, "batch_size": 5, "init_scale": 0.1, "l2": L2(0.1, 0.2),
    }  # fmt: skip
    network = Recorder() if network is None else network
    data = tr.Interactions(likes)
    given = None if given is None else tr.Interactions(given)
    training = NetworkTripletTraining(
        NetworkPlan(**{**settings, **changes}), network, data, weights, given, tuple,
        nearest=nearest,
    )  # fmt: skip
    return training, network


def test_an_epoch_is_every_positive_with_its_negatives(likes):
    training, network = training_of(likes)
    record = training.run_epoch(1)
    users, positives, negatives = network.columns()
    expected = [pair for pair in np.argwhere(likes).tolist() if pair[0] > 0 for _ in range(2)]
    assert sorted(zip(users.tolist(), positives.tolist(), strict=True)) == sorted(
        map(tuple, expected)
    )
    assert not likes[users, negatives].any()
    assert [len(batch[0]) for batch in network.batches] == [5] * 8
    assert all(batch[4] == L2(0.1, 0.2) for batch in network.batches)
    assert record["n_triplets"] == 40 and record["n_skipped"] == 2 * N_ITEMS
    assert (record["loss"], record["train_auc"]) == (2.0, 0.5)


def test_epochs_are_functions_of_seed_and_number(likes):
    runs = {}
    for seed, number in ((3, 1), (3, 2), (4, 1)):
        for _ in range(2):
            training, network = training_of(likes, seed=seed)
            training.run_epoch(number)
            runs.setdefault((seed, number), []).append(np.array(network.columns()))
    for once, again in runs.values():
        np.testing.assert_array_equal(once, again)
    one, other_epoch, other_seed = (each[0] for each in runs.values())
    assert (one != other_epoch).any() and (one != other_seed).any()


def test_weights_go_with_their_positives(likes):
    nnz = int(likes.sum())
    training, network = training_of(likes, weights=np.arange(nnz, dtype=np.float32))
    training.run_epoch(1)
    weights = np.zeros(likes.shape)
    weights[likes] = np.arange(nnz)
    for users, positives, _, of_batch, _ in network.batches:
        np.testing.assert_array_equal(of_batch, weights[users, positives])


def test_given_negatives_are_taken(likes):
    given = np.roll(np.eye(N_USERS, N_ITEMS), 2, axis=1) * ~likes
    training, network = training_of(likes, given=given, sampler=sampling.explicit(1.0))
    training.run_epoch(1)
    users, _, negatives = network.columns()
    has = given.any(axis=1)[users]
    assert has.any()
    assert given[users, negatives][has].all()


def test_a_user_who_likes_all_has_no_triplet_even_unverified(likes):
    """Unverified, the negative may be liked, but is never the positive itself."""
    training, network = training_of(likes, sampler=sampling.UNIFORM, n_negatives=50)
    record = training.run_epoch(1)
    users, positives, negatives = network.columns()
    assert (positives != negatives).all()
    assert likes[users, negatives].any()
    assert record["n_triplets"] + record["n_skipped"] == 50 * likes.sum()


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_nearest_negative_is_taken_at_its_share(likes, share, given):
    """The rest is drawn from all that are unseen, also where the nearest are given ones."""
    of_users = np.zeros(likes.shape)
    nearest = np.full(int(likes.sum()), -1, np.int32)
    of_pairs = np.argwhere(likes)
    for place, (user, _) in enumerate(of_pairs):
        if user > 1:  # user 1 has none
            nearest[place] = np.flatnonzero(~likes[user])[0]
            of_users[user, nearest[place]] = given
    training, network = training_of(
        likes, nearest=nearest, n_negatives=200, sampler=sampling.nearest(share),
        given=of_users if given else None,
    )  # fmt: skip
    training.run_epoch(1)
    users, _, negatives = network.columns()
    first = np.array([np.flatnonzero(~row)[0] if not row.all() else -1 for row in likes])
    is_first = (negatives == first[users])[users > 1].mean()
    assert is_first == pytest.approx(share + (1 - share) / 4, abs=0.03)
    assert set(negatives[users == 1]) == set(np.flatnonzero(~likes[1]))


def test_hard_negatives_are_chosen_by_the_network(likes):
    """Scores fall with the item's number: the hardest is the lowest."""
    training, network = training_of(likes, sampler=sampling.dynamic(200))
    training.run_epoch(1)
    users, _, negatives = network.columns()
    lowest = np.array([np.flatnonzero(~row)[0] if not row.all() else -1 for row in likes])
    np.testing.assert_array_equal(negatives, lowest[users])


@pytest.mark.parametrize("layered", [0, 1])
def test_layers_of_one_side_alone_are_learnt(likes, layered, rng):
    stacks = [Stack([]), Stack([])]
    stacks[layered] = Stack([Dense(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))])
    users, items = (
        FeatureEmbedding(rng.normal(size=(n, 3)).astype(np.float32), sp.identity(n, format="csr"))
        for n in likes.shape
    )
    network = Towers(users, items, *stacks, losses.BPR)
    training, _ = training_of(likes, network=network)
    before = [each.copy() for each in stacks[layered].parameters]
    training.run_epoch(1)
    for array, start in zip(stacks[layered].parameters, before, strict=True):
        assert (array != start).any()
