"""Learning strata: shuffle, draw, learn; which strata there are and who runs them is in `strata`, `triplet`.

A stratum is a pure function of its rows, its interactions and its streams of random numbers: `learn_strata`
learns those of whole tables, and those of arrays that hold only what a part of the users needs, see `parts`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec.sampling.draw import ItemsOfUsers, Pool, RowNumbers
from tripletrec.training.bucketing import (
    Buckets,
    Stored,
    draw_negatives,
    draw_others,
    make_distinct,
    shuffle_strata,
)
from tripletrec.training.placed_negatives import Placed, place_given
from tripletrec.training.strata import LIMITS, StrataLimits
from tripletrec.training.triplet_records import (
    GroupScratch,
    HyperParameters,
    ItemRows,
    Triplets,
    UserRows,
    group_scratch,
)

__all__ = [
    "Contents",
    "Epoch",
    "Loop",
    "StratumLearner",
    "Streams",
    "Workspace",
    "Workspaces",
    "learn_strata",
    "make_workspace",
    "pieces",
    "pieces_of_users",
]


class Loop(NamedTuple):
    """How strata are learnt, whatever they hold.

    Parameters
    ----------
    kernel : callable
        The training loop, see `triplet_kernel.build_epoch`.
    width : int
        Factors of a row, padding included.
    group : int
        The most triplets of a group.
    n_negatives : int
        Negatives of a stored triplet.
    n_drawn : int
        Items drawn for a stored triplet, candidates included; 0 where its negative is stored.
    verified : bool
        Whether known pairs are drawn again.
    n_positives : int, default 1
        Positives of the user that are compared for a stored triplet.
    searches : bool, default False
        Whether the loss searches for its negative among the items that are drawn for one of a triplet: these
        are drawn without replacement.
    """

    kernel: Callable[..., None]
    width: int
    group: int
    n_negatives: int
    n_drawn: int
    verified: bool
    n_positives: int = 1
    searches: bool = False


class Contents(NamedTuple):
    """What strata hold, and what their negatives are drawn from.

    Parameters
    ----------
    buckets : Buckets
    stored : Stored
    item_bits : int
        Bits of the codes that are the item's, see `strata.Codes`.
    known : ItemsOfUsers
        The pairs that a verified draw refuses.
    pool : Pool
    numbers : RowNumbers or None
        None where these are all the users and items there are.
    placed : Placed or None
        Given negatives that take the place of candidates.
    """

    buckets: Buckets
    stored: Stored
    item_bits: int
    known: ItemsOfUsers
    pool: Pool
    numbers: RowNumbers | None
    placed: Placed | None = None


class Streams(NamedTuple):
    """The streams of random numbers of an epoch, each a uint64."""

    users: Any  # how users are dealt into blocks
    items: Any
    given: Any  # negatives that are given, or positives that are compared
    drawn: Any  # negatives that are drawn after that
    order: Any  # of the triplets of a stratum


class Epoch(NamedTuple):
    """All that the strata of an epoch depend on; `users` and `items` are what is learnt."""

    contents: Contents
    users: UserRows
    items: ItemRows
    hyper: HyperParameters
    streams: Streams


class Workspace(NamedTuple):
    """What one thread works on."""

    triplets: Triplets
    places: NDArray[np.int64]
    filter_words: NDArray[np.uint64]
    scratch: GroupScratch


def make_workspace(
    loop: Loop, longest: int, *, weighted: bool, limits: StrataLimits = LIMITS
) -> Workspace:
    """Return what it takes to learn strata of up to `longest` triplets each.

    Several of them may be learnt by one call if they have no more than ``limits.at_once`` together.
    """
    n, n_each, n_others = max(longest, limits.at_once), max(1, loop.n_drawn), loop.n_positives - 1
    return Workspace(
        Triplets(
            np.empty((n, 2), np.int32),
            np.empty(n * n_each, np.int32),
            np.empty(n if weighted else 0, np.float32),
            np.empty(n * n_others, np.int32),
        ),
        np.empty(longest * (n_each if n_others == 0 else max(2, n_each)), np.int64),
        np.empty(min(1 << longest.bit_length(), limits.filter_words), np.uint64),
        group_scratch(loop.width, loop.n_positives),
    )


def pieces(
    bounds: NDArray[np.int64], first: int, last: int, at_once: int
) -> Iterator[tuple[int, int]]:
    """Cut a run of strata into runs of up to `at_once` triplets, but at least one stratum."""
    while first < last:
        end = int(bounds.searchsorted(bounds[first] + at_once, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end


def pieces_of_users(indptr: NDArray[np.int64], at_once: int) -> Iterator[tuple[int, int]]:
    """Cut users into runs of about so many interactions together, and of so many users at most."""
    first, n = 0, len(indptr) - 1
    while first < n:
        end = int(np.searchsorted(indptr, indptr[first] + at_once, side="right")) - 1
        last = min(max(end, first + 1), first + at_once, n)
        yield first, last
        first = last


def learn_strata(
    first: int,
    last: int,
    loop: Loop,
    epoch: Epoch,
    workspace: Workspace,
    totals: NDArray[np.float64],
) -> None:
    """Learn from strata first ... last - 1 of an epoch, one after the other.

    Changes the rows of their users and items, and `totals`, see `triplet_records.N_TOTALS`.
    """
    contents, streams = epoch.contents, epoch.streams
    # Records go to kernels as plain tuples, and get their names back there: of a record Numba would look
    # at the name of each field, at each call, which takes a microsecond.
    buckets, triplets = tuple(contents.buckets), tuple(workspace.triplets)
    shuffle_strata(
        first, last, streams.order, buckets, tuple(contents.stored), contents.item_bits,
        workspace.places, triplets,
    )  # fmt: skip
    if loop.n_drawn:
        draw_negatives(
            first, last, streams.drawn, buckets, tuple(contents.known), tuple(contents.pool),
            loop.verified, loop.n_drawn, triplets, workspace.filter_words, workspace.places,
            contents.numbers,
        )  # fmt: skip
    if loop.searches:
        make_distinct(
            first, last, streams.drawn, buckets, tuple(contents.known), tuple(contents.pool),
            loop.verified, loop.n_drawn, loop.n_drawn // loop.n_negatives, triplets,
        )  # fmt: skip
    if contents.placed is not None:
        place_given(
            first, last, streams.given, buckets, tuple(contents.placed), loop.n_negatives,
            loop.n_drawn // loop.n_negatives, triplets,
        )  # fmt: skip
    if loop.n_positives > 1:
        draw_others(
            first, last, streams.order, streams.given, buckets, tuple(contents.stored),
            contents.item_bits, loop.n_positives - 1, triplets, workspace.places,
        )  # fmt: skip
    loop.kernel(
        first, last, contents.buckets.bounds, triplets, loop.n_negatives, loop.group,
        tuple(epoch.users), tuple(epoch.items), tuple(epoch.hyper), tuple(workspace.scratch), totals,
    )  # fmt: skip


class Workspaces:
    """Keeps what each thread works on: asking the system for memory costs as much as small rounds do.

    Parameters
    ----------
    limits : StrataLimits
    """

    def __init__(self, limits: StrataLimits) -> None:
        self._limits, self._local = limits, threading.local()

    def of_thread(self, loop: Loop, longest: int, *, weighted: bool) -> Workspace:
        """Return that of this thread, which is for one loop, for strata of up to `longest` triplets."""
        kept: tuple[int, Workspace] | None = getattr(self._local, "kept", None)
        if kept is None or kept[0] < longest:
            made = make_workspace(loop, longest, weighted=weighted, limits=self._limits)
            kept = self._local.kept = longest, made
        return kept[1]


class StratumLearner:
    """Learns runs of strata, each thread in memory of its own; where the strata come from is not its affair.

    Parameters
    ----------
    limits : StrataLimits
    weighted : bool
        Whether triplets have weights.

    Attributes
    ----------
    loop : Loop
        How strata are learnt; to be set before the first run.
    cancelled : bool
        Set by another thread to have runs end with KeyboardInterrupt.
    """

    loop: Loop

    def __init__(self, limits: StrataLimits, *, weighted: bool) -> None:
        self.limits, self.cancelled = limits, False
        self._weighted, self._workspaces = weighted, Workspaces(limits)

    def learn_run(
        self, epoch: Epoch, totals: NDArray[np.float64], longest: int, first: int, last: int
    ) -> None:
        """Learn from strata first ... last - 1, none of which has more than `longest` triplets."""
        workspace = self._workspaces.of_thread(self.loop, longest, weighted=self._weighted)
        for a, b in pieces(epoch.contents.buckets.bounds, first, last, self.limits.at_once):
            if self.cancelled:
                raise KeyboardInterrupt
            learn_strata(a, b, self.loop, epoch, workspace, totals)
