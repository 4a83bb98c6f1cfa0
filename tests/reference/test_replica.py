"""Replicas: their positives, negatives, gradients and training, on a tiny set of the same form."""

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.neural.layers import glorot_uniform, uniform
from tripletrec.reference import SYSTEMS, draw_negatives, replica, train_replica, training_task
from tripletrec.reference.keras import Embedding, TripletModel
from tripletrec.reference.replica import build_model

TRAINABLE = [key for key, system in SYSTEMS.items() if system.recipe is not None]


def task_of(key, data, seed=0):
    system = SYSTEMS[key]
    return training_task(system.recipe, system.protocol, data, np.random.default_rng(seed))


@pytest.mark.parametrize("key", TRAINABLE)
def test_a_replica_learns(key, tiny_movielens):
    run = train_replica(key, tiny_movielens, n_epochs=40)
    assert run.loss[-1] < run.loss[0]
    if not key.startswith("K2"):  # one batch per epoch here: it has only seen the bias move
        assert run.auc[-1] > max(run.auc_before, 0.55)
    assert len(run.auc) == len(run.loss) == len(run.seconds) == 40
    assert len(run.test_loss) == (40 if key.startswith("K2") else 0)


def test_same_seed_same_bits(tiny_movielens):
    one, two, other = (train_replica("K4", tiny_movielens, 3, seed) for seed in (1, 1, 2))
    assert (one.auc, one.loss) == (two.auc, two.loss)
    assert one.loss != other.loss


@pytest.mark.parametrize(("key", "n_distinct"), [("K1", 3), ("K2", 1), ("K3-own", 3)])
def test_negatives_are_drawn_once_or_for_each_epoch(key, n_distinct, tiny_movielens, monkeypatch):
    seen = set()

    def no_training(model, optimizer, triplets, *rest):
        task = task_of(key, tiny_movielens)
        np.testing.assert_array_equal(triplets[0], task.users)
        np.testing.assert_array_equal(triplets[1], task.positives)
        seen.add(triplets[2].tobytes())
        return 0.0

    monkeypatch.setattr(replica, "train_epoch", no_training)
    run = train_replica(key, tiny_movielens, 3)
    assert len(seen) == n_distinct
    assert run.auc == [run.auc_before] * 3, "the model is measured as it starts"
    rng = np.random.default_rng(0)
    recipe = SYSTEMS[key].recipe
    task = training_task(recipe, SYSTEMS[key].protocol, tiny_movielens, rng)
    model, _ = build_model(recipe, task.shape, rng)
    assert run.auc_before == task.auc(model.users.table, model.items.table, recipe.scorer)


def test_the_first_notebook_prints_a_negative_loss(tiny_movielens):
    loss = train_replica("K2", tiny_movielens, 1).loss[0]
    assert -0.6 < loss < -0.4


@pytest.mark.parametrize("key", [key for key in TRAINABLE if key != "K5"])
def test_batch_gradient_equals_central_differences(key, tiny_movielens):
    recipe, task, rng = SYSTEMS[key].recipe, task_of(key, tiny_movielens), np.random.default_rng(0)
    built, _ = build_model(recipe, task.shape, rng)
    users, items = (
        Embedding(*(each.astype(np.float64) for each in layer.parameters))
        for layer in (built.users, built.items)
    )
    assert (users.bias is not None) == recipe.bias
    model = TripletModel(users, items, recipe.loss, recipe.scorer)
    negatives = draw_negatives(recipe, task, rng)
    triplets = (task.users[:32], task.positives[:32], negatives[:32])
    model.backward(*triplets)
    for weights, gradient in zip(model.parameters, model.gradients, strict=True):
        direction = rng.normal(size=weights.shape)
        start = weights.copy()
        sides = []
        for step in (1e-5, -1e-5):
            weights[...] = start + step * direction
            sides.append(model.loss(*triplets))
        weights[...] = start
        slope = (sides[0] - sides[1]) / 2e-5
        assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_positives_and_tests_of_each_system(tiny_movielens):
    ratings = tiny_movielens.ratings
    best = ratings[ratings["rating"] == 5].groupby("split").size()
    for key in TRAINABLE:
        task = task_of(key, tiny_movielens)
        assert task.shape == tiny_movielens.train.space.shape
        if key == "K3":
            assert (len(task.users), task.test.nnz) == (best["train"], best["test"])
        elif not key.startswith("K3"):
            assert len(task.users) == tiny_movielens.train.nnz
            assert task.test is tiny_movielens.test


def test_protocol_b_leaves_out_known_items_and_item_0(tiny_movielens):
    assert task_of("K1", tiny_movielens).exclude is None
    known = tiny_movielens.train.tocsr().toarray() > 0
    known[:, 0] = True
    np.testing.assert_array_equal(
        task_of("K4", tiny_movielens).exclude.tocsr().toarray() > 0, known
    )


def test_auc_is_the_full_auc(tiny_movielens):
    rng, task = np.random.default_rng(1), task_of("K4", tiny_movielens)
    U, V = (rng.normal(size=(n, 3)) for n in task.shape)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (U, V)]
    assert task.auc(U, V, "cosine") == tr.full_auc(tuple(unit), task.test, task.exclude)
    assert task.auc(U, V, "dot") == tr.full_auc((U, V), task.test, task.exclude)


@pytest.mark.parametrize(("key", "first"), [("K1", 0), ("K4", 1)])
def test_uniform_negatives(key, first, tiny_movielens):
    task, rng = task_of(key, tiny_movielens), np.random.default_rng(0)
    draws = [draw_negatives(SYSTEMS[key].recipe, task, rng) for _ in range(50)]
    assert {len(each) for each in draws} == {len(task.users)}
    assert set(np.concatenate(draws)) == set(range(first, task.shape[1]))


def low_ratings(data, most):
    frame = data.ratings[(data.ratings["split"] == "train") & (data.ratings["rating"] <= most)]
    return set(zip(frame["user"], frame["item"], strict=True))


def test_own_negatives_are_the_users_low_ratings(tiny_movielens):
    task, rng = task_of("K3-own", tiny_movielens), np.random.default_rng(0)
    negatives = draw_negatives(SYSTEMS["K3-own"].recipe, task, rng)
    assert set(zip(task.users, negatives, strict=True)) <= low_ratings(tiny_movielens, 3)
    listed = np.repeat(np.arange(task.shape[0]), np.diff(task.low_bounds))
    listed = set(zip(listed, task.low_items, strict=True))
    assert low_ratings(tiny_movielens, 2) <= listed
    train = tiny_movielens.ratings[tiny_movielens.ratings["split"] == "train"]
    for user, part in train.groupby("user"):
        n_best, n_low, n_three = (
            (part["rating"] == 5).sum(),
            (part["rating"] <= 2).sum(),
            (part["rating"] == 3).sum(),
        )
        expected = n_low + min(n_three, max(0, n_best - n_low))
        assert task.low_bounds[user + 1] - task.low_bounds[user] == expected


@pytest.mark.parametrize("column", ["user", "item"])
@pytest.mark.parametrize("number", [-1, 10**6])
def test_ratings_of_whom_or_what_there_is_not(column, number, tiny_movielens):
    ratings = tiny_movielens.ratings.copy()
    low = ratings.index[(ratings["rating"] <= 2) & (ratings["split"] == "train")][3]
    ratings.loc[low, column] = number
    data = tr.datasets.MovieLens(
        tiny_movielens.train, tiny_movielens.test, ratings, ratings, ratings
    )
    with pytest.raises(ValueError, match=f"column '{column}' of ratings must be .*, got {number}"):
        train_replica("K3", data, n_epochs=1)


def test_shared_negatives_are_as_many_as_positives_where_there_are_enough(tiny_movielens):
    task, rng = task_of("K3", tiny_movielens), np.random.default_rng(0)
    one, two = (draw_negatives(SYSTEMS["K3"].recipe, task, rng) for _ in range(2))
    assert len(one) == len(task.users)
    assert (one != two).any()
    train = tiny_movielens.ratings[tiny_movielens.ratings["split"] == "train"]
    assert len(task.low_items) == max(len(one), (train["rating"] <= 2).sum())


@pytest.mark.parametrize("key", ["K6", "k1", ""])
def test_unknown_systems_are_named(key, tiny_movielens):
    with pytest.raises(ValueError, match=f"system must be one of K1, .*K5, got '{key}'"):
        train_replica(key, tiny_movielens)


def test_at_least_one_epoch(tiny_movielens):
    with pytest.raises(ValueError, match="n_epochs must be an integer >= 1, got 0"):
        train_replica("K1", tiny_movielens, 0)


def test_starts_lie_within_their_limits():
    rng = np.random.default_rng(4)
    assert 0.04 < np.abs(uniform(rng, (50, 20))).max() <= 0.05
    limit = (6.0 / 70.0) ** 0.5
    assert 0.9 * limit < np.abs(glorot_uniform(rng, (50, 20))).max() <= limit
