"""Optimizers on rows of tables, against the package's update rules on one row at a time.

They move three tables, as those of `MLPMatcher` do: any other number is another kernel.
"""

import numpy as np
import pytest

from tripletrec import optimizers
from tripletrec.neural.row_optimizer import RowOptimizer


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_rows_move_as_a_naive_twin(name, rng):
    """Each touched row moves once, by the optimizer's own rule; all others stay."""
    optimizer = optimizers.OPTIMIZERS[name]()
    tables = [rng.normal(size=(4, 3)).astype(np.float32) for _ in range(3)]
    twins = np.zeros((3, 4, 1 + len(optimizer.state), 3), np.float32)
    twins[:, :, 0] = tables
    twins[:, :, 1:] = np.array(optimizer.state, np.float32)[:, None]
    step_counts = np.tile(np.array(optimizer.step_counts, np.float32), (3, 4, 1))
    parameters = tuple(map(np.float32, optimizer.parameters))
    moving = RowOptimizer(optimizer, 0.1, tables, [0.01] * 3)
    gradients = [np.zeros_like(each) for each in tables]
    for _ in range(5):
        touched = rng.integers(0, 4, (3, 3))
        for twin, counts, gradient, rows in zip(
            twins, step_counts, gradients, touched, strict=True
        ):
            gradient[rows] = rng.normal(size=(3, 3))
            for row in set(rows.tolist()):
                rate = optimizer.step(counts, row, np.float32(0.1), parameters)
                for k in range(3):
                    at, l2 = row * twin[0].size + k, np.float32(0.01)
                    slope = gradient[row, k]
                    optimizer.update(twin.reshape(-1), at, 3, slope, l2, rate, parameters)
        moving.update(gradients, list(touched))
        for table, twin, gradient in zip(tables, twins, gradients, strict=True):
            assert not gradient.any()
            np.testing.assert_allclose(table, twin[:, 0], rtol=1e-5, atol=1e-6)


def test_tables_moved_as_a_whole_take_the_mean():
    tables, gradients = np.ones((2, 3, 2, 2), np.float32)
    moving = RowOptimizer(optimizers.SGD, 1.0, list(tables))
    moving.update(list(gradients), [np.arange(2), None, np.array([1])], 4)
    assert (tables[0] == 0.0).all()
    assert (tables[1] == 0.75).all()
    assert (tables[2] == [[1.0], [0.0]]).all()


@pytest.mark.parametrize("make", [optimizers.adagrad, optimizers.adam])
def test_optimizers_that_differ_in_numbers_alone_share_a_kernel(make):
    tables = [np.ones((2, 3), np.float32)]
    one, other = (RowOptimizer(make(number), 0.1, tables) for number in (0.1, 0.2))
    sgd = RowOptimizer(optimizers.SGD, 0.1, tables)
    assert one._update_tables is other._update_tables is not sgd._update_tables


def test_the_learning_rate_may_change_between_steps():
    tables, gradients = np.zeros((3, 1, 1), np.float32), np.ones((3, 1, 1), np.float32)
    moving = RowOptimizer(optimizers.SGD, 1.0, list(tables))
    moving.update(list(gradients), [None] * 3)
    moving.learning_rate = 0.25
    gradients[...] = 1.0
    moving.update(list(gradients), [np.array([0])] * 3)
    assert (tables == -1.25).all()


def test_tables_have_penalties_and_states_of_their_own(rng):
    """Tables that are moved together end where each ends beside others that stay empty."""
    adam, penalties = optimizers.adam(), (0.0, 0.5, 0.5)
    gradients = rng.normal(size=(4, 3, 3, 2)).astype(np.float32)
    together, alone = np.ones((2, 3, 3, 2), np.float32)
    moving = RowOptimizer(adam, 0.1, list(together), penalties)
    nothing, no_row = np.zeros((3, 2), np.float32), np.empty(0, np.int32)
    singly = [
        RowOptimizer(adam, 0.1, [nothing.copy(), table, nothing.copy()], [0.0, l2, 0.0])
        for table, l2 in zip(alone, penalties, strict=True)
    ]
    for step in gradients:
        rows = [rng.integers(0, 3, 2), None, rng.integers(0, 3, 1)]
        moving.update([each.copy() for each in step], rows)
        for one, gradient, touched in zip(singly, step, rows, strict=True):
            one.update([nothing.copy(), gradient.copy(), nothing.copy()], [no_row, touched, no_row])
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(*together[:2])
