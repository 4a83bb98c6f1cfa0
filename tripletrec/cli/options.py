"""The parser of all commands, arguments that mean the same everywhere, and notes to people."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from shutil import get_terminal_size
from typing import Any, NoReturn, TypeVar

from tripletrec._runtime.progress import Forgiving

__all__ = [
    "Parser",
    "UsageError",
    "add_columns",
    "add_command",
    "add_cutoff",
    "add_with_seen",
    "as_usage",
    "check_output_path",
    "count",
    "for_terminal",
    "note",
    "positive",
    "say",
    "seed",
    "share",
]

N = TypeVar("N", int, float)
# What steers a terminal, tabs and ends of lines apart, or turns the order of the letters beside it.
_STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class UsageError(Exception):
    """The command is not typed as it must be, which shows only when it runs."""


@contextmanager
def as_usage() -> Iterator[None]:
    """Let what the library refuses of what was typed end the command as all else that is not typed well."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from None


class Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage, and takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:  # noqa: D102
        self.exit(2, f"{self.prog}: error: {for_terminal(' '.join(message.split()))}\n")


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    help: str,
    description: str,
    example: str,
    *,
    json: bool = True,
) -> argparse.ArgumentParser:
    """Return the parser of a command, with the options that all have.

    Parameters
    ----------
    commands : object
        From ``add_subparsers``.
    name : str
    run : callable
        Takes the options.
    help, description, example : str
        A line in the list of commands; what it does; what to type.
    json : bool, default True
        Whether ``--json`` is the flag of all commands; False: the command has its own.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, max(20, get_terminal_size().columns - 2)),
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on stderr")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add the names of the columns of tables of events."""
    group = parser.add_argument_group(
        "columns", "Names that are common need not be given; which are taken is said on stderr."
    )
    group.add_argument("--user", metavar="NAME", help="column of users")
    group.add_argument("--item", metavar="NAME", help="column of items")
    group.add_argument("--value", metavar="NAME", help="column of values >= 0, or 'none'")
    group.add_argument("--time", metavar="NAME", help="column of times, or 'none'")
    group.add_argument(
        "--drop-missing",
        action="store_true",
        help="leave out rows that lack a user, an item, a value or a time",
    )
    group.add_argument(
        "--duplicates",
        choices=("sum", "max", "last", "first", "count"),
        default="sum",
        help="what stands for several events of a user with an item (default: sum)",
    )
    group.add_argument(
        "--min-value",
        type=_number,
        metavar="X",
        help="leave out what has a lower value, such as ratings below 4",
    )


def add_cutoff(parser: argparse.ArgumentParser) -> None:
    """Add the length of lists."""
    parser.add_argument(
        "-k",
        type=count,
        default=10,
        metavar="N",
        help="length of a list (default: 10)",
    )


def add_with_seen(parser: argparse.ArgumentParser) -> None:
    """Add what keeps the items of training in rankings and lists."""
    parser.add_argument(
        "--with-seen", action="store_true", help="do not leave out what users had in training"
    )


def count(text: str) -> int:
    """Return a whole number >= 1."""
    return _parsed(text, int, lambda number: number >= 1, "an integer >= 1")


def seed(text: str) -> int:
    """Return a whole number from 0 to 2**63 - 1."""
    return _parsed(text, int, lambda number: 0 <= number < 2**63, "from 0 to 2**63 - 1")


def positive(text: str) -> float:
    """Return a finite number > 0."""
    return _parsed(text, float, lambda number: 0.0 < number < math.inf, "a finite number > 0")


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    return _parsed(text, float, lambda number: 0.0 <= number <= 1.0, "a number from 0 to 1")


def _number(text: str) -> float:
    return _parsed(text, float, math.isfinite, "a finite number")


def _parsed(text: str, kind: Callable[[str], N], allows: Callable[[N], bool], rule: str) -> N:
    """Return the number that a text is, or raise what `argparse` tells of an option."""
    try:
        number = kind(text)
    except ValueError:
        pass
    else:
        if allows(number):
            return number
    raise argparse.ArgumentTypeError(f"must be {rule}, got {text!r}")


def for_terminal(text: str) -> str:
    """Return a text as people may see it: ids and names of files or columns may be anybody's."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """Write a line to standard error, if that takes it: nothing that is said is worth a model."""
    if sys.stderr is not None:
        print(f"tripletrec: {for_terminal(text)}", file=Forgiving(sys.stderr))


def note(options: argparse.Namespace, text: str) -> None:
    """Write a line to standard error, unless that is to be quiet."""
    if not options.quiet:
        say(text)


def check_output_path(path: str, inputs: Iterable[str | None], name: str = "-o") -> str:
    """Return the path of a file to be written; raise if it is one that is read, or cannot be written.

    What is there already is replaced when the new file is complete, as `cp` would.

    Parameters
    ----------
    path : str
        Of the file to be written.
    inputs : iterable of str or None
        Files, folders and patterns that are read; None: not given.
    name : str, default "-o"
        Of the option.
    """
    from tripletrec._runtime.files import check_writable

    if os.path.exists(path) and any(os.path.samefile(each, path) for each in _files_of(inputs)):
        raise UsageError(f"{name} must not be a file that is read, got {path!r}")
    check_writable(path, name)
    return path


def _files_of(inputs: Iterable[str | None]) -> Iterator[str | os.PathLike[str]]:
    """Yield the files that are read."""
    from tripletrec.data.paths import files_at

    for each in inputs:
        if each is not None:
            with suppress(OSError):  # whoever reads it says what is wrong with it
                yield from files_at(each)
