"""Interactions of users with items: one canonical sparse matrix with ids and timestamps.

The whole package reads positives in this form. What users hand in is checked and converted once:
compressed rows, columns sorted, no duplicates, no zeros, values > 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tripletrec.data.checks import as_array, check_positions, check_shape
from tripletrec.data.columns import in_order
from tripletrec.data.csr import CsrRows, assemble, count_rows, from_matrix
from tripletrec.data.cuts import Cuttable
from tripletrec.data.describing import Describable
from tripletrec.data.filtering import Filterable
from tripletrec.data.ids import Ids
from tripletrec.data.merging import zeros_and_ones
from tripletrec.data.space import Space, check_same_space
from tripletrec.data.tabular import Tabular

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Interactions", "as_interactions"]


class Interactions(Cuttable, Filterable, Describable, Tabular):
    """Positives of users x items in canonical CSR form, with ids, values and timestamps.

    Duplicate coordinates are summed (their latest timestamp is kept; `from_frame` knows other ways; of
    booleans in a matrix, as in SciPy, two trues are one true) and stored zeros dropped.
    The input is never modified. Values and indices of a canonical CSR matrix of float32 and int32 are
    not copied either, memory-mapped or not; of another CSR matrix, only the arrays that need it are. All else
    is, so that tables and arrays may be changed afterwards. There may be no interactions at all: only what
    learns from them or ranks them needs some.

    Parameters
    ----------
    matrix : scipy sparse matrix or array, or ndarray, of shape (n_users, n_items)
        Finite values >= 0 of any real type. Entries that are not zero are positives; their values may
        serve as weights.
    user_ids : sequence of n_users ids, optional
        Hashable, unique; `fit` takes strings, numbers, dates, bytes and UUIDs. Default: the row numbers.
    item_ids : sequence of n_items ids, optional
        Likewise for the columns.
    timestamps : array-like, optional
        One per entry that `matrix` stores (in the order of ``matrix.tocoo()``; row by row for an
        ndarray and for diagonals). Numbers, such as seconds, or dates of any kind: with a time zone they
        are converted to UTC, without one they are taken as UTC.

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
    timestamps : ndarray of shape (nnz,) or None
        Time of each interaction: dates as datetime64[ns] in UTC, whole numbers as int64, others as float64;
        None if no times were given.
    memory_map : pathlib.Path or None
        The folder in whose files the arrays are, if they were read with ``memory_map=``; None: they are in
        memory, as parts of these interactions and copies from a pickle are.
    n_dropped : int
        How many rows of the table `from_frame` left out because their user or item is unknown; 0 for all
        that was built in another way, parts of these interactions included.
    n_merged : int
        How many rows of the table, or entries of the matrix, were merged into others of the same user and
        item; 0 for parts of these interactions.

    Raises
    ------
    ValueError
        If there is no user or no item; if a value is negative, complex, NaN, infinite, beyond float32,
        masked or missing; if the attributes of a sparse matrix, which anyone can set, describe none;
        if ids are missing or repeated.
    TypeError
        If `matrix` is not a matrix of numbers.

    Warns
    -----
    UserWarning
        If an array of integers looks like pairs of a user and an item: see `from_arrays`.

    Notes
    -----
    All arrays are read-only and cannot be replaced. ``len(data)`` is the number of interactions, and
    ``data[index]`` keeps some of them in a matrix of the same shape. Scikit-learn's splitters and searches
    count and cut the interactions too, not the users, which is why there is no ``shape``.

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
            Row and column numbers, of any types of integers; objects that are whole numbers, such as
            Decimals, will do. For other ids see `from_frame`.
        values : array-like of shape (n_interactions,), optional
            Weights >= 0; default 1 each. Booleans are the numbers 0 and 1, also in the sum of duplicates.
        timestamps : array-like of shape (n_interactions,), optional
            Numbers or dates, as in the constructor.
        shape : (n_users, n_items), optional
            Default: as many as there are ids, else the highest number + 1; needed where there is no
            interaction.
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
        rows = check_positions(in_order(users, "users", "row numbers"), "users")
        columns = check_positions(in_order(items, "items", "column numbers"), "items")
        if values is not None:
            values = zeros_and_ones(as_array(in_order(values, "values"), "values"))
        n_users, n_items = (None, None) if shape is None else check_shape(*shape, "shape")
        if n_users is None and user_ids is None:
            n_users = count_rows(rows, "users")
        if n_items is None and item_ids is None:
            n_items = count_rows(columns, "items")
        axes = Ids(user_ids, n_users, "user"), Ids(item_ids, n_items, "item")
        return cls._build(rows, columns, values, timestamps, *axes)

    @classmethod
    def empty(cls, like: Interactions) -> Interactions:
        """Return no interactions at all, of the users and items of others.

        Parameters
        ----------
        like : Interactions

        Examples
        --------
        >>> from tripletrec.data.interactions import Interactions
        >>> data = Interactions.from_arrays([0, 1], [2, 0], user_ids=["ann", "bob"])
        >>> Interactions.empty(data)
        Interactions(2 users x 3 items, 0 positives, user ids)
        """
        if not isinstance(like, Interactions):
            raise TypeError(f"like must be Interactions, got {type(like).__name__}")
        return like[:0]

    @property
    def T(self) -> Interactions:  # noqa: N802 - as NumPy and SciPy name it
        """Items x users: see `transpose`."""
        return self.transpose()

    def user_rows(self, ids: Any) -> NDArray[np.int64]:
        """Return the rows of user ids, int64 of shape (n_ids,).

        Parameters
        ----------
        ids : id, or sequence or column of ids in an order (no set)

        Raises
        ------
        ValueError
            If an id is unknown.
        """
        return self._users.rows(ids)

    def item_rows(self, ids: Any) -> NDArray[np.int64]:
        """Return the columns of item ids, int64 of shape (n_ids,).

        Parameters
        ----------
        ids : id, or sequence or column of ids in an order (no set)

        Raises
        ------
        ValueError
            If an id is unknown.
        """
        return self._items.rows(ids)

    def transpose(self) -> Interactions:
        """Return a copy with users and items exchanged."""
        self._check_still_inside()
        rows = assemble(
            self.space.shape[::-1], self.indices, self.rows, self.values, self.timestamps
        )
        return self._like(rows, self._items, self._users)

    def tocsr(self) -> csr_matrix:
        """Return a ``scipy.sparse.csr_matrix`` that shares the (read-only) values and indices."""
        from scipy.sparse import csr_matrix

        self._check_still_inside()
        arrays = self.values, self.indices, self.indptr
        matrix = csr_matrix(arrays, shape=self.space.shape, copy=False)
        matrix.has_canonical_format = True
        return matrix

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
        """
        self._check_still_inside()  # the part has indices of its own, which nobody asks about again
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
            index = index[0]
        if isinstance(index, tuple):
            raise TypeError("interactions have one axis: index them by positions or by a mask")
        if not isinstance(index, slice) and index is not Ellipsis:
            index = as_array(index, "index")
            index = index if index.size else index.astype(np.intp)
        keep = np.zeros(self.nnz, bool)
        keep[index] = True
        indptr = np.concatenate(([0], np.cumsum(keep)))[self.indptr]
        times = None if self.timestamps is None else self.timestamps[keep]
        rows = CsrRows(self.space.shape, indptr, self.indices[keep], self.values[keep], times)
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
        X._check_still_inside(name)
        data = X
    else:
        rows = from_matrix(X, name, None)
        users, items = Ids(None, rows.shape[0], "user"), Ids(None, rows.shape[1], "item")
        data = Interactions._of_rows(rows, users, items)
    if space is not None:
        check_same_space(data.space, space, name, owner)
    return data
