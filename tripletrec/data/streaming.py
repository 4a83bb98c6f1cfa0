"""Files of events that do not fit into memory, made into a folder of interactions: see `memory_mapped`.

The files are read twice: first users and items are collected and counted, then interactions are laid down
by runs of users, each of which is brought to canonical rows as all are at once in `csr`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_choice
from tripletrec._runtime.folders import check_disk, replacing_folder
from tripletrec._runtime.messages import warn_user
from tripletrec.data.checks import check_shape, check_values
from tripletrec.data.csr import assemble
from tripletrec.data.frames import (
    all_are_unknown,
    check_any_rows,
    checked_columns,
    id_at,
    refuse_missing_values,
    refuse_unknown,
    values_and_times,
)
from tripletrec.data.ids import Ids, forms_of, where
from tripletrec.data.memory_mapped import MapWriter, is_only_memory_map, writing_map
from tripletrec.data.merging import Duplicates
from tripletrec.data.missing import Missing, complete_rows
from tripletrec.data.numbering import Collected, Known, Numbers
from tripletrec.data.parquet import ParquetPieces
from tripletrec.data.paths import Files
from tripletrec.data.spilling import Spill, record_type
from tripletrec.data.times import check_timestamps

__all__ = ["StreamSizes", "stream_to_memory_map"]


_REST = 1 << 16  # bytes of headers and of the description


class StreamSizes(NamedTuple):
    """How many interactions are in memory at once: of a piece of the files, and of a run of users."""

    piece: int = 1 << 20
    run: int = 1 << 21


class _Counted(NamedTuple):
    """What the first pass found."""

    users: Known
    items: Known
    user_ids: Ids
    item_ids: Ids
    counts: NDArray[np.int64]  # rows of each user that stay
    n_dropped: int
    value_type: np.dtype[Any] | None = None
    time_type: np.dtype[Any] | None = None


def stream_to_memory_map(
    files: Files,
    names: Mapping[str, Any],
    known: tuple[Ids, Ids] | None,
    unknown: str,
    duplicates: Duplicates,
    source: str,
    folder: Any,
    sizes: StreamSizes = StreamSizes(),  # noqa: B008 - a tuple
    missing: Missing = "raise",
) -> None:
    """Write the interactions of files into a folder, as `Interactions.read` makes them in memory.

    Parameters
    ----------
    files, names, unknown, duplicates, folder, missing
        See `Interactions.read`.
    known : (users, items) or None
        Those of `like`.
    source : str
        What messages call the files.
    """
    check_choice(unknown, "unknown", "raise", "drop")
    check_choice(missing, "missing", "raise", "drop")
    if files.format != "parquet":
        raise ValueError(
            f"memory_map needs files of the format parquet, got {str(files.paths[0])!r}: read it into "
            "memory, or write it as parquet first"
        )
    with replacing_folder(folder, "memory_map", is_only_memory_map) as place:
        pieces = _CompletePieces(
            ParquetPieces(files.paths, names, forms_of(*(known or (None, None))), sizes.piece),
            names,
            duplicates,
            missing,
        )
        check_any_rows(pieces.n_rows, known or (None, None), repr(source))
        n_bytes = pieces.n_rows * record_type(None, None).itemsize
        if known is None:  # before the first pass, which may take long
            check_disk(place, n_bytes, f"memory_map={str(folder)!r}")
        counted = _count(pieces, names, known, unknown, duplicates, repr(source))
        check_disk(place, _bytes_of(counted, sizes), f"memory_map={str(folder)!r}")
        about = {"path": source, **names, "duplicates": duplicates}
        with MapWriter(place) as writer:
            path, types = place / "interactions.spill", (counted.value_type, counted.time_type)
            with Spill(path, counted.counts, *types, sizes.run) as spill:
                for interactions in _numbered(pieces, names, counted, duplicates):
                    with writing_map(folder), _as_counted():
                        spill.add(*interactions)
                with writing_map(folder):
                    _write_runs(writer, spill, counted, duplicates)
            with writing_map(folder):
                path.unlink()
                writer.finish(counted.user_ids, counted.item_ids, counted.n_dropped, about)


class _CompletePieces:
    """Pieces of files as columns of complete rows: those that lack something are left out if asked for.

    Attributes
    ----------
    n_rows : int
        In all files.
    n_missing : int
        How many were left out the last time that the pieces were gone through.
    """

    def __init__(
        self,
        pieces: ParquetPieces,
        names: Mapping[str, Any],
        duplicates: Duplicates,
        missing: Missing,
    ) -> None:
        self._pieces, self._names = pieces, names
        self._duplicates, self._missing = duplicates, missing
        self.n_rows, self.n_missing = pieces.n_rows, 0

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield how many rows a piece has in the files, and its columns."""
        self.n_missing = 0
        for piece in self._pieces:
            columns, n_missing = checked_columns(piece, self._names), 0
            n_rows = len(columns["user"])
            if self._missing == "drop":
                columns, n_missing = complete_rows(columns, self._names, self._duplicates)
            self.n_missing += n_missing
            yield n_rows, columns


def _write_runs(writer: MapWriter, spill: Spill, counted: _Counted, duplicates: Duplicates) -> None:
    """Bring the interactions of each run of users to canonical rows, and write them."""
    axes = counted.user_ids, counted.item_ids
    with _as_counted():
        spill.check_full()
    for run in spill.runs():
        values = np.ones(len(run.users), np.float32) if run.values is None else run.values
        shape, users = (run.last - run.first, axes[1].n), run.users - np.int32(run.first)
        coordinates = shape, users, run.items
        writer.append(assemble(*coordinates, values, run.timestamps, duplicates, run.first, axes))


def _count(
    pieces: _CompletePieces,
    names: Mapping[str, Any],
    known: tuple[Ids, Ids] | None,
    unknown: str,
    duplicates: Duplicates,
    source: str,
) -> _Counted:
    """Do the first pass."""
    count: _FoundCounter | _KnownCounter = (
        _FoundCounter(names) if known is None else _KnownCounter(names, known)
    )
    value_types, time_types, start = _Types(), _Types(), 0
    for n_rows, columns in pieces:
        with _counted_from(start, start + n_rows, pieces.n_rows):
            kept = count.add(columns)
            values, times = values_and_times(columns, names, duplicates)
            refuse_missing_values(values, kept, names)
            if times is not None:  # whole numbers if those that stay are
                times = check_timestamps(times[kept], int(kept.sum()), "timestamps")
        value_types.add(values)
        time_types.add(times)
        start += n_rows
    n_left = pieces.n_rows - pieces.n_missing
    check_any_rows(n_left, known or (None, None), source, pieces.n_missing)
    counted = count.done(unknown)
    if counted.n_dropped and counted.n_dropped == n_left:
        warn_user(all_are_unknown(n_left, source))
    counted = counted._replace(n_dropped=counted.n_dropped + pieces.n_missing)
    check_shape(counted.user_ids.n, counted.item_ids.n, "shape")
    if not pieces.n_rows:
        return counted._replace(time_type=time_types.common())
    return counted._replace(value_type=value_types.common(), time_type=time_types.common())


class _Types:
    """Of which type a column is of which the pieces may be of several; without rows, the last of them."""

    def __init__(self) -> None:
        self._found: set[np.dtype[Any]] = set()
        self._last: np.dtype[Any] | None = None

    def add(self, array: NDArray[Any] | None) -> None:
        if array is not None:
            self._last = array.dtype
            self._found |= {array.dtype} if len(array) else set()

    def common(self) -> np.dtype[Any] | None:
        return np.result_type(*self._found) if self._found else self._last


class _FoundCounter:
    """Counts the rows of each user where users and items are those of the table; `add` tells which stay."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._ids = [Collected(names[role], role) for role in ("user", "item")]

    def add(self, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
        for role, each in zip(("user", "item"), self._ids, strict=True):
            each.add(columns[role])
        return np.ones(len(columns["user"]), np.bool_)

    def done(self, unknown: str) -> _Counted:
        (users, counts), (items, _) = (each.sorted() for each in self._ids)
        numbers = Numbers(users, self._names["user"]), Numbers(items, self._names["item"])
        return _Counted(*numbers, users, items, counts, 0)


class _KnownCounter:
    """Counts the rows of each user where users and items are known: those of others are left out."""

    def __init__(self, names: Mapping[str, Any], known: tuple[Ids, Ids]) -> None:
        self._names, self._known = names, known
        self._numbers = Known(known[0], names["user"]), Known(known[1], names["item"])
        self._counts = np.zeros(known[0].n, np.int64)
        self._n_unknown = [0, 0]
        self._first: list[Any] = [None, None]
        self._n_dropped = 0

    def add(self, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
        pairs = zip(self._numbers, ("user", "item"), strict=True)
        rows = [numbers.rows(columns[role]) for numbers, role in pairs]
        for side, role in enumerate(("user", "item")):
            n_unknown = int((rows[side] < 0).sum())
            if n_unknown and not self._n_unknown[side]:
                position = int(rows[side].argmin())
                self._first[side] = id_at(columns[role], position, self._names[role])
            self._n_unknown[side] += n_unknown
        kept: NDArray[np.bool_] = (rows[0] >= 0) & (rows[1] >= 0)
        self._n_dropped += int((~kept).sum())
        self._counts += np.bincount(rows[0][kept], minlength=len(self._counts))
        return kept

    def done(self, unknown: str) -> _Counted:
        for side, role in enumerate(("user", "item")):
            if unknown == "raise" and self._n_unknown[side]:
                raise refuse_unknown(
                    self._first[side], self._n_unknown[side], self._names[role], self._known[side]
                )
        return _Counted(*self._numbers, *self._known, self._counts, self._n_dropped)


def _numbered(
    pieces: _CompletePieces, names: Mapping[str, Any], counted: _Counted, duplicates: Duplicates
) -> Iterator[tuple[Any, ...]]:
    """Yield the users, items, values and times of the rows of each piece that stay."""
    for _, columns in pieces:
        users = counted.users.rows(columns["user"])
        items = counted.items.rows(columns["item"])
        values, times = values_and_times(columns, names, duplicates)
        kept = (users >= 0) & (items >= 0)
        if not kept.all():
            users, items = users[kept], items[kept]
            values, times = (None if each is None else each[kept] for each in (values, times))
        if values is not None:
            _check_values(values, users, items, (counted.user_ids, counted.item_ids))
        yield users, items, values, times


def _check_values(
    values: NDArray[Any],
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    axes: tuple[Ids, Ids],
) -> None:
    check_values(values, "values", lambda e: where(int(users[e]), int(items[e]), axes))


@contextmanager
def _as_counted() -> Iterator[None]:
    """Say why there may be more or fewer interactions than were counted."""
    try:
        yield
    except ValueError:
        raise ValueError("the files were changed while they were read: read them again") from None


def _bytes_of(counted: _Counted, sizes: StreamSizes) -> int:
    """Return the most that is on the disk at once."""
    n, n_users = int(counted.counts.sum()), counted.user_ids.n
    each = record_type(counted.value_type, counted.time_type).itemsize
    run = min(n, max(sizes.run, int(counted.counts.max())))
    ids = sum(map(_bytes_of_ids, (counted.user_ids, counted.item_ids)))
    return (n + run) * each + 8 * (n_users + 1) + ids + _REST


def _bytes_of_ids(ids: Ids) -> int:
    if ids.values is None:
        return 0
    if ids.values.dtype.kind == "O":  # as UTF-8, of at most four bytes a character
        return sum(4 * len(str(each)) + 8 for each in ids.values)
    return ids.values.nbytes


@contextmanager
def _counted_from(start: int, stop: int, n_rows: int) -> Iterator[None]:
    """Let errors of a piece count positions from the first row of all, and say up to where they counted."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if type(error) not in (ValueError, TypeError):
            raise
        text = re.sub(r"(?<=at position )\d+", lambda found: str(int(found[0]) + start), str(error))
        if stop < n_rows:
            text = re.sub(r"(, and \d+) in all", rf"\1 in the first {stop} rows", text)
        raise type(error)(text) from None
