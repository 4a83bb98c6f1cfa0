"""``tripletrec fit``: learns a model from a table of events and writes it to a file."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from tripletrec.cli.attributes import read_attributes
from tripletrec.cli.columns import read_events
from tripletrec.cli.loading import read_validation
from tripletrec.cli.making import add_parameters, make_model
from tripletrec.cli.options import (
    UsageError,
    add_columns,
    add_command,
    check_output_path,
    count,
)
from tripletrec.cli.printing import print_numbers

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions

__all__ = ["NAME", "add_parser", "run"]

NAME = "fit"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "learn a model from a table of events",
        "Learn a model from a table of events and write it to a file.",
        "tripletrec fit parts/train.parquet --preset softmax --validation parts/valid.parquet "
        "-o model.safetensors",
    )
    parser.add_argument("train", help="a file (.parquet, .csv, .tsv, .npz), a folder or a pattern")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="where the model goes (.safetensors)"
    )
    parser.add_argument(
        "--validation", metavar="FILE", help="events on which the model is measured as it learns"
    )
    parser.add_argument(
        "--early-stopping",
        type=count,
        metavar="N",
        help="stop after N epochs without a better --metric, and keep the best; needs --validation",
    )
    parser.add_argument("--metric", metavar="NAME", help="on --validation, such as ndcg@10")
    parser.add_argument(
        "--negatives",
        metavar="FILE",
        help="events of what users do not like, whatever their values; --min-value leaves none out",
    )
    parser.add_argument(
        "--user-features",
        metavar="FILE",
        help="a row for each user, dates in ISO 8601 (with --model two-tower)",
    )
    parser.add_argument(
        "--item-features",
        metavar="FILE",
        help="a row for each item, likewise (with --model two-tower)",
    )
    parser.add_argument(
        "--weighted", action="store_true", help="events weigh what their values say, not 1 each"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="what is learnt so far, so that a fit can go on"
    )
    parser.add_argument(
        "--no-seen",
        action="store_true",
        help="do not write what users had in training, which lists then do not leave out",
    )
    add_parameters(parser)
    add_columns(parser)


def run(options: argparse.Namespace) -> None:
    """Read, learn, write."""
    model = make_model(options)
    _check(options, model)
    inputs = (
        options.train, options.validation, options.negatives, options.user_features,
        options.item_features,
    )  # fmt: skip
    check_output_path(options.output, inputs)
    if options.checkpoint is not None:
        check_output_path(options.checkpoint, (*inputs, options.output), "--checkpoint")
    data = read_events(options, options.train)
    extra = _extra(options, data)
    verbose = model.get_params().get("verbose")
    if verbose == 0 and not options.quiet:
        model.set_params(verbose=1)
    started = time.perf_counter()
    model.fit(data, **extra)
    seconds = time.perf_counter() - started
    if verbose is not None:
        model.set_params(verbose=verbose)
    model.save(options.output, seen=not options.no_seen)
    print_numbers(_numbers(options, model, data, seconds), as_json=options.json)


def _check(options: argparse.Namespace, model: Any) -> None:
    """Raise if an option can have no effect with the others."""
    if not model._learns_in_epochs:
        for option in ("weighted", "checkpoint", "negatives"):
            if getattr(options, option):
                raise UsageError(f"--{option}: the model {options.model} has no use for it")
    for word in ("user", "item"):
        if getattr(options, f"{word}_features") is not None and not model._takes_features:
            raise UsageError(f"--{word}-features needs --model two-tower, got {options.model}")
    for option in ("early_stopping", "metric"):
        if getattr(options, option) is not None and options.validation is None:
            raise UsageError(f"--{option.replace('_', '-')} needs --validation")


def _extra(options: argparse.Namespace, data: Interactions) -> dict[str, Any]:
    """Return what `fit` is given beside the events."""
    given: dict[str, Any] = {}
    if options.validation is not None:
        given["validation"] = read_validation(options, data)
    if options.negatives is not None:
        every = argparse.Namespace(**{**vars(options), "min_value": None})
        given["negatives"] = read_events(every, options.negatives, like=data)
        given["negatives"]._check_not_empty(repr(options.negatives))
    if options.weighted:
        given["sample_weight"] = "values"
    if options.checkpoint is not None:
        given["checkpoint"] = options.checkpoint
    for word, ids in (("user", data._users), ("item", data._items)):
        path = getattr(options, f"{word}_features")
        if path is not None:
            given[f"{word}_features"] = read_attributes(options, path, word, ids.form)
    return given


def _numbers(
    options: argparse.Namespace, model: Any, data: Interactions, seconds: float
) -> dict[str, Any]:
    numbers = {
        "model": type(model).__name__,
        "users": data.n_users,
        "items": data.n_items,
        "interactions": data.nnz,
    }
    history = getattr(model, "history_", None)
    if history:
        best = next(each for each in history if each["epoch"] == model.best_epoch_)
        numbers |= {"epochs": history[-1]["epoch"], "best_epoch": model.best_epoch_}
        validated = {name: each for name, each in best.items() if name.startswith("validation_")}
        numbers |= {"loss": best["loss"], **validated}
    return numbers | {"seconds": round(seconds, 3), "file": options.output}
