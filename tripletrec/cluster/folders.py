"""A folder of files with arrays or JSON, on disk or in an object store; what is in them is in `store`."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tripletrec._runtime.files import reading, with_sentence, writing
from tripletrec._runtime.messages import shown
from tripletrec._runtime.tensors import parse_json, read_arrays, write_arrays

__all__ = ["Folder"]

_PUTS_AT_ONCE = {"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "s3", "s3a"}
_TRIAL = ".tripletrec-trial"


class Folder:
    """Files by name, such as ``"blocks/3.json"``, each written whole or not at all.

    It may be pickled, so that workers of a cluster, which must see the same folder, write to it.

    Parameters
    ----------
    url : path-like
        A path, or the URL of an object store such as ``"s3://bucket/folder"``, for which fsspec, and what it
        needs for that store, must be installed.

    Raises
    ------
    TypeError
        If it is no path.
    ImportError
        If fsspec is missing.
    ValueError
        If fsspec does not know such a URL.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as path:
    ...     folder = Folder(path)
    ...     folder.write_arrays("a/b.safetensors", {"x": np.arange(3)})
    ...     folder.read_arrays("a/b.safetensors")["x"], folder.names("a")
    (array([0, 1, 2]), ['b.safetensors'])
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        if not isinstance(url, (str, os.PathLike)):
            raise TypeError(f"checkpoint must be a path or a URL, got {shown(url)}")
        self.url = os.fspath(url)
        self._files: _LocalFiles | _RemoteFiles
        protocol, found, rest = self.url.partition("://")
        if found and protocol not in ("file", "local"):
            self._files = _RemoteFiles(self.url, protocol)
        else:
            self._files = _LocalFiles(Path(os.path.abspath(rest if found else self.url)))

    def read_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged.
        OSError
            If it cannot be read.
        """
        try:
            content = self._files.read(name)
            return read_arrays(io.BytesIO(content), len(content))[0]
        except ValueError as error:
            raise ValueError(f"file {name!r} of {self} cannot be read: {error}") from None

    def write_arrays(self, name: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Write arrays to a file, in place of the old one if there is one.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._files.write(name, lambda file: write_arrays(file, arrays, {}))

    def read_json(self, name: str) -> Any:
        """Return what a file of JSON holds; None if there is no such file. Raises as `read_arrays`."""
        try:
            return parse_json(self._files.read(name).decode())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:  # and what is no UTF-8
            raise ValueError(f"file {name!r} of {self} cannot be read: {error}") from None

    def write_json(self, name: str, content: Any) -> None:
        """Write plain data to a file; see `write_arrays`."""
        text = json.dumps(content).encode()
        self._files.write(name, lambda file: file.write(text))

    def names(self, folder: str = "") -> list[str]:
        """Return what is in the folder, or in a folder within it, by name; nothing if there is none."""
        return self._files.names(folder)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, if there is one.

        Raises
        ------
        OSError
            If it cannot be removed.
        """
        self._files.remove(name)

    def check_writable(self) -> None:
        """Raise ValueError unless files can be written; a new folder is made, and nothing left in it."""
        try:
            self.write_json(_TRIAL, None)
            self.remove(_TRIAL)
        except Exception as error:  # whatever the library of an object store raises
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"checkpoint must be a folder that can be written, got {self} ({reason})"
            ) from None

    def __str__(self) -> str:
        return repr(self.url)

    def __repr__(self) -> str:
        return f"Folder({self.url!r})"


class _LocalFiles:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        try:
            with reading(self._path / name) as (file, _):
                content: bytes = file.read()
                return content
        except OSError as error:
            raise with_sentence(error, f"cannot read {str(self._path / name)!r}") from None

    def write(self, name: str, write: Any) -> None:
        path = self._path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with writing(path) as file:
                write(file)
        except OSError as error:
            raise with_sentence(error, f"cannot write {str(path)!r}") from None

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self._path / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, name: str) -> None:
        path = self._path / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class _RemoteFiles:
    def __init__(self, url: str, protocol: str) -> None:
        try:
            import fsspec
        except ImportError:
            raise ImportError(
                f"checkpoint {url!r} needs fsspec, which is not installed: pip install fsspec"
            ) from None
        try:
            self._system, self._path = fsspec.core.url_to_fs(url)
        except ValueError as error:
            raise ValueError(
                f"checkpoint {url!r} is of a kind that fsspec does not know: {error}"
            ) from None
        self._puts_at_once = protocol in _PUTS_AT_ONCE

    def read(self, name: str) -> bytes:
        self._system.invalidate_cache()
        content: bytes = self._system.cat_file(f"{self._path}/{name}")
        return content

    def write(self, name: str, write: Any) -> None:
        write(memory := io.BytesIO())
        target = f"{self._path}/{name}"
        if not self._puts_at_once:
            self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
        place = target if self._puts_at_once else f"{target}.{os.urandom(4).hex()}"
        self._system.pipe_file(place, memory.getvalue())
        if place != target:
            self._system.mv(place, target)

    def names(self, folder: str) -> list[str]:
        self._system.invalidate_cache()
        place = f"{self._path}/{folder}".rstrip("/")
        try:
            found = self._system.ls(place, detail=False)
        except FileNotFoundError:
            return []
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    def remove(self, name: str) -> None:
        self._system.invalidate_cache()
        place = f"{self._path}/{name}"
        if self._system.exists(place):
            self._system.rm(place, recursive=True)
