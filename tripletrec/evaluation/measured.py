"""On what and how numbers were measured, in a form in which two evaluations can be compared."""

from __future__ import annotations

from typing import NamedTuple

from tripletrec.data.digests import digest_data
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation.metrics import Gains
from tripletrec.evaluation.standing import Ranked

__all__ = ["Measured", "digest_test", "measured"]


class Measured(NamedTuple):
    """The arguments of `evaluate` that numbers depend on, data as digests."""

    test: str
    k: tuple[int, ...]
    gains: Gains
    candidates: str  # "" of a sample, which is drawn from what is not left out
    left_out: str
    beside_seen: str  # "" where it is not known what the model has seen, or that is not left out

    def difference(self, other: Measured) -> str | None:
        """Return the argument by which two may not be compared; None: they may be."""
        for name in ("k", "gains", "test", "candidates"):
            if getattr(self, name) != getattr(other, name):
                return name
        # What models have seen may differ, if both leave it out.
        by_seen = self.beside_seen and self.beside_seen == other.beside_seen
        return None if self.left_out == other.left_out or by_seen else "exclude"


def measured(
    test: Interactions,
    cutoffs: tuple[int, ...],
    gains: Gains,
    ranked: Ranked,
    *,
    is_sample: bool,
) -> Measured:
    """Return on what and how a model is measured."""
    pairs, beside_seen = ranked.left_out
    candidates = None if is_sample else ranked.field.candidates
    return Measured(
        digest_test(test, gains),
        cutoffs,
        gains,
        digest_data(candidates),
        digest_data(pairs),
        digest_data(None if beside_seen is None else beside_seen.of_all(test.n_users)),
    )


def digest_test(test: Interactions, gains: Gains) -> str:
    """Return a digest of the pairs and ids of a test; of its values, if gains go by them."""
    values = "" if gains == "binary" else digest_data(test.values)
    return digest_data(test) + values
