"""The form in which kernels get their arrays."""

import numpy as np
import pytest

from tripletrec._runtime.arrays import copy_into, distinct, read_only


@pytest.mark.parametrize("kind", ["plain", "read-only", "mapped"])
def test_a_contiguous_array_is_not_copied(kind, tmp_path):
    array = np.arange(6, dtype=np.int32)
    if kind == "read-only":
        array.flags.writeable = False
    if kind == "mapped":
        np.save(tmp_path / "array.npy", array)
        array = np.load(tmp_path / "array.npy", mmap_mode="r")
    before = array.flags.writeable
    view = read_only(array)
    assert type(view) is np.ndarray and np.shares_memory(view, array)
    assert view.flags.c_contiguous and not view.flags.writeable
    assert array.flags.writeable == before, "the array that was handed in stays as it was"
    np.testing.assert_array_equal(view, array, strict=True)


def test_a_strided_array_is_copied():
    array = np.arange(12.0).reshape(3, 4)
    for strided in (array[:, ::2], array.T):
        view = read_only(strided)
        assert view.flags.c_contiguous and not np.shares_memory(view, array)
        np.testing.assert_array_equal(view, strided, strict=True)


@pytest.mark.parametrize("numbers", [[], [3], [5, 1, 5, 5, -2, 1]])
def test_distinct(numbers):
    for dtype in (np.int32, np.int64):
        array = np.array(numbers, dtype)
        assert distinct(array).tolist() == np.unique(array).tolist()
        assert distinct(array).dtype == np.int64 and array.tolist() == numbers


def test_copy_into_takes_all_or_nothing():
    mine = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.int64)}
    others = {"a": np.ones((2, 3), np.float32), "b": np.arange(2)}
    for wrong, message in (
        ({"a": others["a"]}, "'b' is missing"),
        ({**others, "c": others["a"]}, "'c' is unknown"),
        ({**others, "b": np.arange(3)}, r"'b' must be int64 of shape \(2,\), got int64 of shape \(3,\)"),
        ({**others, "b": np.arange(2.0)}, "'b' must be int64"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            copy_into(mine, wrong)
        assert not mine["a"].any() and not mine["b"].any()
    copy_into(mine, others)
    assert mine["a"].all() and mine["b"].tolist() == [0, 1]
