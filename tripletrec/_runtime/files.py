"""Files that are written whole or not at all, by one context manager; what is in them is not its affair."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["check_writable", "replacing"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty temporary file to write; afterwards it takes the place of `path` in one step.

    Whoever reads `path` meanwhile finds the old file or the new one, never a part of it, and of several
    writers at once one wins. If the block raises, `path` stays as it was. Nothing is left behind in
    either case, unless the process is killed.

    Parameters
    ----------
    path : path-like
        File to write, new or not. A symbolic link stays one: the file that it leads to is replaced.

    Yields
    ------
    pathlib.Path
        The temporary file: in the same folder, with the same ending, under a name that no other process
        takes. The block may write it in place or delete and create it. It gets the mode of the old file
        or, if there is none, that of any new one.

    Raises
    ------
    OSError
        If the folder cannot be written, or `path` is something else than a file (a folder, a device).

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "numbers.txt")) as temporary:
    ...         _ = temporary.write_text("1 2 3")
    ...     Path(folder, "numbers.txt").read_text()
    '1 2 3'
    """
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    temporary = target.with_name(f".{os.urandom(8).hex()}{target.suffix}")
    try:
        try:
            with open(temporary, "xb") as file:
                new = os.fstat(file.fileno()).st_mode
        except OSError as error:  # of the file that the caller knows
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        yield temporary
        os.chmod(temporary, stat.S_IMODE(new if mode is None else mode))
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _mode(target: Path) -> int | None:
    """Return the mode of a file, None if there is none; raise if it is no file."""
    try:
        mode = target.stat().st_mode
    except OSError:  # missing; where it cannot be, creating the temporary file tells
        return None
    if stat.S_ISREG(mode):
        return mode
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(code, os.strerror(code), str(target))


def check_writable(path: str | os.PathLike[str], name: str) -> None:
    """Raise unless `replacing` can write a file, without leaving anything behind.

    Parameters
    ----------
    path : path-like
        File that is to be written later.
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        If `path` is a folder or something else that is no file, or its folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise ValueError(
            f"{name} must be a file, got {'the folder ' * target.is_dir()}{str(path)!r}"
        )
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{name} must be in a folder that can be written, got {str(path)!r} ({error.strerror})"
        ) from None
