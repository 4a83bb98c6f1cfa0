"""Matrices of every kind come to one canonical form; what is no matrix is refused."""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from tripletrec.data.interactions import Interactions, as_interactions

FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4]])


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_sparse_format_and_type(format, kind, check_canonical):
    make = sp.csr_matrix if kind == "matrix" else sp.csr_array
    for dtype in (bool, np.int8, np.uint16, np.int64, np.float32, np.float64):
        matrix, wanted = make(DENSE.astype(dtype)).asformat(format), DENSE.astype(dtype)
        before = copy.deepcopy(matrix)
        data = Interactions(matrix)
        check_canonical(data)
        np.testing.assert_array_equal(data.tocsr().toarray(), wanted.astype(np.float32))
        assert (matrix != before).nnz == 0 and matrix.dtype == dtype


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float16, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dense(dtype, order, check_canonical):
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


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_read_only_matrix_out_of_order_is_left_alone(value, check_canonical):
    parts = np.array([1.0, 2.0, value, 4.0]), np.array([2, 0, 1, 2]), np.array([0, 3, 4])
    for part in parts:
        part.flags.writeable = False
    data = Interactions(sp.csr_matrix(parts, shape=(2, 3), copy=False))
    check_canonical(data)
    np.testing.assert_array_equal(data.tocsr().toarray(), [[2, value, 1], [0, 0, 4]])
    np.testing.assert_array_equal(parts[1], [2, 0, 1, 2])


@pytest.mark.parametrize("index_type", [np.int32, np.int64, np.uint32])
def test_wide_indices(index_type, check_canonical):
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    matrix.indices = matrix.indices.astype(index_type)
    matrix.indptr = matrix.indptr.astype(index_type)
    check_canonical(Interactions(matrix))


def test_unused_room_behind_the_entries_is_ignored():
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    matrix.data = np.append(matrix.data, np.float32(np.nan))
    matrix.indices = np.append(matrix.indices, np.int32(99))
    assert len(Interactions(matrix)) == 4


def test_zeros_are_dropped_and_duplicates_summed(check_canonical):
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


@given(triples, st.sampled_from(FORMATS), st.booleans())
def test_any_matrix_equals_scipy_and_the_dict(check_canonical, entries, format, as_array):
    rows, columns, values = map(np.array, zip(*entries, strict=True))
    expected = np.zeros((5, 7))
    for row, column, value in entries:
        expected[row, column] += value
    coo = (sp.coo_array if as_array else sp.coo_matrix)((values, (rows, columns)), shape=(5, 7))
    for data in (
        Interactions(coo.asformat(format)),
        Interactions.from_arrays(rows, columns, values, shape=(5, 7)),
        Interactions(coo.T).T,
        Interactions(expected),
    ):
        check_canonical(data)
        np.testing.assert_array_equal(data.tocsr().toarray(), expected)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("zeros", [False, True])
def test_empty_is_not_wrong(format, zeros, check_canonical):
    stored = ([0.0], ([1], [1])) if zeros else ([], ([], []))
    for kind in (sp.coo_matrix, sp.coo_array):
        data = Interactions(kind(stored, shape=(2, 3)).asformat(format))
        check_canonical(data)
        assert len(data) == 0 and data.space.shape == (2, 3)
    assert len(as_interactions(np.zeros((2, 3)))) == 0


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


def test_sum_beyond_float32():
    largest = np.finfo(np.float32).max
    with pytest.raises(ValueError, match="sum of duplicates .* row 0, column 1"):
        Interactions.from_arrays([0, 0], [1, 1], [largest, largest])
    with pytest.raises(ValueError, match="sum of duplicates .* of user 'ann', item 'b'"):
        ids = {"user_ids": ["ann"], "item_ids": ["a", "b"]}
        Interactions.from_arrays([0, 0], [1, 1], [largest, largest], **ids)


def test_wrong_values_are_named_by_the_ids_that_are_known():
    for ids, where in (
        ({}, "at row 1, column 0"),
        ({"user_ids": ["ann", "bob"], "item_ids": ["a", "b"]}, "of user 'bob', item 'a'"),
        ({"user_ids": ["ann", "bob"]}, "of user 'bob', column 0"),
        ({"item_ids": ["a", "b"]}, "of row 1, item 'a'"),
    ):
        with pytest.raises(ValueError, match=f"got the negative value -2.0 {where}: what users"):
            Interactions.from_arrays([0, 1], [1, 0], [1.0, -2.0], **ids)
    frame = {"user": ["ann", "bob"], "item": ["b", "a"], "stars": [1.0, np.inf]}
    with pytest.raises(ValueError, match="got the value inf of user 'bob', item 'a'$"):
        Interactions.from_frame(frame, value="stars")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((0, 3)), r"X has no user: its shape is \(0, 3\)"),
        (sp.csr_matrix((3, 0)), r"X has no item: its shape is \(3, 0\)"),
        (np.ones(3), r"two dimensions \(users, items\), got 1"),
        (np.ones((2, 2, 2)), "two dimensions .*, got 3"),
        ([[1, 0], [1]], "X must be a two-dimensional array"),
    ],
)
def test_misshapen(matrix, message):
    with pytest.raises(ValueError, match=message):
        as_interactions(matrix)


@pytest.mark.parametrize(
    "table",
    [
        np.array([[1, 2], [1, 3], [2, 3]]),
        [(1, 2), (1, 3), (2, 3)],
        np.array([[0, 1], [0, 4], [1, 0], [1, 2]], np.uint8),
        [[1, 2, 5], [1, 3, 4], [2, 3, 1], [2, 4, 3]],
    ],
)
def test_what_looks_like_pairs_is_asked_about(table):
    n_rows, n_columns = np.shape(table)
    message = (
        rf"X of shape \({n_rows}, {n_columns}\) is taken for the weights of {n_rows} users x {n_columns} "
        r"items; if its rows are pairs .* use Interactions.from_arrays\(users, items\)"
    )
    with pytest.warns(UserWarning, match=message):
        assert as_interactions(table).space.shape == (n_rows, n_columns)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "table",
    [
        np.array([[1, 0], [1, 1], [0, 1], [1, 1]]),  # two items
        np.array([[True, True]] * 5),
        np.array([[2.5, 1.0], [3.0, 2.0], [1.0, 1.0]]),
        np.array([[3, 1, 0, 2], [1, 1, 1, 1], [2, 0, 1, 5]]),
        np.array([[3, 2], [5, 4]]),
        np.array([[0, 5], [4, 0], [0, 0], [0, 2]]),
    ],
)
def test_what_looks_like_a_matrix_is_not(table):
    as_interactions(table)


def test_masked_entries_are_not_what_lies_under_the_mask():
    table = np.ma.array(DENSE, mask=DENSE == 2)
    message = "X must not be masked, but 1 of its entries are: fill them first, as in array.filled"
    for masked in (table, list(table)):
        with pytest.raises(ValueError, match=message):
            as_interactions(masked)
    filled = as_interactions(table.filled(0)).tocsr().toarray()
    np.testing.assert_array_equal(filled, np.where(DENSE == 2, 0, DENSE))
    for whole in (np.ma.array(DENSE), sp.csr_matrix(DENSE).todense()):  # numpy.matrix
        np.testing.assert_array_equal(as_interactions(whole).tocsr().toarray(), DENSE)
    sparse = sp.csr_matrix(DENSE)
    sparse.data = np.ma.array(sparse.data, mask=[0, 1, 0, 0])
    with pytest.raises(ValueError, match="X.data must not be masked, but 1 of its entries are"):
        as_interactions(sparse)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("abc", "X must be Interactions, a scipy sparse matrix or .*, got str"),
        (None, "got NoneType"),
        (np.array([["a", "b"]]), "X must hold numbers, got dtype <U1; use Interactions.from_frame"),
        ([("ann", "tea"), ("bob", "jam")], "X must hold numbers, .*; use Interactions.from_frame"),
        (np.array([["a", 1]], object), "X must hold numbers, got dtype object"),
        (pd.DataFrame({"user": [1], "item": [2]}), "got a DataFrame: use Interactions.from_frame"),
    ],
)
def test_not_a_matrix(matrix, message):
    with pytest.raises(TypeError, match=message):
        as_interactions(matrix)
