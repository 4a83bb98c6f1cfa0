"""Interactions from tables and files, and back to a table; how a table is read is in `frames`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from numpy.typing import ArrayLike, NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.checks import check_shape
from tripletrec.data.compressed import CompressedRows
from tripletrec.data.csr import from_coordinates
from tripletrec.data.ids import Ids, forms_of
from tripletrec.data.memory_mapped import (
    check_outside,
    is_memory_map,
    open_memory_map,
    write_memory_map,
)
from tripletrec.data.merging import Duplicates, check_duplicates
from tripletrec.data.space import check_same_space

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from tripletrec.data.missing import Missing

__all__ = ["Tabular"]


class Tabular(CompressedRows):
    """What interactions and tables become of each other."""

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        user: str = "user",
        item: str = "item",
        value: str | None = None,
        timestamp: str | None = None,
        duplicates: Duplicates = "sum",
        like: Self | None = None,
        unknown: Literal["raise", "drop"] = "raise",
        *,
        user_ids: Any = None,
        item_ids: Any = None,
        missing: Missing = "raise",
    ) -> Self:
        """Build from a table with one row per interaction.

        Parameters
        ----------
        frame : pandas, polars (also lazy) or pyarrow table, or dict of columns
            Read only, by position: an index has no effect. Of a lazy table the columns named here are
            collected. Anything else that gives Arrow's stream or has a way to pandas will do: record batches
            (one, a list or a reader), a dataset of pyarrow, a DuckDB relation, tables of Narwhals, Ibis or
            Dask.
        user, item : str, default "user" and "item"
            Columns of ids: strings, numbers, dates, or of any other hashable type.
        value, timestamp : str, optional
            Columns of weights and of times. Default: weight 1, no times. Times are numbers or dates, see
            `Interactions`.
        duplicates : {"sum", "max", "last", "first", "count"}, default "sum"
            What stands for several rows of one user with one item; ``n_merged`` tells how many were merged
            into others. The sum of their values (booleans are the numbers 0 and 1), or the largest; the value
            of the latest or of the earliest (without times: of the last or first row, as among equal times);
            or their number, whatever `value` says. The time that is kept is the latest; of "first", the
            earliest. What has become 0, as by a last value of 0, is left out afterwards.
        user_ids, item_ids : sequence of ids, optional
            The rows and columns, in this order; they may hold ids that `frame` lacks. Default: the
            ids in `frame`, sorted.
        like : Interactions, optional
            Others, usually the training data, whose users and items are taken, in their order. Where it has
            no ids, the column must hold row numbers. Not to be given along with `user_ids` or `item_ids`.
        unknown : {"raise", "drop"}, default "raise"
            What becomes of a row whose user or item is not among those given: an error, or it is left out and
            counted in ``n_dropped``.
        missing : {"raise", "drop"}, default "raise"
            What becomes of a row that lacks a user, an item, a value or a time (None, NaN, NaT, pandas' NA):
            an error, or it is left out and counted in ``n_dropped``, too.

        Returns
        -------
        Interactions

        Raises
        ------
        ValueError
            If a column is absent or there twice; if an id, a value or a time is missing and `missing` is
            "raise"; if an id is not among those given and `unknown` is "raise"; if ids are floats so large
            that they round whole numbers; as the constructor.
        TypeError
            If ids are of types that cannot be sorted with each other, or times are strings.

        Examples
        --------
        >>> from tripletrec.data.interactions import Interactions
        >>> train = Interactions.from_frame({"user": ["b", "a", "b"], "item": [7, 7, 3]})
        >>> train.user_ids, train.item_ids
        (array(['a', 'b'], dtype='<U1'), array([3, 7]))
        >>> later = {"user": ["a", "c"], "item": [3, 3]}
        >>> test = Interactions.from_frame(later, like=train, unknown="drop")
        >>> test, test.n_dropped
        (Interactions(2 users x 2 items, 1 positives, user ids, item ids), 1)

        The latest rating of each user for each item:

        >>> ratings = {"user": ["a", "a"], "item": [7, 7], "stars": [2, 5], "day": [9, 4]}
        >>> latest = Interactions.from_frame(ratings, value="stars", timestamp="day", duplicates="last")
        >>> latest.values, latest.timestamps, latest.n_merged
        (array([2.], dtype=float32), array([9]), 1)
        """
        # Here, because interactions of arrays do without.
        from tripletrec.data.frames import columns_of, known_ids

        duplicates = check_duplicates(duplicates)
        known = known_ids(cls._known(like), user_ids, item_ids)
        names = _named(user, item, value, timestamp)
        policy = unknown, duplicates, "frame", missing
        return cls._of_columns(columns_of(frame, names), names, known, *policy)

    @classmethod
    def _of_columns(
        cls,
        columns: dict[str, Any],
        names: dict[str, str],
        known: tuple[Ids | None, Ids | None],
        unknown: str,
        duplicates: Duplicates,
        source: str,
        missing: Missing,
    ) -> Self:
        from tripletrec.data.frames import read_table

        table = read_table(columns, names, known, unknown, duplicates, source, missing)
        del columns  # their memory is needed, where nobody else holds it
        new = cls._build(*table[:-1], duplicates)
        new.n_dropped = table.n_dropped
        return new

    @classmethod
    def read(
        cls,
        path: str | PathLike[str],
        *,
        user: str = "user",
        item: str = "item",
        value: str | None = None,
        timestamp: str | None = None,
        duplicates: Duplicates = "sum",
        like: Self | None = None,
        unknown: Literal["raise", "drop"] = "raise",
        missing: Missing = "raise",
        memory_map: str | PathLike[str] | None = None,
    ) -> Self:
        r"""Build from files with one row per interaction, or from the file of a matrix.

        Only the named columns are read, and ids that are texts are numbered as they come.

        ============================ ====================================================================
        ending                       what is read
        ============================ ====================================================================
        ``.parquet``                 columns; needs pyarrow (``pip install pyarrow``). A
                                     column that the files lack may be told by the names of their
                                     folders, as in ``day=2024-01-31/part-0.parquet``
        ``.csv``, ``.tsv``,          columns by the names in the first line, in UTF-8, between commas or
        ``.csv.gz``, ``.tsv.gz``     tabs; an empty field is a missing one
        ``.npz``                     the matrix that `scipy.sparse.save_npz` wrote; it has no columns and
                                     no ids
        a folder                     that `memory_map` or `to_memory_map` wrote: opened in milliseconds,
                                     however large; of all other arguments only `like` may be given then,
                                     whose users and items it must have
        ============================ ====================================================================

        Parameters
        ----------
        path : path-like
            A file; a folder, of which all files are read, those in its folders too, but for names that
            begin with "." or "_"; or a pattern, such as ``"events/2024-*/*.parquet"``. All must be of one
            format.
        user, item, value, timestamp : str
            Names of columns, see `from_frame`. In text files and in names of folders ids are whole numbers if
            all of a column are written as such, and texts otherwise: "007" stays "007", and with it all
            others do. With `like` they are what its ids are. Times are numbers, or dates of ISO 8601.
        duplicates, like, unknown, missing
            See `from_frame`. Of a matrix, the rows and columns are those of `like`.
        memory_map : path-like, optional
            A folder, for interactions that do not fit into memory: parquet files are read twice, piece by
            piece, and what comes of them is written there. It is the same as without, but stays in the
            folder's files, from which it is read as it is needed. Beside the ids of users and items some
            400 MB of memory are taken, however many rows there are (and 100 bytes for each row of the one
            user who has most). The folder is new or empty, or holds such interactions, which are replaced;
            it appears when it is complete. While it is written, some 8 bytes of disk are needed for each row,
            and 4 to 8 more for the value and 8 for the time.

        Returns
        -------
        Interactions

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError, TypeError
            If a file is damaged, or of another format; as `from_frame`.
        ImportError
            If pyarrow is needed and not installed.
        OSError
            If a file cannot be read, or `memory_map` not be written; if there is too little room on its disk,
            of which the sentence tells the bytes (a `ValueError`, too).

        See Also
        --------
        to_memory_map : Writes such a folder of interactions in memory.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tripletrec import Interactions
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "log.csv")
        ...     _ = file.write_text("user,item,time\nann,7,2024-01-31\nbob,3,2024-02-01\n")
        ...     data = Interactions.read(file, timestamp="time")
        >>> data, data.item_ids
        (Interactions(2 users x 2 items, 2 positives, user ids, item ids, timestamps), array([3, 7]))
        """
        duplicates = check_duplicates(duplicates)
        known = cls._known(like)
        users, items = known or (None, None)
        names = _named(user, item, value, timestamp)
        if is_memory_map(path):
            given = {**names, "memory_map": memory_map, "duplicates": duplicates}
            return cls._open(path, given, like)
        from tripletrec.data.paths import find_files
        from tripletrec.data.reading import read_columns, without_values

        files = find_files(path)
        if duplicates == "count" and files.format != "npz":
            names = without_values(files, names)
        if memory_map is not None:
            from tripletrec.data.streaming import stream_to_memory_map

            check_outside(memory_map, path)
            stream_to_memory_map(
                files,
                names,
                known,
                unknown,
                duplicates,
                str(path),
                memory_map,
                missing=missing,
            )
            return cls._open(memory_map)
        from tripletrec.data.frames import checked_columns

        if files.format == "npz":
            return cls._read_matrix(files.paths, names, duplicates, (users, items))
        return cls._of_columns(
            checked_columns(read_columns(files, names, forms_of(users, items)), names),
            names,
            (users, items),
            unknown,
            duplicates,
            repr(str(path)),
            missing,
        )

    def to_memory_map(self, folder: str | PathLike[str]) -> Self:
        """Write a folder from which `read` opens these interactions in milliseconds, and open it.

        Parameters
        ----------
        folder : path-like
            As `memory_map` of `read`.

        Returns
        -------
        Interactions
            The same, in the files of the folder: its ``memory_map``. Processes that open it share memory.

        Raises
        ------
        TypeError
            If the ids could not be saved with a model either.
        OSError, ValueError
            If the folder cannot be written, holds something else, or there is too little room on its disk.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from tripletrec import Interactions
        >>> data = Interactions.from_frame({"user": ["b", "a", "b"], "item": [7, 7, 3]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "events")
        ...     mapped = data.to_memory_map(path)
        ...     print(mapped.memory_map == path, Interactions.read(path))
        True Interactions(2 users x 2 items, 3 positives, user ids, item ids)
        """
        write_memory_map(folder, self._rows, self._users, self._items, self.n_dropped)
        return self._open(folder)

    @overload
    def to_frame(self, output: Literal["pandas"] = "pandas") -> pd.DataFrame: ...

    @overload
    def to_frame(self, output: Literal["polars"]) -> pl.DataFrame: ...

    def to_frame(self, output: Literal["pandas", "polars"] = "pandas") -> Any:
        """Return a table with one row per interaction, user by user.

        Parameters
        ----------
        output : {"pandas", "polars"}, default "pandas"

        Returns
        -------
        pandas.DataFrame or polars.DataFrame
            Columns ``user``, ``item`` (ids, or numbers where there are none), ``value`` (float32) and, where
            times are known, ``timestamp`` (dates in UTC, without a time zone). `from_frame` with ``like=``
            and these columns makes the same interactions of it.

        Raises
        ------
        ImportError
            If polars is asked for and not installed.

        Examples
        --------
        >>> from tripletrec import Interactions
        >>> data = Interactions.from_frame({"user": ["b", "a", "b"], "item": [7, 7, 3]})
        >>> data.to_frame()
          user  item  value
        0    a     7    1.0
        1    b     3    1.0
        2    b     7    1.0
        """
        from tripletrec.data.tidy import TidyColumn, check_table_kind, table_of

        check_table_kind(output)
        self._check_still_inside()
        users, items = self._users.values, self._items.values
        columns = {
            "user": TidyColumn(self.rows) if users is None else TidyColumn(users, self.rows),
            "item": TidyColumn(self.indices) if items is None else TidyColumn(items, self.indices),
            "value": TidyColumn(self.values),
        }
        if self.timestamps is not None:
            columns["timestamp"] = TidyColumn(self.timestamps)
        return table_of(columns, output)

    @classmethod
    def _open(cls, folder: Any, given: Mapping[str, Any] | None = None, like: Any = None) -> Self:
        """Open a memory map; raise if arguments are given that could have no effect."""
        usual = {"user": "user", "item": "item", "duplicates": "sum"}
        for name, value in (given or {}).items():
            if value != usual.get(name):
                raise ValueError(
                    f"{str(folder)!r} is a memory map, which is opened as it was written: give no {name}, "
                    f"got {shown(value)}"
                )
        found = open_memory_map(folder)
        new = cls._of_rows(found.rows, found.users, found.items)
        new.n_dropped = found.n_dropped
        new._folder = Path(os.path.abspath(folder))
        if like is not None:
            check_same_space(new.space, like.space, f"the memory map {str(folder)!r}", "like")
        return new

    @classmethod
    def _read_matrix(
        cls,
        paths: list[Path],
        names: dict[str, Any],
        duplicates: Duplicates,
        known: tuple[Ids | None, Ids | None],
    ) -> Self:
        from tripletrec.data.reading import read_matrix
        from tripletrec.data.sparse import entries_of, shape_of

        if names != {"user": "user", "item": "item"}:
            raise ValueError("a .npz file holds a matrix without columns: do not name any")
        matrix, name = read_matrix(paths), f"the matrix of {str(paths[0])!r}"
        shape = shape_of(matrix, name)
        users = known[0] or Ids(None, shape[0], "user")
        items = known[1] or Ids(None, shape[1], "item")
        if shape != (users.n, items.n):
            raise ValueError(
                f"{name} must have the {users.n} users and {items.n} items of like, got {shape}"
            )
        return cls._build(*entries_of(matrix, shape, name), None, users, items, duplicates)

    @staticmethod
    def _known(like: Any) -> tuple[Ids, Ids] | None:
        if like is not None and not isinstance(like, Tabular):
            raise TypeError(f"like must be Interactions, got {type(like).__name__}")
        return None if like is None else (like._users, like._items)

    @classmethod
    def _build(
        cls,
        rows: NDArray[Any],
        columns: NDArray[Any],
        values: ArrayLike | None,
        timestamps: ArrayLike | None,
        users: Ids,
        items: Ids,
        duplicates: Duplicates = "sum",
    ) -> Self:
        shape = check_shape(users.n, items.n, "shape")
        given, axes = (rows, columns, values, timestamps), (users, items)
        return cls._of_rows(
            from_coordinates(*given, shape, "values", duplicates, axes), users, items
        )


def _named(user: Any, item: Any, value: Any, timestamp: Any) -> dict[str, Any]:
    """Return the names of the columns by role; those of values and times may be None: there are none."""
    optional = {"value": value, "timestamp": timestamp}
    names = {role: name for role, name in optional.items() if name is not None}
    return {"user": user, "item": item} | names
