"""Fixtures of the contracts and of the tests of models."""

import copy
import multiprocessing

import pytest

import tripletrec as tr
from contracts.support import interactions, learnt


@pytest.fixture(scope="session")
def pairs():
    """Plain interactions whose ids are the row numbers; never modified."""
    return interactions(30, 40, 300)


@pytest.fixture(scope="session")
def elsewhere():
    """Call a function of a module with some arguments in another process; return its result."""
    # One process for all tests: starting it takes longer than what they ask of it.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield lambda function, *arguments: pool.apply_async(function, arguments).get(timeout=300)


@pytest.fixture(scope="session")
def seasoned(pairs):
    """A fitted model; never modified."""
    return tr.MatrixFactorization(n_factors=6, n_epochs=3).fit(pairs)


@pytest.fixture
def refused(seasoned):
    """A function that fits a copy of a fitted model in vain: the copy must stay as it was."""

    def refuse(kind, message, *arguments, params=None, **options):
        model = copy.deepcopy(seasoned).set_params(**(params or {}))
        with pytest.raises(kind, match=message):
            model.fit(*arguments, **options)
        assert learnt(model) == learnt(seasoned)

    return refuse
