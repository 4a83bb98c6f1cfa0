"""Machine code of kernels on disk, under a key that covers all that it was made from; compiling is in `jit`.

Numba's own cache looks only at the file of the kernel: edit a part in another file, and it goes on running
the old code. Here a file is named by a digest of

- the bytecode, constants and defaults of the kernel and of every part that it reaches;
- the values that any of them may read: of globals, closures and attributes of modules;
- the types of the arguments, the compiler and its settings, the processor;
- the versions of Python, NumPy, Numba and LLVM, and the sources of the modules that compile.

So a file is never out of date or overwritten with something else, processes cannot mistake each other's code,
and no index is needed.

It is looked for also where it cannot be written, such as in the image of a container, in which another user
compiled it; what is compiled then goes to the next folder that can be written.

Where this does not tell whether code has changed, it is compiled in each process and not kept on disk
(`UndecidableError` says which cases these are). A file that is missing, damaged or cannot be written means
the same; nothing is raised. The logger "tripletrec" says at level DEBUG why a kernel was not kept or found.

Files hold pickles: whoever may write to the cache folder may run code in the processes that read it.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
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
from numba.core.caching import CompileResultCacheImpl, NullCache, _CacheLocator
from numba.core.compiler import CompileResult
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
    def cache_path(self) -> str | None:
        """The folder that is written to; None if there is none."""
        try:
            return str(CompileResultCacheImpl(self._py_func).locator.get_cache_path())
        except (RuntimeError, OSError):
            return None

    @cached_property
    def _folders(self) -> list[Path]:
        """Where code is looked for: in the folder of choice, which need not be writable, and in that one."""
        if _ENVIRONMENT is None:
            return []
        file, folders = Path(inspect.getfile(self._py_func)), []
        # Not so for a cell of a notebook; of a file that may not be looked at, Path.exists would raise.
        if os.path.exists(file):
            chosen = config.CACHE_DIR and _CacheLocator.get_suitable_cache_subpath(str(file))
            folders = [Path(config.CACHE_DIR, chosen) if chosen else file.with_name("__pycache__")]
        return list(dict.fromkeys([*folders, *map(Path, filter(None, [self.cache_path]))]))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for types of arguments from the disk, None to have it compiled."""
        self._keys.pop(sig, None)
        if not self._folders:
            return None
        try:
            # Before compiling: the values that are digested are those that will be compiled.
            self._keys[sig] = key = self._key(sig, target_context)
        except Exception as error:  # UndecidableError, and whatever a user's values raise
            _LOG.debug("%s is compiled anew: %r", self._py_func.__qualname__, error)
            return None
        found = (self._read(self._file(folder, key), target_context) for folder in self._folders)
        return next((code for code in found if code is not None), None)

    def _read(self, file: Path, target_context: Any) -> Any:
        """Return the code of a file, None if there is none that can be run."""
        try:
            content = file.read_bytes()
            checksum, data = content[:32], content[32:]
            if hashlib.sha256(data).digest() != checksum:
                return None
            needed, code = pickle.loads(data)
            provide_symbols(needed, target_context)
            return CompileResult._rebuild(target_context, *code)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except Exception as error:  # what is damaged, or of another program, may raise anything
            _LOG.debug("%s is not read: %r", file, error)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code that was compiled on disk."""
        key = self._keys.pop(sig, None)
        if key is None or data.lifted or data.library.has_dynamic_globals:
            return
        if self.cache_path is None:
            _LOG.debug("%s is not kept: no folder can be written", self._py_func.__qualname__)
            return
        try:
            # Once more: a value may have changed while it was compiled.
            if self._key(sig, data.target_context) == key:
                self._write(self._file(Path(self.cache_path), key), data)
        except Exception as error:  # a full disk, no folder, something that cannot be pickled
            _LOG.debug("%s is not kept on disk: %r", self._py_func.__qualname__, error)

    def _write(self, file: Path, data: Any) -> None:
        content = dumps((_needed_symbols(data.library), data._reduce()))
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def _file(self, folder: Path, key: str) -> Path:
        return folder / f"{self._py_func.__name__.strip('<>')}-{key}.nbc"

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
