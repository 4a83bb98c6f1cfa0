"""What all tests of the data share."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def check_canonical():
    """Return a function that asserts all that `Interactions` promises about its arrays."""

    def check_canonical(data):
        assert data.indptr.dtype == np.int64 and data.indices.dtype == np.int32
        assert data.values.dtype == np.float32 and data.rows.dtype == np.int32
        assert data.indptr.shape == (data.n_users + 1,) and data.indptr[-1] == data.nnz == len(data)
        assert (data.values > 0).all() and np.isfinite(data.values).all()
        keys = data.rows.astype(np.int64) * data.n_items + data.indices
        assert (np.diff(keys) > 0).all()
        for array in (data.indptr, data.indices, data.values):
            assert not array.flags.writeable

    return check_canonical
