"""Draws: distribution, exactness, purity, and the filter of known pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

import naive
from tripletrec import sampling
from tripletrec._runtime.counter_random import bits
from tripletrec._runtime.jit import kernel
from tripletrec.sampling.draw import (
    NONE_LEFT,
    BloomFilter,
    ItemsOfUsers,
    Pool,
    RowNumbers,
    contains,
    draw_again,
    draw_distinct,
    draw_given,
    fill_filter,
    filter_bits,
    is_known,
    propose,
    search_cumulative,
)


@kernel
def _contains(indices, first, last, item):
    return contains(indices, first, last, item)


@given(st.lists(st.integers(0, 30), unique=True), st.integers(0, 30))
def test_contains(row, item):
    padded = np.array([item, *sorted(row), item], np.int32)  # must not look outside
    assert _contains(padded, 1, 1 + len(row), item) == (item in row)
    assert contains(padded, 1, 1 + len(row), item) == (item in row)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.integers(0, 90), st.integers(0, 9))
def test_search_cumulative(weights, target, skipped):
    cumulative = np.concatenate([[0.0], np.cumsum(weights)])
    first, last = min(skipped, len(weights) - 1), len(weights)
    expected = max([p for p in range(first, last) if cumulative[p] <= target], default=first)
    assert search_cumulative(cumulative, first, last, target) == expected


@kernel
def _draw(key, n, known, given, share, pool, verified, drawn, has_all=False):
    """Draw for the last of the users."""
    user = known.indptr.shape[0] - 2
    for t in range(n):
        stream = np.uint64(key) + np.uint64(t)
        drawn[t] = draw_given(stream, user, given, share, pool, verified, known, has_all)


def sample(n, liked, *, n_items=20, verified=True, counts=None, alpha=0.0, given=(), share=0.0):
    """Draw `n` negatives for one user who likes `liked`, after one of whom nothing must be taken."""
    sampler = sampling.Sampler("any", verified, alpha)
    counts = np.ones(n_items, np.int64) if counts is None else np.asarray(counts)
    known, dislikes = (
        ItemsOfUsers(np.array([0, 2, 2 + len(row)]), np.array([7, 11, *sorted(row)], np.int32))
        for row in (liked, given)
    )
    drawn = np.empty(n, np.int64)
    items = np.random.default_rng(2).permutation(n_items).astype(np.int32)
    pool = Pool(items, sampler.cumulative(counts[items]))
    _draw(np.uint64(naive.derive(99, n)), n, known, dislikes, share, pool, verified, drawn)
    return drawn


def assert_distribution(drawn, expected):
    counts = np.bincount(drawn, minlength=len(expected)).astype(float)
    expected = np.asarray(expected, dtype=float)
    assert counts[expected == 0].sum() == 0
    some = expected > 0
    if some.sum() > 1:
        p = chisquare(counts[some], expected[some] / expected.sum() * len(drawn)).pvalue
        assert p > 1e-6


def test_uniform_draws_all_items_alike_known_or_not():
    assert_distribution(sample(20_000, {3, 4}, verified=False), np.ones(20))


@pytest.mark.parametrize("n_liked", [0, 1, 10, 18, 19])
def test_unseen_draws_the_others_alike(n_liked):
    # 18 and 19 of 20 go through the exact draw after the refusals.
    assert_distribution(sample(20_000, set(range(n_liked))), np.arange(20) >= n_liked)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_few_left_of_many_are_drawn_as_they_weigh(alpha):
    # Of 2,000 items 500 proposals are made, so that half of the draws look at all positions.
    counts = np.arange(2000) % 7
    drawn = sample(5_000, set(range(1997)), n_items=2000, counts=counts, alpha=alpha)
    assert_distribution(drawn, np.where(np.arange(2000) >= 1997, counts**alpha, 0))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n_liked", [0, 17])
def test_popularity_draws_by_the_power_of_the_counts(alpha, n_liked):
    counts = np.arange(20) % 7
    drawn = sample(20_000, set(range(n_liked)), counts=counts, alpha=alpha)
    assert_distribution(drawn, np.where(np.arange(20) >= n_liked, counts**alpha, 0))


def test_explicit_draws_its_share():
    drawn = sample(20_000, {0, 1}, given={5, 6}, share=0.3)
    expected = np.where(np.arange(20) >= 2, 0.7 / 18, 0)
    expected[[5, 6]] += 0.15
    assert_distribution(drawn, expected)


def test_explicit_without_given_negatives_draws_unseen():
    assert_distribution(sample(20_000, {0, 1}, share=1.0), np.arange(20) >= 2)


def test_who_has_all_still_gets_given_negatives_and_the_same_ones():
    rows, pool = np.array([0, 5]), Pool(np.arange(5, dtype=np.int32), None)
    known = ItemsOfUsers(rows, np.arange(5, dtype=np.int32))
    given = ItemsOfUsers(np.array([0, 2]), np.array([1, 4], np.int32))
    found, told = np.empty((2, 200), np.int64)
    _draw(np.uint64(5), 200, known, given, 0.5, pool, True, found, False)
    _draw(np.uint64(5), 200, known, given, 0.5, pool, True, told, True)
    np.testing.assert_array_equal(told, found)
    assert set(told.tolist()) == {1, 4, NONE_LEFT}
    nothing = ItemsOfUsers(np.zeros(2, np.int64), np.empty(0, np.int32))
    _draw(np.uint64(5), 200, nothing, given, 0.5, pool, True, told, True)  # told, it does not look
    np.testing.assert_array_equal(told, found)


def test_nothing_left():
    assert (sample(10, set(range(20))) == NONE_LEFT).all()
    assert (sample(10, set(range(20)), counts=np.arange(20), alpha=1.0) == NONE_LEFT).all()
    assert NONE_LEFT < 0


@given(
    st.sets(st.integers(0, 19)), st.sampled_from([0.0, 0.7]), st.integers(0, 2**63), st.booleans()
)
def test_never_draws_a_known_positive(liked, alpha, seed, many):
    counts = np.random.default_rng(seed % 1000).integers(1, 9, 20)
    drawn = sample(50, liked, counts=counts, alpha=alpha)
    allowed = set(range(20)) - liked or {NONE_LEFT}
    assert set(drawn.tolist()) <= allowed


@kernel
def _draw_past_a_filter(key, pairs, known, pool, words, n_bits, drawn):
    """Draw for user 0, each time with a filter of another random number."""
    for t in range(drawn.shape[0]):
        stream, last = bits(np.uint64(key), t), pool.items.shape[0]
        bloom = BloomFilter(words, bits(~stream, 0) | np.uint64(1), n_bits)
        fill_filter(bloom, pairs)
        position = propose(stream, 0, 0, last, pool.cumulative)
        if is_known(0, position, pool, known, bloom):
            position = draw_again(stream, 0, 0, pool, 0, last, known, bloom)
        drawn[t] = pool.items[position] if position >= 0 else position


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("n_liked", [2, 10, 19, 20])
def test_a_filter_lets_no_known_pair_pass_and_the_others_alike(n_liked, alpha, rng):
    """Some 30 pairs in 256 bits: one in nine of the others is taken for known, each time another one."""
    sampler, counts = sampling.popularity(alpha), np.arange(1, 21)
    liked = np.sort(rng.choice(20, n_liked, replace=False)).astype(np.int32)
    others = np.column_stack([rng.integers(1, 99, 30 - n_liked), rng.integers(0, 20, 30 - n_liked)])
    pairs = np.vstack([np.column_stack([np.zeros(n_liked), liked]), others]).astype(np.int32)
    drawn = np.empty(20_000, np.int64)
    _draw_past_a_filter(
        rng.integers(2**62), pairs, ItemsOfUsers(np.array([0, n_liked]), liked),
        Pool(np.arange(20, dtype=np.int32), sampler.cumulative(counts)), np.empty(4, np.uint64), 8,
        drawn,
    )  # fmt: skip
    if n_liked == 20:
        assert (drawn == NONE_LEFT).all()
        return
    assert_distribution(drawn, np.where(np.isin(np.arange(20), liked), 0, counts**alpha))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("n_left", [0, 1, 2])
def test_distinct_draws_leave_out_what_is_taken_and_if_verified_what_is_known(
    n_left, verified, alpha
):
    """Of 20 positions; after many refusals all are looked at."""
    cumulative = sampling.popularity(alpha).cumulative(np.arange(1, 21))
    pool, liked = Pool(np.arange(20, dtype=np.int32), cumulative), range(3, 20 - n_left)
    known = ItemsOfUsers(np.array([0, 1, 1 + len(liked)]), np.array([19, *liked], np.int32))
    taken = np.arange(3 if verified else 20 - n_left)
    with np.errstate(over="ignore"):
        drawn = {
            draw_distinct(bits(np.uint64(5), t), 1, pool, 0, 20, verified, known, taken, len(taken))
            for t in range(50)
        }
    assert drawn == set(range(20 - n_left, 20)) or (n_left == 0 and drawn == {NONE_LEFT})


@given(st.integers(1, 10**7), st.integers(1, 2**14))
def test_a_filter_has_64_bits_for_each_pair_or_is_none(n, n_words):
    n_bits = filter_bits(np.empty(n_words, np.uint64), n)
    if n_bits:
        assert 64 * n <= 2**n_bits < 128 * n or n_bits == 6
        assert 2**n_bits <= 64 * n_words
    else:
        assert n > n_words // 2


def test_compiled_equals_uncompiled():
    with np.errstate(over="ignore"):
        pool = Pool(np.arange(20, dtype=np.int32), None)
        row = ItemsOfUsers(np.array([0, 3]), np.array([2, 5, 7], np.int32))
        drawn = np.empty(30, np.int64)
        _draw(np.uint64(5), 30, row, row, 0.0, pool, True, drawn)
        again = [
            draw_given(np.uint64(5) + np.uint64(t), 0, row, 0.0, pool, True, row, False)
            for t in range(30)
        ]
    assert drawn.tolist() == again


def test_a_filter_of_a_part_is_that_of_the_same_rows_of_all(rng):
    """Users and positions counted from 0 in the part, by their numbers in all: the same bits."""
    users, first = np.array([9, 2, 5], np.int32), 1000
    part = np.column_stack([rng.integers(0, 3, 20), rng.integers(0, 50, 20)]).astype(np.int32)
    whole = np.column_stack([users[part[:, 0]], first + part[:, 1]]).astype(np.int32)
    blooms = [BloomFilter(np.zeros(16, np.uint64), np.uint64(2**63 + 12345), 10) for _ in range(2)]
    numbers = RowNumbers(users, first)
    with np.errstate(over="ignore"):
        fill_filter(blooms[0], part, numbers)
        fill_filter(blooms[1], whole)
        np.testing.assert_array_equal(blooms[0].words, blooms[1].words)
        assert blooms[0].words.any()
        for user, position in np.ndindex(3, 50):
            asked = is_known(user, position, None, None, blooms[0], numbers)
            assert asked == is_known(users[user], first + position, None, None, blooms[1])
