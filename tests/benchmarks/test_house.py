"""What `benchmarks/house.py` counts, on a package written for it."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
PACKAGE = {
    "__init__.py": '"""A package."""\nfrom shop.door import Door\n',
    "door.py": (
        '"""The door."""\n'
        "from shop._wood import plank\n"
        "class Door:\n"
        '    """A door."""\n'
        "    def __init__(self, a, b, c, d): self.width = a\n"
        "    def open(self, a: int, *rest: int, b: int = 0) -> int:\n"
        '        """Open it."""\n'
        "        return plank(a)\n"
        "def close(): pass\n"
    ),
    "_wood/__init__.py": (
        "def plank(x):\n"
        "    import shop.door\n"
        "    @kernel(noalias=True)\n"
        "    def saw(y):\n"
        "        if y and x: return 1\n"
        "        if y or x: return 2\n"
        "    return saw\n"
    ),
}


@pytest.fixture
def house(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(FOLDER))
    import house

    for name, text in PACKAGE.items():
        file = tmp_path / "shop" / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text, "utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_package.py").write_text('FLOORS = ("_wood", "door")\n')
    return house


def test_counts(house, tmp_path):
    found = house.read(tmp_path / "shop")
    functions = {each.name: each for each in found.functions}
    assert found.file_lines == {"": 2, "door": 9, "_wood": 7}
    assert functions["open"] == ("door:6", "open", 1, 3, True, False)
    assert functions["__init__"].n_arguments == 4
    assert functions["plank"].body_lines == 6 and functions["saw"].is_compiled
    assert sorted(found.documented) == [False, False, True, True]  # close, plank; Door, open
    assert found.imports == {("", "door"), ("door", "_wood"), ("_wood", "door")}
    assert found.floors == {"_wood": 0, "door": 1}


def test_limits(house, tmp_path):
    found = house.read(tmp_path / "shop")
    limits = house.Limits(file_lines=8, arguments=2)
    assert house.long_files(found, limits) == {"door": 9}
    assert [each.name for each in house.long_signatures(found, limits)] == [
        "open"
    ]  # no constructor


def test_classes_of_one_name(house, tmp_path):
    assert house.repeated_classes(house.read(tmp_path / "shop")) == {}
    (tmp_path / "shop" / "gate.py").write_text("def gate():\n    class Door: pass\n", "utf-8")
    found = house.read(tmp_path / "shop")
    assert house.repeated_classes(found) == {"Door": ["door", "gate"]}
    pytest.importorskip("radon")
    assert "class Door is in door and in gate: each needs a name of its own" in house.check(found)


def test_row_and_check(house, tmp_path):
    pytest.importorskip("radon")
    found = house.read(tmp_path / "shop")
    cells = house.row(found)
    assert cells[:4] == ["shop", "3 (1)", "18", "7/9"]
    assert cells[-2].endswith("/5/0")  # the two ifs, `and`, `or`
    assert cells[-1] == "2 (2, 1)"
    assert house.check(found) == ["_wood imports door, which is not below it"]
    strict = house.Limits(complexity=1, kernel_complexity=4)
    (line,) = (each for each in house.check(found, strict) if "complexity" in each)
    assert line == "_wood:4 saw has complexity 5, at most 4"
