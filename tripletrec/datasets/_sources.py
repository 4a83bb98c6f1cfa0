"""Where MovieLens-100K comes from, and how each source is brought to the same tables.

A source is a function that returns `Tables` or raises; what it downloads is checked against a
published or recorded digest before a byte of it is used.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ARCHIVE_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
ARCHIVE_MD5 = "0e33842e24a9c977be4e0107933c0723"  # published beside the archive
ARCHIVE_MAX_BYTES = 20_000_000  # it has 4.9 million

WHEEL = "recbole==1.2.1"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k/"
WHEEL_SHA256 = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}

CONNECT_SECONDS = 10.0  # no answer for this long: give up
DOWNLOAD_SECONDS = 120.0
PIP_SECONDS = 300.0

# The genres in the order of u.item, without its first, "unknown".
GENRES = (
    "Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir "
    "Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()


class Tables(NamedTuple):
    """The data set in the normal form that the cache holds; users and items count from 1."""

    ratings: NDArray[np.int32]  # (100000, 4): user, item, rating, time; in the order of u.data
    age: NDArray[np.int32]
    gender: NDArray[np.str_]
    occupation: NDArray[np.str_]
    zip_code: NDArray[np.str_]
    title: NDArray[np.str_]
    release_year: NDArray[np.int32]  # 0: unknown
    genres: NDArray[np.uint8]  # (1682, 18) of 0 and 1


def download_archive() -> Tables:
    """Fetch the official archive."""
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    chunks, size = [], 0
    with urllib.request.urlopen(ARCHIVE_URL, timeout=CONNECT_SECONDS) as answer:
        while chunk := answer.read1(65536):  # what is there: read() would wait for all of it
            chunks.append(chunk)
            size += len(chunk)
            if size > ARCHIVE_MAX_BYTES:
                raise ValueError(f"the answer is longer than {ARCHIVE_MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {DOWNLOAD_SECONDS:.0f} s")
    return read_archive(b"".join(chunks))


def read_archive(content: bytes) -> Tables:
    """Read the bytes of the official ``ml-100k.zip``."""
    # MD5 is what the publisher gives; it is used against accidents, not attacks.
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != ARCHIVE_MD5:
        raise ValueError(
            f"wrong checksum: {len(content)} bytes with MD5 {found}, expected {ARCHIVE_MD5}"
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        ratings = archive.read("ml-100k/u.data").decode("ascii")
        users = archive.read("ml-100k/u.user").decode("latin-1")
        items = archive.read("ml-100k/u.item").decode("latin-1")
    item_rows = [line.split("|") for line in items.splitlines() if line]
    return _tables(
        ratings,
        [line.split("|") for line in users.splitlines() if line],
        [(row[0], row[1], _genres_of_flags(row[6:])) for row in item_rows],
    )


def download_wheel() -> Tables:
    """Fetch the copy in a wheel, through the user's own pip configuration."""
    if not sys.executable:
        raise OSError("this Python cannot start pip (sys.executable is empty)")
    command = [sys.executable, "-m", "pip", "download", WHEEL, "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--dest"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result = subprocess.run(
            [*command, folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_SECONDS,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or len(wheels) != 1:
            said = [line for line in result.stderr.splitlines() if line.strip()]
            raise OSError(f"pip download {WHEEL} failed: {said[-1] if said else 'no message'}")
        return read_wheel(wheels[0].read_bytes())


def read_wheel(content: bytes) -> Tables:
    """Read the bytes of the wheel."""
    texts = {}
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        for name, expected in WHEEL_SHA256.items():
            member = wheel.read(WHEEL_FOLDER + name)
            found = hashlib.sha256(member).hexdigest()
            if found != expected:
                raise ValueError(f"wrong checksum: {name} has SHA-256 {found}, not {expected}")
            # Each file has one header line; the newline is the only line end in them.
            texts[name] = member.decode("utf-8").partition("\n")[2]
    item_rows = [line.split("\t") for line in texts["ml-100k.item"].split("\n") if line]
    return _tables(
        texts["ml-100k.inter"],
        [line.split("\t") for line in texts["ml-100k.user"].split("\n") if line],
        [(row[0], _title(row[1], row[2]), _genres_of_words(row[3])) for row in item_rows],
    )


def _title(title: str, year: str) -> str:
    """Undo what the wheel's authors did to the title: they cut off its last parenthesis."""
    return "unknown" if title == year else f"{title} ({year})"


def _genres_of_flags(flags: list[str]) -> list[int]:
    return [int(flag) for flag in flags]


def _genres_of_words(words: str) -> list[int]:
    present = words.split(" ")
    return [int(genre in present) for genre in GENRES]


def _tables(ratings: str, users: list[list[str]], items: list[tuple[str, str, Any]]) -> Tables:
    for rows, what in ((users, "users"), (items, "items")):
        if [int(row[0]) for row in rows] != list(range(1, len(rows) + 1)):
            raise ValueError(f"the {what} are not numbered from 1 without gaps")
    titles = [" ".join(title.split()) for _, title, _ in items]
    years = [re.findall(r"\((\d{4})\)", title)[-1:] or ["0"] for title in titles]
    return Tables(
        ratings=np.array(ratings.split(), dtype=np.int32).reshape(-1, 4),
        age=np.array([int(row[1]) for row in users], dtype=np.int32),
        gender=np.array([row[2] for row in users]),
        occupation=np.array([row[3] for row in users]),
        zip_code=np.array([row[4] for row in users]),
        title=np.array(titles),
        release_year=np.array([int(year) for [year] in years], dtype=np.int32),
        genres=np.array([genres for _, _, genres in items], dtype=np.uint8),
    )
