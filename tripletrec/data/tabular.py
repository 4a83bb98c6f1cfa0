"""Interactions from tables and files, and back to a table; how a table is read is in `frames`."""

from __future__ import annotations

from typing import Any, Literal, Self

from tripletrec.data.compressed import CompressedRows
from tripletrec.data.ids import Ids
from tripletrec.data.merging import Duplicates, check_duplicates

__all__ = ["Tabular"]


class Tabular(CompressedRows):
    """What interactions and tables become of each other; a subclass has `_build`."""

    n_dropped: int = 0
    _users: Ids
    _items: Ids

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str = "user",
        item: str = "item",
        value: str | None = None,
        timestamp: str | None = None,
        duplicates: Duplicates = "sum",
        user_ids: Any = None,
        item_ids: Any = None,
        like: Self | None = None,
        unknown: Literal["raise", "drop"] = "raise",
    ) -> Self:
        """Build from a table with one row per interaction.

        Parameters
        ----------
        frame : pandas, polars (also lazy) or pyarrow table, or dict of columns
            Read only, by position: an index has no effect. Of a lazy table the columns named here are
            collected. Anything else that gives Arrow's stream or has a way to pandas will do: record batches
            (one, a list or a reader), a DuckDB relation, tables of Narwhals, Ibis or Dask.
        user, item : str, default "user" and "item"
            Columns of ids: strings, numbers, dates, or of any other hashable type.
        value, timestamp : str, optional
            Columns of weights and of times. Default: weight 1, no times. Times are numbers or dates, see
            `Interactions`.
        duplicates : {"sum", "max", "last", "first", "count"}, default "sum"
            What stands for several rows of one user with one item; ``n_merged`` tells how many were merged
            into others. The sum of their values, or the largest; the value of the latest or of the earliest
            (without times: of the last or first row, as among equal times); or their number, whatever
            `value` says. The time that is kept is the latest; of "first", the earliest. What has become 0, as
            by a last value of 0, is left out afterwards.
        user_ids, item_ids : sequence of ids, optional
            The rows and columns, in this order; they may hold ids that `frame` lacks. Default: the
            ids in `frame`, sorted.
        like : Interactions, optional
            Others, usually the training data, whose users and items are taken, in their order. Where it has
            no ids, the column must hold row numbers. Not to be given along with `user_ids` or `item_ids`.
        unknown : {"raise", "drop"}, default "raise"
            What becomes of a row whose user or item is not among those given: an error, or it is left out and
            counted in ``n_dropped``.

        Returns
        -------
        Interactions

        Raises
        ------
        ValueError
            If a column is absent or there twice; if an id or a time is missing; if an id is not among those
            given and `unknown` is "raise"; as the constructor.
        TypeError
            If ids are of types that cannot be sorted with each other, or times are strings.

        Examples
        --------
        >>> from tripletrec.data.interactions import Interactions
        >>> train = Interactions.from_frame({"user": ["b", "a", "b"], "item": [7, 7, 3]})
        >>> train.user_ids, train.item_ids
        (array(['a', 'b'], dtype='<U1'), array([3, 7]))
        >>> later = {"user": ["a", "c"], "item": [3, 3]}
        >>> test = Interactions.from_frame(later, like=train, unknown="drop")
        >>> test, test.n_dropped
        (Interactions(2 users x 2 items, 1 positives, user ids, item ids), 1)

        The latest rating of each user for each item:

        >>> ratings = {"user": ["a", "a"], "item": [7, 7], "stars": [2, 5], "day": [9, 4]}
        >>> latest = Interactions.from_frame(ratings, value="stars", timestamp="day", duplicates="last")
        >>> latest.values, latest.timestamps, latest.n_merged
        (array([2.], dtype=float32), array([9]), 1)
        """
        names = {"user": user, "item": item, "value": value, "timestamp": timestamp}
        duplicates = check_duplicates(duplicates)
        if like is not None and not isinstance(like, Tabular):
            raise TypeError(f"like must be Interactions, got {type(like).__name__}")
        known = None if like is None else (like._users, like._items)
        # Here, because interactions of arrays do without.
        from tripletrec.data.frames import known_ids, read_table

        table = read_table(frame, names, known_ids(known, user_ids, item_ids), unknown, duplicates)
        new = cls._build(*table[:-1], duplicates)
        new.n_dropped = table.n_dropped
        return new

    @classmethod
    def _build(cls, *arrays: Any) -> Self:
        raise NotImplementedError
