"""Kinds of columns of features: how each is learnt, encoded and checked; whole tables are in `features`."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.feature_columns import (
    Elements,
    FeatureColumn,
    comparable,
    days,
    distinct_pairs,
    elements_of,
    read_column,
    words_of,
)

__all__ = [
    "NO_ENTRIES",
    "SINGLE",
    "Entries",
    "encode_column",
    "is_spec",
    "learn_column",
    "n_columns_of",
]

_LEAST_ROWS = 2  # with a category, for it to get a column of its own
_LEAST_SHARED = 0.1  # of the rows with a value: less says nothing of other rows
_LEAST_WITH_WORDS = 0.5  # of the texts, for splitting them to be worth it
_FEW = 20  # rows that show nothing yet
_SKEWED = 2.0  # as the exponential distribution
_ROUNDING = 1e-13  # of a mean: no deviation that small tells numbers apart
_CATEGORIES = ("categorical", "several", "words")
_MOMENTS = ("number", "logarithm", "duration", "date")
SINGLE = ("flag", "number", "logarithm", "duration")  # of one column each
# What dates are taken apart into, and the numbers that each part may be.
_PARTS = {"weekday": range(7), "month": range(1, 13), "hour": range(24)}

NO_ENTRIES = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
Entries = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def is_spec(spec: Any) -> bool:
    """Tell whether this is how a column can be encoded."""
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), (str, int)):
        return False
    fields = {name: each for name, each in spec.items() if name not in ("name", "kind")}
    kind = spec.get("kind")
    if kind == "date" and not _are_parts(fields.pop("parts", None)):
        return False
    if kind in list(_CATEGORIES):
        return fields.keys() == {"categories"} and _are_categories(fields["categories"])
    if kind == "flag":
        return not fields
    return kind in list(_MOMENTS) and _are_moments(fields, least=kind == "logarithm")


def _are_parts(parts: Any) -> bool:
    if not isinstance(parts, dict) or not parts.keys() <= _PARTS.keys():
        return False
    return all(
        _are_categories(each) and all(type(n) is int and n in _PARTS[part] for n in each)
        for part, each in parts.items()
    )


def _are_moments(fields: dict[str, Any], *, least: bool) -> bool:
    finite = all(isinstance(each, float) and math.isfinite(each) for each in fields.values())
    names = {"mean", "scale", "least"} if least else {"mean", "scale"}
    return finite and fields.keys() == names and min(fields["scale"], fields.get("least", 1.0)) > 0


def _are_categories(values: Any) -> bool:
    plain = isinstance(values, list) and all(isinstance(each, (str, int, float)) for each in values)
    return plain and all(each == each for each in values) and len(set(values)) == len(values)


def n_columns_of(spec: dict[str, Any]) -> int:
    """Return how many columns of the encoding a column of the table becomes."""
    if spec["kind"] == "date":
        return 1 + sum(len(each) + 1 for each in spec["parts"].values())
    return len(spec["categories"]) + 1 if "categories" in spec else 1


def learn_column(column: Any, label: Any, name: str) -> dict[str, Any]:
    """Return how to encode a column such as this, as plain data.

    Parameters
    ----------
    column : pandas Series
    label : str or int
        Its name.
    name : str
        What error messages call the features.
    """
    label = label if isinstance(label, str) else int(label)
    what = f"column {shown(label)} of {name}"
    kind, values = read_column(comparable(column), what)
    if kind == "cells":
        return {"name": label} | _learn_categories(values, what)
    spec: dict[str, Any] = {"name": label, "kind": kind}
    numbers = days(values) if kind == "date" else values
    known = numbers[~np.isnan(numbers)]
    if kind == "number" and np.isin(known, (0.0, 1.0)).all():
        return spec | {"kind": "flag"}
    if kind == "number" and _is_skewed(known):
        spec |= {"kind": "logarithm", "least": float(known.min())}
        known = np.log(known)
    spec |= _moments(known, what)
    if kind == "date":
        spec["parts"] = _learn_parts(values)
    return spec


def _moments(numbers: NDArray[np.float64], what: str) -> dict[str, float]:
    """Return mean and deviation: 0 and 1 of no number, the number and 1 where all are the same."""
    if not len(numbers):
        return {"mean": 0.0, "scale": 1.0}
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(numbers.mean()), float(numbers.std())
    if not math.isfinite(mean) or not math.isfinite(scale):
        raise ValueError(f"{what} must have a mean and a deviation in float64, got beyond")
    if scale <= _ROUNDING * abs(mean):
        return {"mean": float(numbers[0]), "scale": 1.0}
    return {"mean": mean, "scale": scale}


def _is_skewed(numbers: NDArray[np.float64]) -> bool:
    """Tell whether numbers are prices, say: positive, most of them small and a few large.

    Their logarithms told more of items that training had not seen, see `benchmarks/skewed_numbers.py`.
    """
    if len(numbers) < _FEW or numbers.min() <= 0:
        return False
    with np.errstate(all="ignore"):
        return bool(np.mean(((numbers - numbers.mean()) / numbers.std()) ** 3) > _SKEWED)


def _learn_parts(dates: NDArray[Any]) -> dict[str, list[int]]:
    """Return, for each part of dates that is not always the same, the numbers that several rows share."""
    learnt = {}
    for part, numbers in _parts_of(dates).items():
        found, counts = np.unique(numbers[numbers >= 0], return_counts=True)
        shared = found[counts >= _LEAST_ROWS].tolist()
        if len(found) > 1 and shared:
            learnt[part] = shared
    return learnt


def _parts_of(dates: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Return the parts of dates, -1 where there is no date; Monday is day 0."""
    whole_days, months = dates.astype("M8[D]"), dates.astype("M8[M]")
    parts = {
        "weekday": (whole_days.astype(np.int64) + 3) % 7,  # 1970 began on a Thursday
        "month": months.astype(np.int64) % 12 + 1,
        "hour": (dates - whole_days).astype("m8[h]").astype(np.int64),
    }
    return {part: np.where(np.isnat(dates), -1, each) for part, each in parts.items()}


def _learn_categories(values: Any, what: str) -> dict[str, Any]:
    elements = elements_of(values, what)
    kind = "several" if elements.several else "categorical"
    n_known, n_shared = _told(elements, _counts(elements) >= _LEAST_ROWS)
    if n_known >= _LEAST_ROWS and n_shared < _LEAST_SHARED * n_known:
        words = _split(elements, values, what)
        if words is None:
            raise ValueError(_alone(elements, n_known, n_known - n_shared, what))
        kind, elements = "words", words
    elif n_known >= _FEW and 2 * n_shared < n_known:
        warn_user(
            f"{n_known - n_shared} of the {n_known} rows with a value in {what} share it with no other row "
            "and are encoded as unknown: groups, or lists of what rows have in common, would say more"
        )
    counts = _counts(elements)
    frequent = [each for each, n in zip(elements.found, counts, strict=True) if n >= _LEAST_ROWS]
    frequent.sort(key=lambda each: (str(each), repr(each)))
    return {"kind": kind, "categories": frequent}


def _split(elements: Elements, values: Any, what: str) -> Elements | None:
    """Return the words of texts, None if there are other things or too few texts have words in common.

    A word tells something of other texts if it is in several of them, not in all, and has a letter.
    """
    if elements.several or not all(isinstance(each, str) for each in elements.found):
        return None
    words = elements_of(values, what, words_of)
    n_known = np.count_nonzero(elements.codes >= 0)
    counts = _counts(words)
    telling = (counts >= _LEAST_ROWS) & (counts < n_known)
    telling &= np.array([any(map(str.isalpha, each)) for each in words.found], bool)
    return words if _told(words, telling)[1] >= _LEAST_WITH_WORDS * n_known else None


def _counts(elements: Elements) -> NDArray[np.int64]:
    """Return in how many rows each element is."""
    return np.bincount(elements.codes[elements.codes >= 0], minlength=len(elements.found))


def _told(elements: Elements, telling: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many rows have an element, and how many have a telling one."""
    masks = elements.codes >= 0, np.append(telling, False)[elements.codes]
    n_known, n_told = (int(np.count_nonzero(np.bincount(elements.rows[mask]))) for mask in masks)
    return n_known, n_told


def _alone(elements: Elements, n_known: int, n_alone: int, what: str) -> str:
    """Return the sentence that refuses a column whose values say nothing of other rows."""
    first = elements.found[0]
    advice = "leave the column out, or give lists of what rows have in common, such as words"
    if isinstance(first, str) and re.match(r"\d{4}-\d\d?-\d\d?", first):
        advice = (
            "if they are dates, convert them with pandas.to_datetime, else leave the column out"
        )
    return (
        f"{what} must hold values that rows share, but {n_alone} of {n_known} have theirs alone, such as "
        f"{shown(first)}: {advice}"
    )


def encode_column(column: Any, spec: dict[str, Any], name: str) -> Entries:
    """Return rows, columns and values of the entries of a column that are not zero.

    Parameters
    ----------
    column : pandas Series
    spec : dict
        From `learn_column`.
    name : str
        What error messages call the features.
    """
    what, kind = f"column {shown(spec['name'])} of {name}", spec["kind"]
    column = comparable(column)
    found, values = read_column(column, what)
    if kind in _CATEGORIES:
        return _encode_categories(FeatureColumn(found, values), column, spec, what)
    wanted = "number" if kind in ("flag", "logarithm") else kind
    if found != wanted:
        if not column.isna().all():
            raise ValueError(f"{what} must hold {wanted}s, as in fit, got {column.dtype}")
        values = np.full(len(column), *(("NaT", "M8[us]") if kind == "date" else (np.nan,)))
    numbers = days(values) if kind == "date" else values
    if kind == "logarithm":
        numbers = np.log(np.maximum(numbers, spec["least"]))
    if kind != "flag":
        numbers = (numbers - spec["mean"]) / spec["scale"]
    with np.errstate(over="ignore"):
        numbers = np.nan_to_num(numbers, nan=0.0, posinf=np.inf, neginf=-np.inf).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{what} must fit float32, got a number beyond it")
    rows = np.flatnonzero(numbers)
    entries = [(rows, np.zeros(len(rows), np.int64), numbers[rows])]
    if kind == "date":
        entries += _encode_parts(_parts_of(values), spec["parts"])
    rows, columns, values = (np.concatenate(each) for each in zip(*entries, strict=True))
    return rows, columns, values


def _encode_parts(
    parts: dict[str, NDArray[np.int64]], learnt: dict[str, list[int]]
) -> list[Entries]:
    entries: list[Entries] = []
    start = 1
    for part, numbers in parts.items():
        if part not in learnt:
            continue
        place = np.full(_PARTS[part].stop + 1, len(learnt[part]))  # the last is of no date
        place[learnt[part]] = np.arange(len(learnt[part]))
        ones = np.ones(len(numbers), np.float32)
        entries.append((np.arange(len(numbers)), start + place[numbers], ones))
        start += len(learnt[part]) + 1
    return entries


def _encode_categories(
    read: FeatureColumn, column: Any, spec: dict[str, Any], what: str
) -> Entries:
    if spec["kind"] == "words" and read.kind != "cells" and not column.isna().all():
        raise TypeError(f"{what} must hold texts, as in fit, got {column.dtype}")
    values = read.values if read.kind == "cells" else column
    elements = elements_of(values, what, words_of if spec["kind"] == "words" else None)
    categories = spec["categories"]
    place = {each: n for n, each in enumerate(categories)}
    unknown = len(place)
    _refuse_other_types(elements.found, categories, what)
    of_code = np.array([*(place.get(each, unknown) for each in elements.found), unknown], np.int64)
    rows, columns = elements.rows, of_code[elements.codes]
    if elements.several:  # of which more than one may be unknown
        rows, columns = distinct_pairs(rows, columns, unknown + 1)
    return rows, columns, np.ones(len(rows), np.float32)


def _refuse_other_types(found: list[Any], categories: list[Any], what: str) -> None:
    """Raise if all categories that fit saw are strings and all these are numbers, or the other way round."""
    kinds = [{isinstance(each, str) for each in some} for some in (categories, found)]
    if len(kinds[0]) == len(kinds[1]) == 1 and kinds[0] != kinds[1]:
        wanted = "strings" if kinds[0] == {True} else "numbers"
        raise TypeError(f"{what} must hold {wanted}, as in fit, got {shown(found[0])}")
