"""What Numba compiles the functions of `intrinsics` to; what they do is said there."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.extending import intrinsic, overload

from tripletrec._runtime.intrinsics import (
    TILE_BYTES,
    TILE_ROWS,
    multiply,
    multiply_add,
    multiply_row,
    multiply_tile,
    prefer_wide_vectors,
    prefetch,
    transpose_block,
)

__all__: list[str] = []


@intrinsic
def _prefer_widest(typing_context):
    def codegen(context, builder, signature, arguments):
        # llvmlite refuses attributes with values, but writes out whatever the set holds.
        attributes = builder.function.attributes
        set.add(attributes, '"prefer-vector-width"="512"')
        triple, _, features = context.codegen().magic_tuple()
        # Others do not know the feature.
        if triple.startswith("x86_64") and llvm_version_info >= (15,):
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


@intrinsic
def _prefetch_line(typing_context, address):
    def codegen(context, builder, signature, arguments):
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
def _prefetch(table, row, n_bytes):
    def implementation(table, row, n_bytes):
        first = table.ctypes.data + row * n_bytes
        for byte in range(0, n_bytes, 64):
            _prefetch_line(first + byte)

    return implementation


@intrinsic
def _gemm(typing_context, address, transposed_a, transposed_b, m, n, k, a, b, beta, c):
    """C = A B + beta C, column by column and without gaps; m, n and k are sizes after transposing."""

    def codegen(context, builder, signature, arguments):
        address, transposed_a, transposed_b, m, n, k, a, b, beta, c = arguments
        integer, byte, real = ir.IntType(32), ir.IntType(8), beta.type

        def stored(value):
            # In the entry block: inside a loop the stack would grow with every turn.
            with builder.goto_entry_block():
                slot = builder.alloca(value.type)
            builder.store(value, slot)
            return slot

        def either(flag, yes, no):
            set_ = builder.icmp_signed("!=", flag, ir.Constant(flag.type, 0))
            return builder.select(set_, yes, no)

        def letter(transposed):
            return stored(either(transposed, byte(ord("T")), byte(ord("N"))))

        def number(value):
            return stored(builder.trunc(value, integer))

        def pointer(value):
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
def _multiply(product, form, m, k, n, a, at_a, b, at_b, c, at_c):
    def implementation(product, form, m, k, n, a, at_a, b, at_b, c, at_c):
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

    def fill(typing_context, left, n_factors, panels, starts, out, stride, kind):
        each_bytes = kind.bitwidth // 8
        width = TILE_BYTES // each_bytes

        def codegen(context, builder, signature, arguments):
            left, n_factors, panels, starts, out, stride, like = arguments
            whole, real = ir.IntType(64), like.type
            vector, line = ir.VectorType(real, width), whole(TILE_BYTES)
            fused = _fused(builder.module, vector, f"v{width}f{kind.bitwidth}")
            places = [(r, p) for r in range(n_rows) for p in range(n_panels)]

            def load(what, address):
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
def _multiply_tile(
    left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out, stride
):
    def implementation(
        left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out, stride
    ):
        size = panels.itemsize
        a, b = left.ctypes.data + at_left * size, panels.ctypes.data + at_panel * size
        c, to = starts.ctypes.data + at_start * size, out.ctypes.data + at_out * size
        _tile(a, n_factors, b, c, to, stride, panels.dtype.type(0))

    return implementation


@overload(multiply_row)
def _multiply_row(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out):
    def implementation(left, at_left, n_factors, panels, at_panel, starts, at_start, out, at_out):
        size = panels.itemsize
        a, b = left.ctypes.data + at_left * size, panels.ctypes.data + at_panel * size
        c, to = starts.ctypes.data + at_start * size, out.ctypes.data + at_out * size
        _row(a, n_factors, b, c, to, 0, panels.dtype.type(0))

    return implementation


@intrinsic
def _multiply_and_add(typing_context, a, b, c):
    def codegen(context, builder, signature, arguments):
        function = _fused(builder.module, arguments[0].type, f"f{a.bitwidth}")
        return builder.call(function, arguments)

    return a(a, a, a), codegen


@overload(multiply_add)
def _multiply_add(a, b, c):
    return lambda a, b, c: _multiply_and_add(a, b, c)


@intrinsic
def _transpose(typing_context, source, stride, target, kind):
    each_bytes = kind.bitwidth // 8
    n = TILE_BYTES // each_bytes // 2

    def codegen(context, builder, signature, arguments):
        source, stride, target, like = arguments
        whole, vector = ir.IntType(64), ir.VectorType(like.type, n)
        step = builder.mul(stride, whole(each_bytes))
        rows = []
        for _ in range(n):
            pointer = builder.inttoptr(source, vector.as_pointer())
            rows.append(builder.load(pointer, align=each_bytes))
            source = builder.add(source, step)

        def mix(one, other, places):
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
def _transpose_block(source, at_source, stride, panel, at_panel):
    def implementation(source, at_source, stride, panel, at_panel):
        size = panel.itemsize
        a, b = source.ctypes.data + at_source * size, panel.ctypes.data + at_panel * size
        _transpose(a, stride, b, panel.dtype.type(0))

    return implementation
