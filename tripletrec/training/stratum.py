"""Learning strata: shuffle, draw, learn; which strata there are and who runs them is in `strata`, `triplet`.

A stratum is a pure function of its rows, its interactions and its streams of random numbers. `learn_strata`
runs strata of whole tables. `cut_out` copies what one stratum needs into arrays that hold nothing else, so
that the same function may learn it anywhere, and `put_back` writes what was learnt into the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.jit import aligned
from tripletrec.sampling.draw import ItemsOfUsers, Pool, RowNumbers
from tripletrec.training.bucketing import (
    Buckets,
    Stored,
    draw_negatives,
    draw_others,
    make_distinct,
    shuffle_strata,
)
from tripletrec.training.strata import LIMITS, Limits
from tripletrec.training.triplet_records import (
    HyperParameters,
    ItemRows,
    Scratch,
    Triplets,
    UserRows,
    group_scratch,
)

__all__ = [
    "Contents",
    "Epoch",
    "Loop",
    "Streams",
    "Workspace",
    "cut_out",
    "learn_strata",
    "make_workspace",
    "pieces",
    "put_back",
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
    distinct : bool, default False
        Whether the items that are drawn for one negative of a triplet are drawn without replacement.
    """

    kernel: Callable[..., None]
    width: int
    group: int
    n_negatives: int
    n_drawn: int
    verified: bool
    n_positives: int = 1
    distinct: bool = False


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
    """

    buckets: Buckets
    stored: Stored
    item_bits: int
    known: ItemsOfUsers
    pool: Pool
    numbers: RowNumbers | None


class Streams(NamedTuple):
    """The streams of random numbers of an epoch, each a uint64."""

    users: Any  # how users are dealt into blocks
    items: Any
    given: (
        Any  # negatives that are drawn before triplets are bucketed, or positives that are compared
    )
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
    scratch: Scratch


def make_workspace(
    loop: Loop, longest: int, *, weighted: bool, limits: Limits = LIMITS
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
        end = int(np.searchsorted(bounds, bounds[first] + at_once, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end


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
    if loop.distinct:
        make_distinct(
            first, last, streams.drawn, buckets, tuple(contents.known), tuple(contents.pool),
            loop.verified, loop.n_drawn, loop.n_drawn // loop.n_negatives, triplets,
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


def cut_out(s: int, epoch: Epoch, positions: NDArray[np.integer]) -> Epoch:
    """Return stratum `s` by itself: copies of its rows and interactions, and nothing of the others.

    Parameters
    ----------
    s : int
    epoch : Epoch
        That of all strata.
    positions : int array
        Positions of the items of the stratum, ascending.

    Returns
    -------
    Epoch
        Its only stratum is number 0. Its user rows are those of the user block, in the order of the block;
        its items have the positions 0, 1, 2, …
    """
    buckets, stored, item_bits, _, pool, _ = epoch.contents
    a, b = buckets.bounds[s : s + 2]
    users, n_items = _users_of(s, buckets), len(positions)
    places, own = np.divmod(stored.codes[a:b].astype(np.int64), 1 << item_bits)
    own = np.searchsorted(positions, own + buckets.first_position[s])
    cumulative = pool.cumulative
    if cumulative is not None:
        cumulative = cumulative[positions[0] : positions[-1] + 2].copy()
    contents = Contents(
        Buckets(
            buckets.numbers[s : s + 1].copy(),
            np.array([0, b - a]),
            np.zeros(1, np.int32),
            np.arange(len(users), dtype=np.int32),
            np.array([0, len(users)]),
            np.zeros(1, np.int64),
            np.array([n_items]),
        ),
        Stored(
            (places << item_bits | own).astype(stored.codes.dtype),
            np.searchsorted(positions, stored.negatives[a:b]).astype(np.int32),
            stored.weights[a:b].copy(),
        ),
        item_bits,
        _items_of_users(places, own, len(users)),
        Pool(np.arange(n_items, dtype=np.int32), cumulative),
        RowNumbers(users.copy(), int(positions[0])),
    )
    return epoch._replace(contents=contents, **_copied_rows(epoch, users, positions))


def put_back(s: int, epoch: Epoch, positions: NDArray[np.integer], own: Epoch) -> None:
    """Write the rows of `own`, which `cut_out` has returned, into those of the epoch."""
    users = _users_of(s, epoch.contents.buckets)
    rows = epoch.items.row_at[positions]
    for whole, places, part in (
        (epoch.users.table, users, own.users.table),
        (epoch.items.table, rows, own.items.table),
        (epoch.items.biases, positions, own.items.biases),
    ):
        whole.reshape(-1, part.size // len(places))[places] = part.reshape(len(places), -1)
    epoch.users.step_counts[users] = own.users.step_counts
    epoch.items.step_counts[positions] = own.items.step_counts


def _users_of(s: int, buckets: Buckets) -> NDArray[np.int32]:
    block = buckets.user_block[s]
    return buckets.users[buckets.user_bounds[block] : buckets.user_bounds[block + 1]]


def _items_of_users(
    users: NDArray[np.int64], items: NDArray[np.int64], n_users: int
) -> ItemsOfUsers:
    indptr = np.zeros(n_users + 1, np.int64)
    np.cumsum(np.bincount(users, minlength=n_users), out=indptr[1:])
    indices = items[np.lexsort((items, users))].astype(np.int32)
    return ItemsOfUsers(read_only(indptr), read_only(indices))


def _copied_rows(
    epoch: Epoch, users: NDArray[np.int32], positions: NDArray[np.integer]
) -> dict[str, Any]:
    """Return copies of the rows of some users and of the items at some positions."""
    n_users, n_positions = len(epoch.users.step_counts), len(epoch.items.step_counts)
    row_size = epoch.users.table.size // n_users
    items = epoch.items

    def copied(flat: NDArray[np.float32], size: int, rows: NDArray[Any]) -> NDArray[np.float32]:
        copy: NDArray[np.float32] = aligned(size * len(rows))
        copy[:] = flat.reshape(-1, size)[rows].reshape(-1)
        return copy

    return {
        "users": UserRows(
            copied(epoch.users.table, row_size, users), epoch.users.step_counts[users]
        ),
        "items": ItemRows(
            copied(items.table, row_size, items.row_at[positions]),
            np.arange(len(positions), dtype=np.int32),
            copied(items.biases, items.biases.size // n_positions, positions),
            items.step_counts[positions],
        ),
    }
