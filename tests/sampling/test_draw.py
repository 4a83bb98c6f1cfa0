"""Samplers: distribution, exactness, purity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

import naive
from tripletrec import sampling
from tripletrec._runtime.counter_random import bits
from tripletrec._runtime.jit import kernel
from tripletrec.sampling.draw import NONE_LEFT, contains, draw_again, draw_given, is_known, propose
from tripletrec.training.bucketing import _filter_bits, _note_pairs


@kernel
def _contains(indices, first, last, item):
    return contains(indices, first, last, item)


@given(st.lists(st.integers(0, 30), unique=True), st.integers(0, 30))
def test_contains(row, item):
    padded = np.array([item, *sorted(row), item], np.int32)  # must not look outside
    assert _contains(padded, 1, 1 + len(row), item) == (item in row)
    assert contains(padded, 1, 1 + len(row), item) == (item in row)


@kernel
def _draw(key, n, known, given, share, items, cumulative, verified, drawn):
    for t in range(n):
        stream = np.uint64(key) + np.uint64(t)
        drawn[t] = draw_given(
            stream, 0, given[0], given[1], share, items, cumulative, verified, known[0], known[1],
        )  # fmt: skip


def sample(n, liked, *, n_items=20, verified=True, counts=None, alpha=0.0, given=(), share=0.0):
    """Draw `n` negatives for one user who likes `liked`."""
    sampler = sampling.Sampler("any", verified, alpha)
    counts = np.ones(n_items, np.int64) if counts is None else np.asarray(counts)
    rows = [(np.array([0, len(row)]), np.array(sorted(row), np.int32)) for row in (liked, given)]
    drawn = np.empty(n, np.int64)
    items = np.random.default_rng(2).permutation(n_items).astype(np.int32)
    _draw(
        naive.derive(99, n), n, rows[0], rows[1], share, items, sampler.cumulative(counts[items]),
        verified, drawn,
    )  # fmt: skip
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
def _draw_past_a_filter(key, pairs, known, items, cumulative, words, n_bits, drawn):
    """Draw for user 0, each time with a filter of another random number."""
    for t in range(drawn.shape[0]):
        stream = bits(np.uint64(key), t)
        seen = words, bits(~stream, 0) | np.uint64(1), n_bits
        _note_pairs(pairs, seen)
        position = propose(stream, 0, 0, items.shape[0], cumulative)
        if is_known(0, position, items, known, seen):
            position = draw_again(stream, 0, 0, items, 0, items.shape[0], cumulative, known, seen)
        drawn[t] = items[position] if position >= 0 else position


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("n_liked", [2, 10, 19, 20])
def test_a_filter_lets_no_known_pair_pass_and_the_others_alike(n_liked, alpha):
    """Some 30 pairs in 256 bits: one in nine of the others is taken for known, each time another one."""
    rng, sampler, counts = np.random.default_rng(), sampling.popularity(alpha), np.arange(1, 21)
    liked = np.sort(rng.choice(20, n_liked, replace=False)).astype(np.int32)
    others = np.column_stack([rng.integers(1, 99, 30 - n_liked), rng.integers(0, 20, 30 - n_liked)])
    pairs = np.vstack([np.column_stack([np.zeros(n_liked), liked]), others]).astype(np.int32)
    drawn = np.empty(20_000, np.int64)
    _draw_past_a_filter(
        rng.integers(2**62), pairs, (np.array([0, n_liked]), liked), np.arange(20, dtype=np.int32),
        sampler.cumulative(counts), np.empty(4, np.uint64), 8, drawn,
    )  # fmt: skip
    if n_liked == 20:
        assert (drawn == NONE_LEFT).all()
        return
    assert_distribution(drawn, np.where(np.isin(np.arange(20), liked), 0, counts**alpha))


@given(st.integers(1, 10**7), st.integers(1, 2**14))
def test_a_filter_has_64_bits_for_each_pair_or_is_none(n, n_words):
    n_bits = _filter_bits(np.empty(n_words, np.uint64), n)
    if n_bits:
        assert 64 * n <= 2**n_bits < 128 * n or n_bits == 6
        assert 2**n_bits <= 64 * n_words
    else:
        assert n > n_words // 2


def test_compiled_equals_uncompiled():
    with np.errstate(over="ignore"):
        items, row = (
            np.arange(20, dtype=np.int32),
            (np.array([0, 3]), np.array([2, 5, 7], np.int32)),
        )
        no_table = None  # all items alike
        drawn = np.empty(30, np.int64)
        _draw(np.uint64(5), 30, row, row, 0.0, items, no_table, True, drawn)
        again = [
            draw_given(
                np.uint64(5) + np.uint64(t), 0, row[0], row[1], 0.0, items, no_table, True,
                row[0], row[1],
            )
            for t in range(30)
        ]  # fmt: skip
    assert drawn.tolist() == again


def test_no_power_of_the_counts_is_beyond_float64():
    counts = np.array([3, 0, 5000, 4999])
    for alpha in (0.0, 0.75, 2.0):
        weights = sampling.popularity(alpha).weights(counts)
        np.testing.assert_allclose(weights / weights.sum(), counts**alpha / np.sum(counts**alpha))
    np.testing.assert_allclose(sampling.popularity(1e6).weights(counts), [0, 0, 1, 0], atol=1e-80)
    assert (sampling.popularity(0.0).weights(np.zeros(3, np.int64)) == 1).all()
