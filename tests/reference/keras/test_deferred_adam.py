"""Deferred steps: in the end they are those of the dense optimizer."""

import numpy as np
import pytest

from tripletrec.reference.keras import Adam, DeferredAdam, deferred_adam


@pytest.mark.parametrize("n_steps", [3, 400, 3000])
def test_deferred_adam_is_dense_adam(n_steps, rng):
    """Rows met seldom, often and never, against the optimizer that moves all of them each time."""
    start = rng.normal(size=(40, 5)).astype(np.float32)
    weights, gradients = [start.copy(), start.copy()], [np.zeros_like(start) for _ in range(2)]
    dense, deferred = Adam(0.01), DeferredAdam(0.01)
    for _ in range(n_steps):
        rows = np.minimum(rng.geometric(0.1, 4) - 1, 38)
        gradients[0][rows] = gradients[1][rows] = rng.normal(size=(4, 5)) * 0.01 + 0.005
        dense.update([weights[0]], [gradients[0]])
        deferred.catch_up([weights[1]], [rows])
        deferred.update([weights[1]], [gradients[1]], [rows])
        assert not gradients[1].any()
    deferred.settle([weights[1]])
    moved = np.abs(weights[0] - start).max()
    np.testing.assert_allclose(weights[1], weights[0], atol=3e-3 * moved)
    np.testing.assert_array_equal(weights[1][39], start[39])


def test_the_compiled_loops_equal_plain_python():
    """Rows that are up to date, a few steps behind, and further behind than the sums reach."""
    rng = np.random.default_rng(3)
    weights, rows = rng.normal(size=(6, 3)).astype(np.float32), np.array([4, 0, 1, 4, 5], np.int32)
    adam = DeferredAdam(0.1)
    adam.catch_up([weights], [rows])
    moments = [rng.random((6, 3), dtype=np.float32) for _ in range(2)]
    last, rates = np.array([300, 299, 0, 0, 290, 10]), rng.random(512)
    found = []
    kernels = deferred_adam._catch_up, deferred_adam._step
    for catch_up, step in (kernels, [each.py_func for each in kernels]):
        table = [each.copy() for each in (last, weights, *moments)]
        gradient, epsilon = np.full((6, 3), 0.5, np.float32), np.float32(1e-7)
        sums, root2 = np.empty_like(adam._sums), np.sqrt(0.999)
        catch_up(rows, 300, rates, *table, 0.9, root2, sums, adam._powers, epsilon)
        assert table[0].tolist() == [300, 300, 0, 0, 300, 300]
        step(rows, 301, 0.1, *table, gradient, 0.9, 0.999, epsilon)
        assert (gradient == 0.0).any(axis=1).tolist() == [True, True, False, False, True, True]
        found.append(table[1:])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
