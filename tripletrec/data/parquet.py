"""Columns of files of parquet, whole or piece by piece; files of other formats are in `reading`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.files import with_sentence
from tripletrec._runtime.messages import said_by
from tripletrec.data.columns import check_column
from tripletrec.data.delimited import numbers_of, text_ids, times_of
from tripletrec.data.foreign import Dictionary, dictionary_chunks, need_pyarrow
from tripletrec.data.ids import Form

__all__ = ["ParquetPieces", "read_parquet", "read_parquet_names", "read_whole_parquet"]

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_WHAT = "a file of the format parquet"
_BUFFER = 1 << 20  # bytes of a column that are read at once, where not all of it is wanted


def read_parquet_names(path: Path) -> list[str]:
    """Return the names of the columns of a file, those that its folders tell too."""
    pa = need_pyarrow(_WHAT)
    with _sentences(path, pa):
        names: list[str] = import_module("pyarrow.parquet").read_schema(path).names
    return [*names, *(each for each in _told_by(path) if each not in names)]


def read_parquet(
    paths: list[Path], names: Mapping[str, Any], forms: Mapping[str, Form]
) -> dict[str, Any]:
    """Return the named columns of files, one below the other, by role; see `reading.read_columns`."""
    pa = need_pyarrow(_WHAT)
    headers = _with_rows([_read_header(path, names, pa) for path in paths])
    parts = [_read_one(header, names, pa) for header in headers]
    columns: dict[str, Any] = {}
    for role, name in names.items():
        if _is_told(headers, name):
            columns[role] = _of_folders(
                headers, [each.n_rows for each in headers], role, name, forms
            )
        else:
            columns[role] = _below_each_other([each[role] for each in parts], name, pa)
    return columns


def read_whole_parquet(path: Path, column: str) -> tuple[Any, Any]:
    """Return a column of a file, as `id_column` of `frames` takes it, and all others as a DataFrame."""
    pa = need_pyarrow(_WHAT)
    with _sentences(path, pa):
        with import_module("pyarrow.parquet").ParquetFile(path) as file:
            for name in (column, *file.schema_arrow.names):
                check_column(name, file.schema_arrow.names, table=repr(str(path)))
            table = file.read()
        # With the index that pandas may have written, which is no column.
        others = table.drop_columns([column]).to_pandas()
    return table[column], others


class ParquetPieces:
    """The named columns of files as `read_parquet` reads them, but by turns some rows of all of them.

    What is in memory at once does not grow with the files, nor with their row groups. There is at least one
    piece, which may be without rows. Iterate as often as you like.

    Parameters
    ----------
    paths, names, forms
        As of `read_parquet`.
    n_rows_at_once : int
        A piece has at least so many, but for the last, and less than twice as many.

    Attributes
    ----------
    n_rows : int
        In all files.
    """

    def __init__(
        self,
        paths: list[Path],
        names: Mapping[str, Any],
        forms: Mapping[str, Form],
        n_rows_at_once: int,
    ) -> None:
        self._pa = need_pyarrow(_WHAT)
        self._headers = _with_rows([_read_header(path, names, self._pa) for path in paths])
        self._names, self._n_at_once = names, n_rows_at_once
        self.n_rows = sum(each.n_rows for each in self._headers)
        # Of what folders tell, a row for each file; of what files hold, a column without rows.
        self._told: dict[str, Any] = {}
        self._empty: dict[str, Any] = {}
        for role, name in names.items():
            if _is_told(self._headers, name):
                ones = [1] * len(self._headers)
                self._told[role] = _of_folders(self._headers, ones, role, name, forms)
            else:
                columns = [each.empty(role, name, self._pa) for each in self._headers]
                self._empty[role] = _below_each_other(columns, name, self._pa)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        batches: list[_Batch] = []
        for number, header in enumerate(self._headers):
            for n_rows, columns in self._batches(header):
                batches.append(_Batch(number, n_rows, columns))
                if sum(each.n_rows for each in batches) >= self._n_at_once:
                    yield self._together(batches)
                    batches = []
        if batches or not self.n_rows:
            yield self._together(batches)

    def _batches(self, header: _Header) -> Iterator[tuple[int, dict[str, Any]]]:
        if not header.kept:
            yield header.n_rows, {}
            return
        with _sentences(header.path, self._pa):
            with header.open(buffer_size=_BUFFER) as file:
                for batch in file.iter_batches(self._n_at_once, columns=header.kept):
                    yield batch.num_rows, header.by_role(self._names, batch, self._pa)

    def _together(self, batches: list[_Batch]) -> dict[str, Any]:
        piece: dict[str, Any] = {}
        for role, name in self._names.items():
            if role in self._empty:
                columns = [self._empty[role], *(each.columns[role] for each in batches)]
                piece[role] = _below_each_other(columns, name, self._pa)
            else:
                numbers = [each.number for each in batches]
                files = np.repeat(np.array(numbers, np.int64), [each.n_rows for each in batches])
                piece[role] = _at(self._told[role], files)
        return piece


class _Batch(NamedTuple):
    """Some rows of one file: its number, and their columns by role."""

    number: int
    n_rows: int
    columns: dict[str, Any]


class _Header(NamedTuple):
    """What a file of parquet and the names of its folders say, before a row is read."""

    path: Path
    n_rows: int
    types: dict[str, Any]  # of the columns to read
    folders: dict[str, str]
    coded: list[str]  # the columns that are ids and texts

    @property
    def kept(self) -> list[str]:
        """The columns to read."""
        return list(self.types)

    def open(self, **options: Any) -> Any:
        """Open the file; texts that are ids come as codes, without writing them all down."""
        # Not buffered before it is decoded: that would hold all of the file.
        return import_module("pyarrow.parquet").ParquetFile(
            self.path, read_dictionary=self.coded, pre_buffer=False, **options
        )

    def empty(self, role: str, name: str, pa: Any) -> Any:
        """Return a column without rows, of the type of those that are read."""
        column = pa.chunked_array([], self.types[name])
        return _coded(column, pa) if role in ("user", "item") else column

    def by_role(self, names: Mapping[str, Any], table: Any, pa: Any) -> dict[str, Any]:
        """Return the columns of a table or a batch of this file that it holds."""
        columns = {}
        for role, name in names.items():
            if name in self.types:
                column = table.column(name)
                columns[role] = column if hasattr(column, "chunks") else pa.chunked_array([column])
                if role in ("user", "item"):
                    columns[role] = _coded(columns[role], pa)
        return columns


def _read_header(path: Path, names: Mapping[str, Any], pa: Any) -> _Header:
    """Read what a file says of itself; raise unless all named columns are there."""
    with _sentences(path, pa):
        with import_module("pyarrow.parquet").ParquetFile(path) as file:
            n_rows, schema = file.metadata.num_rows, file.schema_arrow
        folders = _told_by(path)
        for name in names.values():
            if name not in folders or name in schema.names:
                check_column(name, [*schema.names, *folders], table=repr(str(path)))
        coded = [name for name in (names["user"], names["item"]) if _is_text(schema, name, pa)]
        types = {name: schema.field(name).type for name in schema.names if name in names.values()}
        return _Header(path, n_rows, types, folders, coded)


def _with_rows(headers: list[_Header]) -> list[_Header]:
    """Return the files that have rows, of which the types count; if none has, the first."""
    return [each for each in headers if each.n_rows] or headers[:1]


def _is_told(headers: list[_Header], name: str) -> bool:
    """Tell whether the names of folders hold a column; raise if it is in some of the files."""
    told = {name not in each.types for each in headers}
    if len(told) > 1:
        raise ValueError(
            f"column {name!r} must be in all files or in the names of all folders, got both"
        )
    return told == {True}


def _read_one(header: _Header, names: Mapping[str, Any], pa: Any) -> dict[str, Any]:
    with _sentences(header.path, pa):
        with header.open() as file:
            table = file.read(columns=header.kept)
        return header.by_role(names, table, pa)


def _at(column: Any, positions: NDArray[np.int64]) -> Any:
    """Return the elements of what `_of_folders` returned at some positions."""
    if isinstance(column, Dictionary):
        return Dictionary(column.codes[positions], column.ids)
    return column.iloc[positions] if hasattr(column, "iloc") else column[positions]


def _told_by(path: Path) -> dict[str, str]:
    """Return the columns that the names of a file's folders tell, as "day" of ``day=2024-01-31``."""
    return dict(each.split("=", 1) for each in path.parts[:-1] if "=" in each)


def _coded(column: Any, pa: Any) -> Any:
    """Return a column of texts as codes, which fit together whatever the type; others as they are."""
    chunks = None if isinstance(column, str) else dictionary_chunks(column, pa)
    return column if chunks is None else chunks


def _is_text(schema: Any, name: Any, pa: Any) -> bool:
    return name in schema.names and schema.field(name).type in (pa.string(), pa.large_string())


@contextmanager
def _sentences(path: Path, pa: Any) -> Iterator[None]:
    """Say in one sentence which file cannot be read, and why."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise with_sentence(error, f"cannot read {str(path)!r}") from None
        raise _damaged(path, error) from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{str(path)!r} is damaged, or no parquet file ({said_by(error)})")


def _of_folders(
    headers: list[_Header], n_rows: list[int], role: str, name: str, forms: Mapping[str, Form]
) -> Any:
    """Return a column that folders tell, such as "day=2024-01-31", with some rows for each file."""
    import pandas as pd

    pieces = [unquote(each.folders[name]) for each in headers]
    if _NO_VALUE in pieces:
        raise ValueError(f"column {name!r} has a missing value: there is a folder {_NO_VALUE!r}")
    codes, distinct = pd.factorize(np.array(pieces, object))
    codes = np.repeat(codes, n_rows)
    if role in forms:
        return text_ids(codes, distinct, forms[role])
    try:
        numbers = numbers_of(distinct.tolist(), f"values of column {name!r}")
    except ValueError:
        if role == "value":
            raise
        return times_of([pd.Series(distinct)], f"timestamps of column {name!r}").iloc[codes]
    return numbers[codes]


def _below_each_other(pieces: list[Any], name: str, pa: Any) -> Any:
    tables = [pa.table({"column": each}) for each in pieces]
    try:
        return pa.concat_tables(tables, promote_options="permissive")["column"]
    except pa.ArrowException:
        types = sorted({str(each.type) for each in pieces})
        raise TypeError(
            f"column {name!r} must be of one type in all files, got {' and '.join(types)}"
        ) from None
