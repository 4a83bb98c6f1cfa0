"""Models from files, and what they are measured on."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tripletrec.cli.columns import like_model, read_events

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions
    from tripletrec.sampling.draw import ItemsOfUsers

__all__ = [
    "load_model",
    "read_test",
    "read_validation",
    "show_progress",
    "without_seen",
]


def load_model(path: str, options: argparse.Namespace) -> Any:
    """Return the model of a file, which shows progress unless that is to be quiet."""
    from tripletrec.models.saving import load

    model = load(path, mmap=True)
    show_progress(model, not options.quiet)
    return model


def show_progress(model: Any, shown: bool) -> None:
    """Let a model show its progress or not, if it has any."""
    if "verbose" in model.get_params():
        model.set_params(verbose=int(shown))


def read_test(options: argparse.Namespace, path: str, model: Any) -> Interactions:
    """Return the interactions to test on, of the users and items of a model."""
    test = read_events(options, path, like=like_model(model))
    test._check_not_empty(repr(path))
    return test


def without_seen(test: Interactions, path: str, model: Any) -> Interactions:
    """Return what is tested without what a model's training had, so that this is said once, of the file."""
    from tripletrec.ranking.exclusion import seen_by

    seen = seen_by(model)
    return test if seen is None else _without_known(test, seen, (path, "the training data"))


def read_validation(options: argparse.Namespace, data: Interactions) -> Interactions:
    """Return the interactions to validate on, without what is learnt from, which is said of the files."""
    held_out = read_events(options, options.validation, like=data)
    held_out._check_not_empty(repr(options.validation))
    if getattr(options, "weighted", False):  # `fit` learns nothing from the others
        data = data[data.values > 0]
    return _without_known(held_out, data, (options.validation, options.train))


def _without_known(
    part: Interactions, known: Interactions | ItemsOfUsers, names: tuple[str, str]
) -> Interactions:
    from tripletrec.evaluation import drop_known

    kept = drop_known(part, known, names)
    kept.n_dropped = part.n_dropped
    return kept
