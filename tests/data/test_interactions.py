"""Interactions: every input comes to one canonical form, or to one clear sentence."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletrec.data.interactions import Interactions, as_interactions

FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4]])


def check_canonical(data):
    """Assert all that the class promises about its arrays."""
    assert data.indptr.dtype == np.int64 and data.indices.dtype == np.int32
    assert data.values.dtype == np.float32 and data.rows.dtype == np.int32
    assert data.indptr.shape == (data.n_users + 1,) and data.indptr[-1] == data.nnz == len(data)
    assert (data.values > 0).all() and np.isfinite(data.values).all()
    keys = data.rows.astype(np.int64) * data.n_items + data.indices
    assert (np.diff(keys) > 0).all()
    for array in (data.indptr, data.indices, data.values):
        assert not array.flags.writeable


# ---------------------------------------------------------------- matrices of every kind


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_sparse_format_and_type(format, kind, dtype):
    make = sp.csr_matrix if kind == "matrix" else sp.csr_array
    matrix = make(DENSE.astype(dtype)).asformat(format)
    before = copy.deepcopy(matrix)
    data = Interactions(matrix)
    check_canonical(data)
    np.testing.assert_array_equal(data.tocsr().toarray(), DENSE.astype(dtype).astype(np.float32))
    assert (matrix != before).nnz == 0 and matrix.dtype == dtype


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float16, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dense(dtype, order):
    array = np.asarray(DENSE, dtype=dtype, order=order)
    array.flags.writeable = False
    data = as_interactions(array)
    check_canonical(data)
    np.testing.assert_array_equal(data.tocsr().toarray(), array)


def test_canonical_csr_is_not_copied():
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    data = as_interactions(matrix)
    assert np.shares_memory(data.values, matrix.data)
    assert np.shares_memory(data.indices, matrix.indices)
    assert matrix.data.flags.writeable and matrix.indices.flags.writeable
    assert as_interactions(data) is data


def test_only_the_array_that_needs_it_is_converted():
    matrix = sp.csr_matrix(DENSE.astype(np.float64))
    data = as_interactions(matrix)
    assert not np.shares_memory(data.values, matrix.data)
    assert np.shares_memory(data.indices, matrix.indices)


def test_read_only_memory_map(tmp_path):
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    mapped = []
    for name in ("data", "indices", "indptr"):
        np.save(tmp_path / f"{name}.npy", getattr(matrix, name))
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    data = as_interactions(sp.csr_matrix(tuple(mapped), shape=matrix.shape, copy=False))
    assert np.shares_memory(data.values, mapped[0])
    assert np.shares_memory(data.indices, mapped[1])
    np.testing.assert_array_equal(data.tocsr().toarray(), DENSE)


def test_read_only_matrix_out_of_order_is_left_alone():
    parts = np.array([1.0, 2.0, 0.0, 4.0]), np.array([2, 0, 1, 2]), np.array([0, 3, 4])
    for part in parts:
        part.flags.writeable = False
    data = Interactions(sp.csr_matrix(parts, shape=(2, 3), copy=False))
    check_canonical(data)
    np.testing.assert_array_equal(data.tocsr().toarray(), [[2, 0, 1], [0, 0, 4]])
    np.testing.assert_array_equal(parts[1], [2, 0, 1, 2])


@pytest.mark.parametrize("index_type", [np.int32, np.int64, np.uint32])
def test_wide_indices(index_type):
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    matrix.indices = matrix.indices.astype(index_type)
    matrix.indptr = matrix.indptr.astype(index_type)
    check_canonical(Interactions(matrix))


def test_unused_room_behind_the_entries_is_ignored():
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    matrix.data = np.append(matrix.data, np.float32(np.nan))
    matrix.indices = np.append(matrix.indices, np.int32(99))
    assert len(Interactions(matrix)) == 4


def test_zeros_are_dropped_and_duplicates_summed():
    rows, columns = [1, 0, 1, 1, 0], [2, 1, 2, 0, 1]
    data = Interactions(sp.coo_matrix(([1.0, 0.0, 2.5, 4.0, 0.0], (rows, columns)), shape=(2, 3)))
    check_canonical(data)
    np.testing.assert_array_equal(data.tocsr().toarray(), [[0, 0, 0], [4, 0, 3.5]])


def test_small_integers_do_not_wrap_around_when_summed():
    coo = sp.coo_matrix((np.array([100, 100], np.int8), ([0, 0], [0, 0])), shape=(1, 1))
    assert Interactions(coo).values.tolist() == [200.0]


def test_two_trues_are_one_true():
    coo = sp.coo_matrix((np.array([True, True]), ([0, 0], [0, 0])), shape=(1, 1))
    assert Interactions(coo).values.tolist() == [1.0]


triples = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=40
)


@settings(deadline=None)
@given(triples, st.sampled_from(FORMATS), st.booleans())
def test_any_matrix_equals_scipy_and_the_dict(entries, format, as_array):
    rows, columns, values = map(np.array, zip(*entries, strict=True))
    expected = np.zeros((5, 7))
    for row, column, value in entries:
        expected[row, column] += value
    coo = (sp.coo_array if as_array else sp.coo_matrix)((values, (rows, columns)), shape=(5, 7))
    if not expected.any():
        with pytest.raises(ValueError, match="no positive|no interaction"):
            Interactions(coo)
        return
    for data in (
        Interactions(coo.asformat(format)),
        Interactions.from_arrays(rows, columns, values, shape=(5, 7)),
        Interactions(coo.T).T,
        Interactions(expected),
    ):
        check_canonical(data)
        np.testing.assert_array_equal(data.tocsr().toarray(), expected)


@settings(deadline=None)
@given(triples)
def test_unsorted_csr_with_duplicates_keeps_the_users_arrays(entries):
    rows, columns, values = map(np.array, zip(*sorted(entries, key=lambda e: e[0]), strict=True))
    indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=5))))
    matrix = sp.csr_matrix((values.astype(np.float32) + 1, columns, indptr), shape=(5, 7))
    kept = [matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()]
    expected = matrix.toarray()
    np.testing.assert_array_equal(Interactions(matrix).tocsr().toarray(), expected)
    for array, before in zip((matrix.data, matrix.indices, matrix.indptr), kept, strict=True):
        np.testing.assert_array_equal(array, before)


# ---------------------------------------------------------------- what bad matrices get


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("value", "word"), [(-2.0, "negative value -2.0"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_bad_values_are_named_with_their_place(format, value, word):
    dense = DENSE.astype(float)
    dense[2, 3] = value
    with pytest.raises(ValueError, match=f"matrix must hold finite.*{word}.* row 2, column 3"):
        Interactions(sp.csr_matrix(dense).asformat(format))


@pytest.mark.parametrize("value", [-1, np.nan, -np.inf])
def test_bad_values_in_arrays(value):
    dense = np.ones((3, 4))
    dense[1, 2] = value
    with pytest.raises(ValueError, match=r"X must hold finite.* at row 1, column 2"):
        as_interactions(dense)
    with pytest.raises(ValueError, match=r"train must hold finite"):
        as_interactions(dense, "train")


def test_complex_values():
    with pytest.raises(ValueError, match=r"complex value .*1\+0j.* row 0, column 0"):
        as_interactions(sp.csr_matrix(np.eye(2) * (1 + 0j)))
    with pytest.raises(ValueError, match="complex"):
        as_interactions(np.eye(2) * 1j)


@pytest.mark.parametrize("value", [1e300, 1e-300])
def test_values_beyond_float32(value):
    with pytest.raises(ValueError, match="beyond float32 .* row 0, column 1"):
        as_interactions(np.array([[0.0, value]]))


def test_sum_beyond_float32():
    largest = np.finfo(np.float32).max
    with pytest.raises(ValueError, match="sum of duplicates .* row 0, column 1"):
        Interactions.from_arrays([0, 0], [1, 1], [largest, largest])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((0, 3)), r"X has no user: its shape is \(0, 3\)"),
        (sp.csr_matrix((3, 0)), r"X has no item: its shape is \(3, 0\)"),
        (np.zeros((2, 3)), "at least one positive"),
        (sp.csr_array((2, 3)), "at least one positive"),
        (sp.coo_matrix(([0.0], ([1], [1])), shape=(2, 2)), "X has no positive: all 1 stored"),
        (sp.csr_matrix(([0.0], ([1], [1])), shape=(2, 2)), "X has no positive: all 1 stored"),
        (np.ones(3), r"two dimensions \(users, items\), got 1"),
        (np.ones((2, 2, 2)), "two dimensions .*, got 3"),
        ([[1, 0], [1]], "X must be a two-dimensional array"),
    ],
)
def test_empty_and_misshapen(matrix, message):
    with pytest.raises(ValueError, match=message):
        as_interactions(matrix)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("abc", "X must be Interactions, a scipy sparse matrix or .*, got str"),
        (None, "got NoneType"),
        (np.array([["a", "b"]]), "X must hold numbers, got dtype <U1"),
        (pd.DataFrame({"user": [1], "item": [2]}), "got a DataFrame: use Interactions.from_frame"),
    ],
)
def test_not_a_matrix(matrix, message):
    with pytest.raises(TypeError, match=message):
        as_interactions(matrix)


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("indices", [0, 9, 1, 2], "X.indices must be < 4, got 9"),
        ("indices", [0, -1, 1, 2], "X.indices must be >= 0, got -1"),
        ("indptr", [0, 2, 1, 4], "X.indptr must start at 0 and never decrease"),
        ("indptr", [1, 2, 2, 4], "X.indptr must start at 0"),
        ("indptr", [0, 2, 2, 7], "X.indptr ends at 7, beyond the 4 stored"),
    ],
)
def test_pointers_out_of_the_matrix_never_reach_a_kernel(part, values, message):
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    setattr(matrix, part, np.array(values, np.int32))
    with pytest.raises(ValueError, match=message):
        as_interactions(matrix)


# ---------------------------------------------------------------- ids


def test_ids_are_the_numbers_by_default():
    data = Interactions(DENSE)
    assert data.user_ids is None and data.item_ids is None
    assert data.user_rows([2, 0, 2]).tolist() == [2, 0, 2]
    assert data.item_rows(3).tolist() == [3]
    assert data.item_rows([]).dtype == np.int64


@pytest.mark.parametrize("wrong", [3, -1, "a", 1.5, None, True])
def test_unknown_number(wrong):
    with pytest.raises(ValueError, match=r"unknown user id .*: ids are the whole numbers 0 ... 2"):
        Interactions(DENSE).user_rows([wrong])


def test_given_ids():
    data = Interactions(DENSE, user_ids=["b", "a", "c"], item_ids=[10, 5, 7, 99])
    for query in (["c", "b"], np.array(["c", "b"]), pd.Series(["c", "b"]), pd.Index(["c", "b"])):
        assert data.user_rows(query).tolist() == [2, 0]
    assert data.user_rows("a").tolist() == [1]
    assert data.item_rows(np.int32(99)).tolist() == [3] == data.item_rows(np.array(99)).tolist()
    assert data.user_ids.tolist() == ["b", "a", "c"] and not data.user_ids.flags.writeable
    assert repr(data) == "Interactions(3 users x 4 items, 4 positives, user ids, item ids)"


def test_the_users_own_id_array_is_copied():
    mine = np.array([3, 1, 2])
    data = Interactions(DENSE, user_ids=mine)
    mine[0] = 77
    assert data.user_rows(3).tolist() == [0] and mine.flags.writeable


@pytest.mark.parametrize("wrong", ["z", 1, None])
def test_unknown_id_is_named(wrong):
    data = Interactions(DENSE, user_ids=["b", "a", "c"])
    with pytest.raises(ValueError, match=f"unknown user id {wrong!r}: 3 ids are known.* 'b'"):
        data.user_rows(["a", wrong])


def test_a_number_is_not_its_string():
    data = Interactions(DENSE, item_ids=["1", "2", "3", "4"])
    with pytest.raises(ValueError, match="unknown item id 1"):
        data.item_rows([1])


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (["a", "b"], ValueError, "user_ids must have 3 ids, got 2"),
        (["a", "b", "a"], ValueError, "user_ids must be unique, got 'a' twice"),
        (["a", None, "b"], ValueError, "user_ids has a missing id at position 1"),
        ([1.0, 2.0, np.nan], ValueError, "user_ids has a missing id at position 2"),
        (pd.array([1, pd.NA, 2]), ValueError, "user_ids has a missing id at position 1"),
        (np.array([1.0, np.nan, 2.0]), ValueError, "user_ids has a missing id at position 1"),
        ("abc", TypeError, "user_ids must be a sequence of ids, got 'abc'"),
        (5, TypeError, "user_ids must be a sequence"),
        ([[1], [2], [3]], TypeError, "user_ids must be hashable"),
        (np.ones((3, 1)), ValueError, "user_ids must be one-dimensional"),
    ],
)
def test_bad_ids(ids, error, message):
    with pytest.raises(error, match=message):
        Interactions(DENSE, user_ids=ids)


def test_bad_queries():
    data = Interactions(DENSE, user_ids=["b", "a", "c"])
    with pytest.raises(TypeError, match="user ids must be hashable"):
        data.user_rows([["a"]])
    with pytest.raises(ValueError, match="user ids must be one-dimensional"):
        data.user_rows(np.array([["a"]]))
    with pytest.raises(ValueError, match="item ids must be one-dimensional"):
        data.item_rows([[1]])


# ---------------------------------------------------------------- tables and arrays


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
    assert data.shape == (3, 3)
    np.testing.assert_array_equal(data.tocsr().toarray(), [[0, 0, 0], [1, 0, 2], [1, 0, 0]])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["b", "a", "b"]),
        pd.Series(["b", "a", "b"], dtype=object),
        pd.Series(["b", "a", "b"], dtype="category"),
        pd.Series([2, 1, 2], dtype="Int64"),
        pd.Series([2, 1, 2], dtype=np.uint8),
        pd.to_datetime(pd.Series(["2020-02-01", "2020-01-01", "2020-02-01"])),
        ["b", "a", "b"],
        np.array([2.5, 1.0, 2.5]),
        [(1, "b"), (1, "a"), (1, "b")],
    ],
)
def test_ids_of_every_type(column):
    items = pd.Series([0, 0, 1])
    data = Interactions.from_frame({"user": column, "item": items})
    np.testing.assert_array_equal(data.tocsr().toarray(), [[1, 0], [1, 1]])
    assert data.n_users == len(data.user_ids) == 2


def test_dates_as_ids():
    dates = pd.to_datetime(pd.Series(["2020-02-01", "2020-01-01"]))
    data = Interactions.from_frame({"user": dates, "item": [1, 2]})
    assert data.user_rows(dates).tolist() == [1, 0] == data.user_rows(list(dates)).tolist()
    assert data.user_rows(dates.to_numpy().astype("M8[s]")).tolist() == [1, 0]
    assert data.user_rows(dates[1]).tolist() == [0]


def test_from_polars():
    polars = pytest.importorskip("polars")
    data = Interactions.from_frame(
        polars.from_dict({name: FRAME[name].to_list() for name in FRAME}),
        value="weight",
        timestamp="time",
    )
    np.testing.assert_array_equal(data.tocsr().toarray(), [[2, 0], [3, 5]])
    assert data.user_rows(polars.Series(["u2"])).tolist() == [1]


class Column:
    """What a polars column looks like from here."""

    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return np.array(self.values, dtype=object)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values)


def test_from_any_table_with_columns():
    frame = {"user": Column(["b", "a"]), "item": Column([1, 2]), "w": Column([2.0, 3.0])}
    data = Interactions.from_frame(frame, value="w")
    np.testing.assert_array_equal(data.tocsr().toarray(), [[0, 3], [2, 0]])


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
        ({"user": [1, 2], "item": [1]}, {}, ValueError, "items must be one per user"),
        (np.ones((2, 2)), {}, TypeError, "frame must be a DataFrame or a dict"),
        (FRAME.assign(time=["x"] * 4), {"timestamp": "time"}, TypeError, "timestamps must be"),
        (FRAME.assign(weight=-1.0), {"value": "weight"}, ValueError, "values must hold finite"),
    ],
)
def test_bad_tables(frame, options, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_frame(frame, **options)


def test_mixed_ids_work_in_a_given_order():
    data = Interactions.from_frame({"user": ["a", 1], "item": [1, 2]}, user_ids=[1, "a"])
    assert data.user_rows(["a", 1]).tolist() == [1, 0]


def test_from_arrays_shapes():
    assert Interactions.from_arrays([0, 3], [1, 2]).shape == (4, 3)
    assert Interactions.from_arrays([0], [1], shape=(5, 6)).shape == (5, 6)
    assert Interactions.from_arrays(
        [0], [1], user_ids=["a", "b"], item_ids="x y z".split()
    ).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([], []), {}, ValueError, "at least one positive"),
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
        (([0], [0]), {"timestamps": [np.nan]}, ValueError, "timestamps must be whole numbers"),
        (([0], [0]), {"timestamps": [0.5]}, ValueError, "got 0.5 at position 0"),
        (([0], [0]), {"timestamps": [np.datetime64("NaT")]}, ValueError, "missing date"),
        (([0], [0]), {"timestamps": ["now"]}, TypeError, "timestamps must be whole numbers"),
    ],
)
def test_bad_arrays(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_arrays(*arguments, **options)


def test_timestamps_follow_their_interactions():
    data = Interactions.from_arrays([1, 0, 1], [0, 2, 2], [5, 0, 7], timestamps=[3.0, 9.0, 1.0])
    assert data.indices.tolist() == [0, 2] and data.timestamps.tolist() == [3, 1]
    assert data.T.timestamps.tolist() == [3, 1] and data.T.shape == (3, 2)
    assert data[[1]].timestamps.tolist() == [1]
    matrix = sp.csr_matrix(DENSE)
    assert Interactions(matrix, timestamps=[4, 3, 2, 1]).timestamps.tolist() == [4, 3, 2, 1]
    dates = np.array(["2020-01-02", "2020-01-01"], "M8[D]")
    assert np.diff(Interactions.from_arrays([0, 0], [0, 1], timestamps=dates).timestamps) == [-1]


# ---------------------------------------------------------------- subsets


def test_subsets_keep_shape_and_ids():
    data = Interactions(DENSE, user_ids=["a", "b", "c"])
    part = data[[3, 0]]
    check_canonical(part)
    assert part.shape == data.shape and part.user_rows("c").tolist() == [2]
    np.testing.assert_array_equal(part.tocsr().toarray(), [[0, 2, 0, 0], [0] * 4, [0, 0, 0, 4]])
    assert data[np.array([0, 3]), ...].indices.tolist() == part.indices.tolist()
    assert len(data[1:]) == 3 and len(data[-1]) == 1 and len(data[[True, False, True, False]]) == 2


def test_bad_subsets():
    data = Interactions(DENSE)
    with pytest.raises(ValueError, match="index selects no interaction"):
        data[[]]
    with pytest.raises(IndexError, match="out of bounds"):
        data[[4]]
    with pytest.raises(IndexError, match="bool"):
        data[[True, False]]
    with pytest.raises(TypeError, match="one axis"):
        data[0, 1]


@settings(deadline=None)
@given(triples, st.data())
def test_a_mask_and_its_complement_add_up(entries, draw):
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
