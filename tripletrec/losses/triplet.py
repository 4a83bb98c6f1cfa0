r"""Triplet losses: a value and a slope for a difference of scores; no triplet is drawn here.

For a triplet (u, i, j) of user, positive and negative item let
``x = s(u, i) - s(u, j)``. A loss is a function of ``x`` alone; training needs its value and its
derivative, the slope. With the logistic function σ(x) = 1 / (1 + exp(-x)):

========= ==================== ========================== =====================================
name      value L(x)           slope dL/dx                source
========= ==================== ========================== =====================================
bpr       -log σ(x)            -σ(-x)                     Rendle et al., UAI 2009, section 4.1
sigmoid   1 - σ(x)             -σ(x) σ(-x)                "BPR" in the Keras triplet notebooks
hinge     max(0, m - x)        -1 if x < m, else 0        Weston et al., IJCAI 2011, section 2
warp      Φ max(0, m - x)      -Φ if x < m, else 0        Weston et al., IJCAI 2011, section 3
k-os warp as warp              as warp                    Weston et al., RecSys 2013, section 3
========= ==================== ========================== =====================================

Derivations. d(-log σ)/dx = -σ'(x)/σ(x) = -σ(-x) because σ' = σ(x) σ(-x); the second line is
-σ' itself; the third is piecewise linear, its slope at the corner x = m is taken as 0.

The last two *search* for their negative, see `warp`: unseen items are tried one after the other until one
costs something, and the weight Φ says how high above the positive the items are that cost something, as far
as the number of tries can tell.

A new loss is two part functions of ``(x, parameters)`` and one `Loss`::

    from tripletrec.losses import Loss, part

    @part
    def _value(x, parameters):
        return max(0.0, 1.0 - x) ** 2

    @part
    def _slope(x, parameters):
        return -2.0 * max(0.0, 1.0 - x)

    model = MatrixFactorization(loss=Loss("squared_hinge", _value, _slope))

Both are called with `x` as a float32 and return a finite number for every finite `x`. With a third function,
``Loss(..., weigh=..., max_sampled=...)``, it searches for its negative.

List-wise losses are in `tripletrec.losses.listwise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from tripletrec._checks import check_count, check_positive
from tripletrec._runtime.float32_math import exp_of_negative, log_of_one_plus
from tripletrec._runtime.jit import part
from tripletrec._runtime.messages import shown
from tripletrec._runtime.part_checks import PartField, check_fields, check_name, check_numbers, once
from tripletrec._runtime.part_texts import text_of

__all__ = [
    "BPR",
    "LOSSES",
    "SEARCHING_LOSSES",
    "SIGMOID",
    "Loss",
    "check_parts",
    "hinge",
    "k_os_warp",
    "warp",
]

_MOST_SAMPLED = 1000  # tries and positives: they are drawn before they are looked at


class Loss(NamedTuple):
    """A triplet loss.

    Parameters
    ----------
    name : str
        What messages and saved models call it.
    value, slope : callable
        Part functions ``(x, parameters) -> float``: the loss of the score difference `x`, a float32,
        and its derivative.
    parameters : tuple of float, default ()
        Handed to both functions, as float32.
    weigh : callable or None, default None
        Function ``(n_others, tries) -> float``, of plain Python: the weight of a triplet whose negative was
        found after so many tries, among the so many items that are not the positive. With it a loss searches
        for its negative, see `warp`. None: the negative is what the sampler gives.
    max_sampled : int, default 1
        With `weigh`: after how many tries the search ends.
    k, n_positives : int, default 1
        With `weigh`: the positive is the `k`-th best of so many of the user, see `k_os_warp`.

    Examples
    --------
    >>> from tripletrec.losses import BPR
    >>> import numpy as np
    >>> round(float(BPR.value(np.float32(0.0), ())), 4), float(BPR.slope(np.float32(0.0), ()))
    (0.6931, -0.5)
    """

    name: str
    value: Callable[..., Any]
    slope: Callable[..., Any]
    parameters: tuple[float, ...] = ()
    weigh: Callable[[int, int], float] | None = None
    max_sampled: int = 1
    k: int = 1
    n_positives: int = 1

    def __repr__(self) -> str:
        return text_of(self, "losses", LOSSES | SEARCHING_LOSSES, _ARGUMENTS)

    def functions(self) -> Loss:
        """Return what kernels are compiled for: the two functions, without name and numbers."""
        return Loss("", self.value, self.slope)

    @property
    def searches(self) -> bool:
        """Whether the loss tries several items until one is a negative that costs something."""
        return self.weigh is not None

    def weights(self, n_items: int) -> list[float]:
        """Return the weights after 1, 2, … `max_sampled` tries.

        Parameters
        ----------
        n_items : int
            Among so many items.

        Raises
        ------
        ValueError
            If one is negative or not finite.
        """
        if self.weigh is None:
            return []
        found = [float(self.weigh(n_items - 1, c)) for c in range(1, self.max_sampled + 1)]
        for tries, each in enumerate(found, 1):
            if not 0.0 <= each < math.inf:
                raise ValueError(
                    f"weigh of loss {self.name!r} must return finite numbers >= 0, got {each} "
                    f"for {n_items - 1} other items and {tries} tries"
                )
        return found

    def fields(self) -> list[PartField]:
        """Return the parts and how they are called."""
        parameters = tuple(map(np.float32, self.parameters))
        tries = tuple((np.float32(x), parameters) for x in (-0.5, 0.5))
        return [
            PartField(
                f"loss {self.name!r}", name, function, ("x", "parameters"), "a number", 1, tries
            )
            for name, function in (("value", self.value), ("slope", self.slope))
        ]

    def at(self, difference: float) -> float:
        """Return the loss of a triplet; NaN if Python cannot tell.

        Parameters
        ----------
        difference : float
            By how much the positive outscores the negative.
        """
        with np.errstate(all="ignore"), suppress(Exception):
            parameters = tuple(map(np.float32, self.parameters))
            return float(self.value(np.float32(difference), parameters))
        return math.nan


# The comparisons keep a NaN: max(0, nan) may be 0. Constants are float32, see `_runtime.float32_math`.
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@part
def _bpr_value(x, parameters):
    tail = log_of_one_plus(exp_of_negative(abs(x)))  # -log σ(|x|)
    return tail if x > _ZERO else tail - x


@part
def _bpr_slope(x, parameters):
    e = exp_of_negative(abs(x))
    return -(e if x > _ZERO else _ONE) / (_ONE + e)


@part
def _sigmoid_value(x, parameters):
    e = exp_of_negative(abs(x))
    return (e if x > _ZERO else _ONE) / (_ONE + e)


@part
def _sigmoid_slope(x, parameters):
    e = exp_of_negative(abs(x))
    return -e / ((_ONE + e) * (_ONE + e))


@part
def _hinge_value(x, parameters):
    return _ZERO if x >= parameters[0] else parameters[0] - x


@part
def _hinge_slope(x, parameters):
    return _ZERO if x >= parameters[0] else -_ONE


BPR = Loss("bpr", _bpr_value, _bpr_slope)
SIGMOID = Loss("sigmoid", _sigmoid_value, _sigmoid_slope)


def hinge(margin: float = 1.0) -> Loss:
    """Return the margin triplet loss ``max(0, margin - x)``.

    Parameters
    ----------
    margin : float, default 1.0
        By how much a positive must outscore a negative to cost nothing, in units of the score; > 0.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If `margin` is not a positive finite number.

    Examples
    --------
    >>> from tripletrec.losses import hinge
    >>> hinge(margin=0.5).parameters
    (0.5,)
    """
    return Loss("hinge", _hinge_value, _hinge_slope, (check_positive(margin, "margin"),))


def warp(margin: float = 1.0, max_sampled: int = 10) -> Loss:
    r"""Return WARP, the weighted approximate-rank pairwise loss.

    For each positive i of a user u up to `max_sampled` different items j are drawn, one after the other, by
    the sampler of the model, which draws known positives again. The search ends at the first one that
    violates the margin, :math:`s_{ui} - s_{uj} < m`. If that was try number t, some :math:`(n - 1) / t` of
    the n items of the catalogue may be expected to outscore the positive less the margin, and the loss is

    .. math:: \Phi\, \max(0, m - s_{ui} + s_{uj}), \qquad
              \Phi = \log \max(1, \lfloor (n - 1) / t \rfloor).

    So positives far down the list get large steps, and those near its top small ones. If none of the items
    violates the margin, the positive is where it should be: no step is taken, not even that of the L2. Φ
    multiplies the slope alone; weight and L2 of a positive are what they are with other losses.

    Parameters
    ----------
    margin : float, default 1.0
        By how much a positive must outscore a negative to cost nothing, in units of the score; > 0.
    max_sampled : int, default 10
        How many items are tried for a positive at most, from 1 to 1,000. More find violations nearer to the
        top of the list, and take longer.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If `margin` is not a positive finite number, or `max_sampled` not from 1 to 1,000.

    Notes
    -----
    The logarithm, of the rank rounded down, is LightFM's; the paper has the sum of 1/r over the ranks up to
    this one, which is larger by about .58 for all but the first ranks. LightFM stops at a weight of 10, which
    takes more than 22,000 items. In ``history_``, "loss" is the mean over the positives, those without a
    violation counting 0; "train_auc" looks at the first item that was tried for each; "n_violations" is how
    many led to a step.

    References
    ----------
    .. [1] Weston, Bengio, Usunier. "WSABIE: scaling up to large vocabulary image annotation", IJCAI 2011.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> loss = tr.losses.warp(max_sampled=20)
    >>> model = tr.MatrixFactorization(n_factors=16, loss=loss, n_epochs=5).fit(data)
    >>> model.history_[-1]["n_violations"] < model.history_[0]["n_violations"]
    True
    """
    return Loss(
        "warp", _hinge_value, _hinge_slope, (check_positive(margin, "margin"),),
        _log_of_rank, check_count(max_sampled, "max_sampled", most=_MOST_SAMPLED),
    )  # fmt: skip


def k_os_warp(k: int = 5, n: int = 10, margin: float = 1.0, max_sampled: int = 10) -> Loss:
    """Return k-OS WARP: `warp` for the k-th best of n positives of a user.

    For each positive n - 1 further ones of the user are drawn, with replacement, and the one with the k-th
    highest score of the n takes its place, with its weight. So a model does not spend itself on what a user
    likes but no list will ever show first: with a small `k` only the best of a user's items have to be on
    top of the list, with ``k=n`` the worst of them count most. ``k=1, n=1`` is `warp`.

    Parameters
    ----------
    k : int, default 5
        From 1 to `n`.
    n : int, default 10
        How many positives are compared, from 1 to 1,000. They are of one item block (see
        `tripletrec.training.strata`), like the negatives; of large data a user may have but one or two
        in each.
    margin : float, default 1.0
        As in `warp`.
    max_sampled : int, default 10
        As in `warp`.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    .. [1] Weston, Yee, Weiss. "Learning to rank recommendations with the k-order statistic loss",
       RecSys 2013.

    Examples
    --------
    >>> from tripletrec.losses import k_os_warp
    >>> k_os_warp(k=2, n=5)
    losses.k_os_warp(k=2, n=5, margin=1.0, max_sampled=10)
    """
    n_positives = check_count(n, "n", most=_MOST_SAMPLED)
    return warp(margin, max_sampled)._replace(
        name="k-os warp", k=check_count(k, "k", most=n_positives), n_positives=n_positives
    )


def _log_of_rank(n_others: int, tries: int) -> float:
    return math.log(max(1, n_others // tries))


@once
def check_parts(loss: Loss) -> None:
    """Raise unless the fields of a loss are what training can use; see `part_checks`."""
    owner = check_name(loss.name, "loss")
    check_numbers(loss.parameters, owner, "parameters")
    if loss.weigh is not None and not callable(loss.weigh):
        raise TypeError(
            f"{owner}: weigh must be a function (n_others, tries) -> float, or None, got {shown(loss.weigh)}"
        )
    for name in ("max_sampled", "n_positives", "k"):
        least = loss.n_positives if name == "k" else _MOST_SAMPLED
        most = least if loss.searches else 1
        check_count(getattr(loss, name), f"{owner}: {name}", most=most)
    check_fields(loss.fields())


LOSSES: dict[str, Callable[[], Loss]] = {
    "bpr": lambda: BPR,
    "sigmoid": lambda: SIGMOID,
    "hinge": hinge,
}

SEARCHING_LOSSES: dict[str, Callable[[], Loss]] = {"warp": warp, "k-os warp": k_os_warp}


_ARGUMENTS: dict[str, Callable[[Loss], dict[str, Any]]] = {
    "hinge": lambda loss: {"margin": loss.parameters[0]},
    "warp": lambda loss: {"margin": loss.parameters[0], "max_sampled": loss.max_sampled},
    "k-os warp": lambda loss: {
        "k": loss.k,
        "n": loss.n_positives,
        "margin": loss.parameters[0],
        "max_sampled": loss.max_sampled,
    },
}
