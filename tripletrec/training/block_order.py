"""Writes users and their interactions to files in the order of the user blocks, for fits from the disk.

The interactions of all users are read once from their first to their last, and what belongs to the users of
a block is written to where the block lies: both go on from where they were, so that a disk is never made to
jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import picked, read_only
from tripletrec._runtime.scratch import ScratchArray, ScratchFolder
from tripletrec.data.interactions import Interactions
from tripletrec.sampling.draw import ItemsOfUsers, RowNumbers
from tripletrec.sampling.grades import by_rising_value
from tripletrec.training.bucketing import UserPositives
from tripletrec.training.stratum import pieces_of_users
from tripletrec.training.user_parts import UserPart, part_users

__all__ = ["BlockOrder", "PartBuffers", "PartsOnDisk"]

_ENTRIES = 2**19  # interactions that are handled at once


class BlockOrder(NamedTuple):
    """The users block by block, and where the blocks begin.

    Parameters
    ----------
    rows : int32 array of shape (n_users,)
        Rising within a block.
    bounds : int64 array of shape (n_blocks + 1,)
    """

    rows: NDArray[np.int32]
    bounds: NDArray[np.int64]

    def runs(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return where the rows first ... last - 1 are: a run in each block, block by block."""
        found = []
        for begin, end in zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True):
            a, b = np.searchsorted(self.rows[begin:end], (first, last)).tolist()
            if a < b:
                found.append((begin + a, begin + b))
        return found

    def pointers(self, indptr: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the entries of each user begin if they lie in this order."""
        own = np.zeros(len(self.rows) + 1, np.int64)
        np.cumsum(np.diff(indptr)[self.rows], out=own[1:])
        return own

    def store(
        self,
        indptr: NDArray[np.int64],
        pointers: NDArray[np.int64],
        arrays: Sequence[tuple[NDArray[Any], ScratchArray]],
        at_once: int = _ENTRIES,
    ) -> None:
        """Write entries of a CSR matrix in this order.

        Parameters
        ----------
        indptr : int64 array of shape (n_users + 1,)
            Where the entries of each user begin in the arrays.
        pointers : int64 array of shape (n_users + 1,)
            What `pointers` makes of it.
        arrays : sequence of (array, ScratchArray)
            The entries, and where they are written.
        at_once : int, default 2**19
            Entries, and users, that are handled at once; one user's all belong together.
        """
        for first, last in pieces_of_users(indptr, at_once):
            runs = self.runs(first, last)
            own = np.concatenate([self.rows[a:b] for a, b in runs]) - np.int32(first)
            ends = np.cumsum([b - a for a, b in runs]).tolist()
            local = np.asarray(indptr[first : last + 1])
            own_pointers, places = picked(local - local[0], own)
            for array, file in arrays:
                piece = np.ascontiguousarray(array[local[0] : local[-1]])[places]
                begin = 0
                for (a, _), end in zip(runs, ends, strict=True):
                    file.write(int(pointers[a]), piece[own_pointers[begin] : own_pointers[end]])
                    begin = end


class PartBuffers(NamedTuple):
    """Memory for what is known of the users of any one part, each array as long as the longest part.

    Parameters
    ----------
    indices, given, n_lower : int32 arrays
    weights : float32 array
    """

    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    given: NDArray[np.int32]
    n_lower: NDArray[np.int32]


class PartsOnDisk:
    """What is known of the users of each part, in files that are written once.

    Parameters
    ----------
    scratch : ScratchFolder
    users : BlockOrder
    n_parts : int
    data : Interactions
        The positives.
    weights : float32 array of shape (nnz,) or None
    given : Interactions or None
        Negatives given by the user of the package.
    graded : bool
        Whether the positives are stored by rising value, too.
    at_once : int, default 2**19
        Interactions that are handled at once; one user's all belong together.

    Attributes
    ----------
    bounds : int64 array of shape (n_parts + 1,)
        Where the users of each part begin among those of `users`.
    """

    def __init__(
        self,
        scratch: ScratchFolder,
        users: BlockOrder,
        n_parts: int,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        *,
        graded: bool,
        at_once: int = _ENTRIES,
    ) -> None:
        self._users, self._n_blocks = users, (len(users.bounds) - 1) // n_parts
        self.bounds = users.bounds[:: self._n_blocks]
        self._first_entry = data.indptr
        self._indptr = self._given_indptr = users.pointers(data.indptr)
        n = data.nnz
        self._indices = scratch.array((n,), np.int32)
        self._weights = self._given = self._n_lower = None
        self._mapped: NDArray[Any] | None = None
        arrays: list[tuple[NDArray[Any], ScratchArray]] = [(data.indices, self._indices)]
        if weights is not None:
            self._weights = scratch.array((n,), np.float32)
            arrays.append((weights, self._weights))
        values = scratch.array((n if graded else 0,), np.float32)
        if graded:
            arrays.append((data.values, values))
        users.store(data.indptr, self._indptr, arrays, at_once)
        if graded:
            self._given, self._n_lower = (scratch.array((n,), np.int32) for _ in range(2))
            self._rank(values, at_once)
        elif given is not None:
            self._given = scratch.array((given.nnz,), np.int32)
            self._given_indptr = users.pointers(given.indptr)
            users.store(given.indptr, self._given_indptr, [(given.indices, self._given)], at_once)

    def _rank(self, values: ScratchArray, at_once: int) -> None:
        """Write the positives of each user by rising value."""
        for first, last in pieces_of_users(self._indptr, at_once):
            begin, end = (int(self._indptr[each]) for each in (first, last))
            indices, own = np.empty(end - begin, np.int32), np.empty(end - begin, np.float32)
            self._indices.read(begin, indices)
            values.read(begin, own)
            local = self._indptr[first : last + 1] - begin
            ranked, n_lower = by_rising_value((local, indices), own)
            for file, array in ((self._given, ranked.indices), (self._n_lower, n_lower)):
                if file is not None:
                    file.write(begin, array)

    def most(self, *, given: bool = False) -> int:
        """Return the most positives, or given negatives, of a part."""
        indptr = self._given_indptr if given else self._indptr
        return int(np.diff(indptr[self.bounds]).max())

    def first_of(self, part: int) -> int:
        """Return the number of the first positive of a part."""
        return int(self._indptr[self.bounds[part]])

    def buffers(self) -> PartBuffers:
        """Return memory for `read`."""
        n = self.most()
        return PartBuffers(
            np.empty(n, np.int32),
            np.empty(n if self._weights else 0, np.float32),
            np.empty(self.most(given=True) if self._given else 0, np.int32),
            np.empty(n if self._n_lower else 0, np.int32),
        )

    def read(self, part: int, buffers: PartBuffers) -> UserPart:
        """Return a part: all of it lies in the buffers."""
        indptr, begin = self._own(self._indptr, part)
        n = int(indptr[-1])
        self._indices.read(begin, indices := buffers.indices[:n])
        weights = buffers.weights[: n if self._weights else 0]
        if self._weights is not None:
            self._weights.read(begin, weights)
        given = n_lower = None
        if self._given is not None:
            given_indptr, first = self._own(self._given_indptr, part)
            self._given.read(first, own := buffers.given[: given_indptr[-1]])
            given = ItemsOfUsers(given_indptr, read_only(own))
        if self._n_lower is not None:
            self._n_lower.read(begin, n_lower := buffers.n_lower[:n])
        rows = self._rows(part)
        positives = UserPositives(
            indptr, read_only(indices), read_only(weights),
            read_only(self._first_entry[rows] if given is not None else indptr[:-1]),
        )  # fmt: skip
        return self._part(part, positives, given, n_lower)

    def known(self, part: int) -> UserPart:
        """Return a part of which only the items are known, read from the disk as they are looked at."""
        if self._mapped is None:
            self._mapped = read_only(self._indices.mapped())
        indptr, begin = self._own(self._indptr, part)
        own = read_only(self._mapped[begin : begin + indptr[-1]])
        return self._part(
            part, UserPositives(indptr, own, read_only(np.empty(0, np.float32)), indptr[:-1])
        )

    def _part(
        self,
        part: int,
        positives: UserPositives,
        given: ItemsOfUsers | None = None,
        n_lower: NDArray[np.int32] | None = None,
    ) -> UserPart:
        block = part * self._n_blocks
        bounds = self._users.bounds[block : block + self._n_blocks + 1]
        numbers = RowNumbers(self._rows(part), 0)
        return UserPart(block, part_users(bounds - bounds[0]), positives, given, n_lower, numbers)

    def _rows(self, part: int) -> NDArray[np.int32]:
        return self._users.rows[self.bounds[part] : self.bounds[part + 1]]

    def _own(self, indptr: NDArray[np.int64], part: int) -> tuple[NDArray[np.int64], int]:
        """Return the pointers of a part, from 0 on, and where they begin in the file."""
        own = indptr[self.bounds[part] : self.bounds[part + 1] + 1]
        return read_only(own - own[0]), int(own[0])
