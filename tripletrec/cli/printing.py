"""Tables between tabs that pipe well, and JSON; what is in them is for each command to say."""

from __future__ import annotations

import codecs
import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["in_full", "json_text", "plain", "print_json", "print_numbers", "print_rows"]


def print_rows(header: Sequence[str], rows: Iterable[Sequence[Any]], *, file: Any = None) -> None:
    """Print a line with the names of columns and one for each row, between tabs, without padding.

    Floats are measured numbers and get six digits; ids and times must be texts, see `id_text` and `in_full`.
    """
    writer, quoting = (
        csv.writer(file or sys.stdout, delimiter="\t", lineterminator="\n", quoting=each)
        for each in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )
    writer.writerow(header)
    for row in rows:
        cells = [_cell(each) for each in row]
        # Python 3.11 does not set what ends a line elsewhere in quotes.
        ends_a_line = any(isinstance(each, str) and "\r" in each for each in cells)
        (quoting if ends_a_line else writer).writerow(cells)


def print_numbers(numbers: Mapping[str, Any], *, as_json: bool) -> None:
    """Print names and values, one below the other or as a JSON object."""
    if as_json:
        print_json(numbers)
    else:
        print_rows(("name", "value"), numbers.items())


def in_full(numbers: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return names and values, of which some, ids or times, are the texts that `print_rows` takes."""
    from tripletrec.data.writing import id_text  # here, because help does without

    told = {name: numbers[name] for name in names if numbers[name] is not None}
    return {**numbers, **{name: id_text(each) for name, each in told.items()}}


def print_json(value: Any) -> None:
    """Print as JSON, in one line; what JSON does not know as `plain` says."""
    print(json_text(value))


def json_text(value: Any) -> str:
    """Return JSON in one line, in ASCII unless standard output takes all characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    in_ascii = codecs.lookup(encoding).name != "utf-8"
    return json.dumps(plain(value), ensure_ascii=in_ascii, allow_nan=False)


def plain(value: Any) -> Any:
    """Return what JSON has for a value: null for NaN and infinity, text for dates, bytes and UUIDs."""
    if hasattr(value, "tolist") and not hasattr(value, "isoformat"):
        value = _unpacked(value)
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    from tripletrec.data.writing import id_text  # here, because help does without

    return id_text(value)


def _unpacked(value: Any) -> Any:
    """Return an array of NumPy as a list, and a scalar as Python's own; dates stay dates."""
    from tripletrec.data.id_arrays import each_of
    from tripletrec.data.id_arrays import plain as own

    return each_of(value) if value.ndim else own(value)


def _cell(value: Any) -> Any:
    if isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f":
        return f"{float(value):.6g}"
    value = plain(value)
    return "" if value is None else json.dumps(value) if isinstance(value, (dict, list)) else value
