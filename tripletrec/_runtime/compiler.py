"""How kernels and the parts they reach become machine code; their place on disk is `kernel_cache`.

Only this module, `digests`, `kernel_cache` and `overloads` import Numba.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.compiler import Compiler
from numba.core.errors import ForceLiteralArg
from numba.core.registry import cpu_target
from numba.core.targetconfig import ConfigStack
from numba.extending import overload as numba_overload

from tripletrec._runtime import overloads  # noqa: F401  Numba knows our intrinsics by it
from tripletrec._runtime.compiling import tell_compiling
from tripletrec._runtime.digests import note_compiled, reached_parts
from tripletrec._runtime.kernel_cache import enable_cache
from tripletrec._runtime.marks import CompilationError, waiting

__all__ = ["FAST_MATH", "compile_kernel", "processor_name", "register_waiting"]

# All fast-math licences but "no NaN" and "no infinity": under those two LLVM deletes the check for finite
# numbers that tells a user that training has diverged.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
_registered: set[int] = set()  # ids of parts that Numba knows; it keeps them alive


def processor_name() -> str:
    """Return what machine code is made for: system and processor, as Numba names them, and its features."""
    system, name, features = cpu_target.target_context.codegen().magic_tuple()
    return f"{name} ({system}, features {hashlib.sha256(features.encode()).hexdigest()[:8]})"


def register_waiting() -> None:
    """Let Numba know the parts that have been marked so far."""
    while waiting:
        _register(waiting.pop())


def compile_kernel(function: Callable[..., Any], noalias: bool, exact: bool) -> Any:
    """Return a function of ``numba.njit`` that is compiled as `jit.kernel` says."""
    register_waiting()
    compiler = _NoAliasKernel if noalias else _Kernel
    compiled = njit(
        nogil=True, fastmath=set() if exact else FAST_MATH, error_model="numpy", no_cfunc_wrapper=True,
        _nrt=False, pipeline_class=compiler,
    )(function)  # fmt: skip
    enable_cache(compiled, f"{compiler.__name__} {exact}")
    return compiled


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
        tell_compiling()
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
