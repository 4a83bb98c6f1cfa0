"""How error messages show a value, and warnings that point at the line of the user's code."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = [
    "Said",
    "said_by",
    "shorten",
    "shown",
    "shown_names",
    "warn_of_all",
    "warn_user",
    "warnings_of",
]

Said = dict[str, list[str]]
"""Messages, and the names of all that they were said of."""
_KEPT: ContextVar[tuple[str, Said] | None] = ContextVar("_KEPT", default=None)


def shown(value: Any, width: int = 80) -> str:
    """Return what a message shows of a value of the user's: one line, not too long."""
    try:
        text = repr(value)
    except Exception:  # a number of too many digits; a class whose repr fails
        text = f"<{type(value).__name__}>"
    return shorten(text, width)


def shorten(text: str, width: int = 160) -> str:
    """Return a text in one line of limited length: its begin and its end."""
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width // 2]}...{text[-width // 4 :]}"


def shown_names(names: Iterable[Any], width: int = 160) -> str:
    """Return what a message shows of names, as of columns: with commas, in one line of limited length."""
    return shorten(", ".join(map(repr, names)), width)


def said_by(error: BaseException) -> str:
    """Return the class and the text of an error, as part of a sentence."""
    return f"{type(error).__name__}: {shorten(str(error))}"


def warn_user(message: str) -> None:
    """Issue a `UserWarning` at the innermost line outside this package, unless `warnings_of` keeps it."""
    if (kept := _KEPT.get()) is not None:
        name, said = kept
        said.setdefault(message, []).append(name)
        return
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(
        "tripletrec."
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


@contextmanager
def warnings_of(name: str, said: Said) -> Iterator[None]:
    """Let `warn_user` keep its messages in `said`, as of a thing of this name; for `warn_of_all`."""
    token = _KEPT.set((name, said))
    try:
        yield
    finally:
        _KEPT.reset(token)


def warn_of_all(said: Said) -> None:
    """Issue what was kept, with the names: messages that differ in their numbers alone are one warning."""
    alike: dict[str, list[str]] = {}
    for message, names in said.items():
        sentence = f"{', '.join(names)}: {message}"
        alike.setdefault(re.sub(r"\d+", "#", message), []).append(sentence)
    for sentences in alike.values():
        warn_user("; ".join(sentences))
