r"""Scorers: how a user row and an item row become a score, and rows of length one.

A scorer is a function of three products of a user row a and an item row b: ``ab = a·b``,
``aa = a·a``, ``bb = b·b``. Its gradient by either row is a combination of the two rows,
``ds/d(own) = p·other - q·own``:

======== ==================== ============== ==================== =========================
name     score s              p              q                    source
======== ==================== ============== ==================== =========================
dot      ab                   1              0                    Koren et al., 2009
cosine   ab / (|a| |b|)       1 / (|a| |b|)  s / (own·own)        quotient rule
======== ==================== ============== ==================== =========================

Derivation (cosine): d(ab/√(aa·bb))/da = b/√(aa·bb) - ab·a/(aa·√(aa·bb)) = p b - (s/aa) a.

Code that needs many cosines normalises each row once and takes plain products: the list-wise losses, the
layer `Normalize`, and everything after training. With y = a / |a| and g the gradient by y, the gradient by
a is (g - (g·y) y) / |a|.

A row without direction (norm below 1e-6) has score 0 and gradient 0, so that neither a zero row
nor one that shrinks to zero can turn training into NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_flag, choose
from tripletrec._runtime.jit import part
from tripletrec._runtime.messages import said_by, shown
from tripletrec._runtime.part_checks import PartField, check_fields, check_name, once
from tripletrec._runtime.part_texts import text_of

__all__ = ["COSINE", "DOT", "SCORERS", "Scorer"]

_LEAST_SQUARE = 1e-12  # of the norm of a row that has a direction


class Scorer(NamedTuple):
    """A scorer of user and item rows.

    Parameters
    ----------
    name : str
        What messages and saved models call it.
    score : callable
        Part function ``(ab, aa, bb) -> s``.
    coefficients : callable
        Part function ``(ab, own, other) -> (p, q)`` of the products a·b, own·own, other·other.
    gradient : callable
        Part function ``(p, q, own, other) -> p * other - q * own``, for one factor.
    rows : callable
        ``rows(factors)``: the array whose plain products with another such array are the scores;
        used after training.
    linear : bool, default False
        Whether s is a·b itself, so that the difference of two scores of a user is one product.

    Examples
    --------
    >>> from tripletrec.scorers import COSINE
    >>> COSINE.score(3.0, 9.0, 4.0)
    0.5
    """

    name: str
    score: Callable[..., Any]
    coefficients: Callable[..., Any]
    gradient: Callable[..., Any]
    rows: Callable[[NDArray[Any]], NDArray[Any]]
    linear: bool = False

    def __repr__(self) -> str:
        return text_of(self, "scorers", SCORERS, {})

    def fields(self) -> list[PartField]:
        """Return the parts and how they are called."""
        numbers = tuple(map(np.float32, (0.5, 1.0, 2.0, 0.25)))
        return [
            PartField(
                f"scorer {self.name!r}", name, function, arguments, returns, n,
                (numbers[: len(arguments)],),
            )
            for name, function, arguments, returns, n in (
                ("score", self.score, ("ab", "aa", "bb"), "a number", 1),
                ("coefficients", self.coefficients, ("ab", "own", "other"), "two numbers (p, q)", 2),
                ("gradient", self.gradient, ("p", "q", "own", "other"), "a number", 1),
            )
        ]  # fmt: skip


@part
def _dot_score(ab, aa, bb):
    return ab


@part
def _dot_coefficients(ab, own, other):
    return ab, ab  # not used: see _dot_gradient


@part
def _dot_gradient(p, q, own, other):
    return other  # p = 1, q = 0, not spelt out: 0 * own would stay in the loop (own may be NaN)


def _dot_rows(factors: NDArray[Any]) -> NDArray[Any]:
    return factors


@part
def _cosine_score(ab, aa, bb):
    if aa < _LEAST_SQUARE or bb < _LEAST_SQUARE:
        return ab * 0.0
    return ab / math.sqrt(aa * bb)


@part
def _cosine_coefficients(ab, own, other):
    if own < _LEAST_SQUARE or other < _LEAST_SQUARE:
        return ab * 0.0, ab * 0.0
    p = 1.0 / math.sqrt(own * other)
    return p, ab * p / own


@part
def _cosine_gradient(p, q, own, other):
    return p * other - q * own


def _cosine_rows(factors: NDArray[Any]) -> NDArray[Any]:
    return normalize_rows(factors)[0]


@part
def inverse_norm(square):
    """Return one over the norm of a row, from the square of the norm; 0 if the row has no direction."""
    return 0.0 if square < _LEAST_SQUARE else 1.0 / np.sqrt(square)


@part
def through_norm(gradient, unit, along, inverse):
    """Back-propagate one entry through row normalisation; `along` is the product of gradient and unit row."""
    return (gradient - along * unit) * inverse


@part
def normalize_row(row):
    """Scale a float32 row to length one, in place, and return one over its norm."""
    square = np.float32(0.0)
    for k in range(row.shape[0]):
        square += row[k] * row[k]
    inverse = np.float32(inverse_norm(square))
    for k in range(row.shape[0]):
        row[k] *= inverse
    return inverse


@part
def normalize_row_backward(gradient, unit, inverse):
    """Turn the gradient by a unit row into that by the row it was made of, in place."""
    along = np.float32(0.0)
    for k in range(unit.shape[0]):
        along += gradient[k] * unit[k]
    for k in range(unit.shape[0]):
        gradient[k] = through_norm(gradient[k], unit[k], along, inverse)


def normalize_rows(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows scaled to length one, and one over their norms, shape (n_rows, 1).

    Both are 0 for a row without direction: the limit of one over its norm would turn it, and with it all
    others, into NaN.
    """
    squares = np.einsum("rk,rk->r", rows, rows)[:, None]
    inverses = np.zeros_like(squares)
    np.divide(1.0, np.sqrt(squares), out=inverses, where=squares >= _LEAST_SQUARE)
    return rows * inverses, inverses


def normalize_rows_backward(
    units: NDArray[Any], inverses: NDArray[Any], gradient: NDArray[Any]
) -> NDArray[Any]:
    """Return the gradient by the rows that `normalize_rows` was given, from that by the unit rows."""
    along = np.einsum("rk,rk->r", gradient, units)[:, None]
    result: NDArray[Any] = through_norm(gradient, units, along, inverses)
    return result


DOT = Scorer("dot", _dot_score, _dot_coefficients, _dot_gradient, _dot_rows, linear=True)
COSINE = Scorer("cosine", _cosine_score, _cosine_coefficients, _cosine_gradient, _cosine_rows)

SCORERS: dict[str, Callable[[], Scorer]] = {"dot": lambda: DOT, "cosine": lambda: COSINE}


def check_scorer(scorer: str | Scorer) -> Scorer:
    """Return the `Scorer` that a user names or hands in; raise on an unknown name or a wrong part."""
    chosen = choose(scorer, SCORERS, Scorer, "scorer")
    _check_parts(chosen)
    return chosen


@once
def _check_parts(scorer: Scorer) -> None:
    owner = check_name(scorer.name, "scorer")
    check_flag(scorer.linear, f"{owner}: linear")
    check_fields(scorer.fields())
    rule = f"{owner}: rows must be a function of an array (n_rows, n_factors) that returns such an array"
    given = np.array([[1.0, 2.0, 0.5], [0.5, -1.0, 1.0]], np.float32)
    if not callable(scorer.rows):
        raise TypeError(f"{rule}, got {shown(scorer.rows)}")
    try:
        rows = scorer.rows(given.copy())
    except Exception as error:
        raise ValueError(f"{rule}; it raised {said_by(error)}") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or len(rows) != len(given):
        raise TypeError(f"{rule}, got one that returns {shown(rows)}")
