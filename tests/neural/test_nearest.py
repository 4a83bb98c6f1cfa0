"""The nearest negatives by features, against a loop."""

import numpy as np
import pytest

from tripletrec.neural.nearest import nearest_negatives


def naive_nearest(known, features, allowed):
    """For each positive, by user: the allowed item of the highest cosine, the lowest of equals."""
    length = np.linalg.norm(features, axis=1)
    unit = (features / np.where(length > 0, length, 1.0)[:, None]).astype(np.float32)
    found = []
    for user, item in np.argwhere(known):
        best = [(-round(float(unit[item] @ unit[j]), 4), j) for j in np.flatnonzero(allowed[user])]
        found.append(min(best)[1] if best else -1)
    return found


@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_nearest_equals_a_loop(given, some, rng):
    """User 0 dislikes nothing: the negative is then unknown, and of some items where these are given."""
    known = rng.random((8, 20)) < 0.3
    features = rng.integers(0, 2, (20, 5)).astype(float)
    dislikes = (rng.random((8, 20)) < 0.2) & ~known
    dislikes[0], known[0, :3] = False, True
    items = np.flatnonzero(rng.random(20) < 0.6) if some else np.arange(20)
    found = nearest_negatives(
        known, features, dislikes if given else None, items=items if some else None, n_neighbors=20,
        max_similarities=60,
    )  # fmt: skip
    allowed = ~known & np.isin(np.arange(20), items)
    if given:
        allowed = np.where(dislikes.any(axis=1)[:, None], dislikes, allowed)
    assert found.tolist() == naive_nearest(known, features, allowed)


def test_nearest_gives_up_beyond_its_neighbours():
    known = np.array([[1, 1, 0]])
    assert nearest_negatives(known, np.eye(3), n_neighbors=1).tolist() == [-1, -1]
    assert nearest_negatives(known, np.eye(3)).tolist() == [2, 2]


def test_bad_input():
    known = np.array([[1, 1, 0]])
    with pytest.raises(ValueError, match="item_features must have 3 rows, got 2"):
        nearest_negatives(known, np.eye(2))
    with pytest.raises(ValueError, match="dislikes must have the 1 users and 3 items"):
        nearest_negatives(known, np.eye(3), np.ones((2, 3)))
    with pytest.raises(ValueError, match="n_neighbors"):
        nearest_negatives(known, np.eye(3), n_neighbors=0)


def test_nothing_liked_and_nothing_disliked():
    nothing = np.zeros((1, 3))
    assert nearest_negatives(nothing, np.eye(3)).shape == (0,)
    assert nearest_negatives(np.array([[1, 1, 0]]), np.eye(3), nothing).tolist() == [2, 2]
