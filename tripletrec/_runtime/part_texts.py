"""What parts such as losses look like when they are printed; what they are is in their rooms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

__all__ = ["text_of"]


def text_of(
    part: Any,
    room: str,
    known: Mapping[str, Callable[..., Any]],
    arguments: Mapping[str, Callable[[Any], Mapping[str, Any]]],
) -> str:
    """Return the code that makes a built-in part; of one of the user's own its kind and its name.

    Parameters
    ----------
    part : named tuple
        Has a field `name`.
    room : str
        The module that the code is of, such as "losses".
    known : mapping of str to callable
        What makes the built-in parts, by name.
    arguments : mapping of str to callable
        Of those that take arguments: what returns the arguments of a part.
    """
    with suppress(Exception):  # fields of the user's own may be anything
        make, name = known[part.name], part.name
        if name not in arguments:
            if make() == part:
                return f"{room}.{name.upper()}"
        else:
            for digits in (6, 17):  # what was computed from an argument may be a rounding off
                given = {key: _rounded(each, digits) for key, each in arguments[name](part).items()}
                if make(**given) == part:
                    inside = ", ".join(f"{key}={each!r}" for key, each in given.items())
                    return f"{room}.{re.sub('[ -]', '_', name)}({inside})"
    return f"<{type(part).__name__} {getattr(part, 'name', None)!r}>"


def _rounded(value: Any, digits: int) -> Any:
    return value if isinstance(value, int) or value is None else float(f"{value:.{digits}g}")
