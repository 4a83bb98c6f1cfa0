"""Strata: rounds that share no row, runs in one order, blocks and codes that fit the data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripletrec.training.strata import (
    LIMITS,
    codes_of,
    drawn_strata,
    given_strata,
    group_size,
    n_blocks,
)

counts = st.integers(1, 21)


def touched(strata, first, last):
    """The user blocks and the item blocks that a run of strata touches."""
    users, a, b = np.nonzero((strata.stratum >= first) & (strata.stratum < last))
    return set(users.tolist()), {*a.tolist(), *(b.tolist() if strata.has_pairs else ())}


@pytest.mark.parametrize("make", [drawn_strata, given_strata])
@given(n_blocks=counts, most=st.integers(0, 300), n_jobs=st.integers(1, 20))
def test_runs_of_a_round_share_no_row(make, n_blocks, most, n_jobs):
    strata = make(n_blocks)
    rounds = strata.runs(most, n_jobs)
    assert rounds.shape[0] * rounds.shape[1] <= max(1, most)
    for runs in rounds:
        users, items = zip(*(touched(strata, *run) for run in runs), strict=True)
        for blocks in (users, items):
            assert sum(map(len, blocks)) == len(set().union(*blocks))


@pytest.mark.parametrize("make", [drawn_strata, given_strata])
@given(n_blocks=st.integers(1, 9), most=st.integers(0, 300), n_jobs=st.integers(1, 20))
def test_runs_keep_the_order_of_strata_that_share_a_row(make, n_blocks, most, n_jobs):
    """So that results are those of one thread, which takes the strata by their numbers."""
    strata = make(n_blocks)
    rounds = strata.runs(most, n_jobs)
    order = [s for runs in rounds for run in runs for s in range(*run)]
    assert sorted(order) == list(range(len(strata.item_block)))
    when = np.empty(len(order), int)
    when[order] = np.arange(len(order))
    rows = [touched(strata, s, s + 1) for s in range(len(order))]
    for s in range(len(order)):
        for later in range(s + 1, len(order)):
            if rows[s][0] & rows[later][0] or rows[s][1] & rows[later][1]:
                assert when[s] < when[later]


def test_runs_are_as_fine_as_they_may_be():
    strata = drawn_strata(32)
    for most, n in ((0, 1), (3, 1), (4, 2), (63, 4), (64, 8), (256, 16), (999, 16)):
        assert strata.runs(most, 16).shape == (n, n, 2)
    for n_jobs, n in ((1, 2), (2, 4), (3, 8), (4, 8), (5, 16), (16, 16), (99, 16)):
        assert strata.runs(999, n_jobs).shape == (n, n, 2)
    strata = given_strata(8)
    for most, shape in ((0, (1, 1)), (111, (1, 1)), (112, (28, 4))):
        assert strata.runs(most, 2).shape == (*shape, 2)


@given(n_blocks=st.integers(1, 70))
def test_drawn_strata_have_each_pair_of_blocks_once(n_blocks):
    strata = drawn_strata(n_blocks)
    n_users = max(n for n in (1, 2, 4, 8, 16) if n <= n_blocks)
    assert strata.n_user_blocks == n_users
    assert strata.n_item_blocks == n_blocks // n_users * n_users
    assert sorted(strata.stratum.ravel()) == list(
        range(strata.n_user_blocks * strata.n_item_blocks)
    )
    for p in range(strata.n_user_blocks):
        assert strata.item_block[strata.stratum[p, :, 0]].tolist() == list(
            range(strata.n_item_blocks)
        )
        assert (strata.user_block[strata.stratum[p]] == p).all()


@given(n_blocks=counts)
def test_given_strata_have_every_triplet(n_blocks):
    strata = given_strata(n_blocks)
    assert strata.n_item_blocks == (1 if n_blocks == 1 else n_blocks // 2 * 2)
    assert (strata.stratum >= 0).all()
    assert (
        strata.user_block[strata.stratum] == np.arange(strata.n_user_blocks)[:, None, None]
    ).all()
    np.testing.assert_array_equal(strata.stratum, strata.stratum.transpose(0, 2, 1))


@given(n_users=st.integers(1, 2**31 - 1), n_items=st.integers(1, 2**31 - 1), n_blocks=counts)
@pytest.mark.parametrize("make", [drawn_strata, given_strata])
def test_codes_have_room_for_all_of_a_stratum(make, n_users, n_items, n_blocks):
    strata = make(n_blocks)
    codes = codes_of(strata, n_users, n_items)
    users, items = -(-n_users // strata.n_user_blocks), -(-n_items // strata.n_item_blocks)
    assert items <= 2**codes.place_bits
    blocks = strata.n_item_blocks if strata.has_pairs else 1
    assert blocks * 2**codes.place_bits <= 2**codes.item_bits
    assert users * 2**codes.item_bits <= 2.0 ** (8 * codes.dtype().itemsize)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**9), st.integers(64, 4096))
def test_number_of_blocks_fits_the_data(n_users, n_items, nnz, item_bytes):
    blocks = n_blocks(n_users, n_items, nnz, item_bytes)
    assert 1 <= blocks <= max(1, n_users)
    assert blocks == 1 or n_items // blocks >= 64
    assert n_blocks(n_users, n_items, nnz, item_bytes) == blocks


def test_the_numbers_of_most_blocks_are_int16():
    blocks = n_blocks(10**10, 10**10, 10**13, 10**5)
    assert 30_000 < blocks <= np.iinfo(np.int16).max


def test_small_limits_make_many_small_blocks():
    assert n_blocks(40, 40, 60, 64) == 1
    least = LIMITS._replace(least_items=1, least_triplets=1)
    assert n_blocks(40, 40, 60, 64, least) == 7


@given(n_blocks=st.integers(1, 9))
@pytest.mark.parametrize("make", [drawn_strata, given_strata])
def test_a_stratum_has_the_blocks_that_its_triplets_are_of(make, n_blocks):
    strata = make(n_blocks)
    for s in range(len(strata.item_block)):
        users, *items = np.nonzero(strata.stratum == s)
        assert set(users) == {strata.user_block[s]}
        found = strata.item_blocks_of(s)
        assert strata.item_block[s] in found
        assert set(found) == set(np.concatenate(items if strata.has_pairs else items[:1]))
        assert len(found) == 1 + strata.has_pairs


def test_codes_are_wide_only_where_they_must_be():
    strata = drawn_strata(8)
    codes = codes_of(strata, 80, 160)
    assert codes == (5, 5, np.uint32)
    assert codes_of(strata, 80, 160, LIMITS._replace(narrow_bits=9)) == (5, 5, np.uint32)
    assert codes_of(strata, 80, 160, LIMITS._replace(narrow_bits=8)) == (5, 5, np.uint64)


def test_groups_are_as_large_as_sharing_allows():
    strata, each = drawn_strata(4), np.ones(10**5)
    assert group_size(strata, each, each, each, 16) == 16
    few = np.ones(8)
    assert group_size(strata, few, few, few, 16) == 1  # a stratum has but two users
