"""Parquet or a Dask DataFrame as what a fit on a cluster learns from; other sources are in `sources`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from tripletrec._runtime.arrays import picked, read_only
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.pieces import pieces_of
from tripletrec.cluster.shuffle import (
    BlockRows,
    Found,
    Shuffled,
    Tasks,
    deal_out,
    find_ids,
    rows_of,
    shuffle,
)
from tripletrec.cluster.sources import Facts
from tripletrec.cluster.store import Axis, read_positives, write_block
from tripletrec.data.csr import CsrRows
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions
from tripletrec.data.merging import Duplicates
from tripletrec.models.percentile_rank import percentile_rank, users_to_look_at
from tripletrec.sampling.draw import RowNumbers
from tripletrec.sampling.grades import by_rising_value
from tripletrec.training.bucketing import UserPositives
from tripletrec.training.dealing import Partition
from tripletrec.training.user_parts import UserPart, part_users

__all__ = ["EventsSource", "read_seen"]


class EventsSource:
    """Events that workers read, see `tripletrec.cluster.sources.Source`.

    Parameters
    ----------
    source : path-like, URL or Dask DataFrame
    names : dict
        The names of the columns "user" and "item" and, if there are such, "value" and "timestamp".
    tasks : Tasks
    duplicates : str, default "sum"
        See `Interactions.from_frame`.
    weighted : bool, default False
        Whether the values are the weights of the positives.
    """

    def __init__(
        self,
        source: Any,
        names: Mapping[str, Any],
        tasks: Tasks,
        *,
        duplicates: Duplicates = "sum",
        weighted: bool = False,
    ) -> None:
        self._names, self._tasks = names, tasks
        self._pieces = pieces_of(source, names)
        self._duplicates, self._weighted = duplicates, weighted
        self.release()

    def entries(self) -> dict[str, Any]:
        """Return what tells one source from another: a digest of all rows, from the first reading."""
        about = [self._read().digest, self._duplicates, self._weighted]
        return {"source": np.frombuffer(json.dumps(about).encode(), np.uint8)}

    def count(self) -> tuple[Axis, Axis]:
        """Return the users and the items: the second reading, which brings events to ranges."""
        found = self._shuffle()
        users = Axis(found.users.values, found.user_counts)
        return users, Axis(found.items.values, found.item_counts)

    def facts(self) -> Facts:
        """Return what is known of all of them."""
        found = self._shuffle()
        users = users_to_look_at(found.user_counts)
        rank = percentile_rank(*rows_of(found, users, self._tasks))
        return Facts(None, self._weighted, found.has_grades, rank)

    def write_blocks(self, folder: Folder, users: Partition, *, graded: bool) -> None:
        """Write all blocks, see `Source.write_blocks`."""
        found = self._shuffle()
        numbers = self._tasks.spread(np.cumsum(found.user_counts) - found.user_counts)
        task = partial(_write, folder, weighted=self._weighted, graded=graded)
        deal_out(found, users, self._tasks, task, numbers)

    def release(self) -> None:
        """Let the workers drop what they keep between one reading and the next, and after it."""
        self._started: list[Any] = []
        self._found: Found | None = None
        self._shuffled: Shuffled | None = None

    def seen(self) -> Interactions | None:
        """Return None: the positives are in the folder, see `read_seen`."""
        return None

    def _read(self) -> Found:
        if self._found is None:
            self._started = self._tasks.started(self._pieces)
            self._found = find_ids(self._started, self._names, self._tasks, self._duplicates)
        return self._found

    def _shuffle(self) -> Shuffled:
        if self._shuffled is None:
            found = self._read()
            self._shuffled = shuffle(
                self._started, self._names, self._tasks, self._duplicates, found
            )
            self._started = []
        return self._shuffled


def read_seen(folder: Folder, users: Axis, items: Axis, n_blocks: int) -> Interactions:
    """Return all positives that are in the blocks of a folder, as interactions in memory."""
    shape = len(users.counts), len(items.counts)
    indptr = np.concatenate([[0], np.cumsum(users.counts)])
    indices = np.empty(indptr[-1], np.int32)
    values = np.ones(indptr[-1], np.float32)
    for block in range(n_blocks):
        of_users, found, own_values = read_positives(folder, block)
        _, places = picked(indptr, of_users)
        indices[places] = found
        if own_values is not None:
            values[places] = own_values
    axes = (
        Ids(None, len(axis.counts), word) if axis.ids is None else Ids.of_sorted(axis.ids, word)
        for axis, word in ((users, "user"), (items, "item"))
    )
    return Interactions._of_rows(CsrRows(shape, indptr, indices, values, None), *axes)


def _write(
    folder: Folder, block: int, rows: BlockRows, numbers: Any, *, weighted: bool, graded: bool
) -> None:
    """Write the block of these rows; `numbers` says of all users where their positives begin."""
    values = None if (rows.values == 1).all() else rows.values
    given = n_lower = None
    indptr, indices = read_only(rows.indptr), read_only(rows.indices)
    if graded:
        given, n_lower = by_rising_value((indptr, indices), rows.values)
    weights = rows.values if weighted else np.empty(0, np.float32)
    positives = UserPositives(indptr, indices, read_only(weights), read_only(numbers[rows.users]))
    users = part_users(np.array([0, len(rows.users)]))
    part = UserPart(block, users, positives, given, n_lower, RowNumbers(rows.users, 0))
    write_block(folder, block, part, values)
