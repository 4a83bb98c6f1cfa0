"""Interactions remember how scikit-learn cut them, and are whole again where that was wrong."""

import copy
import gc
import pickle

import numpy as np
import pytest

from tripletrec.data.cuts import restore
from tripletrec.data.interactions import Interactions


def some(n, seed):
    pairs = np.random.default_rng(seed).choice(200, n, replace=False)
    return Interactions.from_arrays(*np.divmod(pairs, 20), shape=(10, 20))


@pytest.fixture
def two():
    return some(60, 1), some(60, 2)


WAYS = [lambda data, mask: data.take(np.flatnonzero(mask)), lambda data, mask: data.loc[mask]]


@pytest.mark.parametrize("way", WAYS, ids=["take", "loc"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_cut_alike_is_restored(way, depth, two, rng):
    X, side = two
    held = [(X, side)]
    for _ in range(depth):
        mask = rng.random(len(X)) < 0.7
        mask[0] = True
        X, side = way(X, mask), way(side, mask)
        held.append((X, side))  # as the searches of scikit-learn hold what they cut
    assert restore(side, X, "validation") is two[1]
    assert restore(held[0][1], X, "validation") is two[1]


def test_what_was_not_cut_alike_stays(two, rng):
    X, side = two
    positions = rng.permutation(60)[:40]
    part = X.take(positions)
    other = rng.permutation(60)[:40]
    for given in (side, side.take(other), side[positions], some(70, 3).take(positions), part):
        assert restore(given, part, "validation") is given
    alike = side.take(positions)
    for given in (X, X[positions], X.take(other)):
        assert restore(alike, given, "validation") is alike


@pytest.mark.parametrize("forget", [pickle.loads, copy.copy, None], ids=["pickle", "copy", "drop"])
def test_what_is_gone_is_refused(forget, two):
    X, side = two
    part, cut = X.iloc[10:50], side.iloc[10:50]
    if forget is None:
        assert restore(cut, part, "validation") is side
        gc.freeze()  # of what is there already, nothing is looked for
        cut = some(60, 2).iloc[10:50]
        gc.collect()
    elif forget is copy.copy:
        cut = copy.copy(cut)
    else:
        part, cut = pickle.loads(pickle.dumps((part, cut)))
    message = "validation must not be cut, .* both have 60 interactions: leave one out"
    with pytest.raises(ValueError, match=message):
        restore(cut, part, "validation")


def test_a_pickle_does_not_hold_what_was_cut(two):
    data = Interactions(np.ones((50, 60)))
    part = data.take([0, 1])
    assert len(pickle.dumps(part)) < len(pickle.dumps(data[[0, 1]])) + 300
    assert data._cut is None and part[:]._cut is None


def test_order_and_repetitions_are_known(two):
    X = two[0]
    assert X.take([1, 4, 9])._cut.ascending
    for positions in ([4, 1], [1, 1], [0, 2, 2]):
        cut = X.take(positions)._cut
        assert not cut.ascending and cut.n_after == len(positions) and cut.n_before == 60
