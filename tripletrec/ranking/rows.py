"""Rows of factors as they are multiplied: a table's own, or what a function makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FactorRows"]


class FactorRows(NamedTuple):
    """A table, and a function that is applied to those of its rows that are asked for.

    So one row of a million is not paid for with all of them.

    Parameters
    ----------
    table : ndarray of shape (n, n_columns)
    transform : callable, optional
        Array of rows -> array of as many rows, each a function of its own row alone; None: as they are.
    """

    table: NDArray[Any]
    transform: Callable[[NDArray[Any]], NDArray[Any]] | None = None

    def take(self, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
        """Return some rows."""
        taken: NDArray[Any] = self.table[rows]
        return taken if self.transform is None else self.transform(taken)
