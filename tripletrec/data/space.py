"""Whom and what interactions or a model speak of, and whether two speak of the same; ids are in `ids`."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from tripletrec.data.id_arrays import same_ids

__all__ = ["HOW", "Space", "check_same_space"]

HOW = "build it with Interactions.from_frame(..., like=train)"


class Space(NamedTuple):
    """The users and items that interactions or a model speak of."""

    n_users: int
    n_items: int
    user_ids: NDArray[Any] | None = None  # None: the row numbers
    item_ids: NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_users, n_items)``."""
        return self.n_users, self.n_items


def check_same_space(found: Space, wanted: Space, name: str, owner: str) -> None:
    """Raise unless two speak of the same users and items, in the same order."""
    if found.shape != wanted.shape:
        raise ValueError(
            f"{name} must have the {wanted.n_users} users and {wanted.n_items} items of {owner}, "
            f"got {found.n_users} and {found.n_items}: {HOW}"
        )
    for ids, others, word in (
        (found.user_ids, wanted.user_ids, "user"),
        (found.item_ids, wanted.item_ids, "item"),
    ):
        if ids is not None and others is not None and not same_ids(ids, others):
            raise ValueError(
                f"{name} must have the {word} ids of {owner}, in the same order: {HOW}"
            )
