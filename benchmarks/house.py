"""How large, how complex and how entangled the code is; no time is measured.

    python benchmarks/house.py             # a row of a markdown table about tripletrec
    python benchmarks/house.py FOLDER      # the same about the package in another folder
    python benchmarks/house.py --check     # what is beyond the limits of CONTRIBUTING.md: exit code 1

The package is read and never imported. Complexity needs radon (`pip install '.[lint]'`). The columns:

files (private)
    Modules of the package, and how many of their names begin with an underscore (`__init__` does not count).
function
    Lines of the body without the docstring; methods and nested functions count as functions.
arguments
    All that a signature names, `*args` and `**kwargs` too, but not `self` and `cls`.
public docs
    Share of the public functions, classes and methods that have a docstring; public is a name at the top
    of a module, or in a public class, that does not begin with an underscore.
annotated
    Share of the functions whose arguments and result all have a type.
complexity
    McCabe's, as radon counts it; a nested function counts for itself, not for the one around it.
imports
    Pairs of modules in different rooms of which one imports the other, anywhere in its file. A room is a
    folder, or a file beside the folders. Arrows: the same as pairs of rooms. Up: imports that do not lead
    to a lower floor of `FLOORS` in tests/test_package.py. The package's own `__init__` is left out.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "LIMITS", "Function", "House", "Limits", "check", "long_files", "long_signatures", "read",
    "repeated_classes", "row",
]  # fmt: skip

ROOT = Path(__file__).parents[1]
HEADER = (
    "", "files (private)", "lines", "file median/max", "function median/p90/max", "most args",
    ">10 args, no constructor", "public docs", "annotated", "complexity p90/max/n>10",
    "imports between rooms (arrows, up)",
)  # fmt: skip
CONSTRUCTORS = ("__init__", "__new__")


class Limits(NamedTuple):
    """The most that is allowed."""

    file_lines: int = 450
    arguments: int = 12  # of what is no constructor
    complexity: int = 12
    kernel_complexity: int = 15  # of kernels and parts


LIMITS = Limits()


class Function(NamedTuple):
    """A function of the package; `where` is "module:line", `is_compiled` that it is a kernel or a part."""

    where: str
    name: str
    body_lines: int
    n_arguments: int
    is_annotated: bool
    is_compiled: bool


class House(NamedTuple):
    """What was read from the sources of one package."""

    name: str
    files: dict[str, Path]  # by dotted name within the package; "" is its __init__
    file_lines: dict[str, int]
    functions: list[Function]
    documented: list[bool]  # of public names
    imports: set[tuple[str, str]]  # modules: importer, imported
    floors: dict[str, int]  # of rooms, 0 the lowest; empty where no test names them
    trees: dict[str, ast.Module]  # by dotted name, as `files`
    nodes: dict[str, list[ast.AST]]  # all those of each tree


def read(package: Path) -> House:
    """Return what there is to count in the folder of a package."""
    files = {_module_name(file, package): file for file in sorted(package.rglob("*.py"))}
    texts = {name: file.read_text("utf-8") for name, file in files.items()}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    nodes = {name: list(ast.walk(tree)) for name, tree in trees.items()}
    return House(
        package.name,
        files,
        {name: len(text.splitlines()) for name, text in texts.items()},
        [each for name, inside in nodes.items() for each in _functions(name, inside)],
        [ast.get_docstring(node) is not None for tree in trees.values() for node in _public(tree)],
        {
            (name, target)
            for name, inside in nodes.items()
            for target in _imports(inside, package.name, files)
        },
        _floors(package.parent / "tests" / "test_package.py"),
        trees,
        nodes,
    )


def _module_name(file: Path, package: Path) -> str:
    parts = file.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _functions(module: str, nodes: list[ast.AST]) -> Iterator[Function]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            decorators = {ast.unparse(each).partition("(")[0] for each in node.decorator_list}
            named = [
                each
                for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                if each.arg not in ("self", "cls")
            ]
            yield Function(
                f"{module or '__init__'}:{node.lineno}",
                node.name,
                (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0,
                len(named) + (node.args.vararg is not None) + (node.args.kwarg is not None),
                node.returns is not None and all(each.annotation for each in named),
                bool(decorators & {"part", "kernel"}),
            )


def _public(tree: ast.Module) -> Iterator[ast.AST]:
    def named(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield node

    for node in named(tree.body):
        yield node
        if isinstance(node, ast.ClassDef):
            yield from (each for each in named(node.body) if isinstance(each, ast.FunctionDef))


def _imports(nodes: list[ast.AST], package: str, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the package's modules that a file imports, by their dotted names within the package."""
    for node in nodes:
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            root, _, name = target.partition(".")
            if root == package:
                yield name if name in modules else name.rpartition(".")[0]


def _floors(test: Path) -> dict[str, int]:
    """Return the floors that a test of the house names: the value of FLOORS, read and not run."""
    if not test.is_file():
        return {}
    for node in ast.parse(test.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            floors = enumerate(ast.literal_eval(node.value))
            return {room: floor for floor, rooms in floors for room in rooms.split()}
    return {}


def _between_rooms(house: House) -> list[tuple[str, str]]:
    return [
        (importer, target)
        for importer, target in sorted(house.imports)
        if importer and _room(importer) != _room(target)
    ]


def _room(module: str) -> str:
    return module.partition(".")[0]


def _upwards(house: House) -> list[tuple[str, str]]:
    floors = house.floors
    return [
        (importer, target)
        for importer, target in _between_rooms(house)
        if floors and floors.get(_room(importer), -1) <= floors.get(_room(target), len(floors))
    ]


def _complexities(house: House) -> dict[str, int]:
    """Return the complexity of every function, by "module:line"."""
    from radon.complexity import cc_visit
    from radon.visitors import Class

    found: dict[str, int] = {}

    def add(module: str, block: object) -> None:
        if isinstance(block, Class):
            inner = [*block.methods, *block.inner_classes]
        else:
            found[f"{module or '__init__'}:{block.lineno}"] = block.complexity
            inner = block.closures
        for each in inner:
            add(module, each)

    for module, file in house.files.items():
        for block in cc_visit(file.read_text("utf-8")):
            add(module, block)
    return found


def row(house: House) -> list[str]:
    """Return the cells of a package's row in the table."""
    private = sum(name.rpartition(".")[2].startswith("_") for name in house.files)
    bodies = [each.body_lines for each in house.functions]
    arguments = [each.n_arguments for each in house.functions]
    many = sum(each.n_arguments > 10 for each in house.functions if each.name not in CONSTRUCTORS)
    complexity = list(_complexities(house).values())
    between = _between_rooms(house)
    arrows = {(_room(importer), _room(target)) for importer, target in between}
    up = len(_upwards(house)) if house.floors else "?"
    return [
        house.name,
        f"{len(house.files)} ({private})",
        f"{sum(house.file_lines.values()):,}",
        f"{statistics.median(house.file_lines.values()):.0f}/{max(house.file_lines.values())}",
        f"{statistics.median(bodies):.0f}/{_p90(bodies):.0f}/{max(bodies)}",
        f"{max(arguments)}",
        f"{many}",
        f"{statistics.fmean(house.documented):.0%}",
        f"{statistics.fmean(each.is_annotated for each in house.functions):.0%}",
        f"{_p90(complexity):.0f}/{max(complexity)}/{sum(each > 10 for each in complexity)}",
        f"{len(between)} ({len(arrows)}, {up})",
    ]


def _p90(values: list[int]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


def check(house: House, limits: Limits = LIMITS) -> list[str]:
    """Return a line for everything that is beyond its limit, leads upwards or has the name of another."""
    return [
        *(
            f"{name or '__init__'} has {n} lines, at most {limits.file_lines}"
            for name, n in long_files(house, limits).items()
        ),
        *(
            f"{each.where} {each.name} takes {each.n_arguments} arguments, at most {limits.arguments}"
            for each in long_signatures(house, limits)
        ),
        *_complex_functions(house, limits),
        *(
            f"class {name} is in {' and in '.join(modules)}: each needs a name of its own"
            for name, modules in repeated_classes(house).items()
        ),
        *(f"{a} imports {b}, which is not below it" for a, b in _upwards(house)),
    ]


def long_files(house: House, limits: Limits = LIMITS) -> dict[str, int]:
    """Return the modules that are too long, and their lines."""
    return {name: n for name, n in house.file_lines.items() if n > limits.file_lines}


def long_signatures(house: House, limits: Limits = LIMITS) -> list[Function]:
    """Return the functions, constructors apart, that take too many arguments."""
    return [
        each
        for each in house.functions
        if each.n_arguments > limits.arguments and each.name not in CONSTRUCTORS
    ]


def repeated_classes(house: House) -> dict[str, list[str]]:
    """Return the names that several classes have, and the modules of these."""
    modules: dict[str, list[str]] = {}
    for module, nodes in house.nodes.items():
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                modules.setdefault(node.name, []).append(module or "__init__")
    return {name: found for name, found in modules.items() if len(found) > 1}


def _complex_functions(house: House, limits: Limits) -> list[str]:
    complexities = _complexities(house)
    lines = []
    for each in house.functions:
        most = limits.kernel_complexity if each.is_compiled else limits.complexity
        if complexities[each.where] > most:
            lines.append(
                f"{each.where} {each.name} has complexity {complexities[each.where]}, at most {most}"
            )
    return lines


def main() -> None:
    """Print the row of a package, or what is beyond the limits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", nargs="?", type=Path, default=ROOT / "tripletrec")
    parser.add_argument("--check", action="store_true", help="only say what is beyond the limits")
    options = parser.parse_args()
    if not any(options.package.rglob("*.py")):
        parser.error(f"no Python files in {options.package}")
    try:
        import radon  # noqa: F401
    except ImportError:
        parser.error("complexity is counted by radon: pip install '.[lint]'")
    house = read(options.package)
    if options.check:
        complaints = check(house)
        print(*complaints, sep="\n", end="\n" * bool(complaints))
        sys.exit(bool(complaints))
    from peer_tables import markdown

    print(*markdown(HEADER, [row(house)]), sep="\n")


if __name__ == "__main__":
    main()
