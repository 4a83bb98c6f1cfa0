"""Which files a path, a folder or a pattern means, and of which format; what is in them is in `reading`."""

from __future__ import annotations

import errno
import os
import re
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple

from tripletrec._runtime.files import TABLE_FORMATS
from tripletrec._runtime.messages import shown

__all__ = ["Files", "files_at", "find_files"]

_FORMATS = {**TABLE_FORMATS, ".npz": "npz"}
_ALLOWED = f"{', '.join(TABLE_FORMATS)} or .npz"


class Files(NamedTuple):
    """Files of one format, in the order of their names."""

    paths: list[Path]
    format: str  # "parquet", "csv", "tsv" or "npz"


def find_files(path: Any) -> Files:
    """Return the files that a path means: itself, all in a folder and its folders, or what a pattern matches.

    Names that begin with "." or "_" are passed over in folders, as Spark's markers and checksums.

    Parameters
    ----------
    path : path-like
        A path that exists is no pattern.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If a file is of another format than those known, or of another than the others.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of a file or a folder, got {shown(path)}")
    text = os.fsdecode(path)
    if "\0" in text:
        raise ValueError(f"path must not hold the character NUL, got {shown(text)}")
    paths = files_at(text)
    if not paths:
        raise FileNotFoundError(f"the folder {text!r} has no file of the format {_ALLOWED}")
    formats = {_format_of(each): each for each in reversed(paths)}
    if len(formats) > 1:
        one, other = sorted(map(str, formats.values()))[:2]
        raise ValueError(
            f"path must lead to files of one format, but {text!r} has {one!r} and {other!r}: "
            "use a pattern, such as 'folder/**/*.parquet'"
        )
    return Files(paths, next(iter(formats)))


def files_at(text: str) -> list[Path]:
    """Return the files that a path means, whatever their formats; see `find_files`.

    Raises
    ------
    OSError
        If there is nothing, or something that is no regular file.
    """
    found = [text] if os.path.lexists(text) else sorted(glob(text, recursive=True))
    if not found:
        what = "no file matches" if has_magic(text) else "there is no file or folder"
        raise FileNotFoundError(f"{what} {text!r}{_of_an_address(text)}")
    return [each for place in found for each in _files_of(Path(place))]


def _of_an_address(text: str) -> str:
    """Return what to do instead where a path is an address, such as "s3://logs/day.parquet"."""
    if not re.match("[A-Za-z][A-Za-z0-9+.-]+:/", text):  # of one letter it is a drive
        return ""
    return "; what is at an address, another library must read: give its table to from_frame"


def _files_of(place: Path) -> list[Path]:
    if not place.is_dir():
        if not place.is_file():  # a device, a FIFO, a link to nowhere
            raise OSError(errno.EINVAL, "it is no regular file", str(place))
        return [place]
    files = []
    for folder, folders, names in os.walk(place):
        folders[:] = [each for each in folders if not each.startswith((".", "_"))]
        files += [Path(folder, each) for each in names if not each.startswith((".", "_"))]
    return sorted(files)


def _format_of(path: Path) -> str:
    name = path.name.lower()
    for ending, format_ in _FORMATS.items():
        if name.endswith(ending):
            return format_
    raise ValueError(f"path must lead to files that end in {_ALLOWED}, got {str(path)!r}")
