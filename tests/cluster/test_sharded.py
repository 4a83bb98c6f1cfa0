"""Factors that are read from files as they are asked for."""

import pickle

import numpy as np
import pytest

from tripletrec.cluster.folders import Folder
from tripletrec.cluster.sharded import ShardedFactors
from tripletrec.cluster.store import write_user_rows


def test_rows_are_those_of_an_array(tmp_path, rng):
    n_users, n_blocks, n_factors = 53, 12, 5
    order = rng.permutation(n_users).astype(np.int32)
    bounds = np.arange(n_blocks + 1) * n_users // n_blocks
    table = np.zeros((n_users, 2, 16), np.float32)
    table[:, :, :n_factors] = rng.normal(size=(n_users, 2, n_factors))
    folder = Folder(tmp_path)
    for block in range(n_blocks):
        own = order[bounds[block] : bounds[block + 1]]
        write_user_rows(folder, 7, block, table[own], table[own][:, 0, :1])
    factors = pickle.loads(pickle.dumps(ShardedFactors(folder, 7, n_factors, order, bounds)))
    expected = table[:, 0, :n_factors]
    assert (len(factors), factors.shape, factors.ndim, factors.dtype) == (
        n_users, (n_users, n_factors), 2, np.float32,
    )  # fmt: skip
    mask = rng.random(n_users) < 0.3
    some = rng.integers(n_users, size=(2, 3))
    for rows in (3, -1, slice(4, 20, 3), slice(None), [], mask, some, [5, 5, 2]):
        rows = np.array(rows, int) if isinstance(rows, list) else rows
        np.testing.assert_array_equal(factors[rows], expected[rows])
    np.testing.assert_array_equal(np.asarray(factors), expected)
    assert np.asarray(factors, np.float64).dtype == np.float64
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # before, False is: if it can be done
        with pytest.raises(ValueError, match="without a copy"):
            np.array(factors, copy=False)
    with pytest.raises(IndexError):
        factors[n_users]
