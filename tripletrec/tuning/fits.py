"""What trials, and the best model in the end, are fitted on; checked before the first trial."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from tripletrec._runtime.messages import shown
from tripletrec.data.features import align
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.union import joined_times
from tripletrec.evaluation import drop_known
from tripletrec.models.fit_arguments import check_sample_weight, read_learnt_from
from tripletrec.models.folds import check_order
from tripletrec.splits import train_test_split

__all__ = ["Fits", "check_times", "read_fits"]


class Fits(NamedTuple):
    """What is learnt from and measured on, and the other arguments of `fit`."""

    data: Interactions
    held_out: Interactions
    params: dict[str, Any]  # of trials
    params_of_all: dict[str, Any]  # of a fit on both

    def together(self) -> Interactions:
        """Return the interactions of both, which have none in common."""
        data, more = self.data, self.held_out
        return Interactions._build(
            np.concatenate([data.rows, more.rows]),
            np.concatenate([data.indices, more.indices]),
            np.concatenate([data.values, more.values]),
            joined_times(data, more),
            data._users,
            data._items,
        )


def read_fits(
    X: Any, validation: Any, seed: int, fit_params: dict[str, Any], *, on_all: bool
) -> Fits:
    """Return what `tune` was given; raise if a trial or, with `on_all`, a fit on all could not take it."""
    if "checkpoint" in fit_params:
        raise TypeError(
            "checkpoint is not for tune, whose trials would take each other's: give storage=, which keeps "
            "those that are done"
        )
    data, held_out = _parts(X, validation, seed)
    params = params_of_all = fit_params
    weights = fit_params.get("sample_weight")
    if not isinstance(validation, Interactions) and np.ndim(validation) == 0 and _is_list(weights):
        check_order(weights, X)
        every = as_interactions(X, "X")
        weights = np.asarray(check_sample_weight(weights, every))
        params_of_all = {**fit_params, "sample_weight": weights}
        params = {
            **fit_params,
            "sample_weight": weights[np.searchsorted(_keys(every), _keys(data))],
        }
    fits = Fits(data, held_out, params, params_of_all)
    n_learnt = _check_fit(data, params)
    if on_all:
        try:
            if _check_fit(fits.together(), params_of_all) == n_learnt:
                raise ValueError("sample_weight is 0 for all validation data")
        except (ValueError, TypeError) as error:
            raise type(error)(
                f"refit='all' is a fit on X and the validation data, which cannot be: {error}; give "
                "refit='train', or what is of both, such as Interactions of both as sample_weight"
            ) from None
    return fits


def check_times(models: Iterable[Any], fits: Fits) -> None:
    """Raise if one of the models needs times in a fit on all, and the validation data have none such."""
    for model in models:
        try:
            model._check_times(fits.data, fits.held_out)
        except ValueError:
            raise ValueError(
                "validation must have timestamps of the kind that X has, for refit='all' fits "
                f"{shown(model)} on both: give them with Interactions.from_frame(..., timestamp=...), or "
                "refit='train'"
            ) from None


def _parts(X: Any, validation: Any, seed: int) -> tuple[Interactions, Interactions]:
    data = as_interactions(X, "X")
    data._check_not_empty("X")
    if isinstance(validation, (float, np.floating)) or isinstance(validation, Integral):
        try:
            return train_test_split(data, float(validation), random_state=seed % 2**32)
        except ValueError as error:
            raise ValueError(str(error).replace("test_size", "validation")) from None
    if validation is None:
        raise TypeError("validation must be positives to measure on, or a share of X, got None")
    held_out = as_interactions(validation, "validation", data.space)
    held_out._check_not_empty("validation")
    return data, drop_known(held_out, data, ("validation", "X"))


def _is_list(weights: Any) -> bool:
    """Tell one weight for each interaction from weights of pairs, names and None."""
    if isinstance(weights, Interactions) or hasattr(weights, "tocsr"):
        return False
    return np.ndim(weights) == 1


def _keys(data: Interactions) -> Any:
    return data.rows.astype(np.int64) * data.n_items + data.indices


def _check_fit(data: Interactions, fit_params: dict[str, Any]) -> int:
    """Return from how many interactions a fit learns; raise if its arguments are not for these."""
    learnt, _, _ = read_learnt_from(data, **fit_params)
    for word, rows, n, ids in (
        ("user", learnt.rows, learnt.n_users, learnt.user_ids),
        ("item", learnt.indices, learnt.n_items, learnt.item_ids),
    ):
        features, name = fit_params.get(f"{word}_features"), f"{word}_features"
        if features is not None:
            align(
                features,
                ids,
                np.bincount(rows, minlength=n) > 0,
                name,
                fit_params.get(f"{word}_id"),
            )
    return learnt.nnz
