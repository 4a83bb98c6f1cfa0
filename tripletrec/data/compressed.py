"""The read-only arrays of interactions, in CSR form, and ids; how they are made canonical is in `csr`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec.data.checks import check_length, check_pointers, check_positions, check_shape
from tripletrec.data.csr import CsrRows
from tripletrec.data.ids import Ids
from tripletrec.data.space import Space

__all__ = ["CompressedRows"]


class CompressedRows:
    """Canonical CSR arrays that can be read only, so that what was checked once stays right.

    Kernels index with them.
    """

    n_dropped: int = 0
    _rows: CsrRows
    _users: Ids
    _items: Ids
    _folder: Path | None = None

    @classmethod
    def _of_rows(cls, rows: CsrRows, users: Ids, items: Ids) -> Self:
        """Return interactions of canonical arrays and ids that have been checked; nothing is copied."""
        new = cls.__new__(cls)
        new._set(rows, users, items)
        return new

    def _like(self, rows: CsrRows, users: Ids, items: Ids) -> Self:
        return self._of_rows(rows, users, items)

    def _set(self, rows: CsrRows, users: Ids, items: Ids) -> None:
        self._keep(rows)
        self._users, self._items = users, items

    def _keep(self, rows: CsrRows) -> None:
        times = None if rows.timestamps is None else read_only(rows.timestamps)
        same = rows.values.strides == (0,) and len(rows.values) > 1  # one number, seen many times
        self._rows = rows._replace(
            indptr=read_only(rows.indptr),
            indices=read_only(rows.indices),
            values=rows.values if same else read_only(rows.values),
            timestamps=times,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What is read may have been damaged, and arrays come out of a pickle writable.
        rows = state["_rows"]
        n_users, n_items = check_shape(rows.shape[0], rows.shape[1], "the pickled shape")
        indices = check_positions(rows.indices, "indices", n_items).astype(np.int32, copy=False)
        indptr = check_pointers(rows.indptr, n_users, len(indices), "indptr")
        arrays = {"indices": indices, "values": rows.values}
        if rows.timestamps is not None:
            arrays["timestamps"] = rows.timestamps
        for name, array in arrays.items():
            check_length(array, int(indptr[-1]), name, "interaction")
        self.__dict__.update(state | {"_folder": None})  # a pickle holds the arrays
        self._keep(rows._replace(indptr=indptr, indices=indices))

    def _check_not_empty(self, name: str) -> None:
        """Raise unless there is something to learn from or to rank."""
        if not self.nnz:
            raise ValueError(f"{name} has no interaction: at least one positive is needed")

    def _check_still_inside(self, name: str = "interactions") -> None:
        """Raise if indices are out of range, because the matrix or file they are shared with was changed."""
        if not self._rows.borrowed:
            return
        # Seen as unsigned, a negative number is beyond them too.
        largest = int(self.indices.view(np.uint32).max(initial=0))
        if largest >= self.n_items:
            raise ValueError(
                f"{name} shares its indices with a matrix or a file that was changed: they must be from 0 to "
                f"{self.n_items - 1}, got {np.uint32(largest).view(np.int32)}"
            )

    @property
    def n_users(self) -> int:
        """Number of rows."""
        return self._rows.shape[0]

    @property
    def n_items(self) -> int:
        """Number of columns."""
        return self._rows.shape[1]

    # Where None is possible, `| Any` and not `| None`: whoever gave ids or times knows that they are there.
    @property
    def user_ids(self) -> NDArray[Any] | Any:
        """The ids of the rows, shape (n_users,); None if they are the row numbers."""
        return self._users.values

    @property
    def item_ids(self) -> NDArray[Any] | Any:
        """The ids of the columns, shape (n_items,); None if they are the column numbers."""
        return self._items.values

    @property
    def space(self) -> Space:
        """The users and items: what must be equal in a model and all that it is given."""
        return Space(self.n_users, self.n_items, self.user_ids, self.item_ids)

    @property
    def indptr(self) -> NDArray[np.int64]:
        """Where the interactions of each user begin, int64 of shape (n_users + 1,)."""
        return self._rows.indptr

    @property
    def indices(self) -> NDArray[np.int32]:
        """The item of each interaction, ascending for each user, int32 of shape (nnz,)."""
        return self._rows.indices

    @property
    def values(self) -> NDArray[np.float32]:
        """The value of each interaction, > 0, float32 of shape (nnz,)."""
        return self._rows.values

    @property
    def timestamps(self) -> NDArray[Any] | Any:
        """The times, int64, float64 or datetime64[ns] in UTC, of shape (nnz,); None: not known."""
        return self._rows.timestamps

    @property
    def memory_map(self) -> Path | Any:
        """The folder in whose files the arrays are, see `read`; None: they are in memory."""
        return self._folder

    @property
    def nnz(self) -> int:
        """Number of positives."""
        return len(self.indices)

    @property
    def n_merged(self) -> int:
        """How many rows, or entries of a matrix, were merged into others of the same user and item."""
        return self._rows.n_merged

    @property
    def rows(self) -> NDArray[np.int32]:
        """The row of each interaction, int32 of shape (nnz,), computed at each call."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))

    def __len__(self) -> int:
        return self.nnz
