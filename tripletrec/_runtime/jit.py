"""How parts and kernels are marked; they are compiled by `compiler` when a kernel is first called.

Numba is imported no earlier than that: it takes longer than all that a small answer of a model needs.
Measured: kernels that close over parts are as fast as loops written by hand for one choice of parts.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, TypeVar, overload

import numpy as np

from tripletrec._runtime.marks import PART_MARK, CompilationError, waiting

__all__ = ["CompilationError", "Kernel", "aligned", "index", "is_compiling", "kernel", "part"]

index = np.uint64
"""What indices are made before kernels use them: signed ones would be checked for "from the end"."""

_PAGE = 1024  # float32

F = TypeVar("F", bound=Callable[..., Any])


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
    waiting.append(function)
    if "numba" in sys.modules:  # then its own functions may call parts, too
        _compiler().register_waiting()
    return function


class Kernel:
    """A loop that is compiled when it is first called, or when something of the compiled one is asked for.

    Parameters
    ----------
    function : callable
    noalias, exact : bool

    Attributes
    ----------
    py_func : callable
        The function itself.
    """

    def __init__(self, function: Callable[..., Any], noalias: bool, exact: bool) -> None:
        self.py_func = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__module__, self.__qualname__ = function.__module__, function.__qualname__
        self._options = noalias, exact
        self._lock = threading.Lock()
        self._compiled: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Compile the loop, and call it; later calls go to it directly, see `_dispatcher`."""
        return self._dispatcher()(*arguments)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._dispatcher(), name)

    def __reduce__(self) -> Any:
        return Kernel, (self.py_func, *self._options)

    def _dispatcher(self) -> Any:
        with self._lock:
            if self._compiled is None:
                self._compiled = _compiler().compile_kernel(self.py_func, *self._options)
                # From now on a call is one of the compiled loop, without a frame of Python.
                self.__class__ = type(
                    "Kernel", (Kernel,), {"__call__": staticmethod(self._compiled)}
                )
            return self._compiled


def is_compiling() -> bool:
    """Tell whether the compiler is loaded, so that a kernel costs no more than its work."""
    return "tripletrec._runtime.compiler" in sys.modules


def _compiler() -> Any:
    from tripletrec._runtime import compiler

    return compiler


@overload
def kernel(function: Callable[..., Any]) -> Any: ...


@overload
def kernel(
    *, noalias: bool = False, exact: bool = False
) -> Callable[[Callable[..., Any]], Any]: ...


def kernel(
    function: Callable[..., Any] | None = None, *, noalias: bool = False, exact: bool = False
) -> Any:
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
    exact : bool, default False
        Every sum, product and root of floats is rounded as it is written, as NumPy does it: the same bits on
        every processor. Otherwise sums may be reordered, and a product and a sum rounded only once, where
        the processor has an instruction for both. It does not reach into parts unless they are fused.

    Returns
    -------
    Kernel
        What Numba's dispatcher is: the compiled function, whose ``py_func`` is the original.
    """
    if function is None:
        return partial(Kernel, noalias=noalias, exact=exact)
    return Kernel(function, noalias, exact)


def aligned(size: int) -> Any:
    """Return a one-dimensional float32 array of zeros that begins at the start of a page, 4,096 bytes.

    Rows of 2ⁿ bytes then cross no page, and no pair of cache lines that a processor fetches together: loops
    over rows in random order are up to 1.2 times as fast as with a start at any cache line.
    """
    flat = np.zeros(size + _PAGE, np.float32)
    skip = -flat.ctypes.data % (4 * _PAGE) // flat.itemsize
    return flat[skip : skip + size]
