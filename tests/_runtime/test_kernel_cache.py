"""Machine code on disk: found again by the next process, never that of something else, never needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import tripletrec

PROJECT = Path(tripletrec.__file__).parents[1]

# What users' parts are called by; its file decides the folder of the machine code, as the package's files do.
ENGINE = """
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

class Weights(NamedTuple):
    a: float
    b: float
"""

# All that is here differs from one version of the files to another: in text, or by a value read elsewhere.
USER = """
import json, math, os, sys
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
        "not kept": {each.__name__: measure(each, value) for each, value in NOT_KEPT.items()},
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

    def both(*seeds):
        started = [
            run(scripts[S], engine, folders[S], cache=cache, S=S, PYTHONHASHSEED=seed)
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

    for result, before in zip(both("1", "2"), cold, strict=True):
        check(result["kept"], [1, 0])
        check(result["not kept"], [0, 1])
        assert result["digest"] == before["digest"]
    assert compiled(cache) == files

    script = tmp_path / "both.py"
    script.write_text(LOADS_BOTH, "utf-8")
    for measured in result_of(run(script, *folders.values(), engine, cache=cache, S="")):
        check(measured, [1, 0])
    assert compiled(cache) == files
