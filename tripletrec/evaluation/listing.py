"""What is in all lists together: coverage, Gini, novelty, long tail, popularity; hits are in `metrics`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.interactions import Interactions
from tripletrec.evaluation.standing import Ranked
from tripletrec.ranking.exclusion import union
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gini", "head_of", "table_of_lists"]

_HEAD = 0.8  # of all interactions are with the items of the short head


def _known_counts(ranked: Ranked, test: Interactions) -> tuple[NDArray[np.int64], int]:
    """Return how many users each item is known to have, and how many users there are.

    Of a fitted model in what it has seen or, where it does not know that, in training; of others in
    `exclude`, if that is interactions, else in `test`.
    """
    from tripletrec.ranking.scores import is_model

    seen = ranked.model._seen if is_model(ranked.model) else None
    counts = getattr(ranked.model, "item_counts_", None)
    if seen is None and isinstance(counts, np.ndarray):
        return np.pad(counts, (0, test.n_items - len(counts))), test.n_users
    excluded = ranked.left_out.excluded
    known: Interactions | ItemsOfUsers = test
    if seen is not None:
        seen._check_still_inside("what the model was trained on")
        known = seen
    elif excluded:
        known = union([ItemsOfUsers(each.indptr, each.indices) for each in excluded])
    return np.bincount(known.indices, minlength=test.n_items), known.n_users


def table_of_lists(ranked: Ranked, test: Interactions, cutoffs: tuple[int, ...]) -> pd.DataFrame:
    """Return the numbers of `Evaluation.lists`: a row for each k."""
    import pandas as pd

    from tripletrec.ranking.products import Products
    from tripletrec.ranking.top_k import top_k

    counts, n_users = _known_counts(ranked, test)
    depth = min(max(cutoffs), ranked.n_items)
    ones = np.ones((test.n_users, 1), np.float32)
    popular = Products(ones, counts.astype(np.float32)[:, None])
    out = ranked.left_out.pairs.of(ranked.users)
    candidates = ranked.field.candidates_of(ranked.users)
    lists, hits = (
        top_k(
            score_users, ranked.users, ranked.n_items, depth,
            exclude=out, candidates=candidates, n_jobs=ranked.n_jobs,
        )[0]
        for score_users in (ranked.score_users, popular)
    )  # fmt: skip
    catalogue = np.arange(ranked.n_items)
    asked = ranked.field.asked
    if asked is not None:
        own = asked.of(ranked.users).indices if isinstance(asked, ItemsOfUsers) else asked
        catalogue = np.unique(own).astype(np.int64)
    surprise = -np.log2(np.maximum(counts, 1) / max(n_users, 1))
    head = head_of(counts)
    rows = {k: _numbers(lists[:, :k], hits[:, :k], catalogue, surprise, head) for k in cutoffs}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("k")


def _numbers(
    lists: NDArray[np.int64],
    popular: NDArray[np.int64],
    catalogue: NDArray[np.int64],
    surprise: NDArray[np.float64],
    head: NDArray[np.bool_],
) -> dict[str, float]:
    filled = lists >= 0
    lengths = filled.sum(axis=1)
    some = lengths > 0
    times = np.bincount(lists[filled], minlength=len(head))[catalogue]

    def mean(values: Callable[[NDArray[np.int64]], NDArray[Any]]) -> float:
        found = np.where(filled, values(np.maximum(lists, 0)), 0.0).sum(axis=1)
        return float((found[some] / lengths[some]).mean()) if some.any() else float("nan")

    return {
        "coverage": float((times > 0).mean()) if len(times) else float("nan"),
        "gini": gini(times),
        "novelty": mean(lambda items: surprise[items]),
        "long_tail": mean(lambda items: ~head[items]),
        "popularity_overlap": mean(lambda items: _in_rows(items, popular, len(head))),
    }


def _in_rows(
    items: NDArray[np.int64], others: NDArray[np.int64], n_items: int
) -> NDArray[np.bool_]:
    """Return of each item whether it is in the same row of the others, too."""
    rows = np.arange(len(items))[:, None] * (n_items + 1)
    return np.isin(items + rows, (others + rows)[others >= 0])


def gini(times: NDArray[Any]) -> float:
    """Return the Gini coefficient of numbers >= 0: 0 if all are equal, nearly 1 if one has all; NaN of none.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.evaluation.listing import gini
    >>> gini(np.array([3, 3, 3])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    n, total = len(times), float(times.sum())
    if not total:
        return float("nan")
    places = 2.0 * np.arange(1, n + 1) - n - 1
    return float((places * np.sort(times)).sum() / (n * total))


def head_of(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return of each item whether it is in the short head: the fewest items with 80 % of all interactions."""
    order = np.argsort(-counts, kind="stable")
    sums = np.cumsum(counts[order])
    n = int(np.searchsorted(sums, _HEAD * sums[-1])) + 1 if sums[-1] else 0
    head = np.zeros(len(counts), bool)
    head[order[:n]] = True
    return head
