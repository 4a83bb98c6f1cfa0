"""Functions that a user's parts call. A test replaces 2.5."""

import math

import numba
from numba import types
from numba.extending import overload, overload_method, register_jitable

from tripletrec import part


@part
def deep_helper(x):
    return x * 2.5


@part
def helper(x):
    return deep_helper(x) + 1.0


@numba.njit
def jitted(x):
    return x * 2.5


@numba.vectorize
def vectorized(x):
    return x * 2.5


@register_jitable
def registered(x):
    return x * 2.5


def overloaded(x):
    return x * 2.5


@overload(overloaded)
def overloaded_for_numba(x):
    return lambda x: x * 2.5


@overload(math.perm)  # of a library, but unknown to Numba
def perm(n, k):
    return lambda n, k: 6.0 * 2.5


@overload_method(types.Float, "times_version")
def times_version(x):
    return lambda x: x * 2.5
