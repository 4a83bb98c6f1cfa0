"""List-wise losses for two towers: gradients, what an epoch learns."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp

import naive
import tripletrec as tr
from tiers import quick, quick_rows
from tripletrec import rates, sampling
from tripletrec.losses import listwise
from tripletrec.models.companions import Sizes, temperature_for
from tripletrec.models.percentile_rank import percentile_rank
from tripletrec.neural import Dense, FeatureEmbedding, Normalize, ReLU, Stack
from tripletrec.neural.history import TowerMix
from tripletrec.neural.listwise import ListwiseTowers
from tripletrec.training.plan import L2

# A few epochs, and settings that hardly learn, need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")

N_USERS, N_ITEMS = 6, 9


def random_likes(rng):
    """Every user likes something, the last item nobody likes."""
    likes = rng.random((N_USERS, N_ITEMS)) < 0.4
    likes[np.arange(N_USERS), rng.integers(0, N_ITEMS - 1, N_USERS)] = True
    likes[:, -1] = False
    return likes


def draw_shares(likes, sampler):
    counts = likes.sum(axis=0)
    weights = np.where(counts > 0, counts.astype(float) ** sampler.alpha, 0.0)
    return weights / weights.sum()


def sides(rng):
    """Factors and layers in float64, to be rounded."""
    tables = [rng.normal(size=(n, 3)) for n in (N_USERS, N_ITEMS)]
    weights = [rng.normal(size=shape) for shape in ((3, 4), (3, 5), (5, 4))]
    return tables, weights


def network_of(tables, weights, dtype, *more):
    embeddings, stacks = (
        [
            FeatureEmbedding(table.astype(dtype), sp.identity(len(table), format="csr"))
            for table in tables
        ],
        [
            Stack([Dense(weights[0].astype(dtype)), Normalize()]),
            Stack([Dense(weights[1].astype(dtype)), ReLU(), Dense(weights[2].astype(dtype))]),
        ],
    )
    return (*embeddings, *stacks) if not more else ListwiseTowers(*embeddings, *stacks, *more)


LOSSES = [
    listwise.softmax(0.7),
    listwise.softmax(0.1),
    listwise.bsl(0.3, 0.8),
    listwise.ccl(0.2, 5.0),
]


@pytest.mark.parametrize(
    "loss", quick(LOSSES, LOSSES[0], *LOSSES[2:]), ids=lambda x: f"{x.name} {x.temperature}"
)
@pytest.mark.parametrize(
    ("sampler", "n_drawn"),
    quick_rows(
        [*itertools.product((sampling.UNSEEN, sampling.UNIFORM, sampling.popularity()), (0, 4))],
        (sampling.popularity(), 4),
    ),
    ids=lambda x: getattr(x, "name", x),
)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_loss_and_gradient_against_central_differences_of_the_twin(
    loss, sampler, n_drawn, share, rng
):
    likes, sampler = random_likes(rng), sampler._replace(share=share)
    dislikes = ~likes & (rng.random(likes.shape) < 0.4)
    dislikes[0] = False
    data, arrays = tr.Interactions(likes), sides(rng)
    network = network_of(
        *arrays,
        np.float32,
        loss,
        loss.temperature,
        data,
        sampler,
        TowerMix(),
        tr.Interactions(dislikes),
    )
    network.item_biases[:] = rng.normal(size=(N_ITEMS, 1))
    users, items, user_tower, item_tower = network_of(*arrays, np.float64)
    biases = np.empty((N_ITEMS, 1))
    for ours, twin in zip(
        network.parameters,
        [users.table, items.table, user_tower.flat, item_tower.flat, biases],
        strict=True,
    ):
        twin[...] = ours
    pairs = rng.permutation(data.nnz)[: data.nnz - 2]
    batch = data.rows[pairs], data.indices[pairs]
    drawn = network.candidates.draw(rng, n_drawn)
    weights, l2 = rng.uniform(0.5, 2.0, len(pairs)).astype(np.float32), L2(0.1, 0.2)
    liked = [np.flatnonzero(row).tolist() for row in likes]
    shares = draw_shares(likes, sampler)

    def value(penalised=True):
        A = user_tower.infer(users.forward(np.arange(N_USERS)))
        V = item_tower.infer(items.forward(np.arange(N_ITEMS)))
        penalty = l2.user * (weights[:, None] * users.table[batch[0]] ** 2).sum()
        penalty += l2.positive * (weights[:, None] * items.table[batch[1]] ** 2).sum()
        loss_of_batch = naive.in_batch_loss(
            A, V, biases[:, 0], *(each.tolist() for each in (*batch, drawn, weights)), liked, shares, loss,
            sampler.verified, [np.flatnonzero(row).tolist() for row in dislikes], share,
        )  # fmt: skip
        return loss_of_batch + penalised * penalty / 2

    totals = np.zeros(2)
    network.step_on_batch(*batch, drawn, weights, l2, totals)
    assert totals[0] == pytest.approx(value(penalised=False), rel=1e-3, abs=1e-3)
    assert totals[1] == pytest.approx(weights.sum())
    twins = [users.table, items.table, user_tower.flat, item_tower.flat, biases]
    for array, gradient in zip(twins, network.gradients, strict=True):
        np.testing.assert_allclose(gradient, naive.slopes(value, array), rtol=5e-3, atol=5e-5)


@pytest.mark.parametrize("sampler", [sampling.UNSEEN, sampling.UNIFORM], ids=lambda x: x.name)
def test_known_positives_are_no_negatives(sampler, rng):
    likes = np.array([[1, 1, 0], [0, 0, 1]], bool)
    embeddings = (
        FeatureEmbedding(rng.normal(size=(n, 2)).astype(np.float32), sp.identity(n, format="csr"))
        for n in (2, 3)
    )
    network = ListwiseTowers(
        *embeddings, Stack([]), Stack([]), listwise.softmax(), 1.0, tr.Interactions(likes), sampler
    )
    one = np.array([0], np.int32)
    network.step_on_batch(one, one, np.array([1, 2]), None, L2(), np.zeros(2))
    moved = np.abs(network.items.gradient).max(axis=1) > 1e-9
    assert moved.tolist() == [True, not sampler.verified, True]


# -------------------------------------------------------------------------- whole fits


def make(**overrides):
    settings = {
        "n_factors": 8,
        "n_epochs": 4,
        "loss": "softmax",
        "batch_size": 64,
        "init_scale": 0.05,
    }
    return tr.TwoTower(**{**settings, **overrides})


@pytest.fixture(scope="module")
def data():
    return tr.datasets.make_interactions(200, 100, 3000, random_state=0)


@pytest.mark.parametrize("loss", listwise.LIST_LOSSES)
@pytest.mark.parametrize(
    "settings", quick([{}, {"normalize": True}, {"n_negatives": 50}], {}), ids=str
)
def test_it_learns(data, loss, settings):
    train, test = tr.splits.train_test_split(data, random_state=0)
    model = make(loss=loss, n_epochs=15, **settings).fit(train)
    losses = [record["loss"] for record in model.history_]
    assert losses[-1] < losses[0]
    assert model.score(train, exclude=None) > 0.65 and model.score(test) > 0.5
    assert set(model.history_[0]) == {"epoch", "loss", "n_positives", "seconds"}


def test_temperature_where_none_is_given(data):
    rank = percentile_rank(data.indptr, data.indices)
    for settings, temperature in (
        ({"normalize": False}, 1.0),
        ({"normalize": True}, 0.75 * temperature_for(Sizes.of(data), rank)),
    ):
        expected = make(loss=listwise.softmax(temperature), **settings).fit(data)
        np.testing.assert_array_equal(
            make(**settings).fit(data).item_factors_, expected.item_factors_
        )


def test_a_pair_alone_teaches_nothing(data):
    model = make(batch_size=1, n_negatives=0, n_epochs=1, user_l2=0.0, item_l2=0.0)
    model.fit(data[:500])
    assert model.history_[0]["loss"] == 0.0
    assert np.abs(model.user_table_).max() <= model.init_scale


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
def test_divergence_is_seen_within_the_epoch(data):
    model = make().fit(data)
    before = model.item_factors_.copy()
    model.set_params(learning_rate=1e30, optimizer="adagrad", normalize=False, batch_size=16)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 1"):
        model.fit(data)
    np.testing.assert_array_equal(model.item_factors_, before)


@pytest.mark.parametrize("normalize", quick([False, True], True))
def test_no_temperature_overflows(data, normalize):
    for temperature in (1e-37, 1e-6, 1e6, 1e37):
        model = make(loss=listwise.softmax(temperature), normalize=normalize).fit(data)
        assert np.isfinite(model.item_factors_).all()
        assert all(math.isfinite(record["loss"]) for record in model.history_)


def test_the_rate_follows_the_schedule(data):
    """A rate that is zero from the start moves nothing; one that stays is the rate itself."""
    still = make(schedule=rates.Schedule("off", lambda s: 0.0), user_l2=0.0, item_l2=0.0).fit(data)
    assert np.abs(still.user_table_).max() <= still.init_scale
    for loss in ("softmax", "bpr"):
        half = make(loss=loss, schedule=rates.Schedule("half", lambda s: 0.5), learning_rate=0.2)
        plain = make(loss=loss, learning_rate=0.1)
        np.testing.assert_array_equal(half.fit(data).item_factors_, plain.fit(data).item_factors_)
