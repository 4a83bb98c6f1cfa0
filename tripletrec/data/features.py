"""Features of users and items, encoded as sparse rows of numbers; what networks make of them is in `neural`.

A DataFrame's columns are recognised by what they hold:

============= ======================================= ==========================================
kind          columns of                              become
============= ======================================= ==========================================
categorical   strings, categories, other objects      a 1 in the column of the category, or in
                                                      the column "unknown"
several       lists, tuples or sets of such           a 1 for each element
flag          booleans, and numbers that are 0 or 1   the number; missing is 0
number        other numbers                           (x - mean) / deviation; missing is 0
============= ======================================= ==========================================

Categories, means and deviations are learnt from the rows that training sees. A category that occurs in
one row only says nothing about other rows. Such categories share the column "unknown", so that its
weights are trained by the time a new category is encoded there. A matrix is taken as it is.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, issparse

from tripletrec._checks import check_count
from tripletrec._runtime.messages import shown
from tripletrec.data.checks import as_array
from tripletrec.data.sparse import compressed_rows, entries_of, shape_of

__all__ = [
    "align",
    "as_feature_matrix",
    "check_encoding",
    "encode",
    "groups_of",
    "learn_encoding",
]

_LEAST_ROWS = 2  # with a category, for it to get a column of its own

Encoding = dict[str, Any]


def align(features: Any, ids: NDArray[Any] | None, used: NDArray[np.bool_], name: str) -> Any:
    """Return the features of each user or item, in their order.

    Parameters
    ----------
    features : DataFrame or matrix
        The rows of a DataFrame are found by its index; a matrix has one row per user or item.
    ids : array or None
        Ids of the users or items; None: 0, 1, 2, ...
    used : bool array of shape (n,)
        Which of them have interactions and therefore must have features. A DataFrame may lack the
        others: their categories are unknown.
    name : str
        What error messages call the features.

    Returns
    -------
    DataFrame or csr_matrix
        With n rows.
    """
    n = len(used)
    if not _is_frame(features):
        matrix = as_feature_matrix(features, name)
        if matrix.shape[0] != n:
            raise ValueError(f"{name} must have {n} rows, got {matrix.shape[0]}")
        return matrix
    frame = _as_frame(features)
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()][0]
        raise ValueError(f"{name} must have one row per id, got {twice!r} twice in its index")
    wanted = np.arange(n) if ids is None else ids
    missing = (frame.index.get_indexer(wanted) < 0) & used
    if missing.any():
        raise ValueError(
            f"{name} must have a row for every id with interactions: {int(missing.sum())} are "
            f"missing from its index, the first is {wanted[missing].tolist()[0]!r}"
        )
    return frame.reindex(wanted)


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
    if issparse(features):
        return {"kind": "matrix", "n_columns": int(features.shape[1])}
    columns = [
        _learn_column(features[column].iloc[rows], column, name) for column in features.columns
    ]
    return {"kind": "frame", "columns": columns, "n_columns": sum(map(_n_columns, columns))}


def encode(encoding: Encoding, features: Any, name: str) -> csr_matrix:
    """Return float32 rows of shape (len(features), n_columns).

    Parameters
    ----------
    encoding : dict
        From `learn_encoding`.
    features : DataFrame or matrix
        With all columns that the encoding knows; others are ignored.
    name : str
        What error messages call the features.
    """
    if encoding["kind"] == "matrix":
        matrix = as_feature_matrix(features, name)
        if matrix.shape[1] != encoding["n_columns"]:
            raise ValueError(
                f"{name} must have {encoding['n_columns']} columns, got {matrix.shape[1]}"
            )
        return matrix
    if not _is_frame(features):
        raise TypeError(f"{name} must be a DataFrame, as in fit, got {type(features).__name__}")
    frame = _as_frame(features)
    missing = [each["name"] for each in encoding["columns"] if each["name"] not in frame.columns]
    if missing:
        raise ValueError(f"{name} lacks the columns {', '.join(map(repr, missing))}")
    rows, columns, values, start = [], [], [], 0
    for spec in encoding["columns"]:
        row, column, value = _encode_column(frame[spec["name"]], spec, name)
        rows.append(row)
        columns.append(column + start)
        values.append(value)
        start += _n_columns(spec)
    entries = [np.concatenate([np.empty(0, kind), *parts]) for kind, parts in (
        (np.float32, values), (np.int64, rows), (np.int64, columns))]  # fmt: skip
    shape = (len(frame), encoding["n_columns"])
    return coo_matrix((entries[0], (entries[1], entries[2])), shape).tocsr().astype(np.float32)


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
    if not isinstance(columns, list) or not all(map(_is_spec, columns)):
        raise ValueError(f"{name} must say how each column is encoded, got {shown(columns)}")
    if len({each["name"] for each in columns}) < len(columns):
        raise ValueError(f"{name} must name each column once, got {shown(columns)}")
    expected = sum(map(_n_columns, columns))
    if n_columns != expected:
        raise ValueError(f"n_columns of {name} must be {expected}, got {n_columns}")


def _is_spec(spec: Any) -> bool:
    """Tell whether this is how a column can be encoded."""
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), (str, int)):
        return False
    fields = {name: each for name, each in spec.items() if name not in ("name", "kind")}
    if spec.get("kind") in ("categorical", "several"):
        return fields.keys() == {"categories"} and _are_categories(fields["categories"])
    if spec.get("kind") == "flag":
        return not fields
    return spec.get("kind") == "number" and _are_moments(fields)


def _are_moments(fields: dict[str, Any]) -> bool:
    finite = all(isinstance(each, float) and math.isfinite(each) for each in fields.values())
    return finite and fields.keys() == {"mean", "scale"} and fields["scale"] > 0.0


def _are_categories(values: Any) -> bool:
    plain = isinstance(values, list) and all(isinstance(each, (str, int, float)) for each in values)
    return plain and all(each == each for each in values) and len(set(values)) == len(values)


def groups_of(encoding: Encoding) -> NDArray[np.int64]:
    """Return the group of each column of the encoding.

    A group is what one column of a DataFrame became; all numbers and flags together are one group.
    """
    if encoding["kind"] == "matrix":
        return np.zeros(encoding["n_columns"], np.int64)
    groups, found = [], 0
    plain: int | None = None
    for spec in encoding["columns"]:
        single = spec["kind"] in ("number", "flag")
        if single and plain is not None:
            group = plain
        else:
            group, found = found, found + 1
            plain = group if single else plain
        groups += [group] * _n_columns(spec)
    return np.array(groups, np.int64)


def _is_frame(features: Any) -> bool:
    return hasattr(features, "columns") and not isinstance(features, np.ndarray)


def _as_frame(features: Any) -> Any:
    import pandas as pd

    if isinstance(features, pd.DataFrame):
        return features
    return pd.DataFrame({name: features[name].to_list() for name in features.columns})


def as_feature_matrix(features: Any, name: str) -> csr_matrix:
    """Return features as a finite float32 CSR matrix."""
    arrays, shape = _arrays_of(features, name)
    values = arrays[0]
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite in float32, got NaN, infinity or a number beyond")
    return csr_matrix((values, *arrays[1:]) if len(arrays) > 1 else values, shape=shape)


def _arrays_of(features: Any, name: str) -> tuple[tuple[Any, ...], tuple[int, int]]:
    """Return what SciPy makes a CSR matrix of, the values first, all of it checked; and the shape."""
    if not issparse(features):
        array = as_array(features, name)
        if array.ndim != 2:
            raise ValueError(f"{name} must be two-dimensional, got shape {array.shape}")
        return (array,), array.shape
    shape = shape_of(features, name, "rows, columns")
    if features.format == "csr":
        indptr, columns, values = compressed_rows(features, shape, name)
        return (values, columns, indptr), shape
    rows, columns, values = entries_of(features, shape, name)
    return (values, (rows, columns)), shape


def _n_columns(spec: dict[str, Any]) -> int:
    return len(spec["categories"]) + 1 if "categories" in spec else 1


def _learn_column(column: Any, label: Any, name: str) -> dict[str, Any]:
    from pandas.api import types

    label = label if isinstance(label, (str, int)) else str(label)
    if types.is_complex_dtype(column.dtype) or types.is_datetime64_any_dtype(column.dtype):
        raise TypeError(
            f"column {label!r} of {name} must hold numbers, strings, categories or lists, "
            f"got {column.dtype}"
        )
    if types.is_numeric_dtype(column.dtype):
        return {"name": label} | _learn_numbers(_numbers(column, label, name))
    # pandas takes ten times as long cell by cell.
    return {"name": label} | _learn_categories(column.to_numpy(dtype=object))


def _learn_numbers(values: NDArray[np.float64]) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    if np.isin(known, (0.0, 1.0)).all():
        return {"kind": "flag"}
    return {
        "kind": "number",
        "mean": float(known.mean()),
        "scale": float(known.std()) or 1.0,
    }


def _learn_categories(cells: NDArray[Any]) -> dict[str, Any]:
    counts = Counter(each for cell in cells for each in set(_elements(cell)))
    frequent = [each for each, n in counts.items() if n >= _LEAST_ROWS and each is not None]
    return {
        "kind": "several" if any(map(_is_list, cells)) else "categorical",
        "categories": sorted(frequent, key=lambda each: (str(each), repr(each))),
    }


def _encode_column(
    column: Any, spec: dict[str, Any], name: str
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return rows, columns and values of the entries that are not zero."""
    if "categories" not in spec:
        values = _numbers(column, spec["name"], name)
        if spec["kind"] == "number":
            values = (values - spec["mean"]) / spec["scale"]
        values = np.nan_to_num(values, nan=0.0)
        rows = np.flatnonzero(values)
        return rows, np.zeros(len(rows), np.int64), values[rows].astype(np.float32)
    place = {each: n for n, each in enumerate(spec["categories"])}
    unknown = len(place)
    found = [
        (row, each)
        for row, value in enumerate(column.to_numpy(dtype=object))
        for each in sorted({place.get(each, unknown) for each in _elements(value)})
    ]
    entries = np.array(found, np.int64).reshape(-1, 2)
    return entries[:, 0], entries[:, 1], np.ones(len(entries), np.float32)


def _numbers(column: Any, label: Any, name: str) -> NDArray[np.float64]:
    try:
        values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise ValueError(
            f"column {label!r} of {name} must hold numbers, as in fit, got {column.dtype}"
        ) from None
    if np.isinf(values).any():
        raise ValueError(f"column {label!r} of {name} must be finite, got infinity")
    return values


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, np.ndarray))


def _elements(value: Any) -> list[Any]:
    """Return the categories of a cell as plain data; a missing one is None, never a known one."""
    if _is_list(value):
        return [each for cell in value for each in _elements(cell)]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
        return [None]
    return [value if isinstance(value, (str, int, float)) else str(value)]
