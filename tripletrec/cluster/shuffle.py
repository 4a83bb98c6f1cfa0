"""Events of a source, brought once to blocks of users, in files; what a source is, is in `pieces`.

The workers read the source twice, as `Interactions.read(memory_map=)` does: first each piece says which
users and items it has, then its events are laid down by ranges of users. Whoever has a range brings it to
canonical rows. Then it is known how many interactions each user and item has, and so who is dealt into which
block: ranges are cut into blocks, and blocks are written. Numbers of users and items, duplicates and zeros
are those of `Interactions.from_frame`, however many pieces or workers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import picked
from tripletrec.cluster.pieces import name_of, read_piece
from tripletrec.data.checks import check_shape, check_values
from tripletrec.data.csr import CsrRows, assemble
from tripletrec.data.frames import distinct_ids, refuse_missing_values, values_and_times
from tripletrec.data.id_arrays import id_array
from tripletrec.data.ids import Ids
from tripletrec.data.merging import Duplicates
from tripletrec.data.missing import HINT
from tripletrec.data.numbering import Collected, Numbers
from tripletrec.sampling.grades import has_grades
from tripletrec.training.dealing import Partition

__all__ = ["BlockRows", "Found", "Shuffled", "deal_out", "find_ids", "rows_of", "shuffle"]

Names = Mapping[str, Any]


class Tasks(Protocol):
    """What runs tasks on any workers; `tripletrec.cluster.dask_engine.DaskTasks` is one."""

    n_workers: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run ``function(*arguments)`` on some worker; return what stands for its result."""

    def gather(self, results: Sequence[Any]) -> list[Any]:
        """Return results themselves; raise what one of them raised."""

    def started(self, pieces: list[Any]) -> list[Any]:
        """Return pieces of a source as arguments of tasks."""

    def spread(self, value: Any) -> Any:
        """Send a value to all workers; return what stands for it."""


class UserEvents(NamedTuple):
    """Events of a range of users, in the order of their piece."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    values: NDArray[Any] | None
    timestamps: NDArray[Any] | None


class BlockRows(NamedTuple):
    """Canonical rows of some users: by rising row number, all of one block in the end.

    Parameters
    ----------
    users : int32 array of shape (n,)
        Their numbers in all of the data.
    indptr : int64 array of shape (n + 1,)
    indices : int32 array
    values : float32 array
    """

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]


class Found(NamedTuple):
    """What a first reading found.

    Parameters
    ----------
    users, items : Ids
    digest : int
        Of all rows, whatever their order and the pieces that they lie in.
    """

    users: Ids
    items: Ids
    digest: int


class Shuffled(NamedTuple):
    """What a shuffle found, and the ranges of users that workers hold.

    Parameters
    ----------
    users, items : Ids
    user_counts, item_counts : int64 array of shape (n_users,), (n_items,)
        Interactions of each.
    bounds : int64 array of shape (n_ranges + 1,)
        Where the ranges of users begin.
    ranges : list
        What stands for the `CsrRows` of each.
    n_merged : int
    has_grades : bool
        Whether there is a user with interactions of different values.
    """

    users: Ids
    items: Ids
    user_counts: NDArray[np.int64]
    item_counts: NDArray[np.int64]
    bounds: NDArray[np.int64]
    ranges: list[Any]
    n_merged: int
    has_grades: bool


def find_ids(
    pieces: Sequence[Any], names: Names, tasks: Tasks, duplicates: Duplicates = "sum"
) -> Found:
    """Read all events a first time, and check them.

    Parameters
    ----------
    pieces : sequence
        From `pieces_of`.
    names : dict
        The names of the columns "user" and "item" and, if there are such, "value" and "timestamp".
    tasks : Tasks
    duplicates : str, default "sum"
        See `Interactions.from_frame`.

    Raises
    ------
    TypeError, ValueError
        As `Interactions.from_frame`.
    """
    names = _names_read(names, duplicates)
    read = tasks.gather([tasks.submit(_distinct, piece, names, duplicates) for piece in pieces])
    found = _collect(_without_errors(pieces, read), names)
    check_shape(found.users.n, found.items.n, "shape")
    return found


def shuffle(
    pieces: Sequence[Any],
    names: Names,
    tasks: Tasks,
    duplicates: Duplicates = "sum",
    found: Found | None = None,
) -> Shuffled:
    """Bring all events to canonical rows, by ranges of users.

    Parameters
    ----------
    pieces, names, tasks, duplicates
        See `find_ids`.
    found : Found or None, default None
        What that returned, if it was called.

    Raises
    ------
    TypeError, ValueError
        As `find_ids`.
    """
    users, items, _ = found or find_ids(pieces, names, tasks, duplicates)
    names = _names_read(names, duplicates)
    n_ranges = min(users.n, 4 * tasks.n_workers)
    bounds = np.linspace(0, users.n, n_ranges + 1).astype(np.int64)
    numbers = tasks.spread((Numbers(users, names["user"]), Numbers(items, names["item"])))
    laid = [tasks.submit(_lay_down, each, names, numbers, bounds, duplicates) for each in pieces]
    ranges, infos = [], []
    for r in range(n_ranges):
        own = [tasks.submit(_pick, each, r) for each in laid]
        size = int(bounds[r + 1] - bounds[r]), items.n
        ranges.append(tasks.submit(_assemble, size, int(bounds[r]), duplicates, *own))
        infos.append(tasks.submit(_counts, ranges[-1]))
    counts = tasks.gather(infos)
    return Shuffled(
        users, items, np.concatenate([each[0] for each in counts]), sum(each[1] for each in counts),
        bounds, ranges, sum(each[2] for each in counts), any(each[3] for each in counts),
    )  # fmt: skip


def deal_out(
    shuffled: Shuffled,
    users: Partition,
    tasks: Tasks,
    write: Callable[..., Any],
    *shared: Any,
) -> list[Any]:
    """Bring the ranges of users to their blocks, and have each written.

    Parameters
    ----------
    shuffled : Shuffled
    users : Partition
        How all users are dealt.
    tasks : Tasks
    write : callable
        ``write(block, rows, *shared)``, called on a worker.
    *shared
        What `Tasks.spread` returned, or small things.

    Returns
    -------
    list
        What `write` returned for each block.
    """
    n_blocks, bounds = len(users.bounds) - 1, shuffled.bounds
    cut = [
        tasks.submit(_cut, rows, first, users.block_of[first:last], n_blocks)
        for rows, first, last in zip(
            shuffled.ranges, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True
        )
    ]
    written = []
    for block in range(n_blocks):
        own = [tasks.submit(_pick, each, block) for each in cut]
        written.append(tasks.submit(_write_block, write, block, len(shared), *shared, *own))
    return tasks.gather(written)


def rows_of(
    shuffled: Shuffled, users: NDArray[np.int64], tasks: Tasks
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Bring the rows of some users here, as the indptr and the indices of a CSR matrix.

    Parameters
    ----------
    shuffled : Shuffled
    users : int64 array
        Their numbers, rising.
    tasks : Tasks
    """
    own = np.split(users, np.searchsorted(users, shuffled.bounds[1:-1]))
    first = shuffled.bounds[:-1].tolist()
    parts = [
        tasks.submit(_rows_of, rows, each - start)
        for rows, each, start in zip(shuffled.ranges, own, first, strict=True)
    ]
    counts = shuffled.user_counts[users]
    return np.concatenate([[0], np.cumsum(counts)]), np.concatenate(tasks.gather(parts))


def _names_read(names: Names, duplicates: Duplicates) -> Names:
    """Return the names of the columns that are read."""
    if duplicates != "count":
        return names
    return {role: name for role, name in names.items() if role != "value"}


def _without_errors(pieces: Sequence[Any], found: list[Any]) -> list[Any]:
    """Return what `_distinct` found, or raise what is wrong with a piece: no row is left out here."""
    for number, (piece, each) in enumerate(zip(pieces, found, strict=True)):
        if isinstance(each, Exception):
            text = str(each).replace(HINT, ": write source without such rows")
            place = name_of(piece, number)
            text = text if text.startswith(place) else f"{place}: {text}"
            raise (TypeError if isinstance(each, TypeError) else ValueError)(text)
    return found


def _collect(found: list[Any], names: Names) -> Found:
    """Return the ids of all pieces, sorted, and a digest of all rows."""
    found = [each for each in found if len(each[0])]
    if not found:
        raise ValueError("source has no rows: at least one interaction is needed")
    ids = []
    for side, role in enumerate(("user", "item")):
        arrays = [each[side] for each in found]
        kinds = {each.dtype.kind.replace("O", "U").replace("u", "i") for each in arrays}
        if len(kinds) > 1:
            types = sorted({str(each.dtype) for each in arrays})
            raise TypeError(
                f"column {names[role]!r} must be of one type in all of source, got {' and '.join(types)}"
            )
        collected = Collected(names[role], role)
        for each in arrays:
            collected.add(each)
        ids.append(collected.sorted()[0])
    return Found(ids[0], ids[1], sum(each[2] for each in found) % 2**64)


def _distinct(piece: Any, names: Names, duplicates: Duplicates) -> Any:
    """Return what `_ids_of` does, or the error that says what is wrong with a piece.

    Of one that is raised a worker would print where.
    """
    try:
        return _ids_of(piece, names, duplicates)
    except (ValueError, TypeError) as error:
        return error


def _ids_of(
    piece: Any, names: Names, duplicates: Duplicates
) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Return the users and the items of a piece, each once, and a digest; check all it holds.

    The digest is a sum over its rows, so that those of pieces may be added, in whatever order.
    """
    import pandas as pd

    columns = read_piece(piece, names)
    values, times = values_and_times(columns, names, duplicates)
    if values is not None:
        refuse_missing_values(values, np.ones(len(values), np.bool_), names)
        check_values(values, f"column {names['value']!r}")
    ids, hashes = [], {}
    for role in ("user", "item"):
        label = f"column {names[role]!r}"
        numbers, found = distinct_ids(columns[role], label)
        ids.append(id_array(found, label))
        hashes[role] = _hash_ids(ids[-1])[numbers]
    if values is not None:
        hashes["value"] = pd.util.hash_array(values.astype(np.float64))
    if times is not None:
        hashes["timestamp"] = pd.util.hash_array(times)
    rows = pd.util.hash_pandas_object(pd.DataFrame(hashes), index=False)
    return ids[0], ids[1], int(rows.to_numpy().sum())


def _hash_ids(ids: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a hash of each id, the same in every process; the kind counts, for True is not 1."""
    import pandas as pd

    elements = ids.astype(object) if ids.dtype.kind in "US" else ids
    # Of a text half a surrogate pair may be left, which UTF-8 cannot encode.
    hashes = pd.util.hash_array(elements, encoding="unicode_escape", categorize=False)
    return hashes ^ np.uint64(ids.dtype.kind == "b")


def _lay_down(
    piece: Any,
    names: Names,
    numbers: tuple[Numbers, Numbers],
    bounds: NDArray[np.int64],
    duplicates: Duplicates,
) -> list[UserEvents]:
    """Return the events of a piece by ranges of users."""
    columns = read_piece(piece, names)
    users, items = (
        each.rows(columns[role]) for each, role in zip(numbers, ("user", "item"), strict=True)
    )
    if (users < 0).any() or (items < 0).any():
        raise ValueError("source was changed while it was read: fit again")
    values, times = values_and_times(columns, names, duplicates)
    range_of = np.searchsorted(bounds, users, side="right") - 1
    order = np.argsort(range_of, kind="stable")
    ends = np.searchsorted(range_of[order], np.arange(len(bounds) - 1), side="right")
    return [
        UserEvents(
            users[own], items[own], None if values is None else values[own],
            None if times is None else times[own],
        )
        for own in np.split(order, ends[:-1])
    ]  # fmt: skip


def _pick(several: Sequence[Any], number: int) -> Any:
    return several[number]


def _assemble(
    shape: tuple[int, int], first: int, duplicates: Duplicates, *events: UserEvents
) -> CsrRows:
    """Return the canonical rows of a range of users, from its events in the order of the pieces."""
    users = np.concatenate([each.users for each in events]) - np.int32(first)
    items = np.concatenate([each.items for each in events])
    values, times = np.ones(len(users), np.float32), None
    if events[0].values is not None:
        values = np.concatenate([np.asarray(each.values) for each in events])
    if events[0].timestamps is not None:
        times = np.concatenate([np.asarray(each.timestamps) for each in events])
    return assemble(shape, users, items, values, times, duplicates, first)


def _counts(rows: CsrRows) -> tuple[NDArray[np.int64], NDArray[np.int64], int, bool]:
    """Return the interactions of each user and each item of a range, merged ones, grades."""
    items = np.bincount(rows.indices, minlength=rows.shape[1])
    graded = has_grades(rows.indptr, rows.values)
    return np.diff(rows.indptr), items, rows.n_merged, graded


def _rows_of(rows: CsrRows, users: NDArray[np.int64]) -> NDArray[np.int32]:
    indices: NDArray[np.int32] = rows.indices[picked(rows.indptr, users)[1]]
    return indices


def _cut(rows: CsrRows, first: int, block_of: NDArray[np.int16], n_blocks: int) -> list[BlockRows]:
    """Return the rows of a range by the blocks of its users."""
    cut = []
    for block in range(n_blocks):
        own = np.flatnonzero(block_of == block)
        indptr, places = picked(rows.indptr, own)
        users = (own + first).astype(np.int32)
        cut.append(BlockRows(users, indptr, rows.indices[places], rows.values[places]))
    return cut


def _write_block(
    write: Callable[..., Any], block: int, n_shared: int, *shared_and_parts: Any
) -> Any:
    """Put the rows of a block together, range by range, and have them written."""
    shared, parts = shared_and_parts[:n_shared], shared_and_parts[n_shared:]
    ends = np.cumsum([0, *(each.indptr[-1] for each in parts)])
    indptr = [each.indptr[1:] + end for each, end in zip(parts, ends[:-1], strict=True)]
    rows = BlockRows(
        np.concatenate([each.users for each in parts]),
        np.concatenate([np.zeros(1, np.int64), *indptr]),
        np.concatenate([each.indices for each in parts]),
        np.concatenate([each.values for each in parts]),
    )
    return write(block, rows, *shared)
