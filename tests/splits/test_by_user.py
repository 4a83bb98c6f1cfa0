"""Users held out of training: two groups of users, a history and a target, and nothing lost uncounted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tripletrec as tr
from splits.support import entries, some_interactions
from tripletrec.splits import UserSplit, user_split

SEEDS = st.integers(0, 2**32)


def of_user(data, user):
    return [entry for entry in entries(data) if entry[0] == user]


@given(SEEDS, st.integers(1, 5), st.floats(0.05, 0.95), st.sampled_from(["random", "time"]))
def test_users_are_parted_and_their_interactions_too(seed, n, fold_in, by):
    data = some_interactions(12, 9, seed=seed)
    if np.count_nonzero(np.diff(data.indptr) >= 2) < n:
        return
    split = user_split(data, n, fold_in=fold_in, by=by, random_state=seed)
    train, history, target = split
    assert isinstance(split, UserSplit) and train is split.train
    assert history.n_users == target.n_users == n and train.n_users == data.n_users - n
    assert history.user_ids.tolist() == target.user_ids.tolist()
    assert sorted([*train.user_ids, *history.user_ids]) == sorted(data.user_ids)
    assert {part.n_items for part in split} == {data.n_items}
    known = set(train.indices)
    for part in (history, target):
        assert set(part.indices) <= known
    kept = [entry for part in split for entry in entries(part)]
    gone = set(entries(data)) - set(kept)
    assert len(kept) == len(set(kept)) and set(kept) <= set(entries(data))
    assert len(gone) == history.n_dropped + target.n_dropped and train.n_dropped == 0
    assert all(user in history.user_ids and item not in known for user, item, _, _ in gone)
    for user in history.user_ids:
        size = len(of_user(data, user))
        wanted = min(max(round(fold_in * size), 1), size - 1)
        lost = sum(entry[0] == user for entry in gone)
        found = len(of_user(history, user))
        assert wanted - lost <= found <= wanted
        assert size - wanted - lost <= len(of_user(target, user)) <= size - wanted
    again = user_split(data, n, fold_in=fold_in, by=by, random_state=seed)
    assert [entries(part) for part in again] == [entries(part) for part in split]


@given(SEEDS)
def test_by_time_the_history_comes_first(seed):
    data = some_interactions(12, 9, seed=seed)
    _, history, target = user_split(data, 2, by="time", random_state=seed)
    for user in history.user_ids:
        before = [(time, item) for _, item, _, time in of_user(history, user)]
        after = [(time, item) for _, item, _, time in of_user(target, user)]
        assert not before or not after or max(before) < min(after)


def test_sizes():
    data = tr.Interactions(np.ones((40, 10)))
    for test, n in ((0.1, 4), (0.01, 1), (7, 7), (0.11, 5)):
        train, history, target = user_split(data, test)
        assert (train.n_users, history.n_users) == (40 - n, n)
        assert (len(history), len(target)) == (8 * n, 2 * n)
    assert train.user_ids.dtype.kind == "i"  # the row numbers
    assert sorted([*train.user_ids, *target.user_ids]) == list(range(40))


def test_users_with_one_interaction_stay_in_training():
    data = tr.Interactions.from_arrays([0, 1, 1, 2, 3, 3], [0, 0, 1, 1, 0, 1], shape=(5, 3))
    for seed in range(10):
        train, history, target = user_split(data, 1, random_state=seed)
        assert history.user_ids[0] in (1, 3) and {0, 2, 4} <= set(train.user_ids)
        assert len(history) == len(target) == 1


def test_seeds_differ_and_all_users_are_chosen():
    data = tr.Interactions(np.ones((10, 4)))
    chosen = [user_split(data, 3, random_state=seed).history.user_ids for seed in range(60)]
    assert len({tuple(each) for each in chosen}) > 20
    assert set(np.concatenate(chosen)) == set(range(10))
    first = user_split(data, 3, random_state=0)[1]
    assert entries(user_split(data, 3)[1]) == entries(first)
    assert len({tuple(user_split(data, 3, random_state=None)[1].user_ids) for _ in range(9)}) > 1


def test_a_model_is_measured_by_what_it_makes_of_the_history():
    """Two groups of users with opposite tastes: counting what goes together finds the target."""
    user, item = np.meshgrid(np.arange(40), np.arange(20), indexing="ij")
    liked = (user % 2 == item % 2) & ((user * 7 + item * 3) % 5 > 0)
    train, history, target = user_split(tr.Interactions(liked * 1.0), 0.2)
    together = train.tocsr().T @ train.tocsr()

    def scores(rows):
        return (history.tocsr()[rows] @ together).toarray()

    assert tr.full_auc(scores, target, exclude=history) > 0.75


def alone(n):
    """Two users who have nothing in common."""
    return tr.Interactions.from_arrays([0, 0, 1, 1], [0, 1, 2, 3], timestamps=[1, 2, 3, n])


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (np.ones((5, 4)), {"test": 0}, ValueError, "test must be an integer >= 1, got 0"),
        (np.ones((5, 4)), {"test": 1.0}, ValueError, "test must be a number between 0 and 1"),
        (np.ones((5, 4)), {"test": "all"}, TypeError, "test must be"),
        (np.ones((5, 4)), {"test": True}, TypeError, "test must be"),
        (np.ones((5, 4)), {"test": 6}, ValueError, "test=6 is more than the 5 users with at least two"),
        (np.ones((5, 4)), {"test": 5}, ValueError, "test=5 leaves nothing for training"),
        (np.eye(5), {}, ValueError, "test=0.1 holds nobody out: no user has two interactions"),
        (np.eye(5), {"test": 1}, ValueError, "test=1 is more than the 0 users with at least two"),
        (np.zeros((5, 4)), {}, ValueError, "holds nobody out"),
        (alone(4), {"test": 1}, ValueError, "leaves nothing in the history: its 1 interactions are with"),
        (np.ones((5, 4)), {"fold_in": 0}, ValueError, "fold_in must be a number between 0 and 1"),
        (np.ones((5, 4)), {"fold_in": 1.0}, ValueError, "fold_in must be"),
        (np.ones((5, 4)), {"fold_in": None}, TypeError, "fold_in must be"),
        (np.ones((5, 4)), {"by": "date"}, ValueError, "by must be 'random' or 'time', got 'date'"),
        (np.ones((5, 4)), {"by": ["time"]}, ValueError, "by must be"),
        (np.ones((5, 4)), {"by": "time"}, ValueError, "interactions must have timestamps"),
        (np.ones((5, 4)), {"random_state": -1}, ValueError, "random_state must be"),
        ({"user": [1]}, {}, TypeError, "interactions must be Interactions"),
    ],
)  # fmt: skip
def test_bad_user_split(data, options, error, message):
    with pytest.raises(error, match=message):
        user_split(data, **options)
