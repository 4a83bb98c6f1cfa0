"""What scikit-learn's splitters do to the data of `fit` and `score`: undone, refused or warned of.

Scikit-learn cuts `Interactions` by interactions, which is right, and a matrix by rows, which leaves out
users; both look like good data to `fit`. The splitters of this package are in `tripletrec.splits`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tripletrec._runtime.messages import warn_user
from tripletrec.data.cuts import restore
from tripletrec.data.interactions import Interactions, Space, as_interactions

__all__ = ["check_features", "check_fold", "check_order", "whole"]

_LEAST_SHARED = 5  # fewer pairs in common show nothing
_WRAP = (
    "if scikit-learn has cut the rows of a matrix, wrap it in Interactions, of which it cuts the "
    "interactions and no users"
)


def whole(side: Any, X: Any, space: Space, name: str) -> Any:
    """Return what `fit` or `score` was given beside X as it was before it was cut along with X.

    Parameters
    ----------
    side : Interactions, matrix, anything else or None
        What is no matrix is returned as it is.
    X : Interactions or matrix
    space : Space
        The users and items that `side` must speak of.
    name : str
        What error messages call `side`.

    Raises
    ------
    ValueError
        If a matrix has been cut, or the rows of X.
    """
    if isinstance(side, Interactions) and isinstance(X, Interactions):
        return restore(side, X, name)
    n_rows = _wrong_rows(side, space)
    if n_rows is None:
        return side
    if not isinstance(X, Interactions):
        _refuse_rows(name, n_rows, "X", space.n_users)
    elif X._cut is not None and n_rows == X._cut.n_after:
        raise ValueError(
            f"{name} must have the {space.n_users} users of X, but scikit-learn has cut it to {n_rows} rows, "
            f"for it had as many as X has interactions ({X._cut.n_before}): wrap it in Interactions"
        )
    return side


def check_order(sample_weight: Any, X: Any) -> None:
    """Raise if weights were cut in another order than the interactions that they belong to.

    Parameters
    ----------
    sample_weight : array of one weight per interaction, matrix, str or None
    X : Interactions or matrix
    """
    if not isinstance(X, Interactions) or X._cut is None or X._cut.ascending:
        return
    if not isinstance(sample_weight, (str, Interactions)) and np.ndim(sample_weight) == 1:
        raise ValueError(
            "sample_weight must not be an array here: scikit-learn took the interactions of X in random "
            "order, and weights may be in that order or row by row; make them the values of X, and pass "
            "sample_weight='values'"
        )


def check_features(features: Any, X: Any, n: int, name: str) -> None:
    """Raise if scikit-learn has cut features along with X.

    Parameters
    ----------
    features : DataFrame, matrix or None
    X : Interactions or matrix
    n : int
        The number of users or items that the features are of.
    name : str
        What error messages call the features.
    """
    cut = X._cut if isinstance(X, Interactions) else None
    if cut is None or not hasattr(features, "shape"):
        return
    n_rows = features.shape[0]
    if n_rows == cut.n_after and (n_rows != n or n_rows == cut.n_before):
        raise ValueError(
            f"{name} must have all {n} rows, but scikit-learn has cut it to {n_rows}, for it had as many "
            f"as X has interactions ({cut.n_before}): leave one interaction out, as in X[1:]"
        )


def check_fold(
    seen: Interactions | None, X: Any, space: Space, *, unseen: bool, rows: bool
) -> Interactions:
    """Return test positives as interactions; raise or warn if a splitter has cut them wrongly.

    Parameters
    ----------
    seen : Interactions or None
        What the model was trained on; None: not known.
    X : Interactions or matrix
        Test positives.
    space : Space
        The users and items of the model.
    unseen : bool
        Whether the model knows more of users than their training data.
    rows : bool
        Whether it was trained on a matrix, so that a splitter may have cut the rows.

    Warns
    -----
    UserWarning
        If most users of X have no training data. Also if both are matrices and have as many pairs in common
        as if the rows of X were those of other users, see `_rows_of_others`.
    """
    plain = not isinstance(X, Interactions)
    data = as_interactions(X, "X")
    n_users, n_items = data.space.shape
    if plain and n_items == space.n_items and n_users != space.n_users:
        _refuse_rows("X", n_users, "the model", space.n_users)
    if seen is None or data.space.shape != space.shape:
        return data
    tested = np.diff(data.indptr) > 0
    n_tested, n_cold = (
        np.count_nonzero(tested),
        np.count_nonzero(tested & (np.diff(seen.indptr) == 0)),
    )
    if 2 * n_cold > n_tested and not unseen:
        warn_user(
            f"{n_cold} of the {n_tested} users in X have no training data, so the score says little about "
            "what was learnt: if a splitter has left out whole users, use one that shuffles interactions, "
            "such as tripletrec.splits.InteractionKFold(5) or KFold(5, shuffle=True), in place of cv=5",
        )
    elif plain and rows and _rows_of_others(seen, data):
        warn_user(
            "the rows of X seem to be other users than those that the model was trained on, so the score "
            f"means nothing: {_WRAP}",
        )
    return data


def _rows_of_others(seen: Interactions, data: Interactions) -> bool:
    """Tell whether two have about as many pairs in common as with the rows of one in random order.

    Over all orders of the n rows the mean is ``sum_i a_i b_i / n``, where item i occurs a_i and b_i times.
    A split of interactions has none in common, part and whole have all, users who return to their items many.
    """
    shared = seen.tocsr().astype(bool).multiply(data.tocsr().astype(bool)).nnz
    counts = [np.bincount(each.indices, minlength=each.n_items) for each in (seen, data)]
    expected = float(counts[0] @ counts[1]) / data.n_users
    room = min(len(seen), len(data)) - expected
    return shared >= _LEAST_SHARED and abs(shared - expected) <= min(expected, room) / 2


def _wrong_rows(side: Any, space: Space) -> int | None:
    """Return the number of users of a matrix over the items of a space if it is not that of the space."""
    matrix = side.space if isinstance(side, Interactions) else side
    shape: tuple[int, ...] = getattr(matrix, "shape", ())
    if len(shape) != 2 or shape[1] != space.n_items or shape[0] == space.n_users:
        return None
    return shape[0]


def _refuse_rows(name: str, n_found: int, owner: str, n_wanted: int) -> None:
    raise ValueError(f"{name} must have the {n_wanted} users of {owner}, got {n_found}: {_WRAP}")
