"""All losses by name; they are defined in `losses.triplet` and, if list-wise, in `losses.listwise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tripletrec._checks import choose
from tripletrec._runtime.jit import part
from tripletrec.losses.listwise import LIST_LOSSES, ListLoss, bsl, ccl, softmax
from tripletrec.losses.triplet import BPR, LOSSES, SIGMOID, Loss, hinge

__all__ = [
    "BPR",
    "LIST_LOSSES",
    "LOSSES",
    "SIGMOID",
    "ListLoss",
    "Loss",
    "bsl",
    "ccl",
    "hinge",
    "part",
    "softmax",
]


def check_loss(loss: str | Loss | ListLoss) -> Loss | ListLoss:
    """Return the loss that a user names or hands in; raise on an unknown name."""
    if isinstance(loss, ListLoss):
        return loss
    known: dict[str, Callable[[], Any]] = {**LOSSES, **LIST_LOSSES}
    return choose(loss, known, Loss, "loss")
