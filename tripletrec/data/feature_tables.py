"""Tables of features, of any library, as pandas frames whose rows stand in the order of the ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.checks import is_of_128_bits
from tripletrec.data.columns import arrow_names, is_dict, is_native, names_of, to_array
from tripletrec.data.foreign import in_memory, indexed
from tripletrec.data.id_arrays import plain, refuse_rounded
from tripletrec.data.ids import is_single

__all__ = ["aligned_frame", "as_frame", "id_keyword", "ids_of_rows", "is_table"]


def is_table(features: Any) -> bool:
    """Return whether features have columns with names: what has none is a matrix."""
    if isinstance(features, (Mapping, np.ndarray)):
        return is_dict(features)
    # polars warns of the latter.
    named = hasattr(features, "collect_schema") or hasattr(features, "columns")
    return named or arrow_names(features) is not None


def as_frame(features: Any, name: str, only: Collection[Any] | None = None) -> Any:
    """Return a table as a pandas DataFrame; one that has an index keeps it, any other gets 0, 1, 2, ...

    Parameters
    ----------
    features : table
        Of any library that `in_memory` knows, or a dict of columns.
    name : str
        What error messages call it.
    only : collection of names or None, default None
        The columns that are needed, others may be left out; None: all.
    """
    import pandas as pd

    if hasattr(features, "__next__"):  # for it may be asked for again
        raise TypeError(
            f"{name} must be a table, got a {type(features).__name__}, which can be read only once: give the "
            "table that its read_all() returns"
        )
    features, index = indexed(features)
    if index is None and not isinstance(features, Mapping):
        names = [each for each in names_of(features) if only is None or each in only]
        features = in_memory(features, names)
    if isinstance(features, pd.DataFrame):
        frame = features
    elif arrow_names(features) is not None:
        # Its index, if it has one, is a column like others.
        frame = features.to_pandas(ignore_metadata=True, date_as_object=False)
    else:
        frame = _of_columns(features, name, only)
        frame = frame if index is None else frame.set_index(index)
    return _checked(frame, name)


def _of_columns(features: Any, name: str, only: Collection[Any] | None) -> Any:
    import pandas as pd

    if not isinstance(features, Mapping):
        features = {each: features[each] for each in features.columns}
    columns = {
        label: _series(values, f"column {shown(label)} of {name}")
        for label, values in features.items()
        if only is None or label in only
    }
    return pd.DataFrame(_of_one_length(columns, name))


def aligned_frame(
    features: Any, ids: NDArray[Any] | None, used: NDArray[np.bool_], name: str, id: Any
) -> Any:
    """Return the rows of a table in the order of ids; see `tripletrec.data.features.align`."""
    n = len(used)
    frame = as_frame(features, name)
    keyword = id_keyword(name)
    if id is None and not hasattr(features, "index"):
        return _in_order(frame, ids, n, name)
    keys, frame, where = _keys(frame, name, id)
    if not keys.is_unique:
        twice = keys[keys.duplicated()][0]
        raise ValueError(f"{name} must have one row per id, got {shown(twice)} twice in {where}")
    wanted = np.arange(n) if ids is None else ids
    positions = _positions(keys, wanted, where, name)
    missing = (positions < 0) & used
    if missing.any():
        holding = [] if id is not None else _columns_with(frame, wanted[used])
        hint = (
            f"; column {shown(holding[0])} holds them: give {keyword}={shown(holding[0])}"
            if holding
            else ""
        )
        raise ValueError(
            f"{name} must have a row for every id with interactions: {int(missing.sum())} are "
            f"missing from {where}, the first is {shown(plain(wanted[missing][0]))}{hint}"
        )
    if id is None and ids is not None and _only_counts(frame.index):
        _warn_of_ids(frame, wanted[used], name)
    frame = frame.reset_index(drop=True)
    if (positions >= 0).all():
        return frame.take(positions)
    return frame.reindex(positions)  # -1 is no row: its cells are missing


def ids_of_rows(features: Any, n: int, name: str, id: Any) -> Any:
    """Return the ids of n rows of features, None if nothing says what they are.

    Parameters
    ----------
    features : table or matrix
    n : int
        Its rows.
    name : str
        What error messages call it.
    id : str, sequence of ids or None
        The name of the column that holds them, or the ids; None: those in the index, unless it only counts.
    """
    if id is not None and not is_single(id):
        ids = to_array(id, "id", "ids")
        if len(ids) != n:
            raise ValueError(
                f"id must have one id for each of the {n} rows of {name}, got {len(ids)}"
            )
        return ids
    if not is_table(features):
        if id is not None:
            raise ValueError(
                f"id must be the {n} ids, for {name} has no column of the name {shown(id)}"
            )
        return None
    only = [id] if id in names_of(features) else None  # of one that is missing, all are named
    frame = as_frame(features, name, only)
    if id is None and (not hasattr(features, "index") or _only_counts(frame.index)):
        return None
    return to_array(_keys(frame, name, id)[0], f"ids of {name}", "ids")


def id_keyword(name: str) -> str:
    """Return the argument that names the column of ids: "user_id" for "user_features"."""
    return name.removesuffix("features") + "id"


def _of_one_length(columns: dict[Any, Any], name: str) -> dict[Any, Any]:
    lengths = {label: len(each) for label, each in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name} must have columns of one length, got {shown(lengths, 200)}")
    return columns


def _checked(frame: Any, name: str) -> Any:
    """Return a frame with names of columns that a file can hold, each there once, in native byte order."""
    for label in frame.columns:
        if not isinstance(label, (str, Integral)):
            raise TypeError(
                f"the columns of {name} must have strings for names, got {shown(label)}"
            )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(
            f"{name} has more than one column of the name {shown(twice)}: rename all but one"
        )
    others = {label: each for label, each in frame.dtypes.items() if not is_native(each)}
    if not others:
        return frame
    return frame.astype({label: each.newbyteorder("=") for label, each in others.items()})


def _series(values: Any, what: str) -> Any:
    """Return a column of any kind as a Series that counts its rows."""
    import pandas as pd

    if isinstance(values, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        return pd.Series(values).reset_index(drop=True)
    if is_single(values):
        raise TypeError(f"{what} must be a sequence of values, got {shown(values)}")
    dtype: Any = getattr(values, "dtype", None)
    if hasattr(dtype, "is_numeric"):  # polars
        plain = dtype.is_numeric() and not dtype.is_decimal() and not is_of_128_bits(values)
        return pd.Series(values.to_numpy() if plain or dtype.is_temporal() else values.to_list())
    if hasattr(values, "to_pandas"):  # pyarrow
        return values.to_pandas(date_as_object=False)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional, got shape {values.shape}")
    cells = values if isinstance(values, np.ndarray) else to_array(values, what).tolist()
    return _series_of(cells, what)


def _series_of(cells: Any, what: str) -> Any:
    import pandas as pd

    try:
        return pd.Series(cells)
    except OverflowError:  # a whole number beyond float64, in pandas 2
        return pd.Series(cells, dtype=object)
    except (pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta) as error:
        raise ValueError(
            f"{what} has a date or duration that pandas cannot hold: {error}"
        ) from None


def _in_order(frame: Any, ids: NDArray[Any] | None, n: int, name: str) -> Any:
    """Return a table without an index and without ids, whose rows must be those of 0, 1, 2, ..."""
    keyword = id_keyword(name)
    if ids is not None:
        holding = _columns_with(frame, ids) or ["..."]
        raise ValueError(
            f"{name} has no index to find the ids of X in: name the column that holds them, "
            f"{keyword}={shown(holding[0])}"
        )
    if len(frame) != n:
        raise ValueError(
            f"{name} must have {n} rows, got {len(frame)}, or a column of row numbers: {keyword}='...'"
        )
    return frame


def _keys(frame: Any, name: str, id: Any) -> tuple[Any, Any, str]:
    """Return the ids of the rows, the other columns, and where the ids were found."""
    import pandas as pd

    if id is None or (id not in frame.columns and id in frame.index.names):
        return _complete(frame.index, f"the index of {name}"), frame, "its index"
    if id not in frame.columns:
        raise ValueError(
            f"{name} has no column {shown(id)}, its columns are {shown(list(frame.columns), 300)}"
        )
    keys = _complete(pd.Index(frame[id]), f"column {shown(id)} of {name}")
    return keys, frame.drop(columns=id), f"its column {shown(id)}"


def _complete(keys: Any, what: str) -> Any:
    """Return ids of a table, which pandas can find, if none of them is missing."""
    if not is_native(keys.dtype):
        keys = type(keys)(to_array(keys, what))
    if keys.nlevels == 1 and keys.hasnans:
        raise ValueError(f"{what} has a missing id at position {int(np.argmax(keys.isna()))}")
    if keys.dtype.kind == "f":
        refuse_rounded(keys.to_numpy(), what)
    return keys


def _positions(keys: Any, wanted: NDArray[Any], where: str, name: str) -> NDArray[np.int64]:
    try:
        positions: NDArray[np.int64] = keys.get_indexer(wanted)
    except TypeError as error:
        raise TypeError(f"{name} must have hashable ids in {where}: {error}") from None
    return positions


def _columns_with(frame: Any, wanted: NDArray[Any]) -> list[Any]:
    """Return the columns that hold all of some ids."""
    import pandas as pd

    held = []
    for label in frame.columns:
        try:
            if len(wanted) and pd.Index(wanted).isin(frame[label]).all():
                held.append(label)
        except (TypeError, ValueError):  # what cannot be hashed or compared holds no ids
            continue
    return held


def _warn_of_ids(frame: Any, wanted: NDArray[Any], name: str) -> None:
    """Warn if rows are found by an index that only counts, and a column has other ids for them."""
    import pandas as pd

    counted = frame.index.astype(object)
    for label in _columns_with(frame, wanted):
        column = pd.Index(frame[label]).astype(object)
        if column.is_unique and not column.equals(counted):
            warn_user(
                f"the rows of {name} are found by its index, which only counts, but column {shown(label)} "
                f"holds ids, too: give {id_keyword(name)}={shown(label)}, or name the index if it is right"
            )
            return


def _only_counts(index: Any) -> bool:
    """Return whether an index is the one that pandas gives a frame that was given none."""
    import pandas as pd

    return index.name is None and isinstance(index, pd.RangeIndex) and index.start == 0
