"""Checks of parts that users write, in one sentence and before a kernel is compiled; compiling is in `jit`.

A part is tried out in Python, which takes microseconds. Where that fails the compiled part decides: what
Numba compiles need not run in Python. What runs in Python but does not compile is found out by `explain`,
after the kernel has failed.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tripletrec._runtime.jit import kernel
from tripletrec._runtime.marks import PART_MARK, CompilationError
from tripletrec._runtime.messages import said_by, shorten, shown

__all__ = [
    "PartField",
    "check_fields",
    "check_name",
    "check_numbers",
    "explain",
    "is_finite",
    "once",
]

T = TypeVar("T")
_PLAIN_WORDS = (
    (r"NRT required|Only accept returning of array", "it makes an array or another object"),
    (r"re-entrant|recursion", "it calls itself"),
    (r"NameError: .*|Untyped global name .*|Unknown attribute .*|Use of unsupported opcode.*", ""),
    (r"No implementation of function Function\(<(?!function).*(?= found)", ""),
)


class PartField(NamedTuple):
    """A field of a record that holds a part, and how a kernel calls it.

    Parameters
    ----------
    owner : str
        The record, as in "loss 'mine'".
    name : str
    function : object
        What the user has put there.
    arguments : tuple of str
    returns : str
        In words.
    n_numbers : int
        How many numbers it returns; 0: its result is not used.
    examples : sequence of tuples
        Arguments to try it with; arrays in them are copied.
    """

    owner: str
    name: str
    function: Any
    arguments: tuple[str, ...]
    returns: str
    n_numbers: int
    examples: tuple[tuple[Any, ...], ...]

    @property
    def rule(self) -> str:
        """What is allowed, as the beginning of a sentence."""
        return (
            f"{self.owner}: {self.name} must be a function marked with tripletrec.part of "
            f"({', '.join(self.arguments)}) that returns {self.returns}"
        )


def check_fields(fields: Iterable[PartField]) -> None:
    """Raise unless all fields hold parts that take the arguments, and return what is wanted.

    Raises
    ------
    TypeError
        If one is no part, takes other arguments, returns something else, or does not compile.
    ValueError
        If one raises.
    FloatingPointError
        If one returns or writes what is not finite.
    """
    for field in fields:
        _check_function(field)
        for arguments in field.examples:
            _check_result(field, *_try(field, arguments), arguments)


def check_name(name: Any, kind: str) -> str:
    """Return what messages call a record, as in "loss 'mine'"; raise unless its name is a string."""
    if not isinstance(name, str):
        raise TypeError(f"name of a {kind} must be a string, got {shown(name)}")
    return f"{kind} {name!r}"


def check_numbers(values: Any, owner: str, field: str) -> None:
    """Raise unless the field of a record is a tuple of finite numbers."""
    if not isinstance(values, tuple) or not all(isinstance(each, Real) for each in values):
        raise TypeError(f"{owner}: {field} must be a tuple of numbers, got {shown(values)}")
    if not all(map(is_finite, values)):
        raise ValueError(f"{owner}: {field} must be a tuple of finite numbers, got {values!r}")


def once(check: Callable[[T], None]) -> Callable[[T], None]:
    """Return a check that is not repeated for a record that has passed it."""
    remembered = lru_cache(maxsize=128)(check)

    def checked(record: T) -> None:
        try:
            hash(record)
        except TypeError:
            check(record)
        else:
            remembered(record)

    return checked


def explain(fields: Iterable[PartField], error: CompilationError) -> TypeError:
    """Return an error that says which part keeps a kernel from being compiled, each compiled by itself."""
    for field in fields:
        try:
            for arguments in field.examples:
                _run_compiled(field.function, arguments)
        except CompilationError as own:
            return TypeError(f"{field.rule}, but Numba cannot compile it: {_reason(own)}")
        except Exception:  # it compiles
            continue
    return TypeError(f"the parts cannot be compiled together: {_reason(error)}")


def is_finite(number: Any) -> bool:
    """Return whether a real number is finite as a float."""
    try:
        return math.isfinite(number)
    except OverflowError:  # of an integer
        return False


def _check_function(field: PartField) -> None:
    function = field.function
    if not callable(function):
        raise TypeError(f"{field.rule}, got {shown(function)}")
    if not getattr(function, PART_MARK, False):
        name = getattr(function, "__name__", None) or shown(function)
        raise TypeError(f"{field.rule}, got {name}, which is not marked")
    signature = inspect.signature(function)
    try:
        signature.bind(*field.arguments)
    except TypeError:
        raise TypeError(f"{field.rule}, got {function.__name__}{shorten(str(signature))}") from None


def _try(field: PartField, arguments: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return the result of a part, and its arguments as they are afterwards."""
    given = copy.deepcopy(arguments)
    try:
        with np.errstate(all="ignore"):
            return field.function(*given), given
    except IndexError as error:  # a kernel would write to the memory of something else
        raise ValueError(f"{field.rule}; it raised {said_by(error)}") from error
    except Exception as error:
        in_python = error
    given = copy.deepcopy(arguments)
    try:
        return _run_compiled(field.function, given), given
    except CompilationError:
        raise TypeError(f"{field.rule}; it raised {said_by(in_python)}") from in_python
    except Exception as error:
        raise ValueError(f"{field.rule}; it raised {said_by(error)}") from error


def _run_compiled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    @kernel
    def probe(arguments):
        return function(*arguments)

    return probe(arguments)


def _check_result(
    field: PartField, result: Any, after: tuple[Any, ...], before: tuple[Any, ...]
) -> None:
    """Raise unless a result is what is wanted, and everything is finite."""
    numbers = _numbers(field, result)
    wrong = [each for each in numbers if not is_finite(each)]
    for array in after:
        if isinstance(array, np.ndarray):
            wrong += array[~np.isfinite(array)].tolist()
    if wrong:
        where = ", ".join(
            f"{name} = {value:g}"
            for name, value in zip(field.arguments, before, strict=True)
            if isinstance(value, Real)
        )
        verb = "returned" if field.n_numbers else "wrote"
        raise FloatingPointError(
            f"{field.owner} {verb} {shorten(str(wrong[0]))} at {where}: its {field.name} must be finite "
            "for finite numbers"
        )


def _numbers(field: PartField, result: Any) -> tuple[Any, ...]:
    """Return the numbers that a part returned; raise unless there are as many as there should be."""
    if field.n_numbers == 0:
        return ()
    numbers = result if field.n_numbers > 1 and isinstance(result, tuple) else (result,)
    alike = all(isinstance(each, (Real, np.bool_)) for each in numbers)
    if len(numbers) != field.n_numbers or not alike:
        raise TypeError(f"{field.rule}, got one that returns {shown(result)}")
    return numbers


def _reason(error: BaseException) -> str:
    """Return in one line what Numba said: of its tree of failures the leaf that users understand best."""
    text = re.sub(r"\x1b\[\d*m", "", str(error.__cause__ or error))
    for found, said in _PLAIN_WORDS:
        match = re.search(found, text)
        if match:
            return shorten(said or match[0])
    lines = [line.strip() for line in text.splitlines()]
    return shorten(next((each for each in lines if each and "pipeline" not in each), repr(error)))
