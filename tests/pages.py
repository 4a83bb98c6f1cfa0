"""Reads the fenced blocks of a page, and knows what each Python block must print.

A block after the comment ``<!-- not run -->`` is left alone. If the next fenced block after a block that runs
is a ``text`` block, it is exactly what that block prints; if it is a ``text like`` block, apart from numbers,
which follow the machine and the defaults, and from white space.
"""

import re
from typing import NamedTuple

__all__ = ["FENCE", "Block", "blocks_of", "check_printed", "expected"]

FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
NOT_RUN = "<!-- not run -->"


class Block(NamedTuple):
    line: int  # of the opening fence, from 1
    language: str
    info: str  # what stands behind the language
    content: str
    runs: bool


def blocks_of(text, languages=("python",)):
    found = []
    for match in FENCE.finditer(text):
        runs = match[1] in languages and not text[: match.start()].rstrip().endswith(NOT_RUN)
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(line, match[1], match[2].strip(), match[3], runs))
    return found


def expected(blocks):
    """For each block that runs: itself, and the text block that it must print or None."""
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.runs:
            shown = following is not None and following.language == "text"
            yield block, following if shown else None


def check_printed(got, wanted, where):
    if wanted is None:
        return
    if wanted.info == "like":
        assert without_numbers(got) == without_numbers(wanted.content), where
    else:
        assert got.split("\n") == wanted.content.split("\n"), where


def without_numbers(text):
    return re.sub(r"-?\b\d+(\.\d+)?(e-\d+)?\b", "#", text).split()
