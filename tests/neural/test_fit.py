"""What fits of networks share: batches, learning rates, updates, cancelling, arrays of the fitted model."""

import numpy as np
import pytest

from tripletrec import losses, optimizers, rates, sampling
from tripletrec.neural.fit import NetworkTraining
from tripletrec.training.plan import NetworkPlan


class Network:
    """One table of four rows, one stack of two weights; every gradient is 1."""

    stacks = ("layers",)

    def __init__(self):
        self.parameters = [np.zeros((4, 1), np.float32) for _ in range(2)]
        self.parameters.append(np.zeros((1, 2), np.float32))
        self.gradients = [np.zeros_like(each) for each in self.parameters]
        self.touched = [np.empty(0, np.int32), np.empty(0, np.int32), None]

    def learn(self, rows):
        self.touched[0] = np.asarray(rows, np.int32)
        self.gradients[0][rows] = 1.0
        self.gradients[2][...] = 1.0


class Training(NetworkTraining):
    """Its epoch is ten rows, of which each batch touches the first and the last."""

    def run_epoch(self, number):
        self._factors = None
        batches = []
        for batch in self._batches(number, 10):
            batches.append((batch.start, batch.stop, self._optimizer.learning_rate))
            self.network.learn(sorted({batch.start % 4, (batch.stop - 1) % 4}))
        return {"batches": batches}


def training_of(**changes):
    settings = {
        "loss": losses.BPR, "optimizer": optimizers.SGD, "sampler": sampling.UNSEEN, "seed": 0,
        "learning_rate": 0.5, "n_negatives": 1, "batch_size": 4, "init_scale": 0.1, "n_epochs": 2,
    }  # fmt: skip
    network = Network()
    plan = NetworkPlan(**{**settings, **changes})
    return Training(plan, network, lambda: tuple(network.parameters))


def test_batches_cover_the_epoch_and_each_is_followed_by_an_update():
    training = training_of()
    batches = training.run_epoch(1)["batches"]
    assert [batch[:2] for batch in batches] == [(0, 4), (4, 8), (8, 10)]
    table, _, layers = training.network.parameters
    # Rows 0 and 3, 0 and 3, 0 and 1: a row moves by the sum, layers by the mean over the batch.
    np.testing.assert_allclose(table[:, 0], [-1.5, -0.5, 0.0, -1.0])
    np.testing.assert_allclose(layers, -0.5 * (1 / 4 + 1 / 4 + 1 / 2))
    assert not any(gradient.any() for gradient in training.network.gradients)


def test_the_learning_rate_of_a_batch_is_that_of_its_middle():
    training = training_of(schedule=rates.linear())
    expected = {}
    for number, middles in ((1, (0.2, 0.6, 0.9)), (2, (1.2, 1.6, 1.9))):
        expected[number] = [training.plan.rate_at(each) for each in middles]
        training.run_epoch(number)
    training = training_of(schedule=rates.linear())
    training.run_epoch(1)
    table = -training.network.parameters[0][:, 0]
    assert table[0] == pytest.approx(sum(expected[1]), rel=1e-6)
    training.run_epoch(2)
    assert -training.network.parameters[0][0, 0] == pytest.approx(
        sum(expected[1]) + sum(expected[2]), rel=1e-6
    )


def test_the_penalty_of_layers_is_theirs_alone():
    training = training_of(layer_l2=0.5, learning_rate=0.1)
    for each in training.network.parameters:
        each[...] = 1.0
    training.network.learn = lambda rows: None
    training.network.touched = [np.arange(4), np.arange(4), None]
    training.run_epoch(1)
    users, items, layers = training.network.parameters
    assert (users == 1.0).all() and (items == 1.0).all()
    np.testing.assert_allclose(layers, 0.95**3, rtol=1e-6)


def test_a_cancelled_epoch_ends_before_the_next_batch():
    training, steps = training_of(), []

    def learn(rows):
        steps.append(rows)
        training.cancelled = True

    training.network.learn = learn
    with pytest.raises(KeyboardInterrupt):
        training.run_epoch(1)
    assert len(steps) == 1


def test_factors_are_views_and_released_ones_copies():
    training = training_of()
    training.run_epoch(1)
    shared, own = training.factors, training.release()
    for parameter, view, copy in zip(training.network.parameters, shared, own, strict=True):
        np.testing.assert_array_equal(view, copy)
        assert np.shares_memory(parameter, view) and not np.shares_memory(parameter, copy)
