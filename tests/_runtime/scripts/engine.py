"""Calls a user's part from a kernel. Its folder is that of the machine code, as with the package's files."""

import numpy as np

from tripletrec import part
from tripletrec._runtime.jit import kernel


def measure(function, expected=None):
    """What a kernel gets for 3 from a part, what Python gets, how often code was found and compiled."""

    @kernel
    def loop(numbers):
        for t in range(numbers.shape[0]):
            numbers[t] = function(numbers[t])

    numbers = np.full(2, 3.0)
    loop(numbers)
    stats = loop.stats
    return {
        "got": float(numbers[0]),
        "expected": float(function(3.0) if expected is None else expected),
        "counts": [sum(stats.cache_hits.values()), sum(stats.cache_misses.values())],
    }


def make(number, S):
    """A namespace with a part that reads S from it; a number of its own gives it files of its own."""
    namespace = {"part": part, "S": S}
    exec(f"@part\ndef scaled(x):\n    return x * S + {number}.0", namespace)
    return namespace
