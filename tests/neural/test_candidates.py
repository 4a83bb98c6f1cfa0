"""Candidates of a batch of towers: which are drawn, and their importance weights."""

import itertools

import numpy as np
import pytest

import naive
import tripletrec as tr
from tripletrec import sampling
from tripletrec.neural.candidates import CandidateSampler


@pytest.mark.parametrize("n_drawn", [0, 2])
@pytest.mark.parametrize("n_pairs", [2, 3])
def test_the_sum_over_all_other_items_is_estimated_without_bias(n_pairs, n_drawn, rng):
    """The mean over all batches that one pair can be in, and over all that can be drawn for them."""
    likes = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0]], bool)
    data = tr.Interactions(likes)
    candidates = CandidateSampler(data, sampling.UNSEEN)
    values = np.exp(rng.normal(size=5))
    pair, estimates = 2, []  # of user 1, who does not know items 1 and 3; nobody likes item 4
    others = [t for t in range(data.nnz) if t != pair]
    for chosen in itertools.combinations(others, n_pairs - 1):
        for drawn in itertools.combinations(candidates.items.tolist(), n_drawn):
            found = [*data.indices[[pair, *chosen]].tolist(), *drawn]
            items, counts = np.unique(np.array(found, int), return_counts=True)
            importance = candidates.importance_weights(items, counts, n_pairs, n_drawn)
            unknown = ~likes[1][items]
            estimates.append((importance * values[items])[unknown].sum())
            twin = naive.in_batch_importance(
                [0] * n_pairs, found[:n_pairs], drawn,
                [np.flatnonzero(row).tolist() for row in likes], [0.25, 0.25, 0.25, 0.25, 0.0],
            )  # fmt: skip
            np.testing.assert_allclose(importance, list(twin.values()), rtol=1e-6)
    assert np.mean(estimates) == pytest.approx(values[1] + values[3], rel=1e-5)


def test_popular_items_of_a_batch_weigh_less():
    likes = np.zeros((10, 4), bool)
    likes[:, 0] = likes[:3, 1] = likes[0, 2] = likes[9, 3] = True
    candidates = CandidateSampler(tr.Interactions(likes), sampling.UNSEEN)
    importance = candidates.importance_weights(np.arange(4), np.ones(4, int), 5, 0)
    assert importance[0] < importance[1] < importance[2] == importance[3]
    np.testing.assert_allclose(importance[1] / importance[0], 10 / 3, rtol=1e-6)


def test_what_is_drawn(rng):
    likes = np.zeros((20, 6), bool)
    likes[:, 1] = likes[:5, 2] = likes[0, 4] = True
    data = tr.Interactions(likes)
    plain = CandidateSampler(data, sampling.UNSEEN)
    assert plain.items.tolist() == [1, 2, 4]
    assert sorted(plain.draw(rng, 3).tolist()) == [1, 2, 4]
    drawn = CandidateSampler(data, sampling.popularity(1.0)).draw(rng, 40_000)
    np.testing.assert_allclose(
        np.bincount(drawn, minlength=6) / 40_000, [0, 20 / 26, 5 / 26, 0, 1 / 26, 0], atol=0.02
    )
