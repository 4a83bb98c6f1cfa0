"""How users and items are dealt into blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripletrec.training.dealing import _shuffle_first, _shuffle_runs, deal
from tripletrec.training.strata import place_bits


@given(n=st.integers(1, 300), n_blocks=st.integers(1, 12), key=st.integers(0, 2**64 - 1))
def test_rows_are_dealt_into_even_blocks(n, n_blocks, key):
    ranking = np.random.default_rng(key).permutation(n).astype(np.int32)
    before = ranking.copy()
    order, bounds, block_of, position_of = deal(ranking, n_blocks, np.uint64(key))
    np.testing.assert_array_equal(ranking, before)
    assert sorted(order.tolist()) == list(range(n))
    sizes = np.diff(bounds)
    assert sizes.max() - sizes.min() <= 1
    bits = place_bits(n, n_blocks)
    for block in range(n_blocks):
        rows = order[bounds[block] : bounds[block + 1]]
        assert (block_of[rows] == block).all()
        np.testing.assert_array_equal(position_of[rows], block * 2**bits + np.arange(len(rows)))


@pytest.mark.parametrize("n", [64, 130])  # less than a run of 128, and but two rows more
def test_all_pairs_of_rows_meet_alike(n):
    # In 4 blocks: neighbours in the ranking share a block as often as others do, of 64 rows 15/63.
    n_epochs, sizes = 3000, np.bincount(np.arange(n) % 4)
    together = np.zeros((n, n), np.int64)
    for key in range(n_epochs):
        block_of = deal(np.arange(n, dtype=np.int32), 4, np.uint64(key)).block_of
        together += block_of[:, None] == block_of
    share = together[~np.eye(n, dtype=bool)] / n_epochs
    expected = (sizes * (sizes - 1)).sum() / (n * (n - 1))
    spread = np.sqrt(expected * (1 - expected) / n_epochs)
    # 8,385 pairs: one beyond 6 standard deviations comes once in 60,000 runs.
    assert np.abs(share - expected).max() < 6 * spread


@given(n=st.integers(0, 300), run=st.integers(1, 400), key=st.integers(0, 2**64 - 1))
def test_python_shuffles_as_the_loop_does(n, run, key):
    loop, python = np.arange(n, dtype=np.int32), np.arange(n, dtype=np.int32)
    _shuffle_runs(loop, run, np.uint64(key))
    _shuffle_first(python, run, np.uint64(key))
    np.testing.assert_array_equal(loop, python)


def test_one_row_is_dealt_without_a_warning(recwarn):
    rows = np.array([0], np.int32)
    _shuffle_first(rows, 32, np.uint64(0))
    assert rows.tolist() == [0] and not recwarn.list
