"""``tripletrec evaluate``: how good a model's lists are, beside those of what is popular."""

from __future__ import annotations

import argparse
from typing import Any

from tripletrec.cli.loading import load_model, read_test, without_seen
from tripletrec.cli.options import add_columns, add_command, add_with_seen, as_usage, count
from tripletrec.cli.printing import print_json, print_rows

__all__ = ["NAME", "add_metrics", "add_parser", "check_jobs", "run"]

NAME = "evaluate"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "measure a model on events that it has not learnt from",
        "Rank all items for each user and measure where those of the test events stand. What users had in "
        "training is left out. 95 % intervals are of a bootstrap over users. Popularity, which a model must "
        "beat, stands beside it.",
        "tripletrec evaluate model.safetensors parts/test.parquet -k 10 50",
    )
    parser.add_argument("model", help="a file that `tripletrec fit` wrote")
    parser.add_argument("test", help="events: a file, a folder or a pattern")
    parser.add_argument(
        "--lists",
        action="store_true",
        help="also how many items are in the lists, how evenly, and how popular they are",
    )
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
    add_with_seen(parser)
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="threads, which change no result (default: all that pay)",
    )


def run(options: argparse.Namespace) -> None:
    """Load, read, rank."""
    from tripletrec.evaluation import evaluate
    from tripletrec.models.listed import popularity_of

    check_jobs(options)
    model = load_model(options.model, options)
    test = read_test(options, options.test, model)
    if not options.with_seen:
        test = without_seen(test, options.test, model)
    exclude = None if options.with_seen else "seen"
    shared: dict[str, Any] = {"k": options.k, "n_jobs": options.jobs}
    result = evaluate(model, test, exclude, **shared, verbose=int(not options.quiet))
    popular = evaluate(popularity_of([model]), test, exclude, **shared).mean
    interval = result.interval()
    lists = result.lists.T.to_dict() if options.lists else {}
    if options.json:
        print_json(
            {
                "users": len(result.per_user),
                "interactions": test.nnz,
                "dropped": test.n_dropped,
                "model": result.mean.to_dict(),
                "interval": interval[["low", "high"]].T.to_dict("list"),
                "popularity": popular.to_dict(),
                **({"lists": lists} if lists else {}),
            }
        )
        return
    rows = [
        (name, value, interval["low"][name], interval["high"][name], popular[name])
        for name, value in result.mean.items()
    ]
    rows += [(f"{name}@{k}", value, "", "", "") for k in lists for name, value in lists[k].items()]
    print_rows(("metric", "model", "low", "high", "popularity"), rows)


def check_jobs(options: argparse.Namespace) -> None:
    """Refuse a number of threads before the work."""
    from tripletrec._checks import check_n_jobs

    with as_usage():
        check_n_jobs(options.jobs)
