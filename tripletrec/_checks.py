"""Checks of parameters, where they enter, with one sentence per error; arrays and ids are checked in `data`.

Each function returns the checked value in the form that the rest of the package computes with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from tripletrec._runtime.cores import available_cores
from tripletrec._runtime.messages import shown

T = TypeVar("T")

MOST = 2**31 - 1  # of what is counted: users and items have numbers of 32 bits
_MOST_THREADS = 1024  # no machine has work for more, and no result depends on it
# With less work than this (in multiply-adds, roughly 10 ms) a second thread costs more than it saves.
_WORTH_A_THREAD = 2e7
_LEAST_FLOAT32 = 1.2e-38  # smaller numbers are subnormal in float32, and treated as zero


def is_number(value: Any, kind: type = Real) -> bool:
    """Tell whether a value is a number: a boolean is none, nor is a duration of NumPy, though Integral."""
    return isinstance(value, kind) and not isinstance(value, (bool, np.timedelta64))


def check_real(value: Any, name: str, allowed: str = "a finite number") -> float:
    """Return `value` as a finite float."""
    if not is_number(value):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond all floats
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return number


def check_positive(value: Any, name: str) -> float:
    """Return `value` as a float > 0."""
    number = check_real(value, name, "a finite number > 0")
    if number <= 0.0:
        raise ValueError(f"{name} must be a finite number > 0, got {shown(value)}")
    if number < _LEAST_FLOAT32:
        raise ValueError(f"{name} must be at least {_LEAST_FLOAT32:g}, got {shown(value)}")
    return number


def check_non_negative(value: Any, name: str) -> float:
    """Return `value` as a float >= 0."""
    number = check_real(value, name, "a finite number >= 0")
    if number < 0.0:
        raise ValueError(f"{name} must be a finite number >= 0, got {shown(value)}")
    return number


def check_share(value: Any, name: str, *, closed: bool | Literal["left"] = False) -> float:
    """Return `value` as a float in (0, 1); in [0, 1] if `closed`, in [0, 1) if that is "left"."""
    allowed = "a number from 0 to 1" if closed else "a number between 0 and 1 (both excluded)"
    if closed == "left":
        allowed += " (1 excluded)"
    number = check_real(value, name, allowed)
    within = 0.0 <= number <= 1.0 and (closed or number > 0.0) and (closed is True or number < 1.0)
    if not within:
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return number


def check_count(value: Any, name: str, least: int = 1, most: int | None = MOST) -> int:
    """Return `value` as an int from `least` to `most`; None: however large."""
    if not is_number(value, Integral):
        raise TypeError(f"{name} must be an integer >= {least}, got {shown(value)}")
    count = int(value)
    if count < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {shown(value)}")
    if most is not None and count > most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, got {shown(value)}")
    return count


def is_flag(value: Any) -> bool:
    """Return whether `value` is true or false: Python's, NumPy's or an array that is one truth value."""
    is_array = isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype == bool
    return is_array or isinstance(value, (bool, np.bool_))


def check_flag(value: Any, name: str) -> bool:
    """Return `value` as a bool."""
    if is_flag(value):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {shown(value)}")


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'AEIOU' else 'a'} {word}"


def check_utf8(text: str, name: str) -> None:
    """Raise unless UTF-8 has a text, which half a surrogate pair, as in names of files, is none of."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name} must be text in UTF-8, got {shown(text)}: "
            "give text.encode('utf-8', 'backslashreplace').decode()"
        ) from None


def check_choice(value: Any, name: str, *allowed: str | None) -> None:
    """Raise unless `value` is one of a few names, or None where that is allowed."""
    if (value is None or isinstance(value, str)) and value in allowed:
        return
    *others, last = map(repr, allowed)
    raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {shown(value)}")


class OwnName(str):
    """The name of a part of the user's own, of which a file of a model holds no more."""


def choose(value: Any, known: Mapping[str, Callable[[], T]], kind: type[T], name: str) -> T:
    """Return the part that `value` names, or `value` itself if it is such a part."""
    if isinstance(value, kind):
        return value
    names = ", ".join(repr(each) for each in known)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {names} or {_a(kind.__name__)}, got {shown(value)}")
    if isinstance(value, OwnName):
        raise ValueError(
            f"{name} {str(value)!r} is one of your own, of which the model's file holds only the name: set "
            f"model.{name} = ..."
        )
    if value not in known:
        raise ValueError(
            f"{name} must be one of {names} or {_a(kind.__name__)}, got {shown(value)}"
        )
    return known[value]()


def check_n_jobs(n_jobs: Any, work: float = math.inf) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    n_jobs : int or None
        None: one thread where `work` is small, else all cores that the process may use; -1: all of
        these, -2: all but one, and so on as in scikit-learn; otherwise that many.
    work : float, default inf
        Multiply-adds of the whole computation.
    """
    if n_jobs is None:
        return 1 if work < _WORTH_A_THREAD else available_cores()
    if not is_number(n_jobs, Integral):
        raise TypeError(f"n_jobs must be None or an integer other than 0, got {shown(n_jobs)}")
    if n_jobs == 0:
        raise ValueError("n_jobs must be None or an integer other than 0, got 0")
    wanted = int(n_jobs)
    return min(wanted, _MOST_THREADS) if wanted > 0 else max(1, available_cores() + 1 + wanted)


if TYPE_CHECKING:
    Seed: TypeAlias = int | np.integer[Any] | np.random.Generator | np.random.RandomState | None
else:  # to name them takes the import of all random numbers of NumPy
    Seed: TypeAlias = Any
"""What a `random_state` is."""


def check_random_state(random_state: Any) -> int:
    """Return a seed in 0 ... 2**63 - 1; a generator advances, None draws from the system."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    if is_number(random_state, Integral):
        if not 0 <= int(random_state) < 2**63:
            raise ValueError(f"random_state must be from 0 to 2**63 - 1, got {shown(random_state)}")
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31, dtype=np.int64))
    raise TypeError(
        f"random_state must be None, an integer, a RandomState or a Generator, got {shown(random_state)}"
    )


def check_cutoffs(k: Any) -> tuple[int, ...]:
    """Return one or several list lengths, each an int from 1 to 2**31 - 1."""
    given = tuple(k) if isinstance(k, (Sequence, np.ndarray)) and np.ndim(k) == 1 else (k,)
    if not given:
        raise ValueError("k must hold at least one integer >= 1, got none")
    return tuple(check_count(each, "k") for each in given)


def check_matplotlib() -> None:
    """Raise ImportError, with what to do, if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401 - asked whether it is there
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install matplotlib") from error
