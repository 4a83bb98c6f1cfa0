"""Machine code on disk: found again by the next process, never that of something else, never needed."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.registry import cpu_target

import tripletrec
from tiers import quick
from tripletrec._runtime.digests import COMPILING
from tripletrec._runtime.jit import kernel
from tripletrec._runtime.kernel_cache import enable_cache, environment, provide_symbols
from tripletrec._runtime.marks import PART_MARK

PROJECT = Path(tripletrec.__file__).parents[1]
SCRIPTS = Path(__file__).with_name("scripts")


class Project:
    """Scripts in a folder of their own, to be run in processes of their own, and what they leave on disk."""

    def __init__(self, folder):
        self.folder, self.cache = folder / "scripts", folder / "cache"
        shutil.copytree(SCRIPTS, self.folder, ignore=shutil.ignore_patterns("__pycache__", "user"))

    def start(self, script, *arguments, package=PROJECT, **environment):
        paths = os.pathsep.join(map(str, (self.folder, package)))
        known = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(self.cache)}
        known.pop("NUMBA_DISABLE_JIT", None)
        known["NUMBA_OPT"] = "0"  # compiles in half the time
        return subprocess.Popen(
            [sys.executable, "-W", "error", self.folder / script, *arguments],
            env=known | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, script, *arguments, **options):
        return result_of(self.start(script, *arguments, **options))

    def compiled(self):
        return {file.name for file in self.cache.parent.rglob("*.nbc")}


def result_of(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == ""
    return json.loads(out)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def check(measured, counts):
    """`counts`: how often the machine code was found on disk, how often it was compiled."""
    for name, each in measured.items():
        assert each["got"] == each["expected"], name
        assert each["counts"] == counts, name


def write_user(folder, version):
    shutil.copytree(SCRIPTS / "user", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in folder.rglob("*.py"):
        file.write_text(file.read_text("utf-8").replace("2.5", version), "utf-8")


@pytest.mark.thorough
def test_two_versions_of_a_users_files(project, tmp_path):
    """At the same time at first, then again, then in one process: each gets its own code, none is stale."""
    folders = {"2": tmp_path / "first", "7": tmp_path / "second"}
    for S, folder in folders.items():
        write_user(folder, f"{S}.5")

    def both(*seeds, **more):
        started = [
            project.start(folders[S] / "script.py", S=S, PYTHONHASHSEED=seed, **more)
            for S, seed in zip(folders, seeds, strict=True)
        ]
        return [result_of(each) for each in started]

    # With one seed of hashes both give their machine code the same names of symbols.
    cold = both("0", "0")
    for result in cold:
        check(result["kept"] | result["not kept"], [0, 1])
    for kind in ("kept", "not kept"):
        for name, each in cold[0][kind].items():
            assert each["got"] != cold[1][kind][name]["got"], f"{name} shows no difference"
    files = project.compiled()
    assert len(files) == 2 * len(cold[0]["kept"])

    for result, before in zip(both("1", "2", ONLY_KEPT=""), cold, strict=True):
        check(result["kept"], [1, 0])
        assert result["digest"] == before["digest"]
    for measured in project.run("loads_both.py", *folders.values()):
        check(measured, [1, 0])
    assert project.compiled() == files


@pytest.mark.thorough
def test_a_value_that_changes_in_a_process_leaves_no_code_under_the_new_one(project):
    results = project.run("changes_a_value.py")
    counts = {name: result["counts"] for name, result in results.items()}
    assert counts.pop("changed back") == [1, 0]
    assert set(map(tuple, counts.values())) == {(0, 1)}
    assert results["before"]["got"] == results["before"]["expected"]
    assert len(project.compiled()) == 1  # that of "before"
    new, old = project.run("starts_with_the_new_value.py")
    check(dict(enumerate(new)), [0, 1])
    check(dict(enumerate(old[:1])), [1, 0])
    check(dict(enumerate(old[1:])), [0, 1])


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
def test_damaged_files_and_full_disks_cost_a_compilation_only(project):
    results = project.run("damages.py")
    assert results.pop("left behind") == []
    after = {name for name in results if name.startswith("after")}
    check({name: results[name] for name in after}, [1, 0])
    check({name: results[name] for name in results.keys() - after}, [0, 1])


def test_code_from_disk_is_read_without_what_compiles(project):
    """All that Numba can compile takes longer to load than a small fit takes."""
    compiled, found = project.run("calls_libraries.py"), project.run("calls_libraries.py")
    assert found["numbers"] == compiled["numbers"]
    assert [compiled["hits"], found["hits"]] == [0, 1]
    assert [compiled["loaded"], found["loaded"]] == [True, False]


@pytest.mark.parametrize(
    ("needed", "n_loads"), [(["sqrt", "memcpy"], 0), (["sqrt", "unheard_of"], 1)]
)
def test_a_symbol_that_is_not_known_yet_is_looked_for(needed, n_loads, monkeypatch):
    loads, context = [], cpu_target.target_context
    monkeypatch.setattr(context, "refresh", lambda: loads.append(needed))
    provide_symbols(needed, context)
    assert len(loads) == n_loads


def test_a_function_whose_file_cannot_be_looked_at():
    """The name is too long for the system, which says so as of a folder that it keeps shut."""
    exec(compile("def twice(x):\n    return 2 * x\n", "x" * 300, "exec"), space := {})
    assert kernel(space["twice"])(21) == 42


@pytest.mark.thorough
def test_nowhere_to_write(project):
    """Neither the chosen folder nor that of the kernel's file nor the user's: compiled, but not kept."""
    project.cache.write_text("a file where a folder is wanted")
    (project.folder / "__pycache__").write_text("")
    nowhere = str(project.cache / "below")
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), nowhere)
    results = project.run("nowhere.py", PYTHONDONTWRITEBYTECODE="1", **homes)
    if sys.platform == "linux":  # elsewhere the user's folder is not told by a variable alone
        check(dict(enumerate(results)), [0, 1])
    assert all(each["got"] == each["expected"] for each in results)
    assert project.compiled() == set()


@pytest.mark.parametrize("named", quick(["cache", ""], "cache"))
def test_a_folder_that_can_only_be_read_is_read(named, project):
    """That of the variable, and the one beside the file: both may be of the image of a container."""
    named = str(project.cache) if named else ""
    compiled, found = project.run("nowhere.py", NUMBA_CACHE_DIR=named)
    check({"compiled": compiled}, [0, 1])
    check({"found": found}, [1, 0])
    files = project.compiled()
    results = project.run("nowhere.py", NUMBA_CACHE_DIR=named, READ_ONLY="1")
    check(dict(enumerate(results)), [1, 0])
    assert project.compiled() == files


@pytest.mark.thorough
def test_an_edit_of_what_compiles_is_seen(project, tmp_path):
    package = tmp_path / "tripletrec"
    (package / "_runtime").mkdir(parents=True)
    for file in ("__init__.py", *(PROJECT / "tripletrec" / "_runtime").glob("*.py")):
        file = PROJECT / "tripletrec" / file
        shutil.copy(file, package / file.relative_to(PROJECT / "tripletrec"))

    def n_hits():
        file, total, hits = project.run("uses_an_intrinsic.py", package=tmp_path)
        assert Path(file).samefile(package / "__init__.py")
        assert total == 6.0
        return hits

    assert n_hits() == 0
    assert n_hits() == 1
    with open(package / "_runtime" / "jit.py", "a", encoding="utf-8") as file:
        file.write("\n_ANOTHER_VERSION = True\n")
    assert n_hits() == 0


def test_each_module_that_compiles_belongs_to_the_environment(tmp_path):
    folder = tmp_path / "_runtime"
    shutil.copytree(PROJECT / "tripletrec" / "_runtime", folder)
    digests = {environment(folder)}
    assert environment(folder) in digests
    for name in COMPILING:
        with open(folder / f"{name}.py", "a", encoding="utf-8") as file:
            file.write(" ")
        digests.add(environment(folder))
    assert len(digests) == 1 + len(COMPILING)
    (folder / "jit.py").unlink()
    assert environment(folder) is None


@pytest.mark.thorough
def test_a_loss_of_a_script_in_processes_of_joblib():
    pytest.importorskip("joblib")
    # With the folder of the other tests, where most of the kernels are by now.
    command = [sys.executable, SCRIPTS / "fits_in_joblib.py"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert process.returncode == 0, process.stderr
    in_turn, at_once = json.loads(process.stdout)
    assert in_turn == at_once
    assert in_turn[0] != in_turn[1]


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
    assert list(tmp_path.rglob("*.nbc")) == []


def test_without_numba_there_is_nothing_to_cache():
    def plain(x):
        return x

    enable_cache(plain, "_Kernel")
    assert plain(3) == 3
