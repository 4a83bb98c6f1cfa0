"""How parts and kernels are compiled: marks, flags, compiler; their place on disk is `kernel_cache`.

Only this module, `digests`, `intrinsics` and `kernel_cache` import Numba. Measured: kernels that close over
parts are as fast as loops written by hand for one choice of parts.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, TypeVar, overload

import numpy as np
from numba import njit
from numba.core.compiler import Compiler
from numba.core.errors import ForceLiteralArg
from numba.core.targetconfig import ConfigStack
from numba.extending import overload as numba_overload

from tripletrec._runtime.digests import PART_MARK, note_compiled, reached_parts
from tripletrec._runtime.kernel_cache import enable_cache

__all__ = ["FAST_MATH", "CompilationError", "aligned", "kernel", "part"]

F = TypeVar("F", bound=Callable[..., Any])

# All fast-math licences but "no NaN" and "no infinity": under those two LLVM deletes the check for finite
# numbers that tells a user that training has diverged.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
_registered: set[int] = set()  # ids of parts that Numba knows; it keeps them alive


class CompilationError(TypeError):
    """A kernel, or a part that it reaches, cannot be compiled; its cause is what Numba said."""


@overload
def part(function: F) -> F: ...


@overload
def part(*, fused: bool) -> Callable[[F], F]: ...


def part(function: Any = None, *, fused: bool = False) -> Any:
    """Mark a function as callable from kernels.

    It stays an ordinary Python function, so tests call it uncompiled. Functions that it calls should be parts
    too, or functions of NumPy and ``math`` that Numba knows.

    As Numba does it, values of globals and closures (``S`` in ``return S * x``) are read when the part is
    first compiled in a process; a later change has no effect there. Machine code is kept on disk under a key
    that covers the part, all parts that it calls and all such values, so an edit of any of them is never
    answered with old code. A part that uses what the key cannot cover, such as a function of ``numba.njit``
    or an object of a class of your own, works as well but is compiled in each process.

    Parameters
    ----------
    function : callable
        Written in the subset of Python that Numba compiles.
    fused : bool, default False
        Whether the kernel is compiled as if the function's code stood in it. Other parts are compiled by
        themselves, vectorized loops included, before they become a piece of the kernel: a loop that writes
        to rows is then compiled without the kernel's promise that no two arrays overlap.

    Returns
    -------
    callable
        The same function.

    Raises
    ------
    TypeError
        If it is not a function written in Python.

    Examples
    --------
    >>> @part
    ... def squared_hinge(x, parameters):
    ...     return max(0.0, 1.0 - x) ** 2
    >>> squared_hinge(0.5, ())
    0.25
    """
    if function is None:
        return partial(part, fused=fused)
    if not issubclass(type(function), FunctionType):  # isinstance would narrow its type
        raise TypeError(f"part marks functions written in Python, got {function!r}")
    setattr(function, PART_MARK, True)
    if fused:
        # By these two attributes Numba knows what to inline before it infers types.
        function.targetoptions, function.py_func = {"inline": "always"}, function
    _register(function)
    return function


def _register(function: Callable[..., Any]) -> None:
    if id(function) in _registered:
        return
    # Always inlined: otherwise a part is a function of its own, of which a process may have several copies
    # whose sums are rounded differently. The process that compiles a kernel and those that load it from the
    # disk may then link different copies, and their results would not be the same bits.
    options = {
        "fastmath": FAST_MATH,
        "error_model": "numpy",
        "forceinline": True,
        "no_cfunc_wrapper": True,
    }

    @numba_overload(function, jit_options=options, strict=False)
    def implementation(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        note_compiled(function)  # Numba asks for it when it is about to compile it
        return function

    _registered.add(id(function))


class _Kernel(Compiler):
    """Numba's compiler, which compiles a part once whether a kernel calls it or another part.

    Numba looks parts up by the types of their arguments and by the flags of what calls them. A kernel has
    other flags than a part, so they are made equal here.
    """

    def define_pipelines(self) -> Any:
        flags = ConfigStack().top()  # for what is called from here; the kernel has its own
        flags.release_gil = False
        flags.forceinline = flags.no_cpython_wrapper = True
        return super().define_pipelines()

    def compile_extra(self, func: Any) -> Any:
        # A part that came from another process by value, as joblib sends those of a script, has its mark,
        # but Numba does not know it in this process.
        for each in reached_parts(func):
            _register(each)
        self.state.typingctx.refresh()
        # No garbage collection meanwhile: Numba makes many objects but little garbage, and searching them
        # all again and again takes a fifth of the time. Only one thread compiles at a time.
        paused = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(func)
        except ForceLiteralArg:  # asks to be called once more
            raise
        except Exception as error:
            raise CompilationError(f"{func.__name__} cannot be compiled: {error}") from error
        finally:
            if paused:
                gc.enable()


class _NoAliasKernel(_Kernel):
    """The same, which is also told that no two arrays among the arguments share memory."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


@overload
def kernel(function: Callable[..., Any]) -> Any: ...


@overload
def kernel(*, noalias: bool = False) -> Callable[[Callable[..., Any]], Any]: ...


def kernel(function: Callable[..., Any] | None = None, *, noalias: bool = False) -> Any:
    """Compile a loop that calls parts; it releases the GIL and is cached on disk.

    A kernel must not allocate memory: its scratch arrays are arguments. In return Numba need not count
    references to arrays, which inside a loop would cost several times the work (an atomic increment for each
    array that a part with a loop or a branch takes).

    Parameters
    ----------
    function : callable
        Takes arrays, scalars and named tuples of them only. It compiles at its first call.
    noalias : bool, default False
        A promise that arrays which it writes to share no memory with any other. Its loops then need not
        check whether they overlap.

    Returns
    -------
    Dispatcher
        The compiled function; ``py_func`` is the original.
    """
    if function is None:
        return lambda function: _compile(function, _NoAliasKernel if noalias else _Kernel)
    return _compile(function, _Kernel)


def _compile(function: Callable[..., Any], compiler: type[Compiler]) -> Any:
    compiled = njit(
        nogil=True, fastmath=FAST_MATH, error_model="numpy", no_cfunc_wrapper=True, _nrt=False,
        pipeline_class=compiler,
    )(function)  # fmt: skip
    enable_cache(compiled, compiler.__name__)
    return compiled


def aligned(size: int) -> Any:
    """Return a one-dimensional float32 array of zeros that begins at the start of a cache line."""
    flat = np.zeros(size + 16, np.float32)  # a line is 16 of them
    skip = -flat.ctypes.data % 64 // flat.itemsize
    return flat[skip : skip + size]
