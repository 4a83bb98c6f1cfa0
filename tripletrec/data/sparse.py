"""The entries of SciPy's sparse matrices, checked before native code follows them; order is made in `csr`.

The attributes of such a matrix can be set to anything after it was made. SciPy's own conversions trust
them, and so would the kernels of this package: a wrong pointer leads them out of the array.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.checks import (
    as_array,
    check_length,
    check_pointers,
    check_positions,
)

__all__ = ["compressed_rows", "entries_of", "shape_of"]

Array: TypeAlias = NDArray[Any]
Entries: TypeAlias = tuple[Array, Array, Array]  # rows, columns and values


def shape_of(matrix: Any, name: str, axes: str = "users, items") -> tuple[int, int]:
    """Return the shape of a matrix: two whole numbers >= 0."""
    shape = matrix.shape
    if not isinstance(shape, tuple) or len(shape) != 2:
        found = len(shape) if isinstance(shape, tuple) else repr(shape)
        raise ValueError(f"{name} must have two dimensions ({axes}), got {found}")
    for count in shape:
        if not isinstance(count, Integral) or int(count) < 0:
            raise ValueError(f"{name} must have a shape of two integers >= 0, got {shape}")
    return int(shape[0]), int(shape[1])


def compressed_rows(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    """Return pointers, columns and values of a CSR matrix, or of the transpose of a CSC matrix.

    The pointers are int64. Columns and values are no copies, and end where the pointers end: SciPy allows for
    unused room behind them.
    """
    indices = _part(matrix, "indices", name, 1)
    data = _part(matrix, "data", name, 3 if matrix.format == "bsr" else 1)
    n_stored = min(len(indices), len(data))
    indptr = check_pointers(_attribute(matrix, "indptr"), shape[0], n_stored, f"{name}.indptr")
    nnz = int(indptr[-1])
    return indptr, check_positions(indices[:nnz], f"{name}.indices", shape[1]), data[:nnz]


def entries_of(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    """Return row, column and value of each entry, in the order of ``matrix.tocoo()`` of SciPy 1.17.

    Parameters
    ----------
    matrix : scipy sparse matrix or array of two dimensions and any format
    shape : (n_rows, n_columns)
        Its shape, from `shape_of`.
    name : str
        What error messages call it.
    """
    read = _READERS.get(matrix.format)
    if read is None:
        known = ", ".join(sorted(_READERS))
        raise ValueError(f"{name} must be of one of the formats {known}, got {matrix.format!r}")
    rows, columns, values = read(matrix, shape, name)
    rows = check_positions(rows, f"the rows of {name}", shape[0])
    columns = check_positions(columns, f"the columns of {name}", shape[1])
    check_length(columns, len(rows), f"the columns of {name}", "row")
    return rows, columns, check_length(values, len(rows), f"the values of {name}", "row")


def _attribute(matrix: Any, attribute: str) -> Any:
    return getattr(matrix, attribute, None)  # it may have been deleted


def _part(matrix: Any, attribute: str, name: str, ndim: int) -> Array:
    array = as_array(_attribute(matrix, attribute), f"{name}.{attribute}")
    if array.ndim != ndim:
        raise ValueError(f"{name}.{attribute} must have {ndim} dimensions, got shape {array.shape}")
    return array


def _read_csr(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    indptr, columns, values = compressed_rows(matrix, shape, name)
    return np.repeat(np.arange(shape[0], dtype=np.int32), np.diff(indptr)), columns, values


def _read_csc(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    columns, rows, values = _read_csr(matrix, shape[::-1], name)
    return rows, columns, values


def _read_coo(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    # Before SciPy 1.13 it had no coords; since then row and col are taken from them.
    coordinates = _attribute(matrix, "coords")
    if coordinates is None:
        coordinates = _attribute(matrix, "row"), _attribute(matrix, "col")
    if not isinstance(coordinates, (tuple, list)) or len(coordinates) != 2:
        raise ValueError(f"{name}.coords must be the rows and the columns, two arrays")
    return (*coordinates, _attribute(matrix, "data"))


def _read_bsr(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    height, width = _part(matrix, "data", name, 3).shape[1:]
    if not height or not width or shape[0] % height or shape[1] % width:
        raise ValueError(f"{name} of shape {shape} cannot have blocks of {height} x {width}")
    blocks = _read_csr(matrix, (shape[0] // height, shape[1] // width), name)
    rows = blocks[0].astype(np.int64)[:, None, None] * height + np.arange(height)[:, None]
    columns = blocks[1].astype(np.int64)[:, None, None] * width + np.arange(width)
    everywhere = blocks[2].shape
    return (
        np.broadcast_to(rows, everywhere).reshape(-1),
        np.broadcast_to(columns, everywhere).reshape(-1),
        blocks[2].reshape(-1),
    )


def _read_dia(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    data = _part(matrix, "data", name, 2)
    offsets = check_length(
        _attribute(matrix, "offsets"), len(data), f"{name}.offsets", "row of data"
    )
    if offsets.dtype.kind not in "iu" and offsets.size:
        raise TypeError(f"{name}.offsets must be integers, got {offsets.dtype}")
    columns = np.arange(data.shape[1])
    rows = columns - offsets.astype(np.int64)[:, None]
    kept = (rows >= 0) & (rows < shape[0]) & (columns < shape[1]) & (data != 0)
    rows, columns, values = rows[kept], np.broadcast_to(columns, data.shape)[kept], data[kept]
    order = np.lexsort((columns, rows))
    return rows[order], columns[order], values[order]


def _read_lil(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    lists = _attribute(matrix, "rows"), _attribute(matrix, "data")
    for attribute, each in zip(("rows", "data"), lists, strict=True):
        of_lists = (
            isinstance(each, np.ndarray) and each.shape == (shape[0],) and each.dtype == object
        )
        if not of_lists or not all(isinstance(row, list) for row in each):
            raise ValueError(f"{name}.{attribute} must hold a list for each of {shape[0]} rows")
    columns, values = (as_array(list(chain.from_iterable(each)), name) for each in lists)
    lengths, others = ([len(row) for row in each] for each in lists)
    if lengths != others:
        raise ValueError(f"{name}.rows and {name}.data must hold lists of the same lengths")
    return np.repeat(np.arange(shape[0]), lengths), columns, values


def _read_dok(matrix: Any, shape: tuple[int, int], name: str) -> Entries:
    places = as_array(list(matrix.keys()) or np.empty((0, 2), np.int64), f"the keys of {name}")
    if places.ndim != 2 or places.shape[1] != 2:
        raise ValueError(f"the keys of {name} must be (row, column), got shape {places.shape}")
    return places[:, 0], places[:, 1], as_array(list(matrix.values()), name)


_READERS: dict[str, Callable[[Any, tuple[int, int], str], Entries]] = {
    "bsr": _read_bsr,
    "coo": _read_coo,
    "csc": _read_csc,
    "csr": _read_csr,
    "dia": _read_dia,
    "dok": _read_dok,
    "lil": _read_lil,
}
