"""What messages show of a value, and warnings at the line of the user's code; what they say is not here."""

from __future__ import annotations

import sys
import warnings
from typing import Any

__all__ = ["said_by", "shorten", "shown", "warn_user"]


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


def said_by(error: BaseException) -> str:
    """Return the class and the text of an error, as part of a sentence."""
    return f"{type(error).__name__}: {shorten(str(error))}"


def warn_user(message: str) -> None:
    """Issue a `UserWarning` at the innermost line outside this package."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(
        "tripletrec."
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
