"""A kernel that calls an intrinsic of the package."""

import json

import numpy as np

import tripletrec
from tripletrec._runtime.intrinsics import prefetch
from tripletrec._runtime.jit import kernel, part


@part
def double(x):
    return x * 2.0


@kernel
def work(numbers):
    prefetch(numbers, 0, 8)
    for t in range(numbers.shape[0]):
        numbers[t] = double(numbers[t])


numbers = np.ones(3)
work(numbers)
print(json.dumps([tripletrec.__file__, sum(numbers), sum(work.stats.cache_hits.values())]))
