"""Folders that are written whole or not at all; single files are in `files`."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from tripletrec._runtime.files import with_sentence
from tripletrec._runtime.leftovers import (
    is_being_written,
    leftovers_of,
    remove_leftovers,
    temporary_beside,
)
from tripletrec._runtime.messages import shown

__all__ = ["NotEnoughDiskError", "check_disk", "filling_folder", "replacing_folder", "settled"]

_PATIENCE = 1.0  # seconds

T = TypeVar("T")


class NotEnoughDiskError(OSError, ValueError):
    """What is asked for does not fit on the disk; a `ValueError`, too, as of any argument."""


@contextmanager
def replacing_folder(
    path: str | os.PathLike[str], name: str, is_older: Callable[[Path], bool]
) -> Iterator[Path]:
    """Give an empty temporary folder to write into; afterwards it takes the place of `path`.

    If the block raises, `path` stays as it was. Of several writers at once the last one wins; who reads
    meanwhile looks by `settled`. Nothing is left behind in any case, unless the process is killed: then the
    next writer of `path` removes what it left. If that was killed when the older folder had made way and
    the new one had not taken its place, the older one is first put back.

    Parameters
    ----------
    path : path-like
        The folder to write, which need not exist. A symbolic link to a folder stays one.
    name : str
        What messages call it.
    is_older : callable
        Whether a folder that is not empty is an older one of the same kind, which may be replaced.

    Yields
    ------
    pathlib.Path
        The temporary folder, beside `path`, in which the block may write and remove what it likes.

    Raises
    ------
    ValueError
        If `path` is something else than a folder, or holds something else than what may be replaced.
    OSError
        If there is no folder that it could be in, or it cannot be written.
    """
    target = _folder_of(path, name)
    if os.path.ismount(target):  # which cannot be moved
        raise ValueError(
            f"{name} must be no mount point, got {str(target)!r}: name a folder within it"
        )
    _check_replaceable(target, name, is_older)
    _bring_back(target, is_older)
    remove_leftovers(target)
    temporary = temporary_beside(target)
    try:
        try:
            temporary.mkdir()
        except OSError as error:  # of the folder that the caller knows
            what = f"{name} must be in a folder that can be written, got {os.fsdecode(path)!r}"
            raise with_sentence(error, what) from None
        yield temporary
        _check_replaceable(target, name, is_older)
        try:
            _take_the_place(temporary, target)
        except OSError as error:
            what = f"cannot replace the folder {os.fsdecode(path)!r}"
            raise with_sentence(error, what) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def filling_folder(path: str | os.PathLike[str], name: str) -> Iterator[Path]:
    """Give a hidden folder within a new or empty one to write files into, which come out of it afterwards.

    The folder itself stays as it is: on a disk of its own, with its owner and mode. If the block raises, it
    is as it was, and whoever still writes into the hidden one, as workers of a cluster do, finds none.

    Parameters
    ----------
    path : path-like
        The folder to fill, which need not exist.
    name : str
        What messages call it.

    Yields
    ------
    pathlib.Path
        The hidden folder, in which the block may write files.

    Raises
    ------
    ValueError
        If `path` is something else than a new or empty folder.
    OSError
        If it cannot be made or written.
    """
    folder = _folder_of(path, name)
    inner, is_new = folder / "files", not os.path.lexists(folder)
    remove_leftovers(inner)
    _check_replaceable(folder, name, lambda folder: False)
    hidden, files = temporary_beside(inner), []
    try:
        try:
            hidden.mkdir(parents=True)
        except OSError as error:
            what = f"{name} must be a folder that can be written, got {os.fsdecode(path)!r}"
            raise with_sentence(error, what) from None
        yield hidden
        for each in sorted(hidden.iterdir()):
            files.append(folder / each.name)
            os.rename(each, files[-1])
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise
    finally:
        away = temporary_beside(inner)
        with suppress(OSError):
            os.rename(hidden, away)
        shutil.rmtree(away, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # which it cannot be if it holds the files


def _folder_of(path: Any, name: str) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be the path of a folder, got {shown(path)}")
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise ValueError(f"{name} must be the path of a folder, got {shown(text)}")
    return Path(os.path.realpath(text))


def settled(path: str | os.PathLike[str], look: Callable[[], T], file: str = "") -> T:
    """Return what is found in a folder that no other process replaced by `replacing_folder` meanwhile.

    Parameters
    ----------
    path : path-like
        The folder, which need not exist.
    look : callable
        It is called again, for a second, while the folder is replaced; so it must change nothing.
    file : str, default ""
        A file that is in such folders, and never written once it is there: it tells them apart better than
        they do themselves, for numbers of removed folders are taken again.

    Raises
    ------
    OSError
        If the folder was replaced whenever it was looked at.
    Exception
        Whatever `look` raises.
    """
    for _ in _patiently():
        before, failure = _identity(path, file), None
        try:
            found = look()
        except Exception as error:
            failure = error
        stayed = before == _identity(path, file)
        if stayed and not (before is None and is_being_written(Path(os.path.realpath(path)))):
            break
    if not stayed:
        raise with_sentence(_replaced_again(), f"cannot open the folder {os.fspath(path)!r}")
    if failure is not None:
        raise failure
    return found


def _identity(path: str | os.PathLike[str], file: str) -> tuple[int, ...] | None:
    """Return what tells a folder from the one that takes its place, None if there is none."""
    try:
        status = os.stat(os.path.join(path, file))
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns if file else 0


def _patiently() -> Iterator[None]:
    """Yield again and again for a second, after longer and longer pauses."""
    until, pause = time.monotonic() + _PATIENCE, 0.001
    yield
    while time.monotonic() < until:
        time.sleep(pause)
        yield
        pause = min(2.0 * pause, 0.064)


def _check_replaceable(target: Path, name: str, is_older: Callable[[Path], bool]) -> None:
    if os.path.lexists(target):
        settled(target, lambda: _check_there(target, name, is_older))


def _check_there(target: Path, name: str, is_older: Callable[[Path], bool]) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise ValueError(f"{name} must be a folder, got {str(target)!r}, which is something else")
    if any(target.iterdir()) and not is_older(target):
        raise ValueError(
            f"{name} must be a new or an empty folder, got {str(target)!r}, which holds something else"
        )
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, f"{name} is write-protected", str(target))


def _bring_back(target: Path, is_older: Callable[[Path], bool]) -> None:
    """Put back the older folder if a process was killed in the midst of `_take_the_place`."""
    if os.path.lexists(target):
        return
    left = (Path(each.path) for each in leftovers_of(target) if each.is_dir(follow_symlinks=False))
    whole = [each for each in left if is_older(each)]
    if whole:  # the oldest, for it was in use
        with suppress(OSError):
            os.rename(min(whole, key=lambda each: each.stat().st_mtime), target)


def _take_the_place(temporary: Path, target: Path) -> None:
    for _ in _patiently():
        old = temporary_beside(target)
        try:
            with suppress(FileNotFoundError):
                os.rename(target, old)
            os.rename(temporary, target)
            return
        except BaseException as error:
            with suppress(OSError):
                os.rename(old, target)
            # Another process has put its own there meanwhile, which is the older one now.
            if not isinstance(error, OSError) or error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        finally:
            if os.path.lexists(target):
                shutil.rmtree(old, ignore_errors=True)
    raise _replaced_again()


def _replaced_again() -> OSError:
    return OSError(errno.EBUSY, "other processes replace it again and again")


def check_disk(folder: Path, n_bytes: int, name: str) -> None:
    """Raise, before it is written, if something takes more room on a disk than there is.

    Parameters
    ----------
    folder : Path
        Where it is to be written.
    n_bytes : int
    name : str
        What the message calls it.

    Raises
    ------
    NotEnoughDiskError
    """
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        error = NotEnoughDiskError(
            f"{name} needs {n_bytes:,} bytes of disk while it is written, and {free:,} are free: "
            "choose a folder on a larger disk, or make room"
        )
        error.errno = errno.ENOSPC
        raise error
