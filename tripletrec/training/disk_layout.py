"""How much memory and disk a fit from the disk takes, by its parts of the users."""

from __future__ import annotations

from typing import NamedTuple

from tripletrec._runtime.memory import check_memory
from tripletrec.data.interactions import Interactions
from tripletrec.training.plan import FactorPlan
from tripletrec.training.strata import Strata
from tripletrec.training.tables import row_width

__all__ = ["DiskLayout", "FitSize", "choose_layout", "part_counts"]

_ROOM = 0.88  # of the memory that there is: the system keeps files in the rest
_OF_A_USER = 40  # bytes: places, pointers, and counts while users are dealt
_OF_AN_ITEM = 80  # bytes: places, counts, what positions take
_OF_A_THREAD = 2**23  # bytes; little data need less
_UNEVEN = 1.05  # the largest part, as a multiple of the mean


class DiskLayout(NamedTuple):
    """How a fit from the disk divides its work; no bit of what is learnt depends on it.

    Parameters
    ----------
    n_parts : int
        Parts of the users. In an epoch each is visited as often as there are parts.
    n_resident : int
        Of how many parts the rows are in memory at once. Of all: then no rows are read or written.
    """

    n_parts: int
    n_resident: int

    @property
    def n_buffers(self) -> int:
        """Of how many parts the triplets are in memory; of two, one is read while the other is learnt."""
        return min(2, self.n_resident)

    @property
    def has_all_rows(self) -> bool:
        """Whether all rows of users are in memory."""
        return self.n_parts == self.n_resident


class FitSize(NamedTuple):
    """What the memory and the disk of a fit depend on, in bytes but for the first three.

    Parameters
    ----------
    n_users, n_items, n_threads : int
    user, item : int
        Of a row, optimizer state included.
    factors : int
        Of a row that is learnt, without state and padding.
    interactions : int
        Of the interactions of all users as they are read in each partition.
    triplets : int
        Of all triplets as they are stored.
    """

    n_users: int
    n_items: int
    n_threads: int
    user: int
    item: int
    factors: int
    interactions: int
    triplets: int

    @classmethod
    def of(
        cls,
        plan: FactorPlan,
        data: Interactions,
        given: Interactions | None,
        *,
        weighted: bool,
        n_jobs: int,
    ) -> FitSize:
        """Return the size of a fit of `plan`."""
        state, counts = 4 * (1 + len(plan.optimizer.state)), 4 * len(plan.optimizer.step_counts)
        graded = given is None and plan.is_graded
        stores_negatives = plan.stores_negatives(given is not None)
        entry, triplet = 4 + 4 * weighted + 8 * graded, 4 + 4 * stores_negatives + 4 * weighted
        rows = data.n_users, data.n_items, n_jobs
        row = state * row_width(plan.n_factors) + counts
        return cls(
            *rows,
            row,
            row + 2 * (state + counts) + _OF_AN_ITEM,
            4 * plan.n_factors,
            data.nnz * entry + (0 if given is None else 4 * given.nnz),
            data.nnz * triplet * (plan.n_negatives if stores_negatives else 1),
        )

    def memory(self, layout: DiskLayout) -> int:
        """Return the bytes of memory that a fit takes."""
        share = layout.n_resident / layout.n_parts * (1.0 if layout.has_all_rows else _UNEVEN)
        rows = self.user * self.n_users * share
        part = (self.interactions + self.triplets) / layout.n_parts
        buffers = part * layout.n_buffers * (_UNEVEN if layout.n_parts > 1 else 1.0)
        fixed = self.n_items * self.item + self.n_users * _OF_A_USER
        threads = self.n_threads * min(_OF_A_THREAD, self.triplets)
        return int(fixed + threads + rows + buffers)

    def disk(self, layout: DiskLayout) -> int:
        """Return the bytes of disk that a fit takes at most, checkpoints apart."""
        rows = 0 if layout.has_all_rows else self.user * self.n_users
        return self.interactions + self.triplets + rows + self.factors * self.n_users

    def fits(self, layout: DiskLayout, available: int | None) -> bool:
        """Tell whether so many bytes of memory are enough, of which the system keeps files in some."""
        return available is None or self.memory(layout) <= _ROOM * available


def part_counts(strata: Strata) -> list[int]:
    """Return into how many parts the users can be cut, ascending."""
    n = strata.n_user_blocks
    return [1 << x for x in range(n.bit_length())] if strata.nested else [1, n]


def choose_layout(size: FitSize, counts: list[int], available: int | None) -> DiskLayout:
    """Return the layout that reads and writes least, of those that fit into memory.

    First come those with all rows in memory, which read triplets only, each once an epoch. With others an
    epoch reads and writes all rows ``n_parts - n_resident`` times.

    Parameters
    ----------
    size : FitSize
    counts : list of int
        See `part_counts`.
    available : int or None
        Bytes of memory; None: not known, so that one part is taken.

    Raises
    ------
    NotEnoughMemoryError
        If not even the smallest parts fit.

    Examples
    --------
    >>> size = FitSize(2_000_000, 500_000, 2, 512, 608, 256, 400_000_000, 400_000_000)
    >>> for n_bytes in (4e9, 2e9, 1e9):
    ...     print(choose_layout(size, [1, 2, 4, 8, 16, 32, 64], int(n_bytes)))
    DiskLayout(n_parts=1, n_resident=1)
    DiskLayout(n_parts=8, n_resident=8)
    DiskLayout(n_parts=8, n_resident=2)
    """
    more = [n for n in counts if n > 2]
    layouts = [DiskLayout(1, 1), *(DiskLayout(n, n) for n in more)]
    for n_missing in range(1, counts[-1]):
        layouts += [DiskLayout(n, n - n_missing) for n in more if n - n_missing >= 2]
    # Two parts take what two of four do, but nothing is read while another part is learnt.
    if 2 in counts:
        layouts.append(DiskLayout(2, 1))
    for each in layouts:
        if size.fits(each, available):
            return each
    least = min(layouts, key=size.memory)
    check_memory(
        size.memory(least),
        f"a fit of {size.n_users:,} users and {size.n_items:,} items, {least.n_resident} of "
        f"{least.n_parts} parts of the users at a time,",
        "take fewer n_factors, another optimizer or fewer items",
    )
    return least
