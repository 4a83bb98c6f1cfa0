"""Splits by time: of events before they are merged, and of each user's interactions; folds are in `folds`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_choice, check_count
from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.frames import columns_of, read_table
from tripletrec.data.ids import Ids
from tripletrec.data.interactions import Interactions
from tripletrec.data.merging import Duplicates, check_duplicates
from tripletrec.data.missing import Missing
from tripletrec.splits.parts import leave_out, require_interactions, times_of
from tripletrec.splits.timeline import Timeline

__all__ = ["Dropped", "TimeSplit", "leave_last_out", "time_split"]

_COLUMNS = {"user": "user", "item": "item", "value": None, "timestamp": "timestamp"}


class Dropped(NamedTuple):
    """What `time_split` left out of a part because the training part lacks its user or its item.

    Attributes
    ----------
    n_events : int
        How many events; of `n_all` in the part.
    n_all : int
    users, items : ndarray
        The ids that the training part lacks, sorted; of Interactions, in the order of their rows or columns.
    """

    n_events: int
    n_all: int
    users: NDArray[Any]
    items: NDArray[Any]

    def told(self) -> str:
        """Return it as part of a sentence."""
        return (
            f"{self.n_events} of {self.n_all} events are left out, for the training part lacks "
            f"{len(self.users)} of their users and {len(self.items)} of their items"
        )


class TimeSplit(tuple[Interactions, ...]):
    """What `time_split` returns: ``(train, test)`` or ``(train, valid, test)``, and what was left out.

    Parameters
    ----------
    parts : sequence of two or three Interactions
    dropped : dict of str to Dropped
        What was left out of "test" and, if there is one, of "valid".

    Examples
    --------
    >>> from tripletrec.splits import time_split
    >>> events = {"user": ["a", "b", "a", "b"], "item": [1, 2, 2, 3], "timestamp": [1, 2, 3, 4]}
    >>> split = time_split(events, test=3)
    >>> train, test = split
    >>> split.test is test, split.valid is None
    (True, True)
    >>> split.dropped["test"].items
    array([3])
    """

    dropped: dict[str, Dropped]

    def __new__(cls, parts: Any, dropped: dict[str, Dropped]) -> TimeSplit:  # noqa: D102
        new = super().__new__(cls, parts)
        new.dropped = dropped
        return new

    @property
    def train(self) -> Interactions:
        """The earliest events."""
        return self[0]

    @property
    def valid(self) -> Interactions | Any:
        """Those directly before the test events; None if they were not asked for."""
        return self[1] if len(self) == 3 else None

    @property
    def test(self) -> Interactions:
        """The latest events."""
        return self[-1]

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self), self.dropped

    def __repr__(self) -> str:
        lines = [f"train={self.train}"]
        for name, part in zip(self.dropped, self[1:], strict=True):
            lines.append(f"{name}={part}: {self.dropped[name].told()}")
        return "TimeSplit(\n    " + ",\n    ".join(lines) + "\n)"


def time_split(
    events: Any,
    test: Any = 0.1,
    valid: Any = None,
    *,
    user: str = "user",
    item: str = "item",
    value: str | None = None,
    timestamp: str = "timestamp",
    duplicates: Duplicates = "sum",
    missing: Missing = "raise",
) -> TimeSplit:
    """Split a table of events at points in time: learn from the past, test on what came later.

    The events are split before those of the same user and item become one interaction. Interactions keep
    only the last of several times, so a split of them moves into the test part what a user did long before.

    Parameters
    ----------
    events : pandas, polars (also lazy) or pyarrow table, dict of columns, or Interactions
        A row per event, as `Interactions.from_frame` takes it, in any order, with times. Interactions with
        timestamps will do as well; if events were merged in them, a warning says how many.
    test : date, share or period, default 0.1
        Which events are the test part:

        - a date: those from then on. Text such as "2024-03-31" or "2024-03-31 12:00+02:00", or a date of
          Python, NumPy or pandas; without a time zone it is taken as UTC. Where the times are numbers it is a
          number, but none between 0 and 1, which is a share;
        - a share between 0 and 1: as many of the latest events, rounded up as in `train_test_split`. Events
          at the same time are not parted: it is the nearest number that is possible, of two equally
          near ones the smaller;
        - a period, as text such as "14D" or "12h" or a timedelta: those later than so long before the last
          event, so that of one event a day "14D" takes 14.
    valid : date, share or period, optional
        Likewise for a part for validation, which ends where the test part begins: the date at which it
        begins, how many of *all* events it has, or how long it lasts.
    user, item, value, timestamp : str
        The columns, as in `Interactions.from_frame`; default "user", "item", no values, "timestamp".
    duplicates : {"sum", "max", "last", "first", "count"}, default "sum"
        What stands for the events of one user with one item in a part, as in `Interactions.from_frame`.
    missing : {"raise", "drop"}, default "raise"
        What becomes of an event that lacks a user, an item, a value or a time: an error, or it is left out
        and counted in ``train.n_dropped``.

    Returns
    -------
    TimeSplit
        A tuple ``(train, test)``, or ``(train, valid, test)`` if `valid` is given, of Interactions. All have
        the users and items that `train` has events of. Events of others are left out of the other parts:
        ``n_dropped`` of a part is their number, and ``.dropped["test"]`` names their users and items.

    Raises
    ------
    ValueError, TypeError
        If a part would be empty, or all of it is left out; if times or ids are missing, or times are strings;
        if `test` or `valid` is nothing of the above, or `valid` begins after `test`.

    Warns
    -----
    UserWarning
        If more than half of the events of a part are left out, or Interactions are given in which events
        were merged.

    See Also
    --------
    leave_last_out : the latest ones of each user.
    TimeFolds : several such parts, one after the other.
    train_test_split : at random.

    Notes
    -----
    What a user did in the training part is in the test part too if it was done again. `evaluate` leaves out
    what is in its `exclude`, usually the training part.

    Examples
    --------
    >>> from tripletrec.datasets import make_events
    >>> from tripletrec.splits import time_split
    >>> events = make_events(50, 30, 400, n_days=60, random_state=0).events
    >>> columns = {"user": "user_id", "item": "item_id", "timestamp": "time"}
    >>> train, valid, test = time_split(events, test="14D", valid="7D", **columns)
    >>> str(train.timestamps.max())[:10], str(valid.timestamps.max())[:10]
    ('2024-02-08', '2024-02-15')
    >>> train, test = time_split(events, test="2024-02-20", **columns)
    >>> train.user_ids is test.user_ids, test.n_dropped
    (True, 5)
    """
    columns = {"user": user, "item": item, "value": value, "timestamp": timestamp}
    table = _read(events, columns, check_duplicates(duplicates), missing)
    number_of = _cut(table.times, test, valid)
    learnt = number_of == 0
    axes = (
        _known(table.rows[learnt], table.users, "user"),
        _known(table.columns[learnt], table.items, "item"),
    )
    names = ["train", "test"] if valid is None else ["train", "valid", "test"]
    built = [_build(table, number_of == n, axes, duplicates) for n in range(len(names))]
    for name, (part, lost) in zip(names, built, strict=True):
        if lost.n_events == lost.n_all:
            raise ValueError(
                f"the {name} part would be empty, as each of its {lost.n_all} events is of a user or an item "
                f"without events in the training part: choose another {name}"
            )
        part._check_not_empty(name)  # as where all values are 0
    built[0][0].n_dropped = table.n_missing
    dropped = {name: lost for name, (_, lost) in zip(names[1:], built[1:], strict=True)}
    for name, lost in dropped.items():
        if 2 * lost.n_events > lost.n_all:
            warn_user(f"{name} is small: {lost.told()}")
    return TimeSplit([part for part, _ in built], dropped)


class _Events(NamedTuple):
    """Events by number of user and item, and whose numbers these are."""

    rows: NDArray[Any]
    columns: NDArray[Any]
    values: NDArray[Any] | None
    times: NDArray[Any]
    users: NDArray[Any]  # ids
    items: NDArray[Any]
    n_missing: int = 0  # that were left out


class _Axis(NamedTuple):
    """The users, or the items, of the training part: who they are, and the number of each, -1 of others."""

    ids: Ids
    number: NDArray[np.int64]


def _read(events: Any, names: dict[str, Any], duplicates: Duplicates, missing: Missing) -> _Events:
    check_choice(missing, "missing", "raise", "drop")
    if not isinstance(events, Interactions):
        if names["timestamp"] is None:
            raise TypeError("timestamp must be the name of a column, got None")
        named = {role: name for role, name in names.items() if name is not None}
        read = columns_of(events, named)
        table = read_table(read, named, (None, None), "raise", duplicates, "events", missing)
        rows, columns, values, times = table[:4]
        times, users, items = map(np.asarray, (times, table.users.values, table.items.values))
        return _Events(rows, columns, values, times, users, items, table.n_dropped)
    if names != _COLUMNS or duplicates != "sum":
        raise ValueError(
            "events must be a table where columns or duplicates are given, got Interactions"
        )
    times = times_of(events, "events", "they are split by time")
    events._check_not_empty("events")
    if n := events.n_merged:
        warn_user(
            f"{n} events were merged into others of the same user and item, at the latest time; "
            "training loses what happened again later, so split the table of events"
        )
    users = np.arange(events.n_users) if events.user_ids is None else events.user_ids
    items = np.arange(events.n_items) if events.item_ids is None else events.item_ids
    return _Events(events.rows, events.indices, events.values, times, users, items)


def _cut(times: NDArray[Any], test: Any, valid: Any) -> NDArray[np.int64]:
    """Return the number of the part that each event is in, from 0 for training."""
    line = Timeline(times)
    span = f"the events are from {line.show(line.first)} to {line.show(line.last)}"
    starts = [line.start_of(test, line.end, "test")]
    if starts[0] > line.last:
        raise ValueError(f"test={shown(test)} leaves nothing to test: {span}")
    given = f"test={shown(test)}"
    if valid is not None:
        starts.insert(0, line.start_of(valid, starts[0], "valid"))
        given = f"valid={shown(valid)} with {given}"
        if line.count_before(starts[0]) >= line.count_before(starts[1]):
            raise ValueError(f"{given} leaves nothing for validation: {span}")
    if starts[0] <= line.first:
        raise ValueError(f"{given} leaves nothing for training: {span}")
    return np.searchsorted(np.array(starts, line.keys.dtype), line.keys, side="right")


def _known(numbers: NDArray[Any], ids: NDArray[Any], word: str) -> _Axis:
    known = np.flatnonzero(np.bincount(numbers, minlength=len(ids)))
    number = np.full(len(ids), -1)
    number[known] = np.arange(len(known))
    return _Axis(Ids(ids[known], None, word), number)


def _build(
    table: _Events, inside: NDArray[np.bool_], axes: tuple[_Axis, _Axis], duplicates: Duplicates
) -> tuple[Interactions, Dropped]:
    """Return a part, and what is left out of it."""
    users, items = axes
    rows, columns = table.rows[inside], table.columns[inside]
    new_rows, new_columns = users.number[rows], items.number[columns]
    kept = (new_rows >= 0) & (new_columns >= 0)
    values = None if table.values is None else table.values[inside][kept]
    times = table.times[inside][kept]
    part = Interactions._build(
        new_rows[kept], new_columns[kept], values, times, users.ids, items.ids, duplicates
    )
    part.n_dropped = int(len(kept) - kept.sum())
    strangers = table.users[np.unique(rows[new_rows < 0])]
    novelties = table.items[np.unique(columns[new_columns < 0])]
    return part, Dropped(part.n_dropped, len(kept), strangers, novelties)


def leave_last_out(
    interactions: Interactions, n: int = 1, *, min_left: int = 1
) -> tuple[Interactions, Interactions]:
    """Split off the last `n` interactions of each user for testing.

    Parameters
    ----------
    interactions : Interactions
        With timestamps. Of two interactions at the same time, that with the higher item number counts as
        later.
    n : int, default 1
        Number per user.
    min_left : int, default 1
        How many a user must keep for training. Users with fewer than ``n + min_left`` interactions stay in
        the training part with all of them.

    Returns
    -------
    train, test : Interactions
        Of the same shape, with no interaction in common.

    Raises
    ------
    ValueError, TypeError
        If there are no timestamps, if `n` or `min_left` is no integer >= 1, or no user has enough
        interactions.

    See Also
    --------
    leave_k_out : some of each user, at random.
    time_split : one moment for all users.

    Examples
    --------
    >>> from tripletrec.data.interactions import Interactions
    >>> from tripletrec.splits import leave_last_out
    >>> data = Interactions.from_arrays([0, 0, 0], [0, 1, 2], timestamps=[30, 10, 20])
    >>> train, test = leave_last_out(data)
    >>> test.indices
    array([0], dtype=int32)
    """
    require_interactions(interactions, "interactions")
    n, min_left = check_count(n, "n"), check_count(min_left, "min_left")
    times = times_of(interactions, "interactions", "the last ones are left out")
    order = np.lexsort((times, interactions.rows))
    return leave_out(interactions, order, n, min_left, "n")
