import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripletrec.training import strata as schedule
from tripletrec.training.bucketing import build_preparation

counts = st.integers(1, 21)


def touched(plan, first, last):
    """The user blocks and the item blocks that a run of strata touches."""
    users, a, b = np.nonzero((plan.stratum >= first) & (plan.stratum < last))
    return set(users.tolist()), set(a.tolist()) | (
        set(b.tolist()) if plan.stratum.shape[2] > 1 else set()
    )


@pytest.mark.parametrize("make", [schedule.drawn_schedule, schedule.given_schedule])
@given(n_blocks=counts, most=st.integers(0, 300), n_jobs=st.integers(1, 20))
def test_runs_of_a_round_share_no_row(make, n_blocks, most, n_jobs):
    plan = make(n_blocks)
    rounds = plan.runs(most, n_jobs)
    assert rounds.shape[0] * rounds.shape[1] <= max(1, most)
    for runs in rounds:
        users, items = zip(*(touched(plan, *run) for run in runs), strict=True)
        for blocks in (users, items):
            assert sum(map(len, blocks)) == len(set().union(*blocks))


@pytest.mark.parametrize("make", [schedule.drawn_schedule, schedule.given_schedule])
@given(n_blocks=st.integers(1, 9), most=st.integers(0, 300), n_jobs=st.integers(1, 20))
def test_runs_keep_the_order_of_strata_that_share_a_row(make, n_blocks, most, n_jobs):
    """So that results are those of one thread, which takes the strata by their numbers."""
    plan = make(n_blocks)
    rounds = plan.runs(most, n_jobs)
    strata = [s for runs in rounds for run in runs for s in range(*run)]
    assert sorted(strata) == list(range(len(plan.item_block)))
    when = np.empty(len(strata), int)
    when[strata] = np.arange(len(strata))
    rows = [touched(plan, s, s + 1) for s in range(len(strata))]
    for s in range(len(strata)):
        for later in range(s + 1, len(strata)):
            if rows[s][0] & rows[later][0] or rows[s][1] & rows[later][1]:
                assert when[s] < when[later]


def test_runs_are_as_fine_as_they_may_be():
    plan = schedule.drawn_schedule(32)
    for most, n in ((0, 1), (3, 1), (4, 2), (63, 4), (64, 8), (256, 16), (999, 16)):
        assert plan.runs(most, 16).shape == (n, n, 2)
    for n_jobs, n in ((1, 2), (2, 4), (3, 8), (4, 8), (5, 16), (16, 16), (99, 16)):
        assert plan.runs(999, n_jobs).shape == (n, n, 2)
    plan = schedule.given_schedule(8)
    for most, shape in ((0, (1, 1)), (111, (1, 1)), (112, (28, 4))):
        assert plan.runs(most, 2).shape == (*shape, 2)


@given(n_blocks=st.integers(1, 70))
def test_drawn_schedule_has_each_pair_of_blocks_once(n_blocks):
    plan = schedule.drawn_schedule(n_blocks)
    n_users = max(n for n in (1, 2, 4, 8, 16) if n <= n_blocks)
    assert plan.n_user_blocks == n_users
    assert plan.n_item_blocks == n_blocks // n_users * n_users
    assert sorted(plan.stratum.ravel()) == list(range(plan.n_user_blocks * plan.n_item_blocks))
    for p in range(plan.n_user_blocks):
        assert plan.item_block[plan.stratum[p, :, 0]].tolist() == list(range(plan.n_item_blocks))
        assert (plan.user_block[plan.stratum[p]] == p).all()


@given(n_blocks=counts)
def test_given_schedule_has_every_triplet(n_blocks):
    plan = schedule.given_schedule(n_blocks)
    assert plan.n_item_blocks == (1 if n_blocks == 1 else n_blocks // 2 * 2)
    assert (plan.stratum >= 0).all()
    assert (plan.user_block[plan.stratum] == np.arange(plan.n_user_blocks)[:, None, None]).all()
    np.testing.assert_array_equal(plan.stratum, plan.stratum.transpose(0, 2, 1))


@given(n=st.integers(1, 300), n_blocks=st.integers(1, 12), key=st.integers(0, 2**64 - 1))
def test_partition_is_a_partition_into_even_blocks(n, n_blocks, key):
    order, block_of, home_of = (
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int16),
        np.zeros(n, np.int32),
    )
    bounds = np.empty(n_blocks + 1, np.int64)
    ranking = np.random.default_rng(1).permutation(n).astype(np.int32)
    build_preparation(False).partition(
        ranking.copy(), n_blocks, np.uint64(key), 9, order, bounds, block_of, home_of
    )
    assert sorted(order.tolist()) == list(range(n))
    sizes = np.diff(bounds)
    assert sizes.max() - sizes.min() <= 1
    for block in range(n_blocks):
        rows = order[bounds[block] : bounds[block + 1]]
        assert (block_of[rows] == block).all()
        np.testing.assert_array_equal(home_of[rows], block * 2**9 + np.arange(len(rows)))


@given(n_users=st.integers(1, 2**31 - 1), n_items=st.integers(1, 2**31 - 1), n_blocks=counts)
@pytest.mark.parametrize("make", [schedule.drawn_schedule, schedule.given_schedule])
def test_codes_have_room_for_all_of_a_stratum(make, n_users, n_items, n_blocks):
    plan = make(n_blocks)
    codes = schedule.codes_of(plan, n_users, n_items)
    users, items = -(-n_users // plan.n_user_blocks), -(-n_items // plan.n_item_blocks)
    assert items <= 2**codes.place_bits
    blocks = plan.n_item_blocks if plan.stratum.shape[2] > 1 else 1
    assert blocks * 2**codes.place_bits <= 2**codes.item_bits
    assert users * 2**codes.item_bits <= 2.0 ** (8 * codes.dtype().itemsize)


def test_partition_lets_all_pairs_meet_alike():
    # 64 rows in 4 blocks: neighbours in the ranking share a block as often as others do, 15/63.
    n, n_blocks, n_epochs = 64, 4, 3000
    order, block_of, home_of = np.empty(n, np.int32), np.empty(n, np.int16), np.empty(n, np.int32)
    bounds = np.empty(n_blocks + 1, np.int64)
    together = np.zeros((n, n))
    for key in range(n_epochs):
        build_preparation(False).partition(
            np.arange(n, dtype=np.int32),
            n_blocks,
            np.uint64(key),
            4,
            order,
            bounds,
            block_of,
            home_of,
        )
        together += block_of[:, None] == block_of
    share = together[~np.eye(n, dtype=bool)] / n_epochs
    spread = np.sqrt(15 / 63 * 48 / 63 / n_epochs)
    # 2,016 pairs: one beyond 6 standard deviations comes once in 250,000 runs.
    assert np.abs(share - 15 / 63).max() < 6 * spread


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**9), st.integers(64, 4096))
def test_number_of_blocks_fits_the_data(n_users, n_items, nnz, item_bytes):
    blocks = schedule.n_blocks(n_users, n_items, nnz, item_bytes)
    assert 1 <= blocks <= max(1, n_users)
    assert blocks == 1 or n_items // blocks >= 64
    assert schedule.n_blocks(n_users, n_items, nnz, item_bytes) == blocks
