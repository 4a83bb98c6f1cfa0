"""``tripletrec compare``: several models on the same test events, popularity first."""

from __future__ import annotations

import argparse
import os
from typing import Any

from tripletrec.cli.evaluate import add_metrics
from tripletrec.cli.loading import load_model, popularity_of, read_test
from tripletrec.cli.options import add_columns, add_command
from tripletrec.cli.printing import print_json, print_rows

__all__ = ["NAME", "add_parser", "run"]

NAME = "compare"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "measure several models on the same events",
        "Measure models that learnt from the same users and items on the same test events.",
        "tripletrec compare a.safetensors b.safetensors --test parts/test.parquet",
    )
    parser.add_argument(
        "models", nargs="+", metavar="model", help="files that `tripletrec fit` wrote"
    )
    parser.add_argument("--test", required=True, metavar="FILE", help="events: a file or a pattern")
    add_metrics(parser)
    add_columns(parser)


def run(options: argparse.Namespace) -> None:
    """Load, read, rank."""
    from tripletrec.data.space import check_same_space
    from tripletrec.evaluation import evaluate

    models = {
        name: load_model(path, options)
        for name, path in zip(_names(options.models), options.models, strict=True)
    }
    first = next(iter(models.values()))
    for name, model in models.items():
        try:
            check_same_space(model._space(), first._space(), name, "the first model")
        except ValueError:
            raise ValueError(
                f"{name} must know the same users and items as {next(iter(models))}: fit both on one file"
            ) from None
    test = read_test(options, options.test, first)
    shared: dict[str, Any] = {"k": options.k, "n_jobs": options.jobs}
    exclude = None if options.with_seen else first.seen_
    means = {"popularity": evaluate(popularity_of(first), test, exclude=exclude, **shared).mean}
    for name, model in models.items():
        out = None if options.with_seen else "seen"
        means[name] = evaluate(model, test, out, **shared, verbose=int(not options.quiet)).mean
    if options.json:
        print_json({name: mean.to_dict() for name, mean in means.items()})
        return
    metrics = list(means["popularity"].index)
    rows = [(name, *(mean[each] for each in metrics)) for name, mean in means.items()]
    print_rows(("model", *metrics), rows)


def _names(paths: list[str]) -> list[str]:
    """Return what tables call models: the names of their files or, where these are alike, the paths."""
    names = [os.path.basename(path) for path in paths]
    if len(set(names)) == len(names) and "popularity" not in names:
        return names
    return [path if paths.count(path) == 1 else f"{path}#{n}" for n, path in enumerate(paths, 1)]
