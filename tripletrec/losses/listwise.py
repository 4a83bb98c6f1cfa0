r"""List-wise losses, of all positives of a user against all candidates at once; no candidate is drawn here.

Let x be scores, P the positives of a user, C the candidates that represent all items the user is not
known to like, and :math:`m_j` the importance weight of candidate j: one over the expected number of its
occurrences among the candidates. So :math:`N = \sum_{j \in C} m_j e^{x_j / \tau}` is the sum over all these
items, or an unbiased estimate of it (the correction known as "log q"). A user contributes

======== ================================================================= ==================================
name     value                                                             source
======== ================================================================= ==================================
softmax  :math:`-\tau \sum_{p \in P} \log                                  Wu et al., "On the effectiveness of
         \frac{e^{x_p / \tau}}{e^{x_p / \tau} + N}`                        sampled softmax loss", TOIS 2024
bsl      :math:`|P| (\tau \log N - \tau_+ \log                             Wu et al., "BSL", ICDE 2024
         \frac{1}{|P|} \sum_{p \in P} e^{x_p / \tau_+})`
ccl      :math:`\sum_{p \in P} (1 - x_p + \frac{w}{n}                      Mao et al., "SimpleX", CIKM 2021
         \sum_{j \in C} m_j \max(0, x_j - m))`
======== ================================================================= ==================================

where n is the number of items the user is not known to like. The first two are softmax losses. The factor τ
does not move their optimum and keeps the gradient by x of order one at any temperature. ccl is a hinge:
candidates below the margin m do not count, all above it have the same slope. The gradients, with
:math:`z_p = \log N - x_p / \tau` and the logistic function σ:

======== ======================== ===================================================================
name     by :math:`x_p`           by :math:`x_j`
======== ======================== ===================================================================
softmax  :math:`-σ(z_p)`          :math:`m_j e^{x_j / \tau} \sum_p 1 / (e^{x_p / \tau} + N)`
bsl      :math:`-|P|\, q_p`       :math:`m_j e^{x_j / \tau} |P| / N`, q the softmax of
                                  :math:`x / \tau_+` over P
ccl      :math:`-1`               :math:`m_j |P| w / n` if :math:`x_j > m`, else 0
======== ======================== ===================================================================

Given negatives are candidates like all others, but weigh more: see `tripletrec.training.given_weights`.

Exponentials are taken of :math:`x_j / \tau` minus its maximum (log-sum-exp), so that no τ overflows.

Training computes a loss in two steps, the two functions of a `ListLoss`. `exponentiate` works on one user's
scores of the candidates, a piece of them at a time. `reduce` then gets the sums over all pieces and the
user's positives, and computes the value and the slopes. A *logit* is :math:`x / \tau`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from tripletrec._checks import check_non_negative, check_positive, check_real
from tripletrec._runtime.float32_math import exp_of_negative
from tripletrec._runtime.jit import part
from tripletrec._runtime.part_checks import PartField, check_fields, check_name, check_numbers, once
from tripletrec._runtime.part_texts import text_of

__all__ = [
    "LIST_LOSSES",
    "ListLoss",
    "TunedNumber",
    "bsl",
    "ccl",
    "check_list_parts",
    "softmax",
    "tuned_number_of",
]

_ZERO = np.float32(0.0)
_ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
_LOWEST = np.int32(-0x7F800001)  # of minus infinity, see `_ordered`
_MANY = 1e6  # items
_RATIO = 10.0  # of the temperatures of "bsl"


class ListLoss(NamedTuple):
    """A list-wise loss.

    Parameters
    ----------
    name : str
        What messages and saved models call it.
    exponentiate : callable
        Part function ``(row, biases, importance, scale, parameters) -> (peak, mass)`` of one user's scores of
        some candidates. The logits are ``row * scale + biases``; known positives have minus infinity. It
        overwrites `row` with numbers that the gradient by the logits is proportional to, and returns their
        sum. Of a softmax these are ``importance * exp(logit - peak)``, with the largest logit as `peak`.
        Of a hinge: `importance` above the margin, else 0, with `peak` 0 and the sum of the hinges as `mass`.
    reduce : callable
        Part function ``(first, last, peak, mass, n_unknown, logits, weights, hits, slopes, parameters)
        -> (value, factor)`` of one user, whose positives are ``first ... last - 1``. `peak` and `mass` are
        those of all candidates; `hits` holds each positive's own share of `mass`, 0 where it is no candidate.
        It writes the derivatives by the positives' logits to `slopes` and returns the loss, divided by τ, and
        the number by which the exponentiated row must be multiplied to be the gradient.
    temperature : float or None, default 1
        τ: scores are divided by it. None: the model chooses it, see `softmax`.
    parameters : tuple of float, default ()
        Handed to both functions.
    """

    name: str
    exponentiate: Callable[..., Any]
    reduce: Callable[..., Any]
    temperature: float | None = 1.0
    parameters: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return text_of(self, "losses", LIST_LOSSES, _ARGUMENTS)

    def functions(self) -> ListLoss:
        """Return what kernels are compiled for: the two functions, without name and numbers."""
        return ListLoss("", self.exponentiate, self.reduce)

    def fields(self) -> list[PartField]:
        """Return the parts and how they are called."""
        row, weights = np.array([0.5, -0.5, 0.25], np.float32), np.ones(2, np.float32)
        first = (row, np.zeros(3, np.float32), np.ones(3, np.float32), np.float32(1.0))
        numbers = np.array([0.25, -0.25]), weights, np.zeros(2), np.zeros(2)
        second = (0, 2, np.float32(0.5), np.float32(2.0), 3, *numbers, self.parameters)
        return [
            PartField(
                f"loss {self.name!r}", "exponentiate", self.exponentiate,
                ("row", "biases", "importance", "scale", "parameters"),
                "two numbers (peak, mass)", 2, ((*first, self.parameters),),
            ),
            PartField(
                f"loss {self.name!r}", "reduce", self.reduce,
                ("first", "last", "peak", "mass", "n_unknown", "logits", "weights", "hits", "slopes",
                 "parameters"),
                "two numbers (value, factor)", 2, (second,),
            ),
        ]  # fmt: skip

    def at(self, difference: float) -> float:
        """Return the loss of a positive with score 0 against a million items that score less by `difference`.

        It is NaN if Python cannot tell.

        Parameters
        ----------
        difference : float
        """
        temperature, real = self.temperature or 1.0, np.float32
        with np.errstate(all="ignore"), suppress(Exception):
            row, importance = np.array([-difference], real), np.array([_MANY], real)
            scale = real(1.0 / temperature)
            peak, mass = self.exponentiate(row, row * 0, importance, scale, self.parameters)
            value, _ = self.reduce(
                0, 1, peak, mass, _MANY, np.zeros(1), np.ones(1, real), np.zeros(1), np.zeros(1),
                self.parameters,
            )  # fmt: skip
            return temperature * float(value)
        return math.nan


@part
def _ordered(pattern):
    # Maps the bits of a float32 to an integer that grows with it, and such an integer back to the bits.
    return np.int32(pattern ^ ((pattern >> np.int32(31)) & _ALL_BUT_SIGN))


@part
def _exponentiate(row, biases, importance, scale, parameters):
    # The maximum is taken of integers in the order of the floats: a maximum of floats is not vectorised,
    # because it has to treat NaN. Here a NaN in the row ends up in the loss, where it is found.
    highest = _LOWEST
    for j in range(row.shape[0]):
        x = np.float32(row[j] * scale + biases[j])
        row[j] = x
        highest = max(highest, _ordered(np.float32(x).view(np.int32)))
    peak = np.int32(_ordered(highest)).view(np.float32)
    mass = _ZERO
    if peak == -np.inf:  # all candidates are known positives
        for j in range(row.shape[0]):
            row[j] = _ZERO
        return peak, mass
    for j in range(row.shape[0]):
        e = exp_of_negative(peak - row[j]) * importance[j]
        row[j] = e
        mass += e
    return peak, mass


@part
def _exponentiate_hinge(row, biases, importance, scale, parameters):
    margin = np.float32(parameters[0])
    mass = _ZERO
    for j in range(row.shape[0]):
        x = row[j] * scale + biases[j] - margin
        below = x <= _ZERO  # false for NaN, which thereby enters the sum
        row[j] = _ZERO if below else importance[j]
        mass += _ZERO if below else importance[j] * x
    return _ZERO, mass


@part
def _softplus(z):
    return z + math.log1p(math.exp(-z)) if z > 0.0 else math.log1p(math.exp(z))


@part
def _reduce_softmax(first, last, peak, mass, n_unknown, logits, weights, hits, slopes, parameters):
    value, factor = 0.0, 0.0
    for p in range(first, last):
        slopes[p] = 0.0
        # Without verification the positive may be a candidate too: it is no negative of its own.
        rest = mass - hits[p]
        if rest <= 0.0:
            continue
        ahead = logits[p] - peak
        loss = _softplus(math.log(rest) - ahead)
        # weight / (exp(logit) + N), relative to exp(peak)
        share = weights[p] * math.exp(-ahead - loss)
        value += weights[p] * loss
        factor += share
        slopes[p] = -share * (rest + hits[p])
    return value, factor


@part
def _reduce_bsl(first, last, peak, mass, n_unknown, logits, weights, hits, slopes, parameters):
    if mass <= 0.0 or first == last:
        for p in range(first, last):
            slopes[p] = 0.0
        return 0.0, 0.0
    ratio = parameters[0]
    highest, total, weight = -np.inf, 0.0, 0.0
    for p in range(first, last):
        highest = max(highest, logits[p] / ratio)
    for p in range(first, last):
        total += weights[p] * math.exp(logits[p] / ratio - highest)
        weight += weights[p]
    for p in range(first, last):
        share = weights[p] * math.exp(logits[p] / ratio - highest) / total
        slopes[p] = -weight * share
    positive = ratio * (highest + math.log(total / weight))
    return weight * (peak + math.log(mass) - positive), weight / mass


@part
def _reduce_ccl(first, last, peak, mass, n_unknown, logits, weights, hits, slopes, parameters):
    value, weight = 0.0, 0.0
    for p in range(first, last):
        value += weights[p] * (1.0 - logits[p])
        weight += weights[p]
        slopes[p] = -weights[p]
    factor = weight * parameters[1] / max(n_unknown, 1)
    return value + factor * mass, factor


def softmax(temperature: float | None = None) -> ListLoss:
    r"""Return the softmax loss, exact or sampled.

    It compares each positive with all items that the user is not known to like:
    :math:`-\log \frac{e^{x_p/\tau}}{e^{x_p/\tau} + N}`, times τ; see `tripletrec.losses.listwise`.

    Parameters
    ----------
    temperature : float or None, default None
        τ > 0, in units of the score. The smaller it is, the more the hardest negatives count. With the scorer
        "dot" 1 is the multinomial likelihood; with "cosine" 0.08 to 0.35 work well. None: 1 with "dot"; with
        "cosine" it goes by the data, by their density and by how well they tell a user's items: see the notes
        of `MatrixFactorization`; `TwoTower` takes three quarters of that.

    Returns
    -------
    ListLoss

    Raises
    ------
    ValueError
        If `temperature` is not a positive finite number.

    References
    ----------
    .. [1] Wu et al. "On the effectiveness of sampled softmax loss for item recommendation",
       ACM TOIS 42 (4), 2024.

    Examples
    --------
    >>> from tripletrec.losses import softmax
    >>> softmax(temperature=0.2).temperature
    0.2
    """
    if temperature is not None:
        temperature = check_positive(temperature, "temperature")
    return ListLoss("softmax", _exponentiate, _reduce_softmax, temperature)


def bsl(temperature: float | None = None, positive_temperature: float | None = None) -> ListLoss:
    r"""Return the bilateral softmax loss, with a temperature for each side.

    For each user :math:`\tau \log N - \tau_+ \log \frac{1}{|P|} \sum_p e^{x_p / \tau_+}`, times the
    number of positives: a log-sum-exp of the negatives, as in the softmax loss, and one of the positives.
    Positives that are already ranked high weigh more than others, which may be noise. With an infinite
    :math:`\tau_+` all positives count alike; with a :math:`\tau_+` near τ only the best positive of a user
    counts, and little is learnt.

    Parameters
    ----------
    temperature : float or None, default None
        τ of the negatives, > 0, in units of the score. None: that of `softmax`, by the data.
    positive_temperature : float or None, default None
        :math:`\tau_+` of the positives, > 0. None: ten times that of the negatives.

    Returns
    -------
    ListLoss

    Raises
    ------
    ValueError
        If a temperature is not a positive finite number, or only that of the positives is given.

    References
    ----------
    .. [1] Wu et al. "BSL: Understanding and improving softmax loss for recommendation", ICDE 2024.

    Examples
    --------
    >>> from tripletrec.losses import bsl
    >>> bsl(0.1, 0.3).name
    'bsl'
    """
    ratio = _RATIO
    if temperature is not None:
        temperature = check_positive(temperature, "temperature")
    if positive_temperature is not None:
        positive = check_positive(positive_temperature, "positive_temperature")
        if temperature is None:
            raise ValueError(
                "bsl with a positive_temperature needs a temperature of the negatives, too"
            )
        ratio = positive / temperature
    return ListLoss("bsl", _exponentiate, _reduce_bsl, temperature, (ratio,))


def ccl(margin: float = 0.4, negative_weight: float = 30.0) -> ListLoss:
    r"""Return the cosine contrastive loss of SimpleX.

    For each positive :math:`1 - x_p + \frac{w}{n} \sum_j \max(0, x_j - m)`: a mean of hinges over the items
    that the user is not known to like. Meant for the scorer "cosine".

    Parameters
    ----------
    margin : float, default 0.4
        m, in units of the score: negatives that score less have no effect.
    negative_weight : float, default 30.0
        w >= 0, of all negatives together. The best value grows with the number of items, of which a smaller
        share then scores above the margin: 30 for a few thousand items, 100 for some ten thousand.

    Returns
    -------
    ListLoss

    Raises
    ------
    ValueError
        If a value is not finite, or the weight negative.

    References
    ----------
    .. [1] Mao et al. "SimpleX: A simple and strong baseline for collaborative filtering", CIKM 2021.

    Examples
    --------
    >>> from tripletrec.losses import ccl
    >>> ccl(margin=0.8).parameters
    (0.8, 30.0)
    """
    parameters = (
        check_real(margin, "margin"),
        check_non_negative(negative_weight, "negative_weight"),
    )
    return ListLoss("ccl", _exponentiate_hinge, _reduce_ccl, 1.0, parameters)


@once
def check_list_parts(loss: ListLoss) -> None:
    """Raise unless the fields of a list-wise loss are what training can use; see `part_checks`."""
    owner = check_name(loss.name, "loss")
    check_numbers(loss.parameters, owner, "parameters")
    if loss.temperature is not None:
        check_positive(loss.temperature, f"{owner}: temperature")
    check_fields(loss.fields())


LIST_LOSSES: dict[str, Callable[[], ListLoss]] = {"softmax": softmax, "bsl": bsl, "ccl": ccl}


_ARGUMENTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "softmax": lambda loss: {"temperature": loss.temperature},
    "bsl": lambda loss: {
        "temperature": loss.temperature,
        "positive_temperature": loss.temperature and loss.temperature * loss.parameters[0],
    },
    "ccl": lambda loss: dict(zip(("margin", "negative_weight"), loss.parameters, strict=True)),
}


class TunedNumber(NamedTuple):
    """The number of a list-wise loss that is worth tuning, and what returns the loss with another one."""

    value: float | None
    replace: Callable[[float], ListLoss]


def _tuned_temperature(loss: ListLoss) -> TunedNumber:
    return TunedNumber(loss.temperature, lambda value: loss._replace(temperature=value))


def _tuned_weight(loss: ListLoss) -> TunedNumber:
    margin, weight = loss.parameters
    return TunedNumber(weight, lambda value: loss._replace(parameters=(margin, value)))


_TUNED: dict[str, Callable[[ListLoss], TunedNumber]] = {
    "softmax": _tuned_temperature,
    "bsl": _tuned_temperature,
    "ccl": _tuned_weight,
}


def tuned_number_of(loss: ListLoss) -> TunedNumber | None:
    """Return the number of a built-in loss that is worth tuning; None: the loss is one of the user's own."""
    if loss.name not in LIST_LOSSES:
        return None
    built_in = LIST_LOSSES[loss.name]()
    if (loss.exponentiate, loss.reduce) != (built_in.exponentiate, built_in.reduce):
        return None
    return _TUNED[loss.name](loss)
