"""How many hostile inputs, and which; ``pytest tests/hostile --hostile 10`` tries ten times as many.

As many as with ``--thorough``, that is; without either it is a quarter of them.
"""

import math
import os

import numpy as np
import pytest


@pytest.fixture
def many(request):
    """A function: how many inputs to try in this run, from how many in a thorough one."""
    factor = request.config.getoption("--hostile") or request.config.getoption("--thorough") or 0.25
    return lambda n: math.ceil(n * factor)


@pytest.fixture
def rng(request):
    """The same random numbers at each run with the same ``--hostile``, unless told otherwise."""
    seed = os.environ.get("TRIPLETREC_TEST_SEED") or request.config.getoption("--hostile") or 1
    print(f"to repeat: TRIPLETREC_TEST_SEED={seed}")
    return np.random.default_rng(int(seed))
