"""Interactions that must be equal, array for array."""

import numpy as np

ARRAYS = ("user_ids", "item_ids", "indptr", "indices", "values", "timestamps")


def same(some, others):
    assert some.space.shape == others.space.shape
    assert (some.n_merged, some.n_dropped) == (others.n_merged, others.n_dropped)
    for name in ARRAYS:
        mine, other = getattr(some, name), getattr(others, name)
        np.testing.assert_array_equal(mine, other)
        assert mine is other is None or mine.dtype == other.dtype, name
