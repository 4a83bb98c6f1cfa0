r"""Samplers: which items are negatives of a triplet; the parts that draw and choose are in `draw` and `hard`.

A sampler proposes an item; a *verified* one draws again if the user is known to like it. After a few
refusals it draws exactly, from the items that are left: a known positive is never used as a negative and no
step is lost. A user who likes all the items that a negative may be drawn from is skipped there, and counted.

============== =========================================== ============================================
name           proposes                                    source
============== =========================================== ============================================
uniform        every item alike; not verified              the Keras triplet notebooks
unseen         every item alike; verified                  Rendle et al., UAI 2009, section 4.2
popularity     item j with probability ∝ n_j^alpha, n_j    Mikolov et al., NIPS 2013, section 2.2
               its number of positives; verified
explicit       with probability `share` one of the         Loni et al., RecSys 2016
               user's given negatives, else as unseen
graded         with probability `share` one of the         Lerche, Jannach, ACM RecSys 2014
               user's own items of a lower value than
               the positive's, else as unseen
dynamic        of m unseen items the one that the model    Rendle, Freudenthaler, WSDM 2014; Zhang
               scores highest                              et al., SIGIR 2013
semi_hard      of m unseen items the highest scored below  Schroff et al., CVPR 2015, section 3.2
               the positive
nearest        with probability `share` the given          see `tripletrec.neural.nearest`
               negative, or else the unseen item, whose
               features are nearest to the positive's
============== =========================================== ============================================

The last three are *hard* negatives. `dynamic` and `semi_hard` draw candidates, with replacement, and choose
by the scores of the model as it stands, unless the negative is one of the user's given ones; `nearest`
compares features, so it is for `TwoTower`. List-wise losses by themselves give hard candidates more weight,
and take none of the three.

Uniform negatives teach a model popularity first, popular ones hide it from the model; see the
README for what that does to the full AUC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_flag, check_non_negative, check_share, choose
from tripletrec._runtime.messages import shown
from tripletrec._runtime.part_checks import PartField, check_fields, check_name, once
from tripletrec._runtime.part_texts import text_of
from tripletrec.sampling import hard

__all__ = [
    "HARD_SAMPLERS",
    "SAMPLERS",
    "UNIFORM",
    "UNSEEN",
    "Sampler",
    "dynamic",
    "explicit",
    "graded",
    "nearest",
    "popularity",
    "semi_hard",
]

_MOST_CANDIDATES = 10**6


class Sampler(NamedTuple):
    """A sampler of negatives.

    Parameters
    ----------
    name : str
        What messages and saved models call it.
    verified : bool
        Whether a proposal that is a known positive of the user is redrawn.
    alpha : float, default 0
        An item with n positives is proposed with probability proportional to ``n ** alpha``.
    share : float, default 0
        Share of the negatives taken from the user's given negatives, where there are any.
    n_candidates : int, default 1
        How many items are drawn for one negative.
    choose : callable or None, default None
        Part ``(score, best, positive_score) -> bool``: whether a candidate with this score replaces the one
        taken so far, see `tripletrec.sampling.hard`. None: there are no candidates to choose from.
    by_features : bool, default False
        Whether the share of negatives comes from the items whose features are nearest to the positive's.
    by_value : bool, default False
        Whether the share of negatives comes from the user's own items of lower value than the positive's.

    Examples
    --------
    >>> from tripletrec.sampling import Sampler
    >>> Sampler("flat", verified=True).alpha
    0.0
    """

    name: str
    verified: bool
    alpha: float = 0.0
    share: float = 0.0
    n_candidates: int = 1
    choose: Callable[..., Any] | None = None
    by_features: bool = False
    by_value: bool = False

    def __repr__(self) -> str:
        return text_of(self, "sampling", SAMPLERS | HARD_SAMPLERS, _ARGUMENTS)

    def fields(self) -> list[PartField]:
        """Return the part that chooses, if any, and how it is called."""
        if self.choose is None:
            return []
        scores = tuple(map(np.float32, (0.5, 0.2, 0.3)))
        arguments = ("score", "best", "positive_score")
        owner = f"sampler {self.name!r}"
        return [PartField(owner, "choose", self.choose, arguments, "True or False", 1, (scores,))]

    @property
    def is_hard(self) -> bool:
        """Whether negatives are chosen, by scores or by features, and not only drawn."""
        return self.choose is not None or self.by_features

    def cumulative(self, counts: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the search table for items with these numbers of positives.

        Parameters
        ----------
        counts : int64 array of shape (n_items,)
            Positives of each item, in the order in which the items will be searched.

        Returns
        -------
        float64 array of shape (n_items + 1,) or None
            Running sums of the items' weights; None where all items are alike, so that a kernel is
            compiled without the search.
        """
        if self.alpha == 0.0:
            return None
        return np.concatenate([[0.0], np.cumsum(self.weights(counts))])

    def weights(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how often items with these numbers of positives are proposed, up to a factor.

        Parameters
        ----------
        counts : int64 array of shape (n_items,)
            Positives of each item.
        """
        most = max(1, counts.max(initial=0))  # divided by it, no power is beyond float64
        return np.asarray((counts / most) ** self.alpha)


UNIFORM = Sampler("uniform", verified=False)
UNSEEN = Sampler("unseen", verified=True)


def popularity(alpha: float = 0.75) -> Sampler:
    """Return the sampler that draws items of n positives in proportion to n^alpha.

    Triplets of factor models take both items from one of B blocks, dealt anew every other epoch. Within a
    block that is exact; an item with much of its block's sum is drawn less often, in 1 of B draws at most.

    Parameters
    ----------
    alpha : float, default 0.75
        Exponent of the number of positives, >= 0: 0 is uniform, 1 proportional to popularity.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If `alpha` is negative or not finite.

    Examples
    --------
    >>> from tripletrec.sampling import popularity
    >>> popularity(0.5).verified
    True
    """
    return Sampler("popularity", verified=True, alpha=check_non_negative(alpha, "alpha"))


def explicit(share: float = 0.5) -> Sampler:
    """Return the sampler that takes a share of the negatives from given ones.

    Parameters
    ----------
    share : float, default 0.5
        From 0 to 1; the rest, and all negatives of users without given ones, are drawn as by
        "unseen". The given negatives are the argument `negatives` of ``fit``.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If `share` is not from 0 to 1.

    Examples
    --------
    >>> from tripletrec.sampling import explicit
    >>> explicit(share=1.0).share
    1.0
    """
    return Sampler("explicit", True, share=check_share(share, "share", closed=True))


def graded(share: float = 0.05) -> Sampler:
    """Return the sampler that also compares a user's items with each other: eight plays with two plays.

    With probability `share` the negative of a positive is one of the same user's own items whose value, in
    the interactions that ``fit`` is given, is lower than that of the positive; each such item is as likely as
    any other. Else, and where the user has no item of a lower value, it is drawn as by "unseen". So a model
    learns both what users like and what they like better: of ratings from 1 to 5 the ones are still above the
    items that a user never looked at, and below the fives.

    Parameters
    ----------
    share : float, default 0.05
        From 0 to 1. A large one spends too little on the items that a user does not know, which
        recommendations are made of.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If `share` is not from 0 to 1.

    Notes
    -----
    `MatrixFactorization`, defaults, all ratings of MovieLens-100K, split `ua` (``benchmarks/graded.py``,
    three seeds): with a share of .05 the mean Kendall's τ of a user's test items rises from .161 to .196,
    NDCG@10 of the ratings of 4 and 5 from .287 to .294, and NDCG@10 with the rating as gain stays (.289). If
    an item rated 1 counts as a success like any other, NDCG@10 falls from .290 to .283.

    Values order the items of one user and do nothing else: they are no weights (``sample_weight="values"``
    makes them weights as well), and only which of two is larger counts.

    For `MatrixFactorization` with a loss of triplets that does not search for its negatives.

    References
    ----------
    .. [1] Lerche, Jannach. "Using graded implicit feedback for Bayesian personalized ranking", RecSys 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import tripletrec as tr
    >>> plays = tr.Interactions(np.array([[8, 2, 0, 1], [0, 9, 1, 0], [3, 0, 0, 5]]))
    >>> model = tr.MatrixFactorization(n_factors=8, sampler=tr.sampling.graded(0.5)).fit(plays)
    >>> bool(model.predict([0], [0])[0] > model.predict([0], [1])[0])
    True
    """
    share = check_share(share, "share", closed=True)
    return Sampler("graded", True, share=share, by_value=True)


def dynamic(n_candidates: int = 8, share: float = 0.0) -> Sampler:
    """Return the sampler of the hardest of some unseen items: the one that the model scores highest.

    Parameters
    ----------
    n_candidates : int, default 8
        How many are drawn, uniformly, and scored for each negative; >= 2.
    share : float, default 0.0
        Share of the negatives taken from the user's given ones, the argument `negatives` of ``fit``, from 0
        to less than 1; nothing is chosen there. 0: a tenth, where there are any. In `MatrixFactorization`
        users with few given ones do not reach a large share: with a single one it is 1 / B at most, B being
        the number of item blocks, which is 8, of small data less and of many items more; see
        `tripletrec.training.placed_negatives`.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If `n_candidates` is less than 2, or `share` not from 0 to less than 1.

    Notes
    -----
    More candidates favour the top of the list and then cost full AUC. `MatrixFactorization` on validation
    data cut from the training part of MovieLens-100K (30 epochs, the better of two learning rates, mean
    of five cuts, ``benchmarks/samplers.py``): NDCG@10 and AUC .188 and .935 with "unseen", .199 and .935
    with 2 candidates, .203 and .934 with 4, .191 and .917 with 8.

    Examples
    --------
    >>> from tripletrec.sampling import dynamic
    >>> dynamic(4).n_candidates
    4
    """
    n = check_count(n_candidates, "n_candidates", 2)
    share = check_share(share, "share", closed="left")
    return Sampler("dynamic", True, share=share, n_candidates=n, choose=hard.hardest)


def semi_hard(n_candidates: int = 8, share: float = 0.0) -> Sampler:
    """Return the sampler of the highest scored of some unseen items that score below the positive.

    Where none does, the lowest scored is taken.

    Parameters
    ----------
    n_candidates : int, default 8
        How many are drawn, uniformly, and scored for each negative; >= 2.
    share : float, default 0.0
        Of the user's given negatives, from 0 to less than 1; as of `dynamic`.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If `n_candidates` is less than 2, or `share` not from 0 to less than 1.

    Notes
    -----
    It gained nothing where `dynamic` did, see there: NDCG@10 and AUC .189 and .933 with 8 candidates, .177
    and .933 with 4, .167 and .931 with 2.

    Examples
    --------
    >>> from tripletrec.sampling import semi_hard
    >>> semi_hard().n_candidates
    8
    """
    n = check_count(n_candidates, "n_candidates", 2)
    share = check_share(share, "share", closed="left")
    return Sampler("semi_hard", True, share=share, n_candidates=n, choose=hard.semi_hard)


def nearest(share: float = 0.5) -> Sampler:
    """Return the sampler of items whose features are nearest to the positive's, by the cosine.

    Parameters
    ----------
    share : float, default 0.5
        From 0 to 1; the rest is drawn as by "unseen". The nearest of the user's own negatives is taken, from
        the argument `negatives` of ``fit``; of users without any it is the nearest of the items that "unseen"
        draws from that the user is not known to like.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If `share` is not from 0 to 1.

    Examples
    --------
    >>> from tripletrec.sampling import nearest
    >>> nearest(share=1.0).by_features
    True
    """
    share = check_share(share, "share", closed=True)
    return Sampler("nearest", True, share=share, by_features=True)


SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "uniform": lambda: UNIFORM,
    "unseen": lambda: UNSEEN,
    "popularity": popularity,
    "explicit": explicit,
    "graded": graded,
}

HARD_SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "dynamic": dynamic,
    "semi_hard": semi_hard,
    "nearest": nearest,
}


def _of_candidates(sampler: Sampler) -> dict[str, Any]:
    of_given = {"share": sampler.share} if sampler.share else {}
    return {"n_candidates": sampler.n_candidates, **of_given}


_ARGUMENTS: dict[str, Callable[[Sampler], dict[str, Any]]] = {
    "popularity": lambda sampler: {"alpha": sampler.alpha},
    "explicit": lambda sampler: {"share": sampler.share},
    "graded": lambda sampler: {"share": sampler.share},
    "dynamic": _of_candidates,
    "semi_hard": _of_candidates,
    "nearest": lambda sampler: {"share": sampler.share},
}


def check_sampler(sampler: str | Sampler, features: bool = False) -> Sampler:
    """Return the `Sampler` that a user names or hands in; raise on one that cannot be used.

    One that compares features is refused unless there may be `features`.
    """
    chosen = choose(sampler, SAMPLERS | HARD_SAMPLERS, Sampler, "sampler")
    n_candidates = check_count(chosen.n_candidates, "n_candidates")
    if n_candidates > _MOST_CANDIDATES:
        raise ValueError(
            f"n_candidates of a sampler must be at most {_MOST_CANDIDATES:,}, got "
            f"{shown(n_candidates)}"
        )
    if chosen.choose is None:
        if n_candidates > 1:
            raise ValueError(
                f"n_candidates of a sampler must be 1 unless it has a choose, got {n_candidates}"
            )
    elif not callable(chosen.choose):
        raise TypeError(
            "choose of a sampler must be a part function (score, best, positive_score) -> bool, or None, "
            f"got {shown(chosen.choose)} in sampler {chosen.name!r}"
        )
    elif chosen.by_features:
        raise ValueError(f"sampler {chosen.name!r} must not have both choose and by_features")
    if chosen.by_features and not features:
        raise ValueError(
            f"sampler {chosen.name!r} compares features of items, which this model does not have: "
            "it is for TwoTower"
        )
    if chosen.by_value and features:
        raise ValueError(
            f"sampler {chosen.name!r} compares values of interactions, which this model does not look at: "
            "it is for MatrixFactorization"
        )
    _check_parts(chosen)
    return chosen


@once
def _check_parts(sampler: Sampler) -> None:
    owner = check_name(sampler.name, "sampler")
    for name in ("verified", "by_features", "by_value"):
        check_flag(getattr(sampler, name), f"{owner}: {name}")
    check_non_negative(sampler.alpha, f"{owner}: alpha")
    chosen = sampler.choose is not None  # of what is not given, so that there is such
    check_share(sampler.share, f"{owner}: share", closed="left" if chosen else True)
    check_fields(sampler.fields())
