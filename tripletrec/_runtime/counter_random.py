"""Random numbers for kernels that depend on a key and a counter only.

No state is carried from one number to the next, so any thread may draw any number in any order and get the
same bits. The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014, figure 16): ``bits(key, counter) = mix(key + counter * GAMMA)``.
"""

from __future__ import annotations

import numpy as np

from tripletrec._runtime.jit import part

__all__ = ["below", "bits", "derive", "shuffle", "uniform"]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@part
def bits(key, counter):
    """Return 64 random bits: number `counter` of the stream `key`, both uint64."""
    z = np.uint64(key) + np.uint64(counter) * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@part
def derive(key, name):
    """Return the key of the stream that is number `name` of those derived from `key`."""
    # Mixed twice: after a single pass the streams of neighbouring names would overlap.
    return bits(bits(key, np.uint64(name) + np.uint64(1)), np.uint64(0))


@part
def uniform(key, counter):
    """Return a float64 in [0, 1) with 53 random bits."""
    return np.float64(bits(key, np.uint64(counter)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@part
def below(key, counter, n):
    """Return an int64 in 0 ... n - 1; its probability is off by less than 2**-53."""
    return np.int64(uniform(key, counter) * n)


@part
def shuffle(array, first, last, key):
    """Shuffle ``array[first:last]`` in place, by the method of Fisher and Yates."""
    for t in range(last - first - 1, 0, -1):
        s = below(key, t, t + 1)
        array[first + t], array[first + s] = array[first + s], array[first + t]
