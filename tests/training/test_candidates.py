"""Candidates: the sums over them are unbiased estimates of those over all items."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_candidates
from tripletrec.training.candidates import BatchCandidates, expected_draws


def estimates_of(candidates, values, rng, n_draws=4000):
    """Estimate the sum of `values` from the candidates of many batches."""
    items, importance = np.zeros(candidates.most, np.int32), np.zeros(candidates.most, np.float32)
    estimates = []
    for key in rng.integers(2**63, size=n_draws, dtype=np.uint64):
        n = candidates.draw(key, items, importance)
        drawn = items[:n]
        assert len(set(drawn.tolist())) == n <= candidates.most
        assert (candidates.slot_of[drawn] == np.arange(n)).all()
        candidates.forget(drawn)
        assert (candidates.slot_of == -1).all()
        estimates.append((importance[:n] * values[drawn]).sum())
    return np.array(estimates)


@pytest.mark.parametrize(
    "weights", [None, np.arange(1.0, 13.0) ** 0.75], ids=["uniform", "popular"]
)
def test_the_sum_over_candidates_is_unbiased(weights, rng):
    """N of the sampled loss has the exact one as its mean: within five standard errors."""
    values = rng.uniform(0.5, 1.5, 12)
    estimates = estimates_of(BatchCandidates(12, 4, weights), values, rng)
    error = estimates.std() / math.sqrt(len(estimates))
    assert 0 < error and abs(estimates.mean() - values.sum()) < 5 * error


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 13.0)], ids=["different", "again"])
def test_draws_of_an_epoch_depend_on_their_keys_alone(weights, rng):
    keys = rng.integers(2**63, size=5, dtype=np.uint64)

    def epoch(candidates):
        candidates.begin_epoch()
        drawn = []
        for key in keys:
            items, importance = np.zeros(4, np.int32), np.zeros(4, np.float32)
            n = candidates.draw(key, items, importance)
            candidates.forget(items[:n])
            drawn.append((items[:n].tolist(), importance[:n].tolist()))
        return drawn

    used = BatchCandidates(12, 4, weights)
    epoch(used)
    assert epoch(used) == epoch(BatchCandidates(12, 4, weights))


@given(
    exponents=st.lists(st.floats(0.0, 12.0), min_size=1, max_size=30),
    share=st.floats(0.0, 1.0),
    alpha=st.sampled_from([0.5, 1.0, 100.0]),
)
def test_items_are_expected_by_their_weights_but_at_most_once(exponents, share, alpha):
    weights = (np.exp(exponents) / np.exp(max(exponents))) ** alpha
    n = max(1, round(share * len(weights)))
    order, expected = expected_draws(weights, n)
    assert sorted(order) == list(range(len(weights)))
    assert (np.diff(weights[order]) <= 0.0).all()
    assert ((expected > 0.0) & (expected <= 1.0)).all()
    assert expected.sum() == pytest.approx(n)
    assert expected.tolist() == pytest.approx(
        naive_candidates.expected_draws(weights[order], n).tolist()
    )


def test_what_is_expected_once_is_drawn_once(rng):
    """Of all items each is a candidate; of fewer, those that are popular enough are."""
    weights = np.array([1.0, 1.0, 900.0, 1.0, 1000.0, 1.0])
    for n, certain in ((6, range(6)), (3, (2, 4))):
        candidates = BatchCandidates(6, n, weights)
        items, importance = np.zeros(n, np.int32), np.zeros(n, np.float32)
        for key in rng.integers(2**63, size=50, dtype=np.uint64):
            n_slots = candidates.draw(key, items, importance)
            drawn = dict(zip(items[:n_slots].tolist(), importance[:n_slots].tolist(), strict=True))
            candidates.forget(items[:n_slots])
            assert len(drawn) == n and all(drawn[item] == 1.0 for item in certain)


def test_all_items_are_their_own_slots():
    candidates = BatchCandidates(5, None, None)
    nothing = np.empty(0, np.int32)
    assert candidates.draw(np.uint64(1), nothing, nothing) == candidates.most == 5
    candidates.forget(np.arange(5, dtype=np.int32))
    assert candidates.slot_of.tolist() == [0, 1, 2, 3, 4]
