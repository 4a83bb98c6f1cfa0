"""What is left out of rankings, against sets; models whose users are more than they were trained on."""

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.data.ids import Ids
from tripletrec.data.space import Space
from tripletrec.ranking.exclusion import (
    known_rows,
    names_seen,
    padded,
    read_exclude,
    seen_by,
    union,
)
from tripletrec.sampling.draw import ItemsOfUsers


def pairs_of(dense):
    data = tr.Interactions(dense)
    return ItemsOfUsers(data.indptr, data.indices)


def dense_of(pairs, n_items):
    dense = np.zeros((pairs.n_users, n_items), bool)
    for user in range(pairs.n_users):
        mine = pairs.indices[pairs.indptr[user] : pairs.indptr[user + 1]]
        assert (np.diff(mine) > 0).all()
        dense[user, mine] = True
    return dense


def test_rows_are_taken(rng):
    dense = rng.random((7, 9)) < 0.4
    rows = rng.integers(0, 7, 5)
    np.testing.assert_array_equal(dense_of(pairs_of(dense).of(rows), 9), dense[rows])
    assert pairs_of(dense).of(rows[:0]).n_users == 0


def test_union(rng):
    several = [rng.random((6, 8)) < share for share in (0.0, 0.3, 0.6)]
    found = union([pairs_of(each) for each in several])
    np.testing.assert_array_equal(dense_of(found, 8), np.any(several, axis=0))


def test_what_exclude_says(rng):
    seen, other = rng.random((2, 5, 6)) < 0.4
    known, items = tr.Interactions(seen), Ids(None, 6, "item")
    for exclude, expected in (
        (None, seen & False),
        ("seen", seen),
        (other, other),
        (("seen", other), seen | other),
        ([1, 4], np.isin(np.arange(6), [1, 4]) | (seen & False)),
        (("seen", {1, 4}), np.isin(np.arange(6), [1, 4]) | seen),
    ):
        out = read_exclude(exclude, known, Space(5, 6), items, owner="test")
        gone = np.isin(np.arange(6), [] if out.items is None else out.items)
        pairs = dense_of(out.of_all(5), 6)
        np.testing.assert_array_equal(pairs, expected & ~gone)
        np.testing.assert_array_equal(pairs | gone, expected)
        rows = np.array([3, 0, 3])
        some = out.of_users(rows, np.arange(3), items=True)
        if some is None or some is known:
            assert exclude in (None, "seen")
        else:
            expected = np.broadcast_to(expected, (5, 6))[rows]
            found = dense_of(ItemsOfUsers(some.indptr, some.indices), 6)
            np.testing.assert_array_equal(found if len(found) == 3 else found[rows], expected)


def test_too_many_items_for_all_are_no_pairs():
    many = np.arange(2000)
    out = read_exclude(many, None, Space(1000, 2000), Ids(None, 2000, "item"), owner="test")
    assert not out.are_few(1000) and out.are_few(10)


def test_names_seen():
    assert names_seen("seen") and names_seen(("seen",)) and names_seen(("seen", [1]))
    for other in (None, "other", ["seen"], (), (1, "seen"), np.array(["seen"])):
        assert not names_seen(other)


def test_items_are_known_in_any_order():
    items = Ids(["a", "b", "c"], 3, "item")
    assert known_rows(items, "b", "exclude").tolist() == [1]
    assert sorted(known_rows(items, {"c", "a"}, "exclude")) == [0, 2]
    with pytest.raises(ValueError, match="unknown item id 'x': .*; 1 of the 2 items of exclude"):
        known_rows(items, ["a", "x"], "exclude")


def test_keys_are_no_items(rng):
    of_each, items = {0: [1, 2], 1: [0]}, Ids(None, 6, "item")
    with pytest.raises(TypeError, match="candidates must be a list or set of item ids, got {0:"):
        known_rows(items, of_each, "candidates")
    for exclude in (of_each, ("seen", of_each)):
        with pytest.raises(
            TypeError, match="exclude must be 'seen', None, interactions, a list of"
        ):
            read_exclude(exclude, None, Space(5, 6), items, owner="test")


@pytest.mark.parametrize("one", [np.int64(4), np.array(4), 4, np.str_("x"), np.float64(4)])
def test_one_id_is_no_matrix(one):
    for exclude in (one, ("seen", one)):
        with pytest.raises(ValueError, match="exclude must be 'seen', None, interactions, a list"):
            read_exclude(exclude, None, Space(5, 6), Ids(None, 6, "item"), owner="test")


def test_users_added_since_have_seen_nothing(small):
    n = small.n_users
    wide = padded(small, n + 3)
    assert wide.n_users == n + 3 and wide.indptr[n] == wide.indptr[n + 3] == small.nnz

    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(small)
    assert seen_by(model) is small
    model.n_users_ = n + 3
    model.user_factors_ = np.concatenate((model.user_factors_, np.ones((3, 2), np.float32)))
    assert seen_by(model).n_users == n + 3
    ids, scores = model.recommend([2, n + 1], k=40)
    assert (ids[0] == -1).sum() == np.diff(small.indptr)[2] and (ids[1] >= 0).all()
    assert not model.is_cold([2, n + 1]).any()
    np.testing.assert_allclose(scores[1], model.predict(n + 1, ids[1]), rtol=1e-4)
    test = np.zeros((n + 3, 40))
    test[n + 1, 5] = 1
    assert 0 <= tr.full_auc(model, test) <= 1
    with pytest.raises(
        ValueError, match="exclude must have the 63 users and 40 items of the model"
    ):
        model.recommend(2, exclude=small)


def test_rows_that_may_be_of_all_users_or_of_those_asked_for_are_refused(tmp_path):
    train = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0]])
    out = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    whose = tr.Interactions(out)
    model = tr.Popularity().fit(train)
    assert model.recommend([2, 0, 1], 1, exclude=whose)[0].tolist() == [[0], [1], [0]]
    for users in (None, [0, 1, 2]):
        assert model.recommend(users, 1, exclude=out)[0].tolist() == [[1], [0], [0]]
    assert model.recommend([2, 0], 1, exclude=out[:2])[0].tolist() == [
        [1],
        [0],
    ]  # of those asked for
    for exclude in (out, out.tolist(), ("seen", whose.tocsr())):
        for users in ([2, 0, 1], [0, 0, 1], [0, 1, 7]):
            with pytest.raises(
                ValueError, match="exclude is a matrix whose 3 rows may be those of"
            ):
                model.recommend(users, 1, exclude=exclude, skip_unknown=True)
    with pytest.raises(ValueError, match="make it Interactions of the model's users, with their"):
        model.recommend_to(tmp_path / "lists.csv", [2, 0, 1], exclude=out)

    named = {"user_ids": np.array(["a", "b", "c"]), "shape": (3, 3)}
    model = tr.Popularity().fit(tr.Interactions.from_arrays(*np.nonzero(train), **named))
    with pytest.raises(ValueError, match="exclude is a matrix"):
        model.recommend(["c", "a", "b"], 1, exclude=whose)  # whose users have other ids
    whose = tr.Interactions.from_arrays(*np.nonzero(out), **named)
    assert model.recommend(["c", "a", "b"], 1, exclude=whose)[0].tolist() == [[0], [1], [0]]
