"""How many hostile inputs, and which; ``pytest tests/hostile --hostile 10`` tries ten times as many."""

import os

import numpy as np
import pytest


@pytest.fixture
def many(request):
    """A function: how many inputs to try in this run, from how many in a short one."""
    factor = request.config.getoption("--hostile")
    return lambda n: n * factor


@pytest.fixture
def rng(request):
    """The same random numbers at each run with the same ``--hostile``, unless told otherwise."""
    seed = os.environ.get("TRIPLETREC_TEST_SEED") or request.config.getoption("--hostile")
    print(f"to repeat: TRIPLETREC_TEST_SEED={seed}")
    return np.random.default_rng(int(seed))
