"""``tripletrec compare``: several models on the same test events, popularity first."""

from __future__ import annotations

import argparse
import os
from typing import Any

from tripletrec.cli.evaluate import add_metrics, check_jobs
from tripletrec.cli.loading import load_model, read_test
from tripletrec.cli.options import add_columns, add_command
from tripletrec.cli.printing import print_json, print_rows

__all__ = ["NAME", "add_parser", "load_models", "run"]

NAME = "compare"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "measure several models on the same events",
        "Measure models of the same users and items on the same test events; for each, what users had in its "
        "own training is left out. Popularity, counted on all that they were trained on, comes first: "
        "differences are those to it, with 95 % intervals and p-values of a test over users.",
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
    from tripletrec.evaluation import compare
    from tripletrec.models.listed import popularity_of

    check_jobs(options)
    models = load_models(options)
    test = read_test(options, options.test, next(iter(models.values())))
    popular = popularity_of(list(models.values()))
    found = compare(
        {"popularity": popular, **models}, test, None if options.with_seen else "seen",
        k=options.k, n_jobs=options.jobs, verbose=int(not options.quiet),
    )  # fmt: skip
    table = found.table.reset_index()
    if options.json:
        print_json({"mean": found.mean.T.to_dict(), "table": table.to_dict("records")})
    else:
        print_rows(list(table.columns), table.itertuples(index=False))


def load_models(options: argparse.Namespace) -> dict[str, Any]:
    """Return the models of several files by name; raise unless all know the same users and items."""
    from tripletrec.data.space import check_same_space

    models = {
        name: load_model(path, options)
        for name, path in zip(_names(options.models), options.models, strict=True)
    }
    one, first = next(iter(models.items()))
    for name, model in models.items():
        try:
            check_same_space(model._space(), first._space(), name, "the first model")
        except ValueError:
            raise ValueError(
                f"{name} must know the same users and items as {one}: fit both on one file"
            ) from None
        _check_ids_alike({one: first, name: model})
    return models


def _check_ids_alike(models: dict[str, Any]) -> None:
    """Raise if one of two models alone has ids: their rows need not be of the same users and items."""
    for word in ("user", "item"):
        lacks = {getattr(each, f"{word}_ids_") is None: name for name, each in models.items()}
        if len(lacks) > 1:
            raise ValueError(
                f"{lacks[False]} has {word} ids and {lacks[True]} has none, so that nothing says that they "
                f"know the same {word}s: fit both on one file"
            )


def _names(paths: list[str]) -> list[str]:
    """Return what tables call models: the names of their files or, where these are alike, their paths."""
    # A name that is no text becomes one, as it is printed, too.
    paths = [path.encode("utf-8", "backslashreplace").decode("utf-8") for path in paths]
    # "popularity" is what models are compared with: a file of that name is "./popularity".
    paths = [os.path.join(os.curdir, path) if path == "popularity" else path for path in paths]
    names = [os.path.basename(path) for path in paths]
    if len(set(names)) == len(names) and "popularity" not in names:
        return names
    if len(set(paths)) == len(paths):
        return paths
    return [f"{path}#{n}" for n, path in enumerate(paths, 1)]
