"""Interactions: built from tables and arrays, cut, transposed and copied."""

import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.space import Space

DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4]])
triples = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=40
)

FRAME = pd.DataFrame(
    {
        "user": ["u2", "u1", "u2", "u2"],
        "item": [30, 10, 10, 30],
        "weight": [1.0, 2.0, 3.0, 4.0],
        "time": [5, 6, 7, 4],
    }
)


def test_from_frame():
    before = FRAME.copy()
    data = Interactions.from_frame(FRAME, value="weight", timestamp="time")
    assert data.user_ids.tolist() == ["u1", "u2"] and data.item_ids.tolist() == [10, 30]
    assert data.user_ids.dtype.kind == "U" and data.item_ids.dtype == np.int64
    np.testing.assert_array_equal(data.tocsr().toarray(), [[2, 0], [3, 5]])
    assert data.timestamps.tolist() == [6, 7, 5], "of duplicates, the latest time"
    pd.testing.assert_frame_equal(FRAME, before)
    assert "timestamps" in repr(data)


@pytest.mark.parametrize(
    "build",
    [
        lambda given: Interactions.from_frame(given, value="value", timestamp="timestamp"),
        lambda given: Interactions.from_frame(
            pd.DataFrame(given, copy=False), value="value", timestamp="timestamp"
        ),
        lambda given: Interactions.from_arrays(
            given["user"], given["item"], given["value"], timestamps=given["timestamp"]
        ),
        lambda given: Interactions(
            sp.coo_array((given["value"], (given["user"], given["item"]))),
            timestamps=given["timestamp"],
        ),
        lambda given: Interactions(
            sp.csr_array((given["value"].copy(), (given["user"], given["item"]))),
            timestamps=given["timestamp"],
        ),
    ],
)
@pytest.mark.parametrize("times", [[5, 6, 4], [0.5, 6.5, 4.5], ["2024-01", "2024-03", "2024-02"]])
def test_what_was_given_may_be_changed_afterwards(build, times):
    kind = "M8[ns]" if isinstance(times[0], str) else None
    given = {
        "user": np.array([0, 0, 1]),
        "item": np.array([0, 1, 0]),
        "value": np.array([1, 2, 3], np.float32),
        "timestamp": np.array(times, kind),
    }
    data = build(given)
    before = copy.deepcopy((data.rows, data.indices, data.values, data.timestamps))
    for array in given.values():
        array[:] = array[::-1].copy()
    for array, wanted in zip(
        (data.rows, data.indices, data.values, data.timestamps), before, strict=True
    ):
        np.testing.assert_array_equal(array, wanted)


def test_from_frame_with_given_order():
    data = Interactions.from_frame(FRAME, user_ids=["u3", "u2", "u1"], item_ids=[10, 20, 30])
    assert data.space.shape == (3, 3)
    np.testing.assert_array_equal(data.tocsr().toarray(), [[0, 0, 0], [1, 0, 2], [1, 0, 0]])


def test_from_polars():
    polars = pytest.importorskip("polars")
    data = Interactions.from_frame(
        polars.from_dict({name: FRAME[name].to_list() for name in FRAME}),
        value="weight",
        timestamp="time",
    )
    np.testing.assert_array_equal(data.tocsr().toarray(), [[2, 0], [3, 5]])
    assert data.user_rows(polars.Series(["u2"])).tolist() == [1]


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        (FRAME, {"user": "User"}, ValueError, "no column 'User': its columns are .*'user'"),
        (FRAME, {"value": "rating"}, ValueError, "frame has no column 'rating'"),
        (FRAME[:0], {}, ValueError, "frame has no rows"),
        (FRAME, {"user_ids": ["u1"]}, ValueError, "unknown user id 'u2': 1 ids are known"),
        (FRAME, {"item_ids": 5}, TypeError, "item_ids must be a sequence"),
        ({"user": ["a", None], "item": [1, 2]}, {}, ValueError, "'user' has a missing id at posit"),
        ({"user": [1.0, np.nan], "item": [1, 2]}, {}, ValueError, "missing id at position 1"),
        ({"user": ["a", 1], "item": [1, 2]}, {}, TypeError, "cannot be sorted, give user_ids"),
        ({"user": [1, 2], "item": [1]}, {}, ValueError, "must be of one length, got 2 and 1"),
        (np.ones((2, 2)), {}, TypeError, "frame must be a DataFrame or a dict"),
        (
            FRAME.assign(time=["x"] * 4),
            {"timestamp": "time"},
            TypeError,
            "timestamps of column 'time' must be",
        ),
        (FRAME.assign(weight=-1.0), {"value": "weight"}, ValueError, "values must hold finite"),
    ],
)
def test_bad_tables(frame, options, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_frame(frame, **options)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_a_plain_matrix_has_its_rows_and_columns_for_ids(shape):
    for data in (Interactions(np.ones(shape)), as_interactions(np.ones(shape))):
        assert data.space.shape == shape
        for rows, n in zip((data.user_rows, data.item_rows), shape, strict=True):
            assert rows(range(n)).tolist() == list(range(n))
            with pytest.raises(ValueError, match=f"unknown .* id {n}"):
                rows([n])


def test_from_arrays_shapes():
    assert Interactions.from_arrays([0, 3], [1, 2]).space.shape == (4, 3)
    assert Interactions.from_arrays([0], [1], shape=(5, 6)).space.shape == (5, 6)
    assert Interactions.from_arrays(
        [0], [1], user_ids=["a", "b"], item_ids="x y z".split()
    ).space.shape == (2, 3)


def test_from_arrays_of_iterators():
    data = Interactions.from_arrays(
        iter([1, 0]), iter([0, 2]), iter([3, 4]), timestamps=iter([5, 6])
    )
    assert data.values.tolist() == [4, 3] and data.timestamps.tolist() == [6, 5]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([], []), {}, ValueError, "users has no interaction: at least one positive, or shape"),
        (([0, 1], [0]), {}, ValueError, r"items must be one per user: expected shape \(2,\)"),
        (([0], [0], [1, 2]), {}, ValueError, "values must be one per interaction"),
        (([-1], [0]), {}, ValueError, "users must be >= 0, got -1"),
        (([2], [0]), {"shape": (2, 2)}, ValueError, "users must be < 2, got 2"),
        (([0], [5]), {"item_ids": ["a"]}, ValueError, "items must be < 1, got 5"),
        (([0.5], [0]), {}, TypeError, "users must be integers"),
        ((["a"], [0]), {}, TypeError, "users must be integers"),
        (([[0]], [0]), {}, ValueError, "users must be one-dimensional"),
        (([0], [0]), {"shape": 3}, ValueError, r"shape must be \(n_users, n_items\), got 3"),
        (([0], [0]), {"shape": (0, 3)}, ValueError, "shape has no user"),
        (([0], [0]), {"shape": (2**31, 3)}, ValueError, r"fewer than 2\*\*31 users"),
        (([0], [0]), {"shape": (2, 2), "user_ids": [1]}, ValueError, "user_ids must have 2 ids"),
        (([0], [0]), {"timestamps": [1, 2]}, ValueError, "timestamps must be one per interaction"),
        (([0], [0]), {"timestamps": [np.nan]}, ValueError, "timestamps has a missing time"),
        (([0], [0]), {"timestamps": [np.datetime64("NaT", "s")]}, ValueError, "missing date"),
        (([0], [0]), {"timestamps": ["now"]}, TypeError, "timestamps must be numbers or dates"),
    ],
)
def test_bad_arrays(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_arrays(*arguments, **options)


INTEGERS = [np.dtype(letter) for letter in "bhilqBHILQ"]


@pytest.mark.parametrize("users", INTEGERS, ids=lambda d: d.char)
def test_from_arrays_of_any_two_integer_types(users):
    for items in INTEGERS:
        rows, columns = np.array([1, 0, 1, 1], users), np.array([100, 2, 0, 100], items)
        data = Interactions.from_arrays(rows, columns, np.array([1, 2, 3, 4], users))
        assert data.space.shape == (2, 101) and data.rows.tolist() == [0, 1, 1], items
        assert data.indices.tolist() == [2, 0, 100] and data.values.tolist() == [2, 3, 5], items


@pytest.mark.parametrize(
    "column",
    [
        [Decimal(1), Decimal("0.0"), Decimal("2")],
        np.array([1, 0, 2], object),
        np.array([np.int8(1), 0, Decimal(2)], object),
        pd.array([1, 0, 2], dtype="Int64"),
        pd.Series([1, 0, 2], dtype="UInt8"),
        pd.Series([1, 0, 2], dtype=object),
    ],
)
def test_from_arrays_of_objects_that_are_whole_numbers(column):
    data = Interactions.from_arrays(column, column, column, shape=(3, 3))
    np.testing.assert_array_equal(data.tocsr().toarray(), np.diag([0, 1, 2]))


@pytest.mark.parametrize(
    ("users", "error", "message"),
    [
        ([1, None], ValueError, "users must not have missing entries, got None at 1"),
        (np.array([pd.NA, 1], object), ValueError, "users must not have missing entries, got <NA>"),
        (pd.array([1, None], dtype="Int64"), (TypeError, ValueError), "users must"),
        (
            np.ma.array([1, 2], mask=[0, 1]),
            ValueError,
            "users must not be masked, but 1 of its entries are",
        ),
        ([1, np.ma.masked], ValueError, "users must not be masked, but 1 of its entries are"),
        ([Decimal("0.5"), 1], TypeError, "users must be integers .*, got float64"),
        ([Decimal("NaN"), 1], TypeError, "users must be integers"),
        ([Decimal("1E+999999999"), 1], TypeError, "users must be integers .*, got float64"),
        ([Fraction(10**400, 3), 1], ValueError, "users must fit float64, got a number beyond it"),
        ([Decimal("sNaN"), 1], ValueError, "users must fit float64"),
        ([2**64, 1], ValueError, "users must fit into 64 bits, got 18446744073709551616"),
        ([-(2**64), 1], ValueError, "users must fit into 64 bits, got -18446744073709551616"),
        (np.array([2**64 - 1, 1], np.uint64), ValueError, r"fewer than 2\*\*31 users"),
        (np.array(["a", 1], object), TypeError, "users must be integers .*, got object"),
        ([True, False], TypeError, "users must be integers .*, got bool"),
        ([[1], [1, 2]], ValueError, "users must be an array, but its parts differ in length"),
    ],
)
def test_from_arrays_of_what_is_no_whole_number(users, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_arrays(users, [0, 1])


def test_masked_values_and_times():
    masked = np.ma.array([1, 2], mask=[1, 0])
    with pytest.raises(ValueError, match="values must not be masked, but 1 of its entries are"):
        Interactions.from_arrays([0, 1], [0, 1], masked)
    with pytest.raises(ValueError, match="timestamps must not be masked, but 1 of its entries are"):
        Interactions.from_arrays([0, 1], [0, 1], timestamps=masked)
    with pytest.raises(ValueError, match="index must not be masked, but 1 of its entries are"):
        Interactions(DENSE)[np.ma.array([True] * 4, mask=[1, 0, 0, 0])]
    with pytest.raises(ValueError, match="user ids must not be masked, but 1 of its entries are"):
        Interactions(DENSE).user_rows(masked)
    with pytest.raises(ValueError, match="item ids must not be masked, but 1 of its entries are"):
        Interactions(DENSE, item_ids=list("abcd")).item_rows(np.ma.array(["a", "b"], mask=[0, 1]))


def test_empty(check_canonical):
    data = Interactions(DENSE, user_ids=["a", "b", "c"], timestamps=[1, 2, 3, 4])
    nothing = Interactions.empty(like=data)
    check_canonical(nothing)
    assert nothing.space.shape == (3, 4) and len(nothing) == 0 and len(nothing.timestamps) == 0
    assert nothing.user_ids.tolist() == ["a", "b", "c"] and nothing.tocsr().nnz == 0
    assert "0 positives" in repr(nothing) and nothing.rows.tolist() == []
    check_canonical(nothing.T)
    check_canonical(pickle.loads(pickle.dumps(nothing)))
    assert as_interactions(nothing, "exclude", data.space, "train") is nothing
    for index in ([], np.zeros(4, bool), slice(0), np.empty(0, int)):
        check_canonical(data[index])
        assert len(data[index]) == 0 and data[index].space.shape == (3, 4)
    assert len(data[...]) == 4
    for made in (
        Interactions.from_arrays([], [], shape=(3, 4)),
        Interactions.from_arrays([], [], [], user_ids="abc".split(), item_ids=[1]),
        Interactions.from_arrays([0, 1], [0, 1], [0.0, 0.0]),
    ):
        check_canonical(made)
        assert len(made) == 0
    with pytest.raises(TypeError, match="like must be Interactions, got csr_matrix"):
        Interactions.empty(data.tocsr())


def test_timestamps_follow_their_interactions():
    data = Interactions.from_arrays([1, 0, 1], [0, 2, 2], [5, 0, 7], timestamps=[3.0, 9.0, 1.0])
    assert data.indices.tolist() == [0, 2] and data.timestamps.tolist() == [3, 1]
    assert data.T.timestamps.tolist() == [3, 1] and data.T.space.shape == (3, 2)
    assert data[[1]].timestamps.tolist() == [1]
    matrix = sp.csr_matrix(DENSE)
    assert Interactions(matrix, timestamps=[4, 3, 2, 1]).timestamps.tolist() == [4, 3, 2, 1]
    dates = np.array(["2020-01-02", "2020-01-01"], "M8[D]")
    times = Interactions.from_arrays([0, 0], [0, 1], timestamps=dates).timestamps
    assert np.diff(times) == np.timedelta64(-1, "D")


def test_subsets_keep_shape_and_ids(check_canonical):
    data = Interactions(DENSE, user_ids=["a", "b", "c"])
    part = data[[3, 0]]
    check_canonical(part)
    assert part.space.shape == data.space.shape and part.user_rows("c").tolist() == [2]
    np.testing.assert_array_equal(part.tocsr().toarray(), [[0, 2, 0, 0], [0] * 4, [0, 0, 0, 4]])
    assert data[np.array([0, 3]), ...].indices.tolist() == part.indices.tolist()
    assert len(data[1:]) == 3 and len(data[-1]) == 1 and len(data[[True, False, True, False]]) == 2


def test_bad_subsets():
    data = Interactions(DENSE)
    with pytest.raises(IndexError, match="out of bounds"):
        data[[4]]
    with pytest.raises(IndexError, match="bool"):
        data[[True, False]]
    with pytest.raises(TypeError, match="one axis"):
        data[0, 1]


@given(triples, st.data())
def test_a_mask_and_its_complement_add_up(check_canonical, entries, draw):
    data = Interactions.from_arrays(*zip(*[(u, i, v + 1) for u, i, v in entries], strict=True))
    mask = np.array(draw.draw(st.lists(st.booleans(), min_size=len(data), max_size=len(data))))
    if mask.all() or not mask.any():
        return
    check_canonical(data[mask])
    total = data[mask].tocsr() + data[~mask].tocsr()
    assert (total != data.tocsr()).nnz == 0


def test_it_is_no_array_by_accident():
    with pytest.raises(TypeError, match="use .tocsr()"):
        np.asarray(Interactions(DENSE))


def test_pickle_and_copy():
    data = Interactions(DENSE, user_ids=["a", "b", "c"], timestamps=[1, 2, 3, 4])
    data.user_rows("a")  # builds the lookup table, which is not pickled
    for twin in (pickle.loads(pickle.dumps(data)), copy.deepcopy(data)):
        assert (twin.tocsr() != data.tocsr()).nnz == 0
        assert twin.user_rows("c").tolist() == [2] and twin.timestamps.tolist() == [1, 2, 3, 4]


def test_twice_transposed():
    data = Interactions(DENSE, user_ids=["a", "b", "c"], item_ids=[1, 2, 3, 4])
    assert data.T.item_rows("c").tolist() == [2] and data.T.user_rows(4).tolist() == [3]
    np.testing.assert_array_equal(data.T.tocsr().toarray(), DENSE.T)
    np.testing.assert_array_equal(data.T.T.indices, data.indices)


def test_users_and_items_must_agree_where_both_are_known():
    data = Interactions(np.eye(3, 4))
    named = Interactions(data.tocsr(), user_ids=list("abc"))
    users = named.user_ids
    assert as_interactions(data, "test", Space(3, 4), "the model") is data
    assert as_interactions(data, "test", Space(3, 4, users), "the model") is data
    assert as_interactions(named, "test", Space(3, 4, users), "the model") is named
    assert as_interactions(named, "test", Space(3, 4), "the model") is named
    expected = "test must have the 3 users and 5 items of the model, got 3 and 4"
    with pytest.raises(ValueError, match=expected):
        as_interactions(data, "test", Space(3, 5), "the model")
    with pytest.raises(ValueError, match="test must have the user ids of the model, in the same"):
        as_interactions(named, "test", Space(3, 4, users[::-1]), "the model")


def test_scikit_learn_counts_and_takes_interactions():
    data = Interactions(np.eye(3, 4))
    assert not hasattr(data, "shape") and _num_samples(data) == 3
    part = _safe_indexing(data, np.array([2, 0]))
    assert part.rows.tolist() == [0, 2] and part.space.shape == (3, 4)
    assert _safe_indexing(data, np.array([True, False, False])).rows.tolist() == [0]
    with pytest.raises(ValueError, match="axis must be 0"):
        data.take([0], axis=1)
