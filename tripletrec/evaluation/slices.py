"""Metrics of groups of users, or of positives by the group of their item; the metrics are in `metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.columns import is_dict, to_array
from tripletrec.data.foreign import indexed
from tripletrec.data.interactions import Interactions
from tripletrec.evaluation.metrics import means_of, metrics_of
from tripletrec.evaluation.standing import Standing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Groups", "metrics_by", "read_groups"]


class Groups(NamedTuple):
    """Whether "user" or "item" is grouped, and the group of each; None or NaN: none."""

    word: str
    of_each: pd.Series


def metrics_by(
    groups: Groups,
    standing: Standing,
    cutoffs: tuple[int, ...],
    gains: NDArray[np.float64] | None,
    of_all: dict[str, NDArray[np.float64]],
) -> pd.DataFrame:
    """Return the means of all metrics over the groups of users or items.

    `of_all` are the metrics of each user, without groups; everything else is as in `evaluate`.
    """
    import pandas as pd

    word, of_each = groups
    codes, names = pd.factorize(of_each, sort=True)
    if word == "user":
        group = codes[standing.users]
    else:
        group, of_all = _of_items(codes[standing.items], standing, cutoffs, gains, list(of_all))
    order = np.argsort(group, kind="stable")[np.count_nonzero(group < 0) :]
    group, n = group[order], len(names)
    n_users = np.bincount(group, minlength=n)
    means = {name: means_of(each[order], group, n) for name, each in of_all.items()}
    index = pd.Index(names, name=getattr(of_each, "name", None) or f"{word} group")
    return pd.DataFrame({"n_users": n_users, **means}, index=index).loc[n_users > 0]


def read_groups(by: Any, test: Interactions) -> Groups:
    """Return what `by` says; raise ValueError if it does not say which users or items."""
    import pandas as pd

    axes = {"user": (test.n_users, test.user_ids), "item": (test.n_items, test.item_ids)}
    by, index = indexed(by)
    if isinstance(by, pd.Series) or is_dict(by):
        found = _of_series(pd.Series(by), axes)
    elif index is not None and np.ndim(by) == 1:
        found = _of_series(pd.Series(list(by), index, name=by.name), axes)
    else:
        # Of polars dates stay Python's own.
        values = by.to_list() if hasattr(by, "to_list") else by
        groups = list(to_array(values, "by", "groups")) if np.ndim(values) == 1 else None
        n = -1 if groups is None else len(groups)
        found = {word: pd.Series(groups) for word, axis in axes.items() if axis[0] == n}
    if len(found) == 2:
        raise ValueError(
            "by must say whether it groups users or items, for it could do both: give a Series whose index "
            "is named 'user' or 'item'"
        )
    for word, of_each in found.items():
        return Groups(word, of_each)
    raise ValueError(
        f"by must be a Series over the user or item ids of test, or a group for each of its {test.n_users} "
        f"users or {test.n_items} items in their order, got {shown(by)}"
    )


def _of_series(given: pd.Series, axes: dict[str, Any]) -> dict[str, pd.Series]:
    """Return the groups of all users, of all items, or of both where the index may speak of both.

    It speaks of those that its name says, else of those whose ids it holds, of one kind alone if it can.
    """
    aligned = {word: _aligned(given, *axis) for word, axis in axes.items()}
    found = {word: each[0] for word, each in aligned.items() if each is not None}
    alone = [word for word, each in aligned.items() if each is not None and each[1]]
    if given.index.name in found:
        alone = [given.index.name]
    return {alone[0]: found[alone[0]]} if len(alone) == 1 else found


def _aligned(given: pd.Series, n: int, ids: NDArray[Any] | None) -> tuple[pd.Series, bool] | None:
    """Return the group of each id, and whether the index holds nothing else; None if it holds none."""
    places = given.index.get_indexer_for(np.arange(n) if ids is None else ids)
    known = places >= 0
    if len(places) != n or not known.any():  # an id is there twice; none is there
        return None
    groups = given.take(np.maximum(places, 0)).reset_index(drop=True).where(known)
    return groups, int(known.sum()) == len(given)


def _lost_to_negatives(standing: Standing) -> NDArray[np.int64]:
    """Return of each positive twice the number of negatives above it, plus that of negatives beside it."""
    n_positives = np.diff(standing.bounds)
    user = np.repeat(np.arange(len(n_positives)), n_positives)
    order = np.lexsort((standing.greater, user))
    greater, users = standing.greater[order], user[order]
    begins = np.append(True, (users[1:] != users[:-1]) | (greater[1:] != greater[:-1]))
    starts = np.flatnonzero(begins)
    sizes = np.diff(np.append(starts, len(order)))
    before = np.repeat(starts - standing.bounds[:-1][users[starts]], sizes)
    lost = np.empty(len(order), np.int64)
    lost[order] = 2 * (greater - before) + standing.equal[order] - (np.repeat(sizes, sizes) - 1)
    return lost


def _of_items(
    group: NDArray[np.int64],
    standing: Standing,
    cutoffs: tuple[int, ...],
    gains: NDArray[np.float64] | None,
    names: list[str],
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Return each group of each user, and the metrics of that user where only its items are positives.

    `group` is that of each positive, negative for none. The rankings stay as they are. To AUC the other
    positives are no negatives.
    """
    user = np.repeat(np.arange(len(standing.users)), np.diff(standing.bounds))
    order = np.lexsort((user, group))[np.count_nonzero(group < 0) :]
    group, user = group[order], user[order]
    if not len(order):
        return group, dict.fromkeys(names, np.empty(0))
    begins = np.append(True, (user[1:] != user[:-1]) | (group[1:] != group[:-1]))
    firsts = np.flatnonzero(begins)
    bounds, users = np.append(firsts, len(order)), user[firsts]
    part = Standing(
        standing.users[users], standing.user_ids[users], bounds,
        standing.items[order], standing.values[order], standing.n_negatives[users],
        standing.greater[order], standing.equal[order],
    )  # fmt: skip
    metrics = metrics_of(part, cutoffs, None if gains is None else gains[order])
    pairs = 2.0 * np.diff(bounds) * part.n_negatives
    sums = np.add.reduceat(_lost_to_negatives(standing)[order], firsts)
    metrics["auc"] = 1 - np.divide(sums, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return group[firsts], metrics
