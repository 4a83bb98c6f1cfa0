"""Ids that were typed or stand in files, as the ids of a model; which of them it knows is not judged here."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tripletrec.cli.columns import named_columns
from tripletrec.cli.printing import plain

__all__ = ["read_ids", "typed_ids"]

_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")


def typed_ids(texts: list[str], known: Any) -> list[Any]:
    """Return texts as ids of the kind that a model has: numbers where its ids are numbers.

    Parameters
    ----------
    texts : list of str
    known : Ids
        Of the model.
    """
    if known.form == "texts":
        return list(texts)
    by_text = {}
    if known.form is None:  # dates, UUIDs, floats, or of several types: as they are printed
        by_text = {str(plain(each)): each for each in known.values.tolist()}
    return [by_text[each] if each in by_text else _number(each) for each in texts]


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
    if path.lower().endswith(_TABLES):
        from tripletrec.data.paths import find_files
        from tripletrec.data.reading import read_columns

        name = named_columns(options, path, (role,))[role]
        both = {"user": name, "item": name}  # one column for both: there need be no other
        form = known.form
        column = read_columns(find_files(path), both, {"user": form, "item": form})["user"]
        texts = column.ids.tolist() if hasattr(column, "codes") else column.to_pylist()
        if not texts:
            raise ValueError(f"{path!r} has no rows: at least one id is needed")
        return _distinct(texts if form is not None else typed_ids([str(e) for e in texts], known))
    if path == "-":
        lines = sys.stdin.read().removeprefix("\ufeff").splitlines()
    else:
        with open(path, encoding="utf-8-sig") as file:
            try:
                lines = file.read().splitlines()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path!r} must be text in UTF-8, an id in each line: {error}"
                ) from None
    texts = [each for each in lines if each.strip()]
    if not texts:
        raise ValueError(f"{path!r} must have an id in each line, got none")
    return _distinct(typed_ids(texts, known))


def _distinct(ids: list[Any]) -> list[Any]:
    return list(dict.fromkeys(ids))


def _number(text: str) -> Any:
    try:
        number = int(text)
    except ValueError:
        return text
    return number if str(number) == text else text  # "007" is no number, as where files are read
