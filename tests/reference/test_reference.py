"""The Keras table: the replicas' data, training and report, on a tiny set of the same form."""

import json

import numpy as np
import pytest
from scipy.sparse import identity

import tripletrec as tr
from tripletrec.neural import FeatureEmbedding
from tripletrec.reference import (
    SYSTEMS,
    draw_negatives,
    format_report,
    reproduce,
    train_replica,
    training_task,
)
from tripletrec.reference.keras import Adam, Embedding
from tripletrec.reference.keras.deferred_adam import DeferredAdam
from tripletrec.reference.keras.triplet_model import TripletModel
from tripletrec.reference.replica import build_model
from tripletrec.reference.towers import MistakenTowers

TRAINABLE = [key for key, system in SYSTEMS.items() if system.recipe is not None]


def task_of(key, data, seed=0):
    system = SYSTEMS[key]
    return training_task(system.recipe, system.protocol, data, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def result(tiny_movielens):
    return reproduce(tiny_movielens, 2, n_jobs=2)


def test_published_numbers():
    assert SYSTEMS["K1"].published[20] == 0.9154
    assert min(SYSTEMS["K1"].published) == 11
    assert SYSTEMS["K4"].published[15] == 0.9199
    for system in SYSTEMS.values():
        assert all(1 <= epoch <= system.n_epochs for epoch in system.published)


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
        assert task.shape == tiny_movielens.train.shape
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


def test_result_is_json_and_complete(result):
    result = json.loads(json.dumps(result))
    assert list(result["systems"]) == list(SYSTEMS)
    for key, system in result["systems"].items():
        assert ("auc" in system) == (key in TRAINABLE)
        if key in TRAINABLE:
            aucs = np.array(system["auc_by_seed"])
            assert aucs.shape == (2, SYSTEMS[key].n_epochs)
            np.testing.assert_allclose(system["auc"], aucs.mean(axis=0))
            np.testing.assert_allclose(system["auc_spread"], np.abs(aucs[0] - aucs[1]) / 2)


def test_threads_change_no_number(result, tiny_movielens):
    alone = reproduce(tiny_movielens, 2, systems=["K4", "K1"], n_jobs=1)
    assert list(alone["systems"]) == ["K1", "K4"]
    for key, system in alone["systems"].items():
        assert system["auc_by_seed"] == result["systems"][key]["auc_by_seed"]


def test_every_epoch_is_told(tiny_movielens):
    told = []
    reproduce(tiny_movielens, 2, systems=["K2"], on_epoch=lambda *told_: told.append(told_[:2]))
    assert sorted(told) == [("K2", 0)] * 5 + [("K2", 1)] * 5


def test_an_error_ends_all_trainings(tiny_movielens):
    def interrupt(system, seed, run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(tiny_movielens, 3, on_epoch=interrupt, n_jobs=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds must be an integer >= 1, got 0"),
        ({"systems": ["K1", "K9"]}, "systems must be among K1, .*K6, got 'K9'"),
        ({"n_jobs": 0}, "n_jobs"),
    ],
)
def test_reproduce_refuses(options, message, tiny_movielens):
    with pytest.raises(ValueError, match=message):
        reproduce(tiny_movielens, **options)


def test_report(result):
    report = format_report(result)
    assert max(map(len, report.splitlines())) <= 100
    for key, system in SYSTEMS.items():
        assert f"\n{key}: {system.title} ({system.protocol})\n" in report
    block = report.split("\n\nK2:")[0]
    assert "published       .9059  .9082" in block
    assert "had evidently been run twice" in " ".join(block.split())
    assert "(published  .7926 ... .2818)" in report
    assert "K6: two towers" in report
    assert any(line.split() == "K6 no number published".split() for line in report.splitlines())


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.001, "reproduced"), (-0.001, "reproduced"), (0.01, "beats"), (-0.01, "below")],
)
def test_verdicts(shift, verdict, tiny_movielens, monkeypatch):
    def train(key, data, random_state, on_epoch):
        run = tr.reference.replica.Run(loss=[0.5] * 20, seconds=[0.1] * 20)
        run.auc = [SYSTEMS[key].published.get(epoch, 0.8) + shift for epoch in range(1, 21)]
        return run

    monkeypatch.setattr(tr.reference.report, "train_replica", train)
    system = reproduce(tiny_movielens, 1, systems=["K1"])["systems"]["K1"]
    assert system["verdict"] == verdict
    assert system["difference"] == pytest.approx(shift)


def test_further_sections_are_printed(tiny_movielens):
    def section(data, seeds):
        return {"title": "Native kernel", "text": f"    {data.train.nnz} positives, {seeds} seed"}

    result = reproduce(tiny_movielens, 1, systems=["K2"], extra=[section])
    text = f"\n\nNative kernel\n    {tiny_movielens.train.nnz} positives, 1 seed\n\nSummary\n"
    assert text in format_report(result)


def test_k5_ends_in_a_relu_and_scores_the_catalogue(tiny_movielens):
    recipe, task = SYSTEMS["K5"].recipe, task_of("K5", tiny_movielens)
    model, _ = build_model(recipe, task.shape, np.random.default_rng(0))
    widths = [layer.weights.shape for layer in model.network.trunk.dense]
    assert widths == [(96, 128), (128, 1)]
    rows, items = np.arange(5), np.arange(task.shape[1])
    scores = model.score_function()(rows)
    assert scores.min() >= 0.0
    for row in rows:
        pairs = model.network.scores(np.full(len(items), row), items)
        np.testing.assert_allclose(scores[row], pairs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_steps", [3, 400, 3000])
def test_patient_adam_is_dense_adam(n_steps):
    """Rows met seldom, often and never, against the optimizer that moves all of them each time."""
    rng = np.random.default_rng()
    start = rng.normal(size=(40, 5)).astype(np.float32)
    weights, gradients = [start.copy(), start.copy()], [np.zeros_like(start) for _ in range(2)]
    dense, patient = Adam(0.01), DeferredAdam(0.01)
    for _ in range(n_steps):
        rows = np.minimum(rng.geometric(0.1, 4) - 1, 38)
        gradients[0][rows] = gradients[1][rows] = rng.normal(size=(4, 5)) * 0.01 + 0.005
        dense.update([weights[0]], [gradients[0]])
        patient.catch_up([weights[1]], [rows])
        patient.update([weights[1]], [gradients[1]], [rows])
        assert not gradients[1].any()
    patient.settle([weights[1]])
    moved = np.abs(weights[0] - start).max()
    np.testing.assert_allclose(weights[1], weights[0], atol=3e-3 * moved)
    np.testing.assert_array_equal(weights[1][39], start[39])


def test_the_mistake_of_k6_does_not_learn_and_its_gradient_is_right():
    """Batch x batch scores behind softmax towers; the gradient is not what is wrong."""
    rng = np.random.default_rng(0)
    sides = [FeatureEmbedding(rng.normal(size=(n, 3)), identity(n, format="csr")) for n in (6, 9)]
    model = MistakenTowers(*sides, rng)
    batch = (rng.integers(0, 6, 8), rng.integers(0, 9, 8), rng.integers(0, 9, 8))
    losses = [model.backward(*batch) for _ in range(5)]
    assert np.ptp(losses) < 0.01 and abs(np.mean(losses) - 0.5) < 0.01
