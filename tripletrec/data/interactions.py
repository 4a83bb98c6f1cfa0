"""Interactions of users with items: one canonical sparse matrix with ids and timestamps; splits are not here.

The whole package reads positives in this form. What users hand in is checked and converted once:
compressed rows, columns sorted, no duplicates, no zeros, values > 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec.data.checks import check_positions, check_shape
from tripletrec.data.csr import Rows, assemble, from_coordinates, from_matrix
from tripletrec.data.cuts import Cuttable
from tripletrec.data.ids import Ids, column_of, encode

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Interactions", "Space", "as_interactions", "check_same_space"]


class Space(NamedTuple):
    """The users and items that interactions or a model speak of."""

    n_users: int
    n_items: int
    user_ids: NDArray[Any] | None = None  # None: the row numbers
    item_ids: NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_users, n_items)``."""
        return self.n_users, self.n_items


class Interactions(Cuttable):
    """Positives of users x items in canonical CSR form, with ids, values and timestamps.

    Duplicate coordinates are summed (their latest timestamp is kept) and stored zeros dropped.
    The input is never modified. A canonical CSR matrix of float32 values and int32 indices is
    not copied either, memory-mapped or not; of another, only the arrays that need it are.

    Parameters
    ----------
    matrix : scipy sparse matrix or array, or ndarray, of shape (n_users, n_items)
        Finite values >= 0 of any real type. Entries that are not zero are positives; their values may
        serve as weights.
    user_ids : sequence of n_users ids, optional
        Strings, integers or anything hashable, unique. Default: ids are the row numbers.
    item_ids : sequence of n_items ids, optional
        Likewise for the columns.
    timestamps : array-like of int64, optional
        One per entry that `matrix` stores (in the order of ``matrix.tocoo()``; row by row for an
        ndarray). Whole numbers or dates.

    Attributes
    ----------
    n_users, n_items : int
        Number of rows and of columns.
    indptr : int64 ndarray of shape (n_users + 1,)
        Row ``u`` is ``indptr[u]:indptr[u + 1]``.
    indices : int32 ndarray of shape (nnz,)
        Item of each interaction, ascending within each row.
    values : float32 ndarray of shape (nnz,)
        Value of each interaction, > 0.
    timestamps : int64 ndarray of shape (nnz,) or None
        Time of each interaction; None if no times were given.

    Raises
    ------
    ValueError
        If there is no user, no item or no positive; if a value is negative, complex, NaN, infinite
        or beyond float32; if indices point outside the matrix; if ids are missing or repeated.
    TypeError
        If `matrix` is not a matrix of numbers.

    Notes
    -----
    All arrays are read-only. ``len(data)`` is the number of interactions, and ``data[index]`` keeps some of
    them in a matrix of the same shape. Scikit-learn's splitters and searches count and cut the interactions
    too, not the users, which is why there is no ``shape``.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.data.interactions import Interactions
    >>> data = Interactions(np.array([[1, 0, 1], [0, 1, 0]]), user_ids=["ann", "bob"])
    >>> data
    Interactions(2 users x 3 items, 3 positives, user ids)
    >>> data.user_rows("bob")
    array([1])
    >>> data.indices
    array([0, 2, 1], dtype=int32)
    """

    n_users: int
    n_items: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    timestamps: NDArray[np.int64] | None
    _users: Ids
    _items: Ids

    def __init__(
        self,
        matrix: Any,
        *,
        user_ids: Any = None,
        item_ids: Any = None,
        timestamps: ArrayLike | None = None,
    ) -> None:
        rows = from_matrix(matrix, "matrix", timestamps)
        self._set(rows, Ids(user_ids, rows.shape[0], "user"), Ids(item_ids, rows.shape[1], "item"))

    @classmethod
    def from_arrays(
        cls,
        users: ArrayLike,
        items: ArrayLike,
        values: ArrayLike | None = None,
        *,
        timestamps: ArrayLike | None = None,
        shape: tuple[int, int] | None = None,
        user_ids: Any = None,
        item_ids: Any = None,
    ) -> Interactions:
        """Build from one row number and one column number per interaction.

        Parameters
        ----------
        users, items : array-like of int, shape (n_interactions,)
            Row and column numbers. For other ids see `from_frame`.
        values : array-like of shape (n_interactions,), optional
            Weights >= 0; default 1 each.
        timestamps : array-like of shape (n_interactions,), optional
            Whole numbers or dates.
        shape : (n_users, n_items), optional
            Default: as many as there are ids, else the highest number + 1.
        user_ids, item_ids : sequence of ids, optional
            As in the constructor.

        Returns
        -------
        Interactions

        Raises
        ------
        ValueError, TypeError
            As the constructor, or if lengths differ.

        Examples
        --------
        >>> from tripletrec.data.interactions import Interactions
        >>> Interactions.from_arrays([0, 0, 1], [2, 0, 1], shape=(2, 4))
        Interactions(2 users x 4 items, 3 positives)
        """
        if shape is not None and np.shape(shape) != (2,):
            raise ValueError(f"shape must be (n_users, n_items), got {shape!r}")
        rows, columns = check_positions(users, "users"), check_positions(items, "items")
        n_users, n_items = (None, None) if shape is None else check_shape(*shape, "shape")
        if n_users is None and user_ids is None:
            n_users = int(rows.max(initial=0)) + 1
        if n_items is None and item_ids is None:
            n_items = int(columns.max(initial=0)) + 1
        axes = Ids(user_ids, n_users, "user"), Ids(item_ids, n_items, "item")
        return cls._build(rows, columns, values, timestamps, *axes)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str = "user",
        item: str = "item",
        value: str | None = None,
        timestamp: str | None = None,
        user_ids: Any = None,
        item_ids: Any = None,
    ) -> Interactions:
        """Build from a table with one row per interaction.

        Parameters
        ----------
        frame : pandas or polars DataFrame, or dict of columns
            Read only.
        user, item : str, default "user" and "item"
            Columns of ids of any hashable type.
        value, timestamp : str, optional
            Columns of weights and of times. Default: weight 1, no times.
        user_ids, item_ids : sequence of ids, optional
            The rows and columns, in this order; they may hold ids that `frame` lacks. Default: the
            ids in `frame`, sorted.

        Returns
        -------
        Interactions

        Raises
        ------
        ValueError
            If a column is absent, an id missing or not among those given; as the constructor.
        TypeError
            If ids are of types that cannot be sorted with each other.

        Examples
        --------
        >>> from tripletrec.data.interactions import Interactions
        >>> data = Interactions.from_frame({"user": ["b", "a", "b"], "item": [7, 7, 3]})
        >>> data.user_ids, data.item_ids
        (array(['a', 'b'], dtype='<U1'), array([3, 7]))
        """
        rows, users = encode(column_of(frame, user), user, "user", user_ids)
        columns, items = encode(column_of(frame, item), item, "item", item_ids)
        values = None if value is None else np.asarray(column_of(frame, value))
        times = None if timestamp is None else np.asarray(column_of(frame, timestamp))
        return cls._build(rows, columns, values, times, users, items)

    @classmethod
    def _build(
        cls,
        rows: NDArray[Any],
        columns: NDArray[Any],
        values: ArrayLike | None,
        timestamps: ArrayLike | None,
        users: Ids,
        items: Ids,
    ) -> Interactions:
        shape = check_shape(users.n, items.n, "shape")
        new = cls.__new__(cls)
        new._set(from_coordinates(rows, columns, values, timestamps, shape, "values"), users, items)
        return new

    def _set(self, rows: Rows, users: Ids, items: Ids) -> None:
        self.n_users, self.n_items = rows.shape
        self.indptr, self.indices = read_only(rows.indptr), read_only(rows.indices)
        self.values = read_only(rows.values)
        self.timestamps = None if rows.timestamps is None else read_only(rows.timestamps)
        self._users, self._items = users, items

    @property
    def nnz(self) -> int:
        """Number of positives."""
        return len(self.indices)

    @property
    def user_ids(self) -> NDArray[Any] | None:
        """The ids of the rows, shape (n_users,); None if they are the row numbers."""
        return self._users.values

    @property
    def item_ids(self) -> NDArray[Any] | None:
        """The ids of the columns, shape (n_items,); None if they are the column numbers."""
        return self._items.values

    @property
    def space(self) -> Space:
        """The users and items: what must be equal in a model and all that it is given."""
        return Space(self.n_users, self.n_items, self.user_ids, self.item_ids)

    @property
    def rows(self) -> NDArray[np.int32]:
        """The row of each interaction, int32 of shape (nnz,), computed at each call."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))

    @property
    def T(self) -> Interactions:  # noqa: N802 - as NumPy and SciPy name it
        """Items x users: see `transpose`."""
        return self.transpose()

    def user_rows(self, ids: Any) -> NDArray[np.int64]:
        """Return the rows of user ids, int64 of shape (n_ids,).

        Parameters
        ----------
        ids : scalar, list, ndarray or pandas / polars Series

        Raises
        ------
        ValueError
            If an id is unknown.
        """
        return self._users.rows(ids)

    def item_rows(self, ids: Any) -> NDArray[np.int64]:
        """Return the columns of item ids, int64 of shape (n_ids,); see `user_rows`."""
        return self._items.rows(ids)

    def transpose(self) -> Interactions:
        """Return a copy with users and items exchanged."""
        rows = assemble(
            self.space.shape[::-1], self.indices, self.rows, self.values, self.timestamps
        )
        return self._like(rows, self._items, self._users)

    def tocsr(self) -> csr_matrix:
        """Return a ``scipy.sparse.csr_matrix`` that shares the (read-only) values and indices."""
        from scipy.sparse import csr_matrix

        arrays = self.values, self.indices, self.indptr
        matrix = csr_matrix(arrays, shape=self.space.shape, copy=False)
        matrix.has_canonical_format = True
        return matrix

    def __len__(self) -> int:
        return self.nnz

    def __getitem__(self, index: Any) -> Interactions:
        """Return some of the interactions, in a matrix of the same shape with the same ids.

        Parameters
        ----------
        index : int array, bool array of shape (nnz,) or slice
            Which interactions, in CSR order; the order and repetitions of `index` have no effect.
            ``(index, ...)`` means the same as ``index``.

        Raises
        ------
        IndexError
            If `index` points beyond the interactions.
        ValueError
            If it selects none.
        """
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
            index = index[0]
        if isinstance(index, tuple):
            raise TypeError("interactions have one axis: index them by positions or by a mask")
        keep = np.zeros(self.nnz, bool)
        keep[index] = True
        if not keep.any():
            raise ValueError("index selects no interaction")
        indptr = np.concatenate(([0], np.cumsum(keep)))[self.indptr]
        times = None if self.timestamps is None else self.timestamps[keep]
        rows = Rows(self.space.shape, indptr, self.indices[keep], self.values[keep], times)
        return self._like(rows, self._users, self._items)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        # Else NumPy would take it for a sequence and call __getitem__ once per interaction.
        raise TypeError("Interactions are not an array: use .tocsr() or .tocsr().toarray()")

    def __repr__(self) -> str:
        extras = [
            word
            for word, value in (
                ("user ids", self.user_ids),
                ("item ids", self.item_ids),
                ("timestamps", self.timestamps),
            )
            if value is not None
        ]
        size = f"{self.n_users} users x {self.n_items} items, {self.nnz} positives"
        return f"Interactions({', '.join([size, *extras])})"

    def _like(self, rows: Rows, users: Ids, items: Ids) -> Interactions:
        new = type(self).__new__(type(self))
        new._set(rows, users, items)
        return new


def as_interactions(
    X: Any, name: str = "X", space: Space | None = None, owner: str = "X"
) -> Interactions:
    """Return `X` if it is Interactions, else `X` brought to that form.

    Parameters
    ----------
    X : Interactions, scipy sparse matrix or array, or ndarray, of shape (n_users, n_items)
        Never modified; not copied where it is in the right form.
    name : str, default "X"
        What error messages call it.
    space : Space or None, default None
        The users and items that it must speak of. Where either side has no ids, numbers are enough.
    owner : str, default "X"
        Whose they are, for the error message.

    Returns
    -------
    Interactions

    Raises
    ------
    ValueError, TypeError
        As `Interactions`, and if `X` speaks of other users or items.
    """
    if isinstance(X, Interactions):
        data = X
    else:
        rows = from_matrix(X, name, None)
        data = Interactions.__new__(Interactions)
        data._set(rows, Ids(None, rows.shape[0], "user"), Ids(None, rows.shape[1], "item"))
    if space is not None:
        check_same_space(data.space, space, name, owner)
    return data


def check_same_space(found: Space, wanted: Space, name: str, owner: str) -> None:
    """Raise unless two speak of the same users and items, in the same order."""
    if found.shape != wanted.shape:
        raise ValueError(
            f"{name} must have the {wanted.n_users} users and {wanted.n_items} items of {owner}, "
            f"got {found.n_users} and {found.n_items}"
        )
    for ids, others, word in (
        (found.user_ids, wanted.user_ids, "user"),
        (found.item_ids, wanted.item_ids, "item"),
    ):
        if ids is not None and others is not None and not np.array_equal(ids, others):
            raise ValueError(f"{name} must have the {word} ids of {owner}, in the same order")
