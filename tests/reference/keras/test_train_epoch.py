"""An epoch: each example once, in batches, and a loss that must stay finite."""

import numpy as np
import pytest

from tripletrec.reference.keras import SGD, train_epoch


class Recorder:
    def __init__(self, losses):
        self.parameters, self.gradients = [np.zeros(1)], [np.zeros(1)]
        self.seen, self.losses = [], iter(losses)

    def backward(self, a, b):
        self.seen.append(np.stack([a, b]))
        return next(self.losses)


def test_an_epoch_shows_each_example_once_and_means_over_examples():
    model, optimizer = Recorder([1.0, 2.0, 6.0]), SGD()
    columns = (np.arange(10), np.arange(10) + 100)
    mean = train_epoch(model, optimizer, columns, 4, np.random.default_rng(8))
    assert [each.shape[1] for each in model.seen] == [4, 4, 2]
    assert mean == pytest.approx((4 * 1.0 + 4 * 2.0 + 2 * 6.0) / 10)
    a, b = np.concatenate(model.seen, axis=1)
    assert sorted(a) == list(range(10))
    assert (a != np.arange(10)).any()
    assert (b == a + 100).all()
    assert optimizer.n_steps == 3


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(FloatingPointError, match="learning_rate"):
        model = Recorder([float("nan")])
        train_epoch(model, SGD(), (np.arange(2),) * 2, 4, np.random.default_rng(9))
