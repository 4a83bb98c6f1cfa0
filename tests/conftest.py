"""Shared by all tests."""

import hypothesis
import pytest

import tripletrec as tr

# The first call of a kernel compiles it: no example may be judged by its time.
hypothesis.settings.register_profile("tripletrec", deadline=None)
hypothesis.settings.load_profile("tripletrec")


@pytest.fixture(scope="session")
def small():
    """Interactions that a few epochs can learn from; never modified."""
    return tr.datasets.make_interactions(60, 40, 500, random_state=3)
