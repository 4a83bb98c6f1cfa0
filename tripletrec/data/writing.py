"""Tables as files, and ids as these have them; files are read in `delimited` and `parquet`."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.files import with_sentence
from tripletrec.data.foreign import need_pyarrow

__all__ = ["appending", "as_text", "id_text", "write_table"]

_ROWS = 1 << 19  # that are made text at once


def id_text(each: Any) -> str:
    """Return an id, or a time, as text: dates in ISO 8601, bytes as the text that they are."""
    if isinstance(each, bytes):
        return each.decode("utf-8", "backslashreplace")
    told = each
    if isinstance(each, np.datetime64) and isinstance(each.item(), int):  # finer than Python's own
        shorter = each.astype("M8[us]")
        told = shorter if shorter == each else each
    told = told.item() if isinstance(told, np.datetime64) else told
    return str(told.isoformat()) if hasattr(told, "isoformat") else str(each)


def as_text(ids: NDArray[Any]) -> NDArray[Any]:
    """Return ids that delimited text can hold only as `id_text` has them so, all others as they are.

    What pandas would write of a date depends on the other dates of its table.
    """
    kind = ids.dtype.kind
    if kind in "mM" or kind == "O" and any(isinstance(each, (bytes, date)) for each in ids):
        return np.array([id_text(each) for each in ids], object)
    return ids


@contextmanager
def appending(path: Any, ending: str) -> Iterator[Callable[[Any], None]]:
    """Give what appends tables of pandas to a new file of delimited text, below the names of their columns.

    Parameters
    ----------
    path : path-like
    ending : str
        ".csv" or ".tsv", or one of these and ".gz".
    """
    with open(path, "wb") as plain:
        # Without a time, so that the same tables are the same bytes.
        packed = gzip.GzipFile("", "wb", 6, plain, mtime=0) if ending.endswith(".gz") else plain
        separator = "\t" if ending.startswith(".tsv") else ","
        header = True

        def append(table: Any) -> None:
            nonlocal header
            for first in range(0, max(len(table), 1), _ROWS):
                text = _delimited(table.iloc[first : first + _ROWS], separator, header)
                packed.write(text.encode("utf-8", "backslashreplace"))  # as bytes are
                header = False

        yield append
        if packed is not plain:
            packed.close()


def _delimited(table: Any, separator: str, header: bool) -> str:
    options = {"sep": separator, "index": False, "header": header, "lineterminator": "\n"}
    text: str = table.to_csv(**options)
    if "\r" in text:  # which ends a line where it is not in quotes, and Python 3.11 sets none
        text = table.to_csv(**options, quoting=csv.QUOTE_NONNUMERIC)
    return text


def write_table(table: Any, path: str | os.PathLike[str], ending: str, name: Any) -> None:
    """Write a table of pandas to a file.

    Parameters
    ----------
    table : DataFrame
    path : path-like
        Where it is written, such as the temporary file of `replacing`.
    ending : str
        ".parquet", or as of `appending`.
    name : path-like
        The file as errors name it.
    """
    try:
        if ending == ".parquet":
            _write_parquet(table, path)
            return
        with appending(path, ending) as append:
            append(table)
    except OSError as error:
        raise with_sentence(error, f"cannot write {str(os.fsdecode(name))!r}") from None


def _write_parquet(table: Any, path: str | os.PathLike[str]) -> None:
    pyarrow = need_pyarrow("a file of the format parquet")
    try:
        table.to_parquet(path, engine="pyarrow", index=False)
    except pyarrow.ArrowException as error:
        raise ValueError(
            f"ids must be of one type that Parquet has: write .csv instead ({error})"
        ) from None
