"""Candidates as they are meant: one item at a time, without a sum that is reused."""

import numpy as np


def expected_draws(weights, n):
    """How often each item is expected: by its weight, but no more than once; the others share the rest."""
    weights, certain = np.maximum(weights, 1e-30 * max(weights)), set()
    while True:
        others = [i for i in range(len(weights)) if i not in certain]
        total = sum(weights[i] for i in others)
        expected = {i: (n - len(certain)) * weights[i] / total for i in others}
        beyond = {i for i in others if expected[i] > 1.0}
        if not beyond:
            return np.array([expected.get(i, 1.0) for i in range(len(weights))])
        certain |= beyond
