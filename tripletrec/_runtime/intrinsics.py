"""Functions for kernels that Numba lacks: vector width, prefetching, products by BLAS; no kernel is here."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.extending import get_cython_function_address, intrinsic, overload

__all__ = ["blas_product", "multiply", "prefer_wide_vectors", "prefetch"]


def prefer_wide_vectors() -> None:
    """Compile the kernel that calls this first for the widest vectors of the processor.

    By default LLVM uses half their width, because older processors slowed down at full width. A loop
    that does little else than arithmetic on rows of factors is a third faster at full width.

    It also tells LLVM that a product of vectors of 64-bit integers may have to wait for the former content of
    the register that it is written to. This holds for Intel's processors since Alder Lake, but LLVM knows it
    of a few of them only, by name, and virtual machines often give another name. Loops over random numbers
    take half the time with it.
    """


@intrinsic
def _prefer_widest(typing_context):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        # llvmlite refuses attributes with values, but writes out whatever the set holds.
        attributes = builder.function.attributes
        set.add(attributes, '"prefer-vector-width"="512"')
        triple, _, features = context.codegen().magic_tuple()
        if triple.startswith("x86_64") and llvm_version_info >= (
            15,
        ):  # others do not know the feature
            features = ",".join(filter(None, (features, "+false-deps-mullq")))
            set.add(attributes, f'"target-features"="{features}"')
        return context.get_dummy_value()

    return types.void(), codegen


def _prefer_wide_vectors() -> None:
    _prefer_widest()


# The attributes must be the kernel's own, so the call is inlined: by these two attributes before types are
# inferred. Inlined later, as an overload, it would make Numba look for code without effect, and take for
# such what is written to arrays of a record that is made in the kernel.
prefer_wide_vectors.targetoptions = {"inline": "always"}  # type: ignore[attr-defined]
prefer_wide_vectors.py_func = _prefer_wide_vectors  # type: ignore[attr-defined]
overload(prefer_wide_vectors)(lambda: _prefer_wide_vectors)


def prefetch(table: Any, row: int, n_bytes: int) -> None:
    """Ask the processor to load row number `row`, of `n_bytes`, of a flat table; it changes no result."""


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


@cache
def blas_product(dtype: Any) -> int:
    """Return the address of SciPy's ``sgemm`` or ``dgemm``, for `multiply`; `dtype`: float32 or float64."""
    name = {"float32": "sgemm", "float64": "dgemm"}[np.dtype(dtype).name]
    return int(get_cython_function_address("scipy.linalg.cython_blas", name))


def multiply(
    product: int, form: int, m: int, k: int, n: int, a: Any, at_a: int, b: Any, at_b: int,
    c: Any, at_c: int,
) -> None:  # fmt: skip
    """Multiply two matrices by BLAS, from a kernel; they lie row by row in flat arrays.

    Numba's own ``np.dot`` returns a new array and counts references to it, which a kernel does without.

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
        Where each matrix begins: at the element `at_a` of the array `a`, and so on. All of one dtype.
    """
    A = a[at_a : at_a + m * k].reshape(m, k)
    if form == 0:
        c[at_c : at_c + m * n] = (A @ b[at_b : at_b + k * n].reshape(k, n)).ravel()
    elif form == 1:
        c[at_c : at_c + k * n] += (A.T @ b[at_b : at_b + m * n].reshape(m, n)).ravel()
    else:
        c[at_c : at_c + m * n] = (A @ b[at_b : at_b + n * k].reshape(n, k).T).ravel()


@intrinsic
def _gemm(typing_context, address, transposed_a, transposed_b, m, n, k, a, b, beta, c):  # type: ignore[no-untyped-def]
    """C = A B + beta C, column by column and without gaps; m, n and k are sizes after transposing."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        address, transposed_a, transposed_b, m, n, k, a, b, beta, c = arguments
        integer, byte, real = ir.IntType(32), ir.IntType(8), beta.type

        def stored(value):  # type: ignore[no-untyped-def]
            # In the entry block: inside a loop the stack would grow with every turn.
            with builder.goto_entry_block():
                slot = builder.alloca(value.type)
            builder.store(value, slot)
            return slot

        def either(flag, yes, no):  # type: ignore[no-untyped-def]
            set_ = builder.icmp_signed("!=", flag, ir.Constant(flag.type, 0))
            return builder.select(set_, yes, no)

        def letter(transposed):  # type: ignore[no-untyped-def]
            return stored(either(transposed, byte(ord("T")), byte(ord("N"))))

        def number(value):  # type: ignore[no-untyped-def]
            return stored(builder.trunc(value, integer))

        def pointer(value):  # type: ignore[no-untyped-def]
            return builder.inttoptr(value, real.as_pointer())

        operands = [
            letter(transposed_a), letter(transposed_b), number(m), number(n), number(k),
            stored(ir.Constant(real, 1.0)), pointer(a), number(either(transposed_a, k, m)),
            pointer(b), number(either(transposed_b, n, k)), stored(beta), pointer(c), number(m),
        ]  # fmt: skip
        function = ir.FunctionType(ir.VoidType(), [each.type for each in operands])
        builder.call(builder.inttoptr(address, function.as_pointer()), operands)
        return context.get_dummy_value()

    whole, where = types.int64, types.uintp
    return types.void(
        whole, whole, whole, whole, whole, whole, where, where, beta, where
    ), codegen  # fmt: skip


@overload(multiply)
def _multiply(product, form, m, k, n, a, at_a, b, at_b, c, at_c):  # type: ignore[no-untyped-def]
    def implementation(product, form, m, k, n, a, at_a, b, at_b, c, at_c):  # type: ignore[no-untyped-def]
        # BLAS counts columns first: to it our matrices are transposed, and Cᵀ = Bᵀ Aᵀ.
        size = a.itemsize
        A, B = a.ctypes.data + at_a * size, b.ctypes.data + at_b * size
        C, real = c.ctypes.data + at_c * size, a.dtype.type
        if form == 0:
            _gemm(product, 0, 0, n, m, k, B, A, real(0), C)
        elif form == 1:
            _gemm(product, 0, 1, n, k, m, B, A, real(1), C)
        else:
            _gemm(product, 1, 0, n, m, k, B, A, real(0), C)

    return implementation
