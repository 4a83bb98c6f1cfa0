"""Parameters and records as plain JSON, and back, checked; ids are in `data.id_packing`.

A part, such as a loss, is

- ``"bpr"``: the name of a built-in one;
- ``{"part": {...}}``: a built-in one with all its numbers;
- ``{"own": "mine"}``: one of the user's own, of which only the name is kept: no code comes from a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from numbers import Integral, Real
from typing import Any

import numpy as np

from tripletrec._checks import OwnName
from tripletrec._runtime.messages import shown
from tripletrec.data.id_arrays import keys_of
from tripletrec.losses import LIST_LOSSES, LOSSES, SEARCHING_LOSSES, ListLoss, Loss
from tripletrec.optimizers import OPTIMIZERS, Optimizer
from tripletrec.rates import SCHEDULES, Schedule
from tripletrec.sampling import HARD_SAMPLERS, SAMPLERS, Sampler
from tripletrec.scorers import SCORERS, Scorer

__all__ = [
    "is_own",
    "is_part",
    "pack_notes",
    "pack_parameter",
    "unpack_parameter",
]

_PARTS: dict[str, tuple[tuple[type, ...], Mapping[str, Any]]] = {
    "loss": ((Loss, ListLoss), {**LOSSES, **SEARCHING_LOSSES, **LIST_LOSSES}),
    "scorer": ((Scorer,), SCORERS),
    "optimizer": ((Optimizer,), OPTIMIZERS),
    "sampler": ((Sampler,), SAMPLERS | HARD_SAMPLERS),
    "schedule": ((Schedule,), SCHEDULES),
}
_LONGEST_NAME = 100


def pack_parameter(name: str, value: Any) -> Any:
    """Return what stands in the JSON for a parameter; of a source of randomness, None.

    Raises
    ------
    TypeError
        If it is nothing that a parameter can be.
    ValueError
        If it is a part of the user's own that would be something else when it is read again.
    """
    if name in _PARTS and value is not None:
        return _pack_part(name, value)
    if name == "random_state" and isinstance(value, (np.random.Generator, np.random.RandomState)):
        return None
    if isinstance(value, (timedelta, np.timedelta64)):
        return _pack_period(value)
    return _plain(name, value)


def unpack_parameter(name: str, value: Any) -> Any:
    """Return the parameter that `pack_parameter` was given; of a part of one's own its name."""
    if name in _PARTS and value is not None:
        return _unpack_part(name, value)
    if isinstance(value, dict):
        form, content = _only_item(value)
        if form == "tuple" and isinstance(content, list):
            return tuple(content)
        if form == "timedelta" and isinstance(content, list) and set(map(type, content)) == {int}:
            return timedelta(*content[:3])
        raise ValueError(f"{name} is {shown(value)}, which is no parameter")
    return value


def is_own(value: Any) -> bool:
    """Tell whether what stands in the JSON is a part of the user's own."""
    return isinstance(value, dict) and "own" in value


def is_part(name: str) -> bool:
    """Tell whether a parameter is a part, such as a loss."""
    return name in _PARTS


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, np.bool_)):
        return value if value is None else bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, np.ndarray):
        return _plain(name, value.tolist())
    if isinstance(value, (list, range)):
        return [_plain(name, each) for each in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(name, each) for each in value]}
    raise TypeError(f"{name} must be a name, a number or several, got {shown(value)}")


def _pack_period(value: timedelta | np.timedelta64) -> Any:
    if isinstance(value, np.timedelta64):
        if np.isnat(value):
            return None
        attoseconds = keys_of(np.atleast_1d(value))[0]
        try:
            value = timedelta(microseconds=attoseconds // 10**12)
        except OverflowError:  # longer than a timedelta can be
            return attoseconds / 10**18
    return {"timedelta": [value.days, value.seconds, value.microseconds]}


def _pack_part(slot: str, part: Any) -> Any:
    kinds, known = _PARTS[slot]
    if isinstance(part, str):
        return str(part) if part in known else {"own": _checked_name(slot, part)}
    if not isinstance(part, kinds):
        raise TypeError(f"{slot} must be a name or a {kinds[0].__name__}, got {shown(part)}")
    given: Any = part
    if not isinstance(given.name, str) or given.name not in known:
        return {"own": _checked_name(slot, given.name)}
    if not _has_functions_of(given, known[given.name]()):
        raise ValueError(
            f"a {type(given).__name__} of your own cannot be saved under the name {given.name!r}, "
            "which is a built-in one's: give it another name"
        )
    fields = {name: each for name, each in given._asdict().items() if not callable(each)}
    return {"part": {name: _number(each) for name, each in fields.items()}}


def _has_functions_of(part: Any, built_in: Any) -> bool:
    """Tell whether a part consists of the functions of a built-in one."""
    return type(part) is type(built_in) and all(
        getattr(part, name) is getattr(built_in, name) for name in _functions_of(built_in)
    )


def _functions_of(part: Any) -> list[str]:
    optional = ("choose", "weigh")  # of which a part may have none
    return [name for name in part._fields if name in optional or callable(getattr(part, name))]


def _number(value: Any) -> Any:
    """Return a number of a part, or several, as those of Python."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_number(each) for each in value]
    return value


def _unpack_part(slot: str, value: Any) -> Any:
    _, known = _PARTS[slot]
    if isinstance(value, str):
        if value not in known:
            raise ValueError(
                f"{slot} must be one of {', '.join(map(repr, known))}, got {shown(value)}"
            )
        return value
    form, content = _only_item(value)
    if form == "own":
        return OwnName(_checked_name(slot, content))
    name = content.get("name") if form == "part" and isinstance(content, dict) else None
    if name not in list(known):
        raise ValueError(f"{slot} is {shown(value)}, which is no part that is known")
    return _with_fields(slot, known[name](), content)


def _with_fields(slot: str, part: Any, fields: dict[str, Any]) -> Any:
    """Return a built-in part with the numbers that a file gives it."""
    for name, each in fields.items():
        field = tuple(each) if isinstance(each, list) else each
        if name not in part._fields or not _is_like(field, getattr(part, name), part, name):
            raise ValueError(f"{name!r} of {slot} {part.name!r} cannot be {shown(each)}")
        part = part._replace(**{name: field})
    return part


def _only_item(value: Any) -> tuple[Any, Any]:
    """Return the name and the content of a JSON object of one entry; of anything else, None twice."""
    return (
        next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (None, None)
    )


def _is_like(value: Any, default: Any, part: Any, name: str) -> bool:
    """Tell whether a field of a part may be what a file says, given what it is by default."""
    if name in _functions_of(part):
        return value is None and default is None
    if isinstance(default, tuple):
        return (
            isinstance(value, tuple) and len(value) == len(default) and all(map(_is_finite, value))
        )
    if isinstance(default, (bool, str)):
        return type(value) is type(default)
    if isinstance(default, int):
        return type(value) is int and value >= 1
    if value is None:
        return name == "temperature"
    return _is_finite(value)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _checked_name(slot: str, name: Any) -> str:
    """Return the name of a part of one's own."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(
            f"the name of a {slot} must be a string of 1 to {_LONGEST_NAME} printable characters, "
            f"got {shown(name)}"
        )
    return name


def pack_notes(history: Any) -> tuple[Any, list[str]]:
    """Return the records of epochs as they stand in the JSON, and the names of notes that cannot."""
    lost: dict[str, None] = {}
    records = []
    for record in history:
        kept = {}
        for name, note in record.items():
            plain = _note(note)
            if plain is _LOST or not isinstance(name, str):
                lost[shown(name)] = None
            else:
                kept[name] = plain
        records.append(kept)
    return records, list(lost)


_LOST = object()
_DEEPEST = 10


def _note(value: Any, depth: int = 0) -> Any:
    """Return a note as plain data, `_LOST` if it is none: a number, a string, None, or lists of such."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) not in (list, tuple, dict):
        return value if _is_plain(value) else _LOST
    if depth == _DEEPEST:
        return _LOST
    if type(value) is not dict:
        found = [_note(each, depth + 1) for each in value]
        return _LOST if _LOST in found else found
    entries = {name: _note(each, depth + 1) for name, each in value.items()}
    lost = _LOST in entries.values() or not all(type(each) is str for each in entries)
    return _LOST if lost else entries


def _is_plain(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 2**1000
    return value is None or type(value) in (bool, float, str)
