"""Files that are written whole or not at all, and read without waiting."""

from __future__ import annotations

import errno
import io
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tripletrec._runtime.leftovers import remove_leftovers, temporary_beside
from tripletrec._runtime.messages import shown

__all__ = [
    "TABLE_FORMATS",
    "check_writable",
    "displayed",
    "mapped",
    "reading",
    "replacing",
    "with_sentence",
    "writing",
]

TABLE_FORMATS = {  # of files that hold a table, by their endings
    ".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".csv.gz": "csv", ".tsv.gz": "tsv",
}  # fmt: skip
_LONGEST_SUFFIX = 32  # characters; no format has a longer one
_PIECE = 1 << 22  # bytes handed over at once

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def replacing(path: str | bytes | os.PathLike[Any]) -> Iterator[Path]:
    """Give an empty temporary file to write; afterwards it takes the place of `path` in one step.

    Whoever reads `path` meanwhile finds the old file or the new one, never a part of it, and of several
    writers at once one wins. If the block raises, `path` stays as it was. Nothing is left behind in
    either case, unless the process is killed: then the next writer of `path` removes what it left.

    Parameters
    ----------
    path : path-like
        File to write, new or not. A symbolic link stays one: the file that it leads to is replaced. Other
        names of that file (hard links) go on naming the old one.

    Yields
    ------
    pathlib.Path
        The temporary file: in the same folder, with the same ending, under a name that no other process
        takes. The block may write it in place or delete and create it. Meanwhile only its owner can read it;
        in the end it gets the mode and, where that is allowed, the owner of the old file or, if there is
        none, those of any new one.

    Raises
    ------
    OSError
        If the folder or the old file cannot be written, or `path` is something else than a file (a folder, a
        device).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "numbers.txt")) as temporary:
    ...         _ = temporary.write_text("1 2 3")
    ...     Path(folder, "numbers.txt").read_text()
    '1 2 3'
    """
    old = _regular(path, named=True)
    if old is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected", os.fspath(path))
    target = Path(os.path.realpath(os.fsdecode(path)))
    remove_leftovers(target)
    suffix = target.suffix if len(target.suffix) <= _LONGEST_SUFFIX else ""
    temporary = temporary_beside(target, suffix)
    try:
        try:
            with open(temporary, "xb") as file:
                mode = (old or os.fstat(file.fileno())).st_mode
            os.chmod(temporary, 0o600)
        except OSError as error:  # of the file that the caller knows
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        yield temporary
        if old is not None:
            _give(temporary, old)
        os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(file: Any) -> Iterator[io.BufferedIOBase]:
    """Give something to write bytes to: a file of a path as by `replacing`, or an open file itself.

    Parameters
    ----------
    file : path-like or binary file
        Of an open file only ``write(bytes)`` is used; it is not closed.

    Yields
    ------
    binary file
        Its ``write`` takes anything with a buffer, and writes all of it or raises.

    Raises
    ------
    TypeError
        If it is neither, or an open file takes text.
    OSError
        See `replacing`, and whatever an open file raises.

    Examples
    --------
    >>> with writing(memory := io.BytesIO()) as file:
    ...     _ = file.write(b"1 2 3")
    >>> memory.getvalue()
    b'1 2 3'
    """
    if _is_path(file, "write"):
        with replacing(file) as temporary, open(temporary, "wb") as opened:
            yield opened
        return
    try:
        file.write(b"")
    except (TypeError, io.UnsupportedOperation):
        raise TypeError(f"{displayed(file)} does not take bytes: open it in mode 'wb'") from None
    yield _PieceWriter(file)


@contextmanager
def reading(file: Any) -> Iterator[tuple[Any, int]]:
    """Give a binary file to read, and how many bytes it has.

    Parameters
    ----------
    file : path-like or binary file
        An open file is read to its end at once, and not closed.

    Raises
    ------
    TypeError
        If it is neither, or an open file gives text.
    OSError
        If there is no such file, it cannot be read, or it is no regular file; nothing waits for a FIFO, and
        no device is opened.

    Examples
    --------
    >>> with reading(io.BytesIO(b"1 2 3")) as (file, size):
    ...     file.read(), size
    (b'1 2 3', 5)
    """
    if not _is_path(file, "read"):
        content = _all_of(file)
        yield io.BytesIO(content), len(content)
        return
    _regular(file)
    # Should a FIFO take its place meanwhile, opening it does not wait either, and it is asked again.
    with open(file, "rb", opener=_open_at_once) as opened:
        yield opened, _check_regular(os.fstat(opened.fileno()), file).st_size


def mapped(path: Any) -> mmap.mmap | bytes:
    """Return what is in a file, read from the disk as it is looked at and shared between processes.

    Parameters
    ----------
    path : path-like
        What `replacing` puts in its place later is another file: this one stays as it is. Who cuts it off or
        writes into it changes what is looked at, or ends the process.

    Raises
    ------
    TypeError
        If it is no path.
    OSError
        As by `reading`.
    """
    if not _names_a_file(path):
        raise TypeError(
            f"mmap=True needs the path of a file, got {shown(path)}: load it with mmap=False"
        )
    _regular(path)
    with open(path, "rb", opener=_open_at_once) as file:
        if not _check_regular(os.fstat(file.fileno()), path).st_size:
            return b""  # which no system maps
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


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
    try:
        import tempfile  # here, because reading does without

        old = _regular(path, named=True)
        if old is not None and not os.access(path, os.W_OK):
            raise ValueError(f"{name} must be a file that can be written, got {str(path)!r}")
        with tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))):
            pass
    except IsADirectoryError:
        raise ValueError(f"{name} must be a file, got the folder {str(path)!r}") from None
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ValueError(f"{name} must be a file, got {str(path)!r}") from None
        raise ValueError(
            f"{name} must be in a folder that can be written, got {str(path)!r} ({error.strerror})"
        ) from None


def displayed(file: Any) -> str:
    """Return what messages call a file: its path, on one line, or what kind of open file it is."""
    if not _names_a_file(file):
        return f"an open {type(file).__name__}"
    path = str(os.fsdecode(file))
    return path if path.isprintable() else repr(path)  # a terminal would do what it says


def with_sentence(error: OSError, what: str) -> OSError:
    """Return an error of the same class and number whose message is one sentence.

    Parameters
    ----------
    error : OSError
    what : str
        What could not be done, such as "cannot write to here".
    """
    text = f"{what}: {error.strerror or error}"
    try:
        sentence = type(error)(text)
    except Exception:  # a class of somebody's own that is made of something else
        sentence = OSError(text)
    sentence.errno = error.errno
    return sentence


class _PieceWriter(io.BufferedIOBase):
    """Writes to an open file until all is written, in pieces of bytes, which everyone takes."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, content: Any) -> int:
        view = memoryview(content)
        first = 0
        while first < len(view):
            piece = view[first : first + _PIECE].tobytes()
            n = self._file.write(piece)
            if n is None and not isinstance(self._file, io.RawIOBase):
                n = len(piece)  # someone's own class: whoever says nothing has written all
            if not n:
                raise BlockingIOError(errno.EAGAIN, "it takes no more bytes")
            first += n
        return len(view)


def _all_of(file: Any) -> bytes:
    content = None
    with suppress(io.UnsupportedOperation):
        # Text would be decoded, and that may fail: so first none of it.
        content = file.read() if isinstance(file.read(0), (bytes, bytearray)) else None
    if content is None:
        raise TypeError(f"{displayed(file)} does not give bytes: open it in mode 'rb'")
    return bytes(content)


def _names_a_file(file: Any) -> bool:
    # An open temporary file has a path, too.
    return isinstance(file, (str, bytes, os.PathLike)) and not hasattr(file, "closed")


def _is_path(file: Any, method: str) -> bool:
    """Tell a path from an open file; some of either have what the other has."""
    if _names_a_file(file):
        return True
    if not callable(getattr(file, method, None)):
        raise TypeError(f"path_or_file must be a path or an open binary file, got {shown(file)}")
    if getattr(file, "closed", None) is True:
        raise ValueError(f"path_or_file must be open, got a closed {type(file).__name__}")
    return False


def _regular(path: str | bytes | os.PathLike[Any], *, named: bool = False) -> os.stat_result | None:
    """Return the status of a file, None if there is none; raise if it is no regular file.

    With `named`, raise also where no file can be of that name.
    """
    if "\0" in os.fsdecode(path):
        raise ValueError(f"a path must not hold the character NUL, got {os.fspath(path)!r}")
    if named and not os.path.basename(os.fsdecode(path)):
        code = errno.EISDIR if os.fspath(path) else errno.ENOENT
        raise OSError(code, os.strerror(code), os.fspath(path))
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return _check_regular(status, path)


def _check_regular(status: os.stat_result, path: Any) -> os.stat_result:
    if stat.S_ISREG(status.st_mode):
        return status
    kind = next((word for test, word in _KINDS if test(status.st_mode)), "something else")
    code = errno.EISDIR if kind == "a folder" else errno.EINVAL
    raise OSError(code, f"it is {kind}, not a regular file", os.fspath(path))


def _open_at_once(path: Any, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _give(temporary: Path, old: os.stat_result) -> None:
    """Let a new file belong to whom the old one belonged to, where that is allowed."""
    new = os.stat(temporary)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) and hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(temporary, old.st_uid, old.st_gid)
