r"""Parts that choose a hard negative among candidates; how candidates are drawn is in `draw`.

A sampler with a `choose` draws `n_candidates` items for each negative and lets the model, as it stands,
score them. They are looked at in turn: the first is taken, and each of the others replaces the one that is
taken if ``choose(score, best, positive_score)`` is true of its score, that of the one taken so far, and
that of the positive. A candidate that is the positive itself, or that is missing because the user likes all
items, is left out. With s⁺ the score of the positive and s₁ … s_m those of the candidates:

============ ================================================== =====================================
part         the negative                                       source
============ ================================================== =====================================
hardest      the highest scored                                 Zhang et al., SIGIR 2013
semi_hard    the highest scored of those with s < s⁺; where     Schroff et al., CVPR 2015, section 3.2
             there is none, the lowest scored of all
============ ================================================== =====================================

Of equal scores the first counts. A sampler of one's own is one more such part, for all models::

    from tripletrec import part
    from tripletrec.sampling import Sampler

    @part
    def nearest_score(score, best, positive_score):
        return abs(score - positive_score) < abs(best - positive_score)

    sampler = Sampler("nearest_score", verified=True, n_candidates=4, choose=nearest_score)
"""

from __future__ import annotations

from tripletrec._runtime.jit import part

__all__ = ["hardest", "semi_hard"]


@part
def hardest(score, best, positive_score):
    """Whether a candidate scores higher than the one taken so far."""
    return score > best


@part
def semi_hard(score, best, positive_score):
    """Whether a candidate is the higher one below the positive, or the lower one if none is below."""
    if score < positive_score:
        return best >= positive_score or score > best
    return score < best
