"""Parts and kernels of the whole package: compiled once, found again, never stale."""

import gc
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numba.core import event

import tripletrec
from tripletrec._runtime.digests import digest_function
from tripletrec._runtime.jit import Kernel, aligned, kernel, part

FIT = """
import gc, json, sys
import numpy as np
import tripletrec as tr

rng = np.random.default_rng(3)
data = tr.Interactions((rng.random((30, 20)) < 0.3).astype(np.float32))
model = tr.MatrixFactorization(n_factors=4, n_epochs=1, n_jobs=1).fit(data)

from numba.core.dispatcher import Dispatcher
stats = [each.stats for each in gc.get_objects() if isinstance(each, Dispatcher)]
stats = [each for each in stats if each.cache_path]  # parts are compiled into kernels
print(json.dumps({
    "file": tr.__file__,
    "loss": model.history_[0]["loss"],
    "factors": float(np.abs(model.user_factors_).sum()),
    "hits": sum(sum(each.cache_hits.values()) for each in stats),
    "misses": sum(sum(each.cache_misses.values()) for each in stats),
}))
"""


class Copy:
    """The package copied to a folder, run there in processes of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.package = folder / "tripletrec"
        self.cache = folder / "cache"
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(tripletrec.__file__).parent, self.package, ignore=skip)

    def fit(self, **environment):
        known = {**os.environ, "PYTHONPATH": str(self.folder), "NUMBA_CACHE_DIR": str(self.cache)}
        known.pop("NUMBA_DISABLE_JIT", None)
        known["NUMBA_OPT"] = "0"  # compiles in half the time
        process = subprocess.run(
            [sys.executable, "-c", FIT],
            env=known | environment,
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
        )
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""  # LLVM complains of what it does not know
        result = json.loads(process.stdout)
        assert Path(result["file"]).samefile(self.package / "__init__.py")
        return result

    def compiled(self):
        return {file.name for file in self.cache.rglob("*.nbc")}


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def numbers(result):
    return result["loss"], result["factors"]


@pytest.mark.thorough
def test_kernels_are_found_again_and_never_stale(copy):
    first = copy.fit()
    files = copy.compiled()
    assert first["misses"] == len(files) > 0

    second = copy.fit()
    assert (second["hits"], second["misses"]) == (len(files), 0)
    assert copy.compiled() == files
    assert numbers(second) == numbers(first)

    # The kernel's own file is as it was; only a part that it calls changes.
    losses = copy.package / "losses" / "triplet.py"
    before = losses.read_text("utf-8")
    start = before.index("def _bpr_slope")
    end = before.index("\n\n\n", start)
    slope = "def _bpr_slope(x, parameters):\n    return -0.25"
    losses.write_text(before[:start] + slope + before[end:], "utf-8")
    edited = copy.fit()
    assert edited["misses"] > 0
    assert numbers(edited) != numbers(first)

    losses.write_text(before, "utf-8")
    assert numbers(copy.fit()) == numbers(first)


@pytest.mark.parametrize("collecting", [True, False])
def test_compiling_leaves_the_garbage_collector_as_it_was(collecting):
    seen = []

    def work(array):
        array[0] += 1.0

    def fail(array):
        array.no_such_attribute()

    try:
        (gc.enable if collecting else gc.disable)()
        compiled, broken = kernel(work), kernel(fail)
        compiled(np.zeros(1))
        seen.append(gc.isenabled())
        with pytest.raises(Exception, match="no_such_attribute"):
            broken(np.zeros(1))
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [collecting] * 2


def test_a_part_that_a_kernel_and_another_part_call_is_compiled_once(compiled_anew):
    @part
    def inner(x):
        return x + 1.0

    @part
    def outer(x):
        return inner(x) * 2.0

    @kernel
    def work(array):
        array[0] = inner(array[0]) + outer(array[0])

    with event.install_recorder("numba:compile") as recorder:
        array = np.ones(1)
        work(array)
    assert array[0] == 6.0
    started = [each.data["dispatcher"].py_func for _, each in recorder.buffer if each.is_start]
    assert sorted(each.__name__ for each in started) == ["inner", "outer", "work"]


@pytest.mark.parametrize("noalias", [False, True])
def test_noalias_is_what_the_compiler_is_told(noalias, compiled_anew):
    def work(a, b):
        for t in range(a.shape[0]):
            a[t] = b[t]

    compiled = kernel(noalias=noalias)(work)
    a = np.zeros(3)
    compiled(a, np.arange(3.0))
    assert a.tolist() == [0, 1, 2]
    signature = compiled.signatures[0]
    defined = [line for line in compiled.inspect_llvm(signature).splitlines() if "define" in line]
    assert any("noalias" in line.split("@")[1].split("%arg")[1] for line in defined[:1]) == noalias


@pytest.mark.parametrize("exact", [False, True])
def test_exact_kernels_round_as_numpy_does(exact, compiled_anew, rng):
    @part(fused=True)
    def inner(x):
        return x * x + x

    def work(a, b):
        for t in range(a.shape[0]):
            b[t] = inner(a[t]) * a[t] + a[t]

    compiled, a = kernel(exact=exact)(work), rng.normal(size=1000).astype(np.float32)
    b, expected = np.zeros_like(a), (a * a + a) * a + a
    compiled(a, b)
    np.testing.assert_allclose(b, expected, rtol=1e-4, atol=1e-6)
    assert not exact or (b == expected).all()
    assert ("contract" in compiled.inspect_llvm(compiled.signatures[0])) != exact


@pytest.mark.parametrize("size", [1, 15, 16, 1000])
def test_aligned_begins_with_a_page(size):
    array = aligned(size)
    assert array.dtype == np.float32 and array.shape == (size,)
    assert array.ctypes.data % 4096 == 0
    assert not array.any()


def test_a_fused_part_is_compiled_within_its_kernel_and_called_as_it_is(compiled_anew):
    seven = 7.0

    @part
    def inner(x):
        return x + 1.0

    @part(fused=True)
    def fused(array):
        for t in range(array.shape[0]):
            if array[t] < 0:
                continue
            array[t] = inner(array[t]) * seven
        return array[0]

    @kernel
    def work(array, answer):
        answer[0] = fused(array)

    with event.install_recorder("numba:compile") as recorder:
        array, answer = np.array([1.0, -1.0, 2.0]), np.zeros(1)
        work(array, answer)
    started = [each.data["dispatcher"].py_func for _, each in recorder.buffer if each.is_start]
    assert sorted(each.__name__ for each in started) == ["inner", "work"]
    assert array.tolist() == [14.0, -1.0, 21.0] and answer[0] == 14.0
    plain = np.array([1.0, -1.0, 2.0])
    assert fused(plain) == 14.0 and plain.tolist() == array.tolist()


def test_the_code_of_a_fused_part_belongs_to_the_digest_of_its_kernel():
    def made(factor):
        @part(fused=True)
        def fused(x):
            return x * factor

        def work(array):
            array[0] = fused(array[0])

        return digest_function(work)

    assert made(2.0) == made(2.0)
    assert made(2.0) != made(3.0)


@pytest.mark.thorough
def test_numba_is_imported_when_a_kernel_is_first_called():
    code = """
import sys
import numpy as np
from tripletrec._runtime.jit import is_compiling, kernel, part

@part
def twice(x):
    return 2.0 * x

@kernel
def work(array):
    array[0] = twice(array[0])

assert work.__name__ == "work" and twice(1.0) == 2.0 and not is_compiling()
assert "numba" not in sys.modules
array = np.ones(1)
work(array)
assert array[0] == 2.0 and is_compiling() and "numba" in sys.modules
work.py_func(array)
assert array[0] == 4.0 and len(work.signatures) == 1

import numba
@numba.njit
def mine(x):
    return thrice(x)
@part
def thrice(x):
    return 3.0 * x
assert mine(1.0) == 3.0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_kernel_is_made_once_by_many_threads(compiled_anew):
    @kernel
    def work(array):
        array[0] += 1.0

    arrays = [np.zeros(1) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, arrays))
    assert all(each[0] == 1.0 for each in arrays)
    assert len(work.signatures) == 1


def test_a_compiled_kernel_is_still_one():
    """Its calls go to the compiled loop; it is of the same kind, and travels to other processes."""

    def double(values, doubled):
        for n in range(values.shape[0]):
            doubled[n] = 2 * values[n]

    one, other = kernel(double), kernel(double)
    values, doubled = np.arange(3.0), np.zeros(3)
    one(values, doubled)
    assert doubled.tolist() == [0.0, 2.0, 4.0]
    assert isinstance(one, Kernel) and type(other) is Kernel and one.py_func is double
    rebuilt, arguments = one.__reduce__()
    rebuilt(*arguments)(values, doubled[::-1])
    assert doubled.tolist() == [4.0, 2.0, 0.0]
