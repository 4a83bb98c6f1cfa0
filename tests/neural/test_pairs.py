"""The pairs of a batch: against dictionaries of Python; their order against its twin."""

import numpy as np

import naive_towers
from tripletrec.neural.pairs import PairGroups, Slots


def test_users_and_items_of_batches_are_put_together(rng):
    slots = Slots(15, 40)
    for n_pairs, n_drawn in ((60, 0), (7, 12), (1, 0)):
        users, items = rng.integers(0, 15, n_pairs), rng.integers(0, 40, n_pairs)
        drawn, weights = rng.integers(0, 40, n_drawn), rng.random(n_pairs).astype(np.float32)
        pairs = slots.fill(users, items, drawn, weights)
        different_users = list(dict.fromkeys(users.tolist()))
        order = [pair for user in different_users for pair in np.flatnonzero(users == user)]
        everything = [*items[order].tolist(), *drawn.tolist()]
        different = list(dict.fromkeys(everything))
        of_items = np.full(40, -1)
        of_items[different] = np.arange(len(different))
        assert slots.items.tolist() == different
        assert slots.counts.tolist() == [everything.count(item) for item in different]
        np.testing.assert_array_equal(slots.of_items, of_items)
        assert pairs.users.tolist() == different_users
        np.testing.assert_array_equal(np.repeat(pairs.users, np.diff(pairs.bounds)), users[order])
        np.testing.assert_array_equal(pairs.items, items[order])
        np.testing.assert_array_equal(pairs.slots, of_items[items[order]])
        np.testing.assert_array_equal(pairs.weights, weights[order])


def test_pairs_of_a_user_come_together_a_few_at_a_time(rng):
    sizes = rng.permutation([0, 1, 2, 5, 6, 11, 12, 13, 47, 48, 49, 100])
    users, indptr = np.repeat(np.arange(len(sizes)), sizes), np.append(0, np.cumsum(sizes))
    seed = int(rng.integers(1000))
    for batch_size in (1, 64, 128, 512, 10_000):
        groups = PairGroups(users, indptr, batch_size)
        order = groups.order(np.random.default_rng(seed))
        twin = naive_towers.order_in_groups(sizes.tolist(), batch_size, np.random.default_rng(seed))
        assert order.tolist() == twin
        assert sorted(twin) == list(range(len(users)))
    assert groups.order(np.random.default_rng(seed + 1)).tolist() != twin


def test_pairs_of_small_batches_come_in_any_order(rng):
    users, seed = np.repeat([0, 1], [30, 70]), int(rng.integers(1000))
    order = PairGroups(users, np.array([0, 30, 100]), 63).order(np.random.default_rng(seed))
    np.testing.assert_array_equal(order, np.random.default_rng(seed).permutation(100))
