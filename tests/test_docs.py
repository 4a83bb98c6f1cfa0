"""Docstrings: all examples run, and every public name has what a reader needs."""

import ast
import doctest
import importlib.util
import inspect
import pkgutil
import re
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import tripletrec
from tiers import quick

MODULES = sorted(
    each.name for each in pkgutil.walk_packages(tripletrec.__path__, prefix="tripletrec.")
)
# Where a user's names come from. What other modules call public is so for the package alone.
DOORS = ["tripletrec"] + [
    f"tripletrec.{name}"
    for name in tripletrec.__all__
    if inspect.ismodule(getattr(tripletrec, name))
]


def documented():
    found = {}
    for door in DOORS:
        module = importlib.import_module(door)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(f"{thing.__module__}.{thing.__qualname__}", thing)
    return found


DOCUMENTED = documented()


def methods(kind):
    for name, each in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and each.__module__.startswith("tripletrec"):
            yield name, each


def has_examples(name):
    """Tell from the text of a module; that each has a docstring is a rule in `test_package`."""
    return ">>> " in Path(importlib.util.find_spec(name).origin).read_text("utf-8")


WITH_EXAMPLES = [name for name in ["tripletrec", *MODULES] if has_examples(name)]


# The example of a report draws all its figures, as the page in `test_report` does.
@pytest.mark.parametrize("name", quick(WITH_EXAMPLES, *{*WITH_EXAMPLES} - {"tripletrec.report"}))
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testmod(module, optionflags=flags)
    assert failed == 0 and tried > 0


def needs_example(thing):
    """Tells what is used by its name: not what only holds values, nor a base of others."""
    if not inspect.isclass(thing):
        return True
    is_record = is_dataclass(thing) or hasattr(thing, "_fields")
    is_base = any(thing in each.__bases__ for each in DOCUMENTED.values() if inspect.isclass(each))
    return not is_record and not is_base


def test_public_names_have_an_example():
    for name, thing in DOCUMENTED.items():
        text = inspect.getdoc(thing) or ""
        shown = "Examples\n--------\n" in text and ">>> " in text
        assert shown or not needs_example(thing), name


@pytest.mark.parametrize("name", DOCUMENTED)
def test_parameters_are_documented(name):
    thing = DOCUMENTED[name]
    check_parameters(name, thing)
    for method, function in methods(thing) if inspect.isclass(thing) else ():
        check_parameters(f"{name}.{method}", function)


def check_parameters(where, thing):
    text = inspect.getdoc(thing) or ""
    assert text, f"{where} has no docstring"
    known = {"self", "cls", "args", "kwargs"}
    for names in re.findall(r"^(\*{0,2}\w+(?:, \w+)*)(?: :|$)", text, re.MULTILINE):
        known |= set(names.strip("*").split(", "))
    missing = inspect.signature(thing).parameters.keys() - known
    assert not missing, f"{where}: the docstring has no entry for {sorted(missing)}"
    sections = re.findall(r"^(\S.*)\n-{3,}$", text, re.MULTILINE)
    assert len(sections) == len(set(sections)), f"{where}: a section stands twice"


def written_defaults(text):
    """Return the defaults that a docstring writes as literals, one for all names of an entry or for each."""
    found = {}
    for names, rest in re.findall(r"^(\w+(?:, \w+)*) : .*\bdefaults?[ =](.*)$", text, re.MULTILINE):
        names, literals = names.split(", "), re.sub(r"(?<=\d),(?=\d)", "", rest).split(" and ")
        for name, literal in zip(names, literals * (len(names) // len(literals)), strict=False):
            with suppress(ValueError, SyntaxError):
                found[name] = ast.literal_eval(literal)
    return found


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_defaults_are_those_of_the_signature(name):
    """A default of None may stand for another one that is chosen later."""
    thing = DOCUMENTED[name]
    functions = [f for _, f in methods(thing)] if inspect.isclass(thing) else []
    for each in [thing, *functions]:
        parameters = inspect.signature(each).parameters
        for parameter, default in written_defaults(inspect.getdoc(each) or "").items():
            if parameter in parameters and parameters[parameter].default is not None:
                assert parameters[parameter].default == default, (each, parameter)


def see_also(thing):
    """Return the names that a docstring points to."""
    section = re.search(
        r"^See Also\n-+\n(.*?)(?:\n\n|\Z)", inspect.getdoc(thing) or "", re.M | re.S
    )
    entries = re.findall(r"^(\S.*) : .*\.$", section[1], re.MULTILINE) if section else []
    assert not section or len(entries) == len(section[1].splitlines()), thing
    return [name for entry in entries for name in entry.split(", ")]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_see_also_points_to_is_there(name):
    """A method of the same class, a public name of the same room, or one of the package's."""
    thing = DOCUMENTED[name]
    owners = [thing, importlib.import_module(thing.__module__.rpartition(".")[0]), tripletrec]
    pointers = see_also(thing)
    for _, function in methods(thing) if inspect.isclass(thing) else ():
        pointers += see_also(function)
    for each in pointers:
        path = each.removeprefix("tripletrec.")
        assert any(reaches(owner, path) for owner in owners), each


def reaches(owner, path):
    for part in path.split("."):
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True
