"""The parts of a step on a batch of triplets: scores, loss and their gradients; networks are in `networks`.

A batch has n positives, and then the n negatives of the same users.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tripletrec._runtime.jit import part
from tripletrec.losses import Loss

__all__ = ["build_pair_loss", "differentiate_pairs", "score_pairs"]


@cache
def build_pair_loss(loss: Loss) -> Any:
    """Return a part for the loss of n pairs of scores and its gradient."""
    value, slope = loss.value, loss.slope

    @part
    def pair_loss(scores, weights, parameters, mean, gradient, totals):
        """Write the gradient: of the scores of n positives, then of their negatives. Add to the totals."""
        n = scores.shape[0] >> 1
        one = scores.dtype.type(1.0)
        share = one / n if mean else one
        loss, correct, mass = 0.0, 0.0, 0.0
        for t in range(n):
            x = scores[t] - scores[n + t]
            weight = weights[t] if weights.shape[0] > 0 else one
            loss += weight * value(x, parameters)
            correct += weight * (1.0 if x > 0 else 0.5 if x == 0 else 0.0)
            mass += weight
            g = weight * share * slope(x, parameters)
            gradient[t], gradient[n + t] = g, -g
        totals[0] += loss
        totals[1] += correct
        totals[2] += mass

    return pair_loss


@part
def score_pairs(a, v, scores):
    """Score n users with their positives, the first n rows of `v`, and with their negatives, the others."""
    n = a.shape[0]
    for t in range(2 * n):
        total, user, item = scores.dtype.type(0), a[t if t < n else t - n], v[t]
        for k in range(a.shape[1]):
            total += user[k] * item[k]
        scores[t] = total


@part
def differentiate_pairs(gradient, a, v, a_gradient, v_gradient):
    """Back-propagate from the scores of `score_pairs` to the outputs of both towers."""
    n = a.shape[0]
    for t in range(n):
        g, h, user, positive, negative = gradient[t], gradient[n + t], a[t], v[t], v[n + t]
        by_user, by_positive, by_negative = a_gradient[t], v_gradient[t], v_gradient[n + t]
        # Two loops: one over this many arrays would need too many checks for overlap to be vectorised.
        for k in range(a.shape[1]):
            by_user[k] = g * positive[k] + h * negative[k]
        for k in range(a.shape[1]):
            by_positive[k], by_negative[k] = g * user[k], h * user[k]
