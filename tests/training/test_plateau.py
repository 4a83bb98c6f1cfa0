"""The warning of a loss that does not move."""

import warnings

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.training.plateau import PlateauMonitor


def look(losses, n_triplets=5000):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor = PlateauMonitor(0.1)
        for loss in losses:
            monitor.warn_if_stuck({"loss": loss, "n_triplets": n_triplets})
    return [str(each.message) for each in caught]


def test_once_and_with_causes():
    (message,) = look([0.5, 0.49999, 0.49998, 0.49999])
    assert "has not moved" in message and "0.5, then 0.49999" in message
    for cause in ("softmax", "ReLU", "look alike", "learning_rate 0.1"):
        assert cause in message


@pytest.mark.parametrize(
    "losses", [[0.5, 0.4, 0.4, 0.4], [0.5, 0.49], [0.0, 0.0, 0.0], [0.5], [0.4, 0.6]], ids=str
)
def test_no_warning(losses):
    assert look(losses) == []


def test_later_than_the_second_epoch():
    """What the question of K6 saw: a first step, and then nothing."""
    (message,) = look([0.479, 0.4645, 0.4650, 0.4635])
    assert "0.4645, then 0.465" in message


def test_a_model_that_ranks_well_may_rest():
    monitor = PlateauMonitor(0.1)
    records = [{"loss": 0.2, "train_auc": 0.9, "n_triplets": 5000}] * 3
    assert not any(monitor.is_stuck(record) for record in records)


def test_earlier_epochs_count_but_do_not_warn():
    """The loss has come down since an epoch of an earlier run; or it has been stuck since then."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        came_down = PlateauMonitor(0.1, [{"loss": 0.9}, {"loss": 0.5}])
        stuck = PlateauMonitor(0.1, [{"loss": 0.5}])
        warned_before = PlateauMonitor(0.1, [{"loss": 0.5}, {"loss": 0.5}])
    answers = [each.is_stuck({"loss": 0.5}) for each in (came_down, stuck, warned_before)]
    assert answers == [False, True, False]


def test_few_steps_prove_nothing():
    assert look([0.5, 0.5], n_triplets=999) == []


@pytest.mark.parametrize("kind", [tr.MatrixFactorization, tr.MLPMatcher, tr.TwoTower])
def test_every_model_warns(kind):
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    still = kind(learning_rate=1e-9, n_epochs=3)
    if "dropout" in still.get_params():
        still.set_params(dropout=0.0, init_scale=0.001)  # no noise that moves the loss
    with pytest.warns(UserWarning, match="has not moved for an epoch"):
        still.fit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(n_epochs=3, learning_rate=0.2).fit(data)


def test_a_dead_output_warns():
    """A ReLU at the end that is always zero: the margin loss stays 1, as it did for K5's readers."""
    data = tr.datasets.make_interactions(60, 40, 1200, random_state=0)
    model = tr.MLPMatcher(final_relu=True, loss="hinge", learning_rate=1e-6, n_epochs=2)
    with pytest.warns(UserWarning, match="ReLU at the end"):
        model.fit(data)
    assert np.isfinite(model.predict(0, np.arange(40))).all()
