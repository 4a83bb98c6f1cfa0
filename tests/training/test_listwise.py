"""List-wise losses and the trainer by blocks of users, against a twin that differentiates numerically."""

import itertools
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import naive
import tripletrec as tr
from contracts.support import assert_same, interactions
from tripletrec import losses, optimizers, rates, sampling, scorers
from tripletrec.training import listwise as block_trainer
from tripletrec.training.listwise import BlockTraining
from tripletrec.training.listwise_kernels import build_candidates

CASES = {
    "softmax": losses.softmax(0.4),
    "bsl": losses.bsl(0.3, 0.5),
    "ccl": losses.ccl(-0.2, 3.0),
}
L2 = (0.03, 0.02, 0.01, 0.05)


def make(**overrides):
    return tr.MatrixFactorization(
        **{
            "n_factors": 3, "n_epochs": 2, "loss": "softmax", "scorer": "cosine",
            "optimizer": "adam", "learning_rate": 0.01, **overrides,
        }
    )  # fmt: skip


def training_of(data, weights=None, n_negatives=None, batch_size=3, n_jobs=1, **params):
    plan = make(
        user_l2=L2[0], item_l2=L2[1], negative_l2=L2[2], bias_l2=L2[3], init_scale=0.5, **params
    )._plan()
    return BlockTraining(plan, data, weights, n_negatives, batch_size, 0.0, n_jobs)


def bits(training):
    return [np.ascontiguousarray(each).tobytes() for each in training.factors]


@pytest.fixture
def small_pieces(monkeypatch):
    """Several pieces of candidates in data of any size."""
    monkeypatch.setattr(block_trainer, "_LEAST_PIECE", 4)
    monkeypatch.setattr(block_trainer, "_PIECE_SCORES", 8)


# -------------------------------------------------------------------- against the twin


def twin(training, data, weights, n_epochs, sampler):
    """Learn what `training` learns, in float64, row by row, from numerical derivatives."""
    plan, loss = training.plan, training.plan.loss
    name, rate = plan.optimizer.name, plan.learning_rate
    start = [np.array(each, np.float64) for each in training.factors]
    rows = [[naive.Row(row, name, rate) for row in np.atleast_2d(each.T).T] for each in start]
    matrix = data.tocsr()
    liked = [matrix[u].indices.tolist() for u in range(data.n_users)]
    each_weight = np.ones(data.nnz) if weights is None else weights.astype(np.float64)
    parts = [each_weight[a:b] for a, b in itertools.pairwise(data.indptr)]
    learn, draw = training._learn, training._draw
    drawn = {}

    def note(key):
        n = draw(key)
        slots = training._items_of_block[0][:n].tolist()
        drawn.update(items=slots, multiples=training._items_of_block[4][:n].tolist())
        return n

    def visit(users, keys, step):
        value = learn(users, keys, step)
        U, V, b = (np.array([row.w for row in part]) for part in rows)
        b = b[:, 0]
        multiples = dict(zip(drawn["items"], drawn["multiples"], strict=True))

        def objective(l2=L2):
            return naive.block_loss(
                U, V, b, users.tolist(), liked, parts, drawn["items"], multiples, loss,
                plan.scorer.name == "cosine", plan.sampler.verified, l2,
            )  # fmt: skip

        assert value == pytest.approx(objective((0, 0, 0, 0)), rel=1e-4, abs=1e-4)
        gradients = [naive.slopes(objective, each) for each in (U, V, b)]
        touched = {*drawn["items"], *(i for u in users for i in liked[u])}
        for u in users:
            rows[0][u].update(gradients[0][u])
        for i in touched:
            rows[1][i].update(gradients[1][i])
            rows[2][i].update(gradients[2][i])
        return value

    training._learn, training._draw = visit, note
    for number in range(1, n_epochs + 1):
        training.run_epoch(number)
    return [np.array([row.w for row in part]) for part in rows]


@pytest.mark.parametrize("n_negatives", [None, 5], ids=["all", "some"])
@pytest.mark.parametrize("sampler", ["unseen", "uniform", "popularity"])
@pytest.mark.parametrize("scorer", scorers.SCORERS)
@pytest.mark.parametrize("loss", CASES)
def test_against_the_twin(loss, scorer, sampler, n_negatives, small_pieces):
    rng = np.random.default_rng()
    data = tr.Interactions(rng.random((7, 11)) < 0.3)
    weights = rng.uniform(0.5, 2.0, data.nnz).astype(np.float32)
    for optimizer in ("sgd", "adagrad"):
        training = training_of(
            data, weights, n_negatives, loss=CASES[loss], scorer=scorer, sampler=sampler,
            optimizer=optimizer,
        )  # fmt: skip
        expected = twin(training, data, weights, 2, sampler)
        U, V, b = training.factors
        np.testing.assert_allclose(U, expected[0], rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(V, expected[1], rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(
            b, expected[2][:, 0] * CASES[loss].temperature, rtol=2e-3, atol=2e-4
        )


def test_adam_against_the_twin(small_pieces):
    # Adam's first steps are of one size whatever the gradient: only where none is near zero can
    # two ways to compute it agree.
    data = tr.Interactions(np.random.default_rng(0).random((7, 11)) < 0.4)
    training = training_of(data, loss=CASES["softmax"])
    expected = twin(training, data, None, 2, "unseen")
    for got, want in zip(training.factors[:2], expected, strict=False):
        np.testing.assert_allclose(got, want, rtol=5e-3, atol=5e-4)


# -------------------------------------------------------------------- the parts


def exponentiate(loss, row, biases, multiples):
    row = np.array(row, np.float32)
    biases, multiples = np.array(biases, np.float32), np.array(multiples, np.float32)
    scale = np.float32(1 / loss.temperature)
    peak, mass = loss.exponentiate(row, biases, multiples, scale, loss.parameters)
    return row, float(peak), float(mass)


def reduce(loss, peak, mass, logits, weights, n_unknown=10, hits=None):
    logits, weights = np.array(logits, float), np.array(weights, float)
    slopes = np.full(len(logits), np.nan)
    hits = np.zeros(len(logits)) if hits is None else np.array(hits, float)
    value, factor = loss.reduce(
        0, len(logits), peak, mass, n_unknown, logits, weights, hits, slopes, loss.parameters
    )
    return value, factor, slopes


scores = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30)


@hypothesis.given(scores)
def test_spread_is_the_exponential(row):
    got, peak, mass = exponentiate(losses.softmax(1.0), row, [0.5] * len(row), [2.0] * len(row))
    x = np.array(row) + 0.5
    assert peak == pytest.approx(x.max(), rel=1e-6)
    expected = 2 * np.exp(x - x.max())
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-30)
    assert mass == pytest.approx(expected.sum(), rel=1e-5)


@hypothesis.given(scores, scores, st.sampled_from(["softmax", "bsl"]))
def test_a_shift_of_all_scores_changes_nothing(positives, others, name):
    """So the derivatives by all of a user's scores add up to zero."""
    row, peak, mass = exponentiate(
        losses.LIST_LOSSES[name](0.1), others, [0] * len(others), [1] * len(others)
    )
    logits = np.array(positives) / 0.1
    value, factor, slopes = reduce(
        losses.LIST_LOSSES[name](0.1), peak, mass, logits, [1] * len(logits)
    )
    assert np.isfinite([value, factor, *slopes]).all() and (slopes <= 0).all()
    assert factor * mass == pytest.approx(-slopes.sum(), rel=1e-6, abs=1e-9)
    shifted = reduce(losses.LIST_LOSSES[name](0.1), peak + 7, mass, logits + 7, [1] * len(logits))
    assert shifted[0] == pytest.approx(value, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(shifted[2], slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("temperature", [1e-3, 1e-8, 1e-30])
def test_no_temperature_overflows(temperature):
    for loss in (losses.softmax(temperature), losses.bsl(temperature, 2 * temperature)):
        row, peak, mass = exponentiate(loss, [-1.0, 0.5, 1.0], [0.0] * 3, [1.0] * 3)
        assert np.isfinite(row).all() and mass == pytest.approx(1.0)
        value, factor, slopes = reduce(
            loss, peak, mass, [-1 / temperature, 1 / temperature], [1, 1]
        )
        assert np.isfinite([value, factor, *slopes]).all()


def test_all_candidates_masked():
    for name in ("softmax", "bsl"):
        row, peak, mass = exponentiate(
            losses.LIST_LOSSES[name](0.1), [-np.inf] * 4, [0] * 4, [1] * 4
        )
        assert not row.any() and mass == 0
        value, factor, slopes = reduce(
            losses.LIST_LOSSES[name](0.1), peak, mass, [1.0, 2.0], [1, 1]
        )
        assert value == factor == 0 and not slopes.any()
    row, _, mass = exponentiate(losses.ccl(), [-np.inf] * 4, [0] * 4, [1] * 4)
    assert not row.any() and mass == 0


def test_nan_is_not_lost():
    for loss in CASES.values():
        _, peak, mass = exponentiate(loss, [0.0, np.nan, 1.0], [0] * 3, [1] * 3)
        value, *_ = reduce(loss, peak, mass, [0.5], [1])
        assert math.isnan(value)


def test_hot_positives_of_bsl_are_all_alike():
    """With an infinite positive temperature: the mean of the positives' scores."""
    value, _, slopes = reduce(losses.bsl(1.0, 1e9), 0.0, 5.0, [0.3, 0.9, -2.0], [1, 1, 1])
    assert value == pytest.approx(3 * math.log(5.0) - (0.3 + 0.9 - 2.0), abs=1e-5)
    np.testing.assert_allclose(slopes, -1.0, rtol=1e-6)


def test_wrong_parameters_of_losses():
    for make_loss, name in [
        (losses.softmax, "temperature"), (losses.bsl, "temperature"),
        (lambda t: losses.bsl(0.1, t), "positive_temperature"),
    ]:  # fmt: skip
        for value in (0, -0.1, -1e-9, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"^{name} must be a finite number > 0, got"):
                make_loss(value)
        with pytest.raises(TypeError, match=f"^{name} must be"):
            make_loss("0.1")
    with pytest.raises(ValueError, match="negative_weight must be a finite number >= 0, got -1"):
        losses.ccl(0.5, -1)
    with pytest.raises(ValueError, match="margin must be a finite number, got nan"):
        losses.ccl(math.nan)


# -------------------------------------------------------------------- candidates


def draws(n, n_items, weights=None, n_draws=4000):
    kernels = build_candidates()
    values = np.random.default_rng().uniform(0.5, 1.5, n_items)
    slots, slot_of = np.zeros(n, np.int32), np.full(n_items, -1, np.int32)
    multiples, catalogue = np.zeros(n, np.float32), np.arange(n_items, dtype=np.int32)
    keys = np.random.default_rng().integers(2**63, size=n_draws, dtype=np.uint64)
    estimates = []
    for key in keys:
        if weights is None:
            found = kernels.draw_uniform(n, key, catalogue, slots, slot_of, multiples)
        else:
            table = np.concatenate([[0.0], np.cumsum(weights)])
            found = kernels.draw_weighted(n, key, table, slots, slot_of, multiples)
        items = slots[:found]
        assert len(set(items.tolist())) == found <= n
        assert (slot_of[items] == np.arange(found)).all()
        slot_of[items] = -1
        estimates.append((multiples[:found] * values[items]).sum())
    return np.array(estimates), values.sum()


@pytest.mark.parametrize(
    "weights", [None, np.arange(1.0, 13.0) ** 0.75], ids=["uniform", "popular"]
)
def test_the_sum_over_candidates_is_unbiased(weights):
    """N of the sampled loss has the exact one as its mean: within five standard errors."""
    estimates, exact = draws(4, 12, weights)
    error = estimates.std() / math.sqrt(len(estimates))
    assert 0 < error and abs(estimates.mean() - exact) < 5 * error


def test_all_items_drawn_are_all_items(small_pieces):
    data = interactions(12, 20, 60)
    exact, sampled = training_of(data), training_of(data, n_negatives=20)
    for number in (1, 2, 3):
        first, second = exact.run_epoch(number), sampled.run_epoch(number)
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
    np.testing.assert_allclose(exact.factors[0], sampled.factors[0], rtol=1e-2, atol=1e-3)


def test_sampled_gradient_has_the_exact_one_as_its_limit():
    """The more candidates, the nearer the loss of the first epoch comes to the exact one."""
    data = interactions(30, 200, 300)
    exact = training_of(data, batch_size=30).run_epoch(1)["loss"]
    errors = [
        np.mean([
            abs(training_of(data, n_negatives=n, batch_size=30, random_state=0).run_epoch(e)["loss"]
                - exact)
            for e in range(1, 9)
        ])
        for n in (3, 150)
    ]  # fmt: skip
    assert errors[1] < errors[0]


# -------------------------------------------------------------------- threads, pieces


@pytest.mark.parametrize("n_negatives", [None, 37])
def test_same_bits_at_any_number_of_threads(n_negatives, monkeypatch):
    monkeypatch.setattr(block_trainer, "_LEAST_PIECE", 16)
    monkeypatch.setattr(block_trainer, "_PIECE_SCORES", 16)
    data = interactions(40, 90, 700)
    results = []
    for n_jobs in (1, 2, 4):
        training = training_of(data, n_negatives=n_negatives, batch_size=7, n_jobs=n_jobs)
        with training.threads():
            records = [training.run_epoch(number)["loss"] for number in (1, 2)]
        results.append((bits(training), records))
    assert results[0] == results[1] == results[2]


def test_pieces_change_rounding_only(small_pieces, monkeypatch):
    data = interactions(20, 50, 200)
    cut = training_of(data, optimizer="sgd")
    cut.run_epoch(1)
    monkeypatch.undo()
    whole = training_of(data, optimizer="sgd")
    whole.run_epoch(1)
    assert cut._piece < whole._piece
    np.testing.assert_allclose(cut.factors[1], whole.factors[1], rtol=1e-4, atol=1e-6)


def test_blas_threads_change_nothing_and_are_put_back():
    from threadpoolctl import threadpool_info, threadpool_limits

    data = interactions(40, 300, 2500)
    results = []
    for limit in (1, 2, 3):
        with threadpool_limits(limit, user_api="blas"):
            before = threadpool_info()
            results.append(make(n_jobs=2).fit(data))
            assert threadpool_info() == before
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


# -------------------------------------------------------------------- the model


@pytest.fixture(scope="module")
def data():
    return interactions(30, 40, 300)


def test_record(data):
    record = make().fit(data).history_[0]
    assert record.keys() == {"epoch", "loss", "n_positives", "seconds"}
    assert record["n_positives"] == data.nnz and record["loss"] > 0


def test_each_parameter_changes_the_result(data):
    variants = [
        {}, {"n_negatives": 20}, {"n_negatives": 10}, {"batch_size": 7}, {"dropout": 0.3},
        {"schedule": "cosine"}, {"schedule": "linear"}, {"schedule": rates.constant(0.5)},
        {"loss": losses.softmax(0.2)}, {"loss": "bsl"}, {"loss": losses.bsl(0.1, 0.5)},
        {"loss": "ccl"}, {"loss": losses.ccl(0.1)}, {"loss": losses.ccl(0.4, 5.0)},
        {"scorer": "dot"}, {"optimizer": "sgd"}, {"optimizer": optimizers.adam(beta1=0.5)},
        {"sampler": "uniform"}, {"n_negatives": 20, "sampler": sampling.popularity(0.5)},
        {"n_negatives": 20, "sampler": sampling.popularity(1.0)}, {"learning_rate": 0.02},
        {"user_l2": 0.5}, {"item_l2": 0.5}, {"negative_l2": 0.5}, {"bias_l2": 0.5},
        {"item_bias": False}, {"init_scale": 0.1}, {"random_state": 1}, {"n_factors": 4},
        {"n_epochs": 3},
    ]  # fmt: skip
    found = set()
    for variant in variants:
        model = make(**{"batch_size": 10, **variant}).fit(data)
        found.add((model.user_factors_.tobytes(), model.item_biases_.tobytes()))
    assert len(found) == len(variants)
    assert_same(make(n_negatives="all").fit(data), make().fit(data))


def test_users_without_positives_get_the_popular():
    matrix = interactions(30, 40, 300).tocsr().toarray()
    matrix[[0, 7]] = 0
    model = make(n_epochs=3).fit(matrix)
    assert not model.user_factors_[[0, 7]].any() and np.abs(model.user_factors_).sum() > 0
    np.testing.assert_allclose(model.predict(7, np.arange(40)), model.item_biases_, rtol=1e-6)


def test_users_who_like_everything():
    for n_negatives in (None, 2):
        matrix = np.ones((5, 4))
        matrix[0, 0] = 0
        model = make(n_epochs=3, n_negatives=n_negatives).fit(matrix)
        assert np.isfinite(model.user_factors_).all()
    assert make(user_l2=0, item_l2=0).fit(np.ones((3, 3))).history_[-1]["loss"] == 0


def test_rank_is_by_score_plus_scaled_bias(data):
    """The stored bias is that of the softmax times the temperature."""
    training = training_of(data, loss=losses.softmax(0.3))
    training.run_epoch(1)
    np.testing.assert_allclose(
        training.factors.item_biases, training.tables.biases[:, 0, 0] * np.float32(0.3), rtol=1e-6
    )


def test_bad_input(data):
    for params, message in [
        ({"n_negatives": 41}, r"n_negatives must be at most the number of items \(40\) with loss"),
        ({"n_negatives": 0}, "n_negatives must be an integer >= 1, got 0"),
        ({"n_negatives": "some"}, "n_negatives must be 'all' or an integer >= 1, got 'some'"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to 1"),
        ({"dropout": -0.1}, "dropout must be a number from 0 to 1"),
        ({"schedule": "step"}, "schedule must be one of 'constant', 'linear', 'cosine'"),
        ({"sampler": "explicit"}, "takes no given negatives"),
        (
            {"scorer": scorers.DOT._replace(name="mine")},
            "works with the scorers 'dot', 'cosine', got",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**params).fit(data)
    with pytest.raises(ValueError, match="takes no given negatives"):
        make().fit(data, negatives=~data.tocsr().toarray().astype(bool))
    with pytest.raises(ValueError, match="preset must be one of 'bpr', 'softmax', got 'best'"):
        tr.MatrixFactorization.preset("best")


def test_divergence_is_told_within_the_epoch(data):
    model = make(scorer="dot", optimizer="sgd", learning_rate=1e30, batch_size=5, n_epochs=1)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 1"):
        model.fit(data)
    assert not hasattr(model, "user_factors_")
    training = training_of(data, scorer="dot")
    training.tables.items[3, 0, 0] = np.nan
    visited = []
    training._learn = lambda *args, learn=training._learn: visited.append(1) or learn(*args)
    assert math.isnan(training.run_epoch(1)["loss"])
    assert len(visited) == 1


def test_temperature_that_suits_the_catalogue(data):
    per_user = data.nnz / np.count_nonzero(np.diff(data.indptr))
    for scorer, temperature in (("cosine", 1 / math.log(40 / math.sqrt(per_user))), ("dot", 1.0)):
        suited = make(scorer=scorer).fit(data)
        assert_same(suited, make(scorer=scorer, loss=losses.softmax(temperature)).fit(data))


def test_small_temperatures_train(data):
    for temperature in (1e-3, 1e-6, 1e-30):
        model = make(loss=losses.softmax(temperature), user_l2=0, item_l2=0).fit(data)
        assert np.isfinite(model.user_factors_).all() and np.isfinite(model.item_biases_).all()


def test_preset_learns():
    data = tr.datasets.make_interactions(200, 150, 4000, random_state=1)
    train, test = tr.splits.train_test_split(data, 0.2, random_state=0)
    model = tr.MatrixFactorization.preset("softmax").fit(train)
    popular = (np.ones((200, 1)), np.bincount(train.indices, minlength=150)[:, None])
    of_model, of_popular = (
        tr.evaluate(each, test, train, k=20).mean["ndcg@20"] for each in (model, popular)
    )
    assert of_model > 0.95 * of_popular  # two hundred users teach hardly more than popularity
    board = (np.add.outer(np.arange(60), np.arange(80)) % 3 == 0).astype(float)
    held_out = np.random.default_rng(1).random(board.shape) < 0.3
    model = tr.MatrixFactorization.preset("softmax").fit(board * ~held_out)
    assert tr.full_auc(model, board * held_out, board * ~held_out) > 0.99
    assert (
        tr.MatrixFactorization.preset("bpr").get_params() == tr.MatrixFactorization().get_params()
    )


def test_saved_with_its_loss(data, tmp_path):
    for loss in (losses.softmax(0.3), losses.bsl(0.2, 0.7), losses.ccl(0.5, 7.0)):
        model = make(loss=loss, schedule=rates.cosine(0.25), n_negatives=20).fit(data)
        model.save(tmp_path / "model")
        again = tr.load(tmp_path / "model")
        assert again.get_params() == model.get_params()
        assert_same(again, model)
        assert_same(again.fit(data), model)


# -------------------------------------------------------------------- schedules of the learning rate


def test_shapes_of_schedules():
    for name, middle in (("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)):
        schedule = rates.check_schedule(name)
        assert schedule.factor(0.0) == 1.0
        assert schedule.factor(0.5) == pytest.approx(middle)
        assert schedule.factor(1.0) == pytest.approx(1.0 if name == "constant" else 0.0)
        warm = rates.SCHEDULES[name](0.2)
        assert warm.factor(0.05) == pytest.approx(0.25) and warm.factor(0.2) == pytest.approx(1.0)
        assert warm.factor(1.0) == pytest.approx(schedule.factor(1.0))


@hypothesis.given(st.floats(0, 1), st.floats(0, 0.99), st.sampled_from(list(rates.SCHEDULES)))
def test_schedules_stay_between_zero_and_one(done, warmup, name):
    assert 0.0 <= rates.SCHEDULES[name](warmup).factor(done) <= 1.0 + 1e-12


def test_schedule_of_triplets(data):
    """Epochs at rates of their own are epochs of models with that rate."""
    plain = tr.MatrixFactorization(n_factors=3, n_epochs=1, learning_rate=0.05).fit(data)
    half = tr.MatrixFactorization(n_factors=3, n_epochs=1, learning_rate=0.1, schedule="linear")
    assert_same(half.fit(data), plain)
    with pytest.raises(ValueError, match="warmup must be a number between 0 and 1"):
        rates.cosine(1.0)
