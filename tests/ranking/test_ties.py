"""What ties are worth: against all orders of small ones, and in whole numbers for large ones."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from tiers import quick, quick_rows
from tripletrec.ranking.ties import Ties


def tie(above, size, positives, before=0):
    return Ties(*(np.array([each]) for each in (0, above, size, positives, before)))


def means(above, size, positives, before, k):
    """Over all orders of the tie: hits, gains, precisions, any hit, reciprocal rank."""
    rows = []
    for places in combinations(range(1, size + 1), positives):
        hits = [above + i for i in places if above + i <= k]
        rows.append((
            len(hits),
            sum(1 / math.log2(rank + 1) for rank in hits),
            sum((before + 1 + n) / rank for n, rank in enumerate(hits)),
            bool(hits),
            1 / (above + places[0]),
        ))  # fmt: skip
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("k", quick([1, 2, 3, 5, 9, 100], 3))
@pytest.mark.parametrize("above", [0, 1, 4])
def test_equal_the_means_over_all_orders(above, k):
    for size in range(1, 8):
        for positives in range(1, size + 1):
            for before in {0, above // 2, above}:
                ties = tie(above, size, positives, before)
                found = [ties.hits(k), ties.gains(k), ties.precisions(k), ties.any_hit(k)]
                found.append(ties.reciprocal_ranks())
                right = means(above, size, positives, before, k)
                np.testing.assert_allclose(np.ravel(found), right, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("above", "positives"), quick_rows([(0, 1), (0, 2), (3, 50), (10, 5000)], (0, 2))
)
def test_large_ties(above, positives):
    """Against whole numbers; the first positive of many comes early."""
    size, k = 20_000, above + 10
    ties = tie(above, size, positives)
    chance, missed, reciprocal = Fraction(1), Fraction(1), 0.0
    for i in range(1, size - positives + 2):
        here = Fraction(positives, size - i + 1)
        reciprocal += float(chance * here) / (above + i)
        chance *= 1 - here
        chance = chance.limit_denominator(10**60)
        if i == 10:
            missed = chance
    assert ties.reciprocal_ranks()[0] == pytest.approx(reciprocal, rel=1e-12)
    assert ties.any_hit(k)[0] == pytest.approx(float(1 - missed), rel=1e-12)
    assert ties.hits(k)[0] == pytest.approx(positives * 10 / size, rel=1e-12)


def test_ties_of_users(rng):
    """Users one after the other, each with the first tie, however deep, and those near the top."""
    bounds = np.array([0, 3, 4, 7])
    greater, equal = np.array([5, 0, 5, 90, 2, 0, 7]), np.array([3, 0, 3, 8, 1, 0, 0])
    ties = Ties.of(bounds, greater, equal, depth=6)
    assert ties.user.tolist() == [0, 0, 1, 2, 2]
    assert ties.above.tolist() == [0, 5, 90, 0, 2]
    assert ties.size.tolist() == [1, 4, 9, 1, 2]
    assert ties.positives.tolist() == [1, 2, 1, 1, 1]
    assert ties.before.tolist() == [0, 1, 0, 0, 1]
    assert ties.first().above.tolist() == [0, 90, 0]


def test_without_a_tie_nothing_is_rounded():
    for above in (0, 1, 6, 99):
        ties, rank = tie(above, 1, 1, above // 2), above + 1
        assert ties.hits(rank)[0] == ties.any_hit(rank)[0] == 1
        assert ties.gains(rank)[0] == 1 / np.log2(rank + 1)
        assert ties.precisions(rank)[0] == (above // 2 + 1) / rank
        assert ties.reciprocal_ranks()[0] == 1 / rank
        assert ties.hits(above)[0] == ties.gains(above)[0] == ties.any_hit(above)[0] == 0
