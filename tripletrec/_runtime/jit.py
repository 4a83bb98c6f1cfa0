"""All that is known of Numba: how parts and kernels are compiled, cached and kept fresh.

No other module imports Numba. The choices here were measured: closures over
``register_jitable`` functions are as fast as hand-fused loops and hit the on-disk
cache in the next process; closures over ``njit`` functions never do.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import njit, types
from numba.core.compiler import Compiler
from numba.core.targetconfig import ConfigStack
from numba.extending import (
    get_cython_function_address,
    intrinsic,
    overload,
    register_jitable,
)

__all__ = [
    "FAST_MATH",
    "aligned",
    "blas_product",
    "fingerprint",
    "kernel",
    "kernel_apart",
    "multiply",
    "part",
    "prefetch",
    "prefer_wide_vectors",
]

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
    register_jitable(
        fastmath=FAST_MATH, error_model="numpy", forceinline=True, no_cfunc_wrapper=True
    )(function)
    return function


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
        # Garbage has to wait: Numba makes little of it but many objects, and looking through all that
        # there are, again and again, takes a fifth of the time. One thread at a time compiles.
        paused = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(func)
        finally:
            if paused:
                gc.enable()


class _Apart(_Kernel):
    """Numba's compiler, which is also told that no two arrays handed in share memory."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


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
    return _compile(function, _Kernel)


def kernel_apart(function: Callable[..., Any]) -> Any:
    """Compile as `kernel` does, with a promise: arrays it writes to share no memory with its others.

    Its loops then need not look whether they overlap.
    """
    return _compile(function, _Apart)


def _compile(function: Callable[..., Any], compiler: type[Compiler]) -> Any:
    compiled = njit(
        nogil=True, fastmath=FAST_MATH, error_model="numpy", no_cfunc_wrapper=True, _nrt=False,
        pipeline_class=compiler,
    )(function)  # fmt: skip
    try:
        compiled.enable_caching()
    except (AttributeError, RuntimeError):  # Numba switched off, or nowhere to write
        pass
    return compiled


@cache
def _source_digest() -> bytes:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
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


def prefer_wide_vectors() -> None:
    """Let a kernel, which calls this first, use all of the processor's widest vectors.

    LLVM takes half of them where processors once slowed down for the whole; a loop that does
    little else than arithmetic on rows of factors is a third faster with them.

    It also learns that a product of vectors of 64-bit integers may wait for the register that it is to
    be written to (Intel since Alder Lake), which it knows of few processors by name, and of none in a
    virtual machine that gives another name. Loops over random numbers take half the time since.
    """


@intrinsic
def _prefer_widest(typing_context):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        # llvmlite knows no attributes with values, and writes out what the set holds.
        attributes = builder.function.attributes
        set.add(attributes, '"prefer-vector-width"="512"')
        triple, _, features = context.codegen().magic_tuple()
        if triple.startswith("x86_64") and llvm_version_info >= (15,):  # elsewhere it is unknown
            features = ",".join(filter(None, (features, "+false-deps-mullq")))
            set.add(attributes, f'"target-features"="{features}"')
        return context.get_dummy_value()

    return types.void(), codegen


@overload(prefer_wide_vectors, inline="always")  # the attribute belongs to the kernel itself
def _prefer_wide_vectors():  # type: ignore[no-untyped-def]
    return lambda: _prefer_widest()


def prefetch(table: Any, row: int, n_bytes: int) -> None:
    """Ask the processor to load a row of a flat table of such rows; never changes a result."""


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
def _prefetch(table, row, n_bytes):  # type: ignore[no-untyped-def]
    def implementation(table, row, n_bytes):  # type: ignore[no-untyped-def]
        first = table.ctypes.data + row * n_bytes
        for byte in range(0, n_bytes, 64):
            _prefetch_line(first + byte)

    return implementation


def aligned(size: int) -> Any:
    """Return a float32 array of zeros that begins with a cache line."""
    flat = np.zeros(size + 16, np.float32)  # a line is 16 of them
    skip = -flat.ctypes.data % 64 // flat.itemsize
    return flat[skip : skip + size]


@cache
def blas_product(dtype: Any) -> int:
    """Return the address of SciPy's BLAS product of matrices of float32 or float64, for `multiply`."""
    name = {"float32": "sgemm", "float64": "dgemm"}[np.dtype(dtype).name]
    return int(get_cython_function_address("scipy.linalg.cython_blas", name))


def multiply(
    product: int, form: int, m: int, k: int, n: int, a: Any, at_a: int, b: Any, at_b: int,
    c: Any, at_c: int,
) -> None:  # fmt: skip
    """Multiply two matrices that lie row by row in flat arrays, from a kernel, by BLAS.

    Numba's own ``np.dot`` counts references to the array it returns; a kernel does without.

    Parameters
    ----------
    product : int
        What `blas_product` returns for the arrays' dtype.
    form : {0, 1, 2}
        0: C = A B; 1: C += Aᵀ B; 2: C = A Bᵀ.
    m, k, n : int
        A is (m, k). B is (k, n) in form 0, (m, n) in form 1 and (n, k) in form 2; C is (m, n) in forms
        0 and 2, and (k, n) in form 1.
    a, at_a, b, at_b, c, at_c : one-dimensional array, int
        Each matrix begins at its place in its array.
    """
    A = a[at_a : at_a + m * k].reshape(m, k)
    if form == 0:
        c[at_c : at_c + m * n] = (A @ b[at_b : at_b + k * n].reshape(k, n)).ravel()
    elif form == 1:
        c[at_c : at_c + k * n] += (A.T @ b[at_b : at_b + m * n].reshape(m, n)).ravel()
    else:
        c[at_c : at_c + m * n] = (A @ b[at_b : at_b + n * k].reshape(n, k).T).ravel()


@intrinsic
def _gemm(typing_context, address, transposed_a, transposed_b, m, n, k, a, lda, b, ldb, beta, c, ldc):  # type: ignore[no-untyped-def] # fmt: skip
    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        address, transposed_a, transposed_b, m, n, k, a, lda, b, ldb, beta, c, ldc = arguments
        integer, byte, real = ir.IntType(32), ir.IntType(8), beta.type

        def stored(value):  # type: ignore[no-untyped-def]
            # In the entry block: inside a loop the stack would grow with every turn.
            with builder.goto_entry_block():
                slot = builder.alloca(value.type)
            builder.store(value, slot)
            return slot

        def letter(transposed):  # type: ignore[no-untyped-def]
            yes = builder.icmp_signed("!=", transposed, ir.Constant(transposed.type, 0))
            return stored(builder.select(yes, byte(ord("T")), byte(ord("N"))))

        def number(value):  # type: ignore[no-untyped-def]
            return stored(builder.trunc(value, integer))

        def pointer(value):  # type: ignore[no-untyped-def]
            return builder.inttoptr(value, real.as_pointer())

        operands = [
            letter(transposed_a), letter(transposed_b), number(m), number(n), number(k),
            stored(ir.Constant(real, 1.0)), pointer(a), number(lda), pointer(b), number(ldb),
            stored(beta), pointer(c), number(ldc),
        ]  # fmt: skip
        function = ir.FunctionType(ir.VoidType(), [each.type for each in operands])
        builder.call(builder.inttoptr(address, function.as_pointer()), operands)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(
        whole, whole, whole, whole, whole, whole, types.uintp, whole, types.uintp, whole, beta,
        types.uintp, whole,
    ), codegen  # fmt: skip


@overload(multiply)
def _multiply(product, form, m, k, n, a, at_a, b, at_b, c, at_c):  # type: ignore[no-untyped-def]
    def implementation(product, form, m, k, n, a, at_a, b, at_b, c, at_c):  # type: ignore[no-untyped-def]
        # BLAS counts columns first: to it our matrices are transposed, and Cᵀ = Bᵀ Aᵀ.
        size = a.itemsize
        A, B = a.ctypes.data + at_a * size, b.ctypes.data + at_b * size
        C, real = c.ctypes.data + at_c * size, a.dtype.type
        if form == 0:
            _gemm(product, 0, 0, n, m, k, B, n, A, k, real(0), C, n)
        elif form == 1:
            _gemm(product, 0, 1, n, k, m, B, n, A, k, real(1), C, n)
        else:
            _gemm(product, 1, 0, n, m, k, B, k, A, k, real(0), C, n)

    return implementation
