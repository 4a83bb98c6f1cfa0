"""Checks of what `fit` is given beside the data, and of sizes of networks; parameters are in `_checks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_share
from tripletrec.data.checks import check_same_ids
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.sampling import Sampler

__all__ = ["check_dropout", "check_list_sampling", "check_widths", "split_seed"]

_DEFAULT_SHARE = 0.5


def check_list_sampling(loss: Any, sampler: Sampler, negatives: Any) -> None:
    """Raise unless a list-wise loss can draw its candidates so."""
    if negatives is not None or sampler.share > 0.0:
        raise ValueError(f"loss {loss.name!r} takes no given negatives, only sampled ones")
    if sampler.rule:
        raise ValueError(
            f"loss {loss.name!r} learns from all its candidates: sampler {sampler.name!r}, which "
            "chooses among them, is for the losses of triplets"
        )


def _check_n_negatives(n_negatives: Any, loss: Loss | ListLoss) -> int:
    """Return the number of negatives, 0 for all items."""
    if not isinstance(loss, ListLoss):
        return 1 if n_negatives is None else check_count(n_negatives, "n_negatives")
    if n_negatives is None or (isinstance(n_negatives, str) and n_negatives == "all"):
        return 0
    if isinstance(n_negatives, str):
        raise ValueError(f"n_negatives must be 'all' or an integer >= 1, got {n_negatives!r}")
    return check_count(n_negatives, "n_negatives")


def _check_dropout(dropout: Any) -> float:
    return (
        0.0 if dropout == 0 and not isinstance(dropout, bool) else check_share(dropout, "dropout")
    )


def _with_share(sampler: Sampler, given: Interactions | None) -> Sampler:
    if given is None:
        if sampler.share > 0.0:
            raise ValueError(
                f"sampler {sampler.name!r} takes negatives from the argument negatives of fit, "
                "which is missing"
            )
        return sampler
    # Who asks for a share of 0 gets it.
    own_share = sampler.share > 0.0 or sampler.name == "explicit"
    return sampler if own_share else sampler._replace(share=_DEFAULT_SHARE)


def _check_negatives(negatives: Any, data: Interactions) -> Interactions | None:
    if negatives is None:
        return None
    given = as_interactions(negatives, "negatives")
    if given.shape != data.shape:
        raise ValueError(f"negatives must have the shape of X {data.shape}, got {given.shape}")
    check_same_ids(data, given, "X", "negatives")
    # As truth values: the product of two small numbers may be zero.
    both = data.tocsr().astype(bool).multiply(given.tocsr().astype(bool)).tocoo()
    if both.nnz:
        raise ValueError(
            f"negatives must not be positives too: {both.nnz} pairs are both, the first is "
            f"row {both.row[0]}, column {both.col[0]}"
        )
    return given


def _check_sample_weight(sample_weight: Any, data: Interactions) -> NDArray[np.float32] | None:
    if sample_weight is None:
        return None
    if isinstance(sample_weight, str):
        if sample_weight != "values":
            raise ValueError(f"sample_weight must be 'values' or numbers, got {sample_weight!r}")
        return data.values
    if hasattr(sample_weight, "tocsr") or isinstance(sample_weight, Interactions):
        matrix = as_interactions(sample_weight, "sample_weight")
        if matrix.shape != data.shape:
            raise ValueError(
                f"sample_weight must have the shape of X {data.shape}, got {matrix.shape}"
            )
        check_same_ids(data, matrix, "X", "sample_weight")
        # Absent entries weigh 0; np.asarray: scipy's matrices and arrays answer in different types.
        values = np.asarray(matrix.tocsr()[data.rows, data.indices]).ravel()
    else:
        values = np.asarray(sample_weight)
    if values.shape != (data.nnz,):
        raise ValueError(
            f"sample_weight must be one number per interaction, shape ({data.nnz},), "
            f"got {values.shape}"
        )
    if values.dtype.kind not in "biuf":
        raise TypeError(f"sample_weight must hold numbers, got dtype {values.dtype}")
    with np.errstate(over="ignore", under="ignore"):
        weights = values.astype(np.float32)
    wrong = ~(np.isfinite(weights) & (values >= 0))
    if wrong.any():
        raise ValueError(
            f"sample_weight must be finite in float32 and >= 0, got {values[wrong][0]} "
            f"at position {int(wrong.argmax())}"
        )
    if not weights.any():
        raise ValueError("sample_weight must not be all zero")
    return weights


def _check_callbacks(callbacks: Any) -> list[Callable[..., Any]]:
    if callbacks is None:
        return []
    listeners = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    for each in listeners:
        if not callable(each):
            raise TypeError(f"callbacks must be callable, got {each!r}")
    return list(listeners)


def check_widths(widths: Any, name: str) -> tuple[int, ...]:
    """Return the widths of layers: a sequence of integers >= 1, maybe empty, or a single one."""
    if isinstance(widths, (str, bytes)) or not (np.ndim(widths) <= 1):
        raise TypeError(f"{name} must be integers >= 1, got {widths!r}")
    return tuple(check_count(each, name) for each in np.atleast_1d(np.array(widths, object)))


def check_dropout(rate: Any) -> float:
    """Return `rate` as a float in [0, 1)."""
    number = check_share(rate, "dropout", closed=True)
    if number == 1.0:
        raise ValueError(f"dropout must be a number from 0 to 1 (1 excluded), got {rate!r}")
    return number


def split_seed(seed: int, n: int) -> list[int]:
    """Return `n` seeds of one."""
    return [int(x) for x in np.random.SeedSequence(seed).generate_state(n, np.uint64)]
