"""Times: one unit for dates of every kind, numbers as they are, and one sentence for anything else."""

import datetime
import decimal
import pickle

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.interactions import Interactions
from tripletrec.data.times import check_timestamps
from tripletrec.splits import leave_last_out

UTC = datetime.UTC
PLUS_2 = datetime.timezone(datetime.timedelta(hours=2))
NOON = datetime.datetime(2024, 3, 1, 12, 0, 0)
DATES = pd.Series([pd.Timestamp("2024-03-01 12:00"), pd.Timestamp("2024-02-29 23:30")])
EXPECTED = DATES.to_numpy().astype("M8[ns]")


def times(values):
    return check_timestamps(values, len(values), "timestamps")


@pytest.mark.parametrize(
    "column",
    [
        DATES,
        *(DATES.astype(f"datetime64[{unit}]") for unit in ("s", "ms", "us", "ns")),
        *(DATES.to_numpy().astype(f"M8[{unit}]") for unit in ("m", "s", "ms", "us", "ns")),
        DATES.dt.tz_localize("UTC"),
        DATES.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        DATES.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo").astype("datetime64[s, Asia/Tokyo]"),
        DATES.astype(object),
        DATES.dt.tz_localize("UTC").dt.tz_convert("America/New_York").astype(object),
        pd.Index(DATES),
        list(DATES),
        DATES.to_numpy(),
        list(DATES.to_numpy()),
        list(DATES.to_numpy().astype("M8[s]")),
        [each.to_pydatetime() for each in DATES],
        [NOON.replace(tzinfo=UTC).astimezone(PLUS_2), datetime.datetime(2024, 2, 29, 23, 30)],
        (each for each in DATES.to_list()),
        pd.Series(pd.PeriodIndex(DATES, freq="min")),
        pd.PeriodIndex(DATES, freq="min"),
        list(pd.PeriodIndex(DATES, freq="min")),
    ],
    ids=lambda column: f"{type(column).__name__} {getattr(column, 'dtype', '')}",
)
def test_the_same_instants_are_equal_times(column):
    found = check_timestamps(column, 2, "timestamps")
    assert found.dtype == "M8[ns]"
    np.testing.assert_array_equal(found, EXPECTED)


@pytest.mark.parametrize(
    "days",
    [
        [datetime.date(2024, 3, 1), datetime.date(1678, 1, 1)],
        np.array(["2024-03-01", "1678-01-01"], "M8[D]"),
        pd.PeriodIndex(["2024-03-01", "1678-01-01"], freq="D"),
    ],
)
def test_days(days):
    assert times(days).tolist() == np.array(["2024-03-01", "1678-01-01"], "M8[ns]").tolist()


def test_a_period_is_its_start():
    assert times(pd.PeriodIndex(["2024-03"], freq="M")) == np.datetime64("2024-03-01")


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_other_tables(library):
    module = pytest.importorskip(library)
    make = module.Series if library == "polars" else module.array
    zoned = [NOON.replace(tzinfo=UTC), datetime.datetime(2024, 2, 29, 23, 30, tzinfo=UTC)]
    columns = [make(zoned), make([each.replace(tzinfo=None) for each in zoned])]
    if library == "polars":
        columns += [
            columns[0].dt.convert_time_zone("Asia/Tokyo"),
            columns[1].dt.cast_time_unit("ms"),
        ]
    else:
        columns += [module.chunked_array([columns[0]]), columns[1].cast(module.timestamp("s"))]
        columns += [columns[0].to_pandas(types_mapper=pd.ArrowDtype)]
        columns += [columns[0].cast(module.timestamp("ns", "Asia/Tokyo"))]
    for column in columns:
        np.testing.assert_array_equal(times(column), EXPECTED)
    day = make([datetime.date(2024, 3, 1)])
    assert times(day) == np.datetime64("2024-03-01")
    with pytest.raises(ValueError, match="missing .* at position 1"):
        times(make([NOON, None]))
    with pytest.raises(ValueError, match="missing .* at position 1"):
        times(make([1, None]))
    assert times(make([2**53 + 1])).tolist() == [2**53 + 1]


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        ([3, 1], np.int64),
        (np.array([3, 1], np.uint64), np.int64),
        (np.array([3, 1], np.int8), np.int64),
        ([3.0, 1.0], np.int64),
        (np.array([1.7e9, -(2.0**62)]), np.int64),
        (np.array([2.0**63, 3]), np.float64),
        ([1.7e9 + 0.25, 3], np.float64),
        (np.array([0.5, 3], np.float32), np.float64),
        ([1e300, 3], np.float64),
        ([2**63 - 1, -(2**63)], np.int64),
        (pd.Series([3, 1], dtype="Int64"), np.int64),
        (pd.Series([3, 1], dtype=object), np.int64),
        (pd.Series([3, 0.5], dtype="Float64"), np.float64),
        ([decimal.Decimal("0.5"), 3], np.float64),
        ([2**62 + 1, 2.0, decimal.Decimal(2**62 + 3)], np.int64),
        ([1e300, 3], np.float64),
        ([], np.int64),
    ],
    ids=str,
)
def test_numbers_stay_numbers(numbers, dtype):
    found = times(numbers)
    assert found.dtype == dtype and found.tolist() == [
        float(n) if dtype == np.float64 else n for n in numbers
    ]


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (np.array([1, 2**64 - 1], np.uint64), ValueError, "beyond int64 at position 1: .*18446744073"),
        ([1, 2**64 - 1], ValueError, "beyond int64 at position 1: 18446744073709551615"),
        ([1, -(2**63) - 1], ValueError, "beyond int64 at position 1"),
        ([0.5, np.nan], ValueError, "missing time at position 1"),
        ([0.5, np.inf], ValueError, "not finite at position 1: .*inf"),
        ([1, decimal.Decimal("1e999999999")], ValueError, "not finite at position 1"),
        ([0.5, 10**400], ValueError, "must fit float64"),
        ([1, None], ValueError, "missing time at position 1"),
        (pd.Series([1, pd.NA], dtype="Int64"), ValueError, "missing time at position 1"),
        (np.ma.array([1, 2], mask=[0, 1]), ValueError, "must not be masked"),
        ([NOON, None], ValueError, "missing time at position 1"),
        ([NOON, pd.NaT], ValueError, "missing date at position 1"),
        (np.array(["2024-01-01", "NaT"], "M8[s]"), ValueError, "missing date at position 1"),
        (pd.Series([NOON, None]), ValueError, "missing date at position 1"),
        (pd.Series([NOON, None]).dt.tz_localize("UTC"), ValueError, "missing date at position 1"),
        (pd.PeriodIndex(["2024", None], freq="Y"), ValueError, "missing date at position 1"),
        (np.array(["2024", "2263"], "M8[Y]"), ValueError, "outside the years 1678 to 2261 at position 1"),
        (np.array(["2024", "20000"], "M8[s]"), ValueError, "outside the years .* position 1: .*20000"),
        (np.array(["2024", "1677"], "M8[D]"), ValueError, "outside the years .* position 1: .*1677"),
        (np.array([0, 2**60], "M8[D]"), ValueError, "outside the years .* position 1: .*3156591865972789-04"),
        ([NOON, datetime.date(2300, 1, 1)], ValueError, "outside .* position 1: .*date.2300, 1, 1"),
        ([NOON, datetime.datetime(1, 1, 1, tzinfo=PLUS_2)], ValueError, "outside .* at position 1"),
        ([NOON, np.datetime64("3000-01-01")], ValueError, "outside .* at position 1"),
        (["2024-01-01"], TypeError, "text '2024-01-01' at position 0: convert it with pandas.to_datetime"),
        (np.array(["2024-01-01"]), TypeError, "text '2024-01-01' .*pandas.to_datetime"),
        (pd.Series(["2024-01-01"]), TypeError, "text '2024-01-01' .*pandas.to_datetime"),
        ([NOON, "x" * 10_000], TypeError, "text 'x.{20,90} at position 1: convert"),
        ("2024-01-01", TypeError, "must be a sequence of numbers or dates, got '2024-01-01'"),
        ([NOON, 5], TypeError, "all numbers or all dates, got both"),
        ([np.timedelta64(1, "ns")], TypeError, "must be numbers or dates, got .*timedelta64"),
        ([datetime.timedelta(1)], TypeError, "must be numbers or dates, got .*timedelta"),
        (np.array([1], "m8[s]"), TypeError, r"must be numbers or dates, got dtype (timedelta64|<m8)\[s\]"),
        ([datetime.time(1)], TypeError, "must be numbers or dates, got datetime.time"),
        (np.array([True]), TypeError, "must be numbers or dates, got dtype bool"),
        ([True], TypeError, "must be numbers or dates, got True"),
        ([1j], TypeError, "must be numbers or dates, got 1j"),
        ({NOON}, TypeError, "a set has no order"),
        (np.zeros((1, 1)), ValueError, "must be one-dimensional"),
        (np.array(5), ValueError, "must be one-dimensional"),
    ],
    ids=str,
)  # fmt: skip
def test_other_times_get_one_sentence(column, error, message):
    with pytest.raises(error, match=f"timestamps .*{message}"):
        check_timestamps(column, np.size(column), "timestamps")


TIMES = {
    "int64": [30, 10, 20],
    "float64": [30.5, 10.25, 30.25],
    "datetime64[ns]": [NOON, datetime.date(2024, 1, 1), NOON - datetime.timedelta(1)],
}


@pytest.mark.parametrize("dtype", TIMES)
def test_all_that_uses_times_takes_each_kind(dtype):
    given = times(TIMES[dtype])
    data = Interactions.from_arrays(
        [0, 0, 0, 0], [0, 1, 2, 1], timestamps=[*TIMES[dtype], TIMES[dtype][1]]
    )
    np.testing.assert_array_equal(data.timestamps, given)
    assert data.timestamps.dtype == dtype and not data.timestamps.flags.writeable
    train, test = leave_last_out(data)
    assert test.indices.tolist() == [0] and test.timestamps.dtype == dtype
    for same in (pickle.loads(pickle.dumps(data)), data.T.T, data[:]):
        np.testing.assert_array_equal(same.timestamps, given)
        assert same.timestamps.dtype == dtype
    np.testing.assert_array_equal(data[[2]].timestamps, given[2:])
    matrix = Interactions(data.tocsr(), timestamps=data.timestamps)
    np.testing.assert_array_equal(matrix.timestamps, given)


def test_of_duplicates_the_latest_time_is_kept():
    for values in TIMES.values():
        data = Interactions.from_arrays([0, 0, 0], [1, 1, 1], timestamps=values)
        assert data.timestamps[0] == times(values).max()
