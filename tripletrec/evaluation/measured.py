"""On what and how numbers were measured, in a form in which two evaluations can be compared."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.digests import digest_data
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation.fields import asked_candidates
from tripletrec.evaluation.metrics import Gains
from tripletrec.evaluation.standing import LeftOut, left_out_of
from tripletrec.ranking.exclusion import names_seen
from tripletrec.sampling.draw import ItemsOfUsers

__all__ = ["Measured", "Told", "digest_test", "measured"]


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


class Told(NamedTuple):
    """What arguments say of candidates and of what is left out, as digests; None: nothing."""

    candidates: str | None
    left_out: str | None
    by_seen: bool  # beside what each model has seen

    @classmethod
    def of(cls, test: Interactions, exclude: Any, candidates: Any) -> Told:
        """Return what the arguments of `evaluate` say, of which the defaults say nothing."""
        asked = None
        if candidates is not None:
            asked = digest_data(asked_candidates(candidates, test))
        if isinstance(exclude, str) and exclude == "seen":
            return cls(asked, None, True)
        out = left_out_of(None, test, exclude)
        return cls(asked, _digest_left_out(out.pairs, out.items), names_seen(exclude))

    def difference(self, how: Measured) -> str | None:
        """Return the argument by which an evaluation was made in another way; None: there is none."""
        if self.candidates not in (None, how.candidates):
            return "candidates"
        left_out = (self.by_seen and how.beside_seen) or how.left_out
        return None if self.left_out in (None, left_out) else "exclude"


def measured(
    test: Interactions,
    cutoffs: tuple[int, ...],
    gains: Gains,
    left_out: LeftOut,
    candidates: NDArray[np.int64] | ItemsOfUsers | None,
) -> Measured:
    """Return on what and how a model is measured; the candidates are those asked for, None of a sample."""
    pairs, items, beside_seen, _ = left_out
    return Measured(
        digest_test(test, gains),
        cutoffs,
        gains,
        digest_data(candidates),
        _digest_left_out(pairs, items),
        "" if beside_seen is None else _digest_left_out(beside_seen.of_all(test.n_users), items),
    )


def _digest_left_out(pairs: ItemsOfUsers, items: NDArray[np.int64]) -> str:
    """Return a digest of what is left out; the same for an item and for pairs of all users with it."""
    items = np.union1d(items, np.flatnonzero(np.bincount(pairs.indices) == pairs.n_users))
    return digest_data((*pairs.without(items), items))


def digest_test(test: Interactions, gains: Gains) -> str:
    """Return a digest of the pairs and ids of a test; of its values, if gains go by them."""
    values = "" if gains == "binary" else digest_data(test.values)
    return digest_data(test) + values
