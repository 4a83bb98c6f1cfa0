"""The pages under docs/: their Python and shell blocks run, page by page, and all public names are listed.

The blocks of a page run in order, in one namespace and one folder that is empty at first. Of a ``bash`` block
those lines run that call ``tripletrec``, but of the README the Python blocks alone. A block with ``needs=``
behind its language is for those who have installed that.
"""

import contextlib
import importlib.util
import inspect
import io
import re
import shlex
from pathlib import Path

import pytest

import tripletrec as tr
from pages import blocks_of, check_printed, expected
from tripletrec.cli import main

DOCS = Path(__file__).resolve().parent.parent / "docs"
README = DOCS.parent / "README.md"
LANGUAGES = ("python", "bash")
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if any(block.runs for block in blocks_of(page.read_text("utf-8"), LANGUAGES))
]
# It trains on MovieLens-100K, as `tripletrec reproduce` does.
HEAVY = {"why-the-loss-never-went-down.md"}


def commands(script):
    """The lines of a shell block that call ``tripletrec``, with what is continued and without comments."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["tripletrec"] and "|" not in words:
            yield words[1:]


def is_there(needs):
    """Whether what a block needs is installed."""
    what = needs.removeprefix("needs=")
    return what == "" or importlib.util.find_spec(what) is not None


def run(block, names, page):
    """Return what a block prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if block.language == "bash":
            for words in commands(block.content):
                assert main(words) == 0, (
                    f"{page}, line {block.line}: tripletrec {shlex.join(words)}"
                )
        else:
            source = "\n" * block.line + block.content
            exec(compile(source, page, "exec", dont_inherit=True), names)
    return out.getvalue()


@pytest.mark.parametrize(
    "page",
    [README, *(page for page in PAGES if page.name not in HEAVY)],
    ids=lambda page: page.stem,
)
def test_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    languages = LANGUAGES[:1] if page == README else LANGUAGES
    for block, wanted in expected(blocks_of(page.read_text("utf-8"), languages)):
        if is_there(block.info):
            got = run(block, names, str(page))
            check_printed(got, wanted, f"{page}, line {block.line}")


def listed():
    """The names on the page of the reference, with their modules."""
    module = ""
    for line in (DOCS / "api" / "index.md").read_text("utf-8").splitlines():
        if found := re.fullmatch(r"\.\. currentmodule:: ([\w.]+)", line):
            module = found[1]
        elif found := re.fullmatch(r"   (\w+)", line):
            yield f"{module}.{found[1]}"


def test_the_reference_lists_all_public_names():
    rooms = [name for name in tr.__all__ if inspect.ismodule(getattr(tr, name))]
    public = {f"tripletrec.{name}" for name in tr.__all__ if name not in [*rooms, "__version__"]}
    for room in rooms:
        module = importlib.import_module(f"tripletrec.{room}")
        at_the_top = {n for n in module.__all__ if getattr(tr, n, None) is getattr(module, n)}
        own = {*module.__all__} - at_the_top
        public |= {f"tripletrec.{room}.{name}" for name in own}
    names = list(listed())
    assert len(set(names)) == len(names)
    assert set(names) == public


def test_every_page_is_in_a_table_of_contents():
    linked = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for tree in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            linked |= {(page.parent / f"{each}.md").resolve() for each in entries}
    pages = {page for page in DOCS.rglob("*.md") if "generated" not in page.parts}
    assert linked == pages


def test_commands_of_a_block():
    script = "pip install x\ntripletrec fit a.csv \\\n  -o 'b c'  # to a file\ntripletrec info b | head\n"
    assert list(commands(script)) == [["fit", "a.csv", "-o", "b c"]]


def test_code_fits_its_column():
    """That of the site on a screen of 1,280 pixels; what is longer would have to be scrolled."""
    for page in DOCS.rglob("*.md"):
        for block in blocks_of(page.read_text("utf-8")):
            if block.language in ("python", "bash"):
                long = [line for line in block.content.splitlines() if len(line) > 88]
                assert long == [], f"{page.name}, line {block.line}"
