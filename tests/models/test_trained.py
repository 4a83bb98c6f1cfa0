"""The one fit of all models: validation, early stopping, callbacks, divergence, what a failed fit leaves."""

import re
import warnings
from contextlib import suppress

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import assert_same, interactions, learnt
from tiers import quick
from tripletrec import losses, optimizers

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")

MODELS = {
    "MatrixFactorization": lambda **options: make(**options),
    "softmax": lambda **options: make(loss="softmax", history=0.0, **options),
    "MLPMatcher": lambda **options: tr.MLPMatcher(4, 6, (8,), **{"n_epochs": 3, **options}),
    "TwoTower": lambda **options: tr.TwoTower(6, **{"n_epochs": 3, "loss": "bpr", **options}),
}


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **overrides})


def arrays(model):
    return model.user_factors_, model.item_factors_, model.item_biases_


@pytest.fixture(params=MODELS)
def each(request):
    """A function that makes one of the models."""
    return MODELS[request.param]


# -------------------------------------------------------------------- the same for all models


def test_callbacks_see_the_model_as_it_would_be(each, pairs):
    seen = []

    def note(model, record):
        assert model is not fitted and model.history_[-1] is record
        seen.append((model.n_users_, model.predict(0, np.arange(40)), len(model.history_)))

    fitted = each()
    fitted.fit(pairs, callbacks=[note])
    assert [(n_users, n) for n_users, _, n in seen] == [(30, 1), (30, 2), (30, 3)]
    np.testing.assert_array_equal(seen[-1][1], fitted.predict(0, np.arange(40)))
    assert_same(fitted, each().fit(pairs))


@pytest.mark.filterwarnings("ignore:Setting the shape")
def test_callbacks_cannot_reshape_what_is_learnt(each, pairs):
    def flatten(model, record):
        with suppress(AttributeError):  # some are views of padded rows, whose shape NumPy keeps
            model.user_factors_.shape = model.item_factors_.shape = (-1,)
        model.n_users_ = model.n_items_ = 10**6

    assert_same(each().fit(pairs, callbacks=flatten), each().fit(pairs))


def test_a_callback_may_save_the_model(each, pairs, tmp_path):
    def save(model, record):
        with pytest.raises(ValueError, match="state must be False .* the one that a callback gets"):
            model.save(tmp_path / "state", state=True)
        model.save(tmp_path / str(record["epoch"]))
        found = tr.load(tmp_path / str(record["epoch"]))
        assert len(found.history_) == found.best_epoch_ == record["epoch"]
        np.testing.assert_array_equal(found.user_factors_, model.user_factors_)

    model = each(n_epochs=3).fit(pairs, callbacks=save)
    assert_same(tr.load(tmp_path / "3"), model)
    model.set_params(n_epochs=2).fit(pairs, callbacks=save)
    assert_same(tr.load(tmp_path / "2"), model)
    model.partial_fit(pairs[:9], callbacks=save)
    assert_same(tr.load(tmp_path / "3"), model)


def test_a_callback_ends_training(each, pairs):
    calls = []
    model = each().fit(
        pairs, callbacks=[lambda _, record: record["epoch"] == 2, lambda *_: calls.append(1)]
    )
    assert len(model.history_) == model.best_epoch_ == len(calls) == 2


def test_early_stopping_keeps_the_best_epoch(each, pairs):
    held_out = interactions(30, 40, 100, seed=1)
    model = each(n_epochs=40, early_stopping=3, learning_rate=0.5)
    model.fit(pairs, validation=held_out)
    aucs = [record["validation_auc"] for record in model.history_]
    assert model.best_epoch_ == int(np.argmax(aucs)) + 1
    assert len(aucs) == min(40, model.best_epoch_ + 3)
    assert tr.full_auc(model, held_out, pairs) == aucs[model.best_epoch_ - 1]


def test_a_failed_fit_changes_nothing(each, pairs):
    def fail(model, record):
        raise RuntimeError("enough")

    model = each().fit(pairs)
    before = learnt(model)
    for kind, options in (
        (RuntimeError, {"callbacks": fail}),
        (ValueError, {"validation": np.ones((3, 3))}),
        (ValueError, {"sample_weight": [1.0]}),
        (ValueError, {"negatives": pairs}),
    ):
        with pytest.raises(kind):
            model.fit(interactions(5, 60, 80), **options)
        assert learnt(model) == before
    assert vars(model).keys() == vars(each().fit(pairs)).keys()


def test_the_warning_of_a_loss_that_stands_names_the_line_of_the_caller(each):
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    model = each(learning_rate=1e-9, n_epochs=3, dropout=0.0, init_scale=0.001)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data)
    (warning,) = caught
    assert "has not moved" in str(warning.message)
    assert warning.filename == __file__


def test_a_training_can_be_started_without_a_fit(each, pairs):
    model = each()
    plan = model._plan_for(model._plan(), pairs, None)
    training, attributes = model._begin(plan, pairs, None, None, **unheard_of(model))
    records = [training.run_epoch(number) for number in (1, 2, 3)]
    model._take(pairs, training.release(), attributes)
    fitted = each().fit(pairs)
    np.testing.assert_array_equal(model.predict(0, np.arange(40)), fitted.predict(0, np.arange(40)))
    assert [record["loss"] for record in records] == [each["loss"] for each in fitted.history_]


def unheard_of(model):
    """Return the features of no user and no item, for the models that take them."""
    takes = isinstance(model, tr.TwoTower)
    return {"user_features": None, "item_features": None} if takes else {}


# -------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (np.ones((30, 39)), "validation must have the 30 users and 40 items of X, got 30 and 39"),
        (np.zeros((30, 40)), "validation has no interaction"),
        (np.full((30, 40), -1), "validation must hold finite values >= 0, got the negative"),
    ],
)
def test_wrong_validation(validation, message, refused, pairs):
    refused(ValueError, message, pairs, validation=validation)


def test_validation_that_holds_nothing_new(refused, pairs):
    message = "no user can be evaluated"
    refused(ValueError, message, pairs, validation=pairs)


def test_validation_whose_metric_is_undefined(refused):
    """Everything that is not a training positive is a validation positive: no AUC."""
    train = np.array([[1, 1, 0, 0], [0, 1, 0, 0]])
    for params in ({}, {"early_stopping": 2}):
        message = "validation has no user with a negative: auc is undefined"
        refused(ValueError, message, train, params=params, validation=1 - train)


# -------------------------------------------------------------------- divergence


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("rate", [1e7, 1e30, 1e300])
def test_divergence(rate, n_jobs, refused, pairs):
    for validation in (None, interactions(*pairs.space.shape, 20, seed=1)):
        refused(
            FloatingPointError,
            "training diverged in epoch 1: .* try a learning_rate",
            pairs,
            params={"optimizer": "sgd", "learning_rate": rate, "n_jobs": n_jobs},
            validation=validation,
        )


@pytest.mark.parametrize("validation", [None, np.array([[0, 1, 0]])])
def test_divergence_in_the_last_step(validation, refused):
    """One triplet: its loss is that of the start, and the step after it leaves no finite factor."""
    refused(
        FloatingPointError,
        "training diverged in epoch 1",
        np.array([[1, 0, 0]]),
        params={"optimizer": "sgd", "learning_rate": 1e38, "init_scale": 100.0, "n_epochs": 1},
        validation=validation,
    )


@pytest.mark.parametrize("optimizer", quick(optimizers.OPTIMIZERS, "adagrad"))
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_fit_is_finite_or_refused(loss, optimizer, pairs, rng):
    """Whatever the step: factors that can be used, or an error."""
    for rate in 10.0 ** rng.uniform(-3, 38, 6):
        model = make(loss=loss, optimizer=optimizer, learning_rate=float(rate))
        try:
            model.fit(pairs)
        except FloatingPointError:
            assert not [name for name in vars(model) if name.endswith("_")]
        else:
            assert all(np.isfinite(each).all() for each in arrays(model))


def test_validation_that_was_trained_on_is_spoken_of_once(pairs):
    """Not once for each epoch; what is left counts as if it had been given alone."""
    held_out = tr.Interactions(sp.csr_matrix(np.random.default_rng(5).random((30, 40)) < 0.2))
    apart = (held_out.tocsr() > 0).multiply(pairs.tocsr() == 0)
    n_both, n_all = len(held_out) - apart.nnz, len(held_out)
    message = f"^{n_both} of {n_all} positives in validation are in X too and are left out; "
    model = tr.MatrixFactorization(n_factors=4, n_epochs=4, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(pairs, validation=held_out)
    texts = [str(each.message) for each in caught if "validation" in str(each.message)]
    assert len(texts) == 1 and re.match(message, texts[0])
    assert [each.filename for each in caught if str(each.message) in texts] == [__file__]
    aucs = [each["validation_auc"] for each in model.history_]
    model.fit(pairs, validation=tr.Interactions(sp.csr_matrix(apart)))
    assert aucs == [each["validation_auc"] for each in model.history_]
    with pytest.raises(ValueError, match="X holds all positives of validation"):
        model.fit(pairs, validation=pairs)
