"""``tripletrec split``: parts to learn from, to choose by and to test on, each in a file of its own."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tripletrec._runtime.files import TABLE_FORMATS
from tripletrec._runtime.messages import shown_names
from tripletrec.cli.columns import LACKING, check_has_values, named_columns, of_value
from tripletrec.cli.options import UsageError, add_columns, add_command, as_usage, note, seed
from tripletrec.cli.printing import print_json, print_rows

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions
    from tripletrec.data.paths import Files

    _Parts: TypeAlias = tuple[Interactions, Interactions | None, Interactions]

__all__ = ["NAME", "add_parser", "run"]

NAME = "split"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "cut a table of events into train, valid and test",
        "Write train, valid and test to a folder, with the columns user, item, value and time, so that "
        "no other command needs to be told which column is which. By time, users and items that the "
        "training part lacks are left out of the others, and counted.",
        "tripletrec split events.parquet --test 14D -o parts/",
    )
    parser.add_argument("events", help="a file (.parquet, .csv, .tsv, .npz), a folder or a pattern")
    parser.add_argument(
        "--test",
        metavar="SIZE",
        help="a period before the end such as 14D, a date such as 2024-03-31, or a share of the events "
        "(default: 0.1)",
    )
    parser.add_argument(
        "--valid",
        metavar="SIZE",
        help="likewise, before the test part; 'none' for none (default: as --test, of a date 0.1)",
    )
    parser.add_argument(
        "--by",
        choices=("time", "random", "last"),
        default="time",
        help="time: the latest events; random: some of all; last: the last of each user, without a size "
        "(default: time)",
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="of --by random (default: 0)")
    parser.add_argument(
        "--format",
        choices=[each[1:] for each in TABLE_FORMATS],
        help="of the files (default: that of the events)",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="made if it is not there"
    )
    add_columns(parser)


def run(options: argparse.Namespace) -> None:
    """Read, split and write."""
    from tripletrec.data.reading import read_columns, without_values

    test, valid = _sizes(options)
    if options.by == "time" and options.duplicates == "count" and options.min_value is not None:
        raise UsageError(
            "--min-value of what --duplicates count counts: by time events are split before they are "
            "counted, give --by random or last, or --min-value to the command that reads the parts"
        )
    files = _files(options.events)
    paths = _paths(options, files, with_valid=valid is not None)
    names = named_columns(options, options.events)
    if options.by != "random" and "timestamp" not in names:
        raise ValueError(_without_times(options.events, files))
    if options.min_value is not None:
        check_has_values(names, options.events)
    by_role = None
    if files.format != "npz":
        if options.duplicates == "count":
            names = without_values(files, names)
        by_role = read_columns(files, names, {"user": None, "item": None})
    split = _by_time if options.by == "time" else _of_interactions
    train, before, held_out = split(options, by_role, names, test, valid)
    named = {"train": train, "valid": before, "test": held_out}
    parts = {name: part for name, part in named.items() if part is not None}
    _write(parts, paths)
    _report(options, parts, paths)
    _say_left(options, paths)


def _files(events: str) -> Files:
    from tripletrec.data.memory_mapped import is_memory_map
    from tripletrec.data.paths import find_files

    if is_memory_map(events):
        raise ValueError(
            f"{events!r} is a memory map, which is not split here: give the files that it was made of"
        )
    return find_files(events)


def _without_times(events: str, files: Files) -> str:
    """Return what to do about events without times."""
    from tripletrec.data.reading import read_header

    if files.format == "npz":
        return f"{events!r} is a matrix, which has no times to split by: give --by random"
    return (
        f"no column of {events!r} looks like that of the times to split by: give --time, or --by random; "
        f"there are {shown_names(read_header(files), 400)}"
    )


def _by_time(
    options: argparse.Namespace, by_role: Any, names: dict[str, Any], test: Any, valid: Any
) -> _Parts:
    from tripletrec.splits import time_split

    n_missing = 0
    if options.min_value is not None:
        by_role, n_missing = _events_of_value(options, by_role, names)
    columns = {names[role]: each for role, each in by_role.items()}
    cut = time_split(columns, test, valid, **names, **_given(options))
    cut.train.n_dropped += n_missing
    return cut.train, cut.valid, cut.test


def _of_interactions(
    options: argparse.Namespace, by_role: Any, names: dict[str, Any], test: Any, valid: Any
) -> _Parts:
    from tripletrec import splits
    from tripletrec.data.interactions import Interactions

    if by_role is None:
        whole = Interactions.read(options.events, duplicates=options.duplicates)
    else:
        columns = {names[role]: each for role, each in by_role.items()}
        whole = Interactions.from_frame(columns, **names, **_given(options))
    if options.min_value is not None:
        whole = of_value(whole, options.min_value, options.events)
    before = None
    if options.by == "last":
        few, none = (
            "--by last needs a user with",
            f"one of them to learn from: {options.events!r} has none",
        )
        with _said_of(f"{few} 2 items, {none}"):
            train, held_out = splits.leave_last_out(whole, 1)
        if valid is not None:
            with _said_of(f"{few} 3 items, {none}, give --valid none"):
                train, before = splits.leave_last_out(train, 1)
    else:
        first, left = options.seed or 0, f"none of {len(whole)} interactions for training"
        with _said_of(f"--test {test:g} leaves {left}"):
            train, held_out = splits.train_test_split(whole, test, random_state=first)
        if valid is not None:
            share = valid / (1.0 - test)
            with _said_of(f"--test {test:g} and --valid {valid:g} leave {left}: give --valid none"):
                train, before = splits.train_test_split(train, share, random_state=first + 1)
    train.n_dropped = whole.n_dropped
    return train, before, held_out


@contextmanager
def _said_of(sentence: str) -> Iterator[None]:
    """Say what is too few for a split in the words of the options."""
    try:
        yield
    except ValueError:
        raise ValueError(sentence) from None


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the library is told of duplicates and of rows that lack something."""
    missing = "drop" if options.drop_missing else "raise"
    return {"duplicates": options.duplicates, "missing": missing}


def _events_of_value(
    options: argparse.Namespace, by_role: Any, names: dict[str, Any]
) -> tuple[dict[str, Any], int]:
    """Return the columns of the events of a value that is high enough, and how many lacked something."""
    from tripletrec.data.foreign import Dictionary
    from tripletrec.data.frames import checked_columns, read_table

    columns, source = checked_columns(by_role, names), repr(options.events)
    table: Any = read_table(columns, names, (None, None), "raise", source=source, **_given(options))
    if options.duplicates == "sum":
        _check_alone(table, source)
    kept = table.values >= options.min_value
    if not kept.any():
        raise ValueError(f"{source} has no values >= {options.min_value:g}: at least one is needed")
    left = {
        "user": Dictionary(table.rows[kept], table.users.values),
        "item": Dictionary(table.columns[kept], table.items.values),
        "value": table.values[kept],
        "timestamp": table.timestamps[kept],
    }
    return left, table.n_dropped


def _check_alone(table: Any, source: str) -> None:
    """Raise if a pair has several events, whose values would be added up in their parts alone."""
    import numpy as np

    pairs = table.rows.astype(np.int64) * table.items.n + table.columns
    if len(np.unique(pairs)) < len(pairs):
        raise ValueError(
            f"{source} has several events of a user and an item, and by time they are split before "
            "--duplicates sum adds their values up to what --min-value could judge: give --duplicates last "
            "or max, by which each event is judged, or --by random or last"
        )


def _sizes(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return the sizes of test and valid; raise if no events could be split so, whatever their times are."""
    _refuse_unused(options)
    test = _size("0.1" if options.test is None else options.test)
    valid = _valid_size(options.valid, test)
    if options.by == "last":
        return test, valid
    for size, option in ((test, "--test"), (valid, "--valid")):
        if size is not None:
            _check_size(options.by, size, option)
    if _is_share(test) and _is_share(valid) and test + valid >= 1.0:
        raise UsageError(f"--test {test:g} and --valid {valid:g} leave nothing for training")
    return test, valid


def _refuse_unused(options: argparse.Namespace) -> None:
    """Raise if an option was given that this way to split has no use for."""
    if options.by != "random" and options.seed is not None:
        raise UsageError(f"--seed is for --by random, and nothing is drawn with --by {options.by}")
    if options.by == "last":
        for size, option in ((options.test, "--test"), (options.valid, "--valid")):
            if size is not None and (option, size) != ("--valid", "none"):
                raise UsageError(f"{option} has no size with --by last, got {size!r}: leave it out")


def _is_share(size: Any) -> bool:
    return isinstance(size, float) and 0.0 < size < 1.0


def _check_size(by: str, size: Any, option: str) -> None:
    """Raise if a size is none for any times: of a text dates are asked, of a number numbers."""
    if by == "random":
        if not _is_share(size):
            raise UsageError(
                f"{option} must be a share between 0 and 1 with --by random, got {size!r}"
            )
        return
    import numpy as np

    from tripletrec.splits.timeline import Timeline

    times = np.zeros(1, "M8[ns]" if isinstance(size, str) else np.float64)
    with as_usage():
        Timeline(times).start_of(size, 1, option)


def _paths(options: argparse.Namespace, files: Files, *, with_valid: bool) -> dict[str, Path]:
    """Return where each part goes, which is never where events are read."""
    ending = options.format or _ending(files.paths[0].name, files.format)
    names = ("train", "valid", "test") if with_valid else ("train", "test")
    paths = {name: Path(options.output, f"{name}.{ending}") for name in names}
    for path in paths.values():
        if path.exists() and any(path.samefile(each) for each in files.paths):
            raise UsageError(f"-o: {str(path)!r} is a file of events: choose another folder")
    return paths


def _size(text: str) -> Any:
    """Return a share or, where times are numbers, a time as a number; dates and periods stay texts."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _valid_size(given: str | None, test: Any) -> Any:
    if given is not None:
        return None if given == "none" else _size(given)
    is_date = isinstance(test, int) or isinstance(test, str) and test[:4].isdigit() and "-" in test
    is_time = is_date or isinstance(test, float) and not _is_share(test)
    return 0.1 if is_time else test


def _ending(name: str, format_: str) -> str:
    if format_ == "npz":
        return "csv"
    return f"{format_}.gz" if name.lower().endswith(".gz") else format_


def _write(parts: Mapping[str, Interactions], paths: Mapping[str, Path]) -> None:
    """Write all parts, or none; of a folder that is made for them nothing stays either."""
    from tripletrec._runtime.files import replacing
    from tripletrec.data.writing import write_table

    frames = {name: _frame_of(part, paths[name]) for name, part in parts.items()}
    folder = next(iter(paths.values())).parent
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            for name, frame in frames.items():
                path = paths[name]
                temporary = stack.enter_context(replacing(path))
                write_table(frame, temporary, path.name.removeprefix(name), path)
    except BaseException:
        for each in made:
            with suppress(OSError):  # somebody else has put something there
                each.rmdir()
        raise


def _frame_of(part: Interactions, path: Path) -> Any:
    from tripletrec.data.writing import as_text

    frame = part.to_frame().rename(columns={"timestamp": "time"})
    if path.suffix != ".parquet":
        columns = {"user": (part.user_ids, part.rows), "item": (part.item_ids, part.indices)}
        for name, (ids, rows) in columns.items():
            if ids is not None and (texts := as_text(ids)) is not ids:
                frame[name] = texts[rows]
    return frame


def _report(
    options: argparse.Namespace, parts: Mapping[str, Interactions], paths: Mapping[str, Path]
) -> None:
    header = ("part", "users", "items", "interactions", "dropped", "file")
    rows = [
        (
            name,
            int((part.indptr[1:] > part.indptr[:-1]).sum()),
            len(set(part.indices.tolist())),
            part.nnz,
            part.n_dropped,
            str(paths[name]),
        )
        for name, part in parts.items()
    ]
    for name, part in parts.items():
        if part.n_dropped:
            why = LACKING if name == "train" else "training has no such user or item"
            note(options, f"{name}: {part.n_dropped} events are left out, for {why}")
    if options.json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print_rows(header, rows)


def _say_left(options: argparse.Namespace, paths: Mapping[str, Path]) -> None:
    """Say which files in the folder might be taken for parts of this split, and are not."""
    written = {path.name for path in paths.values()}
    names = [part + ending for part in ("train", "valid", "test") for ending in TABLE_FORMATS]
    others = [each for each in names if each not in written and Path(options.output, each).exists()]
    if others:
        note(options, f"not of this split, but left in {options.output!r}: {', '.join(others)}")
