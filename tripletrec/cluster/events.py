"""Parquet or a Dask DataFrame as what a fit on a cluster learns from; other sources are in `sources`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from tripletrec._runtime.arrays import read_only
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.pieces import FilePiece, pieces_of
from tripletrec.cluster.shuffle import BlockRows, Engine, Shuffled, deal_out, shuffle
from tripletrec.cluster.store import Axis, write_block
from tripletrec.data.interactions import Interactions
from tripletrec.data.merging import Duplicates
from tripletrec.sampling.draw import RowNumbers
from tripletrec.sampling.grades import by_rising_value
from tripletrec.training.bucketing import Partition, Positives
from tripletrec.training.parts import UserPart, part_users

__all__ = ["EventsSource"]


class EventsSource:
    """Events that workers read, see `tripletrec.cluster.sources.Source`.

    Parameters
    ----------
    source : path-like, URL or Dask DataFrame
    names : dict
        The names of the columns "user" and "item" and, if there are such, "value" and "timestamp".
    engine : Engine
    duplicates : str, default "sum"
        See `Interactions.from_frame`.
    weighted : bool, default False
        Whether the values are the weights of the positives.
    """

    has_given = False

    def __init__(
        self,
        source: Any,
        names: Mapping[str, Any],
        engine: Engine,
        *,
        duplicates: Duplicates = "sum",
        weighted: bool = False,
    ) -> None:
        self._pieces, self._names, self._engine = pieces_of(source, names), names, engine
        self._duplicates, self._weighted = duplicates, weighted
        self._found: Shuffled | None = None

    def entries(self) -> dict[str, Any]:
        """Return what tells one source from another; of files, whose order does not matter, their sizes."""
        files = {each.path for each in self._pieces if isinstance(each, FilePiece)}
        sizes = sorted(os.path.getsize(path) if os.path.exists(path) else -1 for path in files)
        return {
            "source": [
                sorted(map(list, self._names.items())),
                sizes,
                self._duplicates,
                self._weighted,
            ]
        }

    def count(self) -> tuple[Axis, Axis]:
        """Return the users and the items: the first reading, and that which brings events to ranges."""
        found = self._shuffled()
        return Axis(found.users.values, found.user_counts), Axis(
            found.items.values, found.item_counts
        )

    @property
    def has_grades(self) -> bool:
        """Whether there is a user with positives of different values."""
        return self._shuffled().has_grades

    def write_blocks(self, folder: Folder, users: Partition, *, graded: bool) -> None:
        """Write all blocks, see `Source.write_blocks`."""
        found = self._shuffled()
        numbers = self._engine.spread(np.cumsum(found.user_counts) - found.user_counts)
        task = partial(_write, folder, weighted=self._weighted, graded=graded)
        deal_out(found, users, self._engine, task, numbers)
        self._found = None  # the workers need not keep it

    def seen(self) -> Interactions | None:
        """Return None: the positives are on the workers, and in the folder."""
        return None

    def _shuffled(self) -> Shuffled:
        if self._found is None:
            self._found = shuffle(self._pieces, self._names, self._engine, self._duplicates)
        return self._found


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
    positives = Positives(indptr, indices, read_only(weights), read_only(numbers[rows.users]))
    users = part_users(np.array([0, len(rows.users)]))
    part = UserPart(block, users, positives, given, n_lower, RowNumbers(rows.users, 0))
    write_block(folder, block, part, values)
