"""Large arrays in temporary files instead of memory, while something is computed.

Such a file is gone as soon as nobody looks into it any more, however the process ends.
"""

from __future__ import annotations

import math
import mmap
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.files import with_sentence
from tripletrec._runtime.folders import check_disk

__all__ = ["ScratchArray", "ScratchFolder"]


class ScratchFolder:
    """A folder in which arrays may lie.

    Parameters
    ----------
    folder : path-like or None
        None, or a folder that cannot be written: the system's folder of temporary files (``TMPDIR``).

    Attributes
    ----------
    folder : Path

    Raises
    ------
    OSError
        If neither can be written.

    Examples
    --------
    >>> numbers = ScratchFolder(None).array((3, 2), np.int32)
    >>> numbers.write(1, np.array([[1, 2], [3, 4]], np.int32))
    >>> numbers.mapped()
    array([[0, 0],
           [1, 2],
           [3, 4]], dtype=int32)
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = Path(tempfile.gettempdir())
        if folder is not None:
            with suppress(OSError):
                tempfile.TemporaryFile(dir=folder).close()
                self.folder = folder

    def check_room(self, n_bytes: int, what: str) -> None:
        """Raise `NotEnoughDiskError` if so many bytes are not free; `what` is the subject of the sentence."""
        check_disk(self.folder, n_bytes, what)

    def array(self, shape: tuple[int, ...], dtype: Any) -> ScratchArray:
        """Return an array of zeros, which takes no room before it is written."""
        return ScratchArray(self.folder, shape, np.dtype(dtype))


class ScratchArray:
    """An array in a file, which is read and written by runs of its rows.

    Parameters
    ----------
    folder : Path
        Where the file lies.
    shape : tuple of int
    dtype : dtype

    Raises
    ------
    OSError
        If the file cannot be made or written, as when the disk is full.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype, self._folder = shape, dtype, folder
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._lock = threading.Lock()
        try:
            self._file: Any = tempfile.TemporaryFile(dir=folder, buffering=0)
            self.close = weakref.finalize(self, self._file.close)
            self._file.truncate(self.nbytes)
        except OSError as error:
            raise self._sentence(error) from None

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return self.shape[0] * self._row_bytes

    def read(self, first: int, into: NDArray[Any]) -> None:
        """Fill a contiguous array with the rows from `first` on."""
        rest = into.reshape(-1).view(np.uint8).data
        with self._lock:
            self._file.seek(first * self._row_bytes)
            while rest:
                n = self._file.readinto(rest)
                if not n:
                    raise OSError("a scratch file of a fit was cut off")
                rest = rest[n:]

    def write(self, first: int, rows: NDArray[Any]) -> None:
        """Write contiguous rows from `first` on."""
        rest = rows.reshape(-1).view(np.uint8).data
        try:
            with self._lock:
                self._file.seek(first * self._row_bytes)
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._sentence(error) from None

    def mapped(self) -> NDArray[Any]:
        """Return the array as it stands, read-only; it is read from the disk as it is looked at."""
        if not self.nbytes:
            array = np.empty(self.shape, self.dtype)
            array.flags.writeable = False
            return array
        content = mmap.mmap(self._file.fileno(), self.nbytes, access=mmap.ACCESS_READ)
        return np.frombuffer(content, self.dtype).reshape(self.shape)

    def _sentence(self, error: OSError) -> OSError:
        return with_sentence(error, f"cannot write scratch files to {str(self._folder)!r}")
