"""What the tests of splits share: interactions with ids, values and times, and what parts of them must be."""

import numpy as np

from tripletrec.data.interactions import Interactions


def some_interactions(n_users=7, n_items=9, seed=0, n_times=50):
    """Some users with two or more interactions, others perhaps with none; times are there twice."""
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 3, (n_users, n_items))
    dense[0, :2] = 1
    times = rng.integers(0, n_times, np.count_nonzero(dense))
    return Interactions(dense, timestamps=times, user_ids=[f"u{n}" for n in range(n_users)])


def entries(data):
    """All that is known of each interaction, by id."""
    users = np.arange(data.n_users) if data.user_ids is None else data.user_ids
    items = np.arange(data.n_items) if data.item_ids is None else data.item_ids
    times = [None] * len(data) if data.timestamps is None else data.timestamps.tolist()
    rows = users[data.rows].tolist(), items[data.indices].tolist(), data.values.tolist(), times
    return list(zip(*rows, strict=True))


def check_partition(data, *parts):
    """Raise unless the parts are of one space and are the whole."""
    for part in parts:
        assert part.space.shape == data.space.shape
        assert part.user_ids is data.user_ids and part.item_ids is data.item_ids
        assert part.n_dropped == 0
    assert sorted(entry for part in parts for entry in entries(part)) == sorted(entries(data))
