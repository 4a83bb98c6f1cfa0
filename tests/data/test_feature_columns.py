"""What columns of features hold: numbers, dates and durations in every dtype, elements of cells, words."""

import datetime
import decimal
import fractions
import zoneinfo

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.feature_columns import (
    days,
    distinct_pairs,
    elements_of,
    read_column,
    words_of,
)

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MOMENT = datetime.datetime(2020, 6, 1, 12, tzinfo=datetime.UTC)
NAIVE = MOMENT.replace(tzinfo=None)


@pytest.mark.parametrize(
    "values",
    [
        [1, 0],
        [1.0, 0.0],
        [True, False],
        pd.array([1, 0], dtype="Int8"),
        pd.array([True, False], dtype="boolean"),
        pd.array([1.0, 0.0], dtype="Float32"),
        pd.arrays.SparseArray([1.0, 0.0]),
        np.array([1, 0], object),
        np.array([True, False], object),
        np.array([decimal.Decimal(1), decimal.Decimal(0)], object),
        np.array([np.float32(1), 0], object),
        np.array([decimal.Decimal(1), 0], object),
        np.array([decimal.Decimal(1), 0.0], object),
        np.array([fractions.Fraction(1), np.False_], object),
        np.array([True, 0], object),
    ],
    ids=lambda values: str(getattr(values, "dtype", type(values[0]))),
)
def test_numbers_of_every_kind(values):
    column = read_column(pd.Series(values), "c")
    assert column.kind == "number" and column.values.tolist() == [1.0, 0.0]
    kept = pd.Series(values).reindex([0, 5])  # the second is missing
    column = read_column(kept, "c")
    assert column.kind == "number"
    np.testing.assert_array_equal(column.values, [1.0, np.nan])


@pytest.mark.parametrize(
    "values",
    [
        pd.DatetimeIndex([NAIVE]),
        pd.DatetimeIndex([NAIVE]).as_unit("s"),
        pd.DatetimeIndex([NAIVE]).as_unit("ns"),
        pd.DatetimeIndex([MOMENT]),
        pd.DatetimeIndex([MOMENT]).tz_convert("Asia/Tokyo"),
        [NAIVE],
        np.array([NAIVE], object),
        np.array([MOMENT], object),
        np.array([MOMENT.astimezone(BERLIN)], object),
        np.array([pd.Timestamp(MOMENT)], object),
        np.array([np.datetime64(NAIVE)], object),
        pd.PeriodIndex([NAIVE], freq="h"),
    ],
    ids=lambda values: f"{getattr(values, 'dtype', 'list')} {values[0]!r}",
)
@pytest.mark.filterwarnings("error")
def test_dates_of_every_kind_are_in_utc(values):
    for series in (pd.Series(values), pd.Series(values).reindex([0, 5])):
        column = read_column(series, "c")
        assert column.kind == "date"
        assert column.values[0] == np.datetime64(NAIVE)
        assert np.isnat(column.values[1:]).all()
        expected = (NAIVE - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)
        np.testing.assert_allclose(days(column.values)[:1], expected)


def test_dates_and_moments_may_be_mixed_and_far_away():
    cells = [datetime.date(1, 1, 1), NAIVE, MOMENT.astimezone(BERLIN), None, pd.NaT, np.nan]
    column = read_column(pd.Series(cells, dtype=object), "c")
    expected = [datetime.datetime(1, 1, 1), NAIVE, NAIVE, None, None, None]
    assert column.kind == "date" and column.values.tolist() == expected
    assert read_column(pd.Series([NAIVE, 1.5], dtype=object), "c").kind == "cells"


def test_durations_are_days():
    span = datetime.timedelta(hours=36)
    for values in ([span], np.array([span], object), np.array([np.timedelta64(36, "h")], object)):
        column = read_column(pd.Series(values).reindex([0, 5]), "c")
        assert column.kind == "duration"
        np.testing.assert_array_equal(column.values, [1.5, np.nan])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1j], "c must hold numbers, dates, strings, categories or lists, got complex128"),
        (np.array([1j], object), "c must hold numbers, dates, .* got complex"),
        ([np.inf], "c must be finite, got infinity"),
        (np.array([10**400], object), "c must hold numbers, as in fit, got object"),
        (np.array([2**60], "M8[s]"), "c must hold dates that microseconds can count"),
        (np.array([2**60], "m8[s]"), "c must hold durations that microseconds can count"),
    ],
    ids=str,
)
def test_what_no_column_may_hold(values, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read_column(pd.Series(values, dtype=getattr(values, "dtype", None)), "c")


def entries(values, split=None):
    found = elements_of(values, "c", split)
    names = [*found.found, None]
    return [(int(r), names[c]) for r, c in zip(found.rows, found.codes, strict=True)]


def cells(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_elements_of_cells():
    assert entries(pd.Series(["b", "a", None, "b"])) == [(0, "b"), (1, "a"), (2, None), (3, "b")]
    assert entries(pd.Series(["b", None]).astype("category")) == [(0, "b"), (1, None)]
    assert entries(cells(np.str_("b"), b"x", (), np.int64(3))[[0, 1, 3]]) == [
        (0, "b"),
        (1, "x"),
        (2, 3),
    ]
    lists = cells(["b", "a", "b"], (), None, {"a"}, np.array(["c", "c"]), "b", [None, pd.NA, "a"])
    assert sorted(entries(lists), key=str) == sorted(
        [(0, "b"), (0, "a"), (2, None), (3, "a"), (4, "c"), (5, "b"), (6, None), (6, "a")], key=str
    )
    assert sorted(entries(cells(["a", ["b", ("c",)]], [[]]))) == [(0, "a"), (0, "b"), (0, "c")]
    assert entries(cells({"a": 1}, {"a": 1})) == [(0, "{'a': 1}"), (1, "{'a': 1}")]


def test_lists_within_lists_within_lists():
    cell = ["a"]
    for _ in range(12):
        cell = [cell, None]
    with pytest.raises(ValueError, match="c must not have lists within lists, got some 10 deep"):
        elements_of(cells("b", cell), "c")


def test_equal_numbers_are_one_element():
    assert entries(cells(1, 1.0, True, "1")) == [(0, 1), (1, 1), (2, 1), (3, "1")]


def test_words():
    text = "  The “Quiet” Earth's end -- (1985)! "
    assert words_of(text) == ["the", "quiet", "earth's", "end", "1985"]
    assert words_of("a-b x_ Straße") == ["a-b", "x", "strasse"]
    assert words_of("") == words_of(" ?! ") == []
    assert entries(pd.Series(["To be", None, "be Be", ""]), words_of) == [
        (0, "to"),
        (0, "be"),
        (1, None),
        (2, "be"),
    ]


def test_marks_belong_to_the_letters_that_they_are_of():
    assert words_of("की, (का) के!") == ["की", "का", "के"]
    assert words_of("cafe\u0301! caf\u00e9") == ["caf\u00e9"] * 2
    assert words_of("tea\u2764\ufe0f \u2764\ufe0f") == ["tea"]


def test_lists_are_words_already():
    assert sorted(entries(cells(["a b"], "b"), words_of)) == [(0, "a b"), (1, "b")]


def test_pairs_are_distinct(rng):
    rows, numbers = np.sort(rng.integers(0, 5, 30)), rng.integers(0, 4, 30)
    found = distinct_pairs(rows, numbers, 4)
    expected = sorted(set(zip(rows.tolist(), numbers.tolist(), strict=True)))
    assert list(zip(*(each.tolist() for each in found), strict=True)) == expected
    assert [len(each) for each in distinct_pairs(rows[:0], rows[:0], 4)] == [0, 0]


def test_categories_that_are_lists_are_lists():
    tags = [("a", "b"), ("b",), None, ("a", "b")]
    for values in (tags, pd.Categorical(tags)):
        read = read_column(pd.Series(values), "tags")
        elements = elements_of(read.values, "tags")
        assert elements.several and elements.found == ["a", "b"]
        assert elements.rows.tolist() == [0, 0, 1, 2, 3, 3]
        assert elements.codes.tolist() == [0, 1, 1, -1, 0, 1]


def test_bytes_are_texts():
    for values in ([b"tea", "té".encode(), b"tea"], [b"tea", "té", "tea"]):
        read = read_column(pd.Series(values), "kind")
        elements = elements_of(read.values, "kind")
        assert elements.found == ["tea", "té"] and elements.codes.tolist() == [0, 1, 0]
    assert elements_of(np.array([b"\xff"], object), "kind").found == ["\\xff"]
