"""Ids that were typed or stand in files, as the ids of a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tripletrec._runtime.files import TABLE_FORMATS
from tripletrec.cli.columns import named_columns

__all__ = ["ids_at", "read_ids", "typed_ids"]


def ids_at(known: Any, rows: Any) -> list[Any]:
    """Return the ids of a model at some rows, one by one."""
    from tripletrec.data.id_arrays import each_of

    return each_of(rows if known.values is None else known.values[rows])


def typed_ids(texts: list[Any], known: Any) -> list[Any]:
    """Return texts as ids of the kind that a model has: numbers where its ids are numbers.

    Parameters
    ----------
    texts : list of str
        What is no text, as columns of Parquet may hold, stays as it is.
    known : Ids
        Of the model.
    """
    if known.form == "texts":
        return list(texts)
    by_text: dict[str, Any] = {}
    kind = "" if known.values is None else known.values.dtype.kind
    if known.form is None and kind != "f":  # dates, UUIDs, or of several types: as they are printed
        from tripletrec.data.id_arrays import each_of
        from tripletrec.data.writing import id_text

        by_text = {id_text(each): each for each in each_of(known.values)}
    others: dict[str, Callable[[str], Any]] = {"M": _date, "f": partial(_float, known)}
    other = others.get(kind, _number)
    return [by_text.get(each, other(each)) if isinstance(each, str) else each for each in texts]


def read_ids(options: argparse.Namespace, path: str, role: str, known: Any) -> Any:
    """Return the ids in a file: a line each, or the column of a table; "-" is standard input.

    Parameters
    ----------
    options : argparse.Namespace
    path : str
    role : {"user", "item"}
        Whose ids they are.
    known : Ids
        Of the model.
    """
    if path.lower().endswith(tuple(TABLE_FORMATS)):
        from tripletrec.data.paths import find_files
        from tripletrec.data.reading import read_columns

        name = named_columns(options, path, (role,))[role]
        both = {"user": name, "item": name}  # one column for both: there need be no other
        form = known.form
        column = read_columns(find_files(path), both, {"user": form, "item": form})["user"]
        was_text = hasattr(column, "codes")
        ids = column.ids.tolist() if was_text else column.to_pylist()
        if not ids:
            raise ValueError(f"{path!r} has no rows: at least one id is needed")
        if form is None:
            ids = typed_ids(list(map(str, ids)) if was_text else ids, known)
        return _distinct(ids)
    if path == "-":
        text = sys.stdin.read().removeprefix("\ufeff")
    else:
        with open(path, encoding="utf-8-sig") as file:
            try:
                text = file.read()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path!r} must be text in UTF-8, an id in each line: {error}"
                ) from None
    # Not `splitlines`, to which other characters end a line, too, which ids may hold.
    texts = [each for each in text.split("\n") if each.strip()]
    if not texts:
        raise ValueError(f"{path!r} must have an id in each line, got none")
    return _distinct(typed_ids(texts, known))


def _distinct(ids: list[Any]) -> list[Any]:
    return list(dict.fromkeys(ids))


def _date(text: str) -> Any:
    import numpy as np

    try:
        return np.datetime64(text)
    except ValueError:
        return text


def _float(known: Any, text: str) -> Any:
    """Return a number in the precision of a model's ids: a float32 is written in 8 digits, and in all."""
    import numpy as np

    from tripletrec.data.delimited import is_number

    if not is_number(text):
        return text
    with np.errstate(over="ignore"):  # what is too large is none of them
        return known.values.dtype.type(text).item()


def _number(text: str) -> Any:
    try:
        number = int(text)
    except ValueError:
        return text
    return number if str(number) == text else text  # "007" is no number, as where files are read
