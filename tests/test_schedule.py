import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripletrec import schedule
from tripletrec.kernels import build_preparation

counts = st.integers(1, 21)


def lanes_of_round(plan, number):
    """The rows (user blocks, item blocks) that the strata of each lane of a round touch."""
    touched = {}
    for p, a, b in np.ndindex(plan.stratum.shape):
        lane = plan.stratum[p, a, b] // plan.lane
        if lane // plan.n_lanes == number:
            users, items = touched.setdefault(lane, (set(), set()))
            users.add(p)
            items.update((a, b) if plan.stratum.shape[2] > 1 else (a,))
    return list(touched.values())


@pytest.mark.parametrize("make", [schedule.drawn_schedule, schedule.given_schedule])
@given(n_blocks=counts)
def test_lanes_of_a_round_share_no_row(make, n_blocks):
    plan = make(n_blocks)
    assert plan.n_rounds * plan.n_lanes * plan.lane == len(plan.item_block)
    for number in range(plan.n_rounds):
        lanes = lanes_of_round(plan, number)
        users = [block for lane in lanes for block in lane[0]]
        items = [block for lane in lanes for block in lane[1]]
        assert len(users) == len(set(users))
        assert len(items) == len(set(items))


@given(n_blocks=st.integers(1, 70))
def test_drawn_schedule_has_each_pair_of_blocks_once(n_blocks):
    plan = schedule.drawn_schedule(n_blocks)
    assert plan.n_lanes == plan.n_user_blocks == min(n_blocks, 16)
    assert plan.n_item_blocks == (n_blocks if n_blocks < 16 else n_blocks // 16 * 16)
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
