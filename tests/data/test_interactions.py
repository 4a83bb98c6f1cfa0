"""Interactions: built from tables and arrays, cut, transposed and copied."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
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


def test_from_arrays_shapes():
    assert Interactions.from_arrays([0, 3], [1, 2]).space.shape == (4, 3)
    assert Interactions.from_arrays([0], [1], shape=(5, 6)).space.shape == (5, 6)
    assert Interactions.from_arrays(
        [0], [1], user_ids=["a", "b"], item_ids="x y z".split()
    ).space.shape == (2, 3)


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
        (([0], [0]), {"timestamps": [np.datetime64("NaT")]}, ValueError, "missing date"),
        (([0], [0]), {"timestamps": ["now"]}, TypeError, "timestamps must be numbers or dates"),
    ],
)
def test_bad_arrays(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_arrays(*arguments, **options)


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


@settings(deadline=None)
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
