"""``tripletrec info``: what a file of a model holds."""

from __future__ import annotations

import argparse
import os
from typing import Any

from tripletrec.cli.loading import load_model
from tripletrec.cli.options import add_command
from tripletrec.cli.printing import in_full, plain, print_json, print_rows

__all__ = ["NAME", "add_parser", "run"]

NAME = "info"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "what a file of a model holds",
        "Tell of which class a model is, how many users and items it has, and its parameters.",
        "tripletrec info model.safetensors",
    )
    parser.add_argument("model", help="a file that `tripletrec fit` wrote")


def run(options: argparse.Namespace) -> None:
    """Load and tell."""
    options.quiet = True
    model = load_model(options.model, options)
    seen = model.seen_
    numbers: dict[str, Any] = {
        "model": type(model).__name__,
        "bytes": os.path.getsize(options.model),
        "users": model.n_users_,
        "items": model.n_items_,
        "first_user": _first(model.user_ids_),
        "first_item": _first(model.item_ids_),
        "interactions": None if seen is None else seen.nnz,
    }
    if history := getattr(model, "history_", None):
        numbers |= {"epochs": history[-1]["epoch"], "best_epoch": model.best_epoch_}
        best = next((each for each in history if each["epoch"] == model.best_epoch_), history[-1])
        numbers |= {
            name: value for name, value in best.items() if name.startswith(("loss", "validation_"))
        }
    parameters = {name: _told(each) for name, each in model._settled_params().items()}
    if options.json:
        print_json({**numbers, "parameters": parameters})
        return
    numbers = in_full(numbers, ("first_user", "first_item"))
    rows = [*numbers.items(), *((f"parameter {name}", each) for name, each in parameters.items())]
    print_rows(("name", "value"), rows)


def _first(ids: Any) -> Any:
    return None if ids is None else plain(ids[:1])[0]


def _told(value: Any) -> Any:
    """Return a parameter as JSON has it; of a part such as a loss, its name."""
    if hasattr(value, "name"):
        return value.name
    simple = value is None or isinstance(value, (bool, int, float, str, list, tuple))
    return plain(value) if simple else repr(value)
