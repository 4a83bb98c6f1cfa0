"""What a fit on a cluster learns from: `Source` is what any kind of it must do; `Interactions` do it here."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.store import Axis, write_block
from tripletrec.data.interactions import Interactions
from tripletrec.models.companions import percentile_rank_of
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.sampling.grades import by_rising_value, has_grades
from tripletrec.training.bucketing import UserPositives
from tripletrec.training.dealing import Partition
from tripletrec.training.triplet import count_items
from tripletrec.training.user_parts import cut_part, whole_part

__all__ = ["VALUES", "Facts", "InteractionsSource", "Source"]

VALUES = "values of the source"


class Facts(NamedTuple):
    """What is known of all positives.

    Parameters
    ----------
    n_given : int or None
        Given negatives; None where the argument was not given.
    is_weighted : bool
        Whether positives have weights.
    has_grades : bool
        Whether there is a user with positives of different values.
    percentile_rank : float
        See `tripletrec.models.percentile_rank`.
    """

    n_given: int | None
    is_weighted: bool
    has_grades: bool
    percentile_rank: float

    @property
    def nnz(self) -> int:
        """Given negatives, as `settle_sampler` counts them."""
        return self.n_given or 0


class Source(Protocol):
    """Positives, their weights, and maybe given negatives; how users and items are numbered is up to it."""

    def entries(self) -> dict[str, Any]:
        """Return what tells one source from another, by argument, see `fingerprint`.

        Its values, under `VALUES`, count only if the sampler goes by them.
        """

    def count(self) -> tuple[Axis, Axis]:
        """Return the users and the items, numbered as `Interactions` would."""

    def facts(self) -> Facts:
        """Return what is known of all of them. After `count`."""

    def write_blocks(self, folder: Folder, users: Partition, *, graded: bool) -> None:
        """Write all blocks (`write_block`). After `count`.

        Parameters
        ----------
        folder : Folder
        users : Partition
            Which users make which block.
        graded : bool
            Whether triplets are made of a user's positives of different values, see `by_rising_value`.
        """

    def release(self) -> None:
        """Drop what only the methods above need. After it only `seen` is called."""

    def seen(self) -> Interactions | None:
        """Return the positives, if they are in memory."""


class InteractionsSource:
    """Interactions in memory, as `fit` learns from them.

    Parameters
    ----------
    data : Interactions
    weights : float32 array of shape (nnz,) or None
    given : Interactions or None
        Given negatives of the same users and items.
    """

    def __init__(
        self,
        data: Interactions,
        weights: NDArray[np.float32] | None = None,
        given: Interactions | None = None,
    ) -> None:
        self._data, self._weights, self._given = data, weights, given

    def entries(self) -> dict[str, Any]:
        """Return what tells one source from another, by argument."""
        data = self._data
        return {
            "source": data, "sample_weight": self._weights, "negatives": self._given,
            VALUES: data.values,
        }  # fmt: skip

    def count(self) -> tuple[Axis, Axis]:
        """Return the users and the items."""
        data = self._data
        items = count_items(data.indices, data.n_items)
        return Axis(data.user_ids, np.diff(data.indptr)), Axis(data.item_ids, items)

    def facts(self) -> Facts:
        """Return what is known of all of them."""
        data, given = self._data, self._given
        return Facts(
            None if given is None else given.nnz,
            self._weights is not None,
            has_grades(data.indptr, data.values),
            percentile_rank_of(data),
        )

    def write_blocks(self, folder: Folder, users: Partition, *, graded: bool) -> None:
        """Write all blocks, see `Source.write_blocks`."""
        data, given, n_lower = self._data, None, None
        weights = np.empty(0, np.float32) if self._weights is None else self._weights
        indptr, indices = read_only(data.indptr), read_only(data.indices)
        if self._given is not None and self._given.nnz:
            given = ItemsOfUsers(self._given.indptr, self._given.indices)
        elif graded:
            given, n_lower = by_rising_value((indptr, indices), data.values)
        positives = UserPositives(indptr, indices, read_only(weights), indptr[:-1])
        whole, n_blocks = whole_part(users, positives, given, n_lower), len(users.bounds) - 1
        for block in range(n_blocks):
            write_block(folder, block, cut_part(whole, block, n_blocks))

    def release(self) -> None:
        """Keep all, which is the user's."""

    def seen(self) -> Interactions | None:
        """Return the positives."""
        return self._data
