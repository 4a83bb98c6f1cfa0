"""Every format of SciPy is read entry by entry, and only where its attributes describe a matrix."""

import numpy as np
import pytest
import scipy.sparse as sp

from tripletrec.data.interactions import as_interactions
from tripletrec.data.sparse import entries_of, shape_of

FORMATS = ["csr", "csc", "bsr", "coo", "lil", "dok", "dia"]
DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4], [5, 6, 7, 0]])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_entries_are_those_of_scipy_in_the_same_order(kind, format):
    matrix = kind(DENSE).asformat(format)
    rows, columns, values = entries_of(matrix, shape_of(matrix, "X"), "X")
    coo = matrix.tocoo()
    if format == "dia":  # before SciPy 1.17 tocoo goes along the diagonals
        coo = coo.tocsr().tocoo()
    for ours, scipys in ((rows, coo.row), (columns, coo.col), (values, coo.data)):
        np.testing.assert_array_equal(ours, scipys)


@pytest.mark.parametrize("blocks", [(1, 1), (2, 2), (2, 4), (4, 1)])
def test_blocks_of_any_size(blocks):
    matrix = sp.bsr_matrix(DENSE, blocksize=blocks)
    np.testing.assert_array_equal(as_interactions(matrix).tocsr().toarray(), DENSE)


def changed(format, **attributes):
    matrix = sp.csr_matrix(DENSE).asformat(format).copy()
    for name, value in attributes.items():
        setattr(matrix, name, value(getattr(matrix, name)))
    return matrix


@pytest.mark.parametrize(
    ("matrix", "kind", "message"),
    [
        (changed("csr", indptr=lambda a: a[:-1]), ValueError, r"X.indptr .* \(5,\), got \(4,\)"),
        (changed("csc", indptr=lambda a: a[:0]), ValueError, r"X.indptr .* \(5,\), got \(0,\)"),
        (changed("csr", indptr=lambda a: a * 1.0), TypeError, "X.indptr must be integers"),
        (changed("csc", indptr=lambda a: a + 1), ValueError, "X.indptr must start at 0"),
        (changed("csc", indices=lambda a: a + 9), ValueError, "X.indices must be < 4, got 12"),
        (changed("bsr", indices=lambda a: a - 1), ValueError, "X.indices must be >= 0, got -1"),
        (changed("bsr", data=lambda a: a[0]), ValueError, "X.data must have 3 dimensions, got"),
        (changed("bsr", data=lambda a: a[:, :0]), ValueError, "cannot have blocks of 0 x"),
        (changed("csr", data=lambda a: a[None]), ValueError, "X.data must have 1 dimensions"),
        (changed("csr", data=lambda a: None), ValueError, "X.data must have 1 dimensions"),
        (changed("coo", row=lambda a: a - 1), ValueError, "the rows of X must be >= 0, got -1"),
        (changed("coo", col=lambda a: a + 9), ValueError, "the columns of X must be < 4, got 12"),
        (changed("coo", data=lambda a: a[1:]), ValueError, "the values of X must be one per entry"),
        (changed("dia", offsets=lambda a: a[1:]), ValueError, "X.offsets must be one per row of"),
        (changed("dia", offsets=lambda a: a / 2), TypeError, "X.offsets must be integers"),
        (changed("lil", rows=lambda a: a[1:]), ValueError, "X.rows must hold a list for each of 4"),
        (changed("lil", data=lambda a: a[::-1]), ValueError, "must hold lists of the same lengths"),
    ],
)
def test_what_describes_no_matrix(matrix, kind, message):
    with pytest.raises(kind, match=message):
        as_interactions(matrix)


def test_lists_and_keys_beyond_the_matrix():
    lists, keys = sp.lil_matrix(DENSE), sp.dok_matrix(DENSE)
    lists.rows[0][1] = 4
    with pytest.raises(ValueError, match="the columns of X must be < 4, got 4"):
        as_interactions(lists)
    vars(keys)["_dict"][(-1, 0)] = 1
    with pytest.raises(ValueError, match="the rows of X must be >= 0, got -1"):
        as_interactions(keys)


@pytest.mark.parametrize("shape", [(4, 5), (4, 3), (3, 4), (5, 4)])
@pytest.mark.parametrize("format", ["csr", "csc", "bsr", "coo", "lil", "dok"])
def test_a_shape_that_was_changed(format, shape):
    whole = sp.csr_matrix(DENSE)
    matrix = whole.tobsr((2, 2)) if format == "bsr" else whole.asformat(format).copy()
    vars(matrix)["_shape"] = shape
    grown_along = {"csr": (4, 5), "csc": (5, 4), "lil": (4, 5)}.get(format)
    if shape == grown_along or (format in ("coo", "dok") and min(shape) == 4):
        assert as_interactions(matrix).space.shape == shape  # more rows or columns, all empty
        return
    with pytest.raises(ValueError, match="must|cannot have blocks of 2 x 2"):
        as_interactions(matrix)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 1), None, (4.0, 4), (-1, 4), ("a", "b")])
def test_what_is_no_shape(shape):
    matrix = sp.csr_matrix(DENSE)
    vars(matrix)["_shape"] = shape
    with pytest.raises(ValueError, match="X must have"):
        as_interactions(matrix)


def test_sparse_arrays_of_one_dimension():
    pytest.importorskip("scipy", minversion="1.13")
    with pytest.raises(ValueError, match=r"two dimensions \(users, items\), got 1"):
        as_interactions(sp.coo_array(np.array([1, 0, 2])))
