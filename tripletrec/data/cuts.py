"""Recognises interactions that scikit-learn has cut into rows or folds, and what they were before.

A search of scikit-learn cuts, together with X, every argument of `fit` and `score` that happens to have as
many rows as X has samples, for it can only be a value per sample. Held-out positives, negatives and features
are not, however many there are of them. So interactions remember how scikit-learn took them, by its own ways
(``take``, ``iloc``, ``loc``): two that were taken at the same positions of equally many were cut together.
"""

from __future__ import annotations

import weakref
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np

__all__ = ["Cut", "Cuttable", "restore"]

T = TypeVar("T")


class Cut(NamedTuple):
    """The positions at which interactions were taken from others."""

    origin: Any  # a weak reference to the others; None in another process
    n_before: int
    n_after: int  # repetitions included: the rows of a table that was cut along
    positions: bytes  # a digest
    ascending: bool  # else what was cut along is in another order than the interactions

    def same_as(self, other: Cut | None) -> bool:
        """Tell whether the other cut took the same positions of equally many."""
        return other is not None and self[1:] == other[1:]


class Cuttable:
    """What scikit-learn takes interactions by, apart from ``len`` and ``data[index]`` of a subclass."""

    _cut: Cut | None = None  # how it took these, if it did

    def take(self, indices: Any, axis: int = 0) -> Self:
        """Return some of the interactions: the same as ``data[indices]``.

        Parameters
        ----------
        indices : int array
        axis : int, default 0
            There is no other axis.
        """
        if axis != 0:
            raise ValueError(f"axis must be 0: interactions have one axis, got {axis!r}")
        positions = np.asarray(indices)
        return self.iloc[positions if positions.size else slice(0)]

    @property
    def iloc(self) -> _Cutter[Self]:
        """Takes positions: ``data.iloc[index]`` equals ``data[index]``."""
        return _Cutter(self)

    @property
    def loc(self) -> _Cutter[Self]:
        """Takes masks: ``data.loc[mask]`` equals ``data[mask]``."""
        return _Cutter(self)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if self._cut is not None:
            state["_cut"] = self._cut._replace(origin=None)
        return state


class _Cutter(Generic[T]):
    def __init__(self, data: T) -> None:
        self._data: Any = data

    def __getitem__(self, index: Any) -> T:
        n = len(self._data)
        positions = np.atleast_1d(np.arange(n)[index])
        part: Any = self._data[positions]
        from hashlib import blake2b  # here, because few interactions are cut

        digest = blake2b(positions.tobytes(), digest_size=16).digest()
        ascending = bool((np.diff(positions) > 0).all())
        part._cut = Cut(weakref.ref(self._data), n, len(positions), digest, ascending)
        return part


def restore(side: Any, X: Any, name: str) -> Any:
    """Return interactions as they were before they were cut along with X.

    Parameters
    ----------
    side, X : Interactions
    name : str
        What error messages call `side`.

    Raises
    ------
    ValueError
        If they are gone.
    """
    cut, along = side._cut, X._cut
    while side is not X and cut is not None and cut.same_as(along):
        side = None if cut.origin is None else cut.origin()
        X = None if along.origin is None else along.origin()
        if side is None:
            raise ValueError(
                f"{name} must not be cut, but a search within a search of scikit-learn has cut it along "
                f"with X, because both have {cut.n_before} interactions: leave one out of {name} or X"
            )
        cut, along = side._cut, None if X is None else X._cut
    return side
