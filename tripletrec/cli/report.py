"""``tripletrec report``: a page on models, their numbers and their lists."""

from __future__ import annotations

import argparse
from typing import Any

from tripletrec._runtime.messages import shown, shown_names
from tripletrec.cli.attributes import read_attributes
from tripletrec.cli.compare import load_models
from tripletrec.cli.ids import ids_at
from tripletrec.cli.loading import read_test
from tripletrec.cli.options import (
    UsageError,
    add_columns,
    add_command,
    add_cutoff,
    add_with_seen,
    check_output_path,
    note,
)
from tripletrec.cli.printing import plain, print_json

__all__ = ["NAME", "add_parser", "run"]

NAME = "report"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "a page on models, with pictures",
        "Write a page of HTML, which needs no network: the data, the models, their numbers with intervals "
        "beside popularity, pictures, lists of some users, items that nobody gets.",
        "tripletrec report model.safetensors --test parts/test.parquet -o report.html",
    )
    parser.add_argument(
        "models", nargs="+", metavar="model", help="files that `tripletrec fit` wrote"
    )
    parser.add_argument("--test", required=True, metavar="FILE", help="events: a file or a pattern")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="such as report.html")
    parser.add_argument("--title", default="Recommendations", help="of the page")
    parser.add_argument("--items", metavar="FILE", help="a table with the names of items")
    parser.add_argument(
        "--name", metavar="NAME", help="its column of names (default: the first but that of items)"
    )
    add_cutoff(parser)
    add_with_seen(parser)
    add_columns(parser)


def run(options: argparse.Namespace) -> None:
    """Load, read, rank, draw."""
    from tripletrec._checks import check_matplotlib
    from tripletrec.report import write_report

    if options.name is not None and options.items is None:
        raise UsageError("--name is a column of --items, which is not given")
    check_matplotlib()
    check_output_path(options.output, (*options.models, options.test, options.items))
    models = load_models(options)
    first = next(iter(models.values()))
    names = None if options.items is None else _names_of_items(options, first._items())
    test = read_test(options, options.test, first)
    exclude = None if options.with_seen else "seen"
    write_report(
        options.output, models, test, exclude, k=options.k, item_names=names, title=options.title
    )
    if options.json:
        print_json({"models": list(models), "output": options.output})
    else:
        note(options, f"wrote {options.output}")


def _names_of_items(options: argparse.Namespace, known: Any) -> dict[Any, Any]:
    """Return what the items of a model are called, by their ids; some names may be missing."""
    table = read_attributes(options, options.items, "item", known.form)
    columns = list(table.columns)
    column = columns[0] if options.name is None and columns else options.name
    if column not in columns:
        raise ValueError(
            f"no column of {options.items!r} is {column!r}: give --name, one of "
            f"{shown_names(columns, 400)}"
        )
    rows = known.find(table.index)
    if len(table) and (rows < 0).all():
        mine, theirs = ids_at(known, rows[:1] * 0)[0], table.index[0]
        raise ValueError(
            f"{options.items!r} names no item of the models: it has ids such as {shown(plain(theirs))}, they "
            f"such as {shown(plain(mine))}"
        )
    # Whole numbers beside missing ones have become floats.
    names = table[column][rows >= 0].convert_dtypes()
    return dict(zip(ids_at(known, rows[rows >= 0]), names, strict=True))
