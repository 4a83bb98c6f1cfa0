"""Events that a cluster is given, as pieces that workers read; what is made of them is in `shuffle`.

A source is parquet, in files that all workers see or behind a URL that fsspec knows, or a Dask DataFrame. Its
pieces have an order, that of the names of the files or of the partitions, which matters only where events of
equal time are merged by position.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from tripletrec._runtime.messages import said_by, shown
from tripletrec.data.columns import check_column
from tripletrec.data.frames import checked_columns, columns_of
from tripletrec.data.paths import find_files

__all__ = ["FilePiece", "is_table", "name_of", "pieces_of", "read_piece"]

ROWS = 1 << 22  # of a piece of a file, about


class FilePiece(NamedTuple):
    """Some row groups of a file of parquet, and the names of its columns."""

    path: str
    groups: tuple[int, ...]


def is_table(source: Any) -> bool:
    """Tell whether a source is one that `pieces_of` takes."""
    return isinstance(source, (str, os.PathLike)) or _is_dask(source)


def _is_dask(source: Any) -> bool:
    return hasattr(source, "to_delayed") and hasattr(source, "npartitions")


def pieces_of(source: Any, names: Mapping[str, Any]) -> list[Any]:
    """Return what `read_piece` reads, in order: of files `FilePiece`, of a Dask DataFrame its partitions.

    Parameters
    ----------
    source : path-like, URL or Dask DataFrame
    names : dict
        The names of the columns "user" and "item", and of others that are read.

    Raises
    ------
    FileNotFoundError, OSError, TypeError, ValueError
        If there is no parquet, a column is missing, or files differ in the type of a column.
    """
    if _is_dask(source):
        for name in names.values():
            check_column(name, list(source.columns), table="source")
        parts: list[Any] = source.to_delayed(optimize_graph=True)
        return parts
    if not is_table(source):
        raise TypeError(
            "source must be a path or URL of parquet, a Dask DataFrame or Interactions, "
            f"got {shown(source)}"
        )
    types: dict[str, set[str]] = {name: set() for name in names.values()}
    pieces = []
    for path in _paths_of(source):
        with _Opened(path) as file:
            schema = file.schema_arrow
            for name in names.values():
                check_column(name, schema.names, table=repr(path))
                if file.metadata.num_rows:
                    types[name].add(str(schema.field(name).type))
            pieces += [FilePiece(path, groups) for groups in _groups_of(file.metadata)]
    for name, found in types.items():
        if len(found) > 1:
            raise TypeError(
                f"column {name!r} must be of one type in all files, got {' and '.join(sorted(found))}"
            )
    return pieces


def read_piece(piece: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a piece by role, as `tripletrec.data.frames` numbers them.

    Parameters
    ----------
    piece : FilePiece, or the pandas DataFrame that a partition is
    names : dict
    """
    if isinstance(piece, FilePiece):
        with _Opened(piece.path) as file:
            piece = file.read_row_groups(
                list(piece.groups), columns=list(dict.fromkeys(names.values()))
            )
    return checked_columns(columns_of(piece, names), names)


def name_of(piece: Any, number: int) -> str:
    """Return what messages call a piece, in which positions are counted.

    Parameters
    ----------
    piece : FilePiece, or what stands for a partition
    number : int
        How many pieces come before it.
    """
    if not isinstance(piece, FilePiece):
        return f"partition {number} of source"
    first = piece.groups[0]
    return f"{piece.path!r}, from its row group {first} on" if first else repr(piece.path)


def _paths_of(source: Any) -> list[str]:
    if isinstance(source, str) and "://" in source:
        return _paths_behind(source)
    files = find_files(source)
    if files.format != "parquet":
        raise ValueError(f"source must lead to files of parquet, got {str(files.paths[0])!r}")
    return [str(path.absolute()) for path in files.paths]


def _paths_behind(url: str) -> list[str]:
    try:
        system, path = import_module("fsspec.core").url_to_fs(url)
        found = [path] if path.endswith(".parquet") else sorted(system.find(path))
        found = sorted(system.glob(path)) if "*" in path else found
    except (ImportError, OSError, ValueError) as error:
        raise OSError(f"source {url!r} cannot be read ({said_by(error)})") from None
    found = [system.unstrip_protocol(each) for each in found if each.endswith(".parquet")]
    if not found:
        raise FileNotFoundError(f"source {url!r} has no file of the format .parquet")
    return found


def _groups_of(metadata: Any) -> list[tuple[int, ...]]:
    """Return runs of row groups of a file, each of some `ROWS` rows."""
    runs: list[list[int]] = []
    n = ROWS
    for group in range(metadata.num_row_groups):
        if n >= ROWS:
            runs.append([])
            n = 0
        runs[-1].append(group)
        n += metadata.row_group(group).num_rows
    return [tuple(each) for each in runs]


class _Opened:
    """A file of parquet, open inside the block; whatever is wrong with it is said in one sentence."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> Any:
        parquet, fsspec = import_module("pyarrow.parquet"), import_module("fsspec")
        try:
            self._file = fsspec.open(self._path, "rb").open()
            try:
                return parquet.ParquetFile(self._file)
            except BaseException:
                self._file.close()
                raise
        except Exception as error:
            raise self._sentence(error) from None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._file.close()
        if error is not None and type(error).__module__.startswith("pyarrow"):
            raise self._sentence(error) from None

    def _sentence(self, error: Exception) -> Exception:
        if isinstance(error, OSError) and error.errno is not None:
            return OSError(error.errno, f"cannot read {self._path!r}: {error.strerror}")
        return ValueError(f"{self._path!r} is damaged, or no parquet file ({said_by(error)})")
