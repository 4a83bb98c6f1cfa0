"""The command's parser, and how a run ends: exit codes and errors in one sentence; commands are beside it."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from tripletrec._runtime.files import with_sentence
from tripletrec._runtime.progress import Forgiving
from tripletrec._runtime.versions import version_of
from tripletrec.cli import (
    compare,
    describe,
    evaluate,
    fit,
    info,
    recommend,
    report,
    reproduce,
    similar,
    split,
    tune,
)
from tripletrec.cli.options import Parser, UsageError, for_terminal, say

__all__ = ["build_parser", "main"]

_COMMANDS = (
    describe, split, fit, evaluate, compare, recommend, similar, report, info, tune, reproduce
)  # fmt: skip

# What the library says of its arguments, and what is typed here.
_WORDS = {
    'missing="drop" leaves': "--drop-missing leaves",
    "saved with seen=False, or it was fitted on a cluster with collect=False": "written with --no-seen",
    "saved with seen=False": "written with --no-seen",
    "save it with seen=True, or pass exclude=train, or exclude=None": (
        "fit it without --no-seen, or give --with-seen"
    ),
    "save it with seen=True, or fit it with collect=True": "fit it without --no-seen",
    "save it with seen=True": "fit it without --no-seen",
    "exclude=None counts it": "--with-seen counts it",
    "goes to fit as negatives=": "goes to fit as --negatives",
}

_EXAMPLE = """\
from a table of events to lists:
  tripletrec describe events.csv
  tripletrec split events.csv --test 14D -o parts/
  tripletrec fit parts/train.csv --preset softmax -o model.safetensors
  tripletrec evaluate model.safetensors parts/test.csv
  tripletrec recommend model.safetensors -k 20 -o lists.csv

Results go to standard output, all else to standard error. Exit codes: 0 success, 1 data, a model
or a file is not as it must be, or a file cannot be written, 2 the command is not typed as it must
be, 130 Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the command's name; those of the process by default.

    Returns
    -------
    int
        0 after success, 1 if data, a model or a file is not as it must be, or a file cannot be written,
        130 after Ctrl-C. Bad arguments raise ``SystemExit`` with code 2, as in argparse.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.error(f"give a command: {', '.join(each.NAME for each in _COMMANDS)}")
    try:
        with warnings.catch_warnings(), _standard_output():
            warnings.showwarning = _warn
            options.run(options)
            sys.stdout.flush()
    except UsageError as error:
        options.parser.error(str(error))
    except KeyboardInterrupt as interruption:
        say("interrupted")
        _say_notes(interruption)
        return 130
    except BrokenPipeError:  # whoever reads the lists has had enough of them
        _close_output()
    except Exception as error:
        if options.debug:
            raise
        say(f"error: {_sentence(error)}")
        _say_notes(error)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, without importing what they compute with."""
    parser = Parser(
        prog="tripletrec",
        description="Recommenders learnt from triplets.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"tripletrec {version_of('tripletrec')}"
    )
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    for each in _COMMANDS:
        each.add_parser(commands)
    return parser


def _sentence(error: Exception) -> str:
    """Return what an error says in one line; of one that nobody foresaw, the class too."""
    text = _as_typed(str(error))
    if isinstance(error, MemoryError):
        return f"there is not enough memory{': ' + text if text else ''}"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {os.fsdecode(error.filename)!r}"
    if isinstance(error, (OSError, ValueError, TypeError, ImportError, FloatingPointError)):
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _as_typed(text: str) -> str:
    """Return what the library says in one line, in the words of the command."""
    text = " ".join(text.split())
    for said, typed in _WORDS.items():
        text = text.replace(said, typed)
    return text


def _say_notes(error: BaseException) -> None:
    """Say what was added to an error on its way, such as what `tune` had found until then."""
    for each in getattr(error, "__notes__", ()):
        say(f"note: {' '.join(each.split())}")


def _warn(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
    """Say a warning as an error is said; what is of interest to programmers only is left out."""
    if issubclass(category, UserWarning):
        say(f"warning: {_as_typed(str(message))}")


@contextmanager
def _standard_output() -> Iterator[None]:
    """Let what is printed go nowhere in a process that has no standard output.

    Characters that it cannot take are escaped, as on standard error: no output ends in the middle. Its errors
    say that they are of standard output.
    """
    if sys.stdout is None:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield
        return
    stream: Any = sys.stdout
    errors = getattr(stream, "errors", None)
    escapes = errors in ("strict", "surrogateescape") and hasattr(stream, "reconfigure")
    if escapes:
        stream.reconfigure(errors="backslashreplace")
    output: Any = _Named(stream)
    try:
        with redirect_stdout(output):
            yield
    finally:
        if escapes:
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)


class _Named:
    """Standard output, whose errors name it; a terminal is not steered by what is printed."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._is_terminal = stream, Forgiving(stream).isatty()

    def write(self, text: str) -> None:
        with _named_output():
            self._stream.write(for_terminal(text) if self._is_terminal else text)

    def flush(self) -> None:
        with _named_output():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _named_output() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise with_sentence(error, "cannot write to standard output") from None


def _close_output() -> None:
    """Let what is still to be written go nowhere, so that Python does not complain at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # not a file of the system
        pass
