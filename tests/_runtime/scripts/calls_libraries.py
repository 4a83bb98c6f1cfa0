"""A kernel whose code calls functions outside of it, and whether all that Numba can compile was loaded."""

import json
import math
import sys

import numpy as np

from tripletrec._runtime.jit import kernel, part


@part
def root_of_gamma(x):
    return math.sqrt(math.gamma(x)) + np.exp(-x) * x**1.5


@kernel
def work(numbers):
    for t in range(numbers.shape[0]):
        numbers[t] = root_of_gamma(numbers[t])


numbers = np.array([2.0, 5.0])
work(numbers)
hits = sum(work.stats.cache_hits.values())
loaded = "numba.np.linalg" in sys.modules
print(json.dumps({"numbers": numbers.tolist(), "hits": hits, "loaded": loaded}))
