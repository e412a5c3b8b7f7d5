"""Words that every kernel uses: pointers, a thread's share, and the end of every int8 op."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable


@intrinsic
def advance(context, pointer, offset):
    """The pointer `offset` bytes on."""

    def build(context, builder, signature, args):
        return builder.gep(args[0], [args[1]], inbounds=True, source_etype=ir.IntType(8))

    return types.voidptr(types.voidptr, types.intp), build


@intrinsic
def requantise(context, value, clamp_min, clamp_max, zero_point):
    """int8: clamp(rne(value) + zero_point). value: float32, never NaN. The rest: int constants."""

    def build(context, builder, signature, args):
        f32, i32, i8 = ir.FloatType(), ir.IntType(32), ir.IntType(8)
        v, low, high, zero = args
        low, high = (builder.sitofp(builder.sub(bound, zero), f32) for bound in (low, high))
        v = builder.select(builder.fcmp_ordered("<", v, high), v, high)
        v = builder.select(builder.fcmp_ordered(">", v, low), v, low)
        rounded = builder.fptosi(builder.call(builder.module.declare_intrinsic("llvm.roundeven", [f32]), [v]), i32)
        return builder.trunc(builder.add(rounded, builder.trunc(zero, i32)), i8)

    return types.int8(types.float32, types.intp, types.intp, types.intp), build


@register_jitable
def share(total, part, parts):
    """First item of a thread's share; share(total, parts, parts) == total."""
    return total * part // parts


def int8_only(*specs):
    """Whether all are quantised int8 tensors: what the kernels of this tier work on."""
    return all(spec.dtype == "int8" and spec.quant is not None for spec in specs)
