"""Tables of events as people name them: which column is which, and interactions of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tripletrec._runtime.messages import shorten, shown_names
from tripletrec.cli.options import UsageError, note

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions
    from tripletrec.data.paths import Files

__all__ = [
    "LACKING",
    "check_has_values",
    "guess",
    "like_model",
    "named_columns",
    "of_value",
    "read_events",
]

# In the order of preference; without capitals and all that is no letter and no digit.
_COMMON = {
    "user": (
        "user", "userid", "uid", "userkey", "customer", "customerid", "client", "clientid", "visitor",
        "visitorid", "member", "memberid", "account", "accountid", "reviewerid", "listener", "reader",
    ),
    "item": (
        "item", "itemid", "iid", "itemkey", "product", "productid", "sku", "movie", "movieid", "article",
        "articleid", "track", "trackid", "song", "songid", "artist", "artistid", "book", "bookid", "isbn",
        "asin", "parentasin", "business", "businessid", "content", "contentid", "video", "videoid",
        "game", "gameid", "recipe", "recipeid",
    ),
    "value": ("value", "rating", "ratings", "stars", "score", "weight"),
    "timestamp": (
        "time", "timestamp", "ts", "datetime", "date", "eventtime", "eventtimestamp", "createdat",
        "unixtime", "unixreviewtime", "day", "orderedat", "orderdate", "ordertime", "purchasedat",
        "purchasedate", "occurredat", "viewedat", "clickedat", "ratedat", "insertedat",
    ),
}  # fmt: skip
LACKING = "they lack a user, an item, a value or a time"
_OPTIONS = {"user": "--user", "item": "--item", "value": "--value", "timestamp": "--time"}


def guess(role: str, header: Sequence[str]) -> str | None:
    """Return the column that by its name is of a role, or None.

    Parameters
    ----------
    role : {"user", "item", "value", "timestamp"}
    header : sequence of str
        The names of all columns.

    Raises
    ------
    ValueError
        If several are it equally.
    """
    plain = {name: re.sub("[^a-z0-9]", "", str(name).lower()) for name in header}
    for common in _COMMON[role]:
        found = [name for name, each in plain.items() if each == common]
        if len(found) > 1:
            raise ValueError(
                f"{shorten(' and '.join(map(repr, found)))} could both be the column: give {_OPTIONS[role]}"
            )
        if found:
            return found[0]
    return None


def named_columns(
    options: argparse.Namespace, path: str, roles: Sequence[str] = tuple(_COMMON)
) -> dict[str, Any]:
    """Return the names of the columns of a file by role, as far as there are such; say which were guessed.

    A matrix or a memory map has no columns: the answer is empty.
    """
    from tripletrec.data.reading import read_header

    files = _with_columns(path)
    asked = {role: getattr(options, _OPTIONS[role][2:], None) for role in roles}
    if isinstance(files, str):
        if given := [_OPTIONS[role] for role, name in asked.items() if name is not None]:
            raise UsageError(f"{given[0]}: {path!r} is {files}, which has no columns")
        return {}
    header = read_header(files)
    names = {role: _name_of(role, name, header, path) for role, name in asked.items()}
    named = {role: name for role, name in names.items() if name is not None}
    _check_two(named)
    _say_guessed(options, path, {role: each for role, each in named.items() if not asked[role]})
    return named


def _check_two(names: dict[str, str]) -> None:
    if "user" in names and names["user"] == names.get("item"):
        raise UsageError(f"--user and --item must be two columns, got {names['user']!r} for both")


def _with_columns(path: str) -> Files | str:
    """Return the files of a path, or what it is instead of files that have columns."""
    from tripletrec.data.memory_mapped import is_memory_map
    from tripletrec.data.paths import find_files

    if is_memory_map(path):
        return "a memory map"
    files = find_files(path)
    return "a matrix" if files.format == "npz" else files


def _say_guessed(options: argparse.Namespace, path: str, names: dict[str, str]) -> None:
    """Say which columns were taken for what, unless they are named as `tripletrec split` names them."""
    words = [f"{_OPTIONS[role]} {name}" for role, name in names.items()]
    if any(_OPTIONS[role] != f"--{name}" for role, name in names.items()):
        note(options, f"{path}: {' '.join(words)}")


def _name_of(role: str, asked: str | None, header: Sequence[str], path: str) -> str | None:
    """Return which column is of a role: the one asked for or, if none is, the one that looks like it."""
    if asked is not None:
        optional = role in ("value", "timestamp")
        return None if asked == "none" and optional and asked not in header else asked
    name = guess(role, header)
    if name is None and role in ("user", "item"):
        if len(header) == 1 and (found := re.search(r"[;,|\t]", header[0])):
            raise ValueError(
                f"{path!r} has {found[0]!r} between its columns: a .csv has commas, a .tsv tabs"
            )
        raise ValueError(
            f"no column of {path!r} looks like that of the {role}s: give {_OPTIONS[role]}; "
            f"there are {shown_names(header, 400)}"
        )
    return name


def read_events(
    options: argparse.Namespace, path: str, like: Interactions | None = None
) -> Interactions:
    """Return the interactions of a file, with `like` of its users and items; say what is left out."""
    from tripletrec.data.interactions import Interactions

    names = named_columns(options, path)
    data = Interactions.read(
        path,
        **names,
        duplicates=options.duplicates,
        like=like,
        unknown="raise" if like is None else "drop",
        missing="drop" if options.drop_missing else "raise",
    )
    if options.min_value is not None:
        check_has_values(names, path)
        data = of_value(data, options.min_value, path)
    if data.n_dropped and len(data):  # of all of them there has been a warning
        reasons = [LACKING] if options.drop_missing else []
        if like is not None:
            reasons.append("training had no such user or item")
        note(options, f"{path}: {data.n_dropped} events are left out, for {' or '.join(reasons)}")
    return data


def like_model(model: Any) -> Interactions:
    """Return interactions of the users and items of a fitted model: none."""
    from tripletrec.data.interactions import Interactions

    return Interactions.from_arrays(
        [],
        [],
        shape=(model.n_users_, model.n_items_),
        user_ids=model.user_ids_,
        item_ids=model.item_ids_,
    )


def check_has_values(names: dict[str, Any], path: str) -> None:
    """Raise if ``--min-value`` is given of columns without values; a matrix has some."""
    if names and "value" not in names:
        raise ValueError(
            f"--min-value needs a column of values, which {path!r} lacks: give --value"
        )


def of_value(data: Interactions, least: float, path: str) -> Interactions:
    """Return the interactions of a value of at least so much."""
    kept = data[data.values >= least]
    kept._check_not_empty(f"what {path!r} has of values >= {least:g}")
    kept.n_dropped = data.n_dropped
    return kept
