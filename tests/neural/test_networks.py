"""The two networks: gradients against central differences of their scores, counts, rows that are touched."""

import copy
import math

import numpy as np
import pytest
import scipy.sparse as sp

import naive
from tiers import quick
from tripletrec import losses
from tripletrec.neural import FeatureEmbedding, ReLU, Stack
from tripletrec.neural.networks import PairPerceptron, Towers
from tripletrec.training.plan import L2

# The package's losses compute in float32; these are for differences.
LOSSES = {
    losses.BPR: lambda x: math.log1p(math.exp(-x)),
    losses.SIGMOID: lambda x: 1.0 / (1.0 + math.exp(x)),
    losses.hinge(0.7): lambda x: max(0.0, 0.7 - x),
}
WITH_AND_WITHOUT_MARGIN = losses.hinge(0.7), losses.BPR


def perceptron(dense, embedding, loss):
    trunk = Stack([dense(7, 6), ReLU(), dense(6, 4), ReLU(), dense(4, 1)])
    return PairPerceptron(embedding(5, 3), embedding(9, 4), trunk, loss)


def towers(dense, embedding, loss):
    layers = Stack([dense(3, 4)]), Stack([dense(4, 5), ReLU(), dense(5, 4)])
    return Towers(embedding(5, 3), embedding(9, 4), *layers, loss)


@pytest.mark.parametrize("loss", quick(LOSSES, *WITH_AND_WITHOUT_MARGIN), ids=lambda x: x.name)
@pytest.mark.parametrize("build", [perceptron, towers])
@pytest.mark.parametrize("l2", quick([L2(), L2(0.1, 0.2)], L2(0.1, 0.2)), ids=["no L2", "L2"])
def test_gradients_against_central_differences(build, loss, l2, rng, dense, embedding):
    network = build(dense, embedding, loss)
    users, weights = rng.integers(0, 5, 8), rng.uniform(0.5, 2.0, 8)
    positives, negatives = rng.integers(0, 9, 8), rng.integers(0, 9, 8)

    def value():
        x = network.scores(users, positives) - network.scores(users, negatives)
        total = sum(w * LOSSES[loss](each) for w, each in zip(weights, x, strict=True))
        U, V = network.users.table, network.items.table
        of_users, of_items = (U[users] ** 2).sum(1), (V[positives] ** 2 + V[negatives] ** 2).sum(1)
        return (
            total / (8 if network.mean else 1)
            + weights @ (l2.user * of_users + l2.positive * of_items) / 2
        )

    totals = np.zeros(3)
    network.step(users, positives, negatives, weights, l2, totals)
    assert totals[2] == pytest.approx(weights.sum())
    for array, gradient in zip(network.parameters, network.gradients, strict=True):
        expected = naive.slopes(value, array)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def product_of_single_factors(loss):
    """Score three users, all of factor 1, with six items."""
    columns = [np.ones((3, 1)), np.array([[2.0], [0.0], [1.0], [0.5], [0.0], [3.0]])]
    columns = [each.astype(np.float32) for each in columns]
    sides = (FeatureEmbedding(x, sp.identity(len(x), format="csr")) for x in columns)
    return Towers(*sides, Stack([]), Stack([]), loss)


def test_a_step_counts():
    """Losses, right orders and weights, of scores that are the products of single factors."""
    network, totals = product_of_single_factors(losses.hinge()), np.zeros(3)
    network.step(np.arange(3), np.arange(3), np.arange(3, 6), None, L2(), totals)
    np.testing.assert_allclose(network.items.gradient[:, 0], [0, -1, -1, 0, 1, 1])
    np.testing.assert_allclose(totals, [0 + 1 + 3, 1.5, 3])


def test_losses_may_differ_in_their_parameters():
    """Though they share a kernel."""
    for margin, total in ((1.0, 4.0), (2.0, 0.5 + 2.0 + 4.0)):
        network, totals = product_of_single_factors(losses.hinge(margin)), np.zeros(3)
        network.step(np.arange(3), np.arange(3), np.arange(3, 6), None, L2(), totals)
        assert totals[0] == total


@pytest.mark.parametrize("build", [perceptron, towers])
def test_scores_of_stacked_items_are_those_of_each_list(build, rng, dense, embedding):
    network = build(dense, embedding, losses.BPR)
    users, items = (rng.integers(0, n, size).astype(np.int32) for n, size in ((5, 4), (9, (3, 4))))
    stacked = network.scores(users, items.reshape(-1)).reshape(3, 4)
    for row, scores in zip(items, stacked, strict=True):
        np.testing.assert_allclose(scores, network.scores(users, row))
    np.testing.assert_allclose(
        stacked[:2].reshape(-1), network._score(users, items[:2].reshape(-1)), atol=1e-12
    )


def test_triplets_without_gradient_are_left_out(rng, dense, embedding):
    """Of 40 triplets 30 are right by more than the margin; the result is that of all rows."""
    trunk = Stack([dense(7, 20), ReLU(), dense(20, 1)])
    network = PairPerceptron(embedding(5, 3), embedding(9, 4), trunk, losses.hinge(1e-12))
    users, items = rng.integers(0, 5, 400), rng.integers(0, 9, (2, 400))
    x = network.scores(users, items[0]) - network.scores(users, items[1])
    chosen = np.flatnonzero(np.abs(x) > 1e-9)[:40]
    users, items, x = users[chosen], items[:, chosen], x[chosen]
    swapped = (x < 0) == (np.arange(40) < 30)
    positives, negatives = np.where(swapped, items[::-1], items)
    twin, totals = copy.deepcopy(network), np.zeros((2, 3))
    network.step(users, positives, negatives, None, L2(), totals[0])
    # A penalty that is lost in rounding: with one, no row is left out.
    twin.step(users, positives, negatives, None, L2(1e-300, 1e-300), totals[1])
    np.testing.assert_array_equal(*totals)
    for ours, whole in zip(network.gradients, twin.gradients, strict=True):
        np.testing.assert_allclose(ours, whole, atol=1e-12)
    active = np.arange(40) >= 30
    assert len(network.touched[0]) == 20 and len(twin.touched[0]) == 80
    assert set(network.touched[0]) == set(users[active])
    assert set(network.touched[1]) == set(positives[active]) | set(negatives[active])
    assert network.touched[2:] == [None]
