"""What users hand in is refused in one sentence, before a kernel can see it."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from tripletrec.data.checks import as_array, check_factors, check_scores
from tripletrec.data.features import as_feature_matrix
from tripletrec.data.interactions import Interactions, as_interactions

FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4]])


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


@pytest.mark.parametrize(
    ("dtypes", "dtype"),
    [
        ((np.float32, np.float32), np.float32),
        ((np.float16, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.int64, np.float32), np.float64),
        ((np.int8, bool), np.float32),
    ],
)
def test_factors_come_in_one_dtype(dtypes, dtype):
    U, V = (np.ones((3, 2), each) for each in dtypes)
    *factors, b = check_factors(U, V)
    assert [each.dtype for each in factors] == [dtype] * 2 and b is None
    factors = check_factors(U, V, np.ones(3, dtype))
    assert [each.dtype for each in factors] == [dtype] * 3


@pytest.mark.parametrize("number", range(3))
def test_masked_factors_and_scores(number):
    factors = [np.ones((3, 2)), np.ones((3, 2)), np.ones(3)]
    factors[number] = np.ma.masked_less(np.array(factors[number]), 2)
    name = "UVb"[number]
    n_masked = factors[number].size
    with pytest.raises(
        ValueError, match=f"{name} must not be masked, but {n_masked} of its entries are"
    ):
        check_factors(*factors)
    scores = np.ma.array(np.ones((1, 3)), mask=[[0, 1, 0]])
    with pytest.raises(ValueError, match="scores must not be masked, but 1 of its entries are"):
        check_scores(scores, (1, 3))
    assert type(check_scores(sp.csr_matrix(np.ones((1, 3))).todense(), (1, 3))) is np.ndarray


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([True, False], np.array([True, False])),
        ([1, Decimal(2)], np.array([1, 2])),
        ([2**63, 0], np.array([2**63, 0], np.uint64)),
        ([1, 0.5], np.array([1, 0.5])),
        ([Fraction(4, 2), -1], np.array([2, -1])),
        ([Fraction(1, 2), Decimal("1.5")], np.array([0.5, 1.5])),
        (["a", 1], np.array(["a", 1], object)),
        ([], np.array([])),
    ],
)
def test_objects_that_are_numbers(given, expected):
    found = as_array(np.array(given, object), "x")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("given", "dtype"),
    [(np.float16, np.float32), (np.float32, np.float32), (np.int8, np.float64), (bool, np.float64)],
)
def test_scores_are_float32_or_float64(given, dtype):
    scores = np.ones((2, 3), given)
    checked = check_scores(scores, (2, 3))
    assert checked.dtype == dtype and (checked is scores) == (given == dtype)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_whole_numbers_are_not_rounded(dtype):
    least = 0 if dtype is np.uint64 else -(2**53)
    exact = np.array([[2**53, 2**53 - 1, least]], dtype)
    assert check_scores(exact, (1, 3)).astype(dtype).tolist() == exact.tolist()
    assert check_factors(exact, exact)[0].astype(dtype).tolist() == exact.tolist()
    for beyond in (2**53 + 1, 2**63 - 1, *([-(2**63)] if least else [2**64 - 1])):
        wrong = np.array([[0, beyond, 1]], dtype)
        with pytest.raises(ValueError, match=rf"scores must hold whole numbers .* got {beyond}"):
            check_scores(wrong, (1, 3))
        with pytest.raises(ValueError, match=rf"V must hold whole numbers .* got {beyond}"):
            check_factors(exact, wrong)
    assert check_scores(np.empty((0, 3), dtype), (0, 3)).dtype == np.float64


class Sparse:
    """A sparse array of another library than SciPy, which makes none of NumPy's of itself."""

    shape = 3, 4

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Cannot convert a sparse array to dense automatically.")

    def todense(self):
        return DENSE


def test_sparse_arrays_where_numbers_must_be_dense():
    U, V = np.ones((3, 2)), np.ones((4, 2))
    with pytest.raises(TypeError, match=r"U must be an array, got a sparse csr_array: .* toarray"):
        check_factors(sp.csr_array(U), V)
    with pytest.raises(TypeError, match=r"b must be an array, got a sparse Sparse: .* todense\(\)"):
        check_factors(U, V, Sparse())
    with pytest.raises(TypeError, match="scores must be an array, got a sparse coo_matrix"):
        check_scores(sp.coo_matrix(DENSE), (3, 4))
    with pytest.raises(TypeError, match="X must be .* a scipy sparse matrix or .*, got Sparse"):
        as_interactions(Sparse())
    with pytest.raises(TypeError, match="f must be .* a SciPy sparse matrix, got a sparse Sparse"):
        as_feature_matrix(Sparse(), "f")
