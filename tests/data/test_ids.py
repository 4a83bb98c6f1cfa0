"""Ids: from row to id and back, of every type, and out of the columns of tables."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions

DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4]])


def test_ids_are_the_numbers_by_default():
    data = Interactions(DENSE)
    assert data.user_ids is None and data.item_ids is None
    assert data.user_rows([2, 0, 2]).tolist() == [2, 0, 2]
    assert data.item_rows(3).tolist() == [3]
    assert data.item_rows([]).dtype == np.int64


@pytest.mark.parametrize("wrong", [3, -1, "a", 1.5, None, True, np.timedelta64(1, "ns")])
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


ARRAYS = {"pandas": "array", "polars": "Series", "pyarrow": "array"}


@pytest.mark.parametrize("library", list(ARRAYS))
def test_large_numbers_beside_a_missing_one_are_found(library):
    make, asked = pytest.importorskip(library), [2**60 + 1, None, 2**60]
    column = getattr(make, ARRAYS[library])(asked)  # pandas makes Int64 of it
    known = Ids([2**60, 2**60 + 1], None, "user")
    assert known.find(column).tolist() == [1, -1, 0]
    with pytest.raises(ValueError, match="unknown user id None"):
        known.rows(column)


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


MASKS = {
    "NumPy": np.array,
    "list": list,
    "objects": lambda mask: np.array(mask, object),
    "pandas": pd.Series,
    "polars": lambda mask: pytest.importorskip("polars").Series(mask),
    "pyarrow": lambda mask: pytest.importorskip("pyarrow").array(mask),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("known", [[0, 1, 2], [1.0, 0.0, 0.5], ["a", 1, 0], None], ids=str)
def test_a_mask_is_no_list_of_ids(kind, known):
    ids, mask = Ids(known, 3, "item"), MASKS[kind]([False, True, False])
    assert ids.find(mask).tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match=r"unknown item id False: .*of a mask, .*\(?mask"):
        ids.rows(mask)


@pytest.mark.parametrize("known", [[True, False], np.array(["a", True, False], object)], ids=str)
def test_numbers_are_no_booleans(known):
    ids = Ids(known, None, "user")
    assert ids.find([0, 1, 1.0]).tolist() == ids.find(np.array([0, 1, 5])).tolist() == [-1, -1, -1]
    assert (ids.find([True, False]) >= 0).all()
    frame = {"user": [1], "item": [7]}
    with pytest.raises(ValueError, match="column 'user': unknown user id 1"):
        Interactions.from_frame(frame, user_ids=known)


def test_mixed_ids_work_in_a_given_order():
    data = Interactions.from_frame({"user": ["a", 1], "item": [1, 2]}, user_ids=[1, "a"])
    assert data.user_rows(["a", 1]).tolist() == [1, 0]


@pytest.mark.parametrize("values", [[0, 1], [Fraction(0), Fraction(1)], [0.0, 1.0, "a"]], ids=str)
def test_dates_are_no_numbers(values):
    """To NumPy 1 they are equal to the number of their nanoseconds."""
    ids = Ids(values, None, "user")
    assert ids.find(np.arange(2).astype("M8[ns]")).tolist() == [-1, -1]
    assert ids.find(np.arange(2).astype("m8[ns]")).tolist() == [-1, -1]
    assert ids.rows(values[:2]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("old", "more", "dtype"),
    [
        (np.arange(2).astype("M8[D]"), np.arange(5, 8).astype("M8[D]"), "M8[D]"),
        (np.arange(2).astype("M8[D]"), np.arange(5, 8).astype("M8[ms]"), "M8[ms]"),
        (np.arange(2).astype("m8[us]"), np.arange(5, 8).astype("m8[s]"), "m8[us]"),
        (np.arange(2).astype("M8[ns]"), np.array([2**60], "M8[s]"), object),  # beyond nanoseconds
        (
            np.arange(2).astype("m8[s]"),
            np.arange(5, 8).astype("m8[M]"),
            object,
        ),  # months have no length
        (np.arange(2).astype("m8[s]"), np.arange(5, 8).astype("M8[s]"), object),
        (np.arange(2).astype("M8[s]"), np.array(["a"]), object),
    ],
    ids=str,
)
def test_dates_are_added_to_dates_in_the_finest_of_their_units(old, more, dtype):
    ids = Ids(old, None, "user").with_more(more)
    assert ids.values.dtype == dtype and list(ids.values) == [*old, *more]
    assert ids.rows(old).tolist() == [0, 1]
    assert ids.rows(more).tolist() == list(range(2, 2 + len(more)))


def test_sorted_ids_are_found_as_all_others():
    for ids in (["a", "b", "z"], [-1, 5, 2**40], ["a", "b\0", "x" * 10**6], [0.5, 2.5]):
        array = Ids(ids, None, "user").values
        known = Ids.of_sorted(array, "user")
        assert (
            known.n == len(ids)
            and known.rows(list(ids)[::-1]).tolist() == list(range(len(ids)))[::-1]
        )
        assert known.find(["none"]).tolist() == [-1] and not known.values.flags.writeable
    with pytest.raises(ValueError, match="user_ids must be unique, got 'a' twice"):
        Ids.of_sorted(np.array(["a", "a"]), "user")


def test_a_part_of_the_ids():
    for ids, left in ((["a", "b", "c"], ["a", "c"]), ([5, 3, 4], [5, 4]), (None, [0, 2])):
        known = Ids(ids, 3, "item")
        part = known.part(np.array([True, False, True]))
        assert part.values.tolist() == left and part.n == 2
        assert part.rows(left).tolist() == [0, 1] and part.find([9]).tolist() == [-1]
        assert known.part(np.ones(3, bool)) is known


@pytest.mark.parametrize(
    ("ids", "form"),
    [(["a", "b"], "texts"), (["a", "b\0"], "texts"), ([1, 2], "numbers"), (None, "numbers"),
     (["a", 1], None), ([0.5], None), ([b"a"], None)],
)  # fmt: skip
def test_form(ids, form):
    assert Ids(ids, 2 if ids is None else None, "user").form == form


@pytest.mark.parametrize("values", [["a", "b", "c\u00fc"], [3, 1, 2]], ids=str)
def test_trusted_ids_are_found_as_others_are(values):
    """One at a time without a table at first."""
    checked = Ids(values, 3, "user")
    trusted = Ids.trusted(np.array(values), 3, "user")
    asked = [
        *values,
        "a\0",
        "z",
        1,
        3.0,
        2.5,
        True,
        None,
        2**70,
        -1,
        b"a",
        np.str_("b"),
        np.int64(2),
    ]
    for _ in range(5):
        for each in asked:
            assert trusted.find(each).tolist() == checked.find(each).tolist(), each
    assert trusted.find(values).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="user_ids must have 4 ids, got 3"):
        Ids.trusted(np.array(values), 4, "user")
