"""Lists of any number of users, a block at a time, as arrays, tables and files; ranking is in `ranking`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.files import TABLE_FORMATS, displayed, replacing, with_sentence
from tripletrec._runtime.messages import shown
from tripletrec._runtime.progress import Progress
from tripletrec.data.foreign import need_pyarrow
from tripletrec.data.writing import appending, as_text
from tripletrec.ranking.candidates import Candidates
from tripletrec.ranking.exclusion import Exclusion
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions
    from tripletrec.ranking.scores import ScoreUsers

__all__ = [
    "Asked",
    "Lists",
    "check_ending",
    "check_output",
    "frame_of",
    "ranked",
    "write_lists",
]

_OUTPUTS = ("arrays", "pandas", "polars")
_MOST_LISTED = 1 << 19  # items in the lists of a block, where nobody says otherwise
_SECONDS = 1.0  # before which no progress is shown


class Asked(NamedTuple):
    """What `recommend` was asked for, checked; nothing is ranked yet.

    Parameters
    ----------
    rows : int64 array of shape (n,)
        Users; -1: unknown.
    k : int
    without_seen : bool
        Whether what a user had in training is left out.
    out : Exclusion
        What else is.
    chosen : Candidates
    """

    rows: NDArray[np.int64]
    k: int
    without_seen: bool
    out: Exclusion
    chosen: Candidates

    def part(self, first: int, last: int) -> Asked:
        """Return what was asked for of some of the users, one after the other."""
        places = np.arange(first, min(last, len(self.rows)))
        out = self.out._replace(asked=tuple(each.of(places) for each in self.out.asked))
        return self._replace(rows=self.rows[places], out=out, chosen=self.chosen.at(places))


def _best_items(
    score_users: ScoreUsers | None,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    k: int,
    out: Exclusion,
    chosen: Candidates,
    model: Any,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return items and scores of shape (n, k) of some users of a fitted model, padded with -1 and -inf.

    Parameters
    ----------
    score_users : callable or None
        None: the items that most users had in training.
    rows, places : int64 arrays of shape (n,)
        The users, and which of those asked for they are.
    k : int
    out : Exclusion
    chosen : Candidates
    model : estimator
    """
    shared, own = chosen.shared, chosen.at(places).own
    list_them = shared is None and own is None and out.are_few(len(rows))
    left_out = out.of_users(rows, places, items=list_them)
    if out.items is not None and not list_them:
        if own is None:
            everything = np.arange(model.n_items_) if shared is None else shared
            shared = np.setdiff1d(everything, out.items)
        else:
            gone = np.zeros(model.n_items_, bool)
            gone[out.items] = True
            own = tuple(np.unique(each[~gone[each]]) for each in own)
    if score_users is None:
        return _most_popular(model, rows, k, left_out, Candidates(shared, own))
    from tripletrec.ranking.top_k import top_k  # here, because a fit does without

    candidates = shared if own is None else list(own)
    best = top_k(
        score_users, rows, model.n_items_, k,
        exclude=left_out, candidates=candidates, n_jobs=model.n_jobs,
    )  # fmt: skip
    return _padded(*best, k)


def ranked(
    score_users: ScoreUsers,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    cold: NDArray[np.bool_],
    width: int,
    out: Exclusion,
    chosen: Candidates,
    model: Any,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return items and scores of shape (n, width) of some users of a fitted model, padded with -1 and -inf.

    Parameters
    ----------
    score_users : callable
        rows -> scores of all items.
    rows, places : int64 arrays of shape (n,)
        The users, -1 for an unknown one, whose list is empty; and which of those asked for they are.
    cold : bool array of shape (n,)
        Of whom nothing is known: they get the items that most users had in training.
    width : int
    out : Exclusion
    chosen : Candidates
    model : estimator
    """
    items, scores = _padding(len(rows), width)
    for score, which in ((score_users, (rows >= 0) & ~cold), (None, cold)):
        some = np.flatnonzero(which)
        if len(some) and width:
            best = _best_items(score, rows[some], places[some], width, out, chosen, model)
            items[some], scores[some] = best
    return items, scores


def _most_popular(
    model: Any,
    rows: NDArray[np.int64],
    k: int,
    left_out: Interactions | ItemsOfUsers | None,
    chosen: Candidates,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    order, counts = model._popularity()
    if chosen.shared is not None:
        order = order[np.isin(order, chosen.shared)]
    items, scores = _padding(len(rows), k)
    for n, row in enumerate(rows.tolist()):
        mine = order if chosen.own is None else order[np.isin(order, chosen.own[n])]
        if left_out is not None:
            place = n if isinstance(left_out, ItemsOfUsers) else row
            out = left_out.indices[left_out.indptr[place] : left_out.indptr[place + 1]]
            mine = mine[: k + len(out)]
            mine = mine[~np.isin(mine, out)] if len(out) else mine
        mine = mine[:k]
        items[n, : len(mine)], scores[n, : len(mine)] = mine, counts[mine]
    return items, scores


def _padded(
    items: NDArray[np.int64], scores: NDArray[Any], width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if items.shape[1] == width:
        return items, scores
    wide = _padding(len(items), width)
    wide[0][:, : items.shape[1]], wide[1][:, : items.shape[1]] = items, scores
    return wide


def _padding(n: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return items and scores of lists that are empty so far."""
    return np.full((n, width), -1, np.int64), np.full((n, width), -np.inf, np.float32)


class Lists:
    """The lists of some users, computed a block of users at a time.

    Parameters
    ----------
    rows : int64 array of shape (n,)
        Users; -1: unknown.
    width : int
        Items in each list, padding included.
    rank : callable
        Takes the places of some of the users among `rows`, returns items and scores of shape
        (n_places, width), -1 and -inf for padding.
    user_ids, item_ids : array or None
        None: the row numbers.
    batch_size : int or None
        Users of a block; None: as many as make half a million items.
    verbose : bool
        Whether to show progress, if it takes longer than a second.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        width: int,
        rank: Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.float32]]],
        user_ids: NDArray[Any] | None,
        item_ids: NDArray[Any] | None,
        *,
        batch_size: int | None,
        verbose: bool,
    ) -> None:
        self.rows, self.width, self.user_ids, self.item_ids = rows, width, user_ids, item_ids
        self._rank, self._verbose = rank, verbose
        self._batch_size = batch_size or max(1, _MOST_LISTED // max(1, width))

    def blocks(self) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the number of the first user of each block, and the items and scores of the block."""
        n = len(self.rows)
        with Progress(n, "recommending", "user", shown=self._verbose, delay=_SECONDS) as progress:
            for first in range(0, n, self._batch_size):
                places = np.arange(first, min(first + self._batch_size, n))
                yield first, *self._rank(places)
                progress.advance(len(places))

    def all(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return all lists."""
        if 0 < len(self.rows) <= self._batch_size and not self._verbose:
            return self._rank(np.arange(len(self.rows)))
        items = np.empty((len(self.rows), self.width), np.int64)
        scores = np.empty(items.shape, np.float32)
        for first, found, best in self.blocks():
            items[first : first + len(found)], scores[first : first + len(found)] = found, best
        return items, scores


class _Pandas:
    """Makes tables of pandas; those of other libraries are made by what inherits from this."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}  # a million strings are converted once, not for each block

    def column(self, ids: NDArray[Any] | None, rows: NDArray[np.int64]) -> Any:
        if ids is None:
            return rows
        key = id(ids)
        if key not in self._known:
            self._known[key] = self._whole(ids)
        return self._take(self._known[key], rows)

    def table(self, columns: dict[str, Any]) -> Any:
        import pandas as pd

        from tripletrec.data.tidy import as_series

        return pd.DataFrame({name: as_series(each) for name, each in columns.items()})

    def _whole(self, ids: NDArray[Any]) -> Any:
        from tripletrec.data.tidy import as_series

        return as_series(ids).array

    def _take(self, column: Any, rows: NDArray[np.int64]) -> Any:
        return column.take(rows)


class _Text(_Pandas):
    def _whole(self, ids: NDArray[Any]) -> Any:
        return super()._whole(as_text(ids))


class _Polars(_Pandas):
    def table(self, columns: dict[str, Any]) -> Any:
        import polars as pl

        return pl.DataFrame(columns)

    def _whole(self, ids: NDArray[Any]) -> Any:
        import polars as pl

        from tripletrec.data.id_arrays import each_of
        from tripletrec.data.tidy import as_taken

        try:
            return pl.Series(as_taken(ids))
        except (TypeError, ValueError, OverflowError):
            return pl.Series(each_of(ids), dtype=pl.Object)  # numbers and texts side by side, UUIDs

    def _take(self, column: Any, rows: NDArray[np.int64]) -> Any:
        return column.gather(rows)


class _Arrow(_Pandas):
    def table(self, columns: dict[str, Any]) -> Any:
        import pyarrow as pa

        return pa.table(columns)

    def _whole(self, ids: NDArray[Any]) -> Any:
        import pyarrow as pa

        from tripletrec.data.tidy import as_taken

        try:
            return pa.array(as_taken(ids))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"ids must be of one type that Parquet has, got {shown(ids[0])} as the first of those that "
                f"have none: write .csv ({error})"
            ) from None


def check_output(output: Any) -> str:
    """Return what `output` says, or raise."""
    if isinstance(output, str) and output in _OUTPUTS:
        return output
    allowed = ", ".join(map(repr, _OUTPUTS))
    raise ValueError(f"output must be one of {allowed}, got {shown(output)}")


def frame_of(lists: Lists, output: str) -> Any:
    """Return all lists as a table with one row for each item of each user, of pandas or polars."""
    maker: _Pandas = _Pandas()
    if output == "polars":
        try:
            import polars  # noqa: F401
        except ImportError:
            raise ImportError(
                "output='polars' needs polars, which is not installed: pip install polars"
            ) from None
        maker = _Polars()
    return _tidy(maker, lists, 0, *lists.all())


def _tidy(
    maker: _Pandas,
    lists: Lists,
    first: int,
    items: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> Any:
    """Return the lists of the users from number `first` on as a table, without padding."""
    filled = items >= 0
    places, ranks = np.nonzero(filled)
    columns = {
        "user": maker.column(lists.user_ids, lists.rows[first + places]),
        "item": maker.column(lists.item_ids, items[filled]),
        "rank": ranks + 1,
        "score": scores[filled],
    }
    return maker.table(columns)


def check_ending(path: Any, name: str = "path") -> str:
    """Return the ending of a file that lists can be written to, or raise."""
    text = os.fsdecode(path).lower() if isinstance(path, (str, os.PathLike)) else ""
    ending = next((each for each in TABLE_FORMATS if text.endswith(each)), None)
    if ending is None:
        kind = ValueError if text else TypeError
        raise kind(f"{name} must end in {', '.join(TABLE_FORMATS)}, got {shown(path)}")
    return ending


def write_lists(lists: Lists, path: str | os.PathLike[str]) -> int:
    """Write a table of all lists to a file, a block at a time; return how many rows it has.

    Raises
    ------
    ValueError
        If the name has an ending that is not in `TABLE_FORMATS`.
    ImportError
        If pyarrow is needed and not installed.
    OSError
        If the file cannot be written; an older one stays as it was.
    """
    ending = check_ending(path)
    write = _parquet if ending == ".parquet" else _delimited
    n_rows = 0
    try:
        with replacing(path) as temporary, write(temporary, ending, lists) as append:
            for first, items, scores in lists.blocks():
                append(first, items, scores)
                n_rows += int(np.count_nonzero(items >= 0))
    except OSError as error:
        raise with_sentence(error, f"cannot write lists to {displayed(path)}") from error
    return n_rows


_Append = Callable[[int, NDArray[np.int64], NDArray[np.float32]], None]


@contextmanager
def _parquet(path: Any, ending: str, lists: Lists) -> Iterator[_Append]:
    need_pyarrow("a file that ends in .parquet")
    from pyarrow.parquet import ParquetWriter

    maker = _Arrow()
    with ParquetWriter(path, _tidy(maker, lists, 0, *_padding(0, lists.width)).schema) as writer:
        yield lambda *block: writer.write_table(_tidy(maker, lists, *block))


@contextmanager
def _delimited(path: Any, ending: str, lists: Lists) -> Iterator[_Append]:
    maker = _Text()
    with appending(path, ending) as append:
        # The header, if there are no users.
        append(_tidy(maker, lists, 0, *_padding(0, lists.width)))
        yield lambda *block: append(_tidy(maker, lists, *block))
