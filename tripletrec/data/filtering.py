"""Leaves out users and items that have too few interactions."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_real
from tripletrec.data.compressed import CompressedRows
from tripletrec.data.csr import CsrRows

__all__ = ["Filterable"]


class Filterable(CompressedRows):
    """What leaves out users and items."""

    def filter(
        self, min_per_user: int = 0, min_per_item: int = 0, min_value: float | None = None
    ) -> Self:
        """Return what is left of users and items that have enough interactions with each other: the k-core.

        First go interactions of a lower value, then users and items with too few interactions, and these with
        their interactions, again and again until nothing changes. What is left does not depend on the order.

        Parameters
        ----------
        min_per_user, min_per_item : int, default 0
            How many of the interactions that are left a user or an item must have. Who has fewer is no longer
            among the users, or items, of the answer; 1 leaves out those without any. With 0 all stay, also
            those who have lost everything.
        min_value : float, optional
            The least value of an interaction.

        Returns
        -------
        Interactions
            In the same order, with ids and timestamps. Where rows without ids are left out, the ids of the
            others are the numbers that they had. Test data must be built like it:
            ``Interactions.from_frame(..., like=answer, unknown="drop")``.

        Raises
        ------
        ValueError
            If no user or no item is left.

        Notes
        -----
        Every interaction is looked at a fixed number of times, however often something changes.

        Examples
        --------
        >>> from tripletrec import Interactions
        >>> data = Interactions.from_frame({"user": ["a", "a", "b", "b", "c"], "item": [1, 2, 1, 2, 3]})
        >>> core = data.filter(min_per_user=2, min_per_item=2)
        >>> core, core.item_ids
        (Interactions(2 users x 2 items, 4 positives, user ids, item ids), array([1, 2]))
        """
        least = (
            check_count(min_per_user, "min_per_user", 0),
            check_count(min_per_item, "min_per_item", 0),
        )
        self._check_still_inside()
        enough = np.ones(self.nnz, np.bool_)
        if min_value is not None:
            # In the precision of the values, so that 0.1 is not less than 0.1.
            enough = self.values >= np.float32(check_real(min_value, "min_value"))
        kept = np.flatnonzero(enough)
        rows, columns = self.rows[kept], self.indices[kept]
        core = _peel(rows, columns, (self.n_users, self.n_items), least)
        for word, left in (("user", core.users), ("item", core.items)):
            if not left.any():
                raise ValueError(
                    f"no {word} is left with min_per_user={min_per_user}, min_per_item={min_per_item} and "
                    f"min_value={min_value}: {self.nnz} interactions of {self.n_users} users and "
                    f"{self.n_items} items are not enough"
                )
        kept = kept[core.interactions]
        n_users, n_items = int(core.users.sum()), int(core.items.sum())
        lengths = np.bincount(rows[core.interactions], minlength=self.n_users)[core.users]
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        indices = (np.cumsum(core.items, dtype=np.int32) - 1)[self.indices[kept]].astype(np.int32)
        times = None if self.timestamps is None else self.timestamps[kept]
        new = CsrRows((n_users, n_items), indptr, indices, self.values[kept], times)
        return self._like(new, self._users.part(core.users), self._items.part(core.items))


class _Core(NamedTuple):
    """Which are left."""

    interactions: NDArray[np.bool_]
    users: NDArray[np.bool_]
    items: NDArray[np.bool_]


class _Side(NamedTuple):
    """The users, or the items: whose each interaction is, and where those of each are."""

    labels: NDArray[Any]
    order: NDArray[np.intp]  # the interactions user by user, or item by item
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]  # of interactions that are left
    kept: NDArray[np.bool_]

    def interactions(self, gone: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return all interactions of some users, or items."""
        lengths = self.starts[gone + 1] - self.starts[gone]
        ends = np.cumsum(lengths)
        places = np.repeat(self.starts[gone] - ends + lengths, lengths)
        return self.order[places + np.arange(len(places))]


def _side(labels: NDArray[Any], n: int, least: int) -> _Side:
    counts = np.bincount(labels, minlength=n)
    starts = np.concatenate(([0], np.cumsum(counts)))
    return _Side(labels, np.argsort(labels, kind="stable"), starts, counts, counts >= least)


def _peel(
    rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int], least: tuple[int, int]
) -> _Core:
    """Take away those with too few, and with them what they have, until nothing changes."""
    left = np.ones(len(rows), np.bool_)
    sides = _side(rows, shape[0], least[0]), _side(columns, shape[1], least[1])
    waiting = [np.flatnonzero(~each.kept) for each in sides]
    while len(waiting[0]) or len(waiting[1]):
        for this, other in ((0, 1), (1, 0)):
            lost = sides[this].interactions(waiting[this])
            lost = lost[left[lost]]
            left[lost] = False
            side = sides[other]
            hit, n_lost = np.unique(side.labels[lost], return_counts=True)
            side.counts[hit] -= n_lost
            new = hit[side.kept[hit] & (side.counts[hit] < least[other])]
            side.kept[new] = False
            waiting[this] = waiting[this][:0]
            waiting[other] = np.concatenate((waiting[other], new))
    return _Core(left, sides[0].kept, sides[1].kept)
