"""What is left out of rankings: what a model has seen, other pairs, items for all; ranking is elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.ids import Ids, is_single
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.space import Space, check_same_space

__all__ = [
    "Exclusion",
    "Pairs",
    "known_rows",
    "names_seen",
    "padded",
    "read_exclude",
    "seen_by",
    "union",
]

_MOST_ADDED = 1 << 20  # pairs of users and items that are excluded for all


class Pairs(NamedTuple):
    """Items of each user, as in `Interactions`: rising, those of user u ``indices[indptr[u]:indptr[u + 1]]``.

    Kernels only compare with the items, and never index with them.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    @property
    def n_users(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    def of(self, rows: NDArray[np.int64]) -> Pairs:
        """Return the items of some users, with one row for each of them."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.concatenate(([0], np.cumsum(counts)))
        places = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], counts)
        return Pairs(indptr, self.indices[places])

    def at(self, rows: NDArray[np.int64], n_users: int) -> Pairs:
        """Return pairs of `n_users` in which row n of these has become that of user ``rows[n]``, rising."""
        counts = np.zeros(n_users + 1, np.int64)
        counts[rows + 1] = np.diff(self.indptr)
        return Pairs(np.cumsum(counts), self.indices)


class Exclusion(NamedTuple):
    """What `exclude` says: pairs of users and items, and items that are left out for all users."""

    pairs: tuple[Pairs | Interactions, ...] = ()
    items: NDArray[np.int64] | None = None

    def of_users(self, rows: NDArray[np.int64], n_users: int) -> Pairs | Interactions | None:
        """Return the pairs of some users, in rows for all `n_users`; the items for all are not among them."""
        if len(self.pairs) < 2:
            return self.pairs[0] if self.pairs else None
        return union([Pairs(each.indptr, each.indices) for each in self.pairs], rows, n_users)

    def of_all(self, n_users: int) -> Pairs:
        """Return the pairs of all users, the items for all included."""
        if self.items is None and len(self.pairs) < 2:
            each = self.pairs[0] if self.pairs else _NOTHING.at(np.empty(0, np.int64), n_users)
            return Pairs(each.indptr, each.indices)
        return self._together(np.arange(n_users), n_users)

    def with_items(self, rows: NDArray[np.int64], n_users: int) -> Pairs | None:
        """Return the pairs of some users, the items for all included; None if these would be too many."""
        users = np.unique(rows)
        if self.items is not None and len(users) * len(self.items) > _MOST_ADDED:
            return None
        return self._together(users, n_users)

    def _together(self, users: NDArray[np.int64], n_users: int) -> Pairs:
        parts = [Pairs(each.indptr, each.indices) for each in self.pairs]
        if self.items is not None:
            indptr = np.arange(len(users) + 1) * len(self.items)
            same = Pairs(indptr, np.tile(self.items.astype(np.int32), len(users)))
            parts.append(same.at(users, n_users))
        return union(parts, users, n_users)


_NOTHING = Pairs(np.zeros(1, np.int64), np.empty(0, np.int32))


def union(several: list[Pairs], rows: NDArray[np.int64], n_users: int) -> Pairs:
    """Return all pairs of some users that are in any of several, in rows for all `n_users`.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.ranking.exclusion import Pairs, union
    >>> one = Pairs(np.array([0, 2, 3]), np.array([1, 4, 0], np.int32))
    >>> other = Pairs(np.array([0, 1, 1]), np.array([2], np.int32))
    >>> union([one, other], np.array([0]), 2)
    Pairs(indptr=array([0, 3, 3]), indices=array([1, 2, 4], dtype=int32))
    """
    users = np.unique(rows)
    parts = [each.of(users) for each in several or [_NOTHING.at(users[:0], n_users)]]
    places = np.concatenate([np.repeat(np.arange(len(users)), np.diff(p.indptr)) for p in parts])
    items = np.concatenate([p.indices for p in parts]).astype(np.int64)
    width = int(items.max(initial=0)) + 1
    places, items = np.divmod(np.unique(places * width + items), width)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(places, minlength=len(users)))))
    return Pairs(indptr, items.astype(np.int32)).at(users, n_users)


def seen_by(model: Any) -> Pairs | Interactions | None:
    """Return what a fitted model was trained on, with a row for each of its users; None: not known.

    Warns
    -----
    UserWarning
        Once for a model that was loaded from a file without it.
    """
    seen: Interactions | None = vars(model).get("seen_")
    if seen is None:
        if not vars(model).get("_told_of_seen"):
            model._told_of_seen = True
            warn_user(
                "the model does not know what it was trained on, for its file was saved with seen=False, so "
                "that nothing is left out: save it with seen=True, or pass exclude=train, or exclude=None"
            )
        return None
    return seen if seen.n_users == model.n_users_ else padded(seen, model.n_users_)


def padded(seen: Interactions, n_users: int) -> Pairs:
    """Return what was trained on, with nothing for users who have been added since."""
    n_new = max(0, n_users - seen.n_users)
    return Pairs(np.append(seen.indptr, np.full(n_new, seen.indptr[-1])), seen.indices)


def read_exclude(
    exclude: Any,
    seen: Pairs | Interactions | None,
    space: Space,
    items: Ids,
    *,
    owner: str,
    asked: NDArray[np.int64] | None = None,
) -> Exclusion:
    """Return what `exclude` says.

    Parameters
    ----------
    exclude : "seen", None, interactions, item ids or ("seen", one of the last two)
    seen : Pairs, Interactions or None
        What "seen" stands for; None: nothing.
    space : Space
        The users and items that are ranked.
    items : Ids
        Those of the space.
    owner : str
        Whose space it is, for error messages.
    asked : int64 array or None, default None
        Rows of the users who are asked for, -1 for unknown ones: a matrix may have one row for each of them.

    Raises
    ------
    ValueError, TypeError
        If it is nothing of that, speaks of other users or items, or an item is unknown.
    """
    if exclude is None:
        return Exclusion()
    others: tuple[Any, ...] = (exclude,)
    pairs: list[Pairs | Interactions] = []
    if names_seen(exclude):
        others = () if isinstance(exclude, str) else exclude[1:]
        pairs = [] if seen is None else [seen]
    out = np.empty(0, np.int64)
    for each in others:
        if each is None:
            continue
        if _is_matrix(each):
            pairs.append(_pairs_of(each, space, owner, asked))
        elif is_single(each):
            raise ValueError(
                "exclude must be 'seen', None, interactions, a list of item ids, or ('seen', one of the last "
                f"two), got {shown(each)}"
            )
        else:
            out = np.union1d(out, known_rows(items, each, "exclude"))
    return Exclusion(tuple(pairs), out if len(out) else None)


def names_seen(exclude: Any) -> bool:
    """Tell whether `exclude` is "seen" or a tuple that begins with it."""
    first = exclude[0] if isinstance(exclude, tuple) and exclude else exclude
    return isinstance(first, str) and first == "seen"


def _is_matrix(each: Any) -> bool:
    if isinstance(each, Interactions) or hasattr(each, "tocsr") or hasattr(each, "columns"):
        return True  # a table is none, and is told so
    if isinstance(each, (list, tuple)) and len(each):
        return isinstance(each[0], (list, tuple, np.ndarray))
    return getattr(each, "ndim", 1) != 1


def _pairs_of(
    given: Any, space: Space, owner: str, asked: NDArray[np.int64] | None
) -> Pairs | Interactions:
    """Return a matrix with a row for each user of the space, which it may have for those asked only."""
    if getattr(given, "ndim", 2) == 1:  # a row of a sparse array of SciPy
        given = given.reshape(1, -1)
    data = as_interactions(given, "exclude")
    n_rows = data.n_users
    if asked is None or n_rows == space.n_users or n_rows != len(asked):
        check_same_space(data.space, space, "exclude", owner)
        return data
    known = asked >= 0
    if len(np.unique(asked[known])) < np.count_nonzero(known):
        raise ValueError(
            "exclude must not have one row for each of the users asked for, as a user is among them twice: "
            f"give the rows of all {space.n_users} users"
        )
    ids = space.user_ids
    alone = Space(n_rows, space.n_items, None, space.item_ids)
    if ids is not None and known.all():
        alone = alone._replace(user_ids=ids[asked])
    check_same_space(data.space, alone, "exclude", owner)
    order = np.argsort(asked)[np.count_nonzero(~known) :]
    return Pairs(data.indptr, data.indices).of(order).at(asked[order], space.n_users)


def known_rows(items: Ids, listed: Any, name: str) -> NDArray[np.int64]:
    """Return the rows of items in any order; raise if one is unknown, and say how many are.

    Parameters
    ----------
    items : Ids
    listed : id, sequence or set of ids
    name : str
        What the error message calls them.
    """
    listed = [listed] if is_single(listed) else list(listed)  # a set in any order
    rows = items.find(listed)
    unknown = [each for each, row in zip(listed, rows, strict=True) if row < 0]
    if unknown:
        known = "0 <= c < model.n_items_" if items.values is None else "c in set(model.item_ids_)"
        what = "candidates" if name == "candidates" else f"items of {name}"
        raise ValueError(
            f"{items.unknown(unknown[0])}; {len(unknown)} of the {len(listed)} {what} are unknown, "
            f"which may be left out: [c for c in {name} if {known}]"
        )
    return rows
