"""Machine code of kernels on disk, under a key that covers all that it was made from; compiling is `jit`.

Numba's own cache looks only at the file of the kernel: edit a part in another file, and it goes on running
the old code. Here the name of a file holds a digest of

- the kernel's bytecode and that of every part it reaches, with their defaults and constants;
- the values that any of them reads from globals, closures and attributes of modules;
- the argument types, the compiler and its settings, the processor, the versions of Python and Numba;
- the sources of the modules that compile.

So a file is never overwritten with something else, two processes cannot mistake each other's code, and no
index is needed. What cannot be digested (a function that is no part, an object of a class of the user's own)
is not kept on disk, but compiled in each process. A file that is missing, damaged or cannot be
written means the same.

Files hold pickles: who may write to the cache folder may run code in the processes that read it.
"""

from __future__ import annotations

import dis
import hashlib
import os
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numba
import numpy as np
from numba import types as numba_types
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

__all__ = ["PART_MARK", "UndigestibleError", "digest_function", "enable_cache", "reached_parts"]

PART_MARK = "_tripletrec_part"
_TRUSTED = {
    "builtins",
    "llvmlite",
    "math",
    "numba",
    "numpy",
    "operator",
    "scipy",
}  # told by versions
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "CPU_NAME", "CPU_FEATURES")
_INTRINSICS = __name__.replace("kernel_cache", "intrinsics")
_COMPILING = ("jit", "kernel_cache", "intrinsics")  # modules whose sources belong to the key

# The values that each part read when it was first met. If one changes in this process, Numba goes on using
# the code it has, which must not be kept under the new digest.
_first_values: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()


class UndigestibleError(Exception):
    """A kernel reaches something of which nobody can tell whether it has changed."""


def enable_cache(compiled: Any, compiler: str) -> None:
    """Let a dispatcher keep its machine code on disk, where there is a folder for it.

    Parameters
    ----------
    compiled : Dispatcher
    compiler : str
        Name of what compiles it: part of the key.
    """
    try:
        compiled._cache = _Cache(compiled.py_func, compiler)
    except (AttributeError, RuntimeError):  # Numba switched off, or nowhere to write
        pass


class _Cache(FunctionCache):
    """Numba's cache, with files named by all that the code depends on, and without an index."""

    def __init__(self, py_func: Callable[..., Any], compiler: str) -> None:
        super().__init__(py_func)
        self._compiler = compiler
        self._cache_file = _Files(self._cache_path, self._impl.filename_base)
        self._keys: dict[Any, str] = {}

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        self._keys.pop(sig, None)
        try:
            # Before compiling: what the digest saw is what will be compiled.
            self._keys[sig] = self._make_key(sig, target_context.codegen())
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged file may raise anything; compiled again, all is well
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if sig in self._keys:
            try:
                super().save_overload(sig, data)
            except Exception:  # a full disk, a part that cannot be pickled
                pass

    def _index_key(self, sig: Any, codegen: Any) -> str:
        return self._keys[sig]

    def _make_key(self, sig: Any, codegen: Any) -> str:
        walk = _Walk()
        walk.feed(tuple(sig))
        walk.feed((self._compiler, repr(codegen.magic_tuple())))
        walk.feed(tuple(repr(getattr(config, name, None)) for name in _SETTINGS))
        walk.update(_environment())
        walk.update(digest_function(self._py_func))
        return walk.hexdigest()


class _Files:
    """One file for each key, whole and with a checksum or taken for missing."""

    def __init__(self, folder: str, stem: str) -> None:
        self._folder, self._stem = Path(folder), stem

    def load(self, key: str) -> Any:
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        checksum, data = content[:32], content[32:]
        return pickle.loads(data) if hashlib.sha256(data).digest() == checksum else None

    def save(self, key: str, data: Any) -> None:
        from numba.core.serialize import dumps

        content, path = dumps(data), self._path(key)
        temporary = path.with_suffix(f".{os.getpid()}.{os.urandom(4).hex()}")
        try:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def flush(self) -> None:
        """Do nothing: a file is never out of date."""

    def _path(self, key: str) -> Path:
        return self._folder / f"{self._stem}.{key}.nbc"


@cache
def _environment() -> bytes:
    digest = hashlib.sha256()
    for name in (sys.version, numba.__version__, llvmlite.__version__, np.__version__):
        digest.update(name.encode())
    for name in _COMPILING:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.digest()


def digest_function(function: Callable[..., Any]) -> bytes:
    """Return a digest of a function and of all that it reaches.

    Parameters
    ----------
    function : callable
        A Python function.

    Returns
    -------
    bytes

    Raises
    ------
    UndigestibleError
        If it reaches something that cannot be digested.
    """
    walk = _Walk()
    walk.function(function)
    return walk.digest()


def reached_parts(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return the parts that a function reaches, as far as they can be found."""
    walk = _Walk()
    try:
        walk.function(function)
    except UndigestibleError:
        pass
    return walk.parts


class _Names(NamedTuple):
    """What the bytecode of a function names: globals, and attributes of anything."""

    of_globals: tuple[str, ...]
    of_attributes: tuple[str, ...]


@lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> _Names:
    found, attributes = [], []
    for each in _codes(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found.append(str(instruction.argval))
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes.append(str(instruction.argval))
    return _Names(tuple(sorted({*found})), tuple(sorted({*attributes})))


def _values_read(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a function may read from outside of it: closures, globals, attributes of modules."""
    code, namespace = function.__code__, function.__globals__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield from _with_attributes(name, cell.cell_contents, code)
    for name in _names(code).of_globals:
        if name in namespace:
            yield from _with_attributes(name, namespace[name], code)


def _with_attributes(name: str, value: Any, code: types.CodeType) -> Iterator[tuple[str, Any]]:
    yield name, value
    if isinstance(value, types.ModuleType) and _root_of_module(value) not in _TRUSTED:
        # Whatever has, in the module, the name of an attribute that the code reads of anything.
        for attribute in _names(code).of_attributes:
            if hasattr(value, attribute):
                yield from _with_attributes(f"{name}.{attribute}", getattr(value, attribute), code)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


def _root(value: Any) -> str:
    return str(getattr(value, "__module__", None) or "").partition(".")[0]


class _Walk:
    """A running digest of what a function reaches."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self._met: dict[int, int] = {}  # functions under way or done, by their ids
        self.parts: list[Callable[..., Any]] = []

    def update(self, content: bytes) -> None:
        self._state.update(content)

    def digest(self) -> bytes:
        return self._state.digest()

    def hexdigest(self) -> str:
        return self._state.hexdigest()[:40]

    def word(self, *words: object) -> None:
        for each in words:
            text = str(each).encode()
            self._state.update(b"%d:" % len(text))
            self._state.update(text)

    def feed(self, value: Any) -> None:
        """Add a value of which the meaning does not change without its looks."""
        kind = type(value)
        if kind in _PLAIN:
            self.word(kind.__name__, repr(value))
        elif isinstance(value, types.FunctionType):
            self._callee(value)
        elif isinstance(value, Dispatcher):
            self.word("dispatcher", repr(sorted(value.targetoptions.items(), key=str)))
            self.function(value.py_func)
        elif isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, (np.ndarray, np.generic)):
            self._array(value)
        elif isinstance(value, (tuple, frozenset)):
            self._elements(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, numba_types.Type):
            self._numba_type(value)
        elif isinstance(value, (np.dtype, np.ufunc, slice, range, types.BuiltinFunctionType)):
            self.word(kind.__name__, _root(value), repr(value).partition(" at 0x")[0])
        elif _root(kind) in _TRUSTED and hasattr(value, "__qualname__"):  # a function of NumPy
            self.word("library", value.__module__, value.__qualname__)
        else:
            raise UndigestibleError(f"{kind.__module__}.{kind.__qualname__}")

    def function(self, function: Callable[..., Any]) -> None:
        """Add a function's code and the values it reads."""
        if id(function) in self._met:
            self.word("again", self._met[id(function)])
            return
        self._met[id(function)] = len(self._met)
        self._code(function.__code__)
        self.feed(function.__defaults__)
        self.feed(tuple(sorted((function.__kwdefaults__ or {}).items())))
        values: list[Any] = []
        for name, value in _values_read(function):
            self.word(name)
            if isinstance(value, (types.FunctionType, Dispatcher)):
                values.append(id(value))
                self.feed(value)
            else:
                apart = _Walk()
                apart.feed(value)
                values.append(apart.digest())
                self.update(apart.digest())
                self.parts += apart.parts
        if getattr(function, PART_MARK, False) and values != _first_values.setdefault(
            function, values
        ):
            raise UndigestibleError(f"a value that {function.__qualname__} reads has changed")

    def _callee(self, function: types.FunctionType) -> None:
        if _root(function) in _TRUSTED:
            self.word("library", function.__module__, function.__qualname__)
        elif function.__module__ == _INTRINSICS:
            self.word("intrinsic", function.__qualname__)  # the source belongs to the key
        elif getattr(function, PART_MARK, False):
            self.parts.append(function)
            self.function(function)
        else:  # what Numba makes of it may be somebody's overload
            raise UndigestibleError(f"{function.__module__}.{function.__qualname__}")

    def _module(self, module: types.ModuleType) -> None:
        root = _root_of_module(module)
        self.word("module", root if root in _TRUSTED else module.__name__)

    def _array(self, value: Any) -> None:
        if value.dtype.hasobject:
            raise UndigestibleError(f"an array of {value.dtype}")
        self.word("array", value.dtype.str, value.dtype.descr, value.shape)
        self.update(np.ascontiguousarray(value).tobytes())

    def _elements(self, value: Any) -> None:
        if isinstance(value, frozenset):
            value = sorted(value, key=repr)
        elif type(value) is not tuple:
            self._class(type(value))
        self.word("elements", len(value))
        for each in value:
            self.feed(each)

    def _class(self, kind: type) -> None:
        if _root(kind) in _TRUSTED:
            self.word("class", kind.__module__, kind.__qualname__)
        elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
            self.word("named tuple", kind.__module__, kind.__qualname__, *kind._fields)
        else:
            raise UndigestibleError(f"class {kind.__module__}.{kind.__qualname__}")

    def _numba_type(self, value: numba_types.Type) -> None:
        self.word(type(value).__name__)
        if isinstance(value, (numba_types.NamedTuple, numba_types.NamedUniTuple)):
            self._class(value.instance_class)
        if isinstance(value, numba_types.BaseTuple):
            self.feed(tuple(value.types))
        else:
            self.word(value.name)

    def _code(self, code: types.CodeType) -> None:
        self.word("code", code.co_argcount, code.co_kwonlyargcount, code.co_flags)
        self.word(*code.co_names, *code.co_varnames, *code.co_freevars)
        self.update(code.co_code)
        for each in code.co_consts:
            if isinstance(each, types.CodeType):
                self._code(each)
            else:
                self.feed(each)


def _root_of_module(module: types.ModuleType) -> str:
    return module.__name__.partition(".")[0]
