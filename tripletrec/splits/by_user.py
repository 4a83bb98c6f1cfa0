"""A split of users, some of whom training never sees."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_choice, check_share
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.splits.parts import count_of, generator, times_of

__all__ = ["UserSplit", "user_split"]


class UserSplit(NamedTuple):
    """What `user_split` returns.

    Attributes
    ----------
    train : Interactions
        All interactions of the users to fit to. All of these speak of the same items.
    history : Interactions
        Those interactions of the held-out users that a model may see, to fold these users in.
    target : Interactions
        Those that it should find: of the same users, row by row, as `history`.
    """

    train: Interactions
    history: Interactions
    target: Interactions


def user_split(
    interactions: Any,
    test: float | int = 0.1,
    *,
    fold_in: float = 0.8,
    by: Literal["random", "time"] = "random",
    random_state: Seed = 0,
) -> UserSplit:
    """Hold some users out of training, and divide what they did into a history and a target.

    This measures how well a model serves users whom it meets after training (strong generalisation, as in
    Marlin, 2004, and Liang et al., WWW 2018).

    Parameters
    ----------
    interactions : Interactions, sparse matrix or ndarray
    test : float or int, default 0.1
        The users to hold out: a share between 0 and 1 of those with at least two interactions (rounded up),
        or their number. Users with fewer cannot be divided, and stay in training.
    fold_in : float, default 0.8
        Share of the interactions of each held-out user that become the history: the nearest whole number,
        but at least one, and at least one is left for the target.
    by : {"random", "time"}, default "random"
        Which ones become the history: any, or the earliest. Of two at the same time, that with the higher
        item number counts as later.
    random_state : int, Generator, RandomState or None, default 0
        The same integer always gives the same split; None: another one at each call.

    Returns
    -------
    train, history, target : UserSplit of Interactions
        `train` has all users but those held out, `history` and `target` have those, in their order; all have
        all the items, and the ids (row numbers where there were none). Interactions of held-out users with
        items that nobody in `train` has are left out, for no model could know these items, and counted in
        ``history.n_dropped`` and ``target.n_dropped``.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range; if no user, or no interaction, is left for a part; if there are no
        timestamps and `by` is "time".

    See Also
    --------
    train_test_split : all users are in training.

    Examples
    --------
    The model learns the new users from their histories and is asked for the rest:

    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 50, 3000, random_state=0)
    >>> train, history, target = tr.splits.user_split(data, test=20)
    >>> train.n_users, history.n_users, target.n_users
    (180, 20, 20)
    >>> model = tr.MatrixFactorization(n_epochs=10).fit(train).add_users(history)
    >>> test = tr.Interactions.from_frame(target.to_frame(), like=model.seen_)
    >>> model.score(test) > 0.5
    True

    Any function of histories, here items that go together with those in them:

    >>> together = train.tocsr().T @ train.tocsr()
    >>> def count(rows):
    ...     return (history.tocsr()[rows] @ together).toarray()
    >>> tr.full_auc(count, target, exclude=history) > 0.6
    True
    """
    data = as_interactions(interactions, "interactions")
    check_share(fold_in, "fold_in")
    check_choice(by, "by", "random", "time")
    rng = generator(random_state)
    held_out = _choose(data, test, rng)
    rows = data.rows
    of_held_out = np.isin(np.arange(data.n_users), held_out)
    fitted = ~of_held_out[rows]
    if not fitted.any():
        raise ValueError(f"test={test!r} leaves nothing for training: nobody else has interactions")
    known = np.bincount(data.indices[fitted], minlength=data.n_items) > 0
    is_history = _first_of_each(data, fold_in, _rank(data, by, rng))
    parts = [_of_users(data, mask & ~fitted, held_out, known) for mask in (is_history, ~is_history)]
    for part, name in zip(parts, ("history", "target"), strict=True):
        if not len(part):
            raise ValueError(
                f"test={test!r} leaves nothing in the {name}: its {part.n_dropped} interactions are with "
                "items that no other user has"
            )
    others = np.flatnonzero(~of_held_out)
    return UserSplit(_of_users(data, fitted, others, known), *parts)


def _rank(data: Interactions, by: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return what puts the interactions of a user in order."""
    if by == "time":
        return times_of(data, "interactions", "the earliest ones become the history")
    return rng.random(len(data))


def _first_of_each(data: Interactions, share: float, rank: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which interactions are among the first of their user, at least one and not all."""
    rows, counts = data.rows, np.diff(data.indptr)
    n_first = np.clip(np.rint(share * counts), 1, counts - 1)
    order = np.lexsort((rank, rows))
    # `order` sorts within the rows only: position p still belongs to rows[p].
    first = np.zeros(len(data), bool)
    first[order] = np.arange(len(data)) - data.indptr[rows] < n_first[rows]
    return first


def _choose(data: Interactions, test: Any, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the users to hold out, ascending."""
    divisible = np.flatnonzero(np.diff(data.indptr) >= 2)
    n = count_of(test, len(divisible), "test")
    if n > len(divisible):
        raise ValueError(
            f"test={test!r} is more than the {len(divisible)} users with at least two interactions"
        )
    if n == 0:
        raise ValueError(f"test={test!r} holds nobody out: no user has two interactions")
    return np.sort(rng.choice(divisible, n, replace=False))


def _of_users(
    data: Interactions,
    inside: NDArray[np.bool_],
    users: NDArray[np.int64],
    items: NDArray[np.bool_],
) -> Interactions:
    """Return the interactions of some users with some items, over these users and all items.

    Parameters
    ----------
    data : Interactions
    inside : bool ndarray
        Which interactions, all of them of these users.
    users : int64 ndarray
        Ascending.
    items : bool ndarray of shape (n_items,)
        Interactions with others are counted as dropped.
    """
    kept = inside & items[data.indices]
    part = Interactions.from_arrays(
        np.searchsorted(users, data.rows[kept]),
        data.indices[kept],
        data.values[kept],
        timestamps=None if data.timestamps is None else data.timestamps[kept],
        shape=(len(users), data.n_items),
        user_ids=users if data.user_ids is None else data.user_ids[users],
        item_ids=data.item_ids,
    )
    part.n_dropped = int(inside.sum() - kept.sum())
    return part
