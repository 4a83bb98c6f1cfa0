"""What a saved model holds for `partial_fit`: optimizer state and known features; all else is in `saving`."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

__all__ = ["OptimizerState"]


class OptimizerState(NamedTuple):
    """The optimizer's state in brief, as trainings give it, and whose it is."""

    optimizer: str
    arrays: dict[str, NDArray[Any]]
