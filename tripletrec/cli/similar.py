"""``tripletrec similar``: which items are like some, or which users."""

from __future__ import annotations

import argparse
from typing import Any

from tripletrec.cli.ids import ids_at, typed_ids
from tripletrec.cli.loading import load_model
from tripletrec.cli.options import add_command, add_cutoff
from tripletrec.cli.printing import print_json, print_rows

__all__ = ["NAME", "add_parser", "run"]

NAME = "similar"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "items that are like an item",
        "Print the items most similar to others, by the cosine of what the model has learnt of them.",
        "tripletrec similar model.safetensors sku-1 -k 5",
    )
    parser.add_argument("model", help="a file that `tripletrec fit` wrote")
    parser.add_argument("ids", nargs="+", metavar="id", help="items")
    parser.add_argument("--users", action="store_true", help="the ids are those of users")
    add_cutoff(parser)


def run(options: argparse.Namespace) -> None:
    """Load, compare, print."""
    import numpy as np

    from tripletrec.data.id_arrays import each_of
    from tripletrec.data.writing import id_text

    model = load_model(options.model, options)
    known = model._users() if options.users else model._items()
    # As the model has them; of one that is unknown it says so.
    given = ids_at(known, known.rows(typed_ids(options.ids, known)))
    ask = model.similar_users if options.users else model.similar_items
    word = "user" if options.users else "item"
    found = []
    for each, ids, scores in zip(given, *ask(given, options.k), strict=True):
        filled = scores > -np.inf
        found.append((each, each_of(ids[filled]), scores[filled]))
    if options.json:
        print_json([{word: each, f"{word}s": ids, "scores": scores} for each, ids, scores in found])
        return
    rows = (
        (id_text(each), id_text(other), rank, score)
        for each, ids, scores in found
        for rank, (other, score) in enumerate(zip(ids, scores, strict=True), 1)
    )
    print_rows((word, "similar", "rank", "score"), rows)
