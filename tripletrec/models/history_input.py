"""Histories as users hand them in, brought to one form; what is learnt from them is in `histories`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_choice
from tripletrec._runtime.messages import shown
from tripletrec.data.csr import from_coordinates
from tripletrec.data.id_arrays import same_ids
from tripletrec.data.ids import Ids, is_single
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.sampling.draw import ItemsOfUsers

__all__ = ["HistoryInput", "check_unknown", "over_items", "read_histories"]

_FORMS = (
    "a list of item ids, a list of such lists, Interactions or a sparse matrix with a column for "
    "each item"
)


class HistoryInput(NamedTuple):
    """The histories of n users.

    Parameters
    ----------
    items : ItemsOfUsers
        Numbers of the items of each, ascending, none twice.
    user_ids : array of shape (n,) or None
        None: they are numbered.
    single : bool
        Whether it is one user's, handed in as such.
    """

    items: ItemsOfUsers
    user_ids: NDArray[Any] | None
    single: bool

    @property
    def n(self) -> int:
        """How many users."""
        return len(self.items.indptr) - 1


def check_unknown(unknown: Any) -> bool:
    """Return whether unknown items are dropped."""
    check_choice(unknown, "unknown", "raise", "drop")
    return bool(unknown == "drop")


def read_histories(histories: Any, items: Ids, unknown: Any = "raise") -> HistoryInput:
    """Return histories in one form.

    Parameters
    ----------
    histories : list of item ids, list of lists, Interactions or matrix
    items : Ids
        Those of the model.
    unknown : {"raise", "drop"}
        What becomes of an item that the model does not know.

    Raises
    ------
    ValueError
        If an item is unknown, or a matrix does not have a column for each item.
    TypeError
        If it is nothing of that.
    """
    drop = check_unknown(unknown)
    if isinstance(histories, Interactions) or _is_matrix(histories, items):
        data = over_items(as_interactions(histories, "histories"), items, "histories", drop)
        return HistoryInput(ItemsOfUsers(data.indptr, data.indices), data.user_ids, False)
    listed, single = _lists(histories, items)
    lengths = np.fromiter(map(len, listed), np.int64, len(listed))
    flat = [each for one in listed for each in one]
    rows = items.find(flat) if flat else np.empty(0, np.int64)
    users = np.repeat(np.arange(len(listed)), lengths)
    if (rows < 0).any():
        if not drop:
            first = int(np.argmax(rows < 0))
            where = "" if single else f"history {users[first]} of "
            raise ValueError(_unknown(items, flat[first], f"{where}histories"))
        users, rows = users[rows >= 0], rows[rows >= 0]
    return HistoryInput(_compressed(users, rows, len(listed), items.n), None, single)


def over_items(data: Interactions, items: Ids, name: str, drop: bool) -> Interactions:
    """Return interactions over the items of a model, in the model's order; users stay as they are."""
    own = data.item_ids
    if data.n_items == items.n and (
        own is None or items.values is None or same_ids(own, items.values)
    ):
        return data
    if own is None:
        raise ValueError(
            f"{name} must have a column for each of the {items.n} items of the model, or item ids, got "
            f"{data.n_items} columns"
        )
    rows = items.find(own)[data.indices]
    known = rows >= 0
    if not known.all() and not drop:
        raise ValueError(_unknown(items, own[data.indices[int(np.argmin(known))]], name))
    times = None if data.timestamps is None else data.timestamps[known]
    shape = (data.n_users, items.n)
    moved = from_coordinates(
        data.rows[known], rows[known], data.values[known], times, shape, "values"
    )
    return data._like(moved, data._users, items)


def _unknown(items: Ids, each: Any, name: str) -> str:
    return f"{name} must hold items of the model, got {items.unknown(each)}; unknown='drop' leaves such out"


def _is_matrix(histories: Any, items: Ids) -> bool:
    """Return whether it is meant as a matrix of users x items, which may have the wrong shape."""
    if hasattr(histories, "tocsr") or hasattr(histories, "tocoo"):
        return True
    if not isinstance(histories, np.ndarray) or histories.ndim not in (1, 2):
        return False
    return (histories.ndim == 2 and histories.shape[1] == items.n) or _holds_values(
        histories, items
    )


def _holds_values(array: NDArray[Any], items: Ids) -> bool:
    """Return whether an array, one row or several, holds values of items, and not their ids."""
    kind, width = array.dtype.kind, array.shape[-1]
    if not array.size or kind not in "biuf":
        return False
    if kind in "bf":
        return items.values is None or items.values.dtype.kind != kind
    if width < 3 or (array.ndim == 1 and width != items.n):  # ids may be 0 and 1, each twice too
        return False
    return bool(2 * np.count_nonzero(array) < array.size or ((array == 0) | (array == 1)).all())


def _lists(histories: Any, items: Ids) -> tuple[list[list[Any]], bool]:
    """Return one list for each user, and whether it was a list of ids."""
    if is_single(histories) or isinstance(histories, dict) or hasattr(histories, "columns"):
        hint = ""
        if is_single(histories) and not callable(histories):
            hint = ": put a single item into a list"
        elif not is_single(histories):
            hint = ": make a table Interactions first, with Interactions.from_frame"
        raise TypeError(f"histories must be {_FORMS}, got {shown(histories)}{hint}")
    elements = list(histories)
    nested = [_is_list(each, items) for each in elements]
    if not any(nested):
        return [elements], True
    if not all(nested):
        odd = elements[nested.index(False)]
        raise TypeError(
            f"histories must be item ids only, or lists of item ids only, got {shown(odd)} beside lists"
        )
    return [_elements(each, items) for each in elements], False


def _is_list(each: Any, items: Ids) -> bool:
    if is_single(each) or isinstance(each, dict):
        return False
    # A tuple may be an id.
    return not (isinstance(each, tuple) and items.knows(each))


def _elements(history: Iterable[Any], items: Ids) -> list[Any]:
    elements = list(history)
    for each in elements:
        if _is_list(each, items):
            raise TypeError(f"a history must be a list of item ids, got {shown(each)} in one")
    return elements


def _compressed(
    users: NDArray[np.int64], rows: NDArray[np.int64], n: int, n_items: int
) -> ItemsOfUsers:
    codes = np.unique(users * n_items + rows)
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(codes // n_items, minlength=n), out=indptr[1:])
    return ItemsOfUsers(indptr, (codes % n_items).astype(np.int32))
