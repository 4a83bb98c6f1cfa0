"""Shared by all tests."""

import math
import os
import secrets
import signal
import threading
from contextlib import contextmanager

import hypothesis
import numpy as np
import pandas as pd
import pytest

import tripletrec as tr

pytest.register_assert_rewrite("contracts")

# The first call of a kernel compiles it: no example may be judged by its time.
hypothesis.settings.register_profile("thorough", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=10)


def pytest_configure(config):
    thorough = config.getoption("--thorough")
    hypothesis.settings.load_profile("thorough" if thorough else "quick")


@pytest.fixture
def rng(request):
    """Random numbers, other ones each time; a failing test prints the seed that repeats it."""
    seed = int(os.environ.get("TRIPLETREC_TEST_SEED") or secrets.randbits(32))
    request.node.user_properties.append(("seed", seed))
    print(f"to repeat: TRIPLETREC_TEST_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture
def many(request):
    """A function: how many random cases to try in this run, of how many in a thorough one."""
    option = request.config.getoption
    share = option("--hostile") or option("--thorough") or 0.1
    return lambda n: math.ceil(n * share)


@pytest.fixture
def no_threads(monkeypatch):
    """A function: a block in which the system gives no thread, as where their number is limited."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    @contextmanager
    def block():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            yield

    return block


@pytest.fixture
def heeds_ctrl_c():
    """As in a shell: what a script starts in the background ignores Ctrl-C, and so do its children."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture(scope="session")
def small():
    """Interactions that a few epochs can learn from; never modified."""
    return tr.datasets.make_interactions(60, 40, 500, random_state=3)


@pytest.fixture(scope="session")
def tiny_movielens():
    """What `fetch_movielens_100k` gives, of two groups of users with opposite tastes."""
    rng = np.random.default_rng(5)
    n_users, n_items = 41, 31  # row and column 0 are empty, as there
    records = []
    for user in range(1, n_users):
        for place, item in enumerate(rng.permutation(np.arange(1, n_items))[:20]):
            liked = user % 2 == item % 2
            rating = rng.integers(4, 6) if liked else rng.integers(1, 4)
            records.append((user, item, rating, place, "test" if place < 5 else "train"))
    ratings = pd.DataFrame(records, columns=["user", "item", "rating", "timestamp", "split"])

    def positives(split):
        part = ratings[(ratings["split"] == split) & (ratings["rating"] >= 4)]
        return tr.Interactions.from_arrays(part["user"], part["item"], shape=(n_users, n_items))

    nothing = pd.DataFrame()
    return tr.datasets.MovieLens(positives("train"), positives("test"), ratings, nothing, nothing)
