"""Exponentials and logarithms in float32: their errors, compiled or not, and numbers at the limits."""

import math

import numpy as np
import pytest

from tripletrec._runtime.float32_math import exp_of_negative, log_of_one_plus
from tripletrec._runtime.jit import kernel


@kernel
def _map(values, exponentials, logarithms):
    for t in range(values.shape[0]):
        exponentials[t] = exp_of_negative(values[t])
        logarithms[t] = log_of_one_plus(exponentials[t])


def test_relative_error_is_that_of_float32():
    values = np.linspace(0, 87, 200_001, dtype=np.float32)
    exponentials, logarithms = np.empty_like(values), np.empty_like(values)
    _map(values, exponentials, logarithms)
    exact = np.exp(-values.astype(np.float64))
    assert (np.abs(exponentials / exact - 1) < 3.5e-7).all()
    exact = np.log1p(exponentials.astype(np.float64))
    assert (np.abs(logarithms / exact - 1) < 3.5e-7).all()


def test_relative_error_is_the_same_uncompiled():
    # Uncompiled, no product and sum are rounded together.
    for a in np.linspace(0, 87, 2_001, dtype=np.float32):
        assert exp_of_negative(a) == pytest.approx(math.exp(-float(a)), rel=3.5e-7, abs=0)


@pytest.mark.parametrize("a", [100.0, 1e30, math.inf])
def test_does_not_underflow(a):
    assert 0 < exp_of_negative(np.float32(a)) < 1e-37


def test_nan_stays_nan():
    values = np.full(20, np.nan, np.float32)
    exponentials, logarithms = np.zeros_like(values), np.zeros_like(values)
    _map(values, exponentials, logarithms)
    assert np.isnan(exponentials).all() and np.isnan(logarithms).all()
