"""``tripletrec tune``: chooses a model's parameters on validation data and writes the best model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tripletrec.cli.columns import read_events
from tripletrec.cli.loading import read_validation
from tripletrec.cli.making import add_parameters, make_model, setting
from tripletrec.cli.options import (
    UsageError,
    add_columns,
    add_command,
    as_usage,
    check_output_path,
    count,
    note,
    positive,
)
from tripletrec.cli.printing import print_json, print_rows

if TYPE_CHECKING:
    from tripletrec.tuning import Tuning

__all__ = ["NAME", "add_parser", "run"]

NAME = "tune"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "choose a model's parameters on validation data",
        "Try parameters of a model, print a line for each trial, and write the best model, fitted again on "
        "training and validation data. Needs Optuna: pip install optuna.",
        "tripletrec tune parts/train.parquet --validation parts/valid.parquet --preset softmax --trials 30 "
        "-o model.safetensors",
    )
    parser.add_argument("train", help="a file (.parquet, .csv, .tsv, .npz), a folder or a pattern")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="where the model goes (.safetensors)"
    )
    parser.add_argument(
        "--validation",
        metavar="FILE",
        help="events to measure on (default: a tenth of all, at random)",
    )
    parser.add_argument(
        "--metric",
        dest="tuned_metric",  # `metric` would be the model's own
        default="ndcg@10",
        metavar="NAME",
        help="what is to be high (default: ndcg@10)",
    )
    parser.add_argument("--trials", type=count, default=50, metavar="N", help="default: 50")
    parser.add_argument(
        "--timeout", type=positive, metavar="SECONDS", help="after which no trial begins"
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="keeps trials, so that the same command goes on with them: sqlite:///tuning.db",
    )
    parser.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="NAME=RANGE",
        help="what to try: learning_rate=0.01:0.5:log, or n_factors=32,64; may be given again "
        "(default: what suits the model)",
    )
    parser.add_argument(
        "--refit",
        choices=("all", "train"),
        default="all",
        help="on what the best is fitted: all: validation data too (default), or train",
    )
    add_parameters(parser)
    add_columns(parser)


def run(options: argparse.Namespace) -> None:
    """Read, try, write."""
    from tripletrec.evaluation import check_metric
    from tripletrec.tuning import tune
    from tripletrec.tuning.spaces import default_space, need_optuna, read_space

    metric = options.tuned_metric
    with as_usage():
        check_metric(metric, "--metric")
    model, space = make_model(options), dict(map(_range, options.space)) or None
    if options.storage is not None and "://" not in options.storage:
        raise UsageError(
            f"--storage must be a URL such as sqlite:///tuning.db, got {options.storage!r}"
        )
    need_optuna()
    with as_usage():
        read_space(default_space(model) if space is None else space, model)
    check_output_path(options.output, (options.train, options.validation))
    data = read_events(options, options.train)
    validation: Any = 0.1
    if options.validation is not None:
        validation = read_validation(options, data)
    found = tune(
        model,
        space,
        data,
        validation=validation,
        metric=metric,
        n_trials=options.trials,
        timeout=options.timeout,
        storage=options.storage,
        refit=options.refit,
        random_state=options.seed or 0,
        verbose=int(not options.quiet),
    )
    try:  # neither a full disk nor a closed pipe loses what took so long
        _print(options, found)
    finally:
        found.best_model.save(options.output)


def _print(options: argparse.Namespace, found: Tuning) -> None:
    trials = found.trials.reset_index()
    if options.json:
        print_json(
            {
                "best_value": found.best_value,
                "best_params": {name: _named(each) for name, each in found.best_params.items()},
                "importance": found.importance.to_dict(),
                "trials": trials.to_dict("records"),
                "file": options.output,
            }
        )
        return
    print_rows(list(trials.columns), trials.itertuples(index=False))
    best = ", ".join(f"{name}={_named(each)}" for name, each in found.best_params.items())
    note(
        options,
        f"the best of {len(trials)}: {options.tuned_metric} {found.best_value:.4f} with {best}",
    )


def _range(text: str) -> tuple[str, Any]:
    """Return the name and the space of ``name=low:high[:log]`` or ``name=a,b,c``."""
    name, value = setting(text, "--space")
    parts = str(value).split(":") if isinstance(value, str) else []
    if len(parts) in (2, 3) and parts[2:] in ([], ["log"]):
        low, high = (setting(f"{name}={each}", "--space")[1] for each in parts[:2])
        if not (isinstance(low, (int, float)) and isinstance(high, (int, float))):
            raise UsageError(f"--space: {name} must be from a number to a number, got {value!r}")
        return name, (low, high, *parts[2:])
    if isinstance(value, str):
        return name, [setting(f"{name}={each}", "--space")[1] for each in value.split(",")]
    return name, list(value) if isinstance(value, (tuple, list)) else [value]


def _named(value: Any) -> Any:
    simple = value is None or isinstance(value, (bool, int, float, str))
    return value if simple else repr(value)
