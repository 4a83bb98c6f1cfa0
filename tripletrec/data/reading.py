"""Files of events as tables, and files of matrices; finding them is in `paths`, text files in `delimited`."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from tripletrec._runtime.files import with_sentence
from tripletrec._runtime.messages import said_by
from tripletrec.data.columns import check_column
from tripletrec.data.delimited import (
    numbers_of,
    read_delimited,
    read_names,
    text_ids,
    times_of,
)
from tripletrec.data.foreign import dictionary_chunks, need_pyarrow
from tripletrec.data.ids import Form
from tripletrec.data.paths import Files

__all__ = ["read_columns", "read_header", "read_matrix"]

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def read_columns(
    files: Files, names: Mapping[str, Any], forms: Mapping[str, Form]
) -> dict[str, Any]:
    """Return the named columns of files of events, one below the other, by role.

    Parameters
    ----------
    files : Files
    names : dict
        The names of the columns "user", "item" and, if there are such, "value" and "timestamp".
    forms : dict
        What ids that are read as texts are to be, for "user" and "item", see `text_ids`.
    """
    if files.format == "parquet":
        return _read_parquet(files.paths, names, forms)
    return read_delimited(files.paths, files.format, names, forms)


def read_header(files: Files) -> list[str]:
    """Return the names of the columns of the first of some files, those that its folders tell too."""
    path = files.paths[0]
    if files.format != "parquet":
        return read_names(path, files.format)
    pa = need_pyarrow("a file of the format parquet")
    with _sentences(path, pa):
        names: list[str] = import_module("pyarrow.parquet").read_schema(path).names
    return [*names, *(each for each in _told_by(path) if each not in names)]


def read_matrix(paths: list[Path]) -> Any:
    """Return the matrix of a file that `scipy.sparse.save_npz` wrote."""
    from scipy.sparse import load_npz

    if len(paths) > 1:
        raise ValueError(
            f"path must lead to one .npz file, which is one matrix, got {len(paths)}: "
            f"{str(paths[0])!r} and others"
        )
    path = paths[0]
    try:
        return load_npz(path)
    except OSError as error:
        if error.errno is not None:
            raise with_sentence(error, f"cannot read {str(path)!r}") from None
        wrong: Exception = error
    except (
        ValueError, KeyError, EOFError, TypeError, AttributeError, NotImplementedError,
        MemoryError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        wrong = error
    raise ValueError(
        f"{str(path)!r} is damaged, or no matrix that scipy.sparse.save_npz wrote ({said_by(wrong)})"
    ) from None


def _read_parquet(
    paths: list[Path], names: Mapping[str, Any], forms: Mapping[str, Form]
) -> dict[str, Any]:
    pa = need_pyarrow("a file of the format parquet")
    parts = [_read_one(path, names, pa) for path in paths]
    parts = [each for each in parts if each.n_rows] or parts[:1]
    columns: dict[str, Any] = {}
    for role, name in names.items():
        pieces = [each.columns[role] for each in parts]
        told = {isinstance(each, str) for each in pieces}
        if len(told) > 1:
            raise ValueError(
                f"column {name!r} must be in all files or in the names of all folders, got both"
            )
        if told == {True}:
            columns[role] = _of_folders(pieces, [each.n_rows for each in parts], role, name, forms)
        else:
            columns[role] = _below_each_other(pieces, name, pa)
    return columns


class _Part(NamedTuple):
    """The columns of one file by role: of Arrow, or the text that its folder's name gives."""

    columns: dict[str, Any]
    n_rows: int


def _read_one(path: Path, names: Mapping[str, Any], pa: Any) -> _Part:
    """Read the named columns of a file; texts that are ids as codes, without writing them all down."""
    parquet = import_module("pyarrow.parquet")
    with _sentences(path, pa):
        with parquet.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        folders = _told_by(path)
        for name in names.values():
            if name not in folders or name in schema.names:
                check_column(name, [*schema.names, *folders], table=repr(str(path)))
        coded = [name for name in (names["user"], names["item"]) if _is_text(schema, name, pa)]
        kept = [name for name in schema.names if name in names.values()]
        # Not buffered before it is decoded: that would hold all of the file.
        with parquet.ParquetFile(
            path, metadata=metadata, read_dictionary=coded, pre_buffer=False
        ) as file:
            table = file.read(columns=kept)
        columns = {
            role: table[name] if name in kept else unquote(folders[name])
            for role, name in names.items()
        }
        for role in ("user", "item"):
            columns[role] = _coded(columns[role], pa)
    return _Part(columns, metadata.num_rows)


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
    pieces: list[str], n_rows: list[int], role: str, name: str, forms: Mapping[str, Form]
) -> Any:
    """Return a column that the names of folders tell, such as "day=2024-01-31"."""
    import pandas as pd

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
