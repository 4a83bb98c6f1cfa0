"""Models from files, and what they are measured on; popularity, which is put beside all of them, too."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tripletrec.cli.columns import like_model, read_events

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions

__all__ = [
    "load_model",
    "popularity_of",
    "read_test",
    "read_validation",
    "seen_of",
    "show_progress",
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
    """Return the interactions to test on, of the users and items of a model.

    What training had is left out here, so that it is said once.
    """
    test = read_events(options, path, like=like_model(model))
    test.check_not_empty(repr(path))
    seen = seen_of(model)
    if options.with_seen or seen is None:
        return test
    return _without_known(test, seen, (path, "the training data"))


def read_validation(options: argparse.Namespace, data: Interactions) -> Interactions:
    """Return the interactions to validate on, without what is learnt from, which is said of the files."""
    held_out = read_events(options, options.validation, like=data)
    held_out.check_not_empty(repr(options.validation))
    if getattr(options, "weighted", False):  # `fit` learns nothing from the others
        data = data[data.values > 0]
    return _without_known(held_out, data, (options.validation, options.train))


def _without_known(part: Interactions, known: Interactions, names: tuple[str, str]) -> Interactions:
    from tripletrec.evaluation import drop_known

    kept = drop_known(part, known, names)
    kept.n_dropped = part.n_dropped
    return kept


def seen_of(model: Any) -> Interactions | None:
    """Return what a model was trained on, as interactions of all its users and items; None: not known."""
    from tripletrec.data.interactions import Interactions

    seen = model.seen_
    if seen is None or seen.space.shape == (model.n_users_, model.n_items_):
        return seen
    return Interactions.from_arrays(
        seen.rows,
        seen.indices,
        shape=(model.n_users_, model.n_items_),
        user_ids=model.user_ids_,
        item_ids=model.item_ids_,
    )


def popularity_of(model: Any) -> tuple[Any, Any, Any]:
    """Return factors that rank items by how many users they had in training: the least to be beaten."""
    import numpy as np

    counts = np.asarray(model._item_counts(), np.float64)
    return np.zeros((model.n_users_, 1)), np.zeros((model.n_items_, 1)), counts
