"""Training by list-wise losses: threads, pieces, continuing, and the model."""

import math

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import assert_same, interactions
from tiers import quick_rows
from training.fits import NAMES
from tripletrec import losses, optimizers, rates, sampling, scorers
from tripletrec.training.listwise import ListwiseTraining, PieceSizes

SMALL_PIECES = PieceSizes(scores=8, least=4)  # several of them in data of any size


def make(**overrides):
    return tr.MatrixFactorization(
        **{
            "n_factors": 3, "n_epochs": 2, "loss": "softmax", "scorer": "cosine",
            "optimizer": "adam", "learning_rate": 0.01, "history": 0.0, **overrides,
        }
    )  # fmt: skip


def training_of(
    data, n_negatives=None, batch_size=3, dropout=0.0, n_jobs=1, *, sizes=SMALL_PIECES,
    given=None, **params,
):  # fmt: skip
    l2 = {"user_l2": 0.03, "item_l2": 0.02, "negative_l2": 0.01, "bias_l2": 0.05}
    return ListwiseTraining(
        make(init_scale=0.5, **l2, **params)._plan(), data, None, n_negatives, batch_size, dropout,
        n_jobs, sizes=sizes, given=given,
    )  # fmt: skip


def bits(training, names=NAMES):
    return {name: getattr(training.tables, name).tobytes() for name in names}


def run(training, numbers):
    return [training.run_epoch(number)["loss"] for number in numbers]


def test_all_items_drawn_are_all_items():
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
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_same_bits_at_any_number_of_threads(n_negatives, share):
    data = interactions(40, 90, 700)
    others = tr.Interactions(1.0 * (data.tocsr().toarray() == 0))
    results = []
    for n_jobs in (1, 2, 4):
        training = training_of(
            data, n_negatives, 7, n_jobs=n_jobs, sizes=PieceSizes(16, least=16), given=others,
            sampler=tr.sampling.explicit(share),
        )  # fmt: skip
        with training.threads():
            losses_found = run(training, (1, 2))
        results.append((bits(training), losses_found))
    assert results[0] == results[1] == results[2]


def test_pieces_change_rounding_only():
    data = interactions(20, 50, 200)
    cut = training_of(data, optimizer="sgd", scorer="dot")
    cut.run_epoch(1)
    whole = training_of(data, optimizer="sgd", scorer="dot", sizes=PieceSizes())
    whole.run_epoch(1)
    assert cut.piece_size < whole.piece_size
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


# -------------------------------------------------------------------- continuing


@pytest.mark.parametrize("n_negatives", [None, 5], ids=["all", "some"])
@pytest.mark.parametrize("sampler", ["unseen", "popularity"])
@pytest.mark.parametrize(
    ("loss", "scorer", "optimizer"),
    # Kernels that are compiled for others, too.
    quick_rows(
        [("softmax", "dot", "sgd"), ("bsl", "cosine", "sgd"), ("bsl", "dot", "adagrad"),
         ("softmax", "cosine", "adagrad"), ("softmax", "cosine", "adam"), ("softmax", "dot", "adam")],
        *[("bsl", "dot", "adagrad"), ("softmax", "cosine", "adam")],
    ),
)  # fmt: skip
def test_an_epoch_depends_on_its_tables_and_number_alone(
    loss, scorer, optimizer, sampler, n_negatives
):
    """Five epochs are three epochs, and two of another training that takes over their state."""
    data = interactions(12, 20, 60)
    choice = {
        "n_negatives": n_negatives, "dropout": 0.2, "loss": loss, "optimizer": optimizer,
        "scorer": scorer, "sampler": sampler, "schedule": "linear", "n_epochs": 5,
    }  # fmt: skip
    at_once = training_of(data, **choice)
    expected = run(at_once, range(1, 6))
    begun = training_of(data, **choice)
    found = run(begun, (1, 2, 3))
    continued = training_of(data, **choice)
    continued.restore(begun.state())
    assert found + run(continued, (4, 5)) == expected
    assert bits(continued) == bits(at_once)


def test_users_without_positives_keep_given_factors():
    matrix = interactions(12, 20, 60).tocsr().toarray()
    begun = training_of(tr.Interactions(matrix))
    begun.run_epoch(1)
    before = begun.tables.users.copy()
    matrix[4] = 0
    continued = training_of(tr.Interactions(matrix))
    continued.restore(begun.state())
    continued.run_epoch(2)
    changed = (continued.tables.users != before).any((1, 2))
    assert not changed[4] and changed[[u for u in range(12) if matrix[u].any()]].all()


def test_other_losses_are_refused():
    with pytest.raises(TypeError, match="loss 'bpr' is not list-wise"):
        training_of(interactions(12, 20, 60), loss="bpr")


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
        {"schedule": "constant"}, {"schedule": "linear"}, {"schedule": rates.constant(0.5)},
        {"loss": losses.softmax(0.2)}, {"loss": "bsl"}, {"loss": losses.bsl(0.1, 0.5)},
        {"loss": "ccl"}, {"loss": losses.ccl(0.1)}, {"loss": losses.ccl(0.4, 5.0)},
        {"optimizer": "adagrad"}, {"scorer": "dot", "optimizer": "adagrad"},
        {"scorer": "dot", "optimizer": "sgd"}, {"optimizer": optimizers.adam(beta1=0.5)},
        {"sampler": "uniform"}, {"n_negatives": 20, "sampler": "unseen"},
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
        ({"sampler": "explicit"}, "from the argument negatives of fit, which is missing"),
        (
            {"scorer": scorers.DOT._replace(name="mine")},
            "works with the scorers 'dot', 'cosine', got",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**params).fit(data)
    others = ~data.tocsr().toarray().astype(bool)
    with pytest.raises(ValueError, match="must have a share below 1"):
        make(sampler=tr.sampling.explicit(1.0)).fit(data, negatives=others)
    with pytest.raises(ValueError, match="preset must be 'bpr' or 'softmax', got 'best'"):
        tr.MatrixFactorization.preset("best")


def test_divergence_is_told_within_the_epoch(data):
    model = make(scorer="dot", optimizer="sgd", learning_rate=1e30, batch_size=5, n_epochs=1)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 1"):
        model.fit(data)
    assert not hasattr(model, "user_factors_")
    training = training_of(data, scorer="dot", optimizer="adagrad")
    training.tables.items[3, 0, 0] = np.nan
    batches = []
    training.learn_from = lambda *args, learn=training.learn_from: batches.append(1) or learn(*args)
    assert math.isnan(training.run_epoch(1)["loss"])
    assert len(batches) == 1


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


# ------------------------------------------------------------------ items that nobody has


def test_items_that_nobody_has_are_candidates_by_popularity_too():
    """Nothing else moves their biases: they would rank above what is seldom liked."""
    known = interactions(12, 20, 60).tocsr().toarray()
    data = tr.Interactions(np.hstack([known, np.zeros((12, 5), known.dtype)]))
    training = training_of(data, sampler="popularity", n_negatives=15, n_epochs=20)
    run(training, range(1, 21))
    assert (training.factors.item_biases[20:] < 0.0).all()
