"""Columns of text files, and what their texts are: ids, numbers or times; finding files is in `paths`."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.files import with_sentence
from tripletrec._runtime.messages import said_by, shown
from tripletrec.data.columns import check_column
from tripletrec.data.foreign import Dictionary
from tripletrec.data.id_arrays import id_array
from tripletrec.data.ids import Form

__all__ = [
    "is_number",
    "numbers_of",
    "read_delimited",
    "read_names",
    "read_whole",
    "text_ids",
    "times_of",
]

_ROWS = 1 << 20  # that are read at once
_DIGITS, _PADDED = re.compile("[-+]?[0-9]+"), re.compile("[-+]?0[0-9]+")
_DATE = re.compile(r"\d{4}-\d\d(-\d\d([T ]|$)|$)")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,19}")
# What pandas takes for missing, in all columns but those of ids: there it is an id unless the field is empty.
_MISSING = [
    "", "nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>",
    "None", "null", "NULL", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
]  # fmt: skip
# What pandas says if reading raised an error that has no value, as Ctrl-C does up to Python 3.11: of all
# others it raises the error itself.
_INTERRUPTED = "Calling read(nbytes) on source failed"
_DELIMITERS = {"csv": ",", "tsv": "\t"}


def read_delimited(
    paths: list[Path], format_: str, names: Mapping[str, Any], forms: Mapping[str, Form]
) -> dict[str, Any]:
    """Return the named columns of files that have a header each, by role.

    Parameters
    ----------
    paths : list of Path
        Encoded as UTF-8; compressed if they end in ".gz".
    format_ : {"csv", "tsv"}
    names : dict
        The names of the columns "user", "item" and, if there are such, "value" and "timestamp".
    forms : dict
        What the ids of "user" and "item" are to be, see `text_ids`.
    """
    parts: dict[str, list[Any]] = {role: [] for role in names}
    for path in paths:
        for chunk in _chunks(path, _DELIMITERS[format_], names):
            for role in parts:
                parts[role].append(chunk[role])
    columns: dict[str, Any] = {}
    for role, each in parts.items():
        if role in forms:
            columns[role] = text_ids(*_together(each), forms[role])
        elif role == "value":
            columns[role] = np.concatenate([np.empty(0), *each])
        else:
            columns[role] = times_of(each, f"timestamps of column {names[role]!r}")
    return columns


def read_names(path: Path, format_: str) -> list[str]:
    """Return the names of the columns of a file."""
    with _sentences(path):
        return _header(path, _DELIMITERS[format_])


def read_whole(path: Path, format_: str, column: str) -> Any:
    """Return all columns of a file as a DataFrame: one of texts, the types of all others guessed.

    Guessed are numbers, booleans, and times, which are texts of ISO 8601 but for the missing ones. Whole
    numbers of which some have leading zeros, as codes have, are texts, as `text_ids` has them.
    """
    delimiter = _DELIMITERS[format_]
    with _sentences(path):
        header = _header(path, delimiter)
        for name in (column, *header):
            check_column(name, header, table=repr(str(path)))
        labels, ids = list(map(str, range(len(header) + 1))), str(header.index(column))
        missing = {each: [""] if each == ids else _MISSING for each in labels}
        with _opened(path) as file:
            frame = _parse(file, delimiter, labels, missing, dtype={ids: object})
        _check_width(frame.pop(labels[-1]), len(header), path)
        whole = [each for each in frame if each != ids and _all_whole(frame[each])]
        if whole:
            with _opened(path) as file:
                written = _parse(file, delimiter, labels, missing, usecols=whole, dtype=object)
            codes = [each for each in whole if _are_codes(written[each].dropna())]
            frame[codes] = written[codes]
    for each in frame.columns.drop(ids):
        frame[each] = _time_or_as_is(frame[each])
    return frame.set_axis(header, axis=1)


def _all_whole(column: Any) -> bool:
    """Return whether a column holds whole numbers alone, which are floats where some are missing."""
    return column.dtype.kind in "iuf" and bool((column.dropna() % 1 == 0).all())


def _are_codes(texts: Any) -> bool:
    """Return whether texts are digits alone, and some of them begin with a zero that no number needs."""
    return all(map(_DIGITS.fullmatch, texts)) and any(map(_PADDED.fullmatch, texts))


def _time_or_as_is(column: Any) -> Any:
    """Return a column as times if it has texts that all are times of ISO 8601, apart from missing ones."""
    texts = column.dropna()
    if column.dtype.kind != "O" or texts.empty:
        return column
    if not all(isinstance(each, str) and _DATE.match(each) for each in texts):
        return column
    try:
        return times_of([column], "times")
    except ValueError:
        return column


def text_ids(codes: NDArray[np.integer], texts: NDArray[Any], form: Form) -> Dictionary:
    """Return ids as whole numbers if that is how all of them are written, else as they are.

    "007", "+7" and "1.0" are not how a whole number is written: they would come back as another text.

    Parameters
    ----------
    codes, texts : ndarray
        See `Dictionary`.
    form : {"texts", "numbers"} or None
        "texts" stay texts in any case. With "numbers" those that are written as such become numbers even
        where others are not. None: all or none.
    """
    elements = texts.tolist()
    whole = [_is_whole(each, 2**64) for each in elements]  # as `id_array` keeps them
    if form == "texts" or not any(whole) or (form is None and not all(whole)):
        return Dictionary(codes, texts)
    numbers = [
        int(each) if is_whole else each for each, is_whole in zip(elements, whole, strict=True)
    ]
    return Dictionary(codes, id_array(numbers, "ids") if all(whole) else np.array(numbers, object))


def _is_whole(text: str, end: int) -> bool:
    """Return whether a text is how a whole number from -2**63 to below `end` is written."""
    return _WHOLE.fullmatch(text) is not None and -(2**63) <= int(text) < end


def numbers_of(texts: list[str], name: str) -> NDArray[Any]:
    """Return texts as numbers, whole ones exactly."""
    wrong = [each for each in texts if not is_number(each)]
    if wrong:
        raise ValueError(f"{name} must be numbers, got {shown(wrong[0])}")
    if all(_is_whole(each, 2**63) for each in texts):
        return np.array([int(each) for each in texts], np.int64)
    return np.array([float(each) for each in texts], np.float64)


def is_number(text: str) -> bool:
    """Return whether a text is how a number is written, in any of the usual ways."""
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text  # of which Python makes numbers, and nobody else


def _values_of(column: Any, name: str) -> NDArray[np.float64]:
    """Return a column of values as pandas has read it as floats, NaN where one is missing."""
    if column.dtype.kind in "biuf":
        read: NDArray[np.float64] = column.to_numpy(np.float64, na_value=np.nan)
        return read
    values, there = np.full(len(column), np.nan), column.notna().to_numpy(np.bool_)
    values[there] = numbers_of(column[there].tolist(), name)
    return values


def times_of(parts: list[Any], name: str) -> Any:
    """Return pieces of a column as one column of numbers, or of dates if they are texts of ISO 8601."""
    import pandas as pd

    if not parts:
        return np.empty(0, np.int64)
    columns = [_numbers(each) if each.dtype.kind in "iuf" else _dates(each, name) for each in parts]
    columns = [each for each in columns if len(each)] or columns[:1]
    known = [each for each in columns if not each.isna().all()]
    if len({each.dtype.kind in "iuf" for each in known}) > 1:
        raise TypeError(f"{name} must be all numbers or all dates, got both")
    return pd.concat(columns, ignore_index=True)


def _numbers(column: Any) -> Any:
    """Return numbers in a type of NumPy's, but whole ones beside missing ones, which floats would round."""
    if column.dtype.kind != "f" and column.isna().any():
        return column
    return column.astype(str(column.dtype).lower())


def _dates(column: Any, name: str) -> Any:
    import pandas as pd

    try:
        return pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError):
        dates = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
        wrong = column[dates.isna() & column.notna()].tolist() or column.tolist()
        first = next((each for each in wrong if not is_number(str(each))), wrong[0])
        raise ValueError(
            f"{name} must be numbers or dates of ISO 8601, such as 2024-01-31T12:00:00Z, got {shown(first)}"
        ) from None


def _together(
    parts: list[tuple[NDArray[np.int64], NDArray[Any]]],
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return pieces of a column, each as codes and texts, as codes of common texts."""
    import pandas as pd

    if not parts:
        return np.empty(0, np.int64), np.empty(0, object)
    common, distinct = pd.factorize(np.concatenate([texts for _, texts in parts]))
    codes, start = [], 0
    for own, texts in parts:
        # The last stands for the code -1: missing.
        codes.append(np.append(common[start : start + len(texts)], -1)[own])
        start += len(texts)
    return np.concatenate(codes), distinct


def _chunks(path: Path, delimiter: str, names: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    import pandas as pd

    with _sentences(path):
        header = _header(path, delimiter)
        for name in names.values():
            check_column(name, header, table=repr(str(path)))
        place = {role: str(header.index(name)) for role, name in names.items()}
        # By number, because pandas renames what is there twice; one more, which it would leave out silently.
        labels = list(map(str, range(len(header) + 1)))
        missing = {
            label: _MISSING if role in ("value", "timestamp") else [""]
            for role, label in (place | {"beyond": labels[-1]}).items()
        }
        # Not "category", which makes 7 of "007".
        texts = dict.fromkeys([place["user"], place["item"], labels[-1]], object)
        with _opened(path) as file, _parse(
            file, delimiter, labels, missing, usecols=sorted({*place.values(), labels[-1]}),
            dtype=texts, chunksize=_ROWS, dtype_backend="numpy_nullable",
        ) as pieces:  # fmt: skip
            for piece in pieces:
                _check_width(piece.pop(labels[-1]), len(header), path)
                chunk = {role: piece[label] for role, label in place.items()}
                if "value" in chunk:
                    name = f"values of column {names['value']!r} of {str(path)!r}"
                    chunk["value"] = _values_of(chunk["value"], name)
                yield chunk | {
                    role: pd.factorize(chunk[role].to_numpy()) for role in ("user", "item")
                }


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb")


def _parse(
    file: IO[bytes],
    delimiter: str,
    labels: list[str],
    missing: Mapping[str, list[str]],
    **more: Any,
) -> Any:
    """Return what pandas reads of a file under these labels instead of its header."""
    import pandas as pd

    return pd.read_csv(
        io.BufferedReader(_Relabelled(file, delimiter.join(labels))), sep=delimiter, header=0,
        skiprows=[1], index_col=False, keep_default_na=False, na_values=missing, encoding="utf-8",
        low_memory=False, **more,
    )  # fmt: skip


class _Relabelled(io.RawIOBase):
    """A file under another header, a line before its own, which is then the second line."""

    def __init__(self, file: IO[bytes], header: str) -> None:
        own = file.readline()
        # pandas skips empty lines, too.
        while own and not own.removeprefix(b"\xef\xbb\xbf").strip():
            own = file.readline()
        self._first, self._file = memoryview(header.encode() + b"\n" + own), file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._first[: len(buffer)] or self._file.read(len(buffer))
        self._first = self._first[len(content) :]
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Say in one sentence which file cannot be read, and why."""
    import pandas as pd

    try:
        yield
    except OSError as error:
        if error.errno is None:  # of gzip
            raise ValueError(f"cannot read {str(path)!r}: {said_by(error)}") from None
        raise with_sentence(error, f"cannot read {str(path)!r}") from None
    except (EOFError, zlib.error, UnicodeDecodeError, pd.errors.ParserError) as error:
        if _INTERRUPTED in str(error):
            raise KeyboardInterrupt from None
        raise ValueError(f"cannot read {str(path)!r}: {said_by(error)}") from None


def _header(path: Path, delimiter: str) -> list[str]:
    import pandas as pd

    try:
        first = pd.read_csv(
            path, sep=delimiter, header=None, nrows=1, dtype=str, keep_default_na=False,
            encoding="utf-8", index_col=False,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise ValueError(f"{str(path)!r} is empty: a header is needed") from None
    return [str(each) for each in first.iloc[0]]


def _check_width(beyond: Any, n: int, path: Path) -> None:
    """Raise if a row has a field beyond the header, by which all others may be in the wrong columns."""
    too_long = beyond.notna()
    if too_long.any():
        row, text = too_long.idxmax(), beyond[too_long.idxmax()]
        raise ValueError(
            f"{str(path)!r} has {n} columns, but row {row + 1} below the header has more fields: "
            f"{shown(text)} is beyond the last; text that holds the separator needs quotes"
        )
