"""The pairs of a batch: against NumPy's `unique`."""

import numpy as np

from tripletrec.neural.pairs import Slots


def test_users_and_items_of_batches_are_put_together(rng):
    slots = Slots(40)
    for n_pairs, n_drawn in ((60, 0), (7, 12), (1, 0)):
        users, items = rng.integers(0, 15, n_pairs), rng.integers(0, 40, n_pairs)
        drawn, weights = rng.integers(0, 40, n_drawn), rng.random(n_pairs).astype(np.float32)
        pairs = slots.fill(users, items, drawn, weights)
        order = np.argsort(users, kind="stable")
        different, counts = np.unique(np.concatenate([items, drawn]), return_counts=True)
        of_items = np.full(40, -1)
        of_items[different] = np.arange(len(different))
        np.testing.assert_array_equal(slots.items, different)
        np.testing.assert_array_equal(slots.counts, counts)
        np.testing.assert_array_equal(slots.of_items, of_items)
        np.testing.assert_array_equal(pairs.users, np.unique(users))
        np.testing.assert_array_equal(np.repeat(pairs.users, np.diff(pairs.bounds)), users[order])
        np.testing.assert_array_equal(pairs.items, items[order])
        np.testing.assert_array_equal(pairs.slots, of_items[items[order]])
        np.testing.assert_array_equal(pairs.weights, weights[order])
