"""Columns of ours as a table of pandas or polars; tables of theirs are read in `foreign` and `frames`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown

__all__ = ["TidyColumn", "as_series", "as_taken", "check_table_kind", "table_of"]


class TidyColumn(NamedTuple):
    """Elements of an array at some positions, which may be there many times; None: all of them."""

    elements: NDArray[Any]
    positions: NDArray[Any] | None = None


def check_table_kind(output: Any) -> None:
    """Raise unless a kind of table is known and its library installed."""
    if not isinstance(output, str) or output not in ("pandas", "polars"):
        raise ValueError(f"output must be 'pandas' or 'polars', got {output!r}")
    if output == "polars":
        try:
            import_module("polars")
        except ImportError:
            raise ImportError('output="polars" needs polars: pip install polars') from None


def as_series(elements: Any) -> Any:
    """Return elements as a Series of pandas, whose own strings cannot hold all texts of Python."""
    import pandas as pd

    try:
        return pd.Series(elements)
    except UnicodeEncodeError:  # half a surrogate pair, as in names of files that are no UTF-8
        return pd.Series(elements, dtype=object)


def as_taken(elements: NDArray[Any]) -> Any:
    """Return elements as polars and pyarrow take all of them: dates in their units, strings beyond a NUL.

    None of them may be missing.
    """
    kind = elements.dtype.kind
    if kind in "mM" and np.datetime_data(elements.dtype) not in _UNITS[kind]:
        taken = elements.astype(f"{kind}8[us]")
        if (taken.astype(elements.dtype) != elements).any():
            raise ValueError(
                f"microseconds cannot hold all dates or durations of dtype {elements.dtype}: round them"
            )
        return taken
    return elements.tolist() if kind in "US" else elements


_FINE = [("ms", 1), ("us", 1), ("ns", 1)]
_UNITS = {"M": [("D", 1), *_FINE], "m": _FINE}


def table_of(columns: Mapping[str, TidyColumn], output: str) -> Any:
    """Return columns as a table of pandas or polars, which shares no memory with them."""
    check_table_kind(output)
    library = import_module(output)
    make = as_series if output == "pandas" else library.Series

    def series(column: TidyColumn) -> Any:
        elements = column.elements.copy()
        if output == "polars":
            elements = as_taken(elements)
        elif elements.dtype.kind == "U":  # objects once, not once per row
            elements = elements.tolist()
        elements = make(elements)
        if column.positions is None:
            return elements
        if output == "polars":
            return elements.gather(column.positions)
        return elements.take(column.positions).reset_index(drop=True)

    try:
        return library.DataFrame({name: series(each) for name, each in columns.items()})
    except UnicodeEncodeError as error:
        raise ValueError(
            f"output='polars' must have ids that are text in UTF-8, got {shown(error.object)}: take 'pandas'"
        ) from None
