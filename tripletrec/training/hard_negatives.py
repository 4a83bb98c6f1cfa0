"""The choice of a hard negative by the scores of a factor model; which one is taken is in `sampling.hard`."""

from __future__ import annotations

import numpy as np

from tripletrec._runtime.jit import index, part
from tripletrec.sampling.draw import NONE_LEFT

__all__ = ["choose_negative", "pair_score"]


@part
def choose_negative(
    choose, negatives, start, n_candidates, user, positive, users, items, score, width, sizes
):
    """Return which of ``negatives[start:start + n_candidates]`` is the negative; NONE_LEFT if none is.

    Items go by their positions. `users` and `items` are the rows of `triplet_kernel`, `score` is that of the
    scorer, and `sizes` the numbers in a row of a user, in one of an item and in a bias.
    """
    limit = pair_score(user, positive, users, items, score, width, sizes)
    chosen, best = NONE_LEFT, limit
    for c in range(start, start + n_candidates):
        position = negatives[c]
        # An unverified sampler may have drawn the positive itself: nothing to learn from it.
        if position < 0 or position == positive:
            continue
        s = pair_score(user, position, users, items, score, width, sizes)
        if chosen < 0 or choose(s, best, limit):
            chosen, best = position, s
    return chosen


@part
def pair_score(user, position, users, items, score, width, sizes):
    """Return the score of a user and the item at a position; arguments as of `choose_negative`."""
    row_size, item_size, bias_size = sizes
    U, V = users.table, items.table
    u = index(user) * index(row_size)
    i = index(items.row_at[index(position)]) * index(item_size)
    ui, uu, ii = np.float32(0), np.float32(0), np.float32(0)
    for k in range(width):
        a, p = U[u + index(k)], V[i + index(k)]
        ui += a * p
        uu += a * a
        ii += p * p
    return np.float32(score(ui, uu, ii) + items.biases[index(position) * index(bias_size)])
