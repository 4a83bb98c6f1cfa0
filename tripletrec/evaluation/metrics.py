"""Metrics of each user, from where the positives stand; how they came to stand there is in `standing`."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import MOST
from tripletrec._runtime.messages import shown
from tripletrec.evaluation.standing import Standing

__all__ = [
    "Gains",
    "auc",
    "check_gains",
    "check_metric",
    "gains_of",
    "mean_of",
    "means_of",
    "metrics_of",
]

Gains = Literal["binary", "values", "exponential"]

_PLAIN = ("auc", "mrr")
_AT_K = ("precision", "recall", "ndcg", "map", "hit_rate")
_MOST = 1000.0  # 2 to the power of more is beyond float64


def check_metric(metric: Any, name: str) -> int:
    """Return a k for which `evaluate` has the column `metric`.

    Parameters
    ----------
    metric : str
        "auc", "mrr" or, with a whole number k >= 1, one of "precision@k", "recall@k", "ndcg@k",
        "map@k" and "hit_rate@k".
    name : str
        What the error message calls it.

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    stem, _, k = metric.partition("@") if isinstance(metric, str) else ("", "", "")
    if metric in _PLAIN:
        return 1
    # A leading zero would not be in the name of the column.
    if stem in _AT_K and k.isascii() and k.isdigit() and k[0] != "0":
        if len(k) <= len(str(MOST)) and int(k) <= MOST:
            return int(k)
    known = ", ".join([*_PLAIN, *(f"{each}@k" for each in _AT_K)])
    raise ValueError(
        f"{name} must be one of {known} with an integer k from 1 to {MOST}, got {shown(metric)}"
    )


def check_gains(gains: Any) -> Gains:
    """Return `gains`, or raise."""
    if isinstance(gains, str) and gains in get_args(Gains):
        found: Gains = gains  # type: ignore[assignment]
        return found
    allowed = ", ".join(map(repr, get_args(Gains)))
    raise ValueError(f"gains must be one of {allowed}, got {shown(gains)}")


def gains_of(standing: Standing, gains: Gains) -> NDArray[np.float64] | None:
    """Return what each positive is worth to NDCG; None: 1."""
    if gains == "binary":
        return None
    values = standing.values.astype(np.float64)
    if gains == "values":
        return values
    if values.max(initial=0.0) > _MOST:
        raise ValueError(
            f"gains='exponential' needs values of at most {_MOST:g}, got {values.max():g} in test: use "
            "gains='values'"
        )
    return np.expm1(values * np.log(2.0))  # exact for small values, too


def mean_of(values: NDArray[np.float64]) -> float:
    """Return the mean of what is defined, NaN of nothing."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def means_of(
    values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    """Return `mean_of` of the values of each group, whose numbers do not fall; the same bits."""
    defined = ~np.isnan(values)
    values, sizes = values[defined], np.bincount(group[defined], minlength=n_groups)
    some = np.flatnonzero(sizes)
    firsts = (np.cumsum(sizes) - sizes)[some]
    # Each begins with a zero, as `mean` does: what follows is then added up in the same order.
    sums = np.add.reduceat(np.insert(values, firsts, 0.0), firsts + np.arange(len(some)))
    means = np.full(n_groups, np.nan)
    means[some] = sums / sizes[some]
    return means


def metrics_of(
    standing: Standing, cutoffs: tuple[int, ...], gains: NDArray[np.float64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return all metrics of each user, in the order of the columns of `evaluate`.

    `gains` is what each positive is worth to NDCG; None: 1.
    """
    from tripletrec.ranking.ties import Ties  # here, because most fits evaluate nothing

    n_users, n_positives = len(standing.n_negatives), np.diff(standing.bounds)
    depth = max(cutoffs)
    ties = Ties.of(standing.bounds, standing.greater, standing.equal, depth)
    worth = None if gains is None else ties.sums(standing.bounds, standing.greater, gains, depth)
    first = ties.first()
    ideal = _ideal_gains(standing.bounds, gains)
    values = {}
    for k in cutoffs:
        reachable = np.minimum(n_positives, k)
        hits, gain, precision = (
            np.bincount(ties.user, weights, n_users)
            for weights in (ties.hits(k), ties.gains(k, worth), ties.precisions(k))
        )
        values[f"precision@{k}"] = hits / k
        values[f"recall@{k}"] = hits / n_positives
        values[f"ndcg@{k}"] = gain / ideal(reachable)
        values[f"map@{k}"] = precision / reachable
        values[f"hit_rate@{k}"] = first.any_hit(k)
    return {
        "auc": auc(standing),
        "mrr": first.reciprocal_ranks(),
        **{f"{name}@{k}": values[f"{name}@{k}"] for name in _AT_K for k in cutoffs},
    }


def _ideal_gains(bounds: NDArray[np.int64], gains: NDArray[np.float64] | None) -> Any:
    """Return the function of m that gives the gain of each user's m best positives at the top."""
    n_positives = np.diff(bounds)
    discounts = np.concatenate(([0.0], 1 / np.log2(np.arange(2, n_positives.max() + 2))))
    if gains is None:
        sums = np.cumsum(discounts)
        return lambda m: sums[m]
    user = np.repeat(np.arange(len(n_positives)), n_positives)
    best_first = gains[np.lexsort((-gains, user))]
    place = np.arange(len(gains)) - bounds[:-1][user]
    discounted = best_first * discounts[place + 1]
    return lambda m: np.bincount(user, np.where(place < m[user], discounted, 0.0))


def auc(standing: Standing) -> NDArray[np.float64]:
    """Return each user's AUC; NaN for a user without a negative."""
    n_positives = np.diff(standing.bounds)
    twice_lost = np.add.reduceat(2 * standing.greater + standing.equal, standing.bounds[:-1])
    twice_lost -= n_positives * (n_positives - 1)
    aucs = np.full(len(n_positives), np.nan)
    some = standing.n_negatives > 0
    aucs[some] = 1 - twice_lost[some] / (2.0 * n_positives * standing.n_negatives)[some]
    return aucs
