"""Machine code on disk: found again by the next process, never that of something else, never needed."""

import copy
import enum
import functools
import itertools
import json
import logging
import math
import operator
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pytest

import tripletrec
from tripletrec._runtime.jit import kernel, part
from tripletrec._runtime.kernel_cache import (
    PART_MARK,
    UndecidableError,
    digest_function,
    enable_cache,
    reached_parts,
)

PROJECT = Path(tripletrec.__file__).parents[1]

# What users' parts are called by; its file decides the folder of the machine code, as the package's files do.
ENGINE = """
import numpy as np
from tripletrec._runtime.jit import kernel

def measure(function, expected=None):
    @kernel
    def loop(numbers):
        for t in range(numbers.shape[0]):
            numbers[t] = function(numbers[t])

    numbers = np.full(2, 3.0)
    loop(numbers)
    stats = loop.stats
    counts = [sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]
    expected = float(function(3.0) if expected is None else expected)
    return {"got": numbers[0], "expected": expected, "counts": counts}
"""

HELPERS = """
import math
import numba
from numba import types
from numba.extending import overload, overload_method, register_jitable
from tripletrec import part

@part
def deep_helper(x):
    return x * VERSION

@part
def helper(x):
    return deep_helper(x) + 1.0

@numba.njit
def jitted(x):
    return x * VERSION

@numba.vectorize
def vectorized(x):
    return x * VERSION

@register_jitable
def registered(x):
    return x * VERSION

def overloaded(x):
    return x * VERSION

@overload(overloaded)
def overloaded_for_numba(x):
    return lambda x: x * VERSION

@overload(math.perm)  # of a library, but unknown to Numba
def perm(n, k):
    return lambda n, k: 6.0 * VERSION

@overload_method(types.Float, "times_version")
def times_version(x):
    return lambda x: x * VERSION
"""

TOOLBOX = """
from typing import NamedTuple

class Weights(NamedTuple):
    a: float
    b: float
"""

# All that is here differs from one version of the files to another: in text, or by a value read elsewhere.
USER = """
import json, math, os, sys
import numpy as np
import settings, toolbox.settings
import helpers
from engine import measure
from helpers import helper, jitted, overloaded, registered, vectorized
from toolbox import Weights
from tripletrec import part
from tripletrec._runtime.kernel_cache import digest_function

S = np.float32(os.environ["S"])
TABLE, PAIR = np.array([0.0, S]), (0, (S, "a"))

WEIGHTS = Weights(S, VERSION)

@part
def own_text(x):
    return x * VERSION - 2.0

@part
def helper_of_another_file(x):
    return helper(x) + 1.0

@part
def helper_by_its_module(x):
    return helpers.helper(x) + 2.0

@part
def global_value(x):
    return x * S

@part
def attribute_of_a_module(x):
    return x * settings.S

@part
def attribute_of_a_module_in_a_package(x):
    return x * toolbox.settings.S

@part
def default_argument(x, factor=S):
    return x * factor

@part
def named_tuple(x):
    return x * WEIGHTS.a + WEIGHTS.b

@part
def named_tuple_made(x):
    return Weights(x, S).a * Weights(x, S).b

@part
def array(x):
    return x * TABLE[1]

@part
def nested_tuple(x):
    return x * PAIR[1][0]

@part
def function_inside(x):
    def inside(y):
        return y * S

    return inside(x)

def closure(factor):
    @part
    def times(x):
        return x * factor

    return times

exec(compile('''
@part
def cell(x):
    return x * VERSION
''', "<ipython-input-3-0123456789ab>", "exec"), globals())

namespace = {"part": part, "S": S}
exec('''
@part
def executed(x):
    return x * S - 3.0
''', namespace)

KEPT = {
    "closure": closure(S), "other closure": closure(S + 10), "notebook": cell, "exec": namespace["executed"],
    "lambda": part(lambda x: x * VERSION - 1),
}
KEPT |= {each.__name__: each for each in (
    own_text, helper_of_another_file, helper_by_its_module, global_value, attribute_of_a_module,
    attribute_of_a_module_in_a_package, default_argument, named_tuple, named_tuple_made, array,
    nested_tuple, function_inside,
)}

@part
def of_njit(x):
    return jitted(x)

@part
def of_vectorize(x):
    return vectorized(x)

@part
def of_register_jitable(x):
    return registered(x)

@part
def of_overload(x):
    return overloaded(x)

@part
def of_overloaded_method(x):
    return x.times_version()

@part
def of_overloaded_library(x):
    return x * math.perm(3, 3)

NOT_KEPT = {
    of_njit: None, of_vectorize: None, of_register_jitable: None, of_overload: None,
    of_overloaded_method: 3 * VERSION, of_overloaded_library: 3 * 6 * VERSION,
}

@part
def constants(x):
    return x in {"a", "b", "c", "d", (1, "e"), -0.0}

def kept():
    return {name: measure(each) for name, each in KEPT.items()}

if __name__ == "__main__":
    print(json.dumps({
        "kept": kept(),
        "not kept": {
            each.__name__: measure(each, value) for each, value in NOT_KEPT.items()
            if "ONLY_KEPT" not in os.environ
        },
        "digest": digest_function(constants).hex(),
    }))
"""


def run(script, *folders, cache, **environment):
    """Start a script in a process of its own; `folders` are where it finds its modules."""
    paths = os.pathsep.join(map(str, (*folders, PROJECT)))
    known = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(cache), "NUMBA_OPT": "0"}
    known.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-W", "error", str(script)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=known | environment, stdout=pipe, stderr=pipe, encoding="utf-8"
    )


def result_of(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == ""
    return json.loads(out)


def compiled(folder):
    return {file.name for file in folder.rglob("*.nbc")}


def write_user(folder, version):
    """Write a version of a user's files; return the script."""
    (folder / "toolbox").mkdir(parents=True)
    for name, text in {
        "helpers.py": HELPERS,
        "settings.py": "S = VERSION",
        "toolbox/__init__.py": TOOLBOX,
        "toolbox/settings.py": "S = VERSION + 1",
        "script.py": USER,
    }.items():
        (folder / name).write_text(text.replace("VERSION", version), "utf-8")
    return folder / "script.py"


LOADS_BOTH = """
import json, os, sys
first, second = sys.path[1:3]
all_kept = []
for folder, S in ((first, "2"), (second, "7")):
    sys.path[1:3] = [folder]
    os.environ["S"] = S
    for name in ("helpers", "settings", "toolbox", "toolbox.settings", "script"):
        sys.modules.pop(name, None)
    from script import kept
    all_kept.append(kept)
print(json.dumps([kept() for kept in all_kept * 2]))
"""


def test_two_versions_of_a_users_files(tmp_path):
    """At the same time at first, then again, then in one process: each gets its own code, none is stale."""
    cache, engine = tmp_path / "cache", tmp_path / "engine"
    engine.mkdir()
    (engine / "engine.py").write_text(ENGINE, "utf-8")
    folders = {"2": tmp_path / "first", "7": tmp_path / "second"}
    scripts = {S: write_user(folder, f"{S}.5") for S, folder in folders.items()}

    def both(*seeds, **more):
        started = [
            run(scripts[S], engine, folders[S], cache=cache, S=S, PYTHONHASHSEED=seed, **more)
            for S, seed in zip(folders, seeds, strict=True)
        ]
        return [result_of(each) for each in started]

    def check(measured, counts):
        for name, each in measured.items():
            assert each["got"] == each["expected"], name
            assert each["counts"] == counts, name

    # With one seed of hashes both give their machine code the same names of symbols.
    cold = both("0", "0")
    for result in cold:
        check(result["kept"], [0, 1])
        check(result["not kept"], [0, 1])
    for kind in ("kept", "not kept"):
        for name, each in cold[0][kind].items():
            assert each["got"] != cold[1][kind][name]["got"], f"{name} shows no difference"
    files = compiled(cache)
    assert len(files) == 2 * len(cold[0]["kept"])

    for result, before in zip(both("1", "2", ONLY_KEPT=""), cold, strict=True):
        check(result["kept"], [1, 0])
        assert result["digest"] == before["digest"]
    assert compiled(cache) == files

    script = tmp_path / "both.py"
    script.write_text(LOADS_BOTH, "utf-8")
    for measured in result_of(run(script, *folders.values(), engine, cache=cache, S="")):
        check(measured, [1, 0])
    assert compiled(cache) == files


@pytest.fixture
def project(tmp_path):
    """A folder with `measure` and room for scripts; runs them one at a time."""

    def start(script, **environment):
        (tmp_path / "script.py").write_text(script, "utf-8")
        process = run(tmp_path / "script.py", tmp_path, cache=tmp_path / "cache", **environment)
        return result_of(process)

    (tmp_path / "engine.py").write_text(ENGINE, "utf-8")
    return start


# Parts of one text but for a number, so that each has files of its own; S is a global of each alone.
PARTS = """
import json
from engine import measure
from tripletrec import part

def make(number, S):
    namespace = {"part": part, "S": S}
    exec(f"@part\\ndef scaled(x):\\n    return x * S + {number}.0", namespace)
    return namespace

"""

CHANGES_A_VALUE = """
import numba
from numba.core import event
from numba.extending import register_jitable

results = {}

between = make(1, 2.0)
results["before"] = measure(between["scaled"])
between["S"] = 7.0
results["changed"] = measure(between["scaled"])
between["S"] = 2.0
results["changed back"] = measure(between["scaled"])

earlier = make(2, 2.0)
earlier_scaled = earlier["scaled"]

@numba.njit
def users_own(x):
    return earlier_scaled(x)

users_own(3.0)
earlier["S"] = 7.0
results["compiled by another function"] = measure(earlier["scaled"])

hidden = make(3, 2.0)
hidden_scaled = hidden["scaled"]

@register_jitable
def unseen(x):
    return hidden_scaled(x)

@part
def undecidable(x):
    return unseen(x)

results["undecidable"] = measure(undecidable)
hidden["S"] = 7.0
results["hidden behind it"] = measure(hidden_scaled)

meanwhile = make(4, 2.0)

class Change(event.Listener):
    def on_start(self, event):
        meanwhile["S"] = 7.0

    def on_end(self, event):
        pass

with event.install_listener("numba:compile", Change()):
    results["while compiling"] = measure(meanwhile["scaled"])
print(json.dumps(results))
"""

STARTS_WITH_THE_NEW_VALUE = """
print(json.dumps([[measure(make(number, S)["scaled"]) for number in (1, 2, 3, 4)] for S in (7.0, 2.0)]))
"""


def test_a_value_that_changes_in_a_process_leaves_no_code_under_the_new_one(project, tmp_path):
    results = project(PARTS + CHANGES_A_VALUE)
    counts = {name: result["counts"] for name, result in results.items()}
    assert counts.pop("changed back") == [1, 0]
    assert set(map(tuple, counts.values())) == {(0, 1)}
    assert results["before"]["got"] == results["before"]["expected"]
    assert len(compiled(tmp_path / "cache")) == 1  # that of "before"
    new, old = project(PARTS + STARTS_WITH_THE_NEW_VALUE)
    assert all(each["got"] == each["expected"] for each in new + old)
    assert [each["counts"] for each in new] == [[0, 1]] * 4
    assert [each["counts"] for each in old] == [[1, 0]] + [[0, 1]] * 3


DAMAGES = """
import hashlib, pathlib, pickle, resource, shutil, sys
cache = pathlib.Path(sys.argv[0]).with_name("cache")
results = {}

def again(name):
    results[name] = measure(make(1, 2.0)["scaled"])

def with_checksum(content):
    return hashlib.sha256(content).digest() + content

again("first")
(file,) = cache.rglob("*.nbc")
whole = file.read_bytes()
flipped = bytearray(whole)
flipped[len(whole) // 2] ^= 4
for name, content in {
    "truncated": whole[:-1],
    "cut in the checksum": whole[:20],
    "empty": b"",
    "a bit flipped": bytes(flipped),
    "another pickle": pickle.dumps({"a": 1}),
    "another pickle with a checksum": with_checksum(pickle.dumps({"a": 1})),
    "a pickle that cannot be read": with_checksum(b"cno_such_module\\nno_such_name\\n."),
}.items():
    file.write_bytes(content)
    again(name)
    again(f"after {name}")
file.unlink()
file.mkdir()
again("a folder in its place")
shutil.rmtree(cache)
again("no folder")
again("after no folder")
shutil.rmtree(cache)
cache.write_text("a file where the folder was")
again("no place for a folder")
cache.unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
again("a full disk")
results["left behind"] = [each.name for each in cache.rglob("*") if each.is_file()]
print(json.dumps(results))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
def test_damaged_files_and_full_disks_cost_a_compilation_only(project):
    results = project(PARTS + DAMAGES)
    assert results.pop("left behind") == []
    for name, result in results.items():
        assert result["got"] == result["expected"], name
        assert result["counts"] == ([1, 0] if name.startswith("after") else [0, 1]), name


USES_AN_INTRINSIC = """
import json
import numpy as np
import tripletrec
from tripletrec._runtime.intrinsics import prefetch
from tripletrec._runtime.jit import kernel, part

@part
def double(x):
    return x * 2.0

@kernel
def work(numbers):
    prefetch(numbers, 0, 8)
    for t in range(numbers.shape[0]):
        numbers[t] = double(numbers[t])

numbers = np.ones(3)
work(numbers)
print(json.dumps([tripletrec.__file__, sum(numbers), sum(work.stats.cache_hits.values())]))
"""


def test_an_edit_of_what_compiles_is_seen(tmp_path):
    package = tmp_path / "tripletrec"
    (package / "_runtime").mkdir(parents=True)
    for name in ("__init__.py", "_runtime/__init__.py", *(f"_runtime/{each.name}" for each in
                 (PROJECT / "tripletrec" / "_runtime").glob("*.py"))):  # fmt: skip
        shutil.copy(PROJECT / "tripletrec" / name, package / name)
    script = tmp_path / "script.py"
    script.write_text(USES_AN_INTRINSIC, "utf-8")

    def n_hits():
        file, total, hits = result_of(run(script, tmp_path, cache=tmp_path / "cache"))
        assert Path(file).samefile(package / "__init__.py")
        assert total == 6.0
        return hits

    assert n_hits() == 0
    assert n_hits() == 1
    for name in ("jit", "kernel_cache", "intrinsics"):
        file = package / "_runtime" / f"{name}.py"
        before = file.read_text("utf-8")
        file.write_text(f"{before}\n_ANOTHER_VERSION = True\n", "utf-8")
        assert n_hits() == 0, name
        file.write_text(before, "utf-8")


# ---------------------------------------------------------------- digests, without compiling


class Pair(NamedTuple):
    a: object
    b: object


def function_of(value):
    return lambda x: (value, x)


def same(first, second):
    return digest_function(function_of(first)) == digest_function(function_of(second))


@pytest.mark.parametrize(
    "values",
    [
        [1, 1.0, True, np.float32(1), np.float64(1), np.int32(1), 1 + 0j, "1", b"1", (1,)],
        [0.0, -0.0, np.float32(0.0), np.float32(-0.0), None, False, "", ()],
        [(1, (2, 3)), ((1, 2), 3), (1, 2, 3), (1, 2, (3,)), Pair(1, (2, 3))],
        [math.nan, math.inf, -math.inf, "nan"],
        [frozenset({1, 2}), frozenset({1, 3}), (1, 2), frozenset()],
        [
            np.zeros(4),
            np.zeros(5),
            np.zeros((2, 2)),
            np.zeros(4, np.float32),
            np.zeros(4, np.int64),
        ],
        [np.eye(2), np.asfortranarray(np.eye(2)), np.eye(2).ravel()],
        [np.float32, np.float64, float, np.dtype(np.float32), numba.float32, Pair],
        [math.exp, math.log, np.exp, np.log, np.dot, len, max, operator.add, operator.sub],
        [range(3), range(4), slice(3), slice(4), slice(0, 3)],
    ],
)
def test_values_that_differ_have_digests_that_differ(values):
    for first, second in itertools.combinations(values, 2):
        assert not same(first, second), (first, second)
    for value in values:
        assert same(value, copy.copy(value))


def texts_that_differ():
    yield from (
        "def f(x): return x", "def f(y): return y", "def f(x, y=1): return x",
        "def f(x, y=2): return x", "def f(x, *, y=2): return x", "def f(x, *, y=3): return x",
        "def f(x): return x + 1", "def f(x): return x + 2", "def f(x): return x - 1",
        "def f(x): return x + 1.0", "def f(x): return x + True", "def f(x): return sum(x)",
        "def f(x): return (lambda y: y + 1)(x)", "def f(x): return (lambda y: y + 2)(x)",
        "def f(x): return a", "def f(x): return b", "def f(x): return math.exp(x)",
        "def f(x): return math.log(x)", "def f(x): return m.exp(x)",
    )  # fmt: skip


def defined(text, **namespace):
    exec(text, namespace)
    return namespace["f"]


def test_functions_that_differ_have_digests_that_differ():
    values = {"a": 1, "b": 2, "math": math, "m": np}
    digests = [digest_function(defined(text, **values)) for text in texts_that_differ()]
    assert len(set(digests)) == len(digests)


def test_names_and_places_of_functions_do_not_matter():
    first = defined("def f(x): return a + x", a=2)
    second = defined("\n\n\ndef g(x): return a + x\nf = g", a=2, b=3)
    assert digest_function(first) == digest_function(second)


def test_the_order_of_a_set_does_not_matter():
    numbers = [2**k for k in range(20)]
    assert same(frozenset(numbers), frozenset(numbers[::-1]))


class Colour(enum.Enum):
    RED = 1


class Plain:
    value = 1


class Masked(np.ndarray):
    pass


def undecided():
    @numba.njit
    def compiled(x):
        return x

    @numba.vectorize
    def vectorized(x):
        return x

    def not_a_part(x):
        return x

    yield from (compiled, vectorized, not_a_part, functools.wraps(np.sum)(not_a_part))
    yield from (functools.partial(len), Plain, Plain(), Plain().__init__, Colour, Colour.RED)
    yield from ([1], {1: 2}, {1}, bytearray(1), np.array([None]), np.zeros(2).view(Masked))
    yield from (np.ma.zeros(2), np.frompyfunc(len, 1, 1), np.vectorize(len), object(), iter([]))
    yield (1, [2])
    yield Pair(1, [2])


@pytest.mark.parametrize("value", list(undecided()), ids=lambda value: str(value)[:30])
def test_what_may_change_unseen_is_not_decided(value):
    with pytest.raises(UndecidableError):
        digest_function(function_of(value))
    module = types.ModuleType("settings")
    module.value = value
    with pytest.raises(UndecidableError):
        digest_function(defined("def f(x): return settings.value", settings=module))


def test_a_part_that_calls_itself_is_not_decided():
    namespace = {"part": part}
    exec("@part\ndef f(x): return g(x)\n@part\ndef g(x): return f(x)", namespace)
    with pytest.raises(UndecidableError, match="calls itself"):
        digest_function(namespace["f"])


def test_modules_that_name_each_other_end():
    first, second = types.ModuleType("first"), types.ModuleType("second")
    first.second, second.first, second.S = second, first, 1
    f = defined(
        "def f(x): return first.second.S + second.first.second.S", first=first, second=second
    )
    before = digest_function(f)
    assert digest_function(f) == before
    second.S = 2
    assert digest_function(f) != before


def test_a_kernel_that_is_not_kept_says_why(caplog, monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    unseen = numba.extending.register_jitable(lambda x: x + 1.0)

    @kernel
    def add(numbers):
        numbers[0] = unseen(numbers[0])

    with caplog.at_level(logging.DEBUG, "tripletrec"):
        add(np.zeros(1))
    assert "add" in caplog.text
    assert "is neither a part nor a plain value" in caplog.text
    assert compiled(tmp_path) == set()


def test_without_numba_there_is_nothing_to_cache():
    def plain(x):
        return x

    enable_cache(plain, "_Kernel")
    assert plain(3) == 3


# ---------------------------------------------------------------- parts that travel by value


def test_parts_are_reached_through_whatever_calls_them():
    @part
    def hidden(x):
        return x

    @numba.njit
    def compiled(x):
        return hidden(x)

    def not_a_part(x, more=(hidden,)):
        return compiled(x)

    assert reached_parts(lambda x: (not_a_part(x), [])) == [hidden]
    assert reached_parts(lambda x: x) == []


def test_a_part_that_arrives_unknown_to_numba_is_made_known():
    def times(x):
        return x * 3.0

    setattr(times, PART_MARK, True)  # as in a process that unpickled it

    @kernel
    def work(numbers):
        numbers[0] = times(numbers[0])

    numbers = np.ones(1)
    work(numbers)
    assert numbers[0] == 3.0


JOBS = """
import json, math, sys
import joblib
import numpy as np
import tripletrec as tr

SHARPNESS = 1.5

@tr.part
def softened(x):
    return math.exp(-SHARPNESS * x)

@tr.part
def value(x, parameters):
    return math.log1p(softened(x))

@tr.part
def slope(x, parameters):
    e = softened(x)
    return -SHARPNESS * e / (1.0 + e)

LOSS = tr.losses.Loss("mine", value, slope)

def fit(seed):
    data = tr.datasets.make_interactions(20, 15, 80, random_state=1)
    model = tr.MatrixFactorization(n_factors=2, n_epochs=2, loss=LOSS, n_jobs=1, random_state=seed)
    return model.fit(data).user_factors_.tolist()

if __name__ == "__main__":
    at_once = joblib.Parallel(n_jobs=2)(joblib.delayed(fit)(seed) for seed in range(3))
    in_turn = [fit(seed) for seed in range(3)]
    print(json.dumps([in_turn, at_once]))
"""


def test_a_loss_of_a_script_in_processes_of_joblib(tmp_path):
    pytest.importorskip("joblib")
    script = tmp_path / "script.py"
    script.write_text(JOBS, "utf-8")
    command = [sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}  # and the cache of the other tests
    process = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert process.returncode == 0, process.stderr
    in_turn, at_once = json.loads(process.stdout)
    assert in_turn == at_once
    assert in_turn[0] != in_turn[1]
