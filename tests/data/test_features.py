"""Features: what columns are recognised as, unknown categories, missing columns, bad input."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tripletrec.data.features import (
    align,
    as_feature_matrix,
    check_encoding,
    encode,
    groups_of,
    learn_encoding,
)

FRAME = pd.DataFrame(
    {
        "kind": ["a", "b", "a", "b", "rare"],
        "genres": [["x", "y"], ["y"], [], ["x", "z"], None],
        "price": [1.0, 2.0, 3.0, np.nan, 2.0],
        "new": [True, False, True, False, True],
        "year": pd.array([0, 1, None, 1, 0], dtype="Int64"),
    }
)
ALL = np.arange(5)


def test_columns_are_recognised():
    encoding = learn_encoding(FRAME, ALL, "features")
    kinds = [each["kind"] for each in encoding["columns"]]
    assert kinds == ["categorical", "several", "number", "flag", "flag"]
    assert encoding["columns"][0]["categories"] == ["a", "b"]
    assert encoding["columns"][1]["categories"] == ["x", "y"]
    rows = encode(encoding, FRAME, "features").toarray()
    assert rows[:, :3].tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert rows[:, 3:6].tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 1]]
    price = np.array([1.0, 2.0, 3.0, 2.0, 2.0])
    expected = (price - 2.0) / np.std([1, 2, 3, 2])
    np.testing.assert_allclose(rows[:, 6], expected, rtol=1e-6)
    assert rows[:, 7].tolist() == [1, 0, 1, 0, 1]
    assert rows[:, 8].tolist() == [0, 1, 0, 1, 0]
    assert groups_of(encoding).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_new_categories_are_unknown_and_new_columns_ignored():
    encoding = learn_encoding(FRAME, ALL, "features")
    new = FRAME.iloc[:2].assign(kind=["never", None], other=1)[::-1]
    rows = encode(encoding, new, "features").toarray()
    assert rows[:, :3].tolist() == [[0, 0, 1], [0, 0, 1]]


def test_only_the_rows_of_training_teach():
    encoding = learn_encoding(FRAME, np.array([0, 1, 2]), "features")
    assert encoding["columns"][0]["categories"] == ["a"]
    assert encoding["columns"][2]["mean"] == 2.0


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_categories_of_any_dtype(dtype):
    frame = pd.DataFrame({"c": pd.Series(["u", "v", "u", "v"]).astype(dtype)})
    rows = encode(learn_encoding(frame, np.arange(4), "f"), frame, "f").toarray()
    assert rows.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]]
    numbers = pd.DataFrame({"c": pd.Series([7, 8, 7, 8]).astype("category")})
    rows = encode(learn_encoding(numbers, np.arange(4), "f"), numbers, "f").toarray()
    assert rows.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]]


def test_matrices_are_taken_as_they_are():
    matrix = np.array([[0.0, 2.0], [-1.0, 0.0]])
    by_key = sp.dok_matrix(matrix), sp.dok_array(matrix)  # the former is a dict
    for given in (matrix, sp.coo_matrix(matrix), sp.csc_array(matrix), *by_key, matrix.tolist()):
        encoding = learn_encoding(align(given, None, np.ones(2, bool), "f"), np.arange(2), "f")
        assert (encode(encoding, given, "f").toarray() == matrix).all()
    with pytest.raises(ValueError, match="f must have 2 columns, got 3"):
        encode(encoding, np.ones((1, 3)), "f")


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_stored_zeros_duplicates_and_order_mean_nothing(format):
    stored = {
        "csr": sp.csr_matrix(([1.0, 0.0, 1.0, 3.0], [1, 0, 1, 0], [0, 3, 4]), (2, 2)),
        "csc": sp.csc_matrix(([3.0, 0.0, 1.0, 1.0], [1, 0, 0, 0], [0, 2, 4]), (2, 2)),
        "coo": sp.coo_matrix(([1.0, 3.0, 1.0, 0.0], ([0, 1, 0, 0], [1, 0, 1, 0])), (2, 2)),
    }[format]
    before = stored.data.copy()
    found, plain = as_feature_matrix(stored, "f"), as_feature_matrix([[0, 2], [3, 0]], "f")
    for attribute in ("indptr", "indices", "data"):
        assert getattr(found, attribute).tolist() == getattr(plain, attribute).tolist()
    assert stored.data.tolist() == before.tolist() and stored.nnz == 4
    flags = as_feature_matrix(stored.astype(bool), "f")
    assert flags.dtype == np.float32 and flags.toarray().tolist() == [[0, 1], [1, 0]]


def test_a_canonical_matrix_is_not_copied():
    matrix = sp.csr_matrix(np.array([[0, 2], [3, 0]], np.float32))
    assert np.shares_memory(as_feature_matrix(matrix, "f").data, matrix.data)


def test_the_sum_of_duplicates_is_finite():
    matrix = sp.csr_matrix(([3e38, 3e38], [0, 0], [0, 2]), (1, 1))
    with pytest.raises(ValueError, match="f must be finite in float32"):
        as_feature_matrix(matrix, "f")


def test_rows_are_found_by_id():
    frame = pd.DataFrame({"c": [1.0, 2.0, 3.0]}, index=["x", "y", "z"])
    ids, used = np.array(["z", "q", "x"]), np.array([True, False, True])
    aligned = align(frame, ids, used, "f")
    assert aligned["c"].tolist()[::2] == [3.0, 1.0] and np.isnan(aligned["c"].iloc[1])
    with pytest.raises(ValueError, match="1 are missing from its index, the first is 'q'"):
        align(frame, ids, np.ones(3, bool), "f")
    with pytest.raises(ValueError, match="'x' twice"):
        align(frame.set_axis(["x", "x", "z"]), ids, used, "f")
    with pytest.raises(ValueError, match="must have 3 rows, got 2"):
        align(np.ones((2, 2)), None, used, "f")


def broken(attribute, value):
    matrix = sp.csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    setattr(matrix, attribute, np.array(value))
    return matrix


@pytest.mark.parametrize(
    ("features", "kind", "message"),
    [
        (np.ones(3), ValueError, "two-dimensional"),
        (np.full((3, 1), np.nan), ValueError, "finite"),
        (sp.coo_matrix(np.full((3, 1), 1e300)), ValueError, "f must be finite in float32"),
        (
            np.ma.array(np.ones((3, 2)), mask=np.eye(3, 2)),
            ValueError,
            "not be masked, but 2 of its",
        ),
        (np.array([[1], [None], [2]], object), ValueError, "not have missing entries, got None"),
        (broken("indptr", [0, 1]), ValueError, r"f.indptr must have .* shape \(4,\), got \(2,\)"),
        (broken("indices", [0, 7, 1]), ValueError, "f.indices must be < 2, got 7"),
        (broken("data", [[1.0, 1.0, 1.0]]), ValueError, "f.data must have 1 dimensions"),
        (np.array([["a"]] * 3), TypeError, "real numbers"),
        (pd.DataFrame({"c": [1j, 2j, 3j]}), TypeError, "column 'c' of f must hold numbers, dates"),
        (pd.DataFrame({"c": [1.0, np.inf, 0.0]}), ValueError, "column 'c' of f must be finite"),
    ],
)
def test_bad_features(features, kind, message):
    with pytest.raises(kind, match=message):
        learn_encoding(align(features, None, np.ones(3, bool), "f"), np.arange(3), "f")


def test_missing_columns_and_other_kinds():
    encoding = learn_encoding(FRAME, ALL, "features")
    with pytest.raises(ValueError, match="lacks the columns 'kind', 'price'"):
        encode(encoding, FRAME.drop(columns=["kind", "price"]), "features")
    with pytest.raises(TypeError, match="must be a DataFrame"):
        encode(encoding, np.ones((2, 9)), "features")
    with pytest.raises(ValueError, match="column 'price' of features must hold numbers"):
        encode(encoding, FRAME.assign(price=["a"] * 5), "features")


@pytest.mark.parametrize("features", [FRAME, np.ones((5, 2)), FRAME[[]]])
def test_what_was_learnt_passes_the_check(features):
    aligned = align(features, None, np.ones(5, bool), "f")
    check_encoding(json.loads(json.dumps(learn_encoding(aligned, ALL, "f"))), "f")


@pytest.mark.parametrize(
    "encoding, message",
    [
        (None, "must say how a matrix or a frame is encoded, got None"),
        ({"kind": "x", "n_columns": 1}, "must say how a matrix or a frame"),
        ({"kind": "matrix"}, "must say how a matrix or a frame"),
        ({"kind": "matrix", "n_columns": 1, "columns": []}, "must say how a matrix or a frame"),
        ({"kind": "matrix", "n_columns": -1}, "n_columns of f must be an integer >= 0"),
        ({"kind": "matrix", "n_columns": True}, "n_columns of f must be an integer >= 0"),
        ({"kind": "frame", "n_columns": 0, "columns": {}}, "must say how each column"),
        (
            {"kind": "frame", "n_columns": 2, "columns": [{"name": "a", "kind": "flag"}]},
            "must be 1",
        ),
        ({"kind": "frame", "n_columns": 2, "columns": [{"name": "a", "kind": "flag"}] * 2}, "once"),
        *(
            ({"kind": "frame", "n_columns": 1, "columns": [spec]}, "must say how each column")
            for spec in (
                1,
                {"kind": "flag"},
                {"name": None, "kind": "flag"},
                {"name": "a", "kind": "x"},
                {"name": "a", "kind": "flag", "more": 1},
                {"name": "a", "kind": "number", "mean": 0.0},
                {"name": "a", "kind": "number", "mean": 0.0, "scale": 0.0},
                {"name": "a", "kind": "number", "mean": float("nan"), "scale": 1.0},
                {"name": "a", "kind": "number", "mean": "0", "scale": 1.0},
                {"name": "a", "kind": "categorical"},
                {"name": "a", "kind": "categorical", "categories": "ab"},
                {"name": "a", "kind": "several", "categories": [None]},
                {"name": "a", "kind": "several", "categories": ["x", "x"]},
                {"name": "a", "kind": "several", "categories": [float("nan")]},
            )
        ),
    ],
    ids=str,
)
def test_encodings_of_a_file_that_are_none(encoding, message):
    with pytest.raises((ValueError, TypeError), match=message):
        check_encoding(encoding, "f")


def test_long_names_of_missing_columns_are_shortened():
    frame = pd.DataFrame({"x" * 2000: ["a", "a"], "y" * 900: [1.0, 2.0]})
    encoding = learn_encoding(frame, np.arange(2), "item_features")
    with pytest.raises(
        ValueError, match=r"^item_features lacks the columns 'xxx.*\.\.\."
    ) as raised:
        encode(encoding, pd.DataFrame({"z": ["a"]}), "item_features")
    assert len(str(raised.value)) < 250
