"""Damaged files of models: each is refused in one sentence, or the model in it answers as before.

What cannot be told is a finite number that became another finite number (of factors, of a parameter), or a
text that became another text (an id, a category).
"""

import io
import json
import math
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from contracts.support import change_at, interactions, run_python
from hostile.support import outcome
from tiers import quick

N_USERS, N_ITEMS = 20, 30
# Edits of these to other values that are allowed do change what a model answers.
MEANINGFUL = {"scorer", "final_relu", "normalize", "activation", "combine"}
ODD = (
    None, True, False, -1, 0, 1, 7, 2**63, 10**400, 1.5, -0.5, math.nan, math.inf, "", "x", "dot", "\ud800",
    "a" * 100_000, [], [1], [None], ["x", "x"], [[]], {}, {"json": 1}, {"json": None}, {"tensor": None},
    {"tensor": "O"}, {"tensor": "<M8[D]"}, {"ids": "dates[" + "9" * 50 + "D]"},
    {"ids": "str"}, {"ids": "dates[D]"}, {"ids": "dates[999999999Y]"}, {"ids": "mixed"}, {"ids": "letters"},
    {"ids": 1}, {"ids": "numbers"}, {"part": {}}, {"part": {"name": "hinge"}}, {"part": {"name": []}},
    {"own": "mine"}, {"own": ""}, {"own": 3}, {"own": "a" * 1000}, {"tuple": [1]}, {"tuple": 1},
    {"tuple": [{"tuple": []}]},
)  # fmt: skip


def make(kind):
    data = interactions(N_USERS, N_ITEMS, 150)
    words = [f"user {n}" for n in range(N_USERS)]
    settings = {"n_epochs": 2, "optimizer": "sgd"}
    if kind is tr.MatrixFactorization:
        data = tr.Interactions(data.tocsr(), user_ids=words)
        return kind(n_factors=4, **settings).fit(data)
    if kind is tr.MLPMatcher:
        data = tr.Interactions(data.tocsr(), user_ids=[*words[:-1], 7.5])
        return kind(2, 3, hidden=(4,), **settings).fit(data)
    frame = pd.DataFrame({"kind": ["a", "b"] * 15, "price": range(N_ITEMS), "new": [0, 1, 1] * 10})
    frame["genres"] = [["x", "y"], ["y"], []] * 10
    frame["day"] = pd.date_range("2024-01-01", periods=N_ITEMS, freq="31h")
    frame["length"] = pd.to_timedelta(frame["price"], unit="h")
    frame["cost"] = np.exp(frame["price"] / 4)
    frame["title"] = [f"{['red', 'blue'][i % 2]} number {i}" for i in range(N_ITEMS)]
    return kind(3, item_layers=(3,), **settings).fit(data, item_features=frame)


KINDS = (tr.MatrixFactorization, tr.MLPMatcher, tr.TwoTower)


class Saved:
    """A saved model in pieces, and what it answers."""

    def __init__(self, kind):
        self.model = make(kind)
        memory = io.BytesIO()
        self.model.save(memory)
        self.whole = memory.getvalue()
        length = int.from_bytes(self.whole[:8], "little")
        self.begin = 8 + length
        self.header = json.loads(self.whole[8 : self.begin])
        self.body = self.whole[self.begin :]
        self.description = json.loads(self.header["__metadata__"]["tripletrec"])
        self.answers = answers(self.model)

    def arrays(self):
        types = {
            "F32": np.float32,
            "I32": np.int32,
            "I64": np.int64,
            "U8": np.uint8,
            "U32": np.uint32,
        }
        return {
            name: np.frombuffer(self.body[slice(*each["data_offsets"])], types[each["dtype"]])
            .reshape(each["shape"])
            .copy()
            for name, each in self.header.items()
            if name != "__metadata__"
        }

    def check(self, content, exact=True):
        """Load a file: refused in one sentence (True), or a model that answers (False)."""
        model = outcome(tr.load, io.BytesIO(content))
        if isinstance(model, Exception):
            assert isinstance(model, ValueError), repr(model)
            assert "\n" not in str(model), str(model)
            return True
        if getattr(model, "scorer", None) == "mine":  # one of somebody's own, which the file lacks
            assert isinstance(outcome(model.predict, model.user_ids_[:1], 0), ValueError)
            return True
        found = answers(model)
        assert found.shape == self.answers.shape and np.isfinite(found).all()
        if exact:
            np.testing.assert_array_equal(found, self.answers)
        return False


@pytest.fixture(scope="module", params=quick(KINDS, KINDS[0]), ids=lambda kind: kind.__name__)
def saved(request):
    return Saved(request.param)


def answers(model):
    """The scores of all users and items by row, whatever their ids."""
    users = np.arange(model.n_users_) if model.user_ids_ is None else model.user_ids_
    items = np.arange(model.n_items_) if model.item_ids_ is None else model.item_ids_
    scores = np.array([model.predict(user, items) for user in users])
    best = model.recommend(users, k=3, exclude=None)[1]
    np.testing.assert_allclose(best, -np.sort(-scores)[:, :3], rtol=1e-4, atol=1e-6)
    if isinstance(model, tr.TwoTower):
        columns = {"kind": ["b"], "price": [1], "new": [0], "genres": [["x"]]}
        assert np.isfinite(outcome_of_encoding(model, pd.DataFrame(columns))).all()
    return scores


def outcome_of_encoding(model, frame):
    """What new items become; a file may have renamed the columns."""
    names = [each["name"] for each in model.item_encoding_["columns"]]
    if len(names) == len(frame.columns):
        frame = frame.set_axis(names, axis=1)
    vectors = outcome(model.encode_items, frame)
    return 0.0 if isinstance(vectors, Exception) else vectors


def packed(header, body):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def with_description(saved, description):
    text = description if isinstance(description, str) else json.dumps(description)
    return packed({**saved.header, "__metadata__": {"tripletrec": text}}, saved.body)


def with_arrays(saved, arrays, description=None):
    kinds = {"f": "F", "i": "I", "u": "U"}
    text = json.dumps(description or saved.description)
    header, body = {"__metadata__": {"tripletrec": text}}, b""
    for name, array in arrays.items():
        offsets = [len(body), len(body) + array.nbytes]
        kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
        code = "BOOL" if kind == "b" else f"{kinds[kind]}{bits}"
        entry = {"dtype": code, "shape": array.shape, "data_offsets": offsets}
        header[name], body = entry, body + array.tobytes()
    return packed(header, body)


def tell(results):
    counts = Counter(results)
    print(f"{sum(counts.values())} files: {counts[True]} refused, {counts[False]} answer")


def test_what_is_whole_is_read(saved):
    assert not saved.check(saved.whole)
    assert not saved.check(with_description(saved, saved.description))
    assert not saved.check(with_arrays(saved, saved.arrays()))


def test_bits_of_the_header(saved, many, rng):
    results = []
    for _ in range(many(150)):
        damaged = bytearray(saved.whole)
        for place in rng.integers(0, saved.begin, rng.integers(1, 4)):
            damaged[place] ^= 1 << rng.integers(8)
        results.append(saved.check(damaged))
    tell(results)


@pytest.mark.thorough
def test_bits_of_the_arrays(saved, many, rng):
    """A finite number that has become another one cannot be told."""
    results = []
    for _ in range(many(60)):
        damaged = bytearray(saved.whole)
        for place in rng.integers(saved.begin, len(damaged), rng.integers(1, 4)):
            damaged[place] = rng.choice([rng.integers(256), 0xFF, 0x7F, 0])
        model = outcome(tr.load, io.BytesIO(damaged))
        results.append(isinstance(model, Exception))
        if results[-1]:
            assert isinstance(model, ValueError)
        else:
            with np.errstate(all="ignore"):
                assert model.predict(
                    model._users().values[:1] if model.user_ids_ is not None else 0, 0
                ).shape
    tell(results)


@pytest.mark.thorough
def test_pieces_missing_doubled_and_moved(saved, many, rng):
    results = []
    for _ in range(many(60)):
        first, last = np.sort(rng.integers(0, len(saved.whole), 2))
        piece = saved.whole[first:last]
        damaged = [
            saved.whole[:last],
            saved.whole + piece,
            saved.whole[:first] + saved.whole[last:],
            saved.whole[:last] + piece + saved.whole[last:],
            saved.whole[last:] + saved.whole[:last],
        ][rng.integers(5)]
        if damaged != saved.whole:
            results.append(saved.check(damaged))
            assert results[-1]
    tell(results)


def places(value, route=()):
    """Yield the way to each value of a description."""
    yield route
    if isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*route, key))


def edited(description, route, value):
    """Return a description with another value at a place; "delete" is taken at its word."""
    if not route:
        return value
    copy = json.loads(json.dumps(description))
    change_at(copy, route, value)
    return copy


def test_edits_of_the_description(saved, many, rng):
    routes, results = list(places(saved.description)), []
    for _ in range(many(250)):
        route = routes[rng.integers(len(routes))]
        value = "delete" if rng.random() < 0.1 else ODD[rng.integers(len(ODD))]
        content = with_description(saved, edited(saved.description, route, value))
        results.append(saved.check(content, exact=not MEANINGFUL & set(route)))
        if route[:1] != ("parameters",) and value in ("delete", None, -1, 1.5, "x", [], {}):
            free = route[:2] == ("fitted", "history_") or "categories" in route or "name" in route
            same = edited(saved.description, route, value) == saved.description
            assert results[-1] or free or same or route[-1] in ("mean", "scale"), (route, value)
    tell(results)


@pytest.mark.thorough
def test_every_entry_of_the_description_is_missed_and_every_type_is_checked(saved):
    for route in places(saved.description):
        if not route or route[0] == "parameters" and len(route) > 2:
            continue
        if "history_" in route and len(route) > 3 and route[-1] not in ("epoch", "loss"):
            continue
        content = with_description(saved, edited(saved.description, route, "delete"))
        assert saved.check(content), f"without {route}"
        content = with_description(saved, edited(saved.description, route, {"a": [{}]}))
        assert saved.check(content), f"an object in place of {route}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "NaN",
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 100_000,
        '{"format": 1, "format": 1}',
        '{"format": 1e999999}',
        '{"format": -5}',
        '{"format": true}',
        "\ud800",
        "\0",
    ],
    ids=lambda text: text[:10],
)
def test_descriptions_that_are_none(text, saved):
    assert saved.check(with_description(saved, text))


@pytest.mark.thorough
def test_arrays_that_are_not_those_of_the_model(saved, many, rng):
    def swap(arrays, one, other):
        arrays[one], arrays[other] = arrays[other], arrays[one]

    def put(arrays, one, value):
        arrays[one].reshape(-1)[rng.integers(arrays[one].size)] = value

    floats = [
        name for name, each in saved.arrays().items() if each.dtype == np.float32 and each.size
    ]
    changes = [
        lambda arrays, one, other: swap(arrays, one, other),
        lambda arrays, one, other: arrays.pop(one),
        lambda arrays, one, other: arrays.update({one + "x": arrays[one]}),
        lambda arrays, one, other: arrays.update({one: arrays[one].astype(np.float64)}),
        lambda arrays, one, other: arrays.update({one: arrays[one].astype(np.float16)}),
        lambda arrays, one, other: arrays.update({one: arrays[one].astype(np.int64)}),
        lambda arrays, one, other: arrays.update({one: arrays[one] != 0}),
        lambda arrays, one, other: arrays.update({one: arrays[one][:-1]}),
        lambda arrays, one, other: arrays.update({one: arrays[one][..., :0]}),
        lambda arrays, one, other: arrays.update({one: arrays[one].reshape(1, -1)}),
        lambda arrays, one, other: arrays.update({one: arrays[one].reshape(-1, 1)}),
        lambda arrays, one, other: arrays.update({one: arrays[one][None]}),
        lambda arrays, one, other: put(arrays, one, np.nan),
        lambda arrays, one, other: put(arrays, one, -np.inf),
    ]
    results = []
    for change in changes:
        for _ in range(many(3)):
            arrays = saved.arrays()
            one, other = rng.choice(floats, 2, replace=False)
            before = {name: (each.shape, each.tobytes()) for name, each in arrays.items()}
            change(arrays, one, other)
            after = {name: (each.shape, each.tobytes()) for name, each in arrays.items()}
            if before != after and {*map(str, before.values())} != {*map(str, after.values())}:
                results.append(saved.check(with_arrays(saved, arrays)))
                assert results[-1], (changes.index(change), one, other)
    tell(results)


@pytest.mark.thorough
def test_ends_of_texts(many, rng):
    saved = Saved(tr.MLPMatcher)  # ids of two types, which are texts
    results = []
    for _ in range(many(60)):
        arrays = saved.arrays()
        ends = arrays["user_ids_.ends"]
        place = rng.integers(len(ends))
        ends[place] = rng.choice([-1, 0, -(2**63), 2**63 - 1, 2**40, ends[-1] + 1, ends[place]])
        if rng.random() < 0.3:
            rng.shuffle(ends)
        results.append(saved.check(with_arrays(saved, arrays)))
        fine = (np.diff(ends.astype(object)) >= 0).all() and ends[0] >= 0
        assert results[-1] or (fine and ends[-1] == len(arrays["user_ids_"]))
    tell(results)


def test_headers_that_lie(saved, many, rng):
    lies = [-1, 0, 1, 3, 2**31, 2**40, 2**62, 2**63, 2**70, 1.0, True, None, "1", []]
    results = []
    for _ in range(many(120)):
        header = json.loads(json.dumps(saved.header))
        name = rng.choice([each for each in header if each != "__metadata__"])
        entry = header[name]
        field = rng.choice(["shape", "data_offsets", "dtype", "whole", "length"])
        if field in ("shape", "data_offsets"):
            values = entry[field] + [1] * bool(rng.random() < 0.2)
            values[rng.integers(len(values))] = lies[rng.integers(len(lies))]
            entry[field] = values if rng.random() < 0.9 else lies[rng.integers(len(lies))]
        elif field == "dtype":
            entry[field] = rng.choice(
                ["F64", "F16", "BF16", "F8_E4M3", "U8", "", "O", "C64"]
            ).item()
        elif field == "whole":
            header[name] = lies[rng.integers(len(lies))]
        content = packed(header, saved.body)
        if field == "length":
            wrong = [0, 1, 2**31, 2**62, 2**64 - 1, len(content), int(rng.integers(2**20))]
            content = struct.pack("<Q", wrong[rng.integers(len(wrong))]) + content[8:]
        results.append(saved.check(content))
    tell(results)


LOAD_IN_LITTLE_MEMORY = """
import resource, sys, warnings
import tripletrec as tr
good, *files = sys.argv[1:]
tr.load(good).recommend
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
for file in files:
    resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20, resource.RLIM_INFINITY))
    try:
        print(type(tr.load(file)).__name__)
    except ValueError as error:
        print("ValueError", len(str(error)) < 600)
"""


def test_small_files_take_little_memory(tmp_path):
    """In another process, with 150 MB of address space beside what the imports take."""
    pytest.importorskip("resource")
    if not Path("/proc/self/statm").exists():
        pytest.skip("asks Linux how much a process has")
    n = 10_000
    ids = ["x" * 50_000, *map(str, range(1, n))]
    data = tr.Interactions.from_arrays(np.arange(n), np.arange(n) % 3, user_ids=ids)
    large = tmp_path / "large"
    tr.MatrixFactorization(n_factors=4, n_epochs=1, optimizer="sgd").fit(data).save(large)
    assert large.stat().st_size < 600_000
    saved = Saved(tr.MatrixFactorization)
    (tmp_path / "good").write_bytes(saved.whole)

    def factors_of(n_users, n_factors):
        header = json.loads(json.dumps(saved.header))
        text = edited(saved.description, ("fitted", "n_users_", "json"), n_users)
        header["__metadata__"]["tripletrec"] = json.dumps(text)
        header["user_factors_"]["shape"] = [n_users, n_factors]
        return packed(header, saved.body)

    arrays = saved.arrays()
    arrays["user_ids_"][-1] = 2**32 - 1
    empty = saved.arrays() | {"user_factors_": np.empty((0, 4), np.float32)}
    lies = {
        "shape": factors_of(2**40, 4),
        "no width": factors_of(2**40, 0),
        "letters": with_arrays(saved, arrays),
        "no rows": with_arrays(saved, empty),
        "deep": with_description(saved, '{"a":' * 200_000),
        "digits": with_description(saved, '{"format":' + "9" * 10**6 + "}"),
        "header": struct.pack("<Q", 2**60) + saved.whole[8:],
        "unit": with_description(
            saved, edited(saved.description, ("fitted", "user_ids_"), {"ids": "dates[999999999Y]"})
        ),
    }
    for name, content in lies.items():
        (tmp_path / name).write_bytes(content)
    said = run_python(
        LOAD_IN_LITTLE_MEMORY, tmp_path / "good", large, *(tmp_path / name for name in lies)
    )
    assert said.splitlines() == ["MatrixFactorization", *["ValueError True"] * len(lies)]
