"""Ids as numbers or texts and back: equal, of the same types, in the same form."""

import datetime
import decimal
import uuid
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.id_arrays import check_ids, same_ids
from tripletrec.data.id_codecs import check_savable, pack_ids, unpack_ids

DAY = datetime.datetime(2020, 1, 1)
DATES = pd.Series([pd.Timestamp("2020-07-01"), pd.Timestamp("2020-01-01 00:00:00.000000001")])

IDS = {
    "str": ["a", "ü", ""],
    "a NUL at the end": ["a", "a\0"],
    "surrogates": ["\ud800", "\U0001f600"],
    "one long": ["x" * 100_000, *map(str, range(200))],
    "int64": [-(2**63), 2**63 - 1],
    "uint64": [2**64 - 1, 0],
    "int": [2**70, -1],
    "digits": [10**5000, 1],
    "uint8": np.arange(3, dtype=np.uint8),
    "float64": [0.1, -np.inf],
    "float32": np.array([0.1, 2], np.float32),
    "bool": [True, False],
    "bytes": [b"a", b"a\0", b"\xff"],
    "UUID": [uuid.UUID(int=n) for n in (7, 0)],
    "date": [datetime.date(2020, 1, 2), datetime.date(1, 1, 1)],
    "datetime": [DAY, datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)],
    "aware": [
        DAY.replace(tzinfo=datetime.UTC),
        DAY.replace(tzinfo=ZoneInfo("Europe/Berlin")),
        DAY.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5, seconds=7))),
    ],
    "Timestamp": DATES.dt.tz_localize("America/New_York"),
    "Timestamp UTC": DATES.dt.tz_localize("UTC"),
    "ns": DATES.astype("datetime64[ns]"),
    "M8[2Y]": np.arange(3).astype("M8[2Y]"),
    "m8[25s]": np.arange(3).astype("m8[25s]"),
    "mixed": ["int 1", 7, 2.5, b"", datetime.date(2020, 1, 1), uuid.UUID(int=3)],
    "mixed flags": ["True", True],
    "no id": [],
}


@pytest.mark.parametrize("kind", IDS)
def test_there_and_back(kind):
    ids = check_ids(IDS[kind], "ids")
    name, content = pack_ids(ids)
    assert isinstance(content, list) or content.dtype.kind in "biuf"
    again = unpack_ids(name, content)
    assert again.dtype == ids.dtype and same_ids(again, ids)
    for one, other in zip(ids.tolist(), again.tolist(), strict=True):
        assert type(one) is type(other)
        assert str(getattr(one, "tzinfo", "")) == str(getattr(other, "tzinfo", ""))


@pytest.mark.parametrize(
    "odd",
    [(1, 2), decimal.Decimal("1.5"), frozenset({1}), datetime.time(1), object(), pd.Period("2020")],
    ids=lambda each: type(each).__name__,
)
def test_what_cannot_be_saved_is_named(odd):
    ids = check_ids(["a", odd], "user_ids")
    allowed = "user_ids must be strings, numbers, booleans, dates, bytes or UUIDs"
    with pytest.raises(TypeError, match=f"{allowed}.* a {type(odd).__name__}: use its str") as info:
        check_savable(ids, "user_ids")
    assert repr(odd) in str(info.value)
    with pytest.raises(TypeError, match="ids must be strings"):
        pack_ids(ids)


def test_a_year_of_five_digits_in_a_time_zone_cannot_be_saved():
    late = pd.Timestamp(np.datetime64("12345-01-01", "s")).tz_localize("UTC")
    with pytest.raises(TypeError, match="user_ids must be strings.* a Timestamp"):
        check_savable(check_ids([late], "user_ids"), "user_ids")


def test_a_class_of_a_known_name_is_not_that_class():
    class UUID:
        pass

    with pytest.raises(TypeError, match="a UUID"):
        check_savable(check_ids([UUID()], "user_ids"), "user_ids")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("nothing", ["a"]),
        ("int", ["x"]),
        ("int", [1]),
        ("int", "12"),
        ("str", np.arange(2)),
        ("bool", ["yes"]),
        ("float", ["0x1p9999999"]),
        ("bytes", ["0"]),
        ("UUID", ["1"]),
        ("datetime", ["2020"]),
        ("datetime", ["2020-01-01T00:00:00+00:00 ../../etc/passwd"]),
        ("Timestamp", ["2020-01-01"]),
        ("Timestamp", ["NaT  ns"]),
        ("Timestamp", ["9999-01-01T00:00:00+00:00  ns"]),
        ("mixed", ["a"]),
        ("mixed", ["nothing 1"]),
        ("Timestamp", ["1" * 10**7 + "  ns"]),
        ("dates[parsec]", np.arange(2)),
        ("dates[D],M8[D]", np.arange(2)),
        ("durations[D],m8[D]", np.arange(2)),
        ("dates", np.arange(2)),
        ("dates[ns]", ["a"]),
        ("dates[ns]", np.arange(4).reshape(2, 2)),
        ("letters", ["a"]),
        ("letters", np.zeros(3, np.uint32)),
        ("letters", np.zeros((3, 0), np.uint32)),
        ("letters", np.zeros((3, 1), np.int64)),
        ("letters", np.array([[97], [0x110000]], np.uint32)),
        ("numbers", ["a"]),
        ("numbers", np.array(["a"])),
    ],
    ids=str,
)
def test_damaged_content(kind, content):
    with pytest.raises(ValueError, match="ids "):
        unpack_ids(kind, content)


def test_letters_are_looked_at_where_they_lie():
    ids = check_ids(["sku-1", "ü", "", "\U0001f600"], "ids")
    kind, letters = pack_ids(ids)
    assert kind == "letters" and letters.shape == (4, 5) and np.shares_memory(letters, ids)
    letters.flags.writeable = False
    assert np.shares_memory(unpack_ids(kind, letters), letters)


def test_an_unknown_time_zone_leaves_the_instant():
    text = "2020-01-01T00:00:00+02:00 Atlantis/Port"
    (time,) = unpack_ids("datetime", [text]).tolist()
    assert time == datetime.datetime(2019, 12, 31, 22, tzinfo=datetime.UTC)


def test_a_zone_is_a_name_and_never_a_path():
    """To pandas "dateutil/" and a path are a zone: it would open any file, and wait for a FIFO."""
    text = "2020-07-01T12:00:00+02:00 dateutil//usr/share/zoneinfo/Europe/Berlin ns"
    with pytest.raises(ValueError, match="ids of the form 'Timestamp' cannot be read"):
        unpack_ids("Timestamp", [text])
