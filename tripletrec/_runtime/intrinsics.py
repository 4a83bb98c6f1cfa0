"""Functions for kernels that Numba lacks: vector width, prefetching, matrix products; no kernel is here."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.extending import get_cython_function_address, intrinsic, overload

__all__ = [
    "TILE_BYTES",
    "TILE_ROWS",
    "blas_product",
    "multiply",
    "multiply_row",
    "multiply_tile",
    "prefer_wide_vectors",
    "prefetch",
    "transpose_block",
]

# Of the 16 registers that processors with AVX2 have, 12 hold a tile of this size. Measured: with it the loop
# is as fast as OpenBLAS, or faster.
TILE_ROWS = 6
TILE_BYTES = 64


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


def multiply_tile(
    left: Any, at_left: int, n_factors: int, panels: Any, at_panel: int, starts: Any, at_start: int,
    out: Any, at_out: int, stride: int,
) -> None:  # fmt: skip
    """Fill a tile of `TILE_ROWS` rows, of `TILE_BYTES` each, of a matrix product plus a row; from a kernel.

    ``out[r, c] = ((starts[c] + left[r, 0] panel[0, c]) + left[r, 1] panel[1, c]) + …``: added up in this
    order, for whatever tile, unlike in a product by BLAS.

    Parameters
    ----------
    left, at_left, n_factors : one-dimensional array, int, int
        Rows of `n_factors` numbers, one after the other from the element `at_left` on.
    panels, at_panel : one-dimensional array, int
        A panel is `n_factors` rows of a tile's width.
    starts, at_start : one-dimensional array, int
        What each column is added to: a row of a tile's width.
    out, at_out, stride : one-dimensional array, int, int
        Where the tile's first number goes, and from there to the number below it.
    """
    width = TILE_BYTES // panels.itemsize
    for r in range(TILE_ROWS):
        to, factors = at_out + r * stride, left[at_left + r * n_factors :]
        start = starts[at_start : at_start + width]
        out[to : to + width] = _row_of_tile(factors, n_factors, panels, at_panel, start)


def multiply_row(
    left: Any, at_left: int, n_factors: int, panels: Any, at_panel: int, starts: Any, at_start: int,
    out: Any, at_out: int,
) -> None:  # fmt: skip
    """Fill `TILE_ROWS` tiles side by side, of one row only; otherwise as `multiply_tile`.

    Parameters
    ----------
    left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out
        As of `multiply_tile`; the panels of the tiles lie one after the other, and so do their starts.
    """
    width = TILE_BYTES // panels.itemsize
    for p in range(TILE_ROWS):
        to, at = at_out + p * width, at_panel + p * n_factors * width
        start = starts[at_start + p * width : at_start + (p + 1) * width]
        out[to : to + width] = _row_of_tile(left[at_left:], n_factors, panels, at, start)


def _row_of_tile(factors: Any, n_factors: int, panels: Any, at: int, start: Any) -> Any:
    width = len(start)
    columns = panels[at : at + n_factors * width].reshape(n_factors, width)
    total = start.copy()
    for k in range(n_factors):
        total += factors[k] * columns[k]
    return total


def _fused(module: Any, vector: Any, suffix: str) -> Any:
    """Return LLVM's function that multiplies and adds, declared once in a module."""
    name = f"llvm.fmuladd.{suffix}"
    kind = ir.FunctionType(vector, [vector] * 3)
    return module.globals.get(name) or ir.Function(module, kind, name=name)


def _spread(builder: Any, number: Any, width: int) -> Any:
    """Return a vector of `width` times the same number."""
    undefined = ir.Constant(ir.VectorType(number.type, width), ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
    vector = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(vector, undefined, everywhere)


def _beginnings(builder: Any, address: Any, step: Any, n: int) -> list[Any]:
    """Return `n` addresses, each a step from the one before."""
    found = [address]
    for _ in range(n - 1):
        found.append(builder.add(found[-1], step))
    return found


def _tile_intrinsic(n_rows: int, n_panels: int) -> Any:
    """Return the intrinsic that fills tiles of some rows and panels."""

    def fill(typing_context, left, n_factors, panels, starts, out, stride, kind):  # type: ignore[no-untyped-def]
        each_bytes = kind.bitwidth // 8
        width = TILE_BYTES // each_bytes

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            left, n_factors, panels, starts, out, stride, like = arguments
            whole, real = ir.IntType(64), like.type
            vector, line = ir.VectorType(real, width), whole(TILE_BYTES)
            fused = _fused(builder.module, vector, f"v{width}f{kind.bitwidth}")
            places = [(r, p) for r in range(n_rows) for p in range(n_panels)]

            def load(what, address):  # type: ignore[no-untyped-def]
                pointer = builder.inttoptr(address, what.as_pointer())
                return builder.load(pointer, align=each_bytes)

            row_bytes = builder.mul(n_factors, whole(each_bytes))
            rows = _beginnings(builder, left, row_bytes, n_rows)
            tops = _beginnings(builder, panels, builder.mul(n_factors, line), n_panels)
            first_totals = [
                load(vector, each) for each in _beginnings(builder, starts, line, n_panels)
            ]
            before = builder.block
            turn, end = builder.append_basic_block("turn"), builder.append_basic_block("end")
            builder.cbranch(builder.icmp_signed(">", n_factors, whole(0)), turn, end)

            builder.position_at_end(turn)
            k, *sums = (builder.phi(each) for each in (whole, *[vector] * len(places)))
            down, along = builder.mul(k, line), builder.mul(k, whole(each_bytes))
            columns = [load(vector, builder.add(top, down)) for top in tops]
            numbers = [_spread(builder, load(real, builder.add(row, along)), width) for row in rows]
            longer = [
                builder.call(fused, [numbers[r], columns[p], total])
                for (r, p), total in zip(places, sums, strict=True)
            ]
            following = builder.add(k, whole(1))
            before_all = [first_totals[p] for _, p in places]
            for each, first, later in zip(
                (k, *sums), (whole(0), *before_all), (following, *longer), strict=True
            ):
                each.add_incoming(first, before)
                each.add_incoming(later, turn)
            builder.cbranch(builder.icmp_signed("<", following, n_factors), turn, end)

            builder.position_at_end(end)
            results = [builder.phi(vector) for _ in places]
            lines = _beginnings(builder, out, builder.mul(stride, whole(each_bytes)), n_rows)
            for (r, p), each, first, later in zip(places, results, before_all, longer, strict=True):
                each.add_incoming(first, before)
                each.add_incoming(later, turn)
                to = builder.add(lines[r], whole(p * TILE_BYTES))
                builder.store(each, builder.inttoptr(to, vector.as_pointer()), align=each_bytes)
            return context.get_dummy_value()

        where, n = types.uintp, types.int64
        return types.void(where, n, where, where, where, n, kind), codegen

    return intrinsic(fill)


_tile, _row = _tile_intrinsic(TILE_ROWS, 1), _tile_intrinsic(1, TILE_ROWS)


@overload(multiply_tile)
def _multiply_tile(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out, stride):  # type: ignore[no-untyped-def]  # fmt: skip
    def implementation(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out, stride):  # type: ignore[no-untyped-def]  # fmt: skip
        size = panels.itemsize
        a, b = left.ctypes.data + at_left * size, panels.ctypes.data + at_panel * size
        c, to = starts.ctypes.data + at_start * size, out.ctypes.data + at_out * size
        _tile(a, n_factors, b, c, to, stride, panels.dtype.type(0))

    return implementation


@overload(multiply_row)
def _multiply_row(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out):  # type: ignore[no-untyped-def]
    def implementation(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out):  # type: ignore[no-untyped-def]
        size = panels.itemsize
        a, b = left.ctypes.data + at_left * size, panels.ctypes.data + at_panel * size
        c, to = starts.ctypes.data + at_start * size, out.ctypes.data + at_out * size
        _row(a, n_factors, b, c, to, 0, panels.dtype.type(0))

    return implementation


def transpose_block(source: Any, at_source: int, stride: int, panel: Any, at_panel: int) -> None:
    """Copy a square of half a tile's width into a panel for `multiply_tile`, transposed; from a kernel.

    Parameters
    ----------
    source, at_source, stride : one-dimensional array, int, int
        The square's first number, and from there to the number below it.
    panel, at_panel : one-dimensional array, int
        Where the square's first row goes; the others are a tile's width apart.
    """
    width = TILE_BYTES // panel.itemsize
    for j in range(width // 2):
        for k in range(width // 2):
            panel[at_panel + k * width + j] = source[at_source + j * stride + k]


@intrinsic
def _transpose(typing_context, source, stride, target, kind):  # type: ignore[no-untyped-def]
    each_bytes = kind.bitwidth // 8
    n = TILE_BYTES // each_bytes // 2

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        source, stride, target, like = arguments
        whole, vector = ir.IntType(64), ir.VectorType(like.type, n)
        step = builder.mul(stride, whole(each_bytes))
        rows = []
        for _ in range(n):
            pointer = builder.inttoptr(source, vector.as_pointer())
            rows.append(builder.load(pointer, align=each_bytes))
            source = builder.add(source, step)

        def mix(one, other, places):  # type: ignore[no-untyped-def]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), n), places)
            return builder.shuffle_vector(one, other, mask)

        # Squares of ever smaller width are transposed as if their quarters were numbers.
        half = n // 2
        while half:
            upper = [i if not i & half else n + i - half for i in range(n)]
            lower = [i + half if not i & half else n + i for i in range(n)]
            for j in range(n):
                if not j & half:
                    pair = rows[j], rows[j + half]
                    rows[j], rows[j + half] = mix(*pair, upper), mix(*pair, lower)
            half //= 2
        for row in rows:
            builder.store(row, builder.inttoptr(target, vector.as_pointer()), align=each_bytes)
            target = builder.add(target, whole(TILE_BYTES))
        return context.get_dummy_value()

    where = types.uintp
    return types.void(where, types.int64, where, kind), codegen


@overload(transpose_block)
def _transpose_block(source, at_source, stride, panel, at_panel):  # type: ignore[no-untyped-def]
    def implementation(source, at_source, stride, panel, at_panel):  # type: ignore[no-untyped-def]
        size = panel.itemsize
        a, b = source.ctypes.data + at_source * size, panel.ctypes.data + at_panel * size
        _transpose(a, stride, b, panel.dtype.type(0))

    return implementation
