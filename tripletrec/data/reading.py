"""Files of events as tables, and files of matrices; finding them is in `paths`, events in two more files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tripletrec._runtime.files import with_sentence
from tripletrec._runtime.messages import said_by
from tripletrec.data.columns import check_column
from tripletrec.data.delimited import read_delimited, read_names
from tripletrec.data.ids import Form
from tripletrec.data.parquet import read_parquet, read_parquet_names
from tripletrec.data.paths import Files

__all__ = ["read_columns", "read_header", "read_matrix", "without_values"]


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
        return read_parquet(files.paths, names, forms)
    return read_delimited(files.paths, files.format, names, forms)


def read_header(files: Files) -> list[str]:
    """Return the names of the columns of the first of some files, those that its folders tell too."""
    path = files.paths[0]
    if files.format != "parquet":
        return read_names(path, files.format)
    return read_parquet_names(path)


def without_values(files: Files, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of the columns but that of values, which must be there even where it is not read."""
    if "value" in names:
        check_column(names["value"], read_header(files), table=repr(str(files.paths[0])))
    return {role: name for role, name in names.items() if role != "value"}


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
    except Exception as error:  # what is damaged may make zipfile, NumPy and SciPy raise anything
        if isinstance(error, OSError) and error.errno is not None:
            raise with_sentence(error, f"cannot read {str(path)!r}") from None
        advice = "pickle" in str(error)  # to load it unsafely
        raise ValueError(
            f"{str(path)!r} is damaged, or no matrix that scipy.sparse.save_npz wrote"
            f"{'' if advice else f' ({said_by(error)})'}"
        ) from None
