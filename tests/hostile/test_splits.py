"""Tables and parameters of every kind for splits: parts that are right, or one sentence that says why not."""

import datetime
import decimal
import fractions

import numpy as np
import pandas as pd

import tripletrec as tr
from hostile.support import outcome

NOON = datetime.datetime(2024, 3, 1, 12)
TIMES = {
    "small": lambda rng, n: rng.integers(0, 9, n),
    "edge": lambda rng, n: rng.choice(np.array([-(2**63), -1, 0, 2**53, 2**63 - 1]), n),
    "float": lambda rng, n: rng.choice([0.5, -1e308, 1e308, 5e-324, -0.0, 3.0], n),
    "days": lambda rng, n: NOON + rng.integers(0, 60, n) * datetime.timedelta(days=1),
    "zone": lambda rng, n: pd.to_datetime(rng.integers(0, 10**18, n), utc=True).tz_convert(
        "Asia/Tokyo"
    ),
    "ends": lambda rng, n: rng.choice(
        np.array(["1677-09-22", "1970-01-01", "2262-04-11"], "M8[ns]"), n
    ),
    "one": lambda rng, n: np.full(n, 7),
    "month": lambda rng, n: rng.choice(np.array(["2024-03", "2024-04"], "M8[M]"), n),
    "decimal": lambda rng, n: [decimal.Decimal(str(each)) / 2 for each in rng.integers(0, 9, n)],
    "text": lambda rng, n: ["2024-03-01"] * n,
    "missing": lambda rng, n: [None, *[1] * (n - 1)],
    "NaT": lambda rng, n: np.array(["NaT", *["2024-03-01"] * (n - 1)], "M8[ns]"),
}
SIZES = [
    0.1, 0.5, 0.9, 1e-300, 1 - 1e-16, 0, 1, -1, 3, 7.5, 2**53, 2**63, -(2**63), 10**400, np.nan, np.inf,
    np.float32(0.3), np.int8(3), fractions.Fraction(1, 3), decimal.Decimal("0.5"), True, None, 1j,
    "14D", "1D", "1ns", "0D", "-1D", "1e9D", "999999 days", "14 D", "P1D", "P", "D", "14", "", "NaT", "now",
    "2024-03-15", "2024-03-15T12:00Z", "2024-03-15 12:00+14:00", "2024-02-30", "2024-03", "1600-01-01",
    "2024-03-15 12:00 Mars", "x" * 5000, "\0", "2024-03-15\n", "\ud800", b"14D",
    NOON, NOON.date(), NOON.astimezone(datetime.UTC), datetime.timedelta(days=7), datetime.timedelta.max,
    datetime.timedelta.min, datetime.date.min, datetime.datetime.max, datetime.time(12),
    pd.Timestamp("2024-03-15", tz="America/New_York"), pd.Timedelta("7D"), pd.Period("2024-03"), pd.NA,
    np.datetime64("2024-03-15"), np.datetime64("NaT", "s"), np.timedelta64(7, "D"), pd.NaT,
    np.timedelta64(7, "s"), np.timedelta64(7, "Y"), np.timedelta64("NaT", "s"),
    np.array(0.5), np.array([0.5]), [], {}, (0.1, 0.2), object(), int,
]  # fmt: skip


def size_of(rng):
    """Half of the time what is most often given."""
    return SIZES[int(rng.integers(3 if rng.random() < 0.5 else len(SIZES)))]


def table_of(rng):
    n = int(rng.integers(1, 40))
    kinds = list(TIMES)
    kind = str(rng.choice(kinds[:9] if rng.random() < 0.8 else kinds))
    users = rng.integers(0, 4, n)
    return {
        "user": users if rng.random() < 0.5 else [f"u{each}" for each in users],
        "item": rng.integers(0, 3, n),
        "value": rng.choice([0.0, 1.0, 2.0], n, p=[0.1, 0.5, 0.4]),
        "timestamp": TIMES[kind](rng, n),
    }


def check_parts(events, split):
    """Raise unless the parts follow each other and no event is lost uncounted."""
    train = split.train
    times = [part.timestamps for part in split]
    for before, after in zip(times, times[1:], strict=False):
        assert before.max() < after.min()
    n_past = len(events["user"]) - sum(each.n_all for each in split.dropped.values())
    assert n_past >= len(train) > 0
    for part, lost in zip(split[1:], split.dropped.values(), strict=True):
        assert part.user_ids is train.user_ids and part.item_ids is train.item_ids
        assert 0 < len(part) <= lost.n_all - lost.n_events and part.n_dropped == lost.n_events
        assert not set(lost.users.tolist()) & set(train.user_ids.tolist())
        assert not set(lost.items.tolist()) & set(train.item_ids.tolist())


def test_events(many, rng):
    n_split = 0
    for _ in range(many(500)):
        events = table_of(rng)
        options = {"value": "value"} if rng.random() < 0.5 else {}
        if rng.random() < 0.3:
            ways = ["sum", "max", "last", "first", "count", "mean", None]
            options["duplicates"] = ways[rng.integers(7)]
        valid = size_of(rng) if rng.random() < 0.5 else None
        split = outcome(tr.splits.time_split, events, size_of(rng), valid, **options)
        if not isinstance(split, Exception):
            check_parts(events, split)
            n_split += 1
    assert n_split > many(25)


def test_interactions(many, rng):
    """All that splits interactions, with parameters of every kind."""
    for _ in range(many(150)):
        n = int(rng.integers(0, 30))
        pairs = rng.choice(36, n, replace=False)
        times = outcome(TIMES[str(rng.choice(list(TIMES)[:9]))], rng, n)
        data = outcome(
            tr.Interactions.from_arrays, *np.divmod(pairs, 6), timestamps=times, shape=(6, 6)
        )
        if isinstance(data, Exception):
            continue
        one, other = size_of(rng), size_of(rng)
        splits = tr.splits
        parts = [
            outcome(splits.time_split, data, one, other),
            outcome(splits.user_split, data, one, fold_in=other, by="time", random_state=1),
            outcome(splits.user_split, data, 2, fold_in=0.5, by=one),
            outcome(splits.leave_k_out, data, one, min_left=other),
            outcome(splits.leave_last_out, data, one, min_left=other),
            outcome(splits.train_test_split, data, one, random_state=other),
        ]
        for split in parts:
            if not isinstance(split, Exception):
                n_dropped = sum(part.n_dropped for part in split)
                assert sum(map(len, split)) + n_dropped == len(data)
        folds = outcome(splits.TimeFolds, 2, test=one, gap=other, max_train=size_of(rng))
        found = outcome(lambda folds=folds, data=data: list(folds.split(data)))
        for train, test in found if isinstance(found, list) else ():
            assert data.timestamps[train].max() < data.timestamps[test].min()
