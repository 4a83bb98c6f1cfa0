"""Models from what was typed: class, preset and parameters; training them is `fit`'s and `tune`'s."""

from __future__ import annotations

import argparse
import ast
from importlib import import_module
from typing import Any

from tripletrec.cli.options import UsageError, as_usage, count, seed, share

__all__ = ["MODELS", "add_parameters", "make_model", "setting"]

# Where the model is that a word stands for; the word is typed after --model.
MODELS = {
    "mf": ("factorization", "MatrixFactorization"),
    "two-tower": ("two_tower", "TwoTower"),
    "mlp": ("mlp", "MLPMatcher"),
    "ease": ("ease", "EASE"),
    "popularity": ("popularity", "Popularity"),
}
_PARAMETERS = {
    "loss": "loss",
    "factors": "n_factors",
    "epochs": "n_epochs",
    "history": "history",
    "seed": "random_state",
    "jobs": "n_jobs",
    "early_stopping": "early_stopping",
    "metric": "validation_metric",
}


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add the constructor's parameters of a model."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        choices=tuple(MODELS),
        default="mf",
        help="mf: MatrixFactorization (default); two-tower: TwoTower, which learns from features too; "
        "mlp: MLPMatcher; ease: EASE, --set l2=300; popularity: the same list for all",
    )
    group.add_argument("--preset", metavar="NAME", help="parameters that work well: bpr, softmax")
    group.add_argument("--loss", metavar="NAME", help="bpr, sigmoid, hinge, softmax, bsl, ccl ...")
    group.add_argument("--factors", type=count, metavar="N", help="numbers that stand for an item")
    group.add_argument("--epochs", type=count, metavar="N", help="passes over the events")
    group.add_argument(
        "--history",
        type=share,
        metavar="X",
        help="share of the items in what stands for a user, from 0 to 1, for losses such as softmax; not a "
        "list of items, as --history of recommend is",
    )
    group.add_argument("--seed", type=seed, metavar="N", help="of the random numbers (default: 0)")
    group.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="threads, which change no result (default: all that pay)",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any parameter of the model, such as learning_rate=0.05; may be given again",
    )


def make_model(options: argparse.Namespace) -> Any:
    """Return an unfitted model; raise `UsageError` if there is no such parameter or value."""
    module, name = MODELS[options.model]
    kind: Any = getattr(import_module(f"tripletrec.models.{module}"), name)
    known = kind().get_params()
    given = {}
    for option, parameter in _PARAMETERS.items():
        value = getattr(options, option, None)
        if value is not None:
            _check_known(parameter, known, f"--{option.replace('_', '-')}", options.model)
            given[parameter] = value
    for text in options.set:
        parameter, value = setting(text, "--set")
        _check_known(parameter, known, "--set", options.model)
        given[parameter] = value
    with as_usage():
        model = _preset(kind, options, given) if options.preset else kind(**given)
        model._check_parameters()
    return model


def _preset(kind: Any, options: argparse.Namespace, given: dict[str, Any]) -> Any:
    if not hasattr(kind, "preset"):
        raise UsageError(f"--preset: the model {options.model} has none")
    return kind.preset(options.preset, **given)


def _check_known(parameter: str, known: dict[str, Any], option: str, model: str) -> None:
    if parameter not in known:
        raise UsageError(
            f"{option}: the model {model} has no parameter {parameter!r}; it has {', '.join(known)}"
        )


def setting(text: str, option: str) -> tuple[str, Any]:
    """Return the name and the value of ``name=value``: a literal of Python, else a text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"{option} must be NAME=VALUE, such as n_factors=128, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value
