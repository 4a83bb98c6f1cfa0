"""Optimizers: updates against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tripletrec import optimizers


@pytest.mark.parametrize("name", list(optimizers.OPTIMIZERS))
@given(seed=st.integers(0, 2**32 - 1))
def test_optimizer_equals_its_naive_twin(name, seed):
    optimizer = optimizers.check_optimizer(name)
    gradients = np.random.default_rng(seed).normal(size=(6, 3))
    twin = naive.Row(np.ones(3), name, 0.1)
    table = np.ones((1, 1 + len(optimizer.state), 3))
    table[:, 1:] = np.reshape(optimizer.state, (-1, 1))
    step_counts, size, l2 = np.array([optimizer.step_counts]), np.float64(0.1), np.float64(0.03)
    for g in gradients:
        twin.update(g + l2 * twin.w)
        rate = optimizer.step(step_counts, 0, size, optimizer.parameters)
        for k in range(3):
            optimizer.update(table.reshape(-1), k, 3, g[k], l2, rate, optimizer.parameters)
    np.testing.assert_allclose(table[0, 0], twin.w, rtol=1e-9)


def test_step_counts_of_adam_settle():
    optimizer = optimizers.adam(beta2=0.99)
    step_counts, parameters = (
        np.zeros((1, 2), np.float32),
        tuple(map(np.float32, optimizer.parameters)),
    )
    for _ in range(12_000):
        rate = optimizer.step(step_counts, 0, np.float32(0.1), parameters)
    # The sums of all powers of β: nothing is left to correct.
    np.testing.assert_allclose(step_counts, [[10.0, 100.0]], rtol=1e-5)
    np.testing.assert_allclose(rate, 0.1, rtol=1e-5)


def test_state_of_adam_never_becomes_subnormal():
    optimizer, zero = optimizers.adam(beta1=0.5, beta2=0.5), np.float32(0.0)
    table, parameters = np.ones(3, np.float32), tuple(map(np.float32, optimizer.parameters))
    for _ in range(200):
        optimizer.update(table, 0, 1, zero, zero, np.float32(0.01), parameters)
        assert table[1] == 0 or table[1] >= np.finfo(np.float32).tiny
        assert table[2] >= np.finfo(np.float32).tiny
    assert table[1] == 0 and np.isfinite(table).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimizers.adagrad(-1.0), "initial must be a finite number > 0, got -1.0"),
        (lambda: optimizers.adam(beta1=1.0), "beta1 must be a number between 0 and 1"),
        (lambda: optimizers.adam(epsilon=0.0), "epsilon must be a finite number > 0"),
        (lambda: optimizers.check_optimizer("ada"), "optimizer must be one of 'sgd', 'adagrad'"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
