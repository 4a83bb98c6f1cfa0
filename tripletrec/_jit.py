"""All that is known of Numba: how parts and kernels are compiled, cached and kept fresh.

No other module imports Numba. The choices here were measured: closures over
``register_jitable`` functions are as fast as hand-fused loops and hit the on-disk
cache in the next process; closures over ``njit`` functions never do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload, register_jitable

__all__ = ["FAST_MATH", "fingerprint", "kernel", "part", "prefetch"]

F = TypeVar("F", bound=Callable[..., Any])

# All fast-math licences but "no NaN" and "no infinity": under those two LLVM
# deletes the finite check that tells a user that training has diverged.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


def part(function: F) -> F:
    """Mark a module-level function as callable from kernels.

    It stays an ordinary Python function, so tests call it uncompiled, and it is
    pickled by name, so that a kernel that closes over it is found again in the
    on-disk cache by the next process (a captured dispatcher never is).

    Parameters
    ----------
    function : callable
        Defined at the top of a module, written in the subset of Python that Numba compiles.

    Returns
    -------
    callable
        The same function.

    Examples
    --------
    >>> @part
    ... def squared_hinge(x, parameters):
    ...     return max(0.0, 1.0 - x) ** 2
    >>> squared_hinge(0.5, ())
    0.25
    """
    # Always inlined: a part left as a function of its own is a weak symbol, and the process that
    # compiles the kernel may link another copy of it, whose sums round otherwise, than the processes
    # that load the kernel from the cache. "The same bits" would end there.
    register_jitable(fastmath=FAST_MATH, error_model="numpy", forceinline=True)(function)
    return function


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a loop that calls parts; it releases the GIL and is cached on disk.

    A kernel must not allocate: its scratch memory is handed in. In return Numba need not count
    references to arrays, which inside a loop costs several times the work (an atomic increment
    for each array that a part with a loop or a branch takes).

    Parameters
    ----------
    function : callable
        Takes arrays and scalars only. It compiles at its first call.

    Returns
    -------
    Dispatcher
        The compiled function; ``py_func`` is the original.
    """
    compiled = njit(nogil=True, fastmath=FAST_MATH, error_model="numpy", _nrt=False)(function)
    try:
        compiled.enable_caching()
    except (AttributeError, RuntimeError):  # Numba switched off, or nowhere to write
        pass
    return compiled


@cache
def _source_digest() -> bytes:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


def fingerprint(*parts: Callable[..., Any]) -> str:
    """Digest of this package's sources and of the files that define `parts`.

    Numba's cache looks only at the file of the kernel itself; a kernel that
    captures this digest is compiled anew when any part has changed.

    Parameters
    ----------
    *parts : callable
        The functions that the kernel calls.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(_source_digest())
    for file in sorted({function.__code__.co_filename for function in parts}):
        path = Path(file)
        digest.update(path.read_bytes() if path.is_file() else b"interactive")
    return digest.hexdigest()


def prefetch(array: Any, row: int) -> None:
    """Ask the processor to load the start of ``array[row]``; never changes a result."""


@intrinsic
def _prefetch_line(typing_context, address):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        declaration = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        name = "llvm.prefetch.p0i8"
        function = builder.module.globals.get(name) or ir.Function(
            builder.module, declaration, name=name
        )
        builder.call(function, [pointer, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.uintp), codegen


@overload(prefetch)
def _prefetch(array, row):  # type: ignore[no-untyped-def]
    def implementation(array, row):  # type: ignore[no-untyped-def]
        first = array.ctypes.data + row * array.strides[0]
        for byte in range(0, array.strides[0], 64):
            _prefetch_line(first + byte)

    return implementation
