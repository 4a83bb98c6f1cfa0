"""Builders of small layers in float64, and the comparison of gradients with central differences."""

import pytest
import scipy.sparse as sp

from tripletrec.neural import Dense, FeatureEmbedding


@pytest.fixture
def dense(rng):
    """Return a function that builds a dense layer with random weights."""
    return lambda n_inputs, n_outputs: Dense(
        rng.normal(size=(n_inputs, n_outputs)), rng.normal(size=n_outputs)
    )


@pytest.fixture
def embedding(rng):
    """Return a function that builds n random rows of factors, of n rows with a column each."""
    return lambda n, width: FeatureEmbedding(
        rng.normal(size=(n, width)), sp.identity(n, format="csr")
    )


@pytest.fixture
def check_gradient(rng):
    """Return a function that compares gradients with central differences in random directions."""

    def check(value, arrays, gradients, step=1e-6):
        for array, gradient in zip(arrays, gradients, strict=True):
            for _ in range(3):
                direction, start, sides = rng.normal(size=array.shape), array.copy(), []
                for sign in (1, -1):
                    array[...] = start + sign * step * direction
                    sides.append(value())
                array[...] = start
                slope = (sides[0] - sides[1]) / (2 * step)
                assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-7)

    return check
