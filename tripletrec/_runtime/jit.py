"""How parts and kernels are compiled: marks, flags, compiler; their place on disk is `kernel_cache`.

Only three modules import Numba: this one, `kernel_cache` and `intrinsics`. The choices here were measured:
closures over ``register_jitable`` functions are as fast as hand-fused loops and may be cached on disk, which
closures over ``njit`` functions may not.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, overload

import numpy as np
from numba import njit
from numba.core.compiler import Compiler
from numba.core.targetconfig import ConfigStack
from numba.extending import register_jitable

from tripletrec._runtime.kernel_cache import PART_MARK, enable_cache, reached_parts

__all__ = ["FAST_MATH", "aligned", "kernel", "part"]

F = TypeVar("F", bound=Callable[..., Any])

# All fast-math licences but "no NaN" and "no infinity": under those two LLVM
# deletes the finite check that tells a user that training has diverged.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
_registered: set[int] = set()  # ids of parts that Numba knows; it keeps them alive


@overload
def part(function: F) -> F: ...


@overload
def part(*, fused: bool) -> Callable[[F], F]: ...


def part(function: Any = None, *, fused: bool = False) -> Any:
    """Mark a function as callable from kernels.

    It stays an ordinary Python function, so tests call it uncompiled. What it reaches (its helpers, which
    are parts too, and the values of globals and closures) belongs to the key under which machine code is
    kept on disk, so that an edit of any of it is never answered with old code.

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
    setattr(function, PART_MARK, True)
    if fused:
        # By these two attributes Numba knows what to inline before it infers types.
        function.targetoptions, function.py_func = {"inline": "always"}, function
    _register(function)
    return function


def _register(function: Callable[..., Any]) -> None:
    if id(function) in _registered:
        return
    # Always inlined: a part left as a function of its own is a weak symbol, and the process that
    # compiles the kernel may link another copy of it, whose sums round otherwise, than the processes
    # that load the kernel from the cache. "The same bits" would end there.
    register_jitable(
        fastmath=FAST_MATH, error_model="numpy", forceinline=True, no_cfunc_wrapper=True
    )(function)
    _registered.add(id(function))


class _Kernel(Compiler):
    """Numba's compiler, for which a part is the same thing in a kernel as in another part.

    It looks parts up by their argument types and by the flags of what calls them, and so would compile one
    that both call twice.
    """

    def define_pipelines(self) -> Any:
        flags = ConfigStack().top()  # for what is called from here; the kernel has its own
        flags.release_gil = False
        flags.forceinline = flags.no_cpython_wrapper = True
        return super().define_pipelines()

    def compile_extra(self, func: Any) -> Any:
        # A part that travelled to another process by value (as joblib sends those of a script) has its
        # mark, but Numba has not seen it there.
        for each in reached_parts(func):
            _register(each)
        # Garbage has to wait: Numba makes little of it but many objects, and looking through all that
        # there are, again and again, takes a fifth of the time. One thread at a time compiles.
        paused = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(func)
        finally:
            if paused:
                gc.enable()


class _NoAliasKernel(_Kernel):
    """Numba's compiler, which is also told that no two arrays handed in share memory."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


@overload
def kernel(function: Callable[..., Any]) -> Any: ...


@overload
def kernel(*, noalias: bool = False) -> Callable[[Callable[..., Any]], Any]: ...


def kernel(function: Callable[..., Any] | None = None, *, noalias: bool = False) -> Any:
    """Compile a loop that calls parts; it releases the GIL and is cached on disk.

    A kernel must not allocate: its scratch memory is handed in. In return Numba need not count
    references to arrays, which inside a loop costs several times the work (an atomic increment
    for each array that a part with a loop or a branch takes).

    Parameters
    ----------
    function : callable
        Takes arrays, scalars and named tuples of them only. It compiles at its first call.
    noalias : bool, default False
        A promise: arrays it writes to share no memory with its others. Its loops then need not look
        whether they overlap.

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
    """Return a float32 array of zeros that begins with a cache line."""
    flat = np.zeros(size + 16, np.float32)  # a line is 16 of them
    skip = -flat.ctypes.data % 64 // flat.itemsize
    return flat[skip : skip + size]
