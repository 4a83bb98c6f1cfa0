"""``tripletrec recommend``: lists for all users, some users, or someone with a history."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from tripletrec.cli.ids import ids_at, read_ids, typed_ids
from tripletrec.cli.loading import load_model, show_progress
from tripletrec.cli.options import (
    UsageError,
    add_command,
    add_cutoff,
    add_with_seen,
    as_usage,
    check_output_path,
    note,
)
from tripletrec.cli.printing import json_text, print_json, print_rows

__all__ = ["NAME", "add_parser", "run"]

NAME = "recommend"
_BLOCK = 4096  # users whose lists are made at once


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "lists of items for users",
        "Write the best items for all users, best first: to a file (.parquet, .csv, .csv.gz, .tsv or "
        ".tsv.gz), or to standard output between tabs. What users had in training is left out.",
        "tripletrec recommend model.safetensors -k 20 -o lists.parquet",
    )
    parser.add_argument("model", help="a file that `tripletrec fit` wrote")
    add_cutoff(parser)
    parser.add_argument(
        "-o", "--output", default="-", metavar="FILE", help="default: standard output"
    )
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument(
        "--users",
        metavar="FILE",
        help="only for these: an id in each line, or a table with a column of users; '-' is standard input",
    )
    whom.add_argument(
        "--history",
        metavar="A,B,C",
        help="for one who is new, and had these items",
    )
    parser.add_argument(
        "--candidates", metavar="FILE", help="the only items to choose from, as --users"
    )
    parser.add_argument("--exclude", metavar="FILE", help="items that nobody gets, as --users")
    add_with_seen(parser)
    parser.add_argument("--user", metavar="NAME", help="the column of --users (default: guessed)")
    parser.add_argument(
        "--item", metavar="NAME", help="the column of --candidates and --exclude (default: guessed)"
    )


class _Request(NamedTuple):
    """What lists are made of; users None: all."""

    model: Any
    users: list[Any] | None
    options: dict[str, Any]  # of `recommend`


def run(options: argparse.Namespace) -> None:
    """Load, rank, write."""
    _check_columns(options)
    if options.output != "-":
        from tripletrec.models.lists import check_ending

        inputs = (options.model, options.users, options.candidates, options.exclude)
        check_output_path(options.output, inputs)
        with as_usage():
            check_ending(options.output, "-o")
    model = load_model(options.model, options)
    items = model._items()
    choice: dict[str, Any] = {"exclude": None if options.with_seen else "seen"}
    if options.exclude is not None:
        out = _known(options, read_ids(options, options.exclude, "item", items), items, "--exclude")
        choice["exclude"] = out if options.with_seen else ("seen", out)
    if options.candidates is not None:
        choice["candidates"] = _known(
            options, read_ids(options, options.candidates, "item", items), items, "--candidates"
        )
    if options.history is not None:
        _for_history(options, model, choice)
        return
    users = None
    if options.users is not None:
        asked = read_ids(options, options.users, "user", model._users())
        users = _known(options, asked, model._users(), "--users")
    _for_users(options, _Request(model, users, choice))


def _check_columns(options: argparse.Namespace) -> None:
    """Raise if a column is named of a file that is not given."""
    if options.user is not None and options.users is None:
        raise UsageError("--user is a column of --users, which is not given")
    if options.item is not None and options.candidates is options.exclude is None:
        raise UsageError("--item is a column of --candidates or --exclude, which are not given")


def _known(options: argparse.Namespace, ids: list[Any], known: Any, option: str) -> list[Any]:
    """Return the ids that the model knows, as it has them; say how many it does not."""
    rows = known.find(ids)
    kept = ids_at(known, rows[rows >= 0])
    if not kept:
        raise ValueError(
            f"{option}: the model knows none of the {len(ids)} {known.word}s, the first is {ids[0]!r}"
        )
    if len(kept) < len(ids):
        note(
            options,
            f"{option}: {len(ids) - len(kept)} of {len(ids)} {known.word}s are unknown to the model and "
            "left out",
        )
    return kept


def _for_history(options: argparse.Namespace, model: Any, choice: dict[str, Any]) -> None:
    texts = [each for each in options.history.split(",") if each]
    if not texts:
        raise UsageError("--history must be ids of items between commas, got none")
    history = _known(options, typed_ids(texts, model._items()), model._items(), "--history")
    from tripletrec.data.id_arrays import each_of
    from tripletrec.data.writing import id_text

    ids, scores = model.recommend_history(history, options.k, **choice)
    if options.output != "-":
        _write(options.output, ids, scores)
        _summary(options, 1, len(ids))
        return
    if options.json:
        print_json({"history": history, "items": ids, "scores": scores})
        return
    rows = zip(map(id_text, each_of(ids)), range(1, len(ids) + 1), scores, strict=True)
    print_rows(("item", "rank", "score"), rows)


def _for_users(options: argparse.Namespace, asked: _Request) -> None:
    from tripletrec.data.writing import id_text

    model, users, choice = asked
    if options.output != "-":
        n_rows = model.recommend_to(options.output, users, options.k, **choice)
        _summary(options, model.n_users_ if users is None else len(users), n_rows)
    elif options.json:
        _print_lists(_lists(asked, options.k))
    else:
        rows = (
            (id_text(user), id_text(item), rank, score)
            for user, items, scores in _lists(asked, options.k)
            for rank, (item, score) in enumerate(zip(items, scores, strict=True), 1)
        )
        print_rows(("user", "item", "rank", "score"), rows)


def _lists(asked: _Request, k: int) -> Iterator[tuple[Any, list[Any], Any]]:
    """Yield each user, the items and the scores, a block of users at a time."""
    import numpy as np

    from tripletrec.data.id_arrays import each_of

    model, users, choice = asked
    show_progress(model, False)  # the lists themselves show that it goes on
    if users is None:
        users = ids_at(model._users(), np.arange(model.n_users_))
    for first in range(0, len(users), _BLOCK):
        block = users[first : first + _BLOCK]
        ids, scores = model.recommend(block, k, **choice)
        for user, items, values in zip(block, ids, scores, strict=True):
            filled = values > -np.inf
            yield user, each_of(items[filled]), values[filled]


def _print_lists(lists: Iterator[tuple[Any, list[Any], Any]]) -> None:
    """Print a JSON array of an object for each user, in a line each."""
    before = "[\n"
    for user, items, scores in lists:
        sys.stdout.write(before + json_text({"user": user, "items": items, "scores": scores}))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


def _write(path: str, ids: Any, scores: Any) -> None:
    """Write a list to a file, as `recommend_to` does lists."""
    import pandas as pd

    from tripletrec._runtime.files import replacing
    from tripletrec.data.tidy import as_series
    from tripletrec.data.writing import as_text, write_table
    from tripletrec.models.lists import check_ending

    ending = check_ending(path)
    items = ids if ending == ".parquet" else as_text(ids)
    ranks = range(1, len(ids) + 1)
    table = pd.DataFrame({"item": as_series(items), "rank": ranks, "score": scores})
    with replacing(path) as temporary:
        write_table(table, temporary, ending, path)


def _summary(options: argparse.Namespace, n_users: int, n_rows: int) -> None:
    if options.json:
        print_json({"users": n_users, "rows": n_rows, "file": options.output})
    else:
        note(options, f"{n_rows} rows for {n_users} users are in {options.output}")
