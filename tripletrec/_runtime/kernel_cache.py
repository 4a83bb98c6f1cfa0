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

import hashlib
import logging
import pickle
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite.binding import address_of_symbol, llvm_version_info
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from tripletrec._runtime.digests import COMPILING, digest_function, join
from tripletrec._runtime.files import replacing

__all__ = ["enable_cache", "environment", "provide_symbols"]

_LOG = logging.getLogger("tripletrec")
_SETTINGS = (
    "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "CPU_NAME", "CPU_FEATURES", "ENABLE_AVX",
    "USING_SVML", "DEBUGINFO_DEFAULT",
)  # fmt: skip


def enable_cache(compiled: Any, compiler: str) -> None:
    """Let a dispatcher keep its machine code on disk, where there is a folder for it.

    Parameters
    ----------
    compiled : Dispatcher or function
        What ``numba.njit`` returned: a plain function where Numba is switched off.
    compiler : str
        The compiler's class and its options, a part of the key.
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
            needed, code = pickle.loads(data)
            provide_symbols(needed, target_context)
            return self._numba.rebuild(target_context, code)
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
        content = dumps((_needed_symbols(data.library), self._numba.reduce(data)))
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def _file(self, key: str) -> Path:
        return Path(self.cache_path or "", f"{self._py_func.__name__.strip('<>')}-{key}.nbc")

    def _key(self, sig: Any, target_context: Any) -> str:
        settings = [getattr(config, name, None) for name in _SETTINGS]
        processor = target_context.codegen().magic_tuple()
        about = repr((self._compiler, processor, settings)).encode()
        digest = digest_function(self._py_func, *sig)
        return join(_ENVIRONMENT or b"", about, digest).hex()[:40]


def _needed_symbols(library: Any) -> list[str]:
    """Return the names of functions and values that compiled code takes from elsewhere."""
    module = library._final_module
    found = [*module.functions, *module.global_variables]
    return [value.name for value in found if value.is_declaration and value.name[:5] != "llvm."]


def provide_symbols(needed: list[str], target_context: Any) -> None:
    """Make the linker know every symbol that code from disk needs: at an unknown one it ends the process.

    Few need more than what Numba knows at its start. Where one does, everything that it can compile is
    loaded, as it always does before it reads code from disk: a third of a second.
    """
    rtsys.initialize(target_context)
    if not all(map(address_of_symbol, needed)):
        target_context.refresh()


def environment(folder: Path) -> bytes | None:
    """Return a digest of versions and of the sources in `folder` that compile; None if there are none."""
    versions = (
        sys.version,
        np.__version__,
        numba.__version__,
        llvmlite.__version__,
        llvm_version_info,
    )
    try:
        sources = [(folder / f"{name}.py").read_bytes() for name in COMPILING]
    except OSError:
        return None
    return join(repr(versions).encode(), *sources)


# Now and not later: what is on disk by then may be newer than what runs in this process.
_ENVIRONMENT = environment(Path(__file__).parent)
