"""Interactions in any order, laid down in a file by runs of users and taken up again run by run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spill", "SpilledRun", "record_type"]


class SpilledRun(NamedTuple):
    """All interactions of some users, in the order in which they were given."""

    first: int  # user
    last: int  # the user after the last one
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    values: NDArray[Any] | None
    timestamps: NDArray[Any] | None


class Spill:
    """A file of interactions, in which those of a run of users lie together.

    The first run lies at the end of the file, which is cut off after it is read, so that what is made of the
    runs takes no more room on the disk than they do.

    Parameters
    ----------
    path : Path
        The file, which is new. Whoever makes its folder removes it.
    counts : int64 array of shape (n_users,)
        How many interactions of each user there will be.
    value_type, time_type : dtype or None
        Of the values and times; None: there are none.
    n_at_once : int
        A run has less than so many interactions and those of one user more.
    """

    def __init__(
        self,
        path: Path,
        counts: NDArray[np.int64],
        value_type: np.dtype[Any] | None,
        time_type: np.dtype[Any] | None,
        n_at_once: int,
    ) -> None:
        self._type = record_type(value_type, time_type)
        before = np.cumsum(counts) - counts
        run_of = before // n_at_once
        n_runs = int(run_of[-1]) + 1
        self._run_of = run_of.astype(np.min_scalar_type(n_runs))  # narrow ones are sorted faster
        self._users = np.searchsorted(run_of, np.arange(n_runs + 1))
        ends = np.append(before, counts.sum())[self._users]
        self._sizes = np.diff(ends)
        self._starts = ends[-1] - ends[1:]  # in the file, in records
        self._n_filled = np.zeros(n_runs, np.int64)
        self._file = open(path, "w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(
        self,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        values: NDArray[Any] | None,
        timestamps: NDArray[Any] | None,
    ) -> None:
        """Lay down some interactions.

        Raises
        ------
        ValueError
            If a user has more than was said.
        """
        runs = self._run_of[users]
        order = np.argsort(runs, kind="stable")
        counts = np.bincount(runs, minlength=len(self._sizes))
        if (self._n_filled + counts > self._sizes).any():
            raise ValueError("a user has more interactions than were counted")
        records = np.empty(len(users), self._type)
        given = {"user": users, "item": items, "value": values, "time": timestamps}
        for name in self._type.names or ():
            records[name] = given[name][order]  # type: ignore[index]
        content = records.view(np.uint8).reshape(len(records), self._type.itemsize)
        ends = np.cumsum(counts)
        for run in np.flatnonzero(counts):
            self._file.seek((self._starts[run] + self._n_filled[run]) * self._type.itemsize)
            self._file.write(content[ends[run] - counts[run] : ends[run]].data)
        self._n_filled += counts

    def check_full(self) -> None:
        """Raise ValueError unless all are there that were said to come."""
        if (self._n_filled < self._sizes).any():
            raise ValueError("a user has fewer interactions than were counted")

    def runs(self) -> Iterator[SpilledRun]:
        """Take up all interactions, by users; what has been taken up is no longer in the file."""
        for run in range(len(self._sizes)):
            start = int(self._starts[run]) * self._type.itemsize
            self._file.seek(start)
            records = np.frombuffer(self._file.read(), self._type)
            self._file.truncate(start)
            fields = {name: records[name].copy() for name in self._type.names or ()}
            yield SpilledRun(
                int(self._users[run]), int(self._users[run + 1]),
                fields["user"], fields["item"], fields.get("value"), fields.get("time"),
            )  # fmt: skip


def record_type(value_type: np.dtype[Any] | None, time_type: np.dtype[Any] | None) -> np.dtype[Any]:
    """Return the type of an interaction in a `Spill`."""
    optional = [("value", value_type), ("time", time_type)]
    fields = [("user", np.int32), ("item", np.int32)]
    return np.dtype([*fields, *((name, kind) for name, kind in optional if kind is not None)])
