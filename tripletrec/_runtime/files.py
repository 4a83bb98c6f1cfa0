"""Writing files that are whole or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_writable", "replacing"]


def check_writable(path: Path, name: str) -> None:
    """Raise ValueError unless `replacing` can write `path`; leaves nothing behind."""
    if path.is_dir():
        raise ValueError(f"{name} must be a file, got the folder {str(path)!r}")
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{name} must be in a folder that can be written, got {str(path)!r} ({error.strerror})"
        ) from None


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`, with its ending, and rename it if all goes well."""
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
