"""What is left out of rankings: what a model has seen, other pairs, items for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import distinct
from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.feature_tables import is_table
from tripletrec.data.ids import Ids, is_single
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.space import Space, check_same_space
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    from tripletrec.ranking.scores import FittedModel

__all__ = [
    "WHY_UNKNOWN",
    "Exclusion",
    "known_rows",
    "known_seen",
    "names_seen",
    "padded",
    "read_exclude",
    "seen_by",
    "union",
]

WHY_UNKNOWN = "its file was saved with seen=False, or it was fitted on a cluster with collect=False"
_MOST_ADDED = 1 << 20  # pairs of users and items that are excluded for all


class Exclusion(NamedTuple):
    """What `exclude` says: pairs of users and items, and items that are left out for all users.

    Kernels only compare with these items, and never index with them.
    """

    pairs: tuple[ItemsOfUsers | Interactions, ...] = ()  # with a row for each user of the model
    asked: tuple[ItemsOfUsers, ...] = ()  # with a row for each user who is asked for
    items: NDArray[np.int64] | None = None

    def of_users(
        self, rows: NDArray[np.int64], places: NDArray[np.int64], *, items: bool = False
    ) -> Interactions | ItemsOfUsers | None:
        """Return what some users leave out, as `top_k` takes it: of all users, or a row for each of these.

        Parameters
        ----------
        rows : int64 array
            Users.
        places : int64 array of the same shape
            Which of those asked for they are.
        items : bool, default False
            Whether to add the items that are left out for all.
        """
        if len(self.pairs) == 1 and isinstance(self.pairs[0], Interactions) and not self.asked:
            if not items or self.items is None:
                return self.pairs[0]
        parts = [ItemsOfUsers(each.indptr, each.indices).of(rows) for each in self.pairs]
        parts += [each.of(places) for each in self.asked]
        if items and self.items is not None:
            bounds = np.arange(len(rows) + 1) * len(self.items)
            parts.append(ItemsOfUsers(bounds, np.tile(self.items.astype(np.int32), len(rows))))
        return union(parts) if parts else None

    def of_all(self, n_users: int) -> ItemsOfUsers:
        """Return what all users leave out beside the items for all, which are in none of the pairs."""
        everybody = np.arange(n_users)
        found = self.of_users(everybody, everybody)
        if found is None:
            return ItemsOfUsers(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))
        pairs = ItemsOfUsers(found.indptr, found.indices)
        return pairs if self.items is None else pairs.without(self.items)

    def are_few(self, n_users: int) -> bool:
        """Tell whether the items that are left out for all are few enough to be listed for each user."""
        return self.items is not None and n_users * len(self.items) <= _MOST_ADDED


def union(several: list[ItemsOfUsers]) -> ItemsOfUsers:
    """Return all pairs that are in any of several of as many users.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.ranking.exclusion import union
    >>> from tripletrec.sampling.draw import ItemsOfUsers
    >>> one = ItemsOfUsers(np.array([0, 2, 3]), np.array([1, 4, 0], np.int32))
    >>> other = ItemsOfUsers(np.array([0, 1, 1]), np.array([2], np.int32))
    >>> union([one, other])
    ItemsOfUsers(indptr=array([0, 3, 4]), indices=array([1, 2, 4, 0], dtype=int32))
    """
    if len(several) == 1:
        return several[0]
    n_users = several[0].n_users
    rows = np.concatenate([np.repeat(np.arange(n_users), np.diff(p.indptr)) for p in several])
    items = np.concatenate([p.indices for p in several]).astype(np.int64)
    width = int(items.max(initial=0)) + 1
    rows, items = np.divmod(distinct(rows * width + items), width)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=n_users))))
    return ItemsOfUsers(indptr, items.astype(np.int32))


def seen_by(model: FittedModel) -> ItemsOfUsers | Interactions | None:
    """Return what a fitted model was trained on, with a row for each of its users; None: not known.

    Warns
    -----
    UserWarning
        Once for a model that was loaded from a file without it, or fitted on a cluster that kept it.
    """
    seen = model._seen
    if seen is None:
        if model._is_first("told of seen"):
            warn_user(
                f"the model does not know what it was trained on, for {WHY_UNKNOWN}, so that nothing is left "
                "out: save it with seen=True, or pass exclude=train, or exclude=None"
            )
        return None
    return seen if seen.n_users == model.n_users_ else padded(seen, model.n_users_)


def known_seen(model: FittedModel, name: str = "the model") -> Interactions:
    """Return what a fitted model was trained on; raise ValueError with its name if that is not known."""
    seen = model._seen
    if seen is None:
        raise ValueError(
            f"{name} does not know what it was trained on, for {WHY_UNKNOWN}: save it with seen=True, or fit "
            "it with collect=True"
        )
    return seen


def padded(seen: Interactions, n_users: int) -> ItemsOfUsers:
    """Return what was trained on, with nothing for users who have been added since."""
    n_new = n_users - seen.n_users
    if n_new <= 0:
        return ItemsOfUsers(seen.indptr, seen.indices)
    return ItemsOfUsers(np.append(seen.indptr, np.full(n_new, seen.indptr[-1])), seen.indices)


def read_exclude(
    exclude: Any,
    seen: ItemsOfUsers | Interactions | None,
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
    seen : ItemsOfUsers, Interactions or None
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
        If it is nothing of that, speaks of other users or items, or an item is unknown; if a matrix may be of
        all users and of those who are asked for, who are as many in another order.
    """
    others: tuple[Any, ...] = (exclude,)
    pairs: list[ItemsOfUsers | Interactions] = []
    of_asked: list[ItemsOfUsers] = []
    if names_seen(exclude):
        others = () if isinstance(exclude, str) else exclude[1:]
        pairs = [] if seen is None else [seen]
    out = np.empty(0, np.int64)
    for each in others:
        if each is None:
            continue
        if not _is_matrix(each):
            out = distinct(np.append(out, _items_of(each, items)))
        elif _is_of_asked(each, data := _read_matrix(each), space, asked):
            check_same_space(data.space, _space_of(asked, space), "exclude", owner)
            of_asked.append(ItemsOfUsers(data.indptr, data.indices))
        else:
            check_same_space(data.space, space, "exclude", owner)
            pairs.append(data)
    return Exclusion(tuple(pairs), tuple(of_asked), out if len(out) else None)


def _items_of(given: Any, items: Ids) -> NDArray[np.int64]:
    if is_single(given) or is_table(given):
        kind = ValueError if is_single(given) else TypeError
        raise kind(
            "exclude must be 'seen', None, interactions, a list of item ids, or ('seen', one of the last "
            f"two), got {shown(given)}"
        )
    return known_rows(items, given, "exclude")


def _is_of_asked(
    given: Any, data: Interactions, space: Space, asked: NDArray[np.int64] | None
) -> bool:
    """Tell whether pairs have a row for each user asked for, and not for each user."""
    if asked is None or data.n_users != len(asked):
        return False
    if len(asked) != space.n_users:
        return True
    # Interactions say whose their rows are: by ids, or by numbers where the users have no others.
    told = isinstance(given, Interactions) and (data.user_ids is not None or space.user_ids is None)
    if not told and not np.array_equal(asked, np.arange(space.n_users)):
        raise ValueError(
            f"exclude is a matrix whose {len(asked)} rows may be those of all users of the model or of the "
            "users asked for, who are as many in another order: make it Interactions of the model's users, "
            "with their ids if they have some, or take users=None and rows in the model's order"
        )
    return False


def names_seen(exclude: Any) -> bool:
    """Tell whether `exclude` is "seen" or a tuple that begins with it."""
    first = exclude[0] if isinstance(exclude, tuple) and exclude else exclude
    return isinstance(first, str) and first == "seen"


def _is_matrix(each: Any) -> bool:
    if isinstance(each, Interactions) or hasattr(each, "tocsr") or hasattr(each, "columns"):
        return True  # a table is none, and is told so
    if isinstance(each, (list, tuple)) and len(each):
        return isinstance(each[0], (list, tuple, np.ndarray))
    return getattr(each, "ndim", 1) > 1


def _read_matrix(given: Any) -> Interactions:
    if getattr(given, "ndim", 2) == 1:  # a row of a sparse array of SciPy
        given = given.reshape(1, -1)
    return as_interactions(given, "exclude")


def _space_of(asked: Any, space: Space) -> Space:
    """Return the space of the users who are asked for, whose ids are known if all of them are."""
    ids = space.user_ids
    known = ids is not None and bool((asked >= 0).all())
    return space._replace(
        n_users=len(asked), user_ids=ids[asked] if ids is not None and known else None
    )


def known_rows(items: Ids, listed: Any, name: str) -> NDArray[np.int64]:
    """Return the rows of items in any order; raise if one is unknown, and say how many are.

    Parameters
    ----------
    items : Ids
        Or users.
    listed : id, sequence or set of ids
    name : str
        What the error message calls them.

    Raises
    ------
    ValueError
        If one is unknown.
    TypeError
        If they are a dict or a table.
    """
    if is_table(listed):
        raise TypeError(f"{name} must be a list or set of {items.word} ids, got {shown(listed)}")
    listed = [listed] if is_single(listed) else list(listed)  # a set in any order
    rows = items.find(listed)
    unknown = [each for each, row in zip(listed, rows, strict=True) if row < 0]
    if unknown:
        word = items.word
        known = f"c in set(model.{word}_ids_)"
        if items.values is None:
            known = f"0 <= c < model.n_{word}s_"
        what = "candidates" if name == "candidates" else f"items of {name}"
        raise ValueError(
            f"{items.unknown(unknown[0])}; {len(unknown)} of the {len(listed)} {what} are unknown, "
            f"which may be left out: [c for c in {name} if {known}]"
        )
    return rows
