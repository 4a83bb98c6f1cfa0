"""Which hostile inputs; ``pytest tests/hostile --hostile 10`` tries ten times as many.

As with ``--thorough``, that is; the fixture `many` of all tests says how many it is without either.
"""

import os

import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """The same random numbers at each run with the same ``--hostile``, unless told otherwise."""
    seed = os.environ.get("TRIPLETREC_TEST_SEED") or request.config.getoption("--hostile") or 1
    print(f"to repeat: TRIPLETREC_TEST_SEED={seed}")
    return np.random.default_rng(int(seed))
