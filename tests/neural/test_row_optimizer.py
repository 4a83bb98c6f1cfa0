"""Optimizers on rows of tables, against the package's update rules on one row at a time."""

import numpy as np
import pytest

from tripletrec import optimizers
from tripletrec.neural.row_optimizer import RowOptimizer


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_rows_move_as_a_naive_twin(name, rng):
    """Each touched row moves once, by the optimizer's own rule; all others stay."""
    optimizer = optimizers.OPTIMIZERS[name]()
    table = rng.normal(size=(4, 3)).astype(np.float32)
    twin = np.zeros((4, 1 + len(optimizer.state), 3), np.float32)
    twin[:, 0] = table
    twin[:, 1:] = np.array(optimizer.state, np.float32)[:, None]
    step_counts = np.tile(np.array(optimizer.step_counts, np.float32), (4, 1))
    parameters = tuple(map(np.float32, optimizer.parameters))
    moving, gradient = RowOptimizer(optimizer, 0.1, [table], [0.01]), np.zeros_like(table)
    for _ in range(5):
        rows = rng.integers(0, 4, 3)
        gradient[rows] = rng.normal(size=(3, 3))
        for row in set(rows.tolist()):
            rate = optimizer.step(step_counts, row, np.float32(0.1), parameters)
            for k in range(3):
                at, l2 = row * twin[0].size + k, np.float32(0.01)
                optimizer.update(twin.reshape(-1), at, 3, gradient[row, k], l2, rate, parameters)
        moving.update([gradient], [rows])
        assert not gradient.any()
        np.testing.assert_allclose(table, twin[:, 0], rtol=1e-5, atol=1e-6)


def test_tables_moved_as_a_whole_take_the_mean():
    one, two = np.ones((2, 2), np.float32), np.ones((2, 2), np.float32)
    gradients = [np.ones((2, 2), np.float32) for _ in range(2)]
    RowOptimizer(optimizers.SGD, 1.0, [one, two]).update(gradients, [np.arange(2), None], 4)
    assert (one == 0.0).all()
    assert (two == 0.75).all()


def test_the_learning_rate_may_change_between_steps():
    table, gradient = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    moving = RowOptimizer(optimizers.SGD, 1.0, [table])
    moving.update([gradient], [None])
    moving.learning_rate = 0.25
    gradient[...] = 1.0
    moving.update([gradient], [np.array([0])])
    assert table[0, 0] == -1.25


def test_tables_have_penalties_and_states_of_their_own(rng):
    """Two tables moved together end where each ends alone."""
    adam = optimizers.adam()
    gradients = rng.normal(size=(4, 2, 3, 2)).astype(np.float32)
    together = [np.ones((3, 2), np.float32), np.ones((3, 2), np.float32)]
    alone = [each.copy() for each in together]
    moving = RowOptimizer(adam, 0.1, together, [0.0, 0.5])
    singly = [RowOptimizer(adam, 0.1, [x], [l2]) for x, l2 in zip(alone, (0.0, 0.5), strict=True)]
    for step in gradients:
        rows = [rng.integers(0, 3, 2), None]
        moving.update([each.copy() for each in step], rows)
        for one, gradient, touched in zip(singly, step, rows, strict=True):
            one.update([gradient.copy()], [touched])
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(*together)
