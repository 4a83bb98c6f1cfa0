"""Rows that are computed when they are asked for."""

import numpy as np

from tripletrec.ranking.rows import FactorRows
from tripletrec.scorers import COSINE


def test_some_rows_have_the_bits_of_all_rows(rng):
    """Also of rows whose length is no multiple of anything, and of rows without direction."""
    for n_columns in (1, 3, 8, 33, 64, 100):
        table = rng.normal(size=(50, n_columns)).astype(np.float32)
        table[7] = 0
        rows = FactorRows(table, COSINE.rows)
        everything = COSINE.rows(table)
        np.testing.assert_array_equal(rows.take(slice(None)), everything)
        for some in (np.array([7]), np.array([3]), rng.integers(0, 50, 20)):
            np.testing.assert_array_equal(rows.take(some), everything[some])
        np.testing.assert_array_equal(rows.take(slice(10, 13)), everything[10:13])


def test_a_table_s_own_rows_are_not_copied(rng):
    table = rng.normal(size=(5, 3))
    assert np.shares_memory(FactorRows(table).take(slice(None)), table)
