"""The folder of memory-mapped interactions: how it is written and opened.

========================================= ==================================================================
file                                      what it holds
========================================= ==================================================================
``interactions.json``                     the format, numbers of users, items and interactions, what ids
                                          are, how large each file is, and what they were read from
``indptr.npy``, ``indices.npy``           the rows of a CSR matrix, int64 and int32
``values.npy``                            float32; there is none if all values are 1
``timestamps.npy``                        int64, float64 or datetime64[ns]; there is none without times
``user_ids.npy``, ``item_ids.npy``        ids as in saved models (see `id_packing`); there is none if they
                                          are row numbers
========================================= ==================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.files import reading, with_sentence
from tripletrec._runtime.folders import check_disk, replacing_folder, settled
from tripletrec._runtime.messages import said_by, shown
from tripletrec._runtime.tensors import parse_json
from tripletrec.data.checks import check_pointers, check_shape
from tripletrec.data.csr import CsrRows
from tripletrec.data.id_packing import pack_ids_of, unpack_ids_of
from tripletrec.data.ids import Ids

__all__ = [
    "MapWriter",
    "MappedInteractions",
    "check_outside",
    "is_memory_map",
    "is_only_memory_map",
    "open_memory_map",
    "write_memory_map",
    "writing_map",
]

_FORMAT = 1
_ABOUT = "interactions.json"
_ARRAYS = {
    *("indptr", "indices", "values", "timestamps"),
    *("user_ids", "user_ids.ends", "item_ids", "item_ids.ends"),
}
_PIECE = 1 << 20


class MappedInteractions(NamedTuple):
    """What a folder holds."""

    rows: CsrRows
    users: Ids
    items: Ids
    n_dropped: int


def is_memory_map(path: Any) -> bool:
    """Tell whether a path is a folder of memory-mapped interactions, damaged or not."""
    if not isinstance(path, (str, os.PathLike)) or "\0" in os.fsdecode(path):
        return False
    return settled(path, lambda: os.path.lexists(os.path.join(os.fsdecode(path), _ABOUT)))


def is_only_memory_map(path: Path) -> bool:
    """Tell whether there is nothing else in a folder, hidden files apart: so it may be replaced."""
    own, names = {_ABOUT, *(f"{each}.npy" for each in _ARRAYS)}, _names_in(path)
    return _ABOUT in names and all(each in own or each.startswith(".") for each in names)


def _names_in(path: str | os.PathLike[str]) -> list[str]:
    try:
        return os.listdir(path)
    except (OSError, ValueError):  # no folder; no path at all
        return []


@contextmanager
def writing_map(folder: Any) -> Iterator[None]:
    """Say in one sentence which memory map cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise with_sentence(error, f"cannot write the memory map {str(folder)!r}") from None


def check_outside(folder: Any, path: Any) -> None:
    """Raise if a folder to be written lies in one that is read: next time it would be among the files."""
    try:
        inner, outer = (Path(os.path.realpath(os.fsdecode(each))) for each in (folder, path))
    except (TypeError, ValueError):
        return  # what is no path gets its sentence elsewhere
    if outer.is_dir() and outer in (inner, *inner.parents):
        raise ValueError(
            f"memory_map must lie outside of the folder that is read, {str(path)!r}, got {str(folder)!r}"
        )


def write_memory_map(folder: Any, rows: CsrRows, users: Ids, items: Ids, n_dropped: int) -> None:
    """Write interactions that are in memory."""
    n_bytes = sum(
        0 if each is None else each.nbytes
        for each in (
            rows.indptr,
            rows.indices,
            rows.values,
            rows.timestamps,
            users.values,
            items.values,
        )
    )
    with replacing_folder(folder, "folder", is_only_memory_map) as place:
        check_disk(place, n_bytes, f"folder={str(folder)!r}")
        with writing_map(folder), MapWriter(place) as writer:
            writer.append(rows)
            writer.finish(users, items, n_dropped, {})


class MapWriter:
    """Writes interactions of users in order into an empty folder, which is complete after `finish`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._indptr = self._array("indptr", np.dtype(np.int64))
        self._indptr.append(np.zeros(1, np.int64))
        self._indices = self._array("indices", np.dtype(np.int32))
        self._values: _ArrayFile | None = None
        self._times: _ArrayFile | None = None
        self._n = self._n_users = self._n_merged = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def append(self, rows: CsrRows) -> None:
        """Write the interactions of the next users."""
        self._indptr.append(self._n + rows.indptr[1:])
        self._indices.append(rows.indices)
        if self._values is None and (rows.values != 1).any():
            self._values = self._array("values", np.dtype(np.float32))
            ones = np.ones(_PIECE, np.float32)
            for first in range(0, self._n, _PIECE):
                self._values.append(ones[: self._n - first])
        if self._values is not None:
            self._values.append(rows.values)
        if rows.timestamps is not None:
            if self._times is None:
                self._times = self._array("timestamps", rows.timestamps.dtype)
            self._times.append(rows.timestamps)
        self._n += len(rows.indices)
        self._n_users += rows.shape[0]
        self._n_merged += rows.n_merged

    def finish(self, users: Ids, items: Ids, n_dropped: int, source: dict[str, Any]) -> None:
        """Write the ids and what the folder says of itself."""
        arrays: dict[str, NDArray[Any]] = {}
        ids = {
            name: pack_ids_of(name, each.values, arrays)
            for name, each in (("user_ids", users), ("item_ids", items))
        }
        for name, array in arrays.items():
            self._array(name, array.dtype, array.shape[1:]).append(array)
        self._open.close()
        sizes = {each.stem: each.stat().st_size for each in self._folder.glob("*.npy")}
        about = {
            "format": _FORMAT,
            "n_users": users.n,
            "n_items": items.n,
            "n_interactions": self._n,
            "n_merged": self._n_merged,
            "n_dropped": n_dropped,
            **ids,
            "bytes": dict(sorted(sizes.items())),
            "source": source,
        }
        text = json.dumps(about, indent=1)
        (self._folder / _ABOUT).write_text(text + "\n", encoding="utf-8")

    def _array(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...] = ()) -> _ArrayFile:
        return self._open.enter_context(_ArrayFile(self._folder / f"{name}.npy", dtype, shape))


class _ArrayFile:
    """An array that is written row by row, in NumPy's format."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._dtype, self._shape, self._n = dtype, shape, 0
        self._file = open(path, "wb")
        self._write_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            if error[0] is None:  # NumPy leaves room in a header for a larger number
                self._file.seek(0)
                self._write_header()

    def append(self, array: NDArray[Any]) -> None:
        if array.size:
            plain = np.ascontiguousarray(array, self._dtype)
            self._file.write(plain.reshape(-1).view(np.uint8).data)
        self._n += len(array)

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._n, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def open_memory_map(path: Any) -> MappedInteractions:
    """Return what a folder holds; nothing is read but the description, the pointers and ids that are objects.

    All is of one state of the folder, should another process replace it meanwhile.

    Raises
    ------
    ValueError
        If it is damaged, or of a newer version.
    OSError
        If it was replaced whenever it was opened, for a second.
    """
    folder = Path(os.fsdecode(path))
    return settled(folder, lambda: _contents(folder), _ABOUT)


def _contents(folder: Path) -> MappedInteractions:
    try:
        with reading(folder / _ABOUT) as (file, _):
            about = _check_about(parse_json(str(file.read(), "utf-8")))
        arrays = {name: _map(folder / f"{name}.npy", size) for name, size in about["bytes"].items()}
        return _interactions_of(about, arrays)
    except (ValueError, TypeError, LookupError, OSError) as error:
        known = isinstance(error, ValueError) and not isinstance(error, UnicodeError)
        raise ValueError(
            f"the memory map {str(folder)!r} is damaged: {error if known else said_by(error)}"
        ) from None


def _check_about(about: Any) -> dict[str, Any]:
    version = about.get("format") if isinstance(about, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(f"{_ABOUT} does not say of which format it is")
    if version > _FORMAT:
        raise ValueError(
            f"it is of the format {version}, which a newer version of tripletrec reads"
        )
    sizes = about.get("bytes")
    if not isinstance(sizes, dict) or not sizes.keys() <= _ARRAYS:
        raise ValueError(f"{_ABOUT} names arrays that are not known: {shown(sizes)}")
    for name in ("n_users", "n_items", "n_interactions", "n_merged", "n_dropped"):
        if type(about.get(name)) is not int or about[name] < 0:
            raise ValueError(f"{name} must be a number >= 0, got {shown(about.get(name))}")
    return about


def _map(path: Path, size: Any) -> NDArray[Any]:
    with reading(path) as (_, found):  # which waits for no FIFO
        if found != size:
            raise ValueError(f"{path.name} has {found} bytes, and had {shown(size)}")
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # over a header that is damaged NumPy raises nearly anything
        raise ValueError(f"{path.name} is no array: {said_by(error)}") from None


def _ids_of(word: str, n: int, about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Ids:
    values = unpack_ids_of(f"{word}_ids", about.get(f"{word}_ids"), arrays)
    return Ids(None, n, word) if values is None else Ids.trusted(values, n, word)


def _interactions_of(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> MappedInteractions:
    shape, n = check_shape(about["n_users"], about["n_items"], "it"), about["n_interactions"]
    users = _ids_of("user", shape[0], about, arrays)
    items = _ids_of("item", shape[1], about, arrays)
    arrays.setdefault("values", np.broadcast_to(np.float32(1), n))
    for name, kinds in (
        ("indptr", (np.int64,)),
        ("indices", (np.int32,)),
        ("values", (np.float32,)),
        ("timestamps", (np.int64, np.float64, "M8[ns]")),
    ):
        if name not in arrays and name == "timestamps":
            continue
        length = shape[0] + 1 if name == "indptr" else n
        if arrays[name].shape != (length,) or arrays[name].dtype not in kinds:
            raise ValueError(f"{name} must be one of {length:,} numbers of its type")
    indptr = check_pointers(arrays["indptr"], shape[0], n, "indptr")
    if indptr[-1] != n:
        raise ValueError(f"indptr ends at {indptr[-1]}, and there are {n} interactions")
    # Borrowed, as the files can be changed: whether an index is beyond the items is asked at each use.
    rows = CsrRows(
        shape, indptr, arrays["indices"], arrays["values"], arrays.get("timestamps"),
        borrowed=True, n_merged=about["n_merged"],
    )  # fmt: skip
    return MappedInteractions(rows, users, items, about["n_dropped"])
