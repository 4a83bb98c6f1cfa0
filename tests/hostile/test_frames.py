"""Tables with columns of every kind: the ids that went in come out, or one sentence says why not."""

import datetime
import decimal
import fractions
import importlib.util
import uuid
import zoneinfo
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from hostile.support import outcome
from tripletrec import MatrixFactorization
from tripletrec.data.id_arrays import keys_of, same_ids
from tripletrec.data.id_codecs import pack_ids, unpack_ids
from tripletrec.data.interactions import Interactions

DAY = datetime.datetime(2020, 1, 1)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

ID_KINDS = {
    "small": lambda rng: int(rng.integers(-3, 9)),
    "int": lambda rng: int(rng.integers(-(2**63), 2**63 - 1)),
    "edge": lambda rng: int(rng.choice([2**53, 2**53 + 1, 2**63 - 1, -(2**63)])),
    "big": lambda rng: int(rng.integers(0, 4)) + int(rng.choice(["9223372036854775807", "1" * 40])),
    "float": lambda rng: float(rng.choice([0.1, -0.0, 2.0, 1e300, np.inf, 5e-324])),
    "text": lambda rng: "".join(rng.choice(list("ab\0ü\U0001f600 "), rng.integers(0, 4))),
    "surrogate": lambda rng: str(rng.choice(["\ud800", "\udfff", "a"])),
    "long": lambda rng: "x" * int(rng.choice([0, 1, 3000])) + str(rng.integers(0, 9)),
    "bytes": lambda rng: bytes(rng.integers(0, 3, rng.integers(0, 3)).tolist()),
    "bool": lambda rng: bool(rng.integers(0, 2)),
    "uuid": lambda rng: uuid.UUID(int=int(rng.integers(0, 5))),
    "date": lambda rng: datetime.date(int(rng.choice([1, 1970, 9999])), 1, int(rng.integers(1, 4))),
    "datetime": lambda rng: DAY + datetime.timedelta(microseconds=int(rng.integers(0, 4))),
    "aware": lambda rng: (DAY + datetime.timedelta(hours=int(rng.integers(0, 4)))).astimezone(
        BERLIN
    ),
    "Timestamp": lambda rng: pd.Timestamp(int(rng.integers(0, 4)), unit="ns"),
    "Timestamp tz": lambda rng: pd.Timestamp(int(rng.integers(0, 4)), unit="ns", tz="Asia/Tokyo"),
    "numpy date": lambda rng: np.datetime64(int(rng.integers(0, 4)), str(rng.choice(["ns", "D"]))),
    "duration": lambda rng: datetime.timedelta(microseconds=int(rng.integers(0, 4))),
    "Period": lambda rng: pd.Period(int(rng.integers(2000, 2004)), freq="Y"),
    "Decimal": lambda rng: decimal.Decimal(str(rng.choice(["0.1", "1", "1e99", "sNaN", "NaN"]))),
    "Fraction": lambda rng: fractions.Fraction(int(rng.integers(0, 4)), 3),
    "tuple": lambda rng: (int(rng.integers(0, 3)), "a"),
    "frozenset": lambda rng: frozenset([int(rng.integers(0, 3))]),
    "list": lambda rng: [int(rng.integers(0, 3))],
    "array": lambda rng: np.zeros(int(rng.integers(0, 3))),
    "complex": lambda rng: complex(0, rng.integers(0, 3)),
    "object": lambda rng: object(),
    "numpy": lambda rng: rng.choice([np.int8, np.uint64, np.float32, np.str_, np.bool_])(
        rng.integers(0, 3)
    ),
}
TIME_KINDS = {name: ID_KINDS[name] for name in ID_KINDS} | {
    "seconds": lambda rng: float(rng.uniform(0, 2e9)),
    "unsigned": lambda rng: np.uint64(rng.choice(np.array([1, 2**63, 2**64 - 1], np.uint64))),
    "string": lambda rng: f"2024-01-0{rng.integers(1, 9)}",
}
MISSING = [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.ma.masked]
COMMON = ["small", "int", "float", "text", "long", "datetime", "aware", "Timestamp", "Timestamp tz"]


def column_of(kinds, rng, n):
    """Values of one kind, sometimes of two, sometimes with some missing."""
    chosen = rng.choice(COMMON if rng.random() < 0.5 else list(kinds), 2)
    mixed = rng.random() < 0.1
    values = [kinds[chosen[int(mixed and rng.random() < 0.3)]](rng) for _ in range(n)]
    if rng.random() < 0.1:
        values[rng.integers(n)] = MISSING[rng.integers(len(MISSING))]
    return values


def as_objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def library(name, make):
    if importlib.util.find_spec(name) is None:
        return lambda values: values
    return lambda values: make(importlib.import_module(name))(values)


CONTAINERS = [
    list,
    tuple,
    iter,
    as_objects,
    np.array,
    lambda values: np.ma.array(values, mask=[False] * len(values)),
    pd.Series,
    pd.Index,
    lambda values: pd.Series(as_objects(values), index=[0] * len(values)),
    lambda values: pd.Series(values).convert_dtypes(),
    lambda values: pd.Series(values, dtype="category"),
    library("polars", lambda polars: polars.Series),
    library("pyarrow", lambda pyarrow: pyarrow.array),
    library("pyarrow", lambda pyarrow: lambda values: pyarrow.chunked_array([values])),
]
# Of other types the last three crash by themselves.
TAME = {bool, int, float, str, bytes, datetime.date, datetime.datetime, pd.Timestamp, type(None)}


def plain_list(column):
    if hasattr(getattr(column, "dtype", None), "time_zone"):  # the list of polars lacks nanoseconds
        dates = pd.Series(column.to_numpy())
        return list(dates.dt.tz_localize("UTC") if column.dtype.time_zone else dates)
    return [each.as_py() if hasattr(each, "as_py") else each for each in column]


def contained(values, rng):
    """The values in some container, and as a list what it made of them."""
    tame = set(map(type, values)) <= TAME
    make = CONTAINERS[rng.integers(len(CONTAINERS) - (0 if tame else 3))]
    try:
        column = make(values)
        if column is values or make is iter:
            return column, values
        if not 0 < len(column) == len(values):
            return values, values
        return column, plain_list(column)
    except KeyboardInterrupt:
        raise
    except BaseException:  # the container does not take them; a panic of polars is no Exception
        return list(values), values


def tables(columns, rng):
    """The columns as some table that takes them."""
    lists = [] if any(hasattr(each, "__next__") for each in columns.values()) else columns.values()
    types = {type(each) for column in lists for each in column}
    if rng.random() < 0.5 or not types or not types <= TAME | {np.int64}:
        return columns
    try:
        if rng.random() < 0.5:
            return pd.DataFrame({name: plain_list(each) for name, each in columns.items()})
        return library("polars", lambda polars: polars.DataFrame)(columns)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return columns


def key(each):
    """An element as what must stay apart; naive dates of any type, and durations, are equal to each other."""
    if isinstance(each, datetime.date) and getattr(each, "tzinfo", None) is None:
        each = each.to_datetime64() if hasattr(each, "to_datetime64") else np.datetime64(each)
    if isinstance(each, datetime.timedelta):
        each = each.to_timedelta64() if hasattr(each, "to_timedelta64") else np.timedelta64(each)
    if isinstance(each, (np.datetime64, np.timedelta64)):
        return each.dtype.kind, keys_of(np.atleast_1d(each))[0]
    return each


def check_ids_came_through(data, users):
    """Every id that went in is found, at a row whose id is equal to it; no two have become one."""
    rows = data.user_rows(users)
    assert len(set(map(key, users))) == data.n_users
    for each, row in zip(users, rows, strict=True):
        kept = data.user_ids[row]
        assert key(kept) == key(each) or kept == each, (kept, each)
        if not isinstance(each, (tuple, frozenset)):
            assert data.user_rows(each).tolist() == [row]
    assert Counter(data.rows.tolist()).keys() == set(rows.tolist())


@pytest.fixture(scope="module")
def model():
    return MatrixFactorization(n_factors=2, n_epochs=1)


def test_ids(many, rng, model):
    fitted, accepted = Counter(), 0
    for _ in range(many(500)):
        n = int(rng.integers(1, 9))
        column, users = contained(column_of(ID_KINDS, rng, n), rng)
        frame = tables({"user": column, "item": np.arange(n)}, rng)
        if frame is not None and not isinstance(frame, dict):
            users = plain_list(frame["user"])
        data = outcome(Interactions.from_frame, frame)
        if isinstance(data, Exception):
            continue
        accepted += 1
        check_ids_came_through(data, users)
        trained = outcome(model.fit, data) if accepted % 3 == 0 else ValueError("not tried")
        if isinstance(trained, Exception):
            continue
        fitted[data.user_ids.dtype.kind] += 1
        again = unpack_ids(*pack_ids(data.user_ids))
        assert same_ids(again, data.user_ids) and again.dtype == data.user_ids.dtype
        known = [each for each in users if not isinstance(each, (tuple, frozenset))]
        found, _ = trained.similar_users(known, k=2)
        keys = set(map(key, data.user_ids))
        assert {key(each) for each in found.ravel()} <= keys | {None, -1}
        like = outcome(Interactions.from_frame, {"user": users, "item": np.arange(n)}, like=data)
        assert same_ids(like.user_ids, data.user_ids) and len(like) == len(data)
    assert accepted > many(100) and len(fitted) >= 3


def test_times(many, rng):
    dtypes = Counter()
    for _ in range(many(500)):
        n = int(rng.integers(1, 9))
        column, times = contained(column_of(TIME_KINDS, rng, n), rng)
        frame = {"user": np.arange(n), "item": np.zeros(n, int), "time": column}
        data = outcome(Interactions.from_frame, frame, timestamp="time")
        if isinstance(data, Exception):
            continue
        dtypes[str(data.timestamps.dtype)] += 1
        assert len(data.timestamps) == n
        for each, kept in zip(times, data.timestamps, strict=True):
            if data.timestamps.dtype.kind == "M":
                assert not np.isnat(kept)
            elif data.timestamps.dtype.kind == "i":
                assert int(kept) == each
            else:
                assert np.isclose(float(kept), float(each), rtol=1e-6)
        if data.timestamps.dtype.kind == "M" and all(
            isinstance(each, datetime.datetime) for each in times
        ):
            order = [each.tz_localize("UTC") if each.tzinfo is None and hasattr(each, "tz_localize")
                     else each.replace(tzinfo=each.tzinfo or datetime.UTC) for each in times]  # fmt: skip
            assert np.argsort(data.timestamps, kind="stable").tolist() == sorted(
                range(n), key=order.__getitem__
            )
    assert set(dtypes) == {"int64", "float64", "datetime64[ns]"}


def test_known_and_unknown(many, rng):
    for _ in range(many(200)):
        n = int(rng.integers(1, 9))
        train = outcome(
            Interactions.from_frame,
            {"user": column_of(ID_KINDS, rng, n), "item": np.arange(n)},
        )
        if isinstance(train, Exception):
            continue
        values = column_of(ID_KINDS, rng, n)
        other, users = contained(values, rng)
        frame = {"user": other, "item": rng.integers(0, n + 2, n)}
        data = outcome(Interactions.from_frame, frame, like=train, unknown="drop")
        if isinstance(data, Exception):
            continue
        known = set(map(key, train.user_ids))
        if not any(isinstance(each, np.generic) for each in users):
            kept = [
                key(user) in known and item < n
                for user, item in zip(users, frame["item"], strict=True)
            ]
            assert data.n_dropped == n - sum(kept)
        assert data.user_ids is train.user_ids and len(data) <= n - data.n_dropped


def test_what_is_asked_of_a_model(many, rng, model):
    for kind in ("U", "i", "M", None):
        ids = {
            "U": list("abcd"),
            "i": [1, 2, 3, 4],
            "M": np.arange(4).astype("M8[ns]"),
            None: None,
        }[kind]
        fitted = model.fit(Interactions(np.eye(4) + np.eye(4, k=1), user_ids=ids, item_ids=ids))
        for _ in range(many(60)):
            asked, _ = contained(column_of(ID_KINDS, rng, int(rng.integers(1, 4))), rng)
            outcome(fitted.recommend, asked, k=2)
            outcome(fitted.predict, asked, ids if ids is not None else [0])
            outcome(fitted.recommend, ids[0] if ids is not None else 0, k=2, candidates=asked)
            outcome(fitted.similar_items, ID_KINDS[str(rng.choice(list(ID_KINDS)))](rng), k=2)
