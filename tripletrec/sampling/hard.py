r"""Hard negatives of the factor models: which of the drawn candidates the training loop learns from.

A choice is a part that the loop calls once for each negative. Negative number n of an array has the m
candidates from place n·m on; they are scored by the model as it stands at that step. With s⁺ the score of
the positive, the candidates' being s₁ … s_m:

========== ==================================================== =====================================
rule       chosen                                               source
========== ==================================================== =====================================
""         the only one                                         Rendle et al., UAI 2009
hardest    the highest scored                                   Zhang et al., SIGIR 2013
semi_hard  the highest scored of those with s < s⁺; where       Schroff et al., CVPR 2015, section 3.2
           there is none, the lowest scored of all
========== ==================================================== =====================================

Of equal scores the first counts. Items go by their homes, see `tripletrec.training.strata.Codes`. The neural
models choose by the same rules, a batch at a time: see `tripletrec.neural.negatives.choose_candidates`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tripletrec._runtime.jit import part
from tripletrec.sampling.draw import NONE_LEFT

__all__ = ["CHOICES"]


@part
def only(negatives, number, n_candidates, pairs, t, U, V, items, b, score, width, size):
    """Return the negative of this number, which belongs to triplet t."""
    return negatives[number]  # looks at nothing else: the loop is compiled as if this stood in it


@part
def hardest(negatives, number, n_candidates, pairs, t, U, V, items, b, score, width, size):
    """Return the highest scored of the negative's candidates; NONE_LEFT if there is none."""
    return _first_of_all(
        _is_higher, negatives, number * n_candidates, n_candidates, pairs[t, 0], pairs[t, 1],
        U, V, items, b, score, width, size,
    )  # fmt: skip


@part
def semi_hard(negatives, number, n_candidates, pairs, t, U, V, items, b, score, width, size):
    """Return the highest scored that scores below the positive, or else the lowest scored."""
    return _first_of_all(
        _is_higher_below, negatives, number * n_candidates, n_candidates, pairs[t, 0], pairs[t, 1],
        U, V, items, b, score, width, size,
    )  # fmt: skip


@part
def _is_higher(s, best, limit):
    return s > best


@part
def _is_higher_below(s, best, limit):
    if s < limit:
        return best >= limit or s > best
    return s < best  # not below the limit: the least of these, until one is below


@part
def _first_of_all(
    goes_before, negatives, start, n_candidates, user, positive, U, V, items, b, score, width, size
):
    """Return the candidate that goes before all others."""
    limit = _score(user, positive, U, V, items, b, score, width, size)
    chosen, best = NONE_LEFT, limit
    for c in range(start, start + n_candidates):
        home = negatives[c]
        # An unverified sampler may have drawn the positive itself: nothing to learn from it.
        if home < 0 or home == positive:
            continue
        s = _score(user, home, U, V, items, b, score, width, size)
        if chosen < 0 or goes_before(s, best, limit):
            chosen, best = home, s
    return chosen


@part
def _score(user, home, U, V, items, b, score, width, size):
    real = U.dtype.type
    # Signed indices would be checked for "from the end".
    u, i = np.uint64(user) * np.uint64(size), np.uint64(items[np.uint64(home)]) * np.uint64(size)
    ui, uu, ii = real(0), real(0), real(0)
    for k in range(width):
        a, p = U[u + np.uint64(k)], V[i + np.uint64(k)]
        ui += a * p
        uu += a * a
        ii += p * p
    return real(score(ui, uu, ii) + b[np.uint64(home) * np.uint64(size // width)])


CHOICES: dict[str, Callable[..., Any]] = {"": only, "hardest": hardest, "semi_hard": semi_hard}
