"""Columns and sequences as arrays: of every library, with nothing lost on the way."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tripletrec.data.checks import as_array
from tripletrec.data.columns import column_of, eager, in_order, names_of, to_array

VALUES = [2**53 + 1, 3]


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        tuple(VALUES),
        np.array(VALUES),
        np.ma.array(VALUES),
        pd.Series(VALUES, index=[7, 7]),
        pd.Index(VALUES),
        pd.array(VALUES, dtype="Int64"),
        pd.Series(VALUES, dtype="category"),
        iter(VALUES),
        (each for each in VALUES),
        dict.fromkeys(VALUES).keys(),
    ],
    ids=lambda values: type(values).__name__,
)
def test_any_sequence(values):
    array = to_array(values, "x")
    assert type(array) is np.ndarray and array.tolist() == VALUES


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_other_libraries(library):
    module = pytest.importorskip(library)
    make = module.Series if library == "polars" else module.array
    assert (
        to_array(make(VALUES), "x").tolist() == VALUES == to_array(list(make(VALUES)), "x").tolist()
    )
    assert to_array(make(["a", "a\0"]), "x").tolist() == ["a", "a\0"]
    assert to_array(make([b"a", b"a\0"]), "x").tolist() == [b"a", b"a\0"]


def test_whole_numbers_of_128_bits():
    polars = pytest.importorskip("polars")
    if not hasattr(polars, "Int128"):
        pytest.skip("an old polars")
    numbers = [2**100, 3]
    assert to_array(polars.Series(numbers, dtype=polars.Int128), "x").tolist() == numbers
    few = polars.Series([2, 3], dtype=polars.Int128)
    assert as_array(few, "x").tolist() == [2, 3] and as_array(few, "x").dtype == np.int64


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({1, 2}, TypeError, "x must be a sequence of ids, but a set has no order"),
        (frozenset(), TypeError, "x must be a sequence of ids, but a set has no order"),
        (
            {7: "a"},
            TypeError,
            "x must be a sequence of ids, got the dict {7: 'a'}: use the list of its",
        ),
        ("ab", TypeError, "x must be a sequence of ids, got 'ab'"),
        (b"ab", TypeError, "x must be a sequence of ids, got b'ab'"),
        (5, TypeError, "x must be a sequence of ids, got 5"),
        (None, TypeError, "x must be a sequence of ids, got None"),
        (np.zeros((2, 2)), ValueError, r"x must be one-dimensional, got shape \(2, 2\)"),
        (pd.DataFrame({"a": [1]}), ValueError, r"x must be one-dimensional, got shape \(1, 1\)"),
        (
            np.ma.array([1, 2], mask=[0, 1]),
            ValueError,
            "x must not be masked",
        ),
    ],
    ids=str,
)
def test_what_is_no_column(values, error, message):
    with pytest.raises(error, match=message):
        to_array(values, "x", "ids")


def test_one_long_text_does_not_make_all_long():
    array = to_array(["x" * 100_000, "y"], "x")
    assert array.dtype == object and array.nbytes == 16


@pytest.mark.parametrize("format", ["csr", "dok"])
def test_a_sparse_matrix_is_neither_a_table_nor_a_dict(format):
    matrix = sp.csr_matrix(np.eye(2)).asformat(format)
    with pytest.raises(TypeError, match="frame must be a DataFrame or a dict of columns"):
        names_of(matrix)
    assert in_order(matrix, "x") is matrix


def test_what_is_in_order_stays_as_it_is():
    for values in (VALUES, np.array(VALUES), pd.Series(VALUES), "ab", 5):
        assert in_order(values, "x") is values
    assert in_order(iter(VALUES), "x") == VALUES


def test_columns_of_frames():
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
    assert column_of(frame, "b").tolist() == [3] and eager(frame, ["b"]) is frame
    with pytest.raises(ValueError, match="frame has 2 columns of the name 'a': rename all but one"):
        column_of(frame, "a")
    with pytest.raises(
        ValueError, match=r"frame has no column 'c': its columns are \['a', 'a', 'b'\]"
    ):
        column_of(frame, "c")
    with pytest.raises(ValueError, match="it is in the index: use frame.reset_index"):
        column_of(pd.DataFrame({"a": [1]}, index=pd.Index([1], name="user")), "user")
    levels = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_product([["a"], ["x", "y"]]))
    with pytest.raises(ValueError, match="frame has no column 'a'"):
        column_of(levels, "a")
    for wrong in ([1], np.ones((2, 2)), pd.Series([1]), "a", None):
        with pytest.raises(TypeError, match="frame must be a DataFrame or a dict of columns"):
            column_of(wrong, "a")


def test_a_frame_of_many_columns_is_not_listed_whole():
    with pytest.raises(ValueError, match="no column") as info:
        column_of({f"column {n}": [] for n in range(10_000)}, "user")
    assert len(str(info.value)) < 500


def test_of_a_lazy_frame_only_what_is_asked_for_is_collected():
    polars = pytest.importorskip("polars")
    frame = polars.LazyFrame({"a": [1], "b": [2], "c": [3]})
    assert eager(frame, ["c", "a", "other", None]).columns == ["a", "c"]
