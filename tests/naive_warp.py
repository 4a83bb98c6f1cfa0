"""Slow, obvious twins of the losses that search for their negatives."""

import itertools
import math

import numpy as np

from naive import Row, coefficients

NEAR = 1e-3  # rounding may tell which of two numbers so near is larger


def kth_best(scores, k):
    """Place of the k-th highest score, of equals the first."""
    return sorted(range(len(scores)), key=lambda c: -scores[c])[k - 1]


def search(positive_score, scores, margin, n_items):
    """Place of the first score above the positive's less the margin, and its weight, or None."""
    for tries, score in enumerate(scores, 1):
        if positive_score - score < margin:
            return tries - 1, math.log(max(1, (n_items - 1) // tries))
    return None


def learn(
    visits, U, V, b, scorer, optimizer, learning_rate, l2, n_items, margin=1.0, k=1, item_bias=True
):
    """Visit ``(group, user, [(positive, weight), ...], [negative, ...])``; return U, V, b and four sums.

    These are of the losses, of the right order of first tries, of weights, and of triplets that led to a
    step. None where rounding may decide what is chosen.
    """
    users = [Row(row, optimizer, learning_rate) for row in U]
    items = [Row(row, optimizer, learning_rate) for row in V]
    biases = [Row([x], optimizer, learning_rate) for x in b]
    sums = np.zeros(4)
    for _, members in itertools.groupby(visits, lambda visit: visit[0]):
        ready = []
        for _, u, positives, negatives in members:
            score = {
                i: coefficients(scorer, users[u].w, items[i].w)[3] + biases[i].w[0]
                for i in {*(i for i, _ in positives), *negatives}
            }
            own = {i: score[i] for i, _ in positives}
            if np.diff(sorted(own.values())).min(initial=1) < NEAR:
                return None
            i, weight = positives[kth_best([score[i] for i, _ in positives], k)]
            differences = [score[i] - score[j] for j in negatives]
            if any(abs(x - margin) < NEAR or abs(x) < NEAR for x in differences):
                return None
            if not negatives:
                continue
            sums += 0, weight * (differences[0] > 0), weight, 0
            found = search(score[i], [score[j] for j in negatives], margin, n_items)
            if found is None:
                continue
            j, emphasis = negatives[found[0]], found[1]
            sums += weight * emphasis * (margin - score[i] + score[j]), 0, 0, 1
            ready.append((u, i, j, weight, -emphasis))
        slopes = [
            (*each, coefficients(scorer, users[each[0]].w, items[each[1]].w),
             coefficients(scorer, users[each[0]].w, items[each[2]].w))
            for each in ready
        ]  # fmt: skip
        for u, i, j, weight, slope, (p_i, q_i, r_i, _), (p_j, q_j, r_j, _) in slopes:
            a, p, q = users[u].w.copy(), items[i].w.copy(), items[j].w.copy()
            users[u].update(weight * (slope * (p_i * p - q_i * a - p_j * q + q_j * a) + l2[0] * a))
            items[i].update(weight * (slope * (p_i * a - r_i * p) + l2[1] * p))
            items[j].update(weight * (-slope * (p_j * a - r_j * q) + l2[2] * q))
            if item_bias:
                biases[i].update(weight * (slope + l2[3] * biases[i].w))
                biases[j].update(weight * (-slope + l2[3] * biases[j].w))
    return (
        *(np.array([row.w for row in rows]) for rows in (users, items)),
        np.array([row.w[0] for row in biases]),
        sums,
    )
