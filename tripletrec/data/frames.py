"""A table with one row per interaction as positions, values and times, with ids; matrices are in `csr`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_choice
from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.checks import check_length
from tripletrec.data.columns import (
    column_of,
    is_missing,
    is_native,
    known_numbers,
    missing_from,
    missing_position,
    to_array,
)
from tripletrec.data.foreign import Dictionary, dictionary_of, in_memory
from tripletrec.data.id_arrays import check_types, id_array
from tripletrec.data.ids import Ids
from tripletrec.data.merging import Duplicates, zeros_and_ones
from tripletrec.data.missing import (
    HINT,
    Missing,
    all_are_incomplete,
    complete_rows,
)
from tripletrec.data.times import check_timestamps

__all__ = [
    "Table",
    "all_are_unknown",
    "check_any_rows",
    "checked_columns",
    "columns_of",
    "distinct_ids",
    "id_at",
    "id_column",
    "known_ids",
    "read_table",
    "refuse_missing_values",
    "refuse_unknown",
    "sorted_ids",
    "values_and_times",
]


class Table(NamedTuple):
    """What a table says: a row, a column, a value and a time per interaction, and whose they are."""

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: NDArray[Any] | None
    timestamps: NDArray[Any] | None
    users: Ids
    items: Ids
    n_dropped: int


def known_ids(
    like: tuple[Ids, Ids] | None, user_ids: Any, item_ids: Any
) -> tuple[Ids | None, Ids | None]:
    """Return the users and the items that a table may speak of: those of others, or these."""
    if like is None:
        users = None if user_ids is None else Ids(user_ids, None, "user")
        return users, None if item_ids is None else Ids(item_ids, None, "item")
    if user_ids is not None or item_ids is not None:
        raise ValueError("like already says which users and items: give no user_ids or item_ids")
    return like


def read_table(
    columns: Mapping[str, Any],
    names: Mapping[str, Any],
    known: tuple[Ids | None, Ids | None],
    unknown: str,
    duplicates: Duplicates,
    source: str,
    missing: Missing = "raise",
) -> Table:
    """Read the columns of a table; see ``Interactions.from_frame``.

    Parameters
    ----------
    columns : dict
        From `columns_of`.
    names : dict
        The names of the columns, for error messages.
    known : (users, items)
        Ids, or None for those in the table, sorted.
    unknown : {"raise", "drop"}
        What becomes of a row whose user or item is not known.
    duplicates : str
        With "count" the values are not read.
    source : str
        What error messages call the table.
    missing : {"raise", "drop"}
        What becomes of a row that lacks an id, a value or a time.
    """
    check_choice(unknown, "unknown", "raise", "drop")
    check_choice(missing, "missing", "raise", "drop")
    users, items = known
    n_missing = 0
    if missing == "drop":
        columns, n_missing = complete_rows(columns, names, duplicates)
    n = len(columns["user"])
    check_any_rows(n, known, source, n_missing)
    rows, users = _encode(columns["user"], names["user"], "user", users)
    cols, items = _encode(columns["item"], names["item"], "item", items)
    values, times = values_and_times(columns, names, duplicates)
    kept = (rows >= 0) & (cols >= 0)
    if kept.all():
        refuse_missing_values(values, kept, names)
        return Table(rows, cols, values, times, users, items, n_missing)
    if unknown == "raise":
        for found, role, ids in ((rows, "user", users), (cols, "item", items)):
            n_unknown = int((found < 0).sum())
            if n_unknown:
                first = id_at(columns[role], int(found.argmin()), names[role])
                raise refuse_unknown(first, n_unknown, names[role], ids)
    refuse_missing_values(values, kept, names)
    values, times = (None if each is None else each[kept] for each in (values, times))
    n_unknown = int(n - kept.sum())
    if n_unknown == n:
        warn_user(all_are_unknown(n, source))
    return Table(rows[kept], cols[kept], values, times, users, items, n_missing + n_unknown)


def columns_of(frame: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the named columns of a table by role: those of ids in a form that can be numbered.

    Parameters
    ----------
    frame : table, or dict of columns
    names : dict
        The names of the columns "user", "item" and, if there are such, "value" and "timestamp".
    """
    frame = in_memory(frame, names.values())
    return checked_columns({role: column_of(frame, name) for role, name in names.items()}, names)


def checked_columns(columns: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns by role, those of ids in a form that can be numbered, and of one length."""
    users, items = (
        id_column(columns[role], f"column {names[role]!r}") for role in ("user", "item")
    )
    if len(users) != len(items):
        raise ValueError(
            f"columns {names['user']!r} and {names['item']!r} must be of one length, "
            f"got {len(users)} and {len(items)}"
        )
    return {**columns, "user": users, "item": items}


def id_column(column: Any, name: str) -> Any:
    """Return a pandas column as it is, others as an array or, texts and numbers with gaps, a dictionary."""
    import pandas as pd

    if isinstance(column, (pd.Series, pd.Index, pd.Categorical)):
        return column if is_native(column.dtype) else to_array(column, name, "ids")
    if (known := known_numbers(column)) is not None:
        there, numbers = known
        codes = np.where(there, np.cumsum(there) - 1, -1)
        return Dictionary(codes, to_array(numbers, name, "ids"))
    if (texts := dictionary_of(column, name)) is not None:
        return texts
    array = to_array(column, name, "ids")
    # As an array of NumPy's strings it would not tell what is missing.
    return array.astype(object) if array.dtype.kind == "T" else array


def check_any_rows(
    n: int, known: tuple[Ids | None, Ids | None], source: str, n_missing: int = 0
) -> None:
    """Raise if there are no rows of which users and items could be taken; warn if none is left to be read."""
    if n:
        return
    if None in known:
        why = all_are_incomplete(n_missing, source) if n_missing else f"{source} has no rows"
        raise ValueError(f"{why}: at least one interaction is needed")
    if n_missing:
        warn_user(f"{all_are_incomplete(n_missing, source)} and are left out")


def all_are_unknown(n: int, source: str) -> str:
    """Return the sentence that warns that no row is of a known user and item."""
    return (
        f"all {n} rows of {source} have an unknown user or item and are left out; ids of another type "
        "than those of like, such as '1' for 1, are unknown"
    )


def values_and_times(
    columns: Mapping[str, Any], names: Mapping[str, Any], duplicates: Duplicates
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return the values, of any type of numbers, and the times, in the type that they are kept in."""
    values, times, n = None, None, len(columns["user"])
    if "value" in columns and duplicates != "count":
        values = _values(columns["value"], n, f"values of column {names['value']!r}")
    if "timestamp" in columns:
        name = f"timestamps of column {names['timestamp']!r}"
        times = check_timestamps(columns["timestamp"], n, name, HINT)
    return values, times


def refuse_missing_values(
    values: NDArray[Any] | None, kept: NDArray[np.bool_], names: Mapping[str, Any]
) -> None:
    """Raise if a row that is kept has NaN for a value."""
    if values is not None and values.dtype.kind == "f":
        wrong = np.isnan(values)
        if wrong.any() and (wrong := wrong & kept).any():
            n, first = np.count_nonzero(wrong), wrong.argmax()
            raise ValueError(
                f"column {names['value']!r} must hold finite values >= 0, got the value nan at position "
                f"{first}, and {n} in all{HINT}"
            )


def _values(column: Any, n: int, name: str) -> NDArray[Any]:
    array = to_array(column, name)
    if array.dtype == object and (first := missing_position(array.tolist())) is not None:
        raise ValueError(
            f"{name} must not have missing entries, got {array[first]} at position {first}{HINT}"
        )
    values = check_length(array, n, name, "interaction")
    if values.dtype.kind not in "biufc" and n:
        raise TypeError(f"{name} must be numbers, got {shown(values[0])} at position 0")
    return zeros_and_ones(values)


def refuse_unknown(first: Any, n: int, name: Any, ids: Ids) -> ValueError:
    """Return the error that says that `n` ids of a column are not known, the first of which is given."""
    return ValueError(
        f'column {name!r}: {ids.unknown(first)}; unknown="drop" leaves out such rows, {n} here'
    )


def id_at(column: Any, position: int, name: Any) -> Any:
    """Return an id of a column of `checked_columns`."""
    if isinstance(column, Dictionary):
        return column.ids[column.codes[position]]
    return to_array(column, f"column {name!r}", "ids")[position]


def _encode(column: Any, name: str, word: str, known: Ids | None) -> tuple[NDArray[np.int32], Ids]:
    """Return the row of each id of a column, -1 if it is unknown, and the ids: those known, else those found.

    Parameters
    ----------
    column : from `id_column`
    name : str
        Of the column, for error messages.
    word : {"user", "item"}
    known : Ids or None
        None: those of the column, sorted.
    """
    label = f"column {name!r}"
    codes, found = distinct_ids(column, label)
    found = id_array(found, label)
    if known is not None:
        return known.find(found).astype(np.int32)[codes], known
    order, ids = sorted_ids(found, name, word)
    rows = np.empty(len(found), np.int32)
    rows[order] = np.arange(len(found))
    return rows[codes], ids


def distinct_ids(column: Any, name: str) -> tuple[NDArray[np.integer], Any]:
    """Return the number of each element, and the elements, each once; `id_array` makes ids of them."""
    import pandas as pd

    if isinstance(column, Dictionary):
        return _distinct_of(column, name)
    if isinstance(column, np.ndarray) and column.dtype.kind not in "biufO":
        if column.dtype.kind in "mM" and np.isnat(column).any():
            raise missing_from(name, "id", np.isnat(column), HINT)
        column = id_array(column, name)  # pandas knows fewer kinds, and fewer units of time
        if column.dtype.kind in "mM":
            found, codes = np.unique(column, return_inverse=True)
            return codes.astype(np.int64, copy=False), found
    if column.dtype == object:
        check_types(set(map(type, column)), name)
    try:
        codes, found = (_number_texts if _pandas_merges_texts() else pd.factorize)(column)
    except TypeError as error:
        raise TypeError(f"{name} must hold hashable ids: {error}") from None
    if len(codes) and codes.min() < 0:
        raise missing_from(name, "id", codes < 0, HINT)
    return codes.astype(np.int64, copy=False), found


def _distinct_of(column: Dictionary, name: str) -> tuple[NDArray[np.integer], Any]:
    """Return the same of a dictionary, which may hold what no code stands for, or one id twice."""
    used = np.zeros(len(column.ids) + 1, np.bool_)  # the last is that of the code -1
    used[column.codes] = True
    if used[-1]:
        raise missing_from(name, "id", column.codes < 0, HINT)
    numbers, found = distinct_ids(column.ids[used[:-1]], name)
    renumbered = np.zeros(len(column.ids), np.int32)
    renumbered[used[:-1]] = numbers
    return renumbered[column.codes], found


def _pandas_merges_texts() -> bool:
    r"""Return whether pandas takes "a" and "a\0" for one, and some surrogates too, as before version 3."""
    import pandas as pd

    return len(pd.factorize(np.array(["a", "a\0"], dtype=object))[1]) == 1


def _number_texts(column: Any) -> tuple[NDArray[np.int64], Any]:
    """Do what `pandas.factorize` should."""
    import pandas as pd

    if column.dtype.kind in "OU" and not isinstance(column.dtype, pd.CategoricalDtype):
        elements = column.tolist()
        texts = (each for each in elements if isinstance(each, str))
        if any("\0" in each or not each.isascii() for each in texts):
            number: dict[Any, int] = {}
            codes = [-1 if is_missing(e) else number.setdefault(e, len(number)) for e in elements]
            return np.array(codes, np.int64), list(number)
    return pd.factorize(column)


def sorted_ids(found: NDArray[Any], name: Any, word: str) -> tuple[NDArray[np.intp], Ids]:
    """Return the order of distinct ids, and the ids in it."""
    try:
        order = np.argsort(found, kind="stable")
    except (TypeError, ArithmeticError, ValueError) as error:
        raise TypeError(
            f"column {name!r} has ids that cannot be sorted, give {word}_ids: {error}"
        ) from None
    return order, Ids.of_sorted(found[order], word)
