"""Samplers as a user makes them: what their arguments may be."""

import pytest

from tripletrec import sampling
from tripletrec.sampling.samplers import check_sampler


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sampling.popularity(-0.5), "alpha must be a finite number >= 0, got -0.5"),
        (lambda: sampling.explicit(1.5), "share must be a number from 0 to 1, got 1.5"),
        (lambda: check_sampler("pop"), "sampler must be one of 'uniform', 'unseen'"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
