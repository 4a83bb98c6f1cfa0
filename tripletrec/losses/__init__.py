"""All losses by name; they are defined in `losses.triplet` and, if list-wise, in `losses.listwise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tripletrec._checks import choose
from tripletrec._runtime.jit import part
from tripletrec.losses.listwise import LIST_LOSSES, ListLoss, bsl, ccl, check_list_parts, softmax
from tripletrec.losses.triplet import BPR, LOSSES, SIGMOID, Loss, check_parts, hinge

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
    """Return the loss that a user names or hands in; raise on an unknown name or a wrong part."""
    if not isinstance(loss, ListLoss):
        known: dict[str, Callable[[], Any]] = {**LOSSES, **LIST_LOSSES}
        loss = choose(loss, known, Loss, "loss")
    if isinstance(loss, ListLoss):
        check_list_parts(loss)
    else:
        check_parts(loss)
    return loss
