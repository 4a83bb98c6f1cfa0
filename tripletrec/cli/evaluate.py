"""``tripletrec evaluate``: how good a model's lists are, beside those of what is popular."""

from __future__ import annotations

import argparse
from typing import Any

from tripletrec.cli.loading import load_model, popularity_of, read_test
from tripletrec.cli.options import add_columns, add_command, count
from tripletrec.cli.printing import print_json, print_rows

__all__ = ["NAME", "add_parser", "run"]

NAME = "evaluate"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "measure a model on events that it has not learnt from",
        "Rank all items for each user and measure where those of the test events stand. What users had in "
        "training is left out. Popularity, which a model must beat, stands beside it.",
        "tripletrec evaluate model.safetensors parts/test.parquet -k 10 50",
    )
    parser.add_argument("model", help="a file that `tripletrec fit` wrote")
    parser.add_argument("test", help="events: a file, a folder or a pattern")
    add_metrics(parser)
    add_columns(parser)


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Add what is measured, and how."""
    parser.add_argument(
        "-k",
        type=count,
        nargs="+",
        default=[10],
        metavar="N",
        help="lengths of lists (default: 10)",
    )
    parser.add_argument(
        "--with-seen", action="store_true", help="do not leave out what users had in training"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="threads, which change no result (default: all that pay)",
    )


def run(options: argparse.Namespace) -> None:
    """Load, read, rank."""
    from tripletrec.evaluation import evaluate

    model = load_model(options.model, options)
    test = read_test(options, options.test, model)
    shared: dict[str, Any] = {"k": options.k, "n_jobs": options.jobs}
    verbose = int(not options.quiet)
    result = evaluate(
        model, test, exclude=None if options.with_seen else "seen", **shared, verbose=verbose
    )
    exclude = None if options.with_seen else model.seen_
    popular = evaluate(popularity_of(model), test, exclude=exclude, **shared).mean
    if options.json:
        print_json(
            {
                "users": len(result.per_user),
                "interactions": test.nnz,
                "dropped": test.n_dropped,
                "model": result.mean.to_dict(),
                "popularity": popular.to_dict(),
            }
        )
        return
    rows = [(name, value, popular[name]) for name, value in result.mean.items()]
    print_rows(("metric", "model", "popularity"), rows)
