"""Ids as arrays: nothing merged, nothing changed, and no longer than they are."""

import datetime
import decimal
import tracemalloc
import uuid
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from tiers import quick
from tripletrec import MatrixFactorization
from tripletrec.data.id_arrays import (
    check_ids,
    id_array,
    index_of,
    keys_of,
    same_ids,
    text_array,
)
from tripletrec.data.interactions import Interactions

MB = 2**20


@contextmanager
def at_most(n_bytes):
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n_bytes, f"{peak / MB:.0f} MB"


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["ann", "bob"], "U"),
        (["a", "b" * 1000], "U"),
        (["a" * 90 + str(n) for n in range(5000)], "U"),
        ([str(n) for n in range(5000)], "U"),
        ([*map(str, range(5000)), "x" * 1000], "O"),
        (["a", "a\0"], "O"),
        (["", "\0"], "O"),
        (["\0a", "a\0b"], "U"),
        (["\ud800", "\U0010ffff"], "U"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_width(texts, kind):
    array = text_array(texts)
    assert array.dtype.kind == kind and array.tolist() == texts
    if kind == "U" and array.nbytes > MB:
        assert array.nbytes <= 2 * 4 * sum(map(len, texts)) or array.itemsize <= 64
    for given in (texts, np.array(texts, object), pd.Series(texts, dtype=object)):
        assert check_ids(given, "ids").dtype == array.dtype


def test_no_wider_than_needed():
    for texts in (np.array(["a", "b"], "U1000"), np.array(["", ""], "U9")[:1]):
        assert check_ids(texts, "ids").dtype == "U1"


LONG = ["x" * 100_000, *(f"id {n}" for n in range(1, 20_000))]
RANKS = np.argsort(np.argsort(np.array(LONG, object)))


@pytest.mark.parametrize(
    "kind", quick([list, np.array, pd.Series, pd.Index], list), ids=lambda kind: kind.__name__
)
def test_one_long_id_does_not_make_all_ids_long(kind):
    column = np.array(LONG, object) if kind is np.array else kind(LONG)
    n = len(LONG)
    with at_most(30 * MB):
        data = Interactions.from_frame({"user": column, "item": np.arange(n) % 50})
        assert data.user_rows(column).tolist() == RANKS.tolist()
        given = Interactions(data.tocsr(), user_ids=column)
        assert given.user_rows(LONG[:1]).tolist() == [0] and not same_ids(
            given.user_ids, data.user_ids
        )
        both = Interactions.from_frame({"user": LONG[:9], "item": np.arange(9)}, like=data)
        assert len(both) == 9


def test_one_long_id_in_the_answers_of_a_model():
    n = len(LONG)
    data = Interactions.from_frame({"user": np.arange(n) % 50, "item": LONG})
    model = MatrixFactorization(n_factors=2, n_epochs=1).fit(data)
    with at_most(60 * MB):
        ids, _ = model.recommend(np.arange(50), k=200, exclude=None)
        model.recommend(0, k=3, candidates=LONG)
        model.predict(0, LONG)
        model.similar_items(LONG[0], k=3)
        model.recommend(0, k=n, candidates=LONG[:2])
    assert set(ids.ravel()) <= set(LONG)


def test_an_error_shows_a_part_of_a_long_id():
    data = Interactions(np.eye(2), user_ids=["x" * 100_000, "y"])
    for wrong in ("z" * 100_000, 10**6000):
        with pytest.raises(ValueError, match="unknown user id") as info:
            data.user_rows(wrong)
        assert len(str(info.value)) < 300
    with pytest.raises(ValueError, match="must be unique") as info:
        Interactions(np.eye(2), user_ids=["x" * 100_000] * 2)
    assert len(str(info.value)) < 300


@pytest.mark.parametrize(
    "pair",
    [
        ["a", "a\0"],
        [b"a", b"a\0"],
        np.array([1, 2], "M8[ns]"),
        np.array([1, 2], "M8[ps]"),
        [pd.Timestamp(1), pd.Timestamp(2)],
        [pd.Timestamp(1, tz="UTC"), pd.Timestamp(2, tz="UTC")],
        [2**53, 2**53 + 1],
        [2**63, 2**63 + 1],
        np.array([2**64 - 2, 2**64 - 1], np.uint64),
        [2**64, 2**64 + 1],
        [0.1, np.nextafter(0.1, 1)],
        [uuid.UUID(int=0), uuid.UUID(int=1)],
        [decimal.Decimal("0.1"), decimal.Decimal(0.1)],
        [False, True],
        [(1, "a"), (1, "b")],
        [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
        [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 0, 0, 0, 1)],
    ],
    ids=lambda pair: f"{type(pair[0]).__name__} {pair[1]!r}"[:40],
)
def test_ids_that_nearly_agree_do_not_merge(pair):
    for data in (
        Interactions.from_frame({"user": pair, "item": [0, 1]}),
        Interactions(np.eye(2), user_ids=pair),
    ):
        assert data.n_users == 2
        for row, each in enumerate(pair):
            if not isinstance(each, tuple):
                assert data.user_rows(each).tolist() == [row]
            assert data.user_rows([each]).tolist() == [row] and data.user_ids[row] == each
        assert same_ids(data.user_ids, check_ids(pair, "ids"))
    assert len(set(keys_of(check_ids(pair, "ids")))) == 2


@pytest.mark.parametrize(
    ("ids", "bits"),
    [
        (np.array([2.0**53 + 2, 1.5]), 53),
        (np.array([-(2.0**60), 1.0]), 53),
        (np.array([2**24 + 1, 1], np.float32), 24),
        ([0.5, 2.0**53], 53),
        (["a", 1, 2.0**70], 53),
        (pd.Series([2**60 + 1, 7], dtype="Float64"), 53),
    ],
    ids=str,
)
def test_floats_that_round_whole_numbers_are_refused(ids, bits):
    with pytest.raises(
        ValueError, match=rf"ids must not be floats of 2\*\*{bits} or beyond, .*Int64"
    ):
        check_ids(ids, "ids")
    frame = {"user": ids, "item": [0] * len(ids)}
    with pytest.raises(ValueError, match="column 'user' must not be floats of"):
        Interactions.from_frame(frame)


@pytest.mark.parametrize(
    "ids", [[1e-300, 0.5], [-7.0, 2.0**53 - 1], [np.inf, 1.0], [2**60 + 1, 2**60]], ids=str
)
def test_honest_floats_are_ids(ids):
    assert check_ids(np.array(ids), "ids").tolist() == ids == check_ids(ids, "ids").tolist()


@pytest.mark.parametrize(
    ("some", "others", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["b", "a"], False),
        (["a"], ["a", "b"], False),
        (["a", "b" * 2000], np.array(["a", "b" * 2000], object), True),
        ([1, 2], np.array([1, 2], np.uint8), True),
        ([2**63, 2], np.array([2**63, 2], np.uint64), True),
        (np.array([2**63 - 1], np.int64), np.array([2**63], np.uint64), False),
        (np.array(["2020"], "M8[Y]"), np.array(["2020-01-01"], "M8[ns]"), True),
        (np.array([0], "M8[ns]"), [0], False),
        (np.array([0], "M8[ns]"), np.array([0], "m8[ns]"), False),
        (["1"], [1], False),
        ([True, False], [1, 0], False),
        ([uuid.UUID(int=1)], [uuid.UUID(int=1)], True),
    ],
    ids=str,
)
def test_same_ids(some, others, same):
    arrays = check_ids(some, "ids"), check_ids(others, "ids")
    assert same_ids(*arrays) is same is same_ids(*arrays[::-1])
    assert same_ids(arrays[0], arrays[0]) and not same_ids(arrays[0], None)


DAYS = np.array(["2020-01-01", "1066-10-14"], "M8[D]")


@pytest.mark.parametrize("unit", ["D", "s", "us"])
def test_a_date_is_found_in_whatever_form(unit):
    data = Interactions(np.eye(2), user_ids=DAYS.astype(f"M8[{unit}]"))
    first = datetime.datetime(1066, 10, 14)
    for each in (DAYS[1], first, first.date(), pd.Timestamp(first), np.datetime64(first, "ms")):
        assert data.user_rows(each).tolist() == [1] == data.user_rows([each]).tolist()
    assert data.user_rows(DAYS.astype("M8[h]")).tolist() == [0, 1]
    for wrong in (
        0,
        "2020-01-01",
        first.replace(tzinfo=datetime.UTC),
        np.timedelta64(1, "s"),
        pd.NaT,
        1.5,
    ):
        with pytest.raises(ValueError, match="unknown user id"):
            data.user_rows([wrong])
    for wrong in (["NaT"], ["2020-01-01", "NaT"]):
        with pytest.raises(ValueError, match="unknown user id .*NaT"):
            data.user_rows(np.array(wrong, "M8[D]"))


def test_a_list_of_durations_is_kept_as_an_array_of_them_is():
    found = id_array([np.timedelta64(1, "D"), np.timedelta64(1, "ns")], "ids")
    assert found.dtype == "m8[ns]" and found.astype(int).tolist() == [86_400 * 10**9, 1]
    for far in (np.timedelta64(2**50, "s"), np.timedelta64(1, "Y")):  # one unit cannot hold both
        assert id_array([np.timedelta64(1, "ns"), far], "ids").tolist() == [
            np.timedelta64(1, "ns"),
            far,
        ]
    assert id_array([1, np.timedelta64(2, "s")], "ids").dtype == object


def test_durations_are_found_in_whatever_form():
    data = Interactions(np.eye(2), user_ids=np.array([1, 2], "m8[D]"))
    for each in (np.timedelta64(48, "h"), datetime.timedelta(2), pd.Timedelta(2, "D")):
        assert data.user_rows(each).tolist() == [1]
    with pytest.raises(ValueError, match="unknown user id"):
        data.user_rows(datetime.timedelta.max)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([True, 1], TypeError, "ids must not mix booleans with numbers"),
        ([True, 0.5], TypeError, "ids must not mix booleans with numbers"),
        (
            np.array([1j]),
            TypeError,
            "ids must be strings, numbers, dates or other ids, got complex128",
        ),
        (np.zeros(1, [("a", int)]), TypeError, "ids must be strings, numbers, dates or other ids"),
        (np.array(["2020", "NaT"], "M8[D]"), ValueError, "ids has a missing id at position 1"),
        (np.array([1, "NaT"], "m8[s]"), ValueError, "ids has a missing id at position 1"),
        (np.array([1, 2]).view("m8"), TypeError, "ids must be durations of a known unit"),
        (np.array(["NaT"], "M8[s]"), ValueError, "ids has a missing id at position 0"),
        ([1, pd.NaT], ValueError, "ids has a missing id at position 1"),
        (["a", np.ma.masked], ValueError, "ids must not be masked"),
        (np.ma.array(["a", "b"], mask=[0, 1]), ValueError, "ids must not be masked"),
        ([decimal.Decimal(1), decimal.Decimal("nan")], ValueError, "missing id at position 1"),
        ([decimal.Decimal(1), decimal.Decimal("snan")], TypeError, "ids must be hashable"),
        ([np.zeros(2), np.zeros(3)], TypeError, "ids must be hashable"),
        ({"a"}, TypeError, "ids must be a sequence of ids, but a set has no order"),
        ([2, 2.0], ValueError, "ids must be unique, got 2.0 twice|ids must be unique, got 2 twice"),
    ],
    ids=str,
)
def test_other_ids_get_one_sentence(ids, error, message):
    with pytest.raises(error, match=message):
        index_of(check_ids(ids, "ids"), "ids")
