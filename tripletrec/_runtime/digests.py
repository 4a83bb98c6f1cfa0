"""Digests of functions and of all that they reach, to see what has changed; `kernel_cache` puts them to use.

A digest covers a function's bytecode, constants and defaults, the values that it may read of globals,
closures and attributes of modules, and the same of every part among these values. Functions of NumPy, Numba
and Python go by their names, since their versions are known.
"""

from __future__ import annotations

import builtins
import hashlib
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from numba import types as numba_types
from numba.core.dispatcher import Dispatcher
from numba.core.typing.templates import builtin_registry

from tripletrec._runtime.marks import PART_MARK

__all__ = [
    "COMPILING",
    "UndecidableError",
    "digest_content",
    "digest_function",
    "join",
    "note_compiled",
    "reached_parts",
]

COMPILING = ("compiler", "digests", "intrinsics", "jit", "kernel_cache", "marks", "overloads")
"""Modules here that decide about machine code by more than the digests cover."""

_HERE = __name__.rpartition(".")[0]
_LIBRARIES = {"_operator", "builtins", "cmath", "math", "numba", "numpy"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))

# The digest that each part had when Numba compiled it in this process; None if it had several. Numba goes on
# using that code when a value that the part reads changes, so it must not be kept under the new digest.
_compiled: weakref.WeakKeyDictionary[Any, bytes | None] = weakref.WeakKeyDictionary()


class UndecidableError(Exception):
    """A function reaches something of which a digest does not tell whether it has changed.

    Namely: a function that is no part, such as one of ``numba.njit`` (which may have been compiled earlier,
    from other values) or one that Numba knows by somebody's ``numba.extending.overload``; a library's
    function, a method or an attribute with such an overload; a part that this process compiled earlier, when
    it read other values; a class that is neither a library's nor a named tuple, or an object of such a class.
    """


def digest_function(function: Callable[..., Any], *values: Any) -> bytes:
    """Return a digest of a function and of all that it reaches, as they are now.

    Parameters
    ----------
    function : callable
        A Python function.
    *values
        Further values to be covered, such as the types of the function's arguments.

    Returns
    -------
    bytes

    Raises
    ------
    UndecidableError
        If it reaches something that cannot be digested.
    """
    digests = _Digests()
    parts = digests.reached(function)[1:]
    for each in parts:
        if each in _compiled and digests.function(each) != _compiled[each]:
            raise UndecidableError(f"{_name(each)} was compiled when it read other values")
    return join(digests.function(function), *map(digests.value, values))


def digest_content(value: Any) -> bytes:
    """Return a digest of a value of any kind, as far as its content can be told; never raises Undecidable.

    Of a function that is the bytecode, constants, defaults and the content of what it may read from outside,
    of an object what it shows of itself or is pickled as, of a library's things and of functions of other
    modules that are read, and are no parts, the name. The digest is the same in all processes.
    """
    return _Contents().value(value)


def note_compiled(part: Callable[..., Any]) -> None:
    """Note that Numba compiles a part now, from the values that it can read at this moment; never raises."""
    try:
        digest = _Digests().function(part)
    except Exception:  # undecidable, or an object that cannot be looked at
        digest = None
    if _compiled.setdefault(part, digest) != digest:
        _compiled[part] = None


def reached_parts(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return the parts that a function reaches, also through what cannot be digested."""
    parts: list[Callable[..., Any]] = []
    rest: list[Any] = [function]
    met = set()
    while rest:
        each = rest.pop()
        if isinstance(each, tuple):
            rest += each
        if isinstance(each, Dispatcher):
            each = each.py_func
        if not isinstance(each, types.FunctionType) or id(each) in met or _is_of_library(each):
            continue
        met.add(id(each))
        if getattr(each, PART_MARK, False):
            parts.append(each)
        rest += [value for _, value in _values_read(each)]
    return parts


def _values_read(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values that a function may read from outside of it, each with its name.

    Bytecode is not taken apart: any name in it may be that of a global, of an attribute of a module or of
    something else. So there may be values here that the function does not read, but none is missing.
    """
    names, namespace = _names(function.__code__), function.__globals__
    found = [(name, namespace[name]) for name in names if name in namespace]
    found += [*_attributes("", builtins, names), *_closed_over(function)]
    modules = set()
    while found:
        name, value = found.pop()
        yield name, value
        if isinstance(value, types.ModuleType) and value not in modules and not _is_library(value):
            modules.add(value)
            found += _attributes(f"{name}.", value, names)


def _attributes(prefix: str, module: Any, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    found = []
    for name in names:
        with suppress(Exception):  # a module may import things to look for a name
            found.append((prefix + name, getattr(module, name)))
    return found


def _closed_over(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # an empty cell: does not compile
            yield name, cell.cell_contents


@lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """Return the names of globals and attributes in bytecode and in that of the functions inside of it."""
    inner = [_names(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return tuple(sorted({*code.co_names, *(name for names in inner for name in names)}))


@lru_cache(maxsize=4096)
def _digest_code(code: types.CodeType) -> bytes:
    """Return the digest of bytecode and constants; the function's name, file and lines are left out."""
    digests, constants = _Digests(), []
    for each in code.co_consts:
        is_code = isinstance(each, types.CodeType)
        constants.append(_digest_code(each) if is_code else digests.value(each))
    shape = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return join(repr((shape, names)).encode(), code.co_code, code.co_exceptiontable, *constants)


class _Digests:
    """Digests of functions and values as they are at one moment; each function is read once."""

    def __init__(self) -> None:
        self._read: dict[Any, tuple[bytes, list[Any]]] = {}
        self._called: list[Any] = []  # the parts among the values met last, in their order

    def function(self, function: Any) -> bytes:
        """Return the digest of a function and of all that it reaches."""
        reached, pieces = self.reached(function), []
        for each in reached:
            digest, called = self._read[each]
            pieces += [digest, repr([reached.index(part) for part in called]).encode()]
        return join(*pieces)

    def reached(self, function: Any) -> list[Any]:
        """Return a function and the parts that it reaches, in an order that is always the same."""
        reached = [function]
        for each in reached:  # it grows meanwhile
            if each not in self._read:
                self._read[each] = self._own(each)
            called = dict.fromkeys(self._read[each][1])
            reached += [part for part in called if part not in reached]
        return reached

    def _own(self, function: Any) -> tuple[bytes, list[Any]]:
        """Return the digest of a function without that of the parts that it calls, and these."""
        code = function.__code__
        if not _foreign_names().isdisjoint(_names(code)):
            raise UndecidableError(f"{_name(function)} may use somebody's overload")
        called: list[Any] = []
        self._called = called
        defaults = function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items()))
        pieces = [_digest_code(code), self.value(defaults)]
        for name, value in _values_read(function):
            pieces += [name.encode(), self.value(value)]
        return join(*pieces), called

    def value(self, value: Any) -> bytes:
        """Return the digest of a value; raise UndecidableError where that would not tell all of it."""
        kind = type(value)
        if kind in _PLAIN or isinstance(value, np.dtype):
            return join(_name(kind).encode(), repr(value).encode())
        if isinstance(value, types.ModuleType):  # its attributes are values of their own
            return join(b"module", value.__name__.encode())
        if isinstance(value, (slice, range)):
            return join(_name(kind).encode(), self.value((value.start, value.stop, value.step)))
        if isinstance(value, (np.ndarray, np.generic)):
            return _digest_array(value)
        if isinstance(value, frozenset):  # in an order that is the same in all processes
            return join(b"frozenset", *sorted(map(self.value, value)))
        if isinstance(value, tuple):
            return join(self._class(kind), *map(self.value, value))
        if isinstance(value, type):
            return self._class(value)
        if numba_types.Type in kind.__mro__:  # isinstance would ask each of its subclasses
            return self._numba_type(value)
        return self._callee(value)

    def _class(self, kind: Any) -> bytes:
        if _is_of_library(kind):
            return join(b"library", _name(kind).encode())
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            about = repr((_name(kind), kind._fields)).encode()
            return join(b"named tuple", about, self.value(tuple(kind._field_defaults.items())))
        raise UndecidableError(f"{_name(kind)} is a class other than a named tuple")

    def _numba_type(self, value: numba_types.Type) -> bytes:
        if isinstance(value, numba_types.BaseTuple):
            named = isinstance(value, (numba_types.NamedTuple, numba_types.NamedUniTuple))
            record = self._class(value.instance_class) if named else b""
            return join(b"types", record, *map(self.value, value.types))
        if " at 0x" in value.name:  # of a function or an object
            raise UndecidableError(f"the type {value.name} has an address in its name")
        return join(b"type", type(value).__name__.encode(), value.name.encode())

    def _callee(self, value: Any) -> bytes:
        if _place(value)[1].rpartition(".")[2] in _foreign_names():
            raise UndecidableError(f"{_name(value)} has somebody's overload")
        if _is_of_library(value):
            return join(b"library", _name(value).encode())
        if isinstance(value, types.FunctionType) and getattr(value, PART_MARK, False):
            self._called.append(value)
            return join(b"part")
        raise UndecidableError(f"{_name(value)} is neither a part nor a plain value")


class _Contents(_Digests):
    """Digests that go as far as they can where those of `_Digests` would not tell all."""

    def __init__(self) -> None:
        super().__init__()
        self._module: Any = None  # whose functions are looked into
        self._known: dict[int, bytes] = {}  # of functions and objects, by their ids
        self._kept: list[Any] = []  # so that no id is given twice

    def value(self, value: Any) -> bytes:
        try:
            return super().value(value)
        except UndecidableError:
            return self._content(value)

    def _callee(self, value: Any) -> bytes:
        if isinstance(value, types.FunctionType) and not _is_of_library(value):
            is_part = getattr(value, PART_MARK, False)
            if is_part or self._module in (None, value.__module__):
                return self._once(value, self._function)
            return join(b"function", _name(value).encode())
        return super()._callee(value)

    def _content(self, value: Any) -> bytes:
        kind = type(value)
        if isinstance(value, Dispatcher):
            return self.value(value.py_func)
        if isinstance(value, dict):
            return join(_name(kind).encode(), *map(self.value, value.items()))
        if isinstance(value, (list, tuple)):
            return join(_name(kind).encode(), *map(self.value, value))
        if isinstance(value, (set, frozenset)):
            return join(_name(kind).encode(), *sorted(map(self.value, value)))
        if isinstance(value, np.ndarray):
            plain = np.asarray(value)
            objects = plain.tolist() if plain.dtype.hasobject else None
            about = repr((plain.dtype.str, plain.shape)).encode()
            return join(about, plain.tobytes() if objects is None else self.value(objects))
        if isinstance(value, types.MethodType):
            return join(self.value(value.__func__), self.value(value.__self__))
        if isinstance(value, type):
            return join(b"class", _name(value).encode())
        return self._once(value, self._object)

    def _once(self, value: Any, digest: Callable[[Any], bytes]) -> bytes:
        """Return the digest of what may reach itself."""
        if id(value) not in self._known:
            self._known[id(value)] = b"itself"
            self._kept.append(value)
            self._known[id(value)] = digest(value)
        return self._known[id(value)]

    def _function(self, function: Any) -> bytes:
        outer, self._module = self._module, function.__module__
        defaults = function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items()))
        pieces = [_digest_code(function.__code__), self.value(defaults)]
        for name, value in _values_read(function):
            pieces += [name.encode(), self.value(value)]
        self._module = outer
        return join(*pieces)

    def _object(self, value: Any) -> bytes:
        name, called = _name(type(value)).encode(), vars(type(value)).get("__call__")
        shows, pickled = repr(value), None
        if " at 0x" in shows:  # of it or of something in it
            shows = ""
            with suppress(Exception):  # what cannot be pickled
                pickled = value.__reduce_ex__(4)[1:3]
        return join(name, shows.encode(), self.value(pickled), self.value(called))


def _digest_array(value: Any) -> bytes:
    kind, flags = type(value), value.flags
    if value.dtype.hasobject or not (kind is np.ndarray or isinstance(value, np.generic)):
        raise UndecidableError(f"an array of kind {_name(kind)}, {value.dtype}")
    layout = flags.c_contiguous, flags.f_contiguous, flags.aligned
    about = repr((_name(kind), value.dtype, value.shape, layout)).encode()
    return join(about, value.tobytes())


def _foreign_names() -> frozenset[str]:
    """Return names of functions, methods and attributes that Numba knows by somebody else's overload only.

    What is overloaded for types of somebody else's, which no kernel meets, is left out: such as ``len``.
    """
    return _scan(len(builtin_registry.functions), len(builtin_registry.attributes))


@lru_cache(maxsize=1)
def _scan(n_functions: int, n_attributes: int) -> frozenset[str]:
    """Look through all that Numba knows by now; that only grows, so its lengths tell when to look again."""
    functions, attributes = builtin_registry.functions, builtin_registry.attributes
    known: dict[int, bool] = {}  # whether a namespace is somebody else's

    def is_foreign(template: Any) -> bool:
        overload = getattr(template, "_overload_func", None)
        namespace = overload.__globals__ if overload else globals()  # others are Numba's
        if id(namespace) not in known:
            module = str(namespace.get("__name__"))
            known[id(namespace)] = module.partition(".")[0] != "numba" and not _compiles(module)
        return known[id(namespace)]

    foreign = [each.key for each in functions if is_foreign(each)]
    by_numba = {each.key for each in functions if not is_foreign(each)} if foreign else set()
    names = {_place(key)[1].rpartition(".")[2] for key in foreign if key not in by_numba}
    for template in filter(is_foreign, attributes):
        kind = template.key if isinstance(template.key, type) else type(template.key)
        if kind.__module__.startswith("numba."):
            names.add(template._attr)
    return frozenset(names)


def _compiles(module: str) -> bool:
    package, _, name = module.rpartition(".")
    return package == _HERE and name in COMPILING


def _is_library(module: types.ModuleType) -> bool:
    return module.__name__.partition(".")[0] in _LIBRARIES


def _is_of_library(value: Any) -> bool:
    """Whether this very object stands under its name in a module of which the key has version or source."""
    module, name = _place(value)
    found: Any = sys.modules.get(module)
    if module.partition(".")[0] not in _LIBRARIES and not _compiles(module):
        return False
    for each in name.split("."):
        found = getattr(found, each, None)
    return found is value


def _place(value: Any) -> tuple[str, str]:
    """Return the module that an object says to be of, and its name in there; empty if it does not say."""
    module = getattr(value, "__module__", None) or ("numpy" if isinstance(value, np.ufunc) else "")
    return str(module), str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))


def _name(value: Any) -> str:
    """Return the name of a function or class, for messages and keys; that of its class for other objects."""
    module, name = _place(value)
    return f"{module}.{name}" if name else f"an object of {_name(type(value))}"


def join(*pieces: bytes) -> bytes:
    """Return a digest of pieces that tells where each of them ends."""
    digest = hashlib.sha256()
    for each in pieces:
        digest.update(b"%d:" % len(each))
        digest.update(each)
    return digest.digest()
