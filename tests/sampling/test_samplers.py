"""Samplers as a user makes them: their arguments, and the weights of items."""

import numpy as np
import pytest

from tripletrec import part, sampling
from tripletrec.sampling.samplers import check_sampler


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sampling.popularity(-0.5), "alpha must be a finite number >= 0, got -0.5"),
        (lambda: sampling.explicit(1.5), "share must be a number from 0 to 1, got 1.5"),
        (lambda: sampling.dynamic(1), "n_candidates must be an integer >= 2, got 1"),
        (lambda: sampling.semi_hard(1), "n_candidates must be an integer >= 2, got 1"),
        (
            lambda: sampling.dynamic(4, 1.0),
            r"share must be a number from 0 to 1 \(1 excluded\), got 1.0",
        ),
        (
            lambda: sampling.semi_hard(4, 1),
            r"share must be a number from 0 to 1 \(1 excluded\), got 1",
        ),
        (
            lambda: check_sampler(sampling.dynamic()._replace(share=1.0)),
            r"sampler 'dynamic': share must be a number from 0 to 1 \(1 excluded\)",
        ),
        (lambda: sampling.nearest(1.5), "share must be a number from 0 to 1, got 1.5"),
        (lambda: check_sampler("pop"), "sampler must be one of 'uniform', 'unseen'"),
        (
            lambda: check_sampler(sampling.dynamic()._replace(n_candidates=0)),
            "n_candidates must be an integer >= 1, got 0",
        ),
        (
            lambda: check_sampler(sampling.Sampler("mine", True, n_candidates=4)),
            "n_candidates of a sampler must be 1 unless it has a choose, got 4",
        ),
        (
            lambda: check_sampler(sampling.nearest()._replace(choose=first), features=True),
            "sampler 'nearest' must not have both choose and by_features",
        ),
        (
            lambda: check_sampler(sampling.nearest()),
            "sampler 'nearest' compares features of items, which this model does not have",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_choice_must_be_a_function():
    with pytest.raises(TypeError, match="choose of a sampler must be a part .*, got 'hardest'"):
        check_sampler(sampling.Sampler("mine", True, n_candidates=4, choose="hardest"))


@part
def first(score, best, positive_score):
    return False


@pytest.mark.parametrize("name", [*sampling.SAMPLERS, *sampling.HARD_SAMPLERS])
def test_which_samplers_are_hard(name):
    features = name == "nearest"
    sampler = check_sampler(name, features=features)
    assert sampler.name == name
    assert sampler.is_hard == (name in sampling.HARD_SAMPLERS)
    assert check_sampler(sampler, features=features) is sampler


def test_all_negatives_may_be_given():
    for sampler in (sampling.explicit(1.0), sampling.graded(1.0)):
        assert check_sampler(sampler) is sampler
    with pytest.raises(ValueError, match=r"share must be a number from 0 to 1, got 1.5"):
        check_sampler(sampling.explicit()._replace(share=1.5))


def test_no_power_of_the_counts_is_beyond_float64():
    counts = np.array([3, 0, 5000, 4999])
    for alpha in (0.0, 0.75, 2.0):
        weights = sampling.popularity(alpha).weights(counts)
        np.testing.assert_allclose(weights / weights.sum(), counts**alpha / np.sum(counts**alpha))
    np.testing.assert_allclose(sampling.popularity(1e6).weights(counts), [0, 0, 1, 0], atol=1e-80)
    assert (sampling.popularity(0.0).weights(np.zeros(3, np.int64)) == 1).all()
