"""Where MovieLens-100K comes from, and how each source is brought to the same tables.

What is downloaded is checked against a published or recorded digest before a byte of it is used.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GENRES",
    "OFFICIAL",
    "Sources",
    "Tables",
    "download_archive",
    "download_wheel",
    "read_archive",
    "read_wheel",
]

# The genres in the order of u.item, without its first, "unknown".
GENRES = (
    "Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir "
    "Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()


class Sources(NamedTuple):
    """Where the data set may be fetched, what proves it genuine, and how long to wait for it.

    Parameters
    ----------
    archive_url : str
        Address of the publisher's archive.
    archive_md5 : str
        Its checksum, published beside it.
    archive_max_bytes : int
        A longer answer is not read to its end.
    wheel, wheel_folder : str
        Requirement that pip downloads, and the folder in it that holds the files.
    wheel_sha256 : mapping of str to str
        Checksum of each of the files.
    connect_seconds : float
        Longest wait for an answer, or for more of it.
    download_seconds : float
        Longest download of the archive.
    pip_seconds : float
        Longest run of pip.
    fingerprint : mapping of str to object
        What the data must be, whichever way they came; see `tripletrec.datasets.movielens.fingerprint`.
    """

    archive_url: str
    archive_md5: str
    archive_max_bytes: int
    wheel: str
    wheel_folder: str
    wheel_sha256: Mapping[str, str]
    connect_seconds: float
    download_seconds: float
    pip_seconds: float
    fingerprint: Mapping[str, Any]


OFFICIAL = Sources(
    archive_url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    archive_md5="0e33842e24a9c977be4e0107933c0723",
    archive_max_bytes=20_000_000,  # it has 4.9 million
    wheel="recbole==1.2.1",
    wheel_folder="recbole/dataset_example/ml-100k/",
    wheel_sha256={
        "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
        "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
        "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    },
    connect_seconds=10.0,
    download_seconds=120.0,
    pip_seconds=300.0,
    fingerprint={  # the part on ratings is published with the data
        "users": 943,
        "items": 1682,
        "train ratings": 90570,
        "test ratings": 9430,
        "mean train rating": 3.523827,
        "mean test rating": 3.587805,
        "train ratings >= 4": 49906,
        "test ratings >= 4": 5469,
        "first train ratings": [[1, 1, 5], [1, 2, 3], [1, 3, 4]],
        "sum of ages": 32111,
        "sum of genres": 2891,
    },
)


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


def download_archive(sources: Sources) -> Tables:
    """Fetch the publisher's archive."""
    deadline = time.monotonic() + sources.download_seconds
    chunks, size = [], 0
    with urllib.request.urlopen(sources.archive_url, timeout=sources.connect_seconds) as answer:
        while chunk := answer.read1(65536):  # what is there: read() would wait for all of it
            chunks.append(chunk)
            size += len(chunk)
            if size > sources.archive_max_bytes:
                raise ValueError(f"the answer is longer than {sources.archive_max_bytes} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {sources.download_seconds:.0f} s")
    return read_archive(b"".join(chunks), sources)


def read_archive(content: bytes, sources: Sources) -> Tables:
    """Read the bytes of the official ``ml-100k.zip``."""
    # MD5 is what the publisher gives; it is used against accidents, not attacks.
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != sources.archive_md5:
        raise ValueError(
            f"wrong checksum: {len(content)} bytes with MD5 {found}, expected {sources.archive_md5}"
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        ratings = archive.read("ml-100k/u.data").decode("ascii")
        users = archive.read("ml-100k/u.user").decode("latin-1")
        items = archive.read("ml-100k/u.item").decode("latin-1")
    item_rows = [line.split("|") for line in items.splitlines() if line]
    return _tables(
        ratings,
        [line.split("|") for line in users.splitlines() if line],
        [(row[1], _genres_of_flags(row[6:])) for row in item_rows],
    )


def download_wheel(sources: Sources) -> Tables:
    """Fetch the copy in a wheel, through the user's own pip configuration."""
    if not sys.executable:
        raise OSError("this Python cannot start pip (sys.executable is empty)")
    command = [sys.executable, "-m", "pip", "download", sources.wheel]
    command += ["--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--dest"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result = subprocess.run(
            [*command, folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=sources.pip_seconds,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or len(wheels) != 1:
            said = [line for line in result.stderr.splitlines() if line.strip()]
            reason = said[-1] if said else "no message"
            raise OSError(f"pip download {sources.wheel} failed: {reason}")
        return read_wheel(wheels[0].read_bytes(), sources)


def read_wheel(content: bytes, sources: Sources) -> Tables:
    """Read the bytes of the wheel."""
    texts = {}
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        for name, expected in sources.wheel_sha256.items():
            member = wheel.read(sources.wheel_folder + name)
            found = hashlib.sha256(member).hexdigest()
            if found != expected:
                raise ValueError(f"wrong checksum: {name} has SHA-256 {found}, not {expected}")
            # Each file has one header line; the newline is the only line end in them.
            texts[name] = member.decode("utf-8").partition("\n")[2]
    item_rows = [line.split("\t") for line in texts["ml-100k.item"].split("\n") if line]
    return _tables(
        texts["ml-100k.inter"],
        [line.split("\t") for line in texts["ml-100k.user"].split("\n") if line],
        [(_title(row[1], row[2]), _genres_of_words(row[3])) for row in item_rows],
    )


def _title(title: str, year: str) -> str:
    """Undo what the wheel's authors did to the title: they cut off its last parenthesis."""
    return "unknown" if title == year else f"{title} ({year})"


def _genres_of_flags(flags: list[str]) -> list[int]:
    return [int(flag) for flag in flags]


def _genres_of_words(words: str) -> list[int]:
    present = words.split(" ")
    return [int(genre in present) for genre in GENRES]


def _tables(ratings: str, users: list[list[str]], items: list[tuple[str, list[int]]]) -> Tables:
    """Make the tables of verified files, in which users and items are numbered from 1 without gaps."""
    titles = [" ".join(title.split()) for title, _ in items]
    return Tables(
        ratings=np.array(ratings.split(), dtype=np.int32).reshape(-1, 4),
        age=np.array([int(row[1]) for row in users], dtype=np.int32),
        gender=np.array([row[2] for row in users]),
        occupation=np.array([row[3] for row in users]),
        zip_code=np.array([row[4] for row in users]),
        title=np.array(titles),
        release_year=np.array([_year_in(title) for title in titles], dtype=np.int32),
        genres=np.array([genres for _, genres in items], dtype=np.uint8),
    )


def _year_in(title: str) -> int:
    """Return the last year in parentheses, or 0."""
    years = re.findall(r"\((\d{4})\)", title)
    return int(years[-1]) if years else 0
