"""The rules of the house: what may import what, what a file may hold, and what is loaded when."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tripletrec
from tripletrec.ranking.plain import is_fused

PACKAGE = Path(tripletrec.__file__).parent
PROJECT = PACKAGE.parent
TESTS = Path(__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Lowest first. A room, which is a folder or a file at the top, imports from floors below its own.
FLOORS = (
    "_runtime",
    "_checks",
    "data losses scorers optimizers rates sampling",
    "training ranking splits datasets _drawing",
    "neural evaluation",
    "models",
    "cluster reference tuning",
    "plots",
    "report",
    "cli",
    "__main__",
)
FLOOR = {unit: floor for floor, units in enumerate(FLOORS) for unit in units.split()}

# Tests of the package as a whole, of its pages, and of all the commands in benchmarks/.
OF_NO_MODULE = {
    "test_package.py", "test_docs.py", "test_examples.py", "test_pages.py", "test_readme.py",
    "test_types.py", "benchmarks/test_commands.py",
}  # fmt: skip
OF_THE_WHOLE = {"hostile", "scikit_learn"}  # folders


def name_of(file):
    """Dotted name of a module, without the package's own: "", "losses", "neural.embedding"."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in FILES}


@pytest.fixture(scope="module")
def house():
    """Return `benchmarks/house.py`, which reads the sources and also checks complexity, given radon."""
    spec = importlib.util.spec_from_file_location("house", PROJECT / "benchmarks" / "house.py")
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    return house


@pytest.fixture(scope="module")
def counted(house):
    return house.read(PACKAGE)


@pytest.fixture(scope="module")
def trees(counted):
    assert counted.files == MODULES
    return counted.trees


WANTED = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assert, ast.Call)


@pytest.fixture(scope="module")
def found(counted):
    """The nodes that rules are about, each with "module:line"."""
    assert counted.files == MODULES
    return [
        (f"{name or '__init__'}:{node.lineno}", node)
        for name, nodes in counted.nodes.items()
        for node in nodes
        if isinstance(node, WANTED)
    ]


def nodes(found, *kinds):
    """All nodes of some kinds, each with "module:line"."""
    assert {*kinds} <= {*WANTED}
    return ((where, node) for where, node in found if isinstance(node, kinds))


def imported(found):
    """All imports, wherever they stand: ("module:line", dotted name)."""
    for where, node in nodes(found, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from ((where, alias.name) for alias in node.names)
            continue
        assert not node.level, f"{where} imports relatively: spell the module out"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield where, whole if whole.removeprefix("tripletrec.") in MODULES else node.module


def own_imports(found):
    for where, target in imported(found):
        importer = where.split(":")[0]
        if target.split(".")[0] == "tripletrec" and importer != "__init__":
            yield where, importer, target.partition(".")[2]


def test_every_module_has_a_floor():
    units = {name.split(".")[0] for name in MODULES} - {""}
    assert units <= set(FLOOR), "give each module its place in FLOORS"


def test_contributors_read_of_every_room():
    text = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE))
    assert len(rows) == len(FLOORS)
    for number, rooms in enumerate(FLOORS, 1):
        named = set(re.findall(r"`(\w+)/?`", rows[str(number)]))
        assert named == set(rooms.split()), f"CONTRIBUTING.md, floor {number}"


def test_imports_go_down_only(found):
    for where, importer, target in own_imports(found):
        assert target, f"{where} imports the package itself: name the module"
        unit, below = importer.split(".")[0], target.split(".")[0]
        high, low = FLOOR.get(unit, len(FLOORS)), FLOOR.get(below, -1)
        assert unit == below or low < high, f"{where} imports {target}"


def test_no_circle_within_a_subpackage(found):
    below = {}
    for _, importer, target in own_imports(found):
        if importer.split(".")[0] == target.split(".")[0]:
            below.setdefault(importer, set()).add(target)

    def visit(name, path):
        assert name not in path, f"imports go round: {' -> '.join([*path, name])}"
        for target in below.get(name, ()):
            visit(target, [*path, name])

    for name in below:
        visit(name, [])


COMPILING = {f"_runtime.{name}" for name in ("compiler", "digests", "kernel_cache", "overloads")}


def test_few_modules_import_numba(found):
    for where, target in imported(found):
        if target.split(".")[0] in ("numba", "llvmlite"):
            assert where.split(":")[0] in COMPILING, where


def test_all_functions_are_annotated_but_those_that_numba_types(found):
    """Of a part, a kernel and what Numba compiles for them the types are those of the arguments."""
    for where, node in nodes(found, ast.FunctionDef):
        decorators = {ast.unparse(each).split("(")[0] for each in node.decorator_list}
        if where.startswith("_runtime.overloads:") or decorators & {"part", "kernel"}:
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += filter(None, (node.args.vararg, node.args.kwarg))
        named = [each for each in arguments if each.arg not in ("self", "cls")]
        bare = [each.arg for each in named if each.annotation is None]
        assert not bare, f"{where} {node.name}: {', '.join(bare)} without a type"
        assert node.returns is not None, f"{where} {node.name}: no type of the result"


def test_models_return_their_own_kind(trees):
    """A method's type is Self, and not the class that it is written in, which a subclass is not."""
    in_models = [tree.body for name, tree in trees.items() if name.startswith("models.")]
    for kind in (each for body in in_models for each in body if isinstance(each, ast.ClassDef)):
        methods = [each for each in kind.body if isinstance(each, ast.FunctionDef)]
        if "fit" in (each.name for each in methods):
            returned = {each.name: ast.unparse(each.returns) for each in methods}
            assert kind.name not in returned.values(), f"{kind.name}: {returned}"
            assert returned["fit"] == "Self"


def test_no_assert(found):
    assert [where for where, _ in nodes(found, ast.Assert)] == []


def test_no_print_but_in_the_command_and_when_asked_for(found):
    calls = {
        where.split(":")[0]
        for where, node in nodes(found, ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    others = {each for each in calls if each.split(".")[0] != "cli"}
    assert others <= {"datasets.movielens"}  # verbose=True


def test_no_global_state(found):
    for where, node in nodes(found, ast.Call):
        called = ast.unparse(node.func)
        assert called not in ("np.random.seed", "np.seterr", "random.seed"), where
        if where.startswith("cli."):  # a process of its own
            continue
        assert not called.startswith("warnings.") or called == "warnings.warn", where


def test_public_modules_say_what_is_public(trees):
    for name, tree in trees.items():
        if any(part.startswith("_") for part in name.split(".")):
            continue
        targets = [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in getattr(node, "targets", [getattr(node, "target", None)])
            if isinstance(target, ast.Name)
        ]
        assert "__all__" in targets, f"{name or '__init__'} has no __all__"
        module = importlib.import_module(f"tripletrec.{name}".rstrip("."))
        missing = [each for each in module.__all__ if not hasattr(module, each)]
        assert missing == [], name


def test_no_path_of_a_machine():
    path = r"""["'(\s](/(root|home|Users|tmp|work)/|[A-Z]:\\)"""
    found = [str(file) for file in FILES if re.search(path, file.read_text("utf-8"))]
    assert found == []


def test_no_bin_of_everything():
    names = {file.stem for file in FILES}
    assert not names & {"utils", "helpers", "core", "common", "misc"}


def test_nothing_is_too_long(house, counted):
    many_arguments = {
        f"{each.where.partition(':')[0]}:{each.name}": each.n_arguments
        for each in house.long_signatures(counted)
    }
    assert not many_arguments, many_arguments
    long = house.long_files(counted)
    assert not long, long


def test_no_two_classes_have_one_name(house, counted):
    assert house.repeated_classes(counted) == {}


def test_first_line_of_a_module_is_a_sentence(trees):
    scripts = {
        f"benchmarks.{file.stem}": ast.parse(file.read_text("utf-8"))
        for file in (PROJECT / "benchmarks").rglob("*.py")
    }
    for name, tree in (trees | scripts).items():
        first, *rest = (ast.get_docstring(tree) or "").split("\n")
        assert first.endswith(".") and not any(rest[:1]), f"{name or '__init__'}: {first!r}"


def test_tables_of_modules_are_complete(trees):
    tables = 0
    for name, tree in trees.items():
        rows = re.findall(r"^``(\w+)`` ", ast.get_docstring(tree) or "", re.MULTILINE)
        if "module  " in (ast.get_docstring(tree) or ""):
            folder = PACKAGE / name.replace(".", "/")
            files = {each.stem for each in folder.glob("*.py")} - {"__init__"}
            assert sorted(rows) == sorted(files), name
            tables += 1
    assert tables


def modules_of(file):
    """Where the module should be that a test file is named after."""
    folder = file.parent.relative_to(TESTS)
    names = (file.stem.removeprefix("test"), file.stem.removeprefix("test_"))  # _sources, movielens
    if folder.parts[:1] == ("benchmarks",):
        return [PROJECT / folder / f"{name}.py" for name in names]
    return [PACKAGE / folder / f"{name}.py" for name in names]


def test_tests_lie_where_what_they_test_does():
    files = {file.relative_to(TESTS).as_posix(): file for file in TESTS.rglob("test_*.py")}
    found = {
        name
        for name, file in files.items()
        if not any(each.is_file() for each in modules_of(file))
        and name.split("/")[0] not in OF_THE_WHOLE
    }
    assert found <= OF_NO_MODULE, "name a test file after the module it tests"


def private_patches(tree):
    """Yield the lines of a test that set a name with an underscore, of a module or of an object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = [each for each in node.targets if isinstance(each, ast.Attribute)]
            targets = [each for each in targets if ast.unparse(each.value) not in ("self", "cls")]
        elif isinstance(node, ast.Call) and called(node) in (
            "setattr",
            "delattr",
            "patch",
            "object",
        ):
            targets = node.args[:2]
        else:
            continue
        if any(is_private(each) for each in targets):
            yield node.lineno


def called(call):
    """Return the last word of what is called: "object" of ``mock.patch.object(...)``."""
    return getattr(call.func, "attr", getattr(call.func, "id", None))


def is_private(target):
    """Tell whether an attribute with an underscore is named; what it belongs to may be named anyhow."""
    if isinstance(target, ast.Constant):
        words = str(target.value).replace("._runtime.", ".").split(".")
    else:
        words = ast.unparse(target).split(".")[1:]
    return any(re.match("_[^_]", word) for word in words)


def test_no_test_patches_private_names():
    """What a test has to set is a parameter: so it runs what users run."""
    texts = {file: file.read_text("utf-8") for file in sorted(TESTS.rglob("*.py"))}
    found = {
        file.relative_to(TESTS).as_posix(): lines
        for file, text in texts.items()
        if re.search(r"(setattr|delattr|patch|object)\(|\._[\w.]+ =", text)
        and (lines := list(private_patches(ast.parse(text))))
    }
    assert not found, found


@pytest.mark.parametrize(
    "line, is_private",
    [
        ("monkeypatch.setattr(module, '_LIMIT', 1)", True),
        ("monkeypatch.setattr('tripletrec.ranking.scores._LIMIT', 1)", True),
        ("monkeypatch.setattr(loop._Course, 'run', None)", True),
        ("mock.patch('tripletrec.cli._parser')", True),
        ("training._learn = None", True),
        ("monkeypatch.setattr('tripletrec._runtime.threads.Aside', None)", False),
        ("monkeypatch.setattr(_sources, 'ARCHIVE_URL', '_')", False),
        ("mock.patch.object(Training, 'run_epoch')", False),
        ("training.learn = _nothing", False),
    ],
)
def test_private_patches_are_found(line, is_private):
    assert bool(list(private_patches(ast.parse(line)))) == is_private


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8"
    ).stdout.split()


def test_import_is_light():
    heavy = {"numba", "pandas", "scipy", "sklearn", "matplotlib", "tqdm", "numpy"}
    code = "import tripletrec as tr, sys; print(*sys.modules, '|'); tr.cluster.fit; print(*sys.modules)"
    modules = run(code)
    assert not heavy & set(modules[: modules.index("|")])
    assert not {"dask", "distributed", "fsspec", "pyarrow"} & set(modules)


def test_first_fit_is_light():
    """Nor does it need what takes longer to import than to fit; as plain Python, to compile nothing."""
    code = """
import os, sys
os.environ["NUMBA_DISABLE_JIT"] = "1"
os.environ["NPY_PROMOTION_STATE"] = "weak"  # NumPy 1 then adds as compiled code and NumPy 2 do
import tripletrec as tr
data = tr.datasets.make_interactions(20, 20, 50, random_state=0)
model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(data)
model.predict(0, 1), model.get_params(), repr(model), tr.TwoTower, tr.MLPMatcher
tr.Popularity().fit(data).recommend(3)
print(*sys.modules)
"""
    assert not {"pandas", "sklearn", "scipy.stats", "matplotlib", "tqdm"} & set(run(code))


LIGHT = """
import sys
import tripletrec as tr
def answers_of(model):
    for each in (3, 9):
        yield model.recommend(each)
        yield model.similar_items(each, k=5)
        yield model.recommend(each, k=3, candidates=[1, 5, 7, 8])
        yield (model.predict(each, [1, 2, 8]),)
answers = {}
for path in sys.argv[1:]:
    model = tr.load(path, mmap=True)
    print(path, "loaded", "|".join(sys.modules))
    answers[path] = list(answers_of(model))
    print(path, "answered", "|".join(sys.modules))
from tripletrec._runtime import compiler
for path, mine in answers.items():
    for some, others in zip(mine, answers_of(tr.load(path)), strict=True):
        assert [each.tobytes() for each in some] == [each.tobytes() for each in others], path
"""


@pytest.mark.skipif(not is_fused(), reason="where kernels round twice, they are used at once")
def test_first_answer_is_light_and_that_of_the_kernels(tmp_path):
    """Neither to load a model nor to answer once needs what takes longer to import than to answer."""
    data = tripletrec.datasets.make_interactions(30, 20, 200, random_state=0)
    features = {"kind": ["a", "b"] * 10, "price": list(range(20))}
    towers = tripletrec.TwoTower(n_factors=9, item_layers=(9,), n_epochs=1, loss="softmax")
    models = {
        scorer: tripletrec.MatrixFactorization(n_factors=9, n_epochs=1, scorer=scorer).fit(data)
        for scorer in ("dot", "cosine")
    }
    models |= {
        "towers": towers.fit(data, item_features=features),
        "ease": tripletrec.EASE().fit(data),
    }
    paths = [str(tmp_path / name) for name in models]
    for model, path in zip(models.values(), paths, strict=True):
        model.save(path)
    process = subprocess.run(
        [sys.executable, "-c", LIGHT, *paths], check=True, capture_output=True, encoding="utf-8"
    )
    lines = process.stdout.splitlines()
    heavy = {"numba", "llvmlite", "scipy", "pandas", "sklearn", "safetensors", "threadpoolctl"}
    heavy |= {"concurrent.futures", "hashlib", "tempfile", "numpy.ma"}
    heavy -= set(run("import sys, numpy; print(*sys.modules)"))  # NumPy 1 needs some of them itself
    assert len(lines) == 2 * len(models)
    for line in lines:
        path, done, names = line.split(" ")
        assert not heavy & set(names.split("|")), f"{path} {done}"


def test_help_of_the_command_is_light():
    code = "import sys, tripletrec.cli.command as c; c.build_parser(); print(*sys.modules)"
    heavy = {"numba", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "tqdm"}
    assert not heavy & set(run(code))


def test_names_are_loaded_when_used():
    assert dir(tripletrec) == sorted(tripletrec.__all__)
    for name in tripletrec.__all__:
        assert getattr(tripletrec, name) is getattr(tripletrec, name)
    with pytest.raises(AttributeError, match="no attribute 'MatrixFactorisation'"):
        tripletrec.MatrixFactorisation  # noqa: B018
    namespace = {}
    exec("from tripletrec import *", namespace)
    assert set(tripletrec.__all__) <= set(namespace)


def test_version():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert tripletrec.__version__ == project["version"]
    changelog = (PROJECT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{tripletrec.__version__}]" in changelog
    citation = (PROJECT / "CITATION.cff").read_text("utf-8").splitlines()
    assert f"version: {tripletrec.__version__}" in citation


def test_the_lowest_versions_tested_are_the_lowest_promised():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = project["dependencies"] + project["optional-dependencies"]["test"]
    # Without extras, which pip refuses in a file of constraints.
    floors = dict(re.sub(r"\[.*\]", "", each).split(">=") for each in promised)
    lines = (PROJECT / ".github" / "lowest.txt").read_text("utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert set(tested) == set(floors)
    for name, floor in floors.items():
        assert f"{tested[name]}.".startswith(f"{floor}."), name


def test_pure_python_and_typed():
    files = {file.name for file in PACKAGE.rglob("*") if "__pycache__" not in file.parts}
    odd = {name for name in files if "." in name and not name.endswith(".py")}
    assert odd == {"py.typed"}
