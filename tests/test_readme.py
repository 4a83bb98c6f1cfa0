"""The README tells the truth: its Python blocks run in order and print what stands below them.

How blocks are read is in `pages`. All pages name files that exist.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pages import FENCE, blocks_of, check_printed, expected

PROJECT = Path(__file__).parent.parent
README = PROJECT / "README.md"
PAGES = [README, PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
MARK = "\x1e"  # between the outputs of blocks


def script_of(blocks):
    """All blocks that run, each on its own lines of the README, so that a traceback names them."""
    lines = []
    for block in blocks:
        if block.runs:
            lines += [""] * (block.line - 1 - len(lines))
            lines += [f"print({MARK!r}, end='')", *block.content.splitlines()]
    return "\n".join(lines) + "\n"


def check(text, folder):
    blocks = blocks_of(text)
    script = folder / "readme.py"
    script.write_text(script_of(blocks), "utf-8")
    process = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert process.returncode == 0, process.stderr
    printed = process.stdout.split(MARK)[1:]
    for (block, wanted), got in zip(expected(blocks), printed, strict=True):
        check_printed(got, wanted, f"README.md, line {block.line}")


@pytest.mark.thorough
def test_readme(tmp_path):
    """In a process of its own, as whoever copies it has it; within this one: `test_pages`."""
    text = README.read_text("utf-8")
    assert any(block.runs for block in blocks_of(text))
    check(text, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_files_that_a_page_names_exist(page):
    """Those in backticks, from the project's folder, the package's or the room's; and linked ones."""
    text = FENCE.sub("", page.read_text("utf-8"))
    named = re.findall(r"`([\w./]+\.(?:py|toml|cfg|md)|[\w./]+/)`", text)
    folders = [
        PROJECT,
        PROJECT / "tripletrec",
        *(PROJECT / "tripletrec").glob("*/"),
        *(PROJECT / "tests").glob("*/"),
    ]
    made_by_runs = {"benchmarks/results/"}
    missing = [
        name
        for name in {*named} - made_by_runs
        if not any((each / name).exists() for each in folders)
    ]
    linked = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text)
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert missing == []


SAMPLE = """\
# Title

```bash
exit 1
```

```python
x = 1
print("one", x)
```

It prints

```text
one 1
```

<!-- not run -->
```python
raise SystemExit(1)
```

```python
print(x + 1)
```
"""


def test_the_test(tmp_path):
    check(SAMPLE, tmp_path)
    with pytest.raises(AssertionError, match="line 7"):
        check(SAMPLE.replace("\none 1\n", "\none 2\n"), tmp_path)
    with pytest.raises(AssertionError, match="line 24.*\n.*print\\(y"):
        check(SAMPLE.replace("print(x", "print(y"), tmp_path)
