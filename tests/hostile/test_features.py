"""Tables of features of every kind: encoded alike at each use, or one sentence; new items all or none."""

import datetime
import decimal
import json
import zoneinfo

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from contracts.support import learnt
from hostile.support import outcome
from tripletrec.data.features import align, check_encoding, encode, learn_encoding

MOMENT = datetime.datetime(2020, 1, 1, 12)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
WORDS = ["red", "Blue", "", " ", "a b", "ü", "\0", "\ud800", "2020-01-01", "x" * 300, "日本"]

CELLS = {
    "text": lambda rng: str(rng.choice(WORDS)),
    "texts": lambda rng: " ".join(rng.choice(WORDS, rng.integers(1, 5))),
    "own": lambda rng: f"{rng.integers(2**62)} {rng.choice(WORDS)}",
    "int": lambda rng: int(rng.integers(-3, 4)),
    "big": lambda rng: int(rng.choice([2**63, -(2**63), 2**70, 10**400])),
    "float": lambda rng: float(rng.choice([0.5, -1.0, 1e-310, 1e30, 1e308, -1e308])),
    "infinite": lambda rng: float(rng.choice([0.5, np.inf])),
    "bool": lambda rng: bool(rng.integers(2)),
    "numpy": lambda rng: rng.choice([np.int8, np.float32, np.uint64, np.bool_, np.str_])(1),
    "Decimal": lambda rng: decimal.Decimal(str(rng.choice(["1.5", "2", "1e999", "NaN", "sNaN"]))),
    "complex": lambda rng: complex(0, rng.integers(3)),
    "date": lambda rng: datetime.date(int(rng.choice([1, 1970, 2020, 9999])), 1, 1),
    "datetime": lambda rng: MOMENT + datetime.timedelta(hours=int(rng.integers(99))),
    "aware": lambda rng: (MOMENT + datetime.timedelta(int(rng.integers(9)))).astimezone(BERLIN),
    "extreme": lambda rng: datetime.datetime.max.replace(tzinfo=BERLIN),
    "Timestamp": lambda rng: pd.Timestamp(int(rng.integers(2**62))),
    "datetime64": lambda rng: np.datetime64(int(rng.integers(2**40)), str(rng.choice(["s", "D", "ns"]))),
    "duration": lambda rng: datetime.timedelta(hours=int(rng.integers(9))),
    "time": lambda rng: datetime.time(int(rng.integers(24))),
    "Period": lambda rng: pd.Period(str(rng.integers(2000, 2004)), freq="Y"),
    "Interval": lambda rng: pd.Interval(0, int(rng.integers(1, 3))),
    "list": lambda rng: list(rng.choice(WORDS, rng.integers(0, 3))),
    "mixed list": lambda rng: [None, 1, "a", (2, [np.nan])][: rng.integers(0, 5)],
    "set": lambda rng: {int(rng.integers(3))},
    "tuple": lambda rng: (int(rng.integers(3)), "a"),
    "array": lambda rng: np.arange(rng.integers(3)),
    "table": lambda rng: np.ones((2, 2)),
    "dict": lambda rng: {"a": int(rng.integers(2))},
    "bytes": lambda rng: bytes([rng.integers(3)]),
    "object": lambda rng: object(),
}  # fmt: skip
MISSING = [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT", "s")]


def nested(depth):
    cell = ["deep"]
    for _ in range(depth):
        cell = [cell]
    return cell


def column(rng, n):
    """Cells of a kind, sometimes of two, sometimes with some missing; of pandas' choice or objects."""
    kinds = rng.choice(list(CELLS), 2)
    mixed = rng.random() < 0.15
    cells = [CELLS[kinds[int(mixed and rng.random() < 0.3)]](rng) for _ in range(n)]
    if rng.random() < 0.3:
        for place in rng.integers(0, n, 3):
            cells[place] = MISSING[rng.integers(len(MISSING))]
    if rng.random() < 0.02:
        cells[0] = nested(int(rng.choice([5, 50, 2000])))
    array = np.empty(n, dtype=object)
    for place, cell in enumerate(cells):
        array[place] = cell
    form = rng.integers(4)
    if form == 0:
        return cells
    if form == 1:
        return array
    try:
        made = pd.Series(array, dtype=object)
        if form == 2:
            return made.astype(rng.choice(["category", "string", "Float64", "M8[us]"]))
        return made.infer_objects()
    except Exception:  # what pandas makes no such column of
        return array


def table(rng, n, with_index):
    columns = {f"c{i}": column(rng, n) for i in range(int(rng.integers(1, 4)))}
    columns["id"] = [f"i{i}" for i in range(n)]
    if not with_index:
        return columns
    series = {name: pd.Series(each, dtype=object) for name, each in columns.items()}
    return pd.DataFrame(series).set_index("id")


def test_tables_are_encoded_or_refused(many, rng):
    n, n_encoded = 24, 0
    ids, used = np.array([f"i{i}" for i in range(n)]), np.ones(n, bool)
    for _ in range(many(150)):
        with_index = bool(rng.integers(2))
        features = table(rng, n, with_index)
        aligned = outcome(align, features, ids, used, "f", None if with_index else "id")
        encoding = aligned
        if not isinstance(aligned, Exception):
            encoding = outcome(learn_encoding, aligned, np.arange(n), "f")
        if isinstance(encoding, Exception):
            continue
        again = json.loads(json.dumps(encoding))
        check_encoding(again, "f")
        rows = outcome(encode, again, aligned, "f")
        if isinstance(rows, Exception):
            continue
        n_encoded += 1
        assert rows.shape == (n, encoding["n_columns"]) and np.isfinite(rows.data).all()
        assert (rows != encode(encoding, features, "f")).nnz == 0  # without the detour over ids
        other = outcome(encode, encoding, table(rng, 3, with_index), "f")
        assert isinstance(other, Exception) or np.isfinite(other.data).all()
    assert n_encoded > many(30)


# -------------------------------------------------------------------- new items

N_ITEMS = 12


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    likes = rng.random((8, N_ITEMS)) < 0.4
    likes[0] = likes[:, 0] = True
    return tr.Interactions(likes, item_ids=[f"i{i}" for i in range(N_ITEMS)])


@pytest.fixture(scope="module")
def model(data):
    days = pd.date_range("2024-01-01", periods=3, freq="36h").tolist()
    features = {
        "id": data.item_ids,
        "kind": ["a", "b"] * 6,
        "price": [float(i) for i in range(N_ITEMS)],
        "day": days * 4,
        "tags": [["x"], ["x", "y"], ["y"]] * 4,
        "title": [f"{word} number {i}" for i, word in enumerate(["red", "blue", "green"] * 4)],
    }
    return tr.TwoTower(3, n_epochs=1).fit(data, item_features=features, item_id="id")


def hostile_ids(rng, n):
    return [
        [f"new{rng.integers(10**9)}-{i}" for i in range(n)],
        [f"i{i + 5}" for i in range(n)],
        ["same"] * n,
        list(range(n)),
        [None] * n,
        [nested(3)] * n,
        ["x"] * (n + 1),
        "nowhere",
        {"a", "b"},
        np.ones((n, 2)),
        3,
        object(),
        None,
    ][rng.integers(13)]


def test_new_items_are_added_all_or_none(model, data, many, rng, tmp_path):
    n_added, n_right = 0, 0
    for number in range(many(100)):
        towers = tr.TwoTower(**model.get_params())
        vars(towers).update(vars(model))
        right = number % 4 == 0  # with nothing that could be refused
        n_right += right
        n = int(rng.integers(1 if right else 0, 4))
        features = {
            "kind": ["a", "c", "b"][:n],
            "price": [1.0, None, 3][:n],
            "day": [None, "2024", MOMENT][: n if rng.random() < 0.5 else 1] + [MOMENT] * 3,
            "tags": [["x"], None, []][:n],
            "title": ["Red!", "", None][:n],
        }
        features["day"] = features["day"][:n]
        for name in list(features):
            if rng.random() < 0.1 and not right:
                features[name] = column(rng, max(n, 1))
        if rng.random() < 0.5:
            features = outcome(pd.DataFrame, features)
            if isinstance(features, Exception):
                continue
        before = learnt(towers)
        ids = [f"right-{i}" for i in range(n)] if right else hostile_ids(rng, n)
        answer = outcome(towers.add_items, features, id=ids)
        if isinstance(answer, Exception) or towers.n_items_ == N_ITEMS:
            assert learnt(towers) == before and towers.seen_ is data
            continue
        n_added += 1
        assert answer is towers and towers.n_items_ == N_ITEMS + n == len(towers.item_ids_)
        assert towers.seen_.space == towers._space() and np.isfinite(towers.item_factors_).all()
        assert (towers.item_factors_[:N_ITEMS] == model.item_factors_).all()
        assert towers.recommend([0], k=99, exclude=None)[0].shape == (1, N_ITEMS + n)
        if number % 10 == 0:
            towers.save(tmp_path / "model")
            assert learnt(tr.load(tmp_path / "model")) == learnt(towers)
    assert n_added >= n_right > 0
