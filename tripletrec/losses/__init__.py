"""All losses by name; they are defined in `losses.triplet` and, if list-wise, in `losses.listwise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tripletrec._checks import choose
from tripletrec._runtime.jit import part
from tripletrec.losses.listwise import LIST_LOSSES, ListLoss, bsl, ccl, check_list_parts, softmax
from tripletrec.losses.triplet import (
    BPR,
    LOSSES,
    SEARCHING_LOSSES,
    SIGMOID,
    Loss,
    check_parts,
    hinge,
    k_os_warp,
    warp,
)

__all__ = [
    "BPR",
    "LIST_LOSSES",
    "LOSSES",
    "SEARCHING_LOSSES",
    "SIGMOID",
    "ListLoss",
    "Loss",
    "bsl",
    "ccl",
    "hinge",
    "k_os_warp",
    "part",
    "softmax",
    "warp",
]


def check_loss(loss: str | Loss | ListLoss, search: bool = False) -> Loss | ListLoss:
    """Return the loss that a user names or hands in; raise on an unknown name or a wrong part.

    One that searches for its negative is refused unless the model can `search`.
    """
    if not isinstance(loss, ListLoss):
        known: dict[str, Callable[[], Any]] = {**LOSSES, **SEARCHING_LOSSES, **LIST_LOSSES}
        loss = choose(loss, known, Loss, "loss")
    if isinstance(loss, ListLoss):
        check_list_parts(loss)
    else:
        check_parts(loss)
        if loss.searches and not search:
            raise ValueError(
                f"loss {loss.name!r} searches for its negatives, which this model does not do: it is for "
                "MatrixFactorization"
            )
    return loss
