"""What a training that goes wrong gets: an error for divergence, warnings for what was not learnt."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

import tripletrec as tr
from contracts.fit import checkerboard
from tiers import quick
from training.fits import COVERING
from tripletrec import losses, sampling
from tripletrec.training.health import FARTHEST, LARGEST, Limits, is_stuck, warn_at_the_end

MODELS = [tr.MatrixFactorization, tr.MLPMatcher, tr.TwoTower]
LISTWISE = [tr.MatrixFactorization, tr.TwoTower]


def plan(**params):
    return tr.MatrixFactorization(**params)._plan()


def warned(records, largest=1.0, **params):
    """Return what is said at the end of a training with such records."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_at_the_end(plan(**params), records, largest)
    return [str(each.message) for each in caught]


def records_of(values, n_triplets=5000):
    return [{"loss": loss, "n_triplets": n_triplets} for loss in values]


def fit(model, data):
    """Return a fitted model and its warnings, or the error that says that it has diverged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return model.fit(data), [str(each.message) for each in caught]
        except FloatingPointError as error:
            return error, []


# -------------------------------------------------------------------- a loss that does not move


def test_once_and_with_causes():
    (message,) = warned(records_of([0.5, 0.49999, 0.49998, 0.49997]))
    assert "has not moved for an epoch: 0.49998, then 0.49997 at the end" in message
    for cause in ("softmax", "ReLU", "look alike", "learning_rate 0.05"):
        assert cause in message


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 0.4, 0.4, 0.4],
        [0.5, 0.49],
        [0.0, 0.0, 0.0],
        [0.5],
        [0.4, 0.6],
        [0.5, 0.5, 0.47],
        [5.15, 5.04, 4.97, 4.92, 4.915],
    ],
    ids=str,
)
def test_no_warning(values):
    assert warned(records_of(values)) == []


def test_later_than_the_second_epoch():
    """What the question of K6 saw: a first step, and then nothing."""
    assert is_stuck(records_of([0.479, 0.4645, 0.4650, 0.4643, 0.4642]))


def test_a_model_that_ranks_well_or_better_may_rest():
    for orders, stuck in (((0.9, 0.9), False), ((0.5, 0.56), False), ((0.5, 0.52), True)):
        records = [{"loss": 0.2, "train_auc": each, "n_triplets": 5000} for each in orders]
        assert is_stuck(records) == stuck


def test_losses_of_lists_move_little_where_much_is_learnt():
    for values, n, stuck in (
        ([1.288, 1.275, 1.2724, 1.2707], 30_000, False),
        ([1.364, 1.3639, 1.364, 1.364], 30_000, True),
        ([1.364, 1.3639, 1.364, 1.364], 999, False),
    ):
        assert is_stuck([{"loss": each, "n_positives": n} for each in values]) == stuck


def test_few_steps_prove_nothing():
    assert warned(records_of([0.5, 0.5], n_triplets=999)) == []


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_warns(kind):
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    still = kind(16, loss="bpr", learning_rate=1e-9, n_epochs=3)
    if "dropout" in still.get_params():
        still.set_params(dropout=0.0, init_scale=0.001)  # no noise that moves the loss
    with pytest.warns(UserWarning, match="has not moved for an epoch"):
        still.fit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(16, n_epochs=3, learning_rate=0.2).fit(data)


def test_a_dead_output_warns():
    """A ReLU at the end that is always zero: the margin loss stays 1, as it did for K5's readers."""
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    model = tr.MLPMatcher(final_relu=True, loss="hinge", learning_rate=1e-6, n_epochs=2)
    with pytest.warns(UserWarning, match="ReLU at the end"):
        model.fit(data)
    assert np.isfinite(model.predict(0, np.arange(40))).all()


@pytest.mark.parametrize("rate", [0.01, 0.03])
def test_a_slow_start_is_no_plateau(rate, rng):
    """All scores are nearly equal at first, and so the loss rests for some epochs before it falls."""
    model = tr.MatrixFactorization(16, optimizer="sgd", learning_rate=rate, n_epochs=40)
    model.set_params(random_state=int(rng.integers(2**31)))
    model, said = fit(model, checkerboard())
    values = [record["loss"] for record in model.history_]
    assert values[0] > 0.68 and values[-1] < 0.3
    assert said == []


# -------------------------------------------------------------------- divergence


def test_limits_of_the_loss():
    for params, highest in (
        ({}, FARTHEST),
        ({"loss": losses.hinge(1e6)}, 1.1e6),
        ({"loss": "sigmoid"}, FARTHEST),
        ({"loss": losses.softmax(1e3), "scorer": "dot"}, FARTHEST + 13816),
    ):
        limits = Limits(plan(**params))
        for loss in (0.999 * highest, -0.999 * highest):
            assert limits.check(1, loss, ()) == 0.0
        for loss in (1.001 * highest, -1.001 * highest, math.nan, math.inf, -math.inf):
            with pytest.raises(FloatingPointError, match="diverged in epoch 3: the loss .*L2$"):
                limits.check(3, loss, ())


def test_limits_of_factors():
    limits = Limits(plan())
    arrays = [np.full((2, 3), -2.0, np.float32), np.empty((0, 3), np.float32)]
    assert limits.check(1, 0.5, arrays) == 2.0
    for value in (-1.01 * LARGEST, 1.01 * LARGEST):
        arrays[0][1, 1] = value
        with pytest.raises(
            FloatingPointError, match=r"a factor has grown to 1.01e\+06; try a learning"
        ):
            limits.check(1, 0.5, arrays)
    for value in (math.nan, math.inf, -math.inf):
        arrays[0][1, 1] = value
        with pytest.raises(FloatingPointError, match="a factor is not finite"):
            limits.check(1, 0.5, arrays)


def test_a_loss_far_above_that_of_equal_scores_is_told():
    (message,) = warned([{"loss": 80.0}], loss="bpr") + warned([{"loss": 120.0}], loss="bpr")
    assert "ended at 120, that of equal scores is 0.693: try a learning_rate below 0.05" in message
    assert warned([{"loss": 9e4}], loss=losses.hinge(1e3)) == []


def test_large_factors_that_order_little_are_told():
    assert "factors have grown to 2e+03: try a" in warned([{"loss": 0.4}], 2e3, loss="softmax")[0]
    for order, largest, told in (
        (0.6, 2e3, 1),
        (0.6, 9e2, 0),
        (0.7, 2e3, 0),
        (0.5, 60, 1),
        (0.5, 40, 0),
    ):
        said = warned([{"loss": 0.4, "train_auc": order}], largest)
        assert len(said) == told
        assert (
            told == 0 or f"grown to {largest:.3g}, but only {order:.0%} of the training" in said[0]
        )


@pytest.mark.parametrize("kind", quick(MODELS, tr.MatrixFactorization, tr.MLPMatcher))
@pytest.mark.parametrize("optimizer", quick(["sgd", "adagrad", "adam"], "adagrad"))
def test_steps_far_too_large_are_never_silent(kind, optimizer, rng):
    """With any loss: it learns all the same, or there is an error or a warning."""
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    names, settings = ["bpr", "hinge", "sigmoid"], {}
    if kind is tr.MatrixFactorization:  # which has a kernel for each choice of parts
        names = [name for name in names if (name, "dot", optimizer) in COVERING]
        settings = {} if optimizer == "adam" else {"history": 0.0}
    if kind in LISTWISE:
        names += ["softmax", "ccl", "bsl"]
    for name in rng.permutation(names)[:3]:
        rate = float(10.0 ** rng.uniform(3, 30))
        model = kind(
            16, loss=str(name), optimizer=optimizer, learning_rate=rate, n_epochs=4, **settings
        )
        model, said = fit(model.set_params(random_state=int(rng.integers(2**31))), data)
        print(name, rate, model, said)
        if isinstance(model, FloatingPointError):
            assert f"learning_rate below {rate:g}" in str(model)
        elif not said:
            assert model.score(data, exclude=None) > 0.5


@pytest.mark.parametrize("optimizer", quick(["adagrad", "adam"], "adagrad"))
@pytest.mark.parametrize("kind", MODELS)
def test_blow_ups_that_stay_finite_are_errors(kind, optimizer, rng):
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    # With much larger rates products of several layers may pass the largest float32.
    model = kind(16, loss="bpr", optimizer=optimizer, learning_rate=1e6, n_epochs=4)
    with pytest.raises(FloatingPointError, match=r"grown to .*; try a learning_rate below 1e\+06"):
        model.set_params(random_state=int(rng.integers(2**31))).fit(data)
    assert not hasattr(model, "history_")


@pytest.mark.parametrize("kind", quick(MODELS, tr.MatrixFactorization))
def test_healthy_trainings_hear_nothing(kind, rng):
    """Rates that people use, whatever the weights, margins and temperatures are."""
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    weights = rng.uniform(0, 1e6, len(data))
    cases = [
        ({"optimizer": "adagrad", "learning_rate": float(10 ** rng.uniform(-1, 0.5))}, None),
        ({"optimizer": "adam", "learning_rate": float(10 ** rng.uniform(-2, -1))}, None),
        ({"optimizer": "adagrad"}, weights),
        ({"loss": losses.hinge(1e3), "optimizer": "adagrad", "learning_rate": 1.0}, None),
    ]
    if kind is tr.MatrixFactorization:
        cold = {"loss": losses.softmax(1e-3), "scorer": "cosine", "learning_rate": 0.01}
        cases += [(cold, None), ({"learning_rate": 10.0}, None)]
    for params, each in cases:
        model = kind(16, n_epochs=15, random_state=int(rng.integers(2**31)), **params)
        print(params)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(data, sample_weight=each)


# -------------------------------------------------------------------- losses that are wrong by themselves


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ValueError("of math.log"), r"loss 'mine' returned nan at x = -0.5 \(value\)"),
        (ZeroDivisionError("by 0"), r"loss 'mine' returned nan at x = -0.5 \(value\)"),
        (OverflowError("of math.exp"), r"loss 'mine' returned inf at x = -0.5 \(value\)"),
        (
            TypeError("an own one"),
            "not finite, and loss 'mine' raises TypeError: an own one in Python",
        ),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_loss_that_raises_is_not_taken_for_a_healthy_one(raised, said):
    @tr.part
    def value(x, parameters):
        if -0.9 < x < -0.3:
            raise raised
        return max(0.0, 1.0 - x)

    @tr.part
    def slope(x, parameters):
        return -1.0

    own = losses.BPR._replace(name="mine", value=value, slope=slope)
    limits = Limits(replace(plan(), loss=own))
    with pytest.raises(FloatingPointError, match=f"diverged in epoch 2: .*{said}"):
        limits.check(2, math.nan, ())


def test_a_loss_that_returns_nan_is_called_that():
    @tr.part
    def value(x, parameters):
        return math.nan if x < -3.0 else max(0.0, 1.0 - x)

    @tr.part
    def slope(x, parameters):
        return -1.0

    limits = Limits(plan(loss=losses.Loss("mine", value, slope)))
    with pytest.raises(FloatingPointError, match=r"loss 'mine' returned nan at x = -5 \(value\)"):
        limits.check(2, math.nan, ())
    with pytest.raises(FloatingPointError, match="try a learning_rate"):
        Limits(plan(sampler=sampling.dynamic())).check(2, math.nan, ())
