"""The groups of items that travel between workers, and which tile needs which."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec.training.epoch_layout import EpochLayout, ItemDeal
from tripletrec.training.strata import Strata, Tile

__all__ = ["Grouping", "n_parts_for"]


class Grouping(NamedTuple):
    """How the item blocks make groups: group g has the blocks from ``g * size`` on, `size` of them.

    Parameters
    ----------
    n_parts : int
        Parts of the users.
    n_groups : int
        With drawn negatives as many as parts; where strata have pairs of item blocks each block is one.
    size : int
        Item blocks of a group.

    Examples
    --------
    >>> from tripletrec.training.strata import drawn_strata, given_strata
    >>> Grouping.of(drawn_strata(8), 2), Grouping.of(given_strata(8), 4)
    (Grouping(n_parts=2, n_groups=2, size=4), Grouping(n_parts=4, n_groups=8, size=1))
    """

    n_parts: int
    n_groups: int
    size: int

    @classmethod
    def of(cls, strata: Strata, n_parts: int) -> Grouping:
        """Return the groups for so many parts of the users."""
        n_groups = strata.n_item_blocks if strata.has_pairs else n_parts
        return cls(n_parts, n_groups, strata.n_item_blocks // n_groups)

    def groups_of(self, tile: Tile) -> list[int]:
        """Return the groups whose items a tile needs."""
        return sorted({int(block) // self.size for block in tile.item_blocks})

    def rows_of(self, group: int, epoch_layout: EpochLayout, deal: ItemDeal) -> NDArray[np.int32]:
        """Return the items of a group, in the order of their positions."""
        blocks = np.arange(group * self.size, (group + 1) * self.size)
        return deal.row_at[epoch_layout.positions_of(blocks, deal)]

    def group_of(self, rows: NDArray[np.int32], deal: ItemDeal) -> NDArray[np.int64]:
        """Return the group of each of some items."""
        return deal.items.block_of[rows].astype(np.int64) // self.size


def n_parts_for(strata: Strata, n_threads: int) -> int:
    """Return into how many parts the users are cut for so many threads of all workers together.

    Two for each thread, so that one is learnt while the items of the other are on their way; a power of two,
    at most one for each user block.

    Examples
    --------
    >>> from tripletrec.training.strata import drawn_strata
    >>> [n_parts_for(drawn_strata(16), n) for n in (1, 3, 100)]
    [2, 8, 16]
    """
    n_blocks = strata.n_user_blocks
    if strata.has_pairs or not strata.nested:
        return n_blocks
    return min(n_blocks, 1 << (2 * n_threads - 1).bit_length())
