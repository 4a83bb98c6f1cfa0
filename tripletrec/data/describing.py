"""What `Interactions.describe` and a notebook show: numbers on the data and a small table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.compressed import CompressedRows
from tripletrec.data.id_arrays import plain
from tripletrec.data.ids import Ids

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TIMES", "Describable", "times_as_texts"]

TIMES = ("first", "last")  # in what `describe` tells
_SHOWN = 5  # interactions in a notebook


class Describable(CompressedRows):
    """What tells of interactions to people."""

    def describe(self) -> pd.Series:
        r"""Return how many there are and how uneven, from when to when, and what was left out.

        Returns
        -------
        pandas.Series of objects
            ``users``, ``items`` and ``interactions``: how many; ``density``: interactions per pair of a user
            and an item; ``mean_per_user``, ``mean_per_item``: interactions; ``gini``: of the interactions per
            item; ``cold_users``, ``cold_items``: how many have none; ``first``, ``last``: times, None where
            there are none; ``merged`` and ``dropped``: ``n_merged`` and ``n_dropped``.

        Notes
        -----
        With :math:`c_1 \le \dots \le c_n` interactions per item, cold ones included, the Gini coefficient is

        .. math:: G = \frac{2 \sum_i i \, c_i}{n \sum_i c_i} - \frac{n + 1}{n}

        0 where all items are equally popular, near 1 where few have nearly all, NaN without interactions.

        Examples
        --------
        >>> from tripletrec import Interactions
        >>> data = Interactions.from_frame({"user": [1, 1, 2], "item": ["x", "y", "x"]})
        >>> data.describe()  # doctest: +NORMALIZE_WHITESPACE
        users                 2
        items                 2
        interactions          3
        density            0.75
        mean_per_user       1.5
        mean_per_item       1.5
        gini           0.166667
        cold_users            0
        cold_items            0
        first              None
        last               None
        merged                0
        dropped               0
        dtype: object
        """
        import pandas as pd

        self._check_still_inside()
        per_user = np.diff(self.indptr)
        per_item = np.bincount(self.indices, minlength=self.n_items)
        first, last = None, None
        if self.timestamps is not None and self.nnz:
            first, last = map(_time, (self.timestamps.min(), self.timestamps.max()))
        numbers = {
            "users": self.n_users,
            "items": self.n_items,
            "interactions": self.nnz,
            "density": self.nnz / (self.n_users * self.n_items),
            "mean_per_user": self.nnz / self.n_users,
            "mean_per_item": self.nnz / self.n_items,
            "gini": _gini(per_item),
            "cold_users": int((per_user == 0).sum()),
            "cold_items": int((per_item == 0).sum()),
            "first": first,
            "last": last,
            "merged": self.n_merged,
            "dropped": self.n_dropped,
        }
        return pd.Series(numbers, dtype=object)

    def _repr_html_(self) -> str:
        numbers = {
            name.replace("_", " "): _number(each)
            for name, each in times_as_texts(self.describe()).items()
            if each is not None
        }
        summary = "".join(
            f"<tr><th style='text-align: left'>{escape(name)}</th><td>{escape(each)}</td></tr>"
            for name, each in numbers.items()
        )
        rows = "".join(f"<tr>{self._html_row(each)}</tr>" for each in range(min(self.nnz, _SHOWN)))
        head = ["user", "item", "value", "timestamp"][: 3 if self.timestamps is None else 4]
        names = "".join(f"<th>{each}</th>" for each in head)
        more = f"<p>... and {self.nnz - _SHOWN:,} more</p>" if self.nnz > _SHOWN else ""
        return (
            f"<div><p><b>{type(self).__name__}</b></p><table><tbody>{summary}</tbody></table>"
            f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>{more}</div>"
        )

    def _html_row(self, position: int) -> str:
        user = int(np.searchsorted(self.indptr, position, side="right")) - 1
        cells = [_id(self._users, user), _id(self._items, int(self.indices[position]))]
        cells.append(f"{self.values[position]:g}")
        if self.timestamps is not None:
            cells.append(str(_time(self.timestamps[position])))
        return "".join(f"<td>{escape(each)}</td>" for each in cells)


def times_as_texts(numbers: pd.Series) -> dict[str, Any]:
    """Return what `describe` tells, times in full: numbers may be rounded where they are shown."""
    known = {name: str(numbers[name]) for name in TIMES if numbers[name] is not None}
    return {**numbers.to_dict(), **known}


def _gini(counts: NDArray[np.integer]) -> float:
    total, n = int(counts.sum()), len(counts)
    if not total:
        return float("nan")
    ranks = np.arange(1, n + 1, dtype=np.float64)
    return float(2 * (ranks @ np.sort(counts)) / (n * total) - (n + 1) / n)


def _time(time: Any) -> Any:
    import pandas as pd

    return pd.Timestamp(time) if isinstance(time, np.datetime64) else time.item()


def _number(each: Any) -> str:
    if isinstance(each, float):
        return f"{each:.4g}"
    return f"{each:,}" if isinstance(each, int) else str(each)


def _id(ids: Ids, row: int) -> str:
    each = row if ids.values is None else plain(ids.values[row])
    return shown(each) if not isinstance(each, str) else shown(each)[1:-1]
