"""Features of users and items, encoded as sparse rows of numbers; what networks make of them is in `neural`.

A table's columns are recognised by what they hold:

============= ======================================= ==========================================
kind          columns of                              become
============= ======================================= ==========================================
categorical   strings, categories, other objects      a 1 in the column of the category, or in
                                                      the column "unknown"
several       lists, tuples or sets of such           a 1 for each element
words         texts, nearly all of them different     a 1 for each word, in lower case
flag          booleans, and numbers that are 0 or 1   the number; missing is 0
number        other numbers                           (x - mean) / deviation; missing is 0
logarithm     positive numbers of which a few are     log x, as a number; x below the least of
              far larger than most, such as prices    training as the least
duration      differences of times                    days, as a number
date          dates and times, taken as UTC where     days, as a number; and, if it varies, a 1
              they have no time zone                  each for day of week, month and hour in UTC
============= ======================================= ==========================================

Categories, means and deviations are learnt from the rows that training sees. A category that occurs in
one row only says nothing about other rows. Such categories share the column "unknown", so that its
weights are trained by the time a new category is encoded there. If that is nearly all rows, texts are split
into words where half of the rows share some that not all have, and any other column is refused. A matrix
is taken as it is. A column of the encoding that is 0 in all these rows, such as that of a number that never
differs, says nothing of new rows either: its factors are 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._runtime.messages import shown, shown_names
from tripletrec.data.checks import as_array
from tripletrec.data.feature_kinds import (
    NO_ENTRIES,
    SINGLE,
    encode_column,
    is_spec,
    learn_column,
    n_columns_of,
)
from tripletrec.data.feature_tables import aligned_frame, as_frame, id_keyword, is_table
from tripletrec.data.sparse import compressed_rows, entries_of, shape_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "align",
    "as_feature_matrix",
    "check_encoding",
    "encode",
    "groups_of",
    "learn_encoding",
]

Encoding = dict[str, Any]


def align(
    features: Any, ids: NDArray[Any] | None, used: NDArray[np.bool_], name: str, id: Any = None
) -> Any:
    """Return the features of each user or item, in their order.

    Parameters
    ----------
    features : table or matrix
        A DataFrame of pandas or polars, a pyarrow Table or a dict of columns. The rows of a table are
        found by the column `id`, else by the index of pandas. A matrix has one row per user or item, and
        so has a table without either where there are no ids.
    ids : array or None
        Ids of the users or items; None: 0, 1, 2, ...
    used : bool array of shape (n,)
        Which of them have interactions and therefore must have features. A table may lack the
        others: their categories are unknown.
    name : str
        What error messages call the features.
    id : str or None, default None
        The column of ids, which is no feature then.

    Returns
    -------
    DataFrame or csr_matrix
        With n rows.
    """
    if is_table(features):
        return aligned_frame(features, ids, used, name, id)
    if id is not None:
        raise ValueError(
            f"{id_keyword(name)} must be None, for {name} has no columns with names, got {shown(id)}"
        )
    matrix = as_feature_matrix(features, name)
    if matrix.shape[0] != len(used):
        raise ValueError(f"{name} must have {len(used)} rows, got {matrix.shape[0]}")
    return matrix


def learn_encoding(features: Any, rows: NDArray[np.integer], name: str) -> Encoding:
    """Return how to encode features such as these, as plain data.

    Parameters
    ----------
    features : DataFrame or csr_matrix
        From `align`.
    rows : int array
        The rows to learn from.
    name : str
        What error messages call the features.
    """
    from scipy.sparse import issparse  # here and below, because answers do without

    if issparse(features):
        return {"kind": "matrix", "n_columns": int(features.shape[1])}
    columns = [
        learn_column(features[column].iloc[rows], column, name) for column in features.columns
    ]
    return {"kind": "frame", "columns": columns, "n_columns": sum(map(n_columns_of, columns))}


def encode(encoding: Encoding, features: Any, name: str) -> csr_matrix:
    """Return float32 rows of shape (len(features), n_columns).

    Parameters
    ----------
    encoding : dict
        From `learn_encoding`.
    features : table or matrix
        With all columns that the encoding knows; others are ignored.
    name : str
        What error messages call the features.
    """
    if encoding["kind"] == "matrix":
        if is_table(features) and not hasattr(features, "index"):
            raise TypeError(f"{name} must be a matrix, as in fit, got {type(features).__name__}")
        matrix = as_feature_matrix(features, name)
        if matrix.shape[1] != encoding["n_columns"]:
            raise ValueError(
                f"{name} must have {encoding['n_columns']} columns, got {matrix.shape[1]}"
            )
        return matrix
    if not is_table(features):
        raise TypeError(
            f"{name} must be a DataFrame or another table, as in fit, got {type(features).__name__}"
        )
    known = [each["name"] for each in encoding["columns"]]
    frame = as_frame(features, name, known)
    missing = [each for each in known if each not in frame.columns]
    if missing:
        raise ValueError(f"{name} lacks the columns {shown_names(missing)}")
    entries, start = [NO_ENTRIES], 0
    for spec in encoding["columns"]:
        row, column, value = encode_column(frame[spec["name"]], spec, name)
        entries.append((row, column + start, value))
        start += n_columns_of(spec)
    from scipy.sparse import coo_matrix

    rows, columns, values = (np.concatenate(each) for each in zip(*entries, strict=True))
    shape = (len(frame), encoding["n_columns"])
    return coo_matrix((values, (rows, columns)), shape).tocsr().astype(np.float32)


def check_encoding(encoding: Any, name: str) -> None:
    """Raise unless an encoding is as `learn_encoding` returns one.

    Parameters
    ----------
    encoding : dict
        Read from a file.
    name : str
        What the message calls it.
    """
    kind = encoding.get("kind") if isinstance(encoding, dict) else None
    known = {"matrix": {"kind", "n_columns"}, "frame": {"kind", "n_columns", "columns"}}
    if kind not in list(known) or encoding.keys() != known[kind]:
        raise ValueError(
            f"{name} must say how a matrix or a frame is encoded, got {shown(encoding)}"
        )
    n_columns = check_count(encoding["n_columns"], f"n_columns of {name}", 0)
    if kind == "matrix":
        return
    columns = encoding["columns"]
    if not isinstance(columns, list) or not all(map(is_spec, columns)):
        raise ValueError(f"{name} must say how each column is encoded, got {shown(columns)}")
    if len({each["name"] for each in columns}) < len(columns):
        raise ValueError(f"{name} must name each column once, got {shown(columns)}")
    expected = sum(map(n_columns_of, columns))
    if n_columns != expected:
        raise ValueError(f"n_columns of {name} must be {expected}, got {n_columns}")


def groups_of(encoding: Encoding) -> NDArray[np.int64]:
    """Return the group of each column of the encoding.

    A group is what one column of a table became; all numbers, durations and flags together are one group.
    """
    if encoding["kind"] == "matrix":
        return np.zeros(encoding["n_columns"], np.int64)
    groups, found = [], 0
    plain: int | None = None
    for spec in encoding["columns"]:
        single = spec["kind"] in SINGLE
        if single and plain is not None:
            group = plain
        else:
            group, found = found, found + 1
            plain = group if single else plain
        groups += [group] * n_columns_of(spec)
    return np.array(groups, np.int64)


def as_feature_matrix(features: Any, name: str) -> csr_matrix:
    """Return features as a finite float32 CSR matrix: sorted, no duplicates, no zeros."""
    from scipy.sparse import csr_matrix

    arrays, shape = _arrays_of(features, name)
    values = arrays[0]
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
    is_flag = values.dtype == bool  # two trues are one true, as in SciPy
    with np.errstate(over="ignore"):
        values = values if is_flag else values.astype(np.float32, copy=False)
        matrix = csr_matrix((values, *arrays[1:]) if len(arrays) > 1 else values, shape=shape)
        if not (matrix.has_canonical_format and matrix.data.all()):
            matrix = matrix.copy()  # its arrays may be the user's own
            matrix.sum_duplicates()
            matrix.eliminate_zeros()
    if not np.isfinite(matrix.data).all():
        raise ValueError(f"{name} must be finite in float32, got NaN, infinity or a number beyond")
    return matrix.astype(np.float32) if is_flag else matrix


def _arrays_of(features: Any, name: str) -> tuple[tuple[Any, ...], tuple[int, int]]:
    """Return what SciPy makes a CSR matrix of, the values first, all of it checked; and the shape."""
    from scipy.sparse import issparse

    if not issparse(features):
        array = as_array(features, name, "a table, an array or a SciPy sparse matrix")
        if array.ndim != 2:
            raise ValueError(f"{name} must be two-dimensional, got shape {array.shape}")
        return (array,), array.shape
    shape = shape_of(features, name, "rows, columns")
    if features.format == "csr":
        indptr, columns, values = compressed_rows(features, shape, name)
        return (values, columns, indptr), shape
    rows, columns, values = entries_of(features, shape, name)
    return (values, (rows, columns)), shape
