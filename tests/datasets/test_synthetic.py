"""Synthetic interactions: exactly as many as asked for, with the head and the taste that were planted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiers import examples
from tripletrec.datasets import make_interactions, synthetic


@examples(60)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0, 1),
    st.floats(0, 4) | st.floats(0, 1e300),
    st.floats(0, 4) | st.floats(0, 1e300),
    st.floats(0, 50),
    st.integers(0, 2**40),
)
def test_exactly_as_many_distinct_pairs(n_users, n_items, share, user, item, signal, seed):
    n_interactions = max(1, round(share * n_users * n_items))
    data = make_interactions(
        n_users,
        n_items,
        n_interactions,
        n_factors=3,
        user_exponent=user,
        item_exponent=item,
        signal=signal,
        random_state=seed,
    )
    assert data.space.shape == (n_users, n_items) and len(data) == n_interactions
    degrees = np.diff(data.indptr)
    keys = data.rows.astype(np.int64) * n_items + data.indices
    assert (np.diff(keys) > 0).all() and set(data.values) == {1.0}
    assert degrees.max() <= n_items
    if n_interactions >= n_users:
        assert degrees.min() >= 1


def test_same_seed_same_interactions():
    one, two, other = (make_interactions(random_state=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.indices, two.indices)
    assert not np.array_equal(one.indices, other.indices)


@pytest.mark.parametrize("chunk", [1, 70, 10**6])
def test_every_chunk_of_users_is_complete(chunk):
    """Some draw from proposals, some from whole rows, a few at a time."""
    rng = np.random.default_rng(0)
    factors = synthetic._draw_factors(90, 60, 3, rng)
    world = synthetic._World(*factors, rng.permutation(60), exponent=0.8, signal=4.0)
    degrees = synthetic._degrees(np.arange(1.0, 91.0) ** -0.7, 1500, 60)
    assert degrees.sum() == 1500 and degrees.min() < 60 / 8 < degrees.max()
    data = synthetic._draw_interactions(world, degrees, rng, chunk)
    np.testing.assert_array_equal(np.diff(data.indptr), degrees)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_items_are_drawn_with_the_probabilities_that_are_told(exponent):
    """Both come from integrals of the power law, of which that of exponent 1 is a logarithm."""
    item_of_rank = np.array([2, 0, 3, 1])
    factors = np.zeros((1, 4), np.float32)
    world = synthetic._World(factors, factors, item_of_rank, exponent, signal=0.0)
    x = np.linspace(1.0, 5.0, 400_001)[:-1] + 5e-6
    mass = (x**-exponent).reshape(4, -1).sum(axis=1)
    expected = np.empty(4)
    expected[item_of_rank] = mass / mass.sum()
    told = np.exp(world.log_popularity())
    np.testing.assert_allclose(told / told.sum(), expected, rtol=1e-6)
    drawn = world.popular_items(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, expected, atol=0.015)


def test_exponents_make_the_head_heavier():
    def top_share(counts):
        return np.sort(counts)[-len(counts) // 10 :].sum() / counts.sum()

    flat = make_interactions(user_exponent=0, item_exponent=0, random_state=0)
    steep = make_interactions(user_exponent=1, item_exponent=1, random_state=0)
    for counts in (lambda data: np.diff(data.indptr), lambda data: np.diff(data.T.indptr)):
        assert top_share(counts(steep)) > 1.5 * top_share(counts(flat))
    assert np.ptp(np.diff(flat.indptr)) == 0


@pytest.mark.parametrize("n_interactions", [3_000, 30_000])  # by proposals, and whole rows
def test_planted_taste_can_be_seen(n_interactions):
    data, users, items = make_interactions(
        300, 200, n_interactions, signal=5.0, return_factors=True, random_state=1
    )
    assert users.shape == (300, 8) and items.shape == (200, 8) and users.dtype == np.float32
    scores = users @ items.T
    liked = scores[data.rows, data.indices]
    assert liked.mean() > 0.3 and abs(scores.mean()) < 0.2
    none, users, items = make_interactions(
        300, 200, n_interactions, signal=0.0, return_factors=True, random_state=1
    )
    assert abs((users @ items.T)[none.rows, none.indices].mean()) < 0.2


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            (2, 3, 7),
            {},
            ValueError,
            r"n_interactions must be at most n_users \* n_items = 6, got 7",
        ),
        ((0, 3, 1), {}, ValueError, "n_users must be an integer >= 1, got 0"),
        ((2, 3, 0), {}, ValueError, "n_interactions must be an integer >= 1, got 0"),
        ((2, 3.5, 1), {}, TypeError, "n_items must be an integer"),
        ((2, 3, 1), {"n_factors": 0}, ValueError, "n_factors must be"),
        ((2, 3, 1), {"signal": -1}, ValueError, "signal must be a finite number >= 0"),
        ((2, 3, 1), {"user_exponent": np.nan}, ValueError, "user_exponent must be"),
        ((2, 3, 1), {"item_exponent": "x"}, TypeError, "item_exponent must be"),
        ((2, 3, 1), {"random_state": "x"}, TypeError, "random_state must be"),
        ((2, 3, 1), {"return_factors": 1}, TypeError, "return_factors must be True or False"),
    ],
)
def test_bad_requests(arguments, options, error, message):
    with pytest.raises(error, match=message):
        make_interactions(*arguments, **options)
