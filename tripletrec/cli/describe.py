"""``tripletrec describe``: how many events there are, how uneven, and from when to when."""

from __future__ import annotations

import argparse
from typing import Any

from tripletrec.cli.columns import read_events
from tripletrec.cli.options import add_columns, add_command
from tripletrec.cli.printing import in_full, print_numbers

__all__ = ["NAME", "add_parser", "run"]

NAME = "describe"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "what a table of events is like",
        "Count users, items and interactions, and tell how uneven they are and from when to when.",
        "tripletrec describe events.parquet --user user_id --item product_id --time ts",
    )
    parser.add_argument("events", help="a file (.parquet, .csv, .tsv, .npz), a folder or a pattern")
    add_columns(parser)


def run(options: argparse.Namespace) -> None:
    """Read and count."""
    from tripletrec.data.describing import TIMES

    numbers = read_events(options, options.events).describe().to_dict()
    print_numbers(numbers if options.json else in_full(numbers, TIMES), as_json=options.json)
