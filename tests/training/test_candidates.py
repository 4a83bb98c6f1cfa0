"""Candidates: the sums over them are unbiased estimates of those over all items."""

import math

import numpy as np
import pytest

from tripletrec.training.candidates import Candidates


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
    cumulative = None if weights is None else np.concatenate([[0.0], np.cumsum(weights)])
    estimates = estimates_of(Candidates(12, 4, cumulative), values, rng)
    error = estimates.std() / math.sqrt(len(estimates))
    assert 0 < error and abs(estimates.mean() - values.sum()) < 5 * error


@pytest.mark.parametrize("cumulative", [None, np.arange(13.0)], ids=["different", "again"])
def test_draws_of_an_epoch_depend_on_their_keys_alone(cumulative, rng):
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

    used = Candidates(12, 4, cumulative)
    epoch(used)
    assert epoch(used) == epoch(Candidates(12, 4, cumulative))


def test_all_items_are_their_own_slots():
    candidates = Candidates(5, None, None)
    nothing = np.empty(0, np.int32)
    assert candidates.draw(np.uint64(1), nothing, nothing) == candidates.most == 5
    candidates.forget(np.arange(5, dtype=np.int32))
    assert candidates.slot_of.tolist() == [0, 1, 2, 3, 4]
