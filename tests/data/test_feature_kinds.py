"""Kinds of columns of features: what is learnt of each, how it is encoded, and which columns are refused."""

import json

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.feature_kinds import encode_column, is_spec, learn_column, n_columns_of


def learn(values, **options):
    return learn_column(pd.Series(values, **options), "c", "f")


def encoded(spec, values, **options):
    column = pd.Series(values, **options)
    rows, columns, numbers = encode_column(column, spec, "f")
    table = np.zeros((len(column), n_columns_of(spec)))
    np.add.at(table, (rows, columns), numbers)
    return table.tolist()


def test_texts_that_differ_are_split_into_words():
    titles = ["Toy Story (1995)", "A Toy", "The story of A", "Casablanca", None]
    spec = learn(titles)
    assert spec == {"name": "c", "kind": "words", "categories": ["a", "story", "toy"]}
    assert is_spec(json.loads(json.dumps(spec)))
    assert encoded(spec, [*titles, "", "TOY, toy!"]) == [
        [0, 1, 1, 1],
        [1, 0, 1, 0],
        [1, 1, 0, 1],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 1, 0],
    ]


@pytest.mark.parametrize(
    "values",
    [
        [f"name{i}" for i in range(30)],
        [f"the {i}" for i in range(30)],  # a word of all texts tells nothing
        [f"2024-01-{i:02} 10:{i % 3}" for i in range(1, 31)],  # no word has a letter
        [f"{i:08x}-{i % 3}" for i in range(30)],
        [[f"tag{i}", f"other{i}"] for i in range(30)],
        pd.Categorical(range(30)),
        [(i,) for i in range(30)],
        [b"a", b"b", b"c"],
        ["a", "b"],
        ["a", None, None, "b"],
    ],
    ids=lambda values: str(values)[:40],
)
def test_what_differs_in_all_rows_is_refused(values):
    n = sum(each is not None for each in values)
    message = f"column 'c' of f must hold values that rows share, but {n} of {n} have theirs alone"
    with pytest.raises(ValueError, match=message) as caught:
        learn(values)
    assert "leave the column out" in str(caught.value)


def test_texts_that_are_dates_are_told_what_to_become():
    with pytest.raises(ValueError, match="if they are dates, convert them with pandas.to_datetime"):
        learn([f"2024-01-{i:02}" for i in range(1, 31)])


def test_nearly_all_different_is_as_all_different():
    with pytest.raises(ValueError, match="but 38 of 40 have theirs alone, such as 'n0'"):
        learn([f"n{i}" for i in range(38)] + ["same", "same"])


def test_one_value_or_none_is_no_reason_to_refuse():
    assert learn(["a"])["categories"] == learn([None, None])["categories"] == []
    assert encoded(learn(["a"]), ["a", None]) == [[1], [1]]


def test_a_column_that_is_mostly_unknown_is_warned_of():
    values = [f"n{i}" for i in range(30)] + [f"m{i // 2}" for i in range(20)]
    with pytest.warns(UserWarning, match="30 of the 50 rows with a value in column 'c' of f share"):
        spec = learn(values)
    assert spec["kind"] == "categorical" and len(spec["categories"]) == 10


@pytest.mark.filterwarnings("error")
def test_a_few_rows_or_half_of_them_are_not_warned_of():
    learn(["a", "a", "b", "c", "d"])
    learn([f"n{i}" for i in range(30)] + [f"m{i // 2}" for i in range(30)])


def test_dates_are_days_and_parts_that_vary():
    dates = pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-09", "2024-03-09", "2024-03-02"])
    spec = learn(dates)
    assert spec["parts"] == {"weekday": [0, 5], "month": [1, 3]}  # never another hour than midnight
    assert is_spec(json.loads(json.dumps(spec)))
    rows = np.array(encoded(spec, [*dates, None, pd.Timestamp("2024-02-04")]))
    days = np.array([0, 0, 8, 68, 61])
    np.testing.assert_allclose(rows[:5, 0], (days - days.mean()) / days.std(), rtol=1e-5)
    monday, saturday, other = [1, 0, 0], [0, 1, 0], [0, 0, 1]
    weekdays = [monday, monday, other, saturday, saturday, other, other]
    assert rows[:, 1:4].tolist() == weekdays
    january, march = [1, 0, 0], [0, 1, 0]
    assert rows[:, 4:].tolist() == [january, january, january, march, march, other, other]
    assert rows[5, 0] == 0


def test_hours_of_dates_in_any_zone_are_those_in_utc():
    hours = pd.date_range("2024-01-01", periods=48, freq="h", tz="UTC")
    spec = learn(hours)
    assert spec["parts"] == {"weekday": [0, 1], "hour": list(range(24))}
    for same in (hours.tz_convert("Asia/Tokyo"), hours.tz_localize(None), list(hours)):
        assert learn(same) == spec
        assert encoded(spec, same) == encoded(spec, hours)


def test_parts_of_dates_that_no_two_rows_share_tell_nothing():
    spec = learn(pd.to_datetime(["2024-01-01 05:00", "2024-02-03 05:00", "2024-03-02 09:00"]))
    assert spec["parts"] == {"weekday": [5], "hour": [5]}  # three months


def test_dates_before_1970():
    spec = learn(pd.to_datetime(["1969-12-31 23:00", "1969-12-31 23:30", "1969-12-28 22:00"] * 2))
    assert spec["parts"] == {"weekday": [2, 6], "hour": [22, 23]}


def test_durations_are_numbers_of_days():
    spec = learn(pd.to_timedelta([1, 3, None], unit="D"))
    assert spec == {"name": "c", "kind": "duration", "mean": 2.0, "scale": 1.0}
    assert encoded(spec, pd.to_timedelta([72, None], unit="h")) == [[1.0], [0.0]]


def test_prices_are_logarithms():
    prices = np.exp(np.arange(30.0) % 10)
    spec = learn([*prices, None])
    assert spec["kind"] == "logarithm" and is_spec(json.loads(json.dumps(spec)))
    rows = np.array(encoded(spec, [*prices, None, 0.0, -3.0, np.e**10]))[:, 0]
    logs = np.arange(30.0) % 10
    np.testing.assert_allclose(rows[:30], (logs - 4.5) / logs.std(), rtol=1e-5)
    assert rows[30] == 0 and rows[31] == rows[32] == rows[0] and rows[33] > rows[:33].max()
    for values in (prices[:15], prices - 1, -prices, logs + 1, [3.0] * 30):
        assert learn(values)["kind"] == "number"


def test_columns_that_are_all_missing_say_nothing():
    for values, kind in (
        (pd.array([None, None], dtype="Int64"), "flag"),
        (pd.to_datetime([None, None]), "date"),
        (pd.to_timedelta([None, None]), "duration"),
        (np.array([None, None]), "categorical"),
    ):
        spec = learn(values)
        assert spec["kind"] == kind and is_spec(json.loads(json.dumps(spec)))
        assert encoded(spec, values)[0] == encoded(spec, values)[1]


@pytest.mark.parametrize(
    ("learnt", "given", "message"),
    [
        ([1.5, 2.5], ["a", "b"], "column 'c' of f must hold numbers, as in fit, got"),
        ([1.5, 2.5], pd.to_datetime(["2024"]), "must hold numbers, as in fit, got datetime64"),
        (pd.to_datetime(["2024", "2025"]), [1.5], "must hold dates, as in fit, got float64"),
        (pd.to_timedelta([1, 2], unit="D"), [1.5], "must hold durations, as in fit, got float64"),
        (["a", "a"], [1, 2], "must hold strings, as in fit, got 1"),
        (pd.Categorical([1, 1]), ["1", "2"], "must hold numbers, as in fit, got '1'"),
        (["one tea", "two tea", "a"], [1, 2], "must hold texts, as in fit, got int64"),
        (
            ["one tea", "two tea", "a"],
            pd.to_datetime(["2024"]),
            "must hold texts, as in fit, got date",
        ),
        ([0, 1], [1e300], "must fit float32, got a number beyond it"),
    ],
    ids=str,
)
def test_another_kind_than_in_fit_is_refused(learnt, given, message):
    spec = learn(learnt)
    with pytest.raises((ValueError, TypeError), match=message):
        encoded(spec, given)
    encoded(spec, [None, np.nan])
    encoded(spec, [])


@pytest.mark.parametrize("n", [3, 10, 100, 1000])
def test_rounding_of_a_mean_is_no_deviation(n):
    for number in (0.1, 0.3, -19.99, 123456.789):
        spec = learn(np.full(n, number))
        assert spec == {"name": "c", "kind": "number", "mean": number, "scale": 1.0}
        assert encoded(spec, [number, number + 2.0, None]) == [[0.0], [2.0], [0.0]]
    assert learn([0.1 + 0.2, 0.3] * n)["scale"] == 1.0
    assert learn(pd.to_timedelta([8] * n, unit="h"))["scale"] == 1.0
    assert learn([1e6, 1e6 + 1e-6] * n)["scale"] == pytest.approx(5e-7, rel=1e-3)


def test_moments_must_fit():
    with pytest.raises(ValueError, match="must have a mean and a deviation in float64"):
        learn([1e308, 1.5e308, -1e308, 1e308])


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "date", "mean": 0.0, "scale": 1.0},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": []},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": {"year": [1]}},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": {"month": [0]}},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": {"month": [13]}},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": {"hour": [-1]}},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": {"hour": [True, 1]}},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": {"hour": [1, 1]}},
        {"kind": "date", "mean": 0.0, "scale": 1.0, "parts": {"hour": [1.0]}},
        {"kind": "date", "mean": 0.0, "parts": {}},
        {"kind": "duration", "mean": 0.0, "scale": 1.0, "parts": {}},
        {"kind": "words", "categories": [None]},
        {"kind": "logarithm", "mean": 0.0, "scale": 1.0},
        {"kind": "logarithm", "mean": 0.0, "scale": 1.0, "least": 0.0},
        {"kind": "number", "mean": 0.0, "scale": 1.0, "least": 1.0},
        {"kind": ["words"], "categories": []},
    ],
    ids=str,
)
def test_specs_of_a_file_that_are_none(spec):
    assert not is_spec({"name": "c"} | spec)
