"""Machine code of kernels on disk, under a key that covers all that it was made from; compiling is in `jit`.

Numba's own cache looks only at the file of the kernel: edit a part in another file, and it goes on running
the old code. Here a file is named by a digest of

- the bytecode, constants and defaults of the kernel and of every part that it reaches;
- the values that any of them may read: of globals, closures and attributes of modules;
- the types of the arguments, the compiler and its settings, the processor;
- the versions of Python, NumPy, Numba and LLVM, and the sources of the modules that compile.

So a file is never out of date or overwritten with something else, processes cannot mistake each other's code,
and no index is needed.

Where this does not tell whether code has changed, it is compiled in each process and not kept on disk
(`UndecidableError` says which cases these are). A file that is missing, damaged or cannot be written means
the same; nothing is raised. The logger "tripletrec" says at level DEBUG why a kernel was not kept or found.

Files hold pickles: whoever may write to the cache folder may run code in the processes that read it.
"""

from __future__ import annotations

import builtins
import hashlib
import logging
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite.binding import llvm_version_info
from numba import types as numba_types
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps
from numba.core.typing.templates import builtin_registry

from tripletrec._runtime.files import replacing

__all__ = [
    "PART_MARK",
    "UndecidableError",
    "digest_function",
    "enable_cache",
    "note_compiled",
    "reached_parts",
]

PART_MARK = "_tripletrec_part"
"""Attribute of a function that is a part; it travels with functions that are pickled by value."""

_LOG = logging.getLogger("tripletrec")
_LIBRARIES = {
    "_operator",
    "builtins",
    "cmath",
    "math",
    "numba",
    "numpy",
}  # their versions are in the key
_PACKAGE = __name__.rpartition(".")[0]
_COMPILING = ("intrinsics", "jit", "kernel_cache")  # modules here whose sources are in the key
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_SETTINGS = (
    "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "CPU_NAME", "CPU_FEATURES", "ENABLE_AVX",
    "USING_SVML", "DEBUGINFO_DEFAULT",
)  # fmt: skip

# The digest that each part had when Numba compiled it in this process; None if it had several. Numba goes on
# using that code when a value that the part reads changes, so it must not be kept under the new digest.
_compiled: weakref.WeakKeyDictionary[Any, bytes | None] = weakref.WeakKeyDictionary()


class UndecidableError(Exception):
    """A kernel reaches something of which the digest does not tell whether it has changed.

    Namely: a function that is no part, such as one of ``numba.njit`` (which may have been compiled earlier,
    from other values) or one that Numba knows by somebody's ``numba.extending.overload``; a library's
    function, a method or an attribute with such an overload; a part that calls itself; a part that this
    process compiled earlier, when it read other values; a class that is neither a library's nor a named
    tuple, or an object of such a class.
    """


def enable_cache(compiled: Any, compiler: str) -> None:
    """Let a dispatcher keep its machine code on disk, where there is a folder for it.

    Parameters
    ----------
    compiled : Dispatcher or function
        What ``numba.njit`` returned: a plain function where Numba is switched off.
    compiler : str
        Name of the compiler's class, a part of the key.
    """
    if hasattr(compiled, "py_func"):
        compiled._cache = _KernelCache(compiled.py_func, compiler)


class _KernelCache(NullCache):
    """What a dispatcher asks before it compiles and tells afterwards: one file for each key."""

    def __init__(self, py_func: Callable[..., Any], compiler: str) -> None:
        self._py_func, self._compiler = py_func, compiler
        self._keys: dict[Any, str] = {}

    @cached_property
    def _numba(self) -> Any:
        """What in Numba finds a folder to write to and makes code into bytes; None if nothing is kept."""
        try:
            return _ENVIRONMENT and CompileResultCacheImpl(self._py_func)
        except (RuntimeError, OSError):
            return None

    @property
    def cache_path(self) -> str | None:
        """The folder, None if nothing is kept."""
        return self._numba and str(self._numba.locator.get_cache_path())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for types of arguments from the disk, None to have it compiled."""
        self._keys.pop(sig, None)
        if self.cache_path is None:
            return None
        try:
            # Before compiling: the values that are digested are those that will be compiled.
            self._keys[sig] = key = self._key(sig, target_context)
            content = self._file(key).read_bytes()
            checksum, data = content[:32], content[32:]
            if hashlib.sha256(data).digest() != checksum:
                return None
            target_context.refresh()
            return self._numba.rebuild(target_context, pickle.loads(data))
        except FileNotFoundError:
            pass
        except Exception as error:  # what is damaged, or of another program, may raise anything
            _LOG.debug("%s is compiled anew: %r", self._py_func.__qualname__, error)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code that was compiled on disk."""
        key = self._keys.pop(sig, None)
        if key is None or data.lifted or data.library.has_dynamic_globals:
            return
        try:
            # Once more: a value may have changed while it was compiled.
            if self._key(sig, data.target_context) == key:
                self._write(self._file(key), data)
        except Exception as error:  # a full disk, no folder, something that cannot be pickled
            _LOG.debug("%s is not kept on disk: %r", self._py_func.__qualname__, error)

    def _write(self, file: Path, data: Any) -> None:
        content = dumps(self._numba.reduce(data))
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def _file(self, key: str) -> Path:
        return Path(self.cache_path or "", f"{self._py_func.__name__.strip('<>')}-{key}.nbc")

    def _key(self, sig: Any, target_context: Any) -> str:
        settings = [getattr(config, name, None) for name in _SETTINGS]
        processor = target_context.codegen().magic_tuple()
        about = repr((self._compiler, processor, settings)).encode()
        digests = _Digests()
        arguments = map(digests.value, sig)
        return _join(_ENVIRONMENT or b"", about, digests.function(self._py_func), *arguments).hex()[
            :40
        ]


def digest_function(function: Callable[..., Any]) -> bytes:
    """Return a digest of a function and of all that it reaches, as they are now.

    Parameters
    ----------
    function : callable
        A Python function.

    Returns
    -------
    bytes

    Raises
    ------
    UndecidableError
        If it reaches something that cannot be digested.
    """
    return _Digests().function(function)


def note_compiled(part: Callable[..., Any]) -> None:
    """Note that Numba compiles a part now, from the values that it can read at this moment."""
    try:
        digest = _Digests().function(part)
    except UndecidableError:
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
    code, names = function.__code__, _names(function.__code__)
    found = []
    for name in names:
        for namespace in (function.__globals__, vars(builtins)):
            if name in namespace:
                found.append((name, namespace[name]))
                break
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # an empty cell: does not compile
            found.append((name, cell.cell_contents))
    modules = set()
    while found:
        name, value = found.pop()
        yield name, value
        if isinstance(value, types.ModuleType) and value not in modules:
            modules.add(value)
            if value.__name__.partition(".")[0] not in _LIBRARIES:
                attributes = [each for each in names if hasattr(value, each)]
                found += [(f"{name}.{each}", getattr(value, each)) for each in attributes]


@lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """Return the names of globals and attributes in bytecode and in that of the functions inside of it."""
    inner = [_names(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return tuple(sorted({*code.co_names, *(name for names in inner for name in names)}))


@lru_cache(maxsize=4096)
def _digest_code(code: types.CodeType) -> bytes:
    """Return the digest of bytecode and constants; names and lines of its file are left out."""
    digests, constants = _Digests(), []
    for each in code.co_consts:
        is_code = isinstance(each, types.CodeType)
        constants.append(_digest_code(each) if is_code else digests.value(each))
    shape = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    about = repr((shape, names)).encode()
    return _join(about, code.co_code, code.co_exceptiontable, *constants)


class _Digests:
    """Digests of functions and values as they are at one moment; each function is read once."""

    def __init__(self) -> None:
        self._functions: dict[int, bytes] = {}  # by id; empty while under way

    def function(self, function: Any) -> bytes:
        """Return the digest of a function's code and of the values that it may read."""
        digest = self._functions.get(id(function))
        if digest is None:
            self._functions[id(function)] = b""
            digest = self._functions[id(function)] = self._read(function)
            if _compiled.get(function, digest) != digest:
                raise UndecidableError(f"{_name(function)} was compiled when it read other values")
        if not digest:
            raise UndecidableError(f"{_name(function)} calls itself")
        return digest

    def _read(self, function: Any) -> bytes:
        code = function.__code__
        if not _overloads.names().isdisjoint(_names(code)):
            raise UndecidableError(f"{_name(function)} may use somebody's overload")
        defaults = function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items()))
        pieces = [_digest_code(code), self.value(defaults)]
        for name, value in _values_read(function):
            pieces += [name.encode(), self.value(value)]
        return _join(*pieces)

    def value(self, value: Any) -> bytes:
        """Return the digest of a value; raise UndecidableError where that would not tell all of it."""
        kind = type(value)
        if kind in _PLAIN or isinstance(value, np.dtype):
            return _join(_name(kind).encode(), repr(value).encode())
        if isinstance(
            value, types.ModuleType
        ):  # of its attributes those that are read have digests
            return _join(b"module", value.__name__.encode())
        if isinstance(value, (slice, range)):
            return _join(_name(kind).encode(), self.value((value.start, value.stop, value.step)))
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(value)
        if isinstance(value, frozenset):  # in an order that is the same in all processes
            return _join(b"frozenset", *sorted(map(self.value, value)))
        if isinstance(value, tuple):
            return _join(self._class(kind), *map(self.value, value))
        if isinstance(value, type):
            return self._class(value)
        if numba_types.Type in kind.__mro__:  # isinstance would ask each of its subclasses
            return self._numba_type(value)
        return self._callee(value)

    def _array(self, value: Any) -> bytes:
        kind, flags = type(value), value.flags
        if value.dtype.hasobject or not (kind is np.ndarray or isinstance(value, np.generic)):
            raise UndecidableError(f"an array of kind {_name(kind)}, {value.dtype}")
        layout = flags.c_contiguous, flags.f_contiguous, flags.aligned
        about = repr((_name(kind), value.dtype, value.shape, layout)).encode()
        return _join(about, value.tobytes())

    def _class(self, kind: Any) -> bytes:
        if _is_of_library(kind):
            return _join(b"library", _name(kind).encode())
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            about = repr((_name(kind), kind._fields)).encode()
            return _join(b"named tuple", about, self.value(tuple(kind._field_defaults.items())))
        raise UndecidableError(f"{_name(kind)} is a class other than a named tuple")

    def _numba_type(self, value: numba_types.Type) -> bytes:
        if isinstance(value, numba_types.BaseTuple):
            named = isinstance(value, (numba_types.NamedTuple, numba_types.NamedUniTuple))
            record = self._class(value.instance_class) if named else b""
            return _join(b"types", record, *map(self.value, value.types))
        if " at 0x" in value.name:  # of a function or an object
            raise UndecidableError(f"the type {value.name} has an address in its name")
        return _join(b"type", type(value).__name__.encode(), value.name.encode())

    def _callee(self, value: Any) -> bytes:
        if _place(value)[1].rpartition(".")[2] in _overloads.names():
            raise UndecidableError(f"{_name(value)} has somebody's overload")
        if _is_of_library(value):
            return _join(b"library", _name(value).encode())
        if isinstance(value, types.FunctionType) and getattr(value, PART_MARK, False):
            return self.function(value)
        raise UndecidableError(f"{_name(value)} is neither a part nor a plain value")


class _ForeignOverloads:
    """Names of the functions, methods and attributes that Numba knows by somebody else's overload only.

    What is overloaded for types of somebody else's, which no kernel meets, is left out: such as ``len``.
    """

    def __init__(self) -> None:
        self._n_seen = [0, 0]
        self._known: set[Any] = set()  # functions that Numba knows by itself
        self._foreign: dict[str, Any] = {}

    def names(self) -> set[str]:
        for number, known in enumerate((builtin_registry.functions, builtin_registry.attributes)):
            for template in known[self._n_seen[number] :]:
                self._note(template)
            self._n_seen[number] = len(known)
        return {name for name, function in self._foreign.items() if function not in self._known}

    def _note(self, template: Any) -> None:
        overload = getattr(template, "_overload_func", None)
        module = str(getattr(overload, "__globals__", {}).get("__name__", "numba"))
        key, attribute = template.key, getattr(template, "_attr", None)
        if module.partition(".")[0] == "numba":
            self._known.add(key)
        elif _compiles(module):
            return
        elif attribute is None:
            self._foreign[_place(key)[1].rpartition(".")[2]] = key
        elif (key if isinstance(key, type) else type(key)).__module__.startswith("numba."):
            self._foreign[attribute] = None


_overloads = _ForeignOverloads()


def _compiles(module: str) -> bool:
    package, _, name = module.rpartition(".")
    return package == _PACKAGE and name in _COMPILING


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


def _join(*pieces: bytes) -> bytes:
    """Return a digest of pieces that tells where each of them ends."""
    digest = hashlib.sha256()
    for each in pieces:
        digest.update(b"%d:" % len(each))
        digest.update(each)
    return digest.digest()


def _environment() -> bytes | None:
    """Return a digest of versions and sources; None where there are no sources to read."""
    versions = (
        sys.version,
        np.__version__,
        numba.__version__,
        llvmlite.__version__,
        llvm_version_info,
    )
    try:
        sources = [Path(__file__).with_name(f"{name}.py").read_bytes() for name in _COMPILING]
    except OSError:
        return None
    return _join(repr(versions).encode(), *sources)


# Now and not later: what is on disk by then may be newer than what runs in this process.
_ENVIRONMENT = _environment()
