"""Where the positives of each user stand among what is ranked; what follows from it is in `metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_n_jobs
from tripletrec._runtime.messages import warn_user
from tripletrec._runtime.progress import Progress
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.space import Space, check_same_space
from tripletrec.evaluation.protocol import EvaluationProtocol
from tripletrec.ranking.exclusion import Exclusion, names_seen, read_exclude, seen_by
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    from tripletrec.evaluation.fields import Field
    from tripletrec.ranking.scores import ScoreUsers

__all__ = [
    "LeftOut",
    "NoUsersError",
    "Ranked",
    "Standing",
    "all_known",
    "drop_known",
    "left_out_of",
    "stand",
    "warn_of_constant_scores",
]


class Ranked(NamedTuple):
    """What is ranked for whom: enough to make the lists of the evaluated users."""

    model: Any  # as it was when it was evaluated
    score_users: ScoreUsers
    n_items: int
    users: NDArray[np.int64]
    left_out: LeftOut
    field: Field
    n_jobs: int


class LeftOut(NamedTuple):
    """What is left out of the ranking of each user, with a row for all users.

    Parameters
    ----------
    pairs : ItemsOfUsers
        None of them of `items`.
    items : int64 array
        Left out for all users.
    beside_seen : Exclusion or None
        What is left out beside what the model has seen. None: that is not known, or not left out.
    excluded : tuple of ItemsOfUsers or Interactions
        The pairs that `exclude` names beside "seen", as they were given, with a row for all users.
    """

    pairs: ItemsOfUsers
    items: NDArray[np.int64]
    beside_seen: Exclusion | None
    excluded: tuple[ItemsOfUsers | Interactions, ...]

    def allowed(self, test: Interactions) -> NDArray[np.bool_]:
        """Tell of each positive of a test whether it is not left out."""
        from tripletrec.ranking.ranks import absent_from

        gone = np.zeros(test.n_items, bool)
        gone[self.items] = True
        out = self.pairs
        absent: NDArray[np.bool_] = absent_from(out.indptr, out.indices, test.indptr, test.indices)
        return absent & ~gone[test.indices]


class NoUsersError(ValueError):
    """No user has a positive that is ranked."""


class Standing(NamedTuple):
    """Where the positives of the evaluated users stand, in the words of the package's docstring."""

    users: NDArray[np.int64]  # row numbers
    user_ids: NDArray[Any]
    bounds: NDArray[np.int64]  # user number n has the positives bounds[n] : bounds[n + 1]
    items: NDArray[np.int32]
    values: NDArray[np.float32]
    n_negatives: NDArray[np.int64]
    greater: NDArray[np.int64]
    equal: NDArray[np.int64]


def stand(model: Any, test: Any, protocol: EvaluationProtocol) -> tuple[Standing, Ranked]:
    """Rank the positives of all users; return where they stand, and what was ranked."""
    # Here, because a fit without validation does without kernels of evaluation.
    from tripletrec.evaluation.fields import field_of
    from tripletrec.ranking.ranks import count_outranking
    from tripletrec.ranking.scores import FittedModel, is_model, score_function

    test = as_interactions(test, "test")
    test._check_not_empty("test")
    n_users, n_items = test.n_users, test.n_items
    if is_model(model):
        model = model._now()  # what other threads add meanwhile does not matter
    score_users = score_function(model, n_users, n_items)
    ids = (model.user_ids_, model.item_ids_) if isinstance(model, FittedModel) else (None, None)
    check_same_space(test.space, Space(n_users, n_items, *ids), "test", "the model")
    out = left_out_of(model, test, protocol.exclude)
    field = field_of(score_users, test, out.pairs, out.items, protocol)
    _check_some_left(field.kept, test, out, protocol)
    positives = field.positives
    n_jobs = check_n_jobs(protocol.n_jobs, work=10.0 * len(positives.items) * field.width)
    bar = check_count(protocol.verbose, "verbose", 0) > 0
    with Progress(len(positives.users), "evaluating", "user", shown=bar, delay=1.0) as progress:
        counts = count_outranking(
            field.score_users, field.width, positives, n_jobs, advance=progress.advance
        )
    users, bounds = positives.users, positives.bounds
    standing = Standing(
        users,
        users if test.user_ids is None else test.user_ids[users],
        bounds,
        test.indices[field.kept],
        test.values[field.kept],
        field.n_ranked[users] - np.diff(bounds),
        *counts,
    )
    return standing, Ranked(model, score_users, n_items, users, out, field, n_jobs)


def _check_some_left(
    kept: NDArray[np.bool_], test: Interactions, out: LeftOut, protocol: EvaluationProtocol
) -> None:
    """Raise if no positive can be ranked; warn of those that cannot."""
    if kept.all():
        return
    by_seen = isinstance(protocol.exclude, str)
    allowed = out.allowed(test)
    if not kept.any():
        why = "exclude holds all positives of test"
        if allowed.any():
            why = "no positive of test is among the candidates"
        elif by_seen:
            why = (
                "the model was trained on all positives of test, and what it has seen is left out: "
                "exclude=None counts it"
            )
        raise NoUsersError(f"no user can be evaluated: {why}")
    name = "what the model was trained on" if by_seen else "exclude"
    _warn_of_lost(test, allowed, np.ones_like(kept), ("test", f"are in {name} too"))
    _warn_of_lost(test, kept, allowed, ("test", "are not among the candidates"))


def drop_known(
    test: Interactions, exclude: Interactions | ItemsOfUsers, names: tuple[str, str]
) -> Interactions:
    """Return `test` without the positives that are in `exclude` too; warn if there are any.

    `names` are what a user calls the two.
    """
    from tripletrec.ranking.ranks import absent_from

    kept = absent_from(exclude.indptr, exclude.indices, test.indptr, test.indices)
    if kept.all():
        return test
    if not kept.any():
        raise NoUsersError(
            f"no user can be evaluated: {names[1]} holds all positives of {names[0]}"
        )
    _warn_of_lost(test, kept, np.ones_like(kept), (names[0], f"are in {names[1]} too"))
    return test[kept]


def all_known(test: Interactions, seen: Interactions | None) -> bool:
    """Tell whether there are positives in `test` and all of them are in `seen`, too."""
    if seen is None or test.n_users != seen.n_users or not test.nnz:
        return False
    from tripletrec.ranking.ranks import absent_from

    return not absent_from(seen.indptr, seen.indices, test.indptr, test.indices).any()


def _warn_of_lost(
    test: Interactions,
    kept: NDArray[np.bool_],
    before: NDArray[np.bool_],
    words: tuple[str, str],
) -> None:
    """Say how many of the positives that there were `before` are not kept, and of how many users."""
    n_lost = int(np.count_nonzero(before & ~kept))
    if n_lost:
        n_users = [len(np.unique(test.rows[each])) for each in (before, kept & before)]
        warn_user(
            f"{n_lost} of {np.count_nonzero(before)} positives in {words[0]} {words[1]} and are left out; "
            f"{n_users[0] - n_users[1]} users have none left"
        )


def left_out_of(model: Any, test: Interactions, exclude: Any) -> LeftOut:
    """Return the items that are left out of the ranking of each user."""
    from tripletrec.ranking.scores import FittedModel

    seen = seen_by(model) if names_seen(exclude) and isinstance(model, FittedModel) else None
    if isinstance(seen, Interactions):
        seen._check_still_inside("what the model was trained on")
    out = read_exclude(exclude, seen, test.space, test._items, owner="test")
    items = np.empty(0, np.int64) if out.items is None else out.items
    beside = out if seen is None else out._replace(pairs=out.pairs[1:])
    pairs, known = out.of_all(test.n_users), None if seen is None else beside
    return LeftOut(pairs, items, known, beside.pairs)


def warn_of_constant_scores(standing: Standing) -> None:
    """Warn if no user has candidates with different scores."""
    firsts, n_positives = standing.bounds[:-1], np.diff(standing.bounds)
    n_others = standing.n_negatives + n_positives - 1
    if n_others.any() and (standing.equal[firsts] == n_others).all():
        warn_user(
            f"the scores are constant: each of the {len(firsts)} users evaluated has one score for all "
            "candidates, and all metrics are those of chance"
        )
