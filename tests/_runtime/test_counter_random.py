"""Random numbers as functions of a key and a counter: against SplitMix64 in whole numbers, and uniform."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

import naive
from tripletrec._runtime import counter_random
from tripletrec._runtime.jit import kernel

keys = st.integers(0, 2**64 - 1)


@given(key=keys, counter=st.integers(0, 2**63))
def test_equals_splitmix_in_whole_numbers(key, counter):
    with np.errstate(over="ignore"):
        assert int(counter_random.bits(np.uint64(key), counter)) == naive.bits(key, counter)
        assert int(counter_random.derive(np.uint64(key), counter)) == naive.derive(key, counter)
        assert int(counter_random.below(np.uint64(key), counter, 1000)) == naive.below(
            key, counter, 1000
        )


@kernel
def _fill(key, n, counts, values):
    for t in range(values.shape[0]):
        values[t] = counter_random.uniform(key, t)
        counts[counter_random.below(key, t, n)] += 1


def _filled(key, n=20, size=20_000):
    counts, values = np.zeros(n, np.int64), np.empty(size)
    _fill(np.uint64(key), n, counts, values)
    return counts, values


@given(key=keys)
def test_compiled_equals_uncompiled(key):
    counts, values = _filled(key, 7, 50)
    assert values[33] == naive.uniform(key, 33)
    expected = np.bincount([naive.below(key, t, 7) for t in range(50)], minlength=7)
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("key", [1, 2])
def test_numbers_are_uniform(key):
    # 64 streams of 20,000: the smallest of 64 p-values is below 1e-7 once in 150,000 runs.
    p_values = [chisquare(_filled(naive.derive(key, name))[0]).pvalue for name in range(64)]
    assert min(p_values) > 1e-7
    values = _filled(key)[1]
    assert ((values >= 0) & (values < 1)).all()


@pytest.mark.parametrize("key", [0, 12345])
def test_streams_do_not_overlap(key):
    seen = set()
    for name in range(100):
        stream = naive.derive(key, name)
        seen.update(naive.bits(stream, t) for t in range(100))
    assert len(seen) == 100 * 100


@kernel
def _shuffle(array, first, last, key):
    counter_random.shuffle(array, first, last, key)


def test_shuffle_permutes_its_stretch_only():
    array = np.arange(30)
    _shuffle(array, 5, 25, np.uint64(9))
    assert array[:5].tolist() == [0, 1, 2, 3, 4]
    assert array[25:].tolist() == [25, 26, 27, 28, 29]
    assert sorted(array.tolist()) == list(range(30))


@pytest.mark.parametrize("key", [7, 8])
def test_shuffle_reaches_all_orders_alike(key):
    counts = np.zeros((4, 4))
    for name in range(4000):
        array = np.arange(4)
        _shuffle(array, 0, 4, np.uint64(naive.derive(key, name)))
        counts[np.arange(4), array] += 1
    assert chisquare(counts.ravel()).pvalue > 1e-6
