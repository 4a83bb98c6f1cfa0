"""What is left of interactions when users and items must have enough of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_data
from tiers import examples
from tripletrec import MatrixFactorization
from tripletrec.data.interactions import Interactions

entries = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 6)), st.integers(1, 5), max_size=40
)
least = st.integers(0, 4)


def of(entries, **options):
    users, items = zip(*entries, strict=True) if entries else ((), ())
    values = np.array(list(entries.values()), np.float64)
    times = np.array([100 * user + item for user, item in entries], np.int64)
    shape = (7, 7)
    return Interactions.from_arrays(
        np.array(users, int), np.array(items, int), values, timestamps=times, shape=shape, **options
    )


def ids_of(ids, n):
    return list(range(n)) if ids is None else ids.tolist()


@examples(200)
@given(entries, least, least, st.none() | st.integers(0, 6), st.booleans())
def test_equals_the_naive_twin(
    check_canonical, entries, min_per_user, min_per_item, min_value, named
):
    names = [f"id {n}" for n in range(7)]
    data = of(entries, **({"user_ids": names, "item_ids": names} if named else {}))
    rows = sorted((user, item, value) for (user, item), value in entries.items())
    left, users, items = naive_data.filtered(
        rows, min_per_user, min_per_item, min_value, list(range(7)), list(range(7))
    )
    if not users or not items:
        with pytest.raises(ValueError, match="no (user|item) is left with min_per_user="):
            data.filter(min_per_user, min_per_item, min_value)
        return
    core = data.filter(min_per_user, min_per_item, min_value)
    check_canonical(core)
    name = names.__getitem__ if named else int
    assert ids_of(core.user_ids, core.n_users) == [name(each) for each in users]
    assert ids_of(core.item_ids, core.n_items) == [name(each) for each in items]
    found = zip(core.rows, core.indices, core.values, core.timestamps, strict=True)
    assert [(users[u], items[i], v, t) for u, i, v, t in found] == [
        (user, item, value, 100 * user + item) for user, item, value in left
    ]


@given(entries, least, least)
def test_nothing_changes_any_more(entries, min_per_user, min_per_item):
    try:
        core = of(entries).filter(min_per_user, min_per_item)
    except ValueError:
        return
    assert np.diff(core.indptr).min() >= min_per_user
    assert np.bincount(core.indices, minlength=core.n_items).min() >= min_per_item
    again = core.filter(min_per_user, min_per_item)
    assert again.space == core.space and (again.indices == core.indices).all()
    other = of(entries).T.filter(min_per_item, min_per_user).T
    np.testing.assert_array_equal(other.tocsr().toarray(), core.tocsr().toarray())


def test_without_arguments_all_stays():
    data = Interactions(np.array([[1, 0], [0, 0]]), user_ids=["a", "b"])
    same = data.filter()
    assert same.user_ids is data.user_ids and same.item_ids is None and len(same) == 1
    assert same.space.shape == (2, 2)


def test_one_leaves_out_those_without_any():
    data = Interactions(np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0]]))
    core = data.filter(min_per_user=1, min_per_item=1)
    assert core.user_ids.tolist() == [0, 2] and core.item_ids.tolist() == [1]
    assert core.user_rows([2]).tolist() == [1] and core.filter(1).user_ids is core.user_ids
    low = data.filter(min_value=2)
    assert len(low) == 0 and low.space == data.space


def test_values_are_compared_as_they_are_kept():
    data = Interactions(np.array([[0.1, 0.2, 0.3]]))
    assert data.filter(min_value=0.1).values.tolist() == data.values.tolist()
    assert len(data.filter(min_value=0.2)) == 2 and len(data.filter(min_value=-1)) == 3


def test_a_chain_falls_one_by_one():
    """A path of users and items, of which each falls only after the one before it."""
    n = 3000
    users = np.repeat(np.arange(n), 2)[1:]
    items = np.repeat(np.arange(n), 2)[:-1]
    cycle = np.array([n, n, n + 1, n + 1]), np.array([n, n + 1, n, n + 1])
    data = Interactions.from_arrays(
        np.concatenate((users, cycle[0])), np.concatenate((items, cycle[1]))
    )
    core = data.filter(2, 2)
    assert core.user_ids.tolist() == core.item_ids.tolist() == [n, n + 1] and len(core) == 4


def test_a_model_learns_what_is_left_and_tests_are_built_like_it():
    frame = {"user": list("aabbc"), "item": [1, 2, 1, 2, 3]}
    core = Interactions.from_frame(frame).filter(2, 2)
    test = Interactions.from_frame(frame, like=core, unknown="drop")
    assert test.n_dropped == 1 and test.space == core.space
    more = Interactions.from_frame(frame | {"user": list("abbcc")})
    model = MatrixFactorization(n_factors=2, n_epochs=1).fit(more.filter(min_per_user=2))
    assert set(model.recommend("b", k=3, exclude=None)[0].tolist()) <= {1, 2, 3}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_per_user": -1}, ValueError, "min_per_user"),
        ({"min_per_item": 1.5}, TypeError, "min_per_item"),
        ({"min_per_user": "2"}, TypeError, "min_per_user"),
        ({"min_value": np.nan}, ValueError, "min_value"),
        ({"min_value": "3"}, TypeError, "min_value"),
        (
            {"min_per_user": 3},
            ValueError,
            "no user is left with min_per_user=3, min_per_item=0 and",
        ),
        ({"min_per_item": 3}, ValueError, "no item is left"),
    ],
)
def test_other_limits_get_one_sentence(options, error, message):
    with pytest.raises(error, match=message) as info:
        Interactions(np.eye(2)).filter(**options)
    assert len(str(info.value)) < 300
